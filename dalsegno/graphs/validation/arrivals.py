"""Which sources of a join can arrive without the others.

For two sources, every node is given the sets of them that can still run once it has run: a decision
unites what its options give, branches side by side combine it. Loops are left out: they end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dalsegno.graphs.model import END, START
from dalsegno.graphs.validation.arcs import Arc, decision
from dalsegno.graphs.validation.facts import Facts

NEITHER, FIRST, SECOND, BOTH = 1, 2, 4, 8
"""One bit for each set of arrivals: none, the first, the second, both."""

MOST_WORK = 300_000
"""Most nodes visited for all joins of a workflow; joins beyond it are left undecided."""


@dataclass(frozen=True)
class Starving:
    """A join of which `present` may run and `absent` not, for a decision of `router`, if one is to blame."""

    present: str
    absent: str
    router: str | None


def starving_joins(facts: Facts) -> Mapping[int, Starving | None]:
    """The joins by their id of which some run executes one source and never another.

    None stands where that is not decided. Where any run does, two neighbours in the circle of sources
    differ: these are looked at.
    """
    found: dict[int, Starving | None] = {}
    work = 0
    for edge in facts.declared:
        sources = edge.origins
        if edge.kind != "join" or not facts.reachable.issuperset(sources):
            continue
        if facts.certain.issuperset(sources):
            continue
        if not facts.topological:
            found[id(edge)] = None
            continue
        pairs = zip(sources, (*sources[1:], sources[0]), strict=True)
        for first, second in list(pairs)[: 1 if len(sources) == 2 else None]:
            if first == second:
                continue
            if work > MOST_WORK:
                found[id(edge)] = None
                break
            outcomes = _outcomes(facts, first, second)
            work += len(outcomes)
            if starved := _starved(facts, outcomes, first, second):
                found[id(edge)] = starved
                break
    return found


def _starved(facts: Facts, outcomes: Mapping[str, int], first: str, second: str) -> Starving | None:
    if outcomes[START] & FIRST:
        return Starving(first, second, _decider(facts, outcomes, FIRST, SECOND | BOTH))
    if outcomes[START] & SECOND:
        return Starving(second, first, _decider(facts, outcomes, SECOND, FIRST | BOTH))
    return None


def _outcomes(facts: Facts, first: str, second: str) -> Mapping[str, int]:
    import networkx as nx

    region = nx.ancestors(facts.free, first) | nx.ancestors(facts.free, second) | {first, second, START}
    outcomes: dict[str, int] = {END: NEITHER}
    for name in sorted(region, key=facts.place.__getitem__, reverse=True):
        own = FIRST if name == first else SECOND if name == second else NEITHER
        for options, some, nothing in _groups(facts, name):
            found = NEITHER if some and nothing else 0
            for target in options:
                given = outcomes.get(target, NEITHER)
                found = (_beside(found, given | NEITHER) if some else found) | given
            own = _beside(own, found)
        outcomes[name] = own
    return outcomes


def _groups(facts: Facts, name: str) -> Iterable[tuple[list[str], bool, bool]]:
    """The targets of each decision of a node, and whether it may take several of them, and none of them."""
    groups: dict[object, tuple[list[Arc], bool]] = {}
    looping: set[object] = set()
    for arc in facts.out.get(name, ()):
        edge = arc.edge
        if edge.kind == "handler" or edge.loop is not None or edge.each == 0:
            looping.add(decision(arc))
            continue
        if edge.kind in ("choice", "command"):
            some = edge.many or edge.kind == "command" or not facts.spec.exact_choices
            groups.setdefault(decision(arc), ([], some))[0].append(arc)
        else:
            groups[id(edge)] = ([arc], False)
    # A router of ours that chooses nothing is refused: one of its targets is surely taken, or a loop of its own.
    chosen = {
        key for key, (arcs, _) in groups.items() if facts.spec.exact_choices and arcs[0].edge.kind == "choice"
    }
    return [
        ([a.target for a in arcs], some and len(arcs) > 1, key not in chosen or key in looping)
        for key, (arcs, some) in groups.items()
    ]


def _beside(a: int, b: int) -> int:
    """What two branches side by side can give: every set of the one with every set of the other."""
    found = 0
    for i in range(4):
        if a >> i & 1:
            for j in range(4):
                if b >> j & 1:
                    found |= 1 << (i | j)
    return found


def _decider(facts: Facts, outcomes: Mapping[str, int], without: int, with_it: int) -> str | None:
    """The first node of which one option leaves a source out that another brings."""
    for name in sorted(outcomes.keys() - {END}, key=facts.place.__getitem__):
        for options, *_ in _groups(facts, name):
            given = [outcomes.get(t, NEITHER) for t in options]
            lacking = [g for g in given if g & (without | NEITHER)]
            if len(options) > 1 and lacking and any(g & with_it for g in given):
                return name
    return None
