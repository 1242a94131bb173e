"""Layer: what all layers share. Weights, names, checks of inputs, and the call on symbolic tensors or on arrays."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np

import rnncc.layers.execution as execution
import rnncc.layers.initializers as initializers
from rnncc.errors import ArgumentError, ShapeError, StructureError, UnsupportedError, caller
from rnncc.graph.symbolic import Tensor, scope
from rnncc.layers.checks import CheckedArguments
from rnncc.layers.history import History, LayerCall, inside_layer, is_inside_layer, new_call
from rnncc.layers.masks import masks_of, no_mask, warn_of_loss, with_masks
from rnncc.layers.naming import snake_case, unique_name
from rnncc.layers.nested import shapes_of
from rnncc.layers.phase import is_training, phase
from rnncc.layers.specs import InputSpec, check_input
from rnncc.layers.weights import FEWER_WEIGHTS, Weight, check_memory
from rnncc.memory import memory_errors
from rnncc.ops import functions as ops
from rnncc.ops.structure import flatten, rebuild
from rnncc.types import DType, dtype_of


class Layer(CheckedArguments):
    """A building block of models: it owns weights and computes tensors from tensors.

    Calling a layer on a symbolic tensor (from `layers.Input`, or the output of another layer) creates its weights at
    the first call, when the width of the input is known, and returns symbolic tensors. Calling it on an array
    computes the result at once.

    A layer of your own has a `build` that creates weights and a `call` that computes with `rnncc.ops`; it is compiled
    like the built-in ones.

    Args:
        activity_regularizer: kept for training; it changes nothing at inference.
        trainable: whether the weights count as trainable.
        dtype: element type of the weights and of what is computed: "float32" (the default) or "float64".
        name: the layer's name; by default the class name in snake case, numbered over the process.
        input_shape: shape of one input without the batch, when the layer is the first of a `Sequential`.
        batch_input_shape: the same with the batch size (or None) in front.

    Example:
        >>> class Scale(layers.Layer):
        ...     def build(self, input_shape):
        ...         self.factor = self.add_weight("factor", (input_shape[-1],), "ones")
        ...
        ...     def call(self, x):
        ...         return x * self.factor
        >>> Scale()(layers.Input(shape=(3,))).shape
        (None, 3)

    Source: Keras 3, ``keras.layers.Layer``.
    """

    autocast = True
    """Whether float inputs of another type are converted to the layer's own."""

    supports_masking = False
    """Whether the mask of the input is that of the output as well; a `compute_mask` of your own says it in full."""

    def __init__(
        self,
        *,
        activity_regularizer: Any = None,
        trainable: bool = True,
        dtype: Any = None,
        name: str | None = None,
        input_shape: Sequence[int | None] | None = None,
        batch_input_shape: Sequence[int | None] | None = None,
    ) -> None:
        self.name = self._default_name() if name is None else _checked_name(type(self).__name__, name)
        self.path = self.name
        self.dtype = _float_type(type(self).__name__, dtype)
        self.trainable = trainable
        self.activity_regularizer = activity_regularizer
        self.built = False
        self.input_spec: InputSpec | None = None
        self.declared_shape = (None, *input_shape) if input_shape is not None else batch_input_shape
        self._own_weights: list[Weight] = []
        self._calls: list[tuple[LayerCall, tuple[Tensor, ...]]] = []

    def _default_name(self) -> str:
        return unique_name(snake_case(type(self).__name__))

    def like(self, name: str | None = None) -> Self:
        """A new layer that is made with the arguments of this one; layers among them are made anew as well."""
        args, arguments = rebuild(self._made_with, [_like(leaf) for leaf in flatten(self._made_with)])
        takes_name = "name" in inspect.signature(type(self).__init__).parameters
        layer = type(self)(*args, **({**arguments, "name": name} if name and takes_name else arguments))
        if name and not takes_name:
            layer.name = layer.path = name
        return layer

    # -------------------------------------------------------------- what a layer defines

    def build(self, input_shape: Any) -> None:
        """Create the weights for an input of this shape (None for extents that are not fixed). Called once."""

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the outputs from symbolic tensors."""
        raise StructureError(
            f"the layer class {type(self).__name__} has no call()",
            place=caller(),
            remedy="define call(self, inputs): it computes with rnncc.ops and returns symbolic tensors",
        )

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The mask of the output, or a list of masks and None, from the mask (or masks) of the first argument."""
        return mask

    # -------------------------------------------------------------- weights

    def add_weight(
        self,
        name: Any = None,
        shape: Any = None,
        initializer: Any = None,
        trainable: bool = True,
        dtype: Any = None,
        *,
        regularizer: Any = None,
        constraint: Any = None,
    ) -> Weight:
        """A new weight of this layer with its first numbers drawn from `initializer`, "glorot_uniform" by default.

        Without names it is taken as in Keras 3, ``add_weight(shape, initializer)``, when a shape comes first. The
        regularizer and the constraint are for training; they change nothing at inference.

        Raises MemoryLimitError when it does not fit into memory, ShapeError when the initializer returns another
        shape.
        """
        if isinstance(name, list | tuple):
            name, shape, initializer = None, name, shape if shape is not None else initializer
        name = name or _numbered("variable", [weight.name for weight in self._own_weights])
        shape, initializer = shape or (), initializer or "glorot_uniform"
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
            weight = Weight(value, name, path, kind, trainable)
        self._own_weights.append(weight)
        return weight

    def sublayers(self) -> Iterator[Layer]:
        """Layers that are attributes of this one (or in a list, tuple or dict that is)."""
        for value in vars(self).values():
            items = list(value.values()) if isinstance(value, dict) else value
            for item in items if isinstance(items, list | tuple) else (items,):
                if isinstance(item, Layer):
                    yield item

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

    @property
    def non_trainable_weights(self) -> list[Weight]:
        """The weights that training would leave alone."""
        trainable = {id(weight) for weight in self.trainable_weights}
        return [weight for weight in self.weights if id(weight) not in trainable]

    def get_weights(self) -> list[np.ndarray]:
        """Copies of all weights as arrays, in the order of `weights`."""
        return [weight.numpy() for weight in self.weights]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Replace all weights by arrays in the order, shapes and gate layout of `get_weights` (which are Keras's).

        Raises ShapeError, and changes nothing, when the number of arrays or one of the shapes is wrong.
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
        for weight, array in zip(own, arrays, strict=True):
            weight.assign(array)

    def reset_states(self) -> None:
        """Let the next call of every stateful layer inside start from zeros, with any batch size."""
        for layer in self.sublayers():
            layer.reset_states()

    def reset_state(self) -> None:
        """The same, by Keras's other name."""
        self.reset_states()

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

    # -------------------------------------------------------------- the call

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Apply the layer to symbolic tensors (symbolic tensors come back) or to arrays (arrays come back)."""
        leaves = flatten((args, kwargs))
        inputs = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        if wrong := next((leaf for leaf in leaves if isinstance(leaf, Layer)), None):
            raise ArgumentError(
                f"{self.name} was called on the layer {wrong.name}, not on a tensor",
                place=caller(),
                remedy=f"call the inner layer first: {self.name}({wrong.name}(x))",
            )
        if not inputs:
            return execution.call_on_arrays(self, args, kwargs)
        call = new_call(self, len(self._calls), inputs, args, kwargs)
        if self.autocast:
            cast = [self._to_own_type(leaf) for leaf in leaves]
            args, kwargs = rebuild((args, kwargs), cast)
        with scope(self.name):
            self._ensure_built(args)
            mask, masks = self._masks(args, kwargs)
            training = is_training(kwargs.get("training"))
            with inside_layer(), phase(training):
                result = self.call(*args, **self._known_to_call({**kwargs, **masks}, training))
            result = result if is_inside_layer() else self._recorded(call, result)
            return result if mask is None else self._masked(args, result, mask)

    def _masks(self, args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """The mask (or masks) of the first argument, and the masks that `call` gets when none is given.

        As in Keras: a `call` of one tensor gets what the tensor carries as `mask`. A `call` of several tensors gets
        nothing of that name, but what the argument `x` carries as `x_mask`, if it has such a parameter.
        """
        parameters = inspect.signature(self.call).parameters
        if kwargs.get("mask") is not None:
            if not self._passes_masks() and "mask" not in parameters:
                raise no_mask(self.name, type(self).__name__)
            return kwargs["mask"], {}
        tensors = self._tensor_arguments(args, kwargs)
        names = {"mask": next(iter(tensors))} if len(tensors) == 1 else {f"{name}_mask": name for name in tensors}
        masks = {name: masks_of(tensors[argument]) for name, argument in names.items() if kwargs.get(name) is None}
        known = {name: mask for name, mask in masks.items() if name in parameters and mask is not None}
        return masks_of(args[0] if args else None), known

    def _tensor_arguments(self, args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments of a call that are, or hold, tensors."""
        given = {**dict(zip(inspect.signature(self.call).parameters, args, strict=False)), **kwargs}
        return {name: item for name, item in given.items() if any(isinstance(leaf, Tensor) for leaf in flatten(item))}

    def _passes_masks(self) -> bool:
        return self.supports_masking or type(self).compute_mask is not Layer.compute_mask

    def _masked(self, args: Sequence[Any], result: Any, mask: Any) -> Any:
        """`result` with the masks that follow from `mask`, that of the first argument."""
        if self._passes_masks():
            tensors = [leaf for leaf in flatten(args) if isinstance(leaf, Tensor)]
            return with_masks(result, self.compute_mask(args[0], mask), tensors)
        if all(leaf.mask is None for leaf in flatten(result)):
            warn_of_loss(self.name, type(self).__name__)
        return result

    def _known_to_call(self, kwargs: dict[str, Any], training: bool | None) -> dict[str, Any]:
        """`kwargs` with `training` when that is known, without it and `mask` when `call` does not take them."""
        parameters = inspect.signature(self.call).parameters
        if training is not None and "training" in parameters:
            kwargs = {**kwargs, "training": training}
        if any(item.kind is inspect.Parameter.VAR_KEYWORD for item in parameters.values()):
            return kwargs
        return {name: value for name, value in kwargs.items() if name in parameters or name not in ("training", "mask")}

    def _to_own_type(self, leaf: Any) -> Any:
        if not isinstance(leaf, Tensor) or not leaf.dtype.is_float or leaf.dtype is self.dtype:
            return leaf
        converted = ops.cast(leaf, self.dtype)
        converted.name, converted.mask = leaf.name, leaf.mask
        return converted

    def _ensure_built(self, args: Sequence[Any]) -> None:
        first = args[0] if args else None
        if isinstance(first, Tensor) and self.input_spec is not None:
            check_input(self.name, type(self).__name__, self.input_spec, first)
        if not self.built:
            self.build(shapes_of(first))
            self.built = True

    def _recorded(self, call: LayerCall, result: Any) -> Any:
        """`result` with the history of `call` on every tensor; a tensor that belongs elsewhere is copied first."""
        leaves = flatten(result)
        names = [getattr(leaf, "name", "") for leaf in leaves]
        outputs: list[Tensor] = []
        for position, (leaf, name) in enumerate(zip(leaves, names, strict=True)):
            if not isinstance(leaf, Tensor):
                raise ArgumentError(
                    f"call() of {type(self).__name__} must return symbolic tensors, not {type(leaf).__name__}",
                    place=caller(),
                )
            taken = leaf.history is not None or leaf.origin is None or any(leaf is tensor for tensor in call.inputs)
            tensor = ops.copy(leaf) if taken else leaf
            tensor.mask = leaf.mask
            is_named = leaf.origin is not None and name != leaf.origin.op.name
            tensor.name = self.name if position == 0 else name if is_named else f"{self.name}_{position}"
            tensor.history = History(call, position)
            outputs.append(tensor)
        self._calls.append((call, tuple(outputs)))
        return rebuild(result, outputs)

    # -------------------------------------------------------------- shapes of the calls so far

    @property
    def output(self) -> Any:
        """The output tensor of the only call, or a list of them."""
        return _one_or_list(self._only_call()[1])

    @property
    def input(self) -> Any:
        """The input tensor of the only call, or a list of them."""
        return _one_or_list(self._only_call()[0].inputs)

    @property
    def output_shape(self) -> Any:
        """Shape of the output with None for what is not fixed; a list of shapes for several outputs."""
        return _one_or_list([tensor.shape for tensor in self._only_call()[1]])

    @property
    def input_shape(self) -> Any:
        """Shape of the input with None for what is not fixed; a list of shapes for several inputs."""
        return _one_or_list([tensor.shape for tensor in self._only_call()[0].inputs])

    def _only_call(self) -> tuple[LayerCall, tuple[Tensor, ...]]:
        shapes = {tuple(tensor.shape for tensor in outputs) for _, outputs in self._calls}
        if len(shapes) != 1:
            count = "was not called yet" if not shapes else f"was called {len(self._calls)} times, on different shapes"
            raise StructureError(
                f"{self.name} {count}: it has no single input and output",
                place=caller(),
                remedy="ask the tensors that the calls returned for their shapes",
            )
        return self._calls[0]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


def _numbered(name: str, taken: Sequence[str]) -> str:
    return next(
        each for each in (name, *(f"{name}_{number}" for number in range(1, len(taken) + 1))) if each not in taken
    )


def _one_or_list(items: Sequence[Any]) -> Any:
    return items[0] if len(items) == 1 else list(items)


def _like(argument: Any) -> Any:
    return argument.like(argument.name) if isinstance(argument, Layer) else argument


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
            remedy="give what get_weights() returned, or arrays in the same order",
        )
    arrays = []
    for number, item in enumerate(given):
        try:
            arrays.append(np.asarray(item))
        except ValueError:
            raise ShapeError(f"array {number} for {name} has rows of different lengths", place=caller()) from None
    return arrays


def _transposed(needed: tuple[int, ...], given: tuple[int, ...]) -> str:
    if given == needed[::-1]:
        return "it looks transposed: Keras's kernels have a row for each input (PyTorch's have a column)"
    return "compare with the shapes of get_weights()"


def _checked_name(kind: str, name: object) -> str:
    if not isinstance(name, str) or not name or "/" in name:
        raise ArgumentError(f"name of {kind} must be a string without '/'", f"name: {name!r}", place=caller())
    return name


def _float_type(kind: str, dtype: Any) -> DType:
    if dtype is None:
        return DType.F32
    if dtype in ("float16", "bfloat16", "mixed_float16", "mixed_bfloat16"):
        raise UnsupportedError(f"{kind} does not compute in {dtype} yet", place=caller(), remedy="use float32")
    found = dtype_of(dtype)
    if not found.is_float:
        raise ArgumentError(
            f"dtype of {kind} is the type of its weights and must be a float type",
            f"dtype: {dtype!r}",
            place=caller(),
            remedy="use float32 or float64; the type of an input is given to Input",
        )
    return found
