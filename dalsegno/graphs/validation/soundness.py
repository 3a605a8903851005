"""Rules on branches, joins and ends (S)."""

from __future__ import annotations

from collections.abc import Iterator

from dalsegno.graphs.validation.facts import Facts
from dalsegno.graphs.validation.registry import finding, rule, walk_in_words
from dalsegno.graphs.validation.report import Finding


@rule("S203", "error")
def no_end_in_reach(facts: Facts) -> Iterator[Finding]:
    """From a node no end can be reached.

    ## What it does
    Looks for nodes from which no edge leads, over any number of others, to END or to a node that
    nothing leaves. One finding for each group of nodes that lead to each other only.

    ## Why is this bad
    A run that comes there never completes.

    ## Example
        flow.add_edge("ask", "wait")
        flow.add_edge("wait", "ask")

    ## Use instead
        flow.add_conditional_edges("wait", route, {"ask": Loop("ask", max=3, on_exhausted=END), "done": END})
    """
    stuck = facts.reachable - facts.leading_to(facts.ends)
    for members in facts.components:
        if not members <= stuck or any(t not in members for m in members for t in facts.graph.successors(m)):
            continue
        name = min(members, key=facts.rank.__getitem__)
        path = facts.path_to(name)
        message = (
            f"from `{name}` no end can be reached: {walk_in_words(path)} leads to no END. Add a way out."
        )
        yield finding(
            "S203",
            message,
            path=path,
            where=facts.nodes[name].where,
            fix="add a way out",
            places=sorted(members),
        )
