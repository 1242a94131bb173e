"""StackedRNNCells: several cells as one, each taking the output of the one before, all in one loop over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rnncc.errors import ArgumentError, caller
from rnncc.graph.symbolic import Tensor
from rnncc.layers.base import Layer
from rnncc.layers.states import as_list, zero_states
from rnncc.ops.structure import flatten


class StackedRNNCells(Layer):
    """A stack of cells that acts as one cell; `RNN` makes one of a list of cells.

    Args:
        cells: The cells, the one nearest to the input first.
        dtype: Element type of the weights and states: "float32" (the default) or "float64".
        name: The layer's name; by default stacked_rnn_cells, stacked_rnn_cells_1, ...

    Call arguments:
        inputs: floats of shape ``(batch, width)``.
        states: a list with the states of each cell.

    Returns:
        The output of the last cell, and the list of new states.

    Raises:
        ArgumentError: there are no cells, or one of them has no `state_size`.

    Example:
        >>> stack = layers.StackedRNNCells([layers.LSTMCell(4), layers.GRUCell(3)])
        >>> layers.RNN(stack)(layers.Input(shape=(None, 8))).shape
        (None, 3)
        >>> output, (h, c), g = layers.RNN(stack, return_state=True)(np.zeros((2, 5, 8)))
        >>> output.shape, h.shape, c.shape
        ((2, 3), (2, 4), (2, 4))

    Source: Keras 3, ``keras.layers.StackedRNNCells``.
    """

    def __init__(self, cells: Sequence[Any], *, dtype: Any = None, name: str | None = None) -> None:
        super().__init__(dtype=dtype, name=name)
        if not isinstance(cells, list | tuple) or not cells:
            raise ArgumentError("StackedRNNCells needs a list of cells", f"cells: {cells!r}", place=caller())
        for cell in cells:
            if not isinstance(cell, Layer) or not hasattr(cell, "state_size"):
                raise ArgumentError(
                    "each of the cells of StackedRNNCells must be a layer with an attribute state_size",
                    f"given: {cell!r}",
                    place=caller(),
                    remedy="for example RNN([LSTMCell(64), LSTMCell(64)])",
                )
        self.cells = list(cells)

    @property
    def state_size(self) -> list[Any]:
        """The state size of each cell."""
        return [cell.state_size for cell in self.cells]

    @property
    def output_size(self) -> int:
        """Size of the output of the last cell."""
        return output_size(self.cells[-1])

    @property
    def dropout(self) -> float:
        """The largest share of inputs that a cell drops in training."""
        return float(max(getattr(cell, "dropout", 0.0) for cell in self.cells))

    @property
    def recurrent_dropout(self) -> float:
        """The largest share of a state that a cell drops in training."""
        return float(max(getattr(cell, "recurrent_dropout", 0.0) for cell in self.cells))

    def get_initial_state(self, batch_size: Any) -> list[Any]:
        """The states of each cell before the first step."""
        return [zero_states(cell, batch_size, self.dtype) for cell in self.cells]

    def build(self, input_shape: Any) -> None:
        """Create the weights of every cell for the width of its input."""
        for cell in self.cells:
            cell.dtype = self.dtype
            cell.path = f"{self.path}/{cell.name}"
            if not cell.built:
                cell.build(input_shape)
            input_shape = (None, output_size(cell))

    def call(self, inputs: Tensor, states: Sequence[Any]) -> tuple[Tensor, list[Any]]:
        """One step of every cell, in order."""
        new_states = []
        for cell, own in zip(self.cells, states, strict=True):
            inputs, new = cell(inputs, own)
            new_states.append(as_list(new))
        return inputs, new_states


def output_size(cell: Any) -> int:
    """Size of what a cell puts out: its `output_size`, or that of its first state."""
    size: Any = getattr(cell, "output_size", None)
    if size is None:
        size = flatten(cell.state_size)[0]
    return int(size)
