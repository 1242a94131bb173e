"""Records: frozen dataclasses that cost little to define and to make.

To the type checker `record` is `dataclasses.dataclass`: it refuses to let a field of a frozen record be assigned. At
run time nothing does. That refusal makes a class take 1.1 ms to define instead of 0.2, and an instance 1.1 us instead
of 0.4 (Python 3.11): importing and compiling define a hundred classes, and compiling a small model makes twenty
thousand instances.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal, TypeVar

if TYPE_CHECKING:
    from dataclasses import dataclass as record
else:
    from dataclasses import dataclass, fields

    Class = TypeVar("Class", bound=type)

    def record(*, frozen: Literal[True], slots: Literal[True], eq: bool = True) -> Callable[[Class], Class]:
        """The decorator `dataclass(frozen=frozen, slots=slots, eq=eq)`, but for what the head of this file says.

        Methods that need not know the fields by name are shared, not compiled for each class.
        """

        def decorated(cls: Class) -> Class:
            own = set(vars(cls))
            made = dataclass(slots=True, eq=False, repr=False)(cls)
            methods = {"__repr__": _repr, **(_comparison(made) if eq else {})}
            for name in methods.keys() - own:
                setattr(made, name, methods[name])
            return made

        return decorated

    def _repr(self: Any) -> str:
        values = (f"{field.name}={getattr(self, field.name)!r}" for field in fields(self) if field.repr)
        return f"{type(self).__qualname__}({', '.join(values)})"

    def _comparison(cls: type) -> dict[str, Callable[..., Any]]:
        """Records are equal when they are of one class and all their fields are."""
        names = [field.name for field in fields(cls)]
        values = attrgetter(*names) if names else lambda _: ()

        def equal(self: Any, other: object) -> bool:
            if self is other:
                return True
            return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

        return {"__eq__": equal, "__hash__": lambda self: hash(values(self))}
