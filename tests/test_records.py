"""A record is what the standard library's dataclass would be, except that assignments are left to the type checker."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import subprocess
import sys
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from rnncc.records import record


@record(frozen=True, slots=True)
class Point:
    """Two numbers and a note."""

    x: int
    y: float = 0.5
    note: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Peer:
    """The same, of the standard library."""

    x: int
    y: float = 0.5
    note: str = field(default="", repr=False)


@record(frozen=True, slots=True)
class Alone:
    """One field."""

    x: int


@record(frozen=True, slots=True)
class Nothing:
    """No field."""


@record(frozen=True, slots=True, eq=False)
class Itself:
    """Equal to nothing else."""

    x: int


@record(frozen=True, slots=True)
class Own:
    """Has its own methods."""

    x: int

    def __repr__(self) -> str:
        return "own"

    def __hash__(self) -> int:
        return 7


def test_it_is_written_as_a_dataclass_is() -> None:
    assert repr(Point(1, note="n")) == repr(Peer(1, note="n")).replace("Peer", "Point") == "Point(x=1, y=0.5)"
    assert repr(Nothing()) == "Nothing()"
    assert repr(Own(1)) == "own"


@pytest.mark.parametrize("kind", [Point, Peer])
def test_it_is_compared_by_its_fields(kind: Any) -> None:
    assert kind(1, 2.0, "n") == kind(1, 2.0, "n")
    assert hash(kind(1, 2.0, "n")) == hash(kind(1, 2.0, "n"))
    assert len({kind(x, y, note) for x in (1, 2) for y in (0.0, 1.0) for note in ("", "n") for _ in range(2)}) == 8
    assert all(kind(1, 2.0, "n") != other for other in (kind(0, 2.0, "n"), kind(1, 3.0, "n"), kind(1, 2.0, "m")))


def test_records_of_two_classes_are_never_equal() -> None:
    assert Point(1) != Peer(1)
    assert Alone(1) != 1
    assert Alone(1) == Alone(1)
    assert Nothing() == Nothing()
    assert hash(Nothing()) == hash(Nothing())
    assert Nothing() != ()


def test_without_eq_a_record_is_equal_to_itself_only() -> None:
    one, other = Itself(1), Itself(1)
    assert one == one
    assert one != other
    assert len({one, other}) == 2


def test_its_own_methods_stay() -> None:
    assert hash(Own(1)) == 7
    assert Own(1) == Own(1)
    assert Own(1) != Own(2)


def test_the_standard_library_takes_it_for_a_dataclass() -> None:
    assert replace(Point(1), y=2.0) == Point(1, 2.0)
    assert [part.name for part in dataclasses.fields(Point)] == ["x", "y", "note"]
    assert copy.deepcopy(Point(1)) == pickle.loads(pickle.dumps(Point(1))) == Point(1)
    with pytest.raises(AttributeError):
        Point(1).z = 2  # type: ignore[attr-defined]
    match Point(3, 4.0):
        case Point(x, y):
            assert (x, y) == (3, 4.0)


def test_the_type_checker_refuses_assignments(tmp_path: Any) -> None:
    pytest.importorskip("mypy")
    file = tmp_path / "assigns.py"
    file.write_text(
        "from dataclasses import replace\n"
        "from rnncc.records import record\n\n\n"
        "@record(frozen=True, slots=True)\n"
        "class Point:\n"
        "    x: int\n\n\n"
        "point = replace(Point(1), x=2)\n"
        "point.x = 3\n"
        'Point("one")\n'
    )
    run = subprocess.run(
        [sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path / "cache"), str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert 'assigns.py:11: error: Property "x" defined in "Point" is read-only' in run.stdout, run.stdout + run.stderr
    assert "assigns.py:12: error: Argument 1" in run.stdout
    assert "Found 2 errors" in run.stdout
