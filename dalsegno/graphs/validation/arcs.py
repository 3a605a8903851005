"""The steps that edges allow, and which of them are taken side by side."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from dalsegno.graphs.model import END, EdgeSpec

Decision = tuple[str, str | None, str]
"""(source, router, kind): the edges of one decision share it."""


class Arc(NamedTuple):
    """One step from a node to a node; a join has one for each of its sources."""

    source: str
    target: str
    edge: EdgeSpec


def by_source(arcs: Iterable[Arc]) -> Mapping[str, Sequence[Arc]]:
    """The arcs by the node they leave."""
    found: dict[str, list[Arc]] = defaultdict(list)
    for arc in arcs:
        found[arc.source].append(arc)
    return dict(found)


def takeable(edge: EdgeSpec) -> bool:
    """Whether an edge can ever be taken: not a loop of no rounds, nor a fan-out to nobody."""
    return edge.loop != 0 and edge.each != 0


def decision(arc: Arc) -> Decision:
    """The decision that an arc belongs to."""
    return (arc.source, arc.edge.router, arc.edge.kind)


def branches(arcs: Iterable[Arc], exact_choices: bool = True) -> list[list[Arc]]:
    """The arcs that leave one node, grouped into what is taken side by side.

    Each static edge and each join is a branch of its own; a decision for one target is one branch; of a decision for
    several, every arc is one, and so is every fan-out of a decision that has several. What leads to END and to error
    handlers starts nothing beside the rest, and is left out.
    """
    found: list[list[Arc]] = []
    decisions: dict[Decision, list[Arc]] = {}
    arcs = [a for a in arcs if a.target != END and a.edge.kind != "handler" and takeable(a.edge)]
    sends = Counter(decision(arc) for arc in arcs if arc.edge.fans_out)
    for arc in arcs:
        beside = several(arc, exact_choices) or (arc.edge.fans_out and sends[decision(arc)] > 1)
        if arc.edge.kind in ("choice", "command") and not beside:
            group = decisions.setdefault(decision(arc), [])
            if not group:
                found.append(group)
            group.append(arc)
        else:
            found.append([arc])
    return found


def forks(arcs: Sequence[Arc], exact_choices: bool) -> bool:
    """Whether several tasks may follow from one execution of a node with these arcs."""
    if len(arcs) < 2 and not any(a.edge.fans_out for a in arcs):  # as most are
        return False
    handling = {a.target for a in arcs if a.edge.kind == "handler" and a.target != END}
    return (
        len(branches(arcs, exact_choices)) > 1
        or any(a.edge.fans_out and a.edge.each != 1 for a in arcs)
        or len(handling) > 1  # a handler's `Command` may name all of them
    )


def several(arc: Arc, exact_choices: bool) -> bool:
    """Whether a decision may take this arc beside others, or several times."""
    edge = arc.edge
    if edge.fans_out and edge.each != 1:
        return True
    return edge.kind == "command" or (edge.kind == "choice" and (edge.many or not exact_choices))
