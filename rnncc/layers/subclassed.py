"""Models that are classes with a `call`: traced into a network of layers, once for each kind of arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from rnncc.errors import ArgumentError, ShapeError, StructureError, caller
from rnncc.graph.symbolic import Tensor, scope
from rnncc.layers.base import Layer
from rnncc.layers.execution import as_array
from rnncc.layers.history import outside_layers
from rnncc.layers.inputs import Input
from rnncc.layers.owner import building
from rnncc.layers.phase import is_training, phase
from rnncc.layers.stateful import StateSlot
from rnncc.ops.structure import flatten, outline, rebuild
from rnncc.records import record

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


class Network(Protocol):
    """A network of layers, as far as it is of interest here."""

    def __call__(self, *arrays: np.ndarray) -> Any:
        """Its outputs."""

    @property
    def state_slots(self) -> list[StateSlot]:
        """The states that its layers keep between calls."""


N = TypeVar("N", bound=Network)


class Program(Generic[N]):
    """The networks that the `call` of a model is traced into.

    One network serves all sizes of the batch and of inner axes; where the `call` needs sizes that are fixed, there is
    one for each. Arguments with another structure, other ranks or other widths get networks of their own.
    """

    def __init__(self, model: Layer, network: Callable[[Sequence[Tensor], Sequence[Tensor], Sequence[str]], N]) -> None:
        self._model = model
        self._network = network
        self._known: dict[object, _Trace[N] | None] = {}
        self._latest: _Trace[N] | None = None

    @property
    def latest(self) -> N:
        """The network of the last call, for inference. Raises StructureError before the first one."""
        return self.network(False)

    def network(self, training: bool) -> N:
        """The network for arguments like those of the last call, for training or for inference."""
        if self._latest is None:
            name = self._model.name
            raise StructureError(
                f"{name} has no inputs yet: its call is traced when it is called",
                place=caller(),
                remedy=f"call it on arrays first, or on shapes: {name}.build((None, None, 8))",
            )
        networks = self._latest.networks
        with building:
            if training not in networks:
                networks[training], _ = self._call(self._latest.inputs, self._latest.arguments, training)
        return networks[training]

    @property
    def state_slots(self) -> list[StateSlot]:
        """The states that stateful layers keep between calls; none are known before the first call."""
        return [] if self._latest is None else self.latest.state_slots

    @property
    def output_structure(self) -> Any:
        """The structure that the last `call` returned, outlined."""
        return None if self._latest is None else outline(self._latest.structure)

    def run(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """The results for arrays, in the structure that `call` returns."""
        trace, arrays = self._traced(args, kwargs)
        values = trace.networks[trace.training](*arrays)
        return rebuild(trace.structure, values if isinstance(values, list) else [values])

    def trace(self, shapes: Any) -> None:
        """Trace `call` for one input of this shape, or a list or dict of shapes; the batch comes first."""
        inputs = _inputs_of_shapes(shapes)
        self._trace(flatten(inputs), ((inputs,), {}))

    def _traced(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[_Trace[N], list[np.ndarray]]:
        name = self._model.name
        arguments = (tuple(as_array(name, item) for item in args), {k: as_array(name, v) for k, v in kwargs.items()})
        arrays = [leaf for leaf in flatten(arguments) if isinstance(leaf, np.ndarray)]
        if not arrays:
            raise ArgumentError(
                f"{name} was called without a tensor or an array",
                f"given: {', '.join(repr(item) for item in args) or 'nothing'}",
                place=caller(),
            )
        with building:
            return self._trace_of(arrays, arguments), arrays

    def _trace_of(self, arrays: Sequence[np.ndarray], arguments: Arguments) -> _Trace[N]:
        """The trace for such arrays, made when there is none."""
        form = repr(rebuild(arguments, [_form(leaf) for leaf in flatten(arguments)]))
        for shapes in (_open_shapes(arrays), [array.shape[1:] for array in arrays]):
            key = (form, tuple(shapes))
            if key not in self._known:
                try:
                    self._known[key] = self._trace_arrays(arrays, shapes, arguments)
                except (ShapeError, StructureError):
                    self._known[key] = None  # sizes have to be fixed
                    if shapes == [array.shape[1:] for array in arrays]:
                        del self._known[key]
                        raise
            found = self._known[key]
            if found is not None:
                self._latest = found
                return found
        raise AssertionError("the last shapes are fixed: an error was raised")

    def _trace_arrays(self, arrays: Sequence[np.ndarray], shapes: Sequence[Any], arguments: Arguments) -> _Trace[N]:
        kinds = {"b": "bool", "f": "float32"}
        inputs = [
            Input(shape, dtype="float64" if array.dtype == np.float64 else kinds.get(array.dtype.kind, "int64"))
            for array, shape in zip(arrays, shapes, strict=True)
        ]
        rest = iter(inputs)
        leaves = [next(rest) if isinstance(leaf, np.ndarray) else leaf for leaf in flatten(arguments)]
        return self._trace(inputs, rebuild(arguments, leaves))

    def _trace(self, inputs: Sequence[Tensor], arguments: Arguments) -> _Trace[N]:
        self._model._ensure_built(arguments[0])
        training = bool(is_training(arguments[1].get("training")))
        network, structure = self._call(inputs, arguments, training)
        self._latest = _Trace(inputs, arguments, training, structure, {training: network})
        return self._latest

    def _call(self, inputs: Sequence[Tensor], arguments: Arguments, training: bool) -> tuple[N, Any]:
        (args, kwargs), model = arguments, self._model
        said = training if training or "training" in kwargs else None  # else it is what `call` says by itself
        with outside_layers(), scope(model.name), phase(said):
            structure = model.call(*args, **model._known_to_call(kwargs, said))
        for leaf in flatten(structure):
            if not isinstance(leaf, Tensor):
                raise ArgumentError(
                    f"call() of {type(model).__name__} must return symbolic tensors, not {type(leaf).__name__}",
                    place=caller(),
                )
        return self._network(inputs, flatten(structure), self._names(arguments)), structure

    def _names(self, arguments: Arguments) -> list[str]:
        """What the tensors among `arguments` are called: as the parameters of `call`, or the keys of an only dict."""
        args, kwargs = arguments
        parameters = [*self._model._parameters, *(f"x{n}" for n in range(len(args)))]
        is_dict = len(args) == 1 and isinstance(args[0], dict)
        bases = [""] if is_dict else parameters
        names = [name for base, item in zip(bases, args, strict=False) for name in _names(item, base)]
        leaves = zip(flatten(arguments), [*names, *_names(kwargs, "")], strict=True)
        return [name for leaf, name in leaves if isinstance(leaf, Tensor)]


@record(frozen=True, slots=True)
class _Trace(Generic[N]):
    """What `call` returned for `arguments`: the network, which is made for the other phase when somebody asks."""

    inputs: Sequence[Tensor]
    arguments: Arguments
    training: bool
    structure: Any
    networks: dict[bool, N]


def _names(structure: Any, base: str) -> list[str]:
    """A name for each leaf of `structure`, in the order of `flatten`: that of its place in what is called `base`."""
    if structure is None:
        return []
    if isinstance(structure, dict):
        lead = f"{base}_" if base else ""
        return [name for key in sorted(structure) for name in _names(structure[key], f"{lead}{key}")]
    if isinstance(structure, list | tuple):
        return [name for number, item in enumerate(structure) for name in _names(item, f"{base}_{number}")]
    return [base]


def _form(leaf: Any) -> Any:
    return (leaf.dtype.kind, leaf.dtype.itemsize == 8, leaf.ndim) if isinstance(leaf, np.ndarray) else leaf


def _open_shapes(arrays: Sequence[np.ndarray]) -> list[tuple[Any, ...]]:
    """Shapes without the batch, inner axes open (those of one size have one name), widths of floats fixed."""
    shapes = []
    sizes: dict[int, list[int]] = {}
    for array in arrays:
        shape: list[Any] = []
        for axis, size in enumerate(array.shape[1:], start=1):
            is_width = axis == array.ndim - 1 and array.dtype.kind == "f"
            known = sizes.setdefault(axis, [])
            if not is_width and size not in known:
                known.append(size)
            letter = "T" if axis == 1 else f"D{axis}_"
            shape.append(size if is_width else f"{letter}{known.index(size) or ''}")
        shapes.append(tuple(shape))
    return shapes


def _inputs_of_shapes(shapes: Any) -> Any:
    if isinstance(shapes, dict):
        return {key: _inputs_of_shapes(item) for key, item in shapes.items()}
    if isinstance(shapes, list) and any(isinstance(item, list | tuple | dict) for item in shapes):
        return [_inputs_of_shapes(item) for item in shapes]
    return Input(batch_shape=tuple(shapes))
