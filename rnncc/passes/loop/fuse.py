"""Compute a value where it is used: nests that feed one another, or walk the same space, become one.

    for b in parallel(0, B):                                for b in parallel(0, B):
        for n in parallel(0, 256):                              for j in parallel(0, 128):
            z[b, n] = sum(h[b, k] * u[k, n] for k ...)              z = sum(h[b, k] * u[k, j] for k ...)
    for b in parallel(0, B):                            ->          z_2 = sum(h[b, k] * u[k, j + 128] for k ...)
        for j in parallel(0, 128):                                  y[b, j] = sigmoid(z) * tanh(z_2)
            y[b, j] = sigmoid(z[b, j]) * tanh(z[b, j + 128])

A producer moves into its consumers' nest when that nest asks for each of its points at most once (the four gates of
a cell are four disjoint slices of one product), or when it is cheap. A product moves only where its columns are walked
last, as they are in it: a vector of them is done at a time. Nests over the same space that do not depend on
each other, or only point by point, share one nest. Loops over time are fused inside, never across.

Requires: `inline_moves`; and the form of `lower`, in which no buffer is written again while statements that read it
are still to come, except for the two halves of a state.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from rnncc.loop.builder import ONE
from rnncc.loop.index import affine, difference
from rnncc.loop.ir import Call, Const, Expr, For, Index, Let, Load, Procedure, Ramp, Reduce, Span, Stmt, Store, Var
from rnncc.loop.names import Names
from rnncc.loop.visit import (
    buffers_in,
    children,
    expressions_of,
    loads_of,
    map_index,
    substitute,
    walk_exprs,
)
from rnncc.passes.loop.dependences import followers_of, in_order
from rnncc.passes.loop.nest import Definition, Nest, definition_of, is_costly, loops_of, nest_of, scalars, walks

MAX_REDUCTIONS = 8
"""Reductions that may share a nest: each needs accumulators of its own, and registers are few."""

MAX_INLINED = 64
"""Values that one nest computes in place: a longer chain is cut, and goes through memory once."""

MAX_COPIES = 4
"""Times that a value may be written out inside of a sum, where no name can be given to it."""

Around = tuple[tuple[str, Expr], ...]
"""The reductions around a load: variable and size of each."""

_Read = tuple[Load, Around]


def fuse(procedure: Procedure) -> Procedure:
    """Fuse the nests of every block; temporaries that nobody reads any more disappear."""
    names = Names(procedure)
    shapes = {buffer.name: buffer.shape for buffer in procedure.buffers if buffer.space in ("temporary", "output")}
    outputs = {buffer.name for buffer in procedure.buffers if buffer.space == "output"}
    body = _fuse_block(procedure.body, shapes, outputs, names)
    used = buffers_in(body)
    buffers = tuple(buffer for buffer in procedure.buffers if buffer.space != "temporary" or buffer.name in used)
    fused = replace(procedure, body=body, buffers=buffers)
    return procedure if fused == procedure else fused


@dataclass(slots=True, eq=False)
class _Cluster:
    """Nests that will be one: `roots` keep their stores, `inlined` are computed at the point."""

    position: int
    variables: tuple[str, ...] = ()
    sizes: tuple[Expr, ...] = ()
    other: Stmt | None = None
    """A statement that is not a nest (a loop over time, a check): a cluster of its own."""
    roots: list[Store] = field(default_factory=list)
    inlined: dict[str, Definition] = field(default_factory=dict)
    reads: dict[str, set[_Read]] = field(default_factory=dict)
    """Every load that is left, by buffer, with the reductions around it. (Of an `other`, just the buffers.)"""
    reductions: set[Reduce] = field(default_factory=set)
    """Different reductions of the fused nest."""
    followers: list[_Cluster] = field(default_factory=list)
    """What has to come later, maybe more than once."""
    _seen: set[_Read] = field(default_factory=set)

    def add_roots(self, stores: Sequence[Store]) -> None:
        """Put nests over the same space, with this one's variables, in front."""
        self.roots[:0] = stores
        for store in stores:
            for expr in expressions_of(store):
                self._collect(expr, ())

    def inline(self, definition: Definition) -> None:
        """Compute `definition` wherever it is read."""
        self.inlined[definition.buffer] = definition
        for load, around in self.reads.pop(definition.buffer, ()):
            self._collect(definition.at(load.index), around)

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

    def _collect(self, expr: Expr, around: Around) -> None:
        """Take note of the loads and reductions of `expr`, and of those of what is computed in place for it."""
        match expr:
            case Load():
                if (expr, around) in self._seen:
                    return
                self._seen.add((expr, around))
                for index in scalars(expr.index):
                    self._collect(index, around)
                definition = self.inlined.get(expr.buffer)
                if definition is None:
                    self.reads.setdefault(expr.buffer, set()).add((expr, around))
                else:
                    self._collect(definition.at(expr.index), around)
            case Reduce():
                self.reductions.add(expr)
                self._collect(expr.value, (*around, (expr.variable, expr.size)))
            case Const() | Var() | Call() | Ramp():
                for part in children(expr):
                    self._collect(part, around)


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
    followers = followers_of(items)
    first_reads = _first_reads(items)
    clusters: list[_Cluster] = []
    owner: dict[int, _Cluster] = {}
    for position in reversed(range(len(items))):
        nest = nest_of(items[position])
        after = [owner[later] for later in followers[position]]
        if nest is None or not nest.variables or not all(isinstance(inner, Store) for inner in nest.body):
            owner[position] = cluster = _Cluster(position, other=items[position])
            cluster.reads = {load.buffer: set() for load in loads_of(items[position])}
            clusters.append(cluster)
        else:
            definition = _definition(nest, shapes)
            place = _place(definition, position, clusters, outputs, first_reads) if definition else None
            if definition and place:
                place.inline(definition)
                names.release(definition.buffer)
            owner[position] = cluster = place or _join(nest, definition, position, clusters, after)
        cluster.followers += (later for later in after if later is not cluster)
    return tuple(statement for cluster in _ordered(clusters) for statement in _emit(cluster, names))


def _place(
    definition: Definition,
    position: int,
    clusters: Sequence[_Cluster],
    outputs: set[str],
    first_reads: Mapping[str, int],
) -> _Cluster | None:
    """The cluster that computes `definition` in place: the only one that reads it, if it can and nobody else does."""
    readers = [cluster for cluster in clusters if definition.buffer in cluster.reads]
    escapes = definition.buffer in outputs or first_reads.get(definition.buffer, position) < position
    return readers[0] if len(readers) == 1 and not escapes and _may_inline(definition, readers[0]) else None


def _first_reads(items: Sequence[Stmt]) -> dict[str, int]:
    """The first statement that reads each buffer. When it stands before the one that writes it, it reads what was
    written a step earlier, and the buffer has to stay."""
    found: dict[str, int] = {}
    for position, item in enumerate(items):
        for load in loads_of(item):
            found.setdefault(load.buffer, position)
    return found


def _definition(nest: Nest, shapes: Mapping[str, tuple[Expr, ...]]) -> Definition | None:
    return definition_of(nest, shapes.get(nest.stores[0].buffer)) if len(nest.stores) == 1 else None


def _may_inline(definition: Definition, cluster: _Cluster) -> bool:
    """True when computing `definition` at each point where `cluster` reads it is no more work than filling a buffer."""
    if cluster.other is not None or len(cluster.inlined) >= MAX_INLINED:
        return False
    reads = cluster.reads[definition.buffer]
    inside = any(around for _, around in reads)
    reduces = any(isinstance(part, Reduce) for part in walk_exprs(definition.value))
    if inside and (reduces or cluster.copies(definition.buffer) > MAX_COPIES):
        return False
    if not inside and not reduces and _is_cheap(definition.value):
        return True
    if reduces and not _keeps_columns(definition, reads, cluster):
        return False
    space = dict(zip(cluster.variables, cluster.sizes, strict=True))
    return _asked_once(reads, space) and _reduction_count(definition, reads, cluster) <= MAX_REDUCTIONS


def _keeps_columns(definition: Definition, reads: Collection[_Read], cluster: _Cluster) -> bool:
    """True when the columns of a product, which are done a vector at a time, are asked for one after the other."""
    sums = [part for part in walk_exprs(definition.value) if isinstance(part, Reduce)]
    factors = [part for one in sums for part in walk_exprs(one.value) if isinstance(part, Load)]
    innermost = dict(zip(cluster.variables[-1:], cluster.sizes[-1:], strict=True))
    for axis, (variable, size) in enumerate(zip(definition.variables, definition.sizes, strict=True)):
        has_columns = size != ONE and any(walks(load.index, variable, (1,)) for load in factors)
        if has_columns and not all(_single_variable(load.index[axis], innermost) for load, _ in reads):
            return False
    return True


def _is_cheap(value: Expr) -> bool:
    return not any(map(is_costly, walk_exprs(value)))


def _reduction_count(definition: Definition, reads: Collection[_Read], cluster: _Cluster) -> int:
    each = sum(isinstance(part, Reduce) for part in walk_exprs(definition.value))
    return len(cluster.reductions) + each * len({load.index for load, _ in reads})


def _asked_once(reads: Collection[_Read], space: Mapping[str, Expr]) -> bool:
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
    after: Sequence[_Cluster],
) -> _Cluster:
    """The cluster that `nest` becomes a root of: an existing one over the same space, or a new one.

    `after` are those that have to come later than `nest`.
    """
    own = sum(isinstance(part, Reduce) for store in nest.stores for part in walk_exprs(store.value))
    much_later = _reachable(after)
    for cluster in clusters:
        same_space = cluster.other is None and cluster.sizes == nest.sizes
        if not same_space or own + len(cluster.reductions) > MAX_REDUCTIONS:
            continue
        if id(cluster) in much_later or not _pointwise(definition, nest, cluster):
            continue
        rename: dict[str, Expr] = {old: Var(new) for old, new in zip(nest.variables, cluster.variables, strict=True)}
        cluster.add_roots([_renamed(store, rename) for store in nest.stores])
        if definition is not None and definition.buffer in cluster.reads:
            cluster.inline(definition)
        return cluster
    cluster = _Cluster(position, nest.variables, nest.sizes)
    cluster.add_roots(nest.stores)
    clusters.append(cluster)
    return cluster


def _renamed(store: Store, rename: Mapping[str, Expr]) -> Store:
    index = map_index(store.index, lambda item: substitute(item, rename))
    return replace(store, index=index, value=substitute(store.value, rename))


def _pointwise(definition: Definition | None, nest: Nest, cluster: _Cluster) -> bool:
    """True when `cluster` reads what `nest` writes at its own point only, if at all."""
    point = tuple(map(Var, cluster.variables))
    reads = (read for buffer in {store.buffer for store in nest.stores} for read in cluster.reads.get(buffer, ()))
    return all(definition is not None and not around and load.index == point for load, around in reads)


def _reachable(clusters: Iterable[_Cluster]) -> set[int]:
    """Ids of what has to come later than some of `clusters`."""
    waiting = [after for cluster in clusters for after in cluster.followers]
    seen: set[int] = set()
    while waiting:
        cluster = waiting.pop()
        if id(cluster) not in seen:
            seen.add(id(cluster))
            waiting += cluster.followers
    return seen


def _ordered(clusters: list[_Cluster]) -> list[_Cluster]:
    """Clusters in an order that keeps every dependence; otherwise as they were written."""
    number = {id(cluster): index for index, cluster in enumerate(clusters)}
    followers = [{number[id(after)] for after in cluster.followers} for cluster in clusters]
    return [clusters[index] for index in in_order([cluster.position for cluster in clusters], followers)]


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
            case Const() | Var() | Ramp():
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
