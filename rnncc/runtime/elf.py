"""An object file for x86-64 Linux as one block of bytes that can run at any address: what a linker does, for one file.

Sections are laid out one after the other, and places that refer to another one get the distance to it. Functions of the
C library are called by way of a slot that holds their address, and that the loader fills:

    .text      call memset        ->    call stub
    .rodata                             stub:  jmp [slot]
                                        slot:  8 bytes

Format and relocations: System V ABI, AMD64 supplement, chapter 4.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from rnncc.records import record

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SYMBOL = struct.Struct("<IBBHQQ")
_RELOCATION = struct.Struct("<QQq")
_RELOCATABLE, _X86_64 = 1, 62
_ALLOCATED, _WRITABLE = 2, 1  # flags of a section
_SYMBOLS, _RELOCATIONS, _SHORT_RELOCATIONS = 2, 4, 9  # types of a section
_KNOWN_SECTIONS = (1, 7, 0x70000001)
"""Types of sections whose bytes are all that there is to them: code and numbers, notes, tables for debuggers."""
_GLOBAL, _OUTSIDE = 1, 0
_DISTANCES = {2: "<i", 4: "<i", 24: "<q"}
"""R_X86_64_PC32, PLT32 and PC64: how the distance from the place to its symbol is stored."""
_SLOT_DISTANCES = (9, 41, 42)
"""R_X86_64_GOTPCREL and its two relaxable forms: the distance to a slot with the symbol's address."""
_STUB = b"\xff\x25"  # jmp [rip + distance]


@record(frozen=True, slots=True)
class Image:
    """Linked code. Its parts know where they are from each other, and from nothing else."""

    content: bytearray
    symbols: Mapping[str, int]
    """Where each exported function starts."""
    slots: Mapping[str, int]
    """Where the address of each function or variable from outside belongs."""
    own_slots: Mapping[int, int]
    """Slots for places in the image itself: to add to where the image begins."""


class _Section(NamedTuple):
    """One entry of the table of sections."""

    name: int
    type: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    alignment: int
    entry_size: int


_SECTION = struct.Struct("<IIQQQQIIQQ")


class _Symbol(NamedTuple):
    """A name, and where it is: an offset in the image, or None for what comes from outside."""

    name: str
    place: int | None
    is_global: bool
    is_known: bool


class Unlinkable(Exception):
    """An object file has something in it that this linker does not know; LLVM's may know it."""


def is_linkable(object_code: bytes) -> bool:
    """True for a relocatable 64-bit ELF file of little-endian x86-64."""
    if len(object_code) < _HEADER.size or object_code[:6] != b"\x7fELF\x02\x01":
        return False
    return _HEADER.unpack_from(object_code)[1:3] == (_RELOCATABLE, _X86_64)


def link(object_code: bytes) -> Image:
    """The image of an object file. Raises Unlinkable for what our own code generation does not make."""
    return _Linker(object_code).image()


class _Linker:
    def __init__(self, object_code: bytes) -> None:
        header = _HEADER.unpack_from(object_code)
        table, size, count = header[6], header[11], header[12]
        self.bytes = object_code
        self.sections = [_Section(*_SECTION.unpack_from(object_code, table + size * n)) for n in range(count)]
        self.content = bytearray()
        self.starts: dict[int, int] = {}
        self.stubs: dict[int, int] = {}
        self.symbol_slots: dict[int, int] = {}

    def image(self) -> Image:
        for number, section in enumerate(self.sections):
            if section.flags & _ALLOCATED and section.size:
                if section.flags & _WRITABLE or section.type not in _KNOWN_SECTIONS:
                    raise Unlinkable(f"a section of type {section.type} with the flags {section.flags}")
                self.starts[number] = self._append(self._content(section), section.alignment)
        symbols = [symbol for table in self.sections if table.type == _SYMBOLS for symbol in self._symbols(table)]
        for section in self.sections:
            if section.type == _SHORT_RELOCATIONS and section.info in self.starts:
                raise Unlinkable("relocations without addends")
            if section.type == _RELOCATIONS and section.info in self.starts:
                for offset, info, addend in _RELOCATION.iter_unpack(self._content(section)):
                    place = self.starts[section.info] + offset
                    self._relocate(place, info & 0xFFFFFFFF, symbols, info >> 32, addend)
        outside, own = {}, {}
        for number, slot in self.symbol_slots.items():
            symbol = symbols[number]
            if symbol.place is None:
                outside[symbol.name] = slot
            else:
                own[slot] = symbol.place
        exported = {symbol.name: symbol.place for symbol in symbols if symbol.is_global and symbol.place is not None}
        return Image(self.content, exported, outside, own)

    def _relocate(self, place: int, kind: int, symbols: list[_Symbol], number: int, addend: int) -> None:
        """Write at `place` how far from there symbol `number` (or its slot) is."""
        if not symbols[number].is_known:
            raise Unlinkable(f"the symbol {symbols[number].name}")
        if kind in _SLOT_DISTANCES:
            form, goal = "<i", self._slot(number)
        elif kind not in _DISTANCES:
            raise Unlinkable(f"relocation {kind} of {symbols[number].name or 'a section'}")
        else:
            found = symbols[number].place
            form, goal = _DISTANCES[kind], self._stub(number) if found is None else found
        struct.pack_into(form, self.content, place, goal + addend - place)

    def _slot(self, number: int) -> int:
        """Eight bytes for the address of a symbol."""
        if number not in self.symbol_slots:
            self.symbol_slots[number] = self._append(bytes(8), 8)
        return self.symbol_slots[number]

    def _stub(self, number: int) -> int:
        """A jump to a function from outside, which may be further away than a call reaches."""
        if number not in self.stubs:
            slot = self._slot(number)
            start = self._append(_STUB + bytes(4), 8)
            struct.pack_into("<i", self.content, start + len(_STUB), slot - (start + len(_STUB) + 4))
            self.stubs[number] = start
        return self.stubs[number]

    # -------------------------------------------------------------- reading

    def _symbols(self, table: _Section) -> Iterator[_Symbol]:
        names = self._content(self.sections[table.link])
        for name, info, _, section, value, _ in _SYMBOL.iter_unpack(self._content(table)):
            text = names[name : names.index(b"\0", name)].decode()
            place = self.starts[section] + value if section in self.starts else None
            yield _Symbol(text, place, info >> 4 == _GLOBAL, section in self.starts or section == _OUTSIDE)

    def _content(self, section: _Section) -> bytes:
        return self.bytes[section.offset :][: section.size]

    def _append(self, content: bytes, alignment: int) -> int:
        """Add `content` at the next multiple of `alignment`; returns where it starts."""
        self.content += bytes(-len(self.content) % max(1, alignment))
        start = len(self.content)
        self.content += content
        return start
