"""Algebra that holds for every input: identities, moves that cancel, and normal forms that later passes look for.

    y = transpose(x, axes=(1, 0, 2))                         w1, w2 = slice(w, ...), slice(w, ...)
    z = transpose(y, axes=(1, 0, 2))         ->              z = add(matmul(x, w1), matmul(h, w2))
    z = matmul(concatenate(z, h, axis=1), w)

The rules are in `rules_arithmetic`, `rules_move`, `rules_transpose` and `rules_scan`, each with its own
*before -> after*. Every rule makes the graph smaller, moves a transpose, a broadcast or a slice one op closer to the
inputs, or leaves what it does not apply to, and no rule undoes another one: so the walk ends. Values stay the same up
to the sign of a zero (x + 0 is x) and, where a matmul is split, a sum is taken in the other order or a root is
inverted, up to rounding.
"""

from __future__ import annotations

from rnncc.graph.ir import Graph
from rnncc.passes.graph import rules_arithmetic, rules_move, rules_scan, rules_transpose
from rnncc.passes.graph.site import Rule, rewritten


def simplify(graph: Graph) -> Graph:
    """`graph` with every rule applied until none applies, in bodies too."""
    while True:
        result = rewritten(graph, _RULES)
        if result is graph:
            return graph
        graph = result


def _merge(*tables: dict[str, tuple[Rule, ...]]) -> dict[str, tuple[Rule, ...]]:
    """One table with the rules of all, in order."""
    merged: dict[str, tuple[Rule, ...]] = {}
    for table in tables:
        for name, rules in table.items():
            merged[name] = merged.get(name, ()) + rules
    return merged


_RULES = _merge(rules_arithmetic.RULES, rules_move.RULES, rules_transpose.RULES, rules_scan.RULES)
