"""Layer: what all layers share. Names, checks of inputs, masks, and the call on symbolic tensors or on arrays."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, Self

import rnncc.layers.execution as execution
from rnncc.errors import ArgumentError, MemberError, StructureError, UnsupportedError, caller
from rnncc.graph.symbolic import Tensor, scope, shown
from rnncc.layers.habits import INSTEAD
from rnncc.layers.history import History, LayerCall, inside_layer, is_inside_layer, new_call
from rnncc.layers.masks import masks_of, no_mask, warn_of_loss, with_masks
from rnncc.layers.naming import snake_case, unique_name
from rnncc.layers.nested import one_or_list, shapes_of
from rnncc.layers.owner import OwnsWeights, building
from rnncc.layers.phase import is_training, phase
from rnncc.layers.specs import InputSpec, check_input, not_one_tensor
from rnncc.ops import functions as ops
from rnncc.ops.structure import flatten, is_nested, rebuild
from rnncc.types import DType, dtype_of


class Layer(OwnsWeights):
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

    _noun = "layer"
    """What errors call it."""

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
        super().__init__(
            self._default_name() if name is None else _checked_name(type(self).__name__, name),
            _float_type(type(self).__name__, dtype),
            trainable,
        )
        self.activity_regularizer = activity_regularizer
        self.input_spec: InputSpec | None = None
        self.declared_shape = (None, *input_shape) if input_shape is not None else batch_input_shape
        self._calls: list[tuple[LayerCall, tuple[Tensor, ...]]] = []

    def __init_subclass__(cls) -> None:
        """A layer is built when its `build` was called, whoever called it: often it is the `build` of one around it."""
        super().__init_subclass__()
        if "build" in vars(cls):
            setattr(cls, "build", _marking(vars(cls)["build"]))  # noqa: B010

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
        self.built = True

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

    # -------------------------------------------------------------- layers inside

    def sublayers(self) -> Iterator[Layer]:
        """Layers that are attributes of this one (or in a list, tuple or dict that is)."""
        for value in vars(self).values():
            items = list(value.values()) if isinstance(value, dict) else value
            for item in items if isinstance(items, list | tuple) else (items,):
                if isinstance(item, Layer):
                    yield item

    def reset_states(self) -> None:
        """Let the next call of every stateful layer inside start from zeros, with any batch size."""
        for layer in self.sublayers():
            layer.reset_states()

    def reset_state(self) -> None:
        """The same, by Keras's other name."""
        self.reset_states()

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
            signature = inspect.signature(self.call)
            self._check_single(signature, args)
            self._ensure_built(args)
            mask, masks = self._masks(args, kwargs)
            training = is_training(kwargs.get("training"))
            with inside_layer(), phase(training):
                named = self._known_to_call({**kwargs, **masks}, training)
                self._check_takes(signature, args, named)
                result = self.call(*args, **named)
            result = result if is_inside_layer() else self._recorded(call, result)
            return result if mask is None else self._masked(args, result, mask)

    def _masks(self, args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """The mask (or masks) of the first argument, and the masks that `call` gets when none is given.

        As in Keras: a `call` of one tensor gets what the tensor carries as `mask`. A `call` of several tensors gets
        nothing of that name, but what the argument `x` carries as `x_mask`, if it has such a parameter.
        """
        parameters = self._parameters
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
        given = {**dict(zip(self._parameters, args, strict=False)), **kwargs}
        return {name: item for name, item in given.items() if any(isinstance(leaf, Tensor) for leaf in flatten(item))}

    @property
    def _parameters(self) -> Mapping[str, inspect.Parameter]:
        """Those of this layer's `call`."""
        return inspect.signature(self.call).parameters

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
        parameters = self._parameters
        if training is not None and "training" in parameters:
            kwargs = {**kwargs, "training": training}
        if any(item.kind is inspect.Parameter.VAR_KEYWORD for item in parameters.values()):
            return kwargs
        return {name: value for name, value in kwargs.items() if name in parameters or name not in ("training", "mask")}

    def _check_single(self, signature: inspect.Signature, args: Sequence[Any]) -> None:
        """Raise when several tensors come for a first argument of `call` that is declared to be one."""
        declared = [parameter.annotation for parameter in signature.parameters.values()][:1]
        if declared and declared[0] in ("Tensor", Tensor) and args and is_nested(args[0]):
            tensors = [shown(leaf) for leaf in flatten(args[0]) if isinstance(leaf, Tensor)]
            raise not_one_tensor(self.name, type(self).__name__, args[0], *tensors)

    def _check_takes(self, signature: inspect.Signature, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        """Raise when `call` does not take these: a TypeError of the call itself can then only come from inside."""
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            plain = (str(item.replace(annotation=item.empty)) for item in signature.parameters.values())
            raise ArgumentError(
                f"{self.name} ({type(self).__name__}) does not take what it was called with: {error}",
                f"it takes: {', '.join(plain)}",
                place=caller(),
            ) from None

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
        with building:
            if not self.built:
                self.build(shapes_of(first))

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
        return one_or_list(self._only_call()[1])

    @property
    def input(self) -> Any:
        """The input tensor of the only call, or a list of them."""
        return one_or_list(self._only_call()[0].inputs)

    @property
    def output_shape(self) -> Any:
        """Shape of the output with None for what is not fixed; a list of shapes for several outputs."""
        return one_or_list([tensor.shape for tensor in self._only_call()[1]])

    @property
    def input_shape(self) -> Any:
        """Shape of the input with None for what is not fixed; a list of shapes for several inputs."""
        return one_or_list([tensor.shape for tensor in self._only_call()[0].inputs])

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

    if not TYPE_CHECKING:  # else no name would ever be unknown

        def __getattr__(self, name: str) -> Any:
            kind = type(self).__name__
            if "_calls" not in vars(self) and not name.startswith("__"):
                raise MemberError(
                    f"the __init__ of {kind} has not called super().__init__()",
                    place=caller(),
                    remedy="call it before anything else",
                )
            if name in INSTEAD:
                raise MemberError(f"a {self._noun} of rnncc has no {name}", place=caller(), remedy=INSTEAD[name])
            raise AttributeError(f"{kind!r} object has no attribute {name!r}", name=name, obj=self)


def _marking(build: Callable[..., None]) -> Callable[..., None]:
    """`build`, after which a layer is built unless it failed."""

    @wraps(build)
    def marking(self: Layer, *args: Any, **kwargs: Any) -> None:
        before, self.built = self.built, True
        try:
            build(self, *args, **kwargs)
        except BaseException:
            self.built = before
            raise

    return marking


def _like(argument: Any) -> Any:
    return argument.like(argument.name) if isinstance(argument, Layer) else argument


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
