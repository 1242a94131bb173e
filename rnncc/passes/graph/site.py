"""What a rewrite rule sees: the graph so far, and `emit`, which simplifies what it appends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from rnncc.graph.deps import needed_nodes
from rnncc.graph.ir import Graph, Node, is_scan
from rnncc.graph.op import Attr, find_op
from rnncc.graph.rewrite import Rewriter, map_bodies, rewriter_for, substitute, substitute_outputs
from rnncc.graph.value import Value
from rnncc.passes.graph.dataflow import dependents, use_counts

Rule = Callable[["Site", Node], "Value | Sequence[Value] | None"]
"""A rule returns what to use instead of the node's results, or None when it does not apply."""

Rules = Mapping[str, Sequence[Rule]]
"""Rules by the name of the op that they look at."""


def rewritten(graph: Graph, rules: Rules) -> Graph:
    """`graph` after one walk with `rules`, innermost bodies first; the same object when no rule applied."""

    def walk(one: Graph) -> Graph:
        return Site(one, rules).run()

    return walk(map_bodies(graph, walk))


class Site:
    """One walk over one graph: every node goes through the rules before it is appended."""

    def __init__(self, graph: Graph, rules: Rules) -> None:
        self.graph = graph
        self._rules = rules
        self._rewriter: Rewriter = rewriter_for(graph)
        self._definitions: dict[Value, Node] = {}
        self._readers: dict[Value, list[Node]] = {}
        self._counts = use_counts(graph)
        self._recurrent = dependents(graph, graph.inputs)
        self._invariant = set(graph.consts)
        self._changed = False

    def run(self) -> Graph:
        """The graph after one walk; the same object when no rule applied."""
        replacement: dict[Value, Value] = {}
        for old in self.graph.nodes:
            node = substitute(old, replacement)
            start = self._rewriter.nodes[-1:]
            results = self._apply(node)
            if results is None:
                self._append(node)
                continue
            self._changed = True
            newest = self._rewriter.nodes[-1:]
            for before, after in zip(old.outputs, results, strict=True):
                is_new = newest != start and newest[0].outputs == (after,) and before is not after
                replacement[before] = self._keep_name(before, after) if is_new else after
                # Who read the old value reads the new one; this node, if it did, does not any more.
                self._counts[replacement[before]] = (
                    self._counts[before] + self._counts[after] - node.inputs.count(after)
                )
        if not self._changed:
            return self.graph
        result = substitute_outputs(self.graph, self._rewriter.nodes, replacement)
        return replace(result, nodes=needed_nodes(result.nodes, result.outputs))

    # -------------------------------------------------------------- questions of rules

    def definition(self, value: Value, *op_names: str) -> Node | None:
        """The node that defines `value`, if it is one of these ops."""
        node = self._definitions.get(value)
        return node if node is not None and node.op.name in op_names else None

    def any_definition(self, value: Value) -> Node | None:
        """The node that defines `value`; None for a parameter."""
        return self._definitions.get(value)

    def twin(self, node: Node) -> Node | None:
        """A node that was appended already, with the op, the operands and the attrs of `node`."""
        readers = self._readers.get(node.inputs[0], ()) if node.inputs else ()
        alike = (one for one in readers if (one.op, one.inputs, one.attrs) == (node.op, node.inputs, node.attrs))
        return next(alike, None)

    def is_read_once(self, value: Value) -> bool:
        """True when `value` has one reader, so that a rule which takes it apart does no work twice."""
        return self._counts[value] <= 1

    def count_reads(self, value: Value) -> int:
        """How many operands and results `value` is."""
        return self._counts[value]

    def is_recurrent(self, value: Value) -> bool:
        """True inside a scan body for what depends on the carry."""
        return value in self._recurrent

    def is_invariant(self, value: Value) -> bool:
        """True for what depends on weights only (in a body: on what the body closes over)."""
        return value in self._invariant

    # -------------------------------------------------------------- building

    def emit(self, op_name: str, *inputs: Value, like: Node, hint: str | None = None, **attrs: Attr) -> Value:
        """The result of `op_name`, simplified; `like` gives scope and place."""
        op = find_op(op_name)
        (type_,) = op.infer([value.type for value in inputs], attrs)
        node = Node(op, inputs, (Value(hint or op_name, type_),), attrs, like.scope, like.place)
        results = self._apply(node)
        if results is not None:
            (result,) = results
            return result
        output = Value(self._rewriter.unique(hint or op_name), type_)
        self._append(replace(node, outputs=(output,)))
        return output

    def emit_scan(self, node: Node) -> None:
        """Append a scan that a rule has rebuilt."""
        assert is_scan(node)
        self._append(node)

    def _apply(self, node: Node) -> Sequence[Value] | None:
        for rule in self._rules.get(node.op.name, ()):
            result = rule(self, node)
            if result is not None:
                return [result] if isinstance(result, Value) else result
        return None

    def _append(self, node: Node) -> None:
        self._rewriter.emit_node(node)
        self._definitions.update((value, node) for value in node.outputs)
        for value in dict.fromkeys(node.inputs):
            self._readers.setdefault(value, []).append(node)
        if any(value in self._recurrent for value in node.inputs):
            self._recurrent.update(node.outputs)
        if all(value in self._invariant for value in node.inputs):
            self._invariant.update(node.outputs)

    def _keep_name(self, before: Value, after: Value) -> Value:
        """`after`, the result of the newest node, under the name of the value that it replaces."""
        newest = self._rewriter.nodes.pop()
        for value in dict.fromkeys(newest.inputs):
            self._readers[value].pop()
        node = replace(newest, outputs=(Value(before.name, after.type),))
        self._append(node)
        return node.output
