"""What owns weights: a layer makes its own, and lists, reads and sets them with those of the layers inside."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

import rnncc.layers.initializers as initializers
from rnncc.arrays import as_numpy
from rnncc.errors import ArgumentError, ShapeError, StructureError, caller
from rnncc.layers.checks import CheckedArguments
from rnncc.layers.weights import FEWER_WEIGHTS, Weight, check_memory, together
from rnncc.locks import lock_over_fork
from rnncc.memory import memory_errors
from rnncc.types import DType, dtype_of

building = lock_over_fork()
"""Is held by a thread that makes weights, or the graph of a model: another one finds them whole, or not at all."""


class OwnsWeights(CheckedArguments):
    """Base of `Layer`: the part of it that is about weights."""

    def __init__(self, name: str, dtype: DType, trainable: bool) -> None:
        self.name = name
        self.path = name
        self.dtype = dtype
        self.trainable = trainable
        self.built = False
        self._own_weights: list[Weight] = []

    def add_weight(
        self,
        *given: Any,
        name: str | None = None,
        shape: Any = None,
        initializer: Any = None,
        dtype: Any = None,
        trainable: bool | None = None,
        regularizer: Any = None,
        constraint: Any = None,
    ) -> Weight:
        """A new weight of this layer with its first numbers drawn from `initializer`, "glorot_uniform" by default.

        Arguments without names come in this order, or as in Keras 3: ``add_weight(shape, initializer, dtype)``. It is
        trainable unless it is said not to be. The regularizer and the constraint are for training; they change nothing
        at inference.

        Raises MemoryLimitError when it does not fit into memory, ShapeError when the initializer returns another
        shape, ArgumentError for arguments without names that are neither.
        """
        has_name = bool(given) and (given[0] is None or isinstance(given[0], str))
        named: dict[str, Any] = {
            **({"name": name} if has_name else {}),
            "shape": shape,
            "initializer": initializer,
            "dtype": dtype,
            "trainable": trainable,
        }
        places = tuple(named)
        twice = [place for place, _ in zip(places, given, strict=False) if named[place] is not None]
        if twice or len(given) > len(places):
            raise ArgumentError(
                f"add_weight of {self.name} was given "
                + (f"the {twice[0]} twice" if twice else f"{len(given)} arguments without a name"),
                place=caller(),
                remedy="add_weight(name, shape, initializer), add_weight(shape, initializer), or all by name",
            )
        named |= zip(places, given, strict=False)
        shape, initializer, dtype, trainable = (named[place] for place in places[-4:])
        name = named.get("name", name) or _numbered("variable", [weight.name for weight in self._own_weights])
        shape, initializer = () if shape is None else shape, initializer or "glorot_uniform"
        if not isinstance(shape, list | tuple):
            raise ArgumentError(
                f"the shape of a weight is a tuple of sizes, not {shape!r}",
                f"weight: {self.path}/{name}",
                place=caller(),
            )
        path = f"{self.path}/{name}"
        kind = self.dtype if dtype is None else dtype_of(dtype)
        check_memory(path, shape, kind)
        with memory_errors(f"the weight {path}", FEWER_WEIGHTS):
            value = np.asarray(_first_numbers(initializers.get(initializer, f"{path}"), tuple(shape), kind))
        if value.shape != tuple(shape):
            raise ShapeError(
                f"the initializer of {path} returned another shape",
                f"asked for: {tuple(shape)}",
                f"returned:  {value.shape}",
                place=caller(),
            )
        with memory_errors(f"the weight {path}", FEWER_WEIGHTS):
            weight = Weight(value, name, path, kind, trainable is None or trainable)
        self._own_weights.append(weight)
        return weight

    def sublayers(self) -> Iterator[OwnsWeights]:
        """The layers inside of this one; their weights count as its own."""
        return iter(())

    @property
    def weights(self) -> list[Weight]:
        """All weights, in Keras's order: the layer's own (trainable ones first), then those of layers inside it."""
        own = sorted(self._own_weights, key=lambda weight: not weight.trainable)
        inner = [weight for layer in self.sublayers() for weight in layer.weights]
        return list({id(weight): weight for weight in (*own, *inner)}.values())

    @property
    def trainable_weights(self) -> list[Weight]:
        """The weights that training would change."""
        return [weight for weight in self.weights if weight.trainable] if self.trainable else []

    variables = weights
    trainable_variables = trainable_weights

    @property
    def non_trainable_weights(self) -> list[Weight]:
        """The weights that training would leave alone."""
        trainable = {id(weight) for weight in self.trainable_weights}
        return [weight for weight in self.weights if id(weight) not in trainable]

    non_trainable_variables = non_trainable_weights

    def get_weights(self) -> list[np.ndarray]:
        """Copies of all weights as arrays, in the order of `weights`."""
        return [weight.numpy() for weight in self.weights]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Replace all weights by arrays in the order, shapes and gate layout of `get_weights` (which are Keras's).

        Raises ShapeError or DTypeError, and changes nothing, when the number of arrays, one of the shapes or of the
        types is wrong. Calls in other threads see all of them, or none.
        """
        if not self.built:
            raise self._not_built()
        own, arrays = self.weights, _arrays(self.name, weights)
        if len(own) != len(arrays):
            raise ShapeError(
                f"{self.name} has {len(own)} weights, {len(arrays)} arrays given",
                *[f"{weight.path}: {weight.shape}" for weight in own],
                f"given: {', '.join(str(array.shape) for array in arrays) or 'nothing'}",
                place=caller(),
                remedy="compare with the shapes of get_weights()",
            )
        for number, (weight, array) in enumerate(zip(own, arrays, strict=True)):
            if weight.shape != array.shape:
                raise ShapeError(
                    f"array {number} does not fit the weight {weight.path}",
                    f"{weight.path}: {weight.shape}",
                    f"given: {array.shape}",
                    place=caller(),
                    remedy=_transposed(weight.shape, array.shape),
                )
        values = [weight.converted(array) for weight, array in zip(own, arrays, strict=True)]
        with together():
            for weight, value in zip(own, values, strict=True):
                weight.take(value)

    def count_params(self) -> int:
        """The number of elements in all weights. Raises StructureError before the weights exist."""
        if not self.built:
            raise self._not_built()
        return sum(weight.size for weight in self.weights)

    def _not_built(self) -> StructureError:
        """The error for asking about weights too early."""
        return StructureError(
            f"{self.name} has no weights yet: they are created when it is called on an input",
            place=caller(),
            remedy=f"call it first: {self.name}(layers.Input(shape=...))",
        )


def _numbered(name: str, taken: Sequence[str]) -> str:
    return next(
        each for each in (name, *(f"{name}_{number}" for number in range(1, len(taken) + 1))) if each not in taken
    )


def _first_numbers(initializer: Any, shape: tuple[int, ...], dtype: DType) -> Any:
    parameters = inspect.signature(initializer).parameters.values()
    takes_dtype = any(item.name == "dtype" or item.kind is inspect.Parameter.VAR_KEYWORD for item in parameters)
    return initializer(shape, dtype=dtype.numpy) if takes_dtype else initializer(shape)


def _arrays(name: str, given: Any) -> list[np.ndarray]:
    """What `set_weights` was given, as arrays."""
    if not isinstance(given, Sequence | np.ndarray) or isinstance(given, str):
        raise ArgumentError(
            f"the weights of {name} are a list of arrays, not {type(given).__name__}",
            place=caller(),
            remedy="give what get_weights() returned, or arrays in the same order: [file[name] for name in file.files]",
        )
    return [as_numpy(f"array {number} for {name}", item) for number, item in enumerate(given)]


def _transposed(needed: tuple[int, ...], given: tuple[int, ...]) -> str:
    if given == needed[::-1]:
        return "it looks transposed: Keras's kernels have a row for each input (PyTorch's have a column)"
    return "compare with the shapes of get_weights()"
