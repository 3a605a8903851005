"""The graph of a run as the ledger remembers it: `WorkflowSpec.shape` -> `WorkflowSpec`.

What a shape does not keep (policies, effects, where it was written) is not drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dalsegno.graphs.model import EdgeSpec, KeySpec, NodeSpec, WorkflowSpec, counter_name


def spec_of_shape(shape: Mapping[str, Any], version: str = "0") -> WorkflowSpec:
    """The workflow that has this shape; what follows a spent loop stands behind the loop."""
    nodes = {name: _node(name, node) for name, node in shape.get("nodes", {}).items()}
    rows = [list(edge) + [None] * (8 - len(edge)) for edge in shape.get("edges", ())]
    state = {name: KeySpec(name, *kept[:2]) for name, kept in shape.get("state", {}).items()}
    return WorkflowSpec(
        name=str(shape.get("name", "")),
        version=version,
        nodes=nodes,
        edges=tuple(
            sorted((_edge(row, rows) for row in rows), key=lambda edge: edge.exhausted_of is not None)
        ),
        state=state,
    )


def _node(name: str, node: Mapping[str, Any]) -> NodeSpec:
    child = node.get("child")
    return NodeSpec(
        name,
        kind=node.get("kind", "function"),
        defer=bool(node.get("defer")),
        child=spec_of_shape(child) if child else None,
        inputs=node.get("inputs"),
        outputs=node.get("outputs"),
    )


def _edge(row: Sequence[Any], rows: Sequence[Sequence[Any]]) -> EdgeSpec:
    kind, origins, target, router, label, loop, each, many = row[:8]
    spent = None
    if kind != "static" and loop is None:
        # What follows a spent loop has the answer of the loop, and no bound of its own. The ways that a node takes
        # itself have no answers: where several of them have no bound, nobody knows which follows the loop.
        beside = [r for r in rows if r[:2] == row[:2] and r[3:5] == [router, label]]
        if len({r[2] for r in beside if r[5] is None}) == 1:
            spent = next((r for r in beside if r[5] is not None), None)
    return EdgeSpec(
        origins[0] if origins else "",
        target,
        kind,
        router=router,
        label=label,
        many=bool(many),
        loop=loop,
        each=each,
        fans_out=each is not None,
        exhausted_of=counter_name(origins[0], spent[3], spent[4] if spent[3] else None, spent[2])
        if spent
        else None,
        sources=tuple(origins) if kind == "join" else (),
    )
