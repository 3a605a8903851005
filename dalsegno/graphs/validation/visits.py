"""Which nodes some run comes to, whatever joins and counters remember.

`Facts.reachable` follows every edge that can be taken by itself. A join needs all of its sources in one run,
and the way out of a loop needs the loop to be spent: where that is in doubt, what lies behind is left out.
"""

from __future__ import annotations

from dalsegno.graphs.model import START, EdgeSpec
from dalsegno.graphs.validation.facts import Facts

MOST_LOOKS = 100_000
"""Most arcs that are looked at for the ways back of loops; ways out beyond it are left in doubt."""


def visited(facts: Facts) -> frozenset[str]:
    """START and the nodes that some run surely comes to."""
    shut = _in_doubt(facts)
    found = {START}
    missing: dict[int, set[str]] = {}
    ahead = [START]
    while ahead:
        for arc in facts.out.get(ahead.pop(), ()):
            edge = arc.edge
            if any(loop.counter in shut for loop in facts.ways_out.before(edge)):
                continue
            if edge.kind == "join":
                missing.setdefault(id(edge), set(edge.origins)).discard(arc.source)
                if missing[id(edge)] or id(edge) in facts.starving:
                    continue
            if arc.target not in found:
                found.add(arc.target)
                ahead.append(arc.target)
    return frozenset(found)


def _in_doubt(facts: Facts) -> frozenset[str]:
    """The counters of loops that perhaps cannot be spent: no way leads back without other loops, and joins."""
    loops = {e.counter: e for e in facts.declared if e.loop is not None}
    looks = 0
    doubtful: set[str] = set()
    for edge in facts.edges:
        counter = edge.exhausted_of
        loop = loops.get(counter) if counter is not None else None
        if counter is None or loop is None:
            continue
        back, looked = _leads_back(facts, loop, MOST_LOOKS - looks)
        looks += looked
        if not back:
            doubtful.add(counter)
    return frozenset(doubtful)


def _leads_back(facts: Facts, loop: EdgeSpec, most: int) -> tuple[bool, int]:
    """Whether a free way leads from where a loop goes to where it leaves, and the arcs that were looked at."""
    if loop.loop == 0 or loop.target == loop.source:
        return True, 0
    home = facts.component_of.get(loop.source)
    if home is None:
        return False, 0
    found = {loop.target}
    ahead = [loop.target]
    looks = 0
    while ahead and looks < most:
        for arc in facts.out.get(ahead.pop(), ()):
            looks += 1
            edge = arc.edge
            if edge.loop is not None or edge.exhausted_of is not None or edge.kind == "join":
                continue
            if arc.target == loop.source:
                return True, looks
            if arc.target not in found and facts.component_of.get(arc.target) == home:
                found.add(arc.target)
                ahead.append(arc.target)
    return False, looks
