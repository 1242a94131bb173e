"""Model: inputs, outputs and the layers between them. It is a layer itself, so models nest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, SupportsIndex

import numpy as np

import rnncc.layers.execution as execution
from rnncc.arrays import PAD_ROWS, as_numpy
from rnncc.errors import ArgumentError, UnsupportedError, caller, nearest
from rnncc.graph.arguments import spread_arguments
from rnncc.graph.ir import Graph
from rnncc.graph.printer import show as show_graph
from rnncc.graph.symbolic import Tensor
from rnncc.graph.trace import build_graph
from rnncc.layers.base import Layer
from rnncc.layers.connected import check_connected, check_inputs, check_names, item_text, tensors_of
from rnncc.layers.habits import KEEP_WEIGHTS
from rnncc.layers.history import inside_layer, layer_outputs, network
from rnncc.layers.inputs import InputLayer, decide_inputs, is_undecided
from rnncc.layers.masks import as_mask
from rnncc.layers.nested import mapped, one_or_list, shapes_of
from rnncc.layers.owner import building
from rnncc.layers.replay import replay
from rnncc.layers.stateful import StateSlot, states_of
from rnncc.layers.subclassed import Program
from rnncc.layers.summary import Row, print_summary
from rnncc.numeric import whole_number
from rnncc.ops import functions as ops
from rnncc.ops.structure import arranged, flatten, outline, rebuild


class Model(Layer):
    """A network of layers with fixed inputs and outputs, to be called on arrays or used as a layer.

    A class of your own that derives from it has a `call` instead, which computes with layers and `rnncc.ops`: it is
    traced when the model is called on arrays (or by ``build((None, None, 8))``), and compiled like any other model.

    Args:
        inputs: The input, or a list (or dict) of inputs, each from `layers.Input`; None for a class with a `call`.
            The keys of a dict are the names of its inputs, and their order is that of sorted keys.
        outputs: The output, or a list (or dict) of outputs: symbolic tensors that are computed from the inputs. Calls
            give them in the same structure.
        name: The model's name; by default model, model_1, ...
        trainable: Whether the weights count as trainable.
        dtype: Element type of weights that a class with a `call` has itself.

    Attributes:
        layers: all layers, those farthest from the outputs first.
        inputs: the symbolic inputs.
        outputs: the symbolic outputs.
        input_shape: shape of the input, or a list of shapes; None for what is bound at the call.
        output_shape: the same for the output.
        weights: all weights, named, in Keras's order.

    Raises:
        StructureError: an output needs an Input that is not among `inputs`, or an input is not used by any output.

    Example:
        >>> tokens = layers.Input(shape=(None,), name="tokens")
        >>> x = layers.Embedding(1000, 64)(tokens)
        >>> output, state = layers.GRU(32, return_state=True)(x)
        >>> model = rnncc.Model(tokens, [output, state])
        >>> [y.shape for y in model(np.zeros((2, 5), int))]
        [(2, 32), (2, 32)]
        >>> [y.shape for y in model(tokens=[[1, 2, 3]])]
        [(1, 32), (1, 32)]
        >>> class Tagger(rnncc.Model):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.encode = layers.GRU(16, return_sequences=True)
        ...         self.decide = layers.Dense(3)
        ...
        ...     def call(self, x):
        ...         return self.decide(self.encode(x))
        >>> tagger = Tagger()
        >>> tagger(np.zeros((2, 5, 8), "float32")).shape
        (2, 5, 3)
        >>> rnncc.compile(tagger)(np.zeros((1, 9, 8), "float32")).shape
        (1, 9, 3)
    """

    autocast = False
    _noun = "model"

    _program: Program[Model] | None = None
    """For a class with a `call`: what that is traced into."""

    _is_traced = False
    """True for what a class with a `call` is traced into: not all that it is given need be used."""

    _output_structure: Any = None

    _input_names: Sequence[str] = ()
    """The keys of a dict of inputs, or what a `call` has for names; else inputs have their own."""

    def __init__(
        self,
        inputs: Any = None,
        outputs: Any = None,
        name: str | None = None,
        *,
        trainable: bool = True,
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, trainable=trainable, dtype=dtype)
        self._variants: dict[bool, _Variant] = {}
        if inputs is None and outputs is None and type(self).call is not Model.call:
            self._program = Program(self, partial(_network_of, self.name))
            return
        self._inputs = tensors_of("inputs", inputs)
        self._outputs = tensors_of("outputs", outputs)
        self._output_structure = outline(outputs)
        if isinstance(inputs, dict):
            self._input_names = sorted(inputs)
        check_inputs(self.name, self._inputs)
        calls = network(self._outputs)
        check_connected(self.name, self._inputs, self._outputs, calls, needs_all=not self._is_traced)
        self._network = calls
        self._layers = list(dict.fromkeys(call.layer for call in calls))
        check_names(self.name, self._layers)
        self.built = True

    # -------------------------------------------------------------- parts

    @property
    def layers(self) -> list[Layer]:
        """All layers, those farthest from the outputs first; of a class with a `call`, its attributes."""
        return list(self._layers if self._program is None else super().sublayers())

    def sublayers(self) -> Iterator[Layer]:
        """The same: what weights are collected from."""
        return iter(self.layers)

    @property
    def inputs(self) -> list[Tensor]:
        """The symbolic inputs."""
        return list(self._inputs if self._program is None else self._program.latest.inputs)

    @property
    def outputs(self) -> list[Tensor]:
        """The symbolic outputs."""
        return list(self._outputs if self._program is None else self._program.latest.outputs)

    @property
    def input(self) -> Any:
        """The only input, or a list of them."""
        return one_or_list(self.inputs)

    @property
    def output(self) -> Any:
        """The only output, or a list of them."""
        return one_or_list(self.outputs)

    @property
    def input_shape(self) -> Any:
        """Shape of the input, or a list of shapes; None for what is bound at the call."""
        return one_or_list([tensor.shape for tensor in self.inputs])

    @property
    def output_shape(self) -> Any:
        """Shape of the output, or a list of shapes; None for what is bound at the call."""
        return one_or_list([tensor.shape for tensor in self.outputs])

    @property
    def output_structure(self) -> Any:
        """The structure in which calls give the outputs, with their numbers; None for a single one, or a list."""
        return self._output_structure if self._program is None else self._program.output_structure

    @property
    def weights_version(self) -> int:
        """Grows with every assignment to a weight."""
        return sum(weight.version for weight in self.weights)

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """The layer with this name or index. Raises ArgumentError when there is none."""
        if (name is None) == (index is None):
            raise ArgumentError("get_layer needs a name or an index", place=caller())
        layers = self.layers
        if index is not None:
            if not -len(layers) <= index < len(layers):
                what = f"{self.name} has {len(layers)} layers: there is no layer {index}"
                raise ArgumentError(what, place=caller())
            return layers[index]
        names = [layer.name for layer in layers]
        if name not in names:
            meant = nearest(str(name), names)
            raise ArgumentError(
                f"{self.name} has no layer {name!r}",
                f"layers: {', '.join(names) or 'none'}",
                place=caller(),
                remedy=f"did you mean {meant!r}?" if meant else None,
            )
        return layers[names.index(name)]

    def graph(self, training: bool = False) -> Graph:
        """The graph IR of the model, as declared: what `rnncc.compile` starts from. Weights are its constants.

        The states of stateful layers are inputs and outputs behind the others; calling the model takes care of them.
        With `training`, the layers are called for training: dropout has a hidden input for each of its keys.
        """
        if self._program is not None:
            return self._program.network(training).graph()
        return self._variant(training).made

    @property
    def state_slots(self) -> list[StateSlot]:
        """The states that stateful layers keep between calls: the last inputs and outputs of `graph`."""
        if self._program is not None:
            return self._program.state_slots
        return self._variant(False).state_slots

    def _variant(self, training: bool) -> _Variant:
        """The graph and what runs it, made once; that for training is the other one where there is no difference."""
        if training not in self._variants:
            with building:
                if training not in self._variants:
                    variant = self._made_variant(training)
                    other = self._variant(False) if training else variant
                    self._variants[training] = other if show_graph(variant.made) == show_graph(other.made) else variant
        return self._variants[training]

    def _made_variant(self, training: bool) -> _Variant:
        outputs = self.outputs
        if training:
            with inside_layer():
                outputs = replay(self.name, self.inputs, outputs, self.inputs, {"training": True})
        states = states_of(outputs)
        inputs = [*self.inputs, *(before for before, _ in states)]
        graph = build_graph(self.name, inputs, [*outputs, *(after for _, after in states)], self._input_names)
        graph = decide_inputs(graph, [is_undecided(tensor) for tensor in inputs])
        return _Variant(graph, [before.slot for before, _ in states], self._output_structure)

    def build(self, input_shape: Any) -> None:
        """For a class with a `call`: trace it for inputs of this shape (a list or dict of them), batch included."""
        if self._program is not None:
            self._program.trace(input_shape)

    def _ensure_built(self, args: Sequence[Any]) -> None:
        """A class of a user's own may have a `build` of its own; all else is built by calling it."""
        with building:
            if not self.built:
                self.built = True
                if type(self).build is not Model.build:
                    self.build(shapes_of(args[0] if args else None))

    # -------------------------------------------------------------- calls

    def __call__(self, /, *inputs: Any, training: bool | None = None, mask: Any = None, **named: Any) -> Any:
        """Run the model on arrays (compiled at the first call), or apply it to symbolic tensors as a layer.

        Inputs are given one by one, as a list, as a dict, or by name. Arrays in, arrays out: one, or a list for a
        model with several outputs, or what structure they were declared in.
        """
        if self._program is not None:
            options = {"training": training, "mask": mask}
            named = {**named, **{key: item for key, item in options.items() if item is not None}}
            if any(isinstance(leaf, Tensor) for leaf in flatten((inputs, named))):
                return super().__call__(*inputs, **named)
            return self._program.run(inputs, named)
        given, by_name = self._arguments(inputs, named)
        if any(isinstance(item, Tensor) for item in (*given, *by_name.values())):
            tensors = self._in_order(given, by_name)
            return super().__call__(*tensors, training=training, **({} if mask is None else {"mask": mask}))
        if mask is not None:
            return execution.call_on_arrays(self, given, {**by_name, "mask": mask, "training": training})
        return self._run(given, by_name, bool(training))

    def predict(self, x: Any, batch_size: int | None = None, verbose: Any = "auto") -> Any:
        """Outputs for arrays of samples.

        Args:
            x: an array, a list of arrays for several inputs, or a dict of them by name.
            batch_size: how many samples to compute at a time; None for all at once. It limits memory and changes no
                result, but for stateful models: as in Keras, each batch goes on from the states of the one before.
            verbose: accepted as in Keras; nothing is printed.

        Returns:
            An array, or a list of them for a model with several outputs.
        """
        given, by_name = self._arguments((x,), {}) if self._program is None else ([x], {})
        if batch_size is None:
            return self._run(given, by_name)
        size = whole_number(batch_size, 1)
        if size is None:
            what = "batch_size of predict must be a whole number above 0, or None"
            raise ArgumentError(what, f"batch_size: {batch_size!r}", place=caller())
        ours = partial(as_numpy, f"an input of {self.name}", ragged=PAD_ROWS)
        as_leaf = ours if self._program is None else partial(execution.as_array, self.name)
        arrays, named = [as_leaf(item) for item in given], {name: as_leaf(item) for name, item in by_name.items()}
        rows = {len(array) if np.ndim(array) else -1 for array in flatten((arrays, named))}
        if len(rows) != 1 or max(rows) <= size:
            return self._run(arrays, named)
        if self.state_slots and max(rows) % size:
            raise ArgumentError(
                f"{self.name} is stateful: every batch of predict must be as large as the one before",
                f"samples: {max(rows)}, batch_size: {size}, {max(rows) % size} left over",
                place=caller(),
                remedy="take a batch_size that divides the number of samples, or None for all at once",
            )
        parts = []
        for start in range(0, max(rows), size):
            part = slice(start, start + size)
            parts.append(self._run(*mapped((arrays, named), lambda array: array[part])))  # noqa: B023
            self._check_rows(flatten(parts[-1]), min(max(rows) - start, size))
        return rebuild(parts[0], [np.concatenate(column) for column in zip(*map(flatten, parts), strict=True)])

    def _check_rows(self, outputs: Sequence[np.ndarray], rows: int) -> None:
        """Raise when one of the outputs for so many samples is not one row for each."""
        for tensor, output in zip(self.outputs, outputs, strict=True):
            if np.ndim(output) == 0 or len(output) != rows:
                raise ArgumentError(
                    f"the output {tensor.name} of {self.name} has no batch axis: it cannot be computed batch by batch",
                    f"samples: {rows}, shape of the output: {np.shape(output)}",
                    place=caller(),
                    remedy="leave batch_size out, or call the model",
                )

    def call(self, *inputs: Tensor, mask: Any = None, training: bool | None = None) -> Any:
        """The model's network on other symbolic tensors, or on arrays.

        Layers follow the masks that the tensors carry, or that are given: one, or a list with a mask or None for each
        input.
        """
        if not any(isinstance(leaf, Tensor) for leaf in flatten(inputs)):
            return self(*inputs, mask=mask, training=training)
        masks = [None] * len(inputs) if mask is None else list(mask) if isinstance(mask, list | tuple) else [mask]
        if len(masks) != len(inputs):
            raise ArgumentError(
                f"mask of {self.name} must have one entry for each input",
                f"inputs: {', '.join(tensor.name for tensor in self.inputs)}",
                f"masks:  {len(masks)}",
                place=caller(),
                remedy="pass a list with a mask, or None, for each input",
            )
        given = []
        for tensor, value, own in zip(inputs, self.graph().inputs, masks, strict=False):
            given.append(ops.copy(tensor) if tensor.dtype is value.type.dtype else ops.cast(tensor, value.type.dtype))
            given[-1].name, given[-1].mask = tensor.name, tensor.mask if own is None else as_mask(own)
        outputs = replay(self.name, self.inputs, self.outputs, given, {"training": training})
        return arranged(outputs, self._output_structure)

    def _masks(self, args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Nothing to do: the layers inside take the masks from the tensors, and their outputs carry theirs."""
        return (None, {}) if self._program is None else super()._masks(args, kwargs)

    def _run(self, given: Sequence[Any], named: dict[str, Any], training: bool = False) -> Any:
        if self._program is not None:
            return self._program.run(given, named)
        compiler, variant = execution.current_compiler(), self._variant(training)
        if variant.executable is None or variant.executable[0] is not compiler:
            variant.executable = (compiler, compiler(self if variant is self._variant(False) else variant))
        return variant.executable[1](*given, **named)

    def _arguments(self, inputs: Sequence[Any], named: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """One item per input from Keras's ways to give them: one by one, a list, a dict."""
        return spread_arguments([tensor.ndim for tensor in self.inputs], inputs, named)

    def _in_order(self, given: Sequence[Any], named: dict[str, Any]) -> list[Any]:
        names = self._input_names or [tensor.name for tensor in self.inputs]
        items = dict(zip(names, given, strict=False)) | named
        wrong = [name for name, item in items.items() if name not in names or not isinstance(item, Tensor)]
        if wrong or len(given) > len(names) or len(items) != len(names):
            raise ArgumentError(
                f"{self.name} takes {len(names)} input{'s' if len(names) > 1 else ''}: {', '.join(names)}",
                f"given: {', '.join(map(item_text, (*given, *named.values())))}",
                place=caller(),
                remedy="pass one symbolic tensor for each input",
            )
        return [items[name] for name in names]

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        what = f"the model {self.name} cannot be pickled or copied"
        raise UnsupportedError(what, place=caller(), remedy=KEEP_WEIGHTS)

    # -------------------------------------------------------------- summary

    def summary(self, print_fn: Callable[[str], object] = print) -> None:
        """Print a table of the layers: names, output shapes, numbers of parameters and, unless the layers form a
        chain, what each layer is connected to.

        Args:
            print_fn: called with each line of the table.
        """
        print_summary(self, self._rows(), is_chain=self._is_chain(), print_fn=print_fn)

    def _rows(self) -> list[Row]:
        if self._program is not None:
            return self._program.latest._rows()
        calls = {id(layer): [call for call in self._network if call.layer is layer] for layer in self._layers}
        rows = []
        for layer in self._layers:
            parents = [str(parent) for call in calls[id(layer)] for parent in layer_outputs(call.inputs)]
            rows.append(Row(layer, _shape_text(layer), tuple(parents)))
        return rows

    def _is_chain(self) -> bool:
        """True when every layer is called once, on the output of the one before."""
        if self._program is not None:
            return self._program.latest._is_chain()
        each_once = len(self._network) == len(self._layers)
        parents = [layer_outputs(call.inputs) for call in self._network]
        follows = all(
            len(found) == 1 and found[0].call is before
            for found, before in zip(parents[1:], self._network, strict=False)
        )
        return each_once and follows and len(self._inputs) == 1


class _Traced(Model):
    """What a class with a `call` is traced into."""

    _is_traced = True


def _network_of(name: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor], names: Sequence[str]) -> Model:
    model = _Traced(list(inputs), list(outputs), name=name)
    model._input_names = names
    return model


@dataclass(slots=True)
class _Variant:
    """A model for training or for inference, as the compiler takes it, and what that made of it."""

    made: Graph
    state_slots: list[StateSlot]
    output_structure: Any
    executable: tuple[object, execution.Executable] | None = None

    def graph(self) -> Graph:
        """The graph as declared."""
        return self.made


def _shape_text(layer: Layer) -> str:
    """The output shape of a layer as Keras 2 writes it: a list for inputs and for several outputs."""
    shapes = {tuple(tensor.shape for tensor in outputs) for _, outputs in layer._calls}
    if len(shapes) != 1:
        return "multiple"
    (only,) = shapes
    return str(list(only)) if isinstance(layer, InputLayer) or len(only) > 1 else str(only[0])
