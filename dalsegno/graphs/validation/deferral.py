"""What deferred nodes wait for.

A deferred node runs when nothing else is left to run. So the task before it need not be the one that
triggered it, and it gets a step from every node that may be running meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dalsegno.graphs.model import END, START
from dalsegno.graphs.validation.facts import Facts


@dataclass(frozen=True)
class Waits:
    """The free graph with the steps of waiting added, and what is bounded or not known of them.

    `again` names, for a deferred node on a cycle, the nodes after it that it may wait for when it is
    triggered once more, at most `rounds` times. `unclear` are deferred nodes that may wait for what
    comes after each other: of these nothing is known.
    """

    free: Any
    topological: tuple[str, ...]
    again: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    rounds: Mapping[str, int] = field(default_factory=dict)
    unclear: tuple[str, ...] = ()


def waits(facts: Facts) -> Waits:
    """The waits of a workflow; the free graph as it is where nothing is deferred or parallel."""
    deferred = [n.name for n in facts.order if n.defer]
    if not deferred or not facts.parallel:
        return Waits(facts.free, facts.topological)
    import networkx as nx

    graph: Any = nx.DiGraph(facts.free)
    again: dict[str, tuple[str, ...]] = {}
    rounds: dict[str, int] = {}
    unclear: list[str] = []
    others = [n.name for n in facts.order if not n.defer]
    for name in deferred:
        after = nx.descendants(facts.free, name)
        now = nx.descendants(graph, name) if len(deferred) > 1 else after
        if any(o in now and o not in after for o in others):
            unclear.append(name)
        graph.add_edges_from((o, name) for o in others if o not in now)
        if name in facts.component_of:
            members = facts.components[facts.component_of[name]]
            counts = {
                a.edge.counter: a.edge.loop
                for a in facts.live
                if a.edge.loop is not None and a.source in members and a.target in members
            }
            again[name] = tuple(sorted(after - {END, START}))
            rounds[name] = sum(counts.values())
    if len(again) > 1:
        unclear.extend(n for n in again if n not in unclear)
    return Waits(graph, tuple(nx.topological_sort(graph)), again, rounds, tuple(unclear))
