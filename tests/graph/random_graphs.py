"""Random graphs for fuzzing, and inputs for them.

A graph is made from a seed: elementwise chains, matmuls with weights, moves (reshape, transpose, slice, concatenate),
reductions, lookups, casts, masks, and scans with one to three states and random bodies, nested at most twice.

The numbers are tame, so that two ways to compute a graph in float32 can be compared:
- every float value is known to stay within a bound (what could grow is squashed by tanh);
- a jump (comparison, floor, argmax, cast to integer) is only ever made on *exact* values: integers, inputs, weights,
  and moved copies of them; so rounding never decides which way it goes.

Fixed dims are odd, and those of one graph differ; `random_extents` gives named ones other sizes (1 or even).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from rnncc import ops
from rnncc.graph.ir import ArraySource, Graph, is_scan
from rnncc.graph.symbolic import Tensor, input_tensor, weight_tensor
from rnncc.graph.trace import build_graph
from rnncc.ops.scan import scan
from rnncc.types import Dim, DType, TensorType, bind_shape

_FIXED = (3, 5, 7, 9, 15, 17, 33)
_NAMED_SIZES = (1, 2, 4, 6, 8, 10, 12)
_BOUND = 8.0
_IDS = 5  # integer inputs lie below
_COUNTER = 4  # an integer state counts to one less


@dataclass(frozen=True, slots=True)
class _Item:
    """A tensor to build with. Floats lie in [-bound, bound], integers in [0, bound)."""

    tensor: Tensor
    exact: bool
    bound: float

    @property
    def shape(self) -> tuple[Dim, ...]:
        return self.tensor.type.shape

    @property
    def dtype(self) -> DType:
        return self.tensor.dtype


def random_graph(seed: int, size: int | None = None) -> Graph:
    """A graph with about `size` random building blocks. Weights have payloads."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(3, 14)) if size is None else size
    maker = _Maker(rng)
    inputs = maker.inputs()
    for _ in range(count):
        maker.grow()
    return build_graph(f"random_{seed}", inputs, maker.results(np.random.default_rng(seed + 1)))


def graphs(max_size: int = 14) -> st.SearchStrategy[Graph]:
    """Random graphs for hypothesis; a failure shrinks to a small seed and size."""
    return st.builds(random_graph, st.integers(0, 10**6), st.integers(1, max_size))


def random_extents(graph: Graph, seed: int) -> dict[str, int]:
    """A size for every named extent, all different, none equal to a fixed dim of a random graph (1 comes up often)."""
    rng = np.random.default_rng(seed)
    sizes = rng.permutation(_NAMED_SIZES)
    if len(graph.extents) > len(sizes):
        sizes = rng.permutation(np.arange(1, 2 * len(graph.extents)))
    return {extent: int(size) for extent, size in zip(graph.extents, sizes, strict=False)}


def random_inputs(graph: Graph, extents: Mapping[str, int], seed: int, below: int = _IDS) -> list[np.ndarray]:
    """An array per parameter: the payload where a weight has one, otherwise moderate random numbers.

    Integers are less than `below` and valid for every table in the graph.
    """
    rng = np.random.default_rng(seed)
    rows = max(1, min([below, *_table_sizes(graph, extents)]))
    arrays = []
    for value in graph.parameters:
        source = graph.sources.get(value.name)
        dtype, shape = value.type.dtype, bind_shape(value.type.shape, extents)
        arrays.append(source.value if source is not None else random_array(rng, dtype, shape, rows))
    return arrays


def random_array(rng: np.random.Generator, dtype: DType, shape: tuple[int, ...], below: int = _IDS) -> np.ndarray:
    """Floats in [-1, 1), integers in [0, below), bools."""
    if dtype.is_float:
        return rng.uniform(-1, 1, shape).astype(dtype.numpy)
    return rng.integers(0, below if dtype.is_integer else 2, shape).astype(dtype.numpy)


def _table_sizes(graph: Graph, extents: Mapping[str, int]) -> Iterator[int]:
    for node in graph.nodes:
        if node.op.name == "take":
            yield bind_shape(node.inputs[0].type.shape[:1], extents)[0]
        if is_scan(node):
            yield from _table_sizes(node.attrs["body"], extents)


class _Maker:
    """Grows a pool of tensors; `outer` is the pool around a scan body."""

    def __init__(self, rng: np.random.Generator, outer: _Maker | None = None) -> None:
        self.rng = rng
        self.outer = outer
        self.depth: int = outer.depth + 1 if outer else 0
        self.pool: list[_Item] = []
        self.used: set[int] = set()
        self.fixed: list[int] = outer.fixed if outer else [int(dim) for dim in rng.permutation(_FIXED)[:4]]

    # -------------------------------------------------------------- the pool

    def inputs(self) -> list[Tensor]:
        d, k, *_ = self.fixed
        types = [
            TensorType(DType.F32, ("T", "B", d)),
            TensorType(DType.F32, ("B", "T", d)),
            TensorType(DType.F32, ("B", k)),
            TensorType(DType.F32, ("T", d)),
            TensorType(DType.I64, ("B", "T")),
            TensorType(DType.I64, ("T",)),
            TensorType(DType.F32, (k, d)),
            TensorType(DType.F32, ()),
        ]
        chosen = [types[int(self.rng.integers(2))], *(t for t in types[2:] if self.rng.random() < 0.4)]
        tensors = [input_tensor(type, f"in{number}") for number, type in enumerate(chosen)]
        for tensor in tensors:
            self.add(tensor, exact=True, bound=1.0 if tensor.dtype.is_float else _IDS)
        return tensors

    def add(self, tensor: Tensor, *, exact: bool = False, bound: float = 1.0) -> _Item:
        if tensor.dtype.is_float and bound > _BOUND:
            tensor, exact, bound = ops.tanh(tensor * (2 / bound)), False, 1.0
        item = _Item(tensor, exact, bound)
        self.pool.append(item)
        return item

    def pick(self, *, floats: bool = True, exact: bool = False, rank: int = 0) -> _Item | None:
        """A random item of the pool, sometimes of the pool around it."""
        pool = self.pool
        if self.outer and (self.rng.random() < 0.25 or not pool):
            pool = [*self.outer.pool, *pool]
        fitting = [
            item
            for item in pool
            if item.dtype.is_float == floats
            and item.dtype is not DType.BOOL
            and item.tensor.ndim >= rank
            and (item.exact or not exact)
        ]
        if not fitting:
            return None
        late = int(len(fitting) * self.rng.power(2))  # prefers what was made last, so that chains form
        self.used.add(id(fitting[late].tensor))
        return fitting[late]

    def weight(self, *shape: int) -> Tensor:
        scale = 1 / math.sqrt(shape[0])
        array = (self.rng.uniform(-1, 1, shape) * scale).astype(np.float32)
        return weight_tensor(TensorType(DType.F32, shape), "w", ArraySource(array))

    def dim(self) -> int:
        return int(self.rng.choice(self.fixed))

    def results(self, rng: np.random.Generator) -> list[Tensor]:
        """One to three tensors, those first that nothing else uses."""
        unused = [item.tensor for item in self.pool if id(item.tensor) not in self.used] or [self.pool[-1].tensor]
        count = min(len(unused), int(rng.integers(1, 4)))
        chosen = [unused[-1 - number] for number in range(count)]
        return [ops.cast(tensor, "f32") if tensor.dtype is DType.BOOL else tensor for tensor in chosen]

    def grow(self) -> None:
        """Add one building block."""
        blocks = [
            self.unary,
            self.binary,
            self.binary,
            self.matmul,
            self.matmul,
            self.batched_matmul,
            self.move,
            self.slice,
            self.concatenate,
            self.reduce,
            self.take,
            self.where,
            self.integers,
            self.convert,
            self.fill,
            self.normalize,
            self.scan,
            self.scan,
        ]
        blocks[int(self.rng.integers(len(blocks)))]()

    # -------------------------------------------------------------- building blocks

    def unary(self) -> None:
        item = self.pick()
        if item is None:
            return
        x, b = item.tensor, item.bound
        choices = [
            (ops.tanh, 1.0),
            (ops.sigmoid, 1.0),
            (ops.erf, 1.0),
            (ops.negative, b),
            (ops.abs, b),
            (ops.relu, b),
            (lambda x: ops.exp(x * (1 / b)), math.e),
            (lambda x: ops.log(ops.abs(x) + 0.5), 3.0),
            (lambda x: ops.sqrt(ops.abs(x) + 0.25), 3.0),
            (ops.square, b * b),
        ]
        function, bound = choices[int(self.rng.integers(len(choices)))]
        self.add(function(x), bound=bound)
        if item.exact and self.rng.random() < 0.3:
            self.add(ops.floor(x * 4.0), exact=True, bound=4 * b + 1)  # a product with 4 does not round

    def binary(self) -> None:
        left, right = self.pick(), self.pick()
        if left is None or right is None or not _broadcasts(left.shape, right.shape):
            return
        a, b = left.tensor, right.tensor
        choices = [
            (a + b, left.bound + right.bound),
            (a - b, left.bound + right.bound),
            (a * b, left.bound * right.bound),
            (ops.maximum(a, b), max(left.bound, right.bound)),
            (ops.minimum(a, b), max(left.bound, right.bound)),
            (a / (ops.abs(b) + 0.5), 2 * left.bound),
            (0.5 * a + 1, left.bound + 1),
        ]
        tensor, bound = choices[int(self.rng.integers(len(choices)))]
        self.add(tensor, bound=bound)

    def matmul(self) -> None:
        item = self.pick(rank=1)
        if item is None or not isinstance(item.shape[-1], int):
            return
        size = item.shape[-1]
        self.add(item.tensor @ self.weight(size, self.dim()), bound=item.bound * math.sqrt(size))

    def batched_matmul(self) -> None:
        item = self.pick(rank=3)
        if item is None:
            return
        lead = tuple(range(item.tensor.ndim - 2))
        turned = ops.transpose(item.tensor, (*lead, len(lead) + 1, len(lead)))
        self.add(item.tensor @ ops.tanh(turned) * 0.02, bound=item.bound)

    def move(self) -> None:
        item = self.pick(floats=self.rng.random() < 0.8, rank=1)
        if item is None:
            return
        x, shape = item.tensor, item.shape
        axis = int(self.rng.integers(len(shape)))
        dim = shape[axis]
        moved = [
            ops.transpose(x, [int(a) for a in self.rng.permutation(len(shape))]),
            ops.expand_dims(x, axis),
            ops.broadcast_to(x, (self.dim(), *shape)),
        ]
        if isinstance(dim, int) and dim % 3 == 0 and dim:
            moved.append(ops.reshape(x, (*shape[:axis], 3, dim // 3, *shape[axis + 1 :])))
        if axis + 1 < len(shape) and all(isinstance(d, int) for d in shape[axis : axis + 2]):
            moved.append(ops.reshape(x, (*shape[:axis], -1, *shape[axis + 2 :])))
        result = moved[int(self.rng.integers(len(moved)))]
        if result.ndim <= 4:
            self.add(result, exact=item.exact, bound=item.bound)

    def slice(self) -> None:
        item = self.pick(rank=1)
        if item is None:
            return
        key = []
        for dim in item.shape:
            if isinstance(dim, int) and dim > 1 and self.rng.random() < 0.6:
                start = int(self.rng.integers(dim))
                key.append(slice(start, int(self.rng.integers(start + 1, dim + 1))))
            else:
                key.append(slice(None))
        self.add(item.tensor[tuple(key)], exact=item.exact, bound=item.bound)

    def concatenate(self) -> None:
        item = self.pick(rank=1)
        axes = [axis for axis, dim in enumerate(item.shape) if isinstance(dim, int)] if item else []
        if item is None or not axes:
            return
        axis = int(self.rng.choice(axes))
        parts = [item.tensor, ops.tanh(item.tensor)]
        if self.rng.random() < 0.5:
            size = item.shape[axis]
            assert isinstance(size, int)
            parts.append(ops.zeros((*item.shape[:axis], 3, *item.shape[axis + 1 :])))
            parts.extend(ops.split(item.tensor, [size // 2], axis)[::-1])
        self.add(ops.concatenate(parts, axis), bound=max(1.0, item.bound))

    def reduce(self) -> None:
        item = self.pick(rank=1)
        if item is None:
            return
        axis, keep = int(self.rng.integers(item.tensor.ndim)), bool(self.rng.random() < 0.5)
        dim = item.shape[axis]
        size = dim if isinstance(dim, int) else max(_NAMED_SIZES)
        choice = int(self.rng.integers(3))
        if choice == 0:
            self.add(ops.sum(item.tensor, axis, keep) * (1.0 / max(size, 1)), bound=item.bound)
        elif choice == 1:
            self.add(ops.max(item.tensor, axis, keep), exact=item.exact, bound=item.bound)
        else:
            self.add(ops.min(item.tensor, axis, keep), exact=item.exact, bound=item.bound)

    def normalize(self) -> None:
        item = self.pick(rank=1)
        if item is None or not isinstance(item.shape[-1], int):
            return
        choice = int(self.rng.integers(4))
        if choice == 0:
            self.add(ops.softmax(item.tensor))
        elif choice == 1:
            self.add(ops.mean(item.tensor, -1, keepdims=True), bound=item.bound)
        elif choice == 2:
            self.add(ops.var(item.tensor, -1), bound=4 * item.bound**2)
        elif item.exact:
            self.add(ops.argmax(item.tensor, -1), exact=True, bound=item.shape[-1])

    def take(self) -> None:
        ids = self.pick(floats=False)
        if ids is None or ids.tensor.ndim > 2:
            return
        table = self.pick(rank=2)
        if table is not None and isinstance(table.shape[0], int) and table.shape[0] >= ids.bound:
            self.add(ops.take(table.tensor, ids.tensor), exact=table.exact, bound=table.bound)
        else:
            rows = int(ids.bound) + int(self.rng.integers(3))
            self.add(ops.take(self.weight(rows, self.dim()), ids.tensor), exact=True)

    def where(self) -> None:
        left, right = self.pick(), self.pick()
        probe = self.pick(floats=False) if self.rng.random() < 0.5 else self.pick(exact=True)
        if left is None or right is None or probe is None:
            return
        threshold = 1 if probe.dtype.is_integer else 0.25
        test = [ops.less, ops.less_equal, ops.equal, ops.not_equal, ops.greater][int(self.rng.integers(5))]
        mask = test(probe.tensor, threshold)
        if self.rng.random() < 0.5:
            mask = ops.logical_or(ops.logical_not(mask), ops.logical_and(mask, ops.less(probe.tensor, threshold)))
        if _broadcasts(left.shape, right.shape, mask.type.shape):
            self.add(ops.where(mask, left.tensor, right.tensor), bound=max(left.bound, right.bound))

    def integers(self) -> None:
        item = self.pick(floats=False)
        if item is None:
            return
        x = item.tensor
        choices = [
            (ops.minimum(x, 2), 3),
            (x + 1, item.bound + 1),
            (ops.abs(1 - x), item.bound + 1),
            (ops.maximum(x * 2 - 3, 0), 2 * item.bound),
        ]
        tensor, bound = choices[int(self.rng.integers(len(choices)))]
        self.add(tensor, exact=True, bound=bound)

    def convert(self) -> None:
        item = self.pick(floats=self.rng.random() < 0.5)
        if item is None:
            return
        if item.dtype.is_integer:
            small = ops.cast(ops.cast(item.tensor, "i32") + 1, "f32")
            self.add(small * 0.125, exact=True, bound=(item.bound + 1) / 8)
        elif item.exact:
            self.add(ops.cast(ops.abs(item.tensor) * 2.0, "i64"), exact=True, bound=math.floor(item.bound * 2) + 1)
        else:
            self.add(ops.cast(ops.tanh(ops.cast(item.tensor, "f64")), "f32"))

    def fill(self) -> None:
        choice = int(self.rng.integers(3))
        dim: Dim = "B" if self.rng.random() < 0.5 else self.dim()
        if choice == 0:
            self.add(ops.full((dim, self.dim()), [0.0, 1.0, -0.5, 0.1][int(self.rng.integers(4))]), exact=True)
        elif choice == 1:
            self.add(ops.minimum(ops.arange(dim), 4), exact=True, bound=5)
        else:
            self.add(self.weight(self.dim()), exact=True)

    # -------------------------------------------------------------- scan

    def scan(self) -> None:
        if self.depth == 2:
            return
        xs, length = self._slices()
        states = [self._state() for _ in range(int(self.rng.integers(1, 4)))]

        def step(carry: list[Tensor], x: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
            body = _Maker(self.rng, self)
            for tensor, item in zip(carry, states, strict=True):
                body.add(tensor, bound=item.bound)
            for tensor, item in zip(x, xs, strict=True):
                body.add(tensor, exact=item.exact, bound=item.bound)
            for _ in range(int(self.rng.integers(1, 5))):
                body.grow()
            after = [body.next_state(tensor, item) for tensor, item in zip(carry, states, strict=True)]
            late = body.pool[-1].tensor
            ys = [after[0], late if late.dtype.is_float else ops.cast(late, "f32")]  # floats, or the counter
            return after, ys[: int(self.rng.integers(3))]

        final, ys = scan(
            step,
            [item.tensor for item in states],
            [item.tensor for item in xs],
            length=length,
            reverse=bool(self.rng.random() < 0.4),
            unroll=int(self.rng.integers(1, 4)),
        )
        for tensor, item in zip(final, states, strict=True):
            self.add(tensor, exact=item.dtype.is_integer, bound=item.bound)
        for tensor in ys:
            if tensor.dtype.is_integer:
                self.add(tensor, exact=True, bound=_COUNTER)
            else:
                self.add(ops.tanh(tensor * 0.2), bound=1.0)

    def _slices(self) -> tuple[list[_Item], Dim]:
        """Up to two items with one leading dim, and that dim."""
        first = self.pick(rank=1)
        if first is None or self.rng.random() < 0.1:
            return [], "T"
        second = self.pick(floats=self.rng.random() < 0.5, rank=1)
        both = second is not None and second.shape[0] == first.shape[0]
        return [first, second] if both and second is not None else [first], first.shape[0]

    def _state(self) -> _Item:
        """A value to start from."""
        choice = self.rng.random()
        if choice < 0.15:
            return _Item(ops.zeros((), "i64"), True, _COUNTER)
        item = self.pick()
        if choice < 0.5 and item is not None and item.tensor.ndim <= 2:
            return _Item(item.tensor, False, max(1.0, item.bound))
        return _Item(ops.zeros(("B", self.dim())), False, 1.0)

    def next_state(self, old: Tensor, item: _Item) -> Tensor:
        """A value of the state's type and bound that may depend on anything in the body."""
        if item.dtype.is_integer:
            return ops.minimum(old + 1, _COUNTER - 1)
        new = self._shaped(self.pick() or item, item.shape)
        if item.shape and isinstance(item.shape[-1], int) and self.rng.random() < 0.6:
            new = new + old @ self.weight(item.shape[-1], item.shape[-1])
        new = ops.tanh(new)
        if self.rng.random() < 0.5:
            gate = ops.sigmoid(self._shaped(self.pick() or item, item.shape))
            new = gate * old + (1 - gate) * new
        return new

    def _shaped(self, item: _Item, shape: tuple[Dim, ...]) -> Tensor:
        """`item` brought to `shape`: by a weight if only the last dim differs, by broadcasting, or as its maximum."""
        x = item.tensor
        if x.type.shape[:-1] == shape[:-1] and x.ndim and shape:
            size, wanted = x.type.shape[-1], shape[-1]
            if size != wanted and isinstance(size, int) and isinstance(wanted, int):
                return x @ self.weight(size, wanted)
        fits = x.ndim <= len(shape) and all(
            dim in (1, wide) for dim, wide in zip(x.type.shape[::-1], shape[::-1], strict=False)
        )
        while not fits and x.ndim:
            x = ops.max(x, 0)
        return ops.broadcast_to(x, shape)


def _broadcasts(*shapes: tuple[Dim, ...]) -> bool:
    rank = max(map(len, shapes), default=0)
    if rank > 4:
        return False
    columns = [{shape[axis] for shape in shapes if len(shape) >= -axis} - {1} for axis in range(-rank, 0)]
    return all(len(column) <= 1 for column in columns)
