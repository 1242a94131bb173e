"""Compute a value where it is used: nests that feed one another, or walk the same space, become one.

    for b in parallel(0, B):                                for b in parallel(0, B):
        for n in parallel(0, 256):                              for j in parallel(0, 128):
            z[b, n] = sum(h[b, k] * u[k, n] for k ...)              z = sum(h[b, k] * u[k, j] for k ...)
    for b in parallel(0, B):                            ->          z_2 = sum(h[b, k] * u[k, j + 128] for k ...)
        for j in parallel(0, 128):                                  y[b, j] = sigmoid(z) * tanh(z_2)
            y[b, j] = sigmoid(z[b, j]) * tanh(z[b, j + 128])

A producer moves into its consumers' nest when that nest asks for each of its points at most once (the four gates of
a cell are four disjoint slices of one product), or when it is cheap. Nests over the same space that do not depend on
each other, or only point by point, share one nest. Loops over time are fused inside, never across.

Requires: `inline_moves`; and the form of `lower`, in which no buffer is written again while statements that read it
are still to come, except for the two halves of a state.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import networkx as nx

from rnncc.loop.functions import FUNCTIONS
from rnncc.loop.index import affine, difference
from rnncc.loop.ir import Call, Check, Const, Expr, For, Index, Let, Load, Procedure, Reduce, Span, Stmt, Store, Var
from rnncc.loop.visit import (
    buffers_of,
    children,
    expressions_of,
    loads_of,
    map_index,
    stores_of,
    substitute,
    walk_exprs,
    walk_statements,
)
from rnncc.passes.loop.names import Names
from rnncc.passes.loop.nest import Definition, Nest, definition_of, loops_of, nest_of, scalars

MAX_REDUCTIONS = 8
"""Reductions that may share a nest: each needs accumulators of its own, and registers are few."""

MAX_INLINED = 64
"""Values that one nest computes in place: a longer chain is cut, and goes through memory once."""

MAX_COPIES = 4
"""Times that a value may be written out inside of a sum, where no name can be given to it."""

Around = tuple[tuple[str, Expr], ...]
"""The reductions around a load: variable and size of each."""


def fuse(procedure: Procedure) -> Procedure:
    """Fuse the nests of every block; temporaries that nobody reads any more disappear."""
    names = Names(procedure)
    shapes = {buffer.name: buffer.shape for buffer in procedure.buffers if buffer.space in ("temporary", "output")}
    outputs = {buffer.name for buffer in procedure.buffers if buffer.space == "output"}
    body = _fuse_block(procedure.body, shapes, outputs, names)
    used = frozenset[str]().union(*map(buffers_of, body))
    buffers = tuple(buffer for buffer in procedure.buffers if buffer.space != "temporary" or buffer.name in used)
    fused = replace(procedure, body=body, buffers=buffers)
    return procedure if fused == procedure else fused


@dataclass(slots=True, eq=False)
class _Cluster:
    """Nests that will be one: `roots` keep their stores, `inlined` are computed at the point."""

    position: int
    variables: tuple[str, ...] = ()
    sizes: tuple[Expr, ...] = ()
    roots: list[Store] = field(default_factory=list)
    inlined: dict[str, Definition] = field(default_factory=dict)
    other: Stmt | None = None
    """A statement that is not a nest (a loop over time, a check): a cluster of its own."""

    def wanted(self) -> list[tuple[Load, Around]]:
        """Every load of the fused nest that is left, with the reductions (variable, size) around it."""
        found: dict[tuple[Load, Around], bool] = {}
        for root in self.roots:
            for expr in expressions_of(root):
                self._collect(expr, (), found)
        return [read for read, is_left in found.items() if is_left]

    def copies(self, buffer: str) -> int:
        """How often `buffer` stands in the nest when everything inlined is written out."""
        counts: dict[str, int] = {}

        def count(name: str) -> int:
            if name not in counts:
                inner = (d for d in self.inlined.values() if d.buffer != name)
                counts[name] = sum(_occurrences(root.value, name) for root in self.roots) + sum(
                    times * count(d.buffer) for d in inner if (times := _occurrences(d.value, name))
                )
            return counts[name]

        return count(buffer)

    def _collect(self, expr: Expr, around: Around, found: dict[tuple[Load, Around], bool]) -> None:
        """Add the loads of `expr` to `found`: True for those that are left, False for what is computed in place."""
        match expr:
            case Load():
                if (expr, around) in found:
                    return
                definition = self.inlined.get(expr.buffer)
                found[(expr, around)] = definition is None
                for index in scalars(expr.index):
                    self._collect(index, around, found)
                if definition is not None:
                    self._collect(definition.at(expr.index), around, found)
            case Reduce():
                self._collect(expr.value, (*around, (expr.variable, expr.size)), found)
            case Const() | Var() | Call():
                for part in children(expr):
                    self._collect(part, around, found)

    def reductions(self) -> int:
        """Different reductions of the fused nest."""
        seen: set[Load] = set()
        return len({part for root in self.roots for part in self._reductions(root.value, seen)})

    def _reductions(self, outer: Expr, seen: set[Load]) -> Iterator[Reduce]:
        for expr in walk_exprs(outer):
            if isinstance(expr, Reduce):
                yield expr
            elif isinstance(expr, Load) and expr.buffer in self.inlined and expr not in seen:
                seen.add(expr)
                yield from self._reductions(self.inlined[expr.buffer].at(expr.index), seen)


def _occurrences(value: Expr, buffer: str) -> int:
    return sum(isinstance(part, Load) and part.buffer == buffer for part in walk_exprs(value))


# ------------------------------------------------------------------ one block


def _fuse_block(
    statements: Sequence[Stmt], shapes: Mapping[str, tuple[Expr, ...]], outputs: set[str], names: Names
) -> tuple[Stmt, ...]:
    """One block; `shapes` are those of all buffers that may be computed at the point, `outputs` are stored as well."""
    items = [
        replace(statement, body=_fuse_block(statement.body, shapes, outputs, names))
        if isinstance(statement, For) and statement.kind == "range"
        else statement
        for statement in statements
    ]
    edges = _dependences(items)
    clusters: list[_Cluster] = []
    owner: dict[int, _Cluster] = {}
    for position in reversed(range(len(items))):
        nest = nest_of(items[position])
        if nest is None or not nest.variables or not all(isinstance(inner, Store) for inner in nest.body):
            owner[position] = _Cluster(position, other=items[position])
            clusters.append(owner[position])
            continue
        definition = _definition(nest, shapes)
        readers = _readers(definition, clusters) if definition else []
        escapes = definition is None or definition.buffer in outputs or _escapes(definition.buffer, items, position)
        if definition and len(readers) == 1 and not escapes and _may_inline(definition, readers[0]):
            readers[0].inlined[definition.buffer] = definition
            names.release(definition.buffer)
            owner[position] = readers[0]
            continue
        owner[position] = _join(nest, definition, position, clusters, owner, edges)
    return tuple(statement for cluster in _ordered(clusters, owner, edges) for statement in _emit(cluster, names))


def _definition(nest: Nest, shapes: Mapping[str, tuple[Expr, ...]]) -> Definition | None:
    return definition_of(nest, shapes.get(nest.stores[0].buffer)) if len(nest.stores) == 1 else None


def _readers(definition: Definition, clusters: list[_Cluster]) -> list[_Cluster]:
    readers = []
    for cluster in clusters:
        loads = (load for load, _ in cluster.wanted()) if cluster.other is None else loads_of(cluster.other)
        if any(load.buffer == definition.buffer for load in loads):
            readers.append(cluster)
    return readers


def _escapes(buffer: str, items: Sequence[Stmt], position: int) -> bool:
    """True when somebody other than a later statement of this block reads `buffer`."""
    return any(load.buffer == buffer for item in items[:position] for load in loads_of(item))


def _may_inline(definition: Definition, cluster: _Cluster) -> bool:
    """True when computing `definition` at each point where `cluster` reads it is no more work than filling a buffer."""
    if cluster.other is not None or len(cluster.inlined) >= MAX_INLINED:
        return False
    reads = [(load, around) for load, around in cluster.wanted() if load.buffer == definition.buffer]
    inside = any(around for _, around in reads)
    reduces = any(isinstance(part, Reduce) for part in walk_exprs(definition.value))
    if inside and (reduces or cluster.copies(definition.buffer) > MAX_COPIES):
        return False
    if not inside and not reduces and _is_cheap(definition.value):
        return True
    space = dict(zip(cluster.variables, cluster.sizes, strict=True))
    return _asked_once(reads, space) and _reduction_count(definition, reads, cluster) <= MAX_REDUCTIONS


def _is_cheap(value: Expr) -> bool:
    return all(not isinstance(part, Call) or FUNCTIONS[part.function].cheap for part in walk_exprs(value))


def _reduction_count(definition: Definition, reads: Sequence[tuple[Load, object]], cluster: _Cluster) -> int:
    each = sum(isinstance(part, Reduce) for part in walk_exprs(definition.value))
    return cluster.reductions() + each * len({load.index for load, _ in reads})


def _asked_once(reads: Sequence[tuple[Load, Around]], space: Mapping[str, Expr]) -> bool:
    """True when different points (of `space` and of the reductions around) read different elements."""
    indices = {load.index for load, _ in reads}
    for load, around in reads:
        sizes = {**space, **dict(around)}
        alone = [_single_variable(index, sizes) for index in load.index]
        seen = [name for name in alone if name]
        repeated = len(seen) != len(set(seen))
        missing = [name for name, size in sizes.items() if name not in seen and size != Const(1, size.dtype)]
        if repeated or missing:
            return False
        for other in indices - {load.index}:
            if not _disjoint(load.index, other, sizes):
                return False
    return True


def _single_variable(index: Index, sizes: Mapping[str, Expr]) -> str | None:
    """The variable v of an index of the form v + constant."""
    form = affine(index) if not isinstance(index, Span) else None
    if form is None or len(form.terms) != 1:
        return None
    ((term, factor),) = form.terms.items()
    return term.name if factor == 1 and isinstance(term, Var) and term.name in sizes else None


def _disjoint(a: Sequence[Index], b: Sequence[Index], sizes: Mapping[str, Expr]) -> bool:
    """True when boxes a and b of one buffer, each walked by its variables, share no element."""
    for first, second in zip(a, b, strict=True):
        if isinstance(first, Span) or isinstance(second, Span):
            continue
        distance = difference(first, second)
        variable = _single_variable(first, sizes)
        size = sizes[variable] if variable else Const(1, first.dtype)
        if distance is not None and isinstance(size, Const) and abs(distance) >= size.value:
            return True
    return False


# ------------------------------------------------------------------ joining nests of one space


def _join(
    nest: Nest,
    definition: Definition | None,
    position: int,
    clusters: list[_Cluster],
    owner: dict[int, _Cluster],
    edges: nx.DiGraph,
) -> _Cluster:
    """The cluster that `nest` becomes a root of: an existing one over the same space, or a new one."""
    own = sum(isinstance(part, Reduce) for store in nest.stores for part in walk_exprs(store.value))
    for cluster in clusters:
        same_space = cluster.other is None and cluster.sizes == nest.sizes
        if not same_space or own + cluster.reductions() > MAX_REDUCTIONS:
            continue
        if not _independent(position, cluster, owner, edges) or not _pointwise(definition, nest, cluster):
            continue
        rename: dict[str, Expr] = {old: Var(new) for old, new in zip(nest.variables, cluster.variables, strict=True)}
        cluster.roots[:0] = [_renamed(store, rename) for store in nest.stores]
        if definition is not None and any(load.buffer == definition.buffer for load, _ in cluster.wanted()):
            cluster.inlined[definition.buffer] = definition
        owner[position] = cluster
        return cluster
    cluster = _Cluster(position, nest.variables, nest.sizes, list(nest.stores))
    clusters.append(cluster)
    return cluster


def _renamed(store: Store, rename: Mapping[str, Expr]) -> Store:
    index = map_index(store.index, lambda item: substitute(item, rename))
    return replace(store, index=index, value=substitute(store.value, rename))


def _pointwise(definition: Definition | None, nest: Nest, cluster: _Cluster) -> bool:
    """True when `cluster` reads what `nest` writes at its own point only, if at all."""
    written = {store.buffer for store in nest.stores}
    point = tuple(map(Var, cluster.variables))
    for load, around in cluster.wanted():
        if load.buffer in written and (around or definition is None or load.index != point):
            return False
    return True


def _independent(position: int, cluster: _Cluster, owner: dict[int, _Cluster], edges: nx.DiGraph) -> bool:
    """True when no path leads from statement `position` to `cluster` by way of another cluster."""
    seen: set[int] = set()
    stack = list(edges.successors(position))
    while stack:
        current = stack.pop()
        if current in seen or owner[current] is cluster:
            continue
        seen.add(current)
        members = [other for other, mine in owner.items() if mine is owner[current]]
        for member in members:
            for after in edges.successors(member):
                if owner[after] is cluster:
                    return False
                stack.append(after)
    return not any(owner.get(before) is cluster for before in nx.ancestors(edges, position))


def _dependences(items: Sequence[Stmt]) -> nx.DiGraph:
    """An edge from each statement to every later one that must follow it."""
    edges: nx.DiGraph = nx.DiGraph()
    edges.add_nodes_from(range(len(items)))
    reads = [list(loads_of(item)) for item in items]
    writes = [list(stores_of(item)) for item in items]
    guards = [any(isinstance(inner, Check) for inner in walk_statements([item])) for item in items]
    for late in range(len(items)):
        for early in range(late):
            if guards[early]:  # nothing that a check protects may move in front of it
                edges.add_edge(early, late)
                continue
            pairs: tuple[tuple[Load | Store, Load | Store], ...] = (
                *((a, b) for a in writes[early] for b in reads[late]),
                *((a, b) for a in reads[early] for b in writes[late]),
                *((a, b) for a in writes[early] for b in writes[late]),
            )
            if any(a.buffer == b.buffer and not _other_half(a.index, b.index) for a, b in pairs):
                edges.add_edge(early, late)
    return edges


def _other_half(a: Sequence[Index], b: Sequence[Index]) -> bool:
    """True for the two halves of a state: `state[t % 2, ...]` and `state[(t + 1) % 2, ...]`."""
    match (a[0] if a else None, b[0] if b else None):
        case (Call("mod", (x, Const(2))), Call("mod", (y, Const(2)))):
            distance = difference(x, y)
            return distance is not None and distance % 2 == 1
    return False


def _ordered(clusters: list[_Cluster], owner: dict[int, _Cluster], edges: nx.DiGraph) -> list[_Cluster]:
    """Clusters in an order that keeps every dependence; otherwise as they were written."""
    number = {id(cluster): index for index, cluster in enumerate(clusters)}
    graph: nx.DiGraph = nx.DiGraph()
    graph.add_nodes_from(range(len(clusters)))
    for early, late in edges.edges:
        a, b = number[id(owner[early])], number[id(owner[late])]
        if a != b:
            graph.add_edge(a, b)
    order = nx.lexicographical_topological_sort(graph, key=lambda index: clusters[index].position)
    return [clusters[index] for index in order]


# ------------------------------------------------------------------ writing the fused nest


def _emit(cluster: _Cluster, names: Names) -> tuple[Stmt, ...]:
    if cluster.other is not None:
        return (cluster.other,)
    body: list[Stmt] = []
    bound: dict[Expr, Var] = {}
    point = tuple(map(Var, cluster.variables))

    def at_point(expr: Expr, reducing: bool) -> Expr:
        """`expr` with inlined buffers replaced by what is computed at the point."""
        match expr:
            case Const() | Var():
                return expr
            case Load():
                key = Load(expr.buffer, tuple(at_point(index, reducing) for index in scalars(expr.index)), expr.dtype)
                definition = cluster.inlined.get(expr.buffer)
                if definition is None:
                    return key
                if reducing:
                    return at_point(definition.at(key.index), reducing)
                if key not in bound:
                    value = at_point(definition.at(key.index), reducing)
                    bound[key] = let(expr.buffer, value)
                return bound[key]
            case Call():
                return replace(expr, args=tuple(at_point(arg, reducing) for arg in expr.args))
            case Reduce():
                return replace(expr, value=at_point(expr.value, True))

    def let(hint: str, value: Expr) -> Var:
        name = names.fresh(hint)
        body.append(Let(name, value))
        return Var(name, value.dtype)

    for root in cluster.roots:
        own = Load(root.buffer, root.index, root.value.dtype)
        if root.buffer in cluster.inlined and root.index == point:
            value = at_point(own, False)  # read elsewhere in this nest as well: computed once
        else:
            value = at_point(root.value, False)
        body.append(replace(root, value=value))
    return loops_of(Nest(cluster.variables, cluster.sizes, tuple(body)))
