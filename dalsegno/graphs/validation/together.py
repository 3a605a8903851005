"""Which nodes can run in the same superstep: a search over pairs of running nodes.

A pair arises where a node starts several others, and goes on until its branches meet or end. Counters
of loops and half-filled joins are not followed, so a pair that takes a loop to arise is only possible.
Deferred nodes wait until nothing else runs: one of them beside another node is a pair that goes on, and
never runs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dalsegno.graphs.model import START
from dalsegno.graphs.validation.arcs import Arc, branches, decision
from dalsegno.graphs.validation.facts import Facts

MOST_LOOKS = 50_000
"""Most pairs that are looked at: what lies beyond is left undecided."""

Pair = tuple[str, str]


@dataclass(frozen=True)
class Together:
    """`steps[a, b]` is a superstep in which a and b can both run; a is b where it is sent to.

    `sure` are the pairs that need no loop, no join beside other branches or that may starve, and no decision
    whose targets may exclude each other. Two deferred nodes may run later than the superstep that is said.
    Each pair is there once, in the order of the names. `complete` is False where the search was cut.
    """

    steps: Mapping[Pair, int]
    sure: frozenset[Pair]
    complete: bool


def together(facts: Facts) -> Together:
    """The pairs of nodes that can run in the same superstep."""
    steps: dict[Pair, int] = {}
    if not facts.parallel:
        return Together(steps, frozenset(), True)
    search = _Search(facts)
    depth = facts.depth
    queue: deque[Pair] = deque()
    unsure: deque[tuple[Pair, int]] = deque()

    def meet(pair: Pair, step: int, certain: bool) -> None:
        if pair in steps:
            return
        if certain:
            steps[pair] = step
            queue.append(pair)
        else:
            unsure.append((pair, step))

    looks = 0
    for name in (START, *(n.name for n in facts.order)):
        for pair, certain in search.started_by(name):
            looks += 1
            if looks > MOST_LOOKS:
                break
            meet(pair, depth[name] + 1, certain and name in facts.visited)
    while queue and looks < MOST_LOOKS:
        pair = queue.popleft()
        for after, certain in search.after(pair):
            looks += 1
            if looks > MOST_LOOKS:
                break
            meet(after, steps[pair] + 1, certain)
    sure = frozenset(steps)
    while unsure and looks < MOST_LOOKS:
        pair, step = unsure.popleft()
        if pair in steps:
            continue
        steps[pair] = step
        for after, _ in search.after(pair):
            looks += 1
            if looks > MOST_LOOKS:
                break
            unsure.append((after, step + 1))
    late = search.late
    if late:
        steps = {(a, b): step for (a, b), step in steps.items() if (a in late) == (b in late)}
        sure &= steps.keys()
    return Together(steps, sure, looks < MOST_LOOKS)


class _Search:
    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.exact = facts.spec.exact_choices
        # A task that is sent is not deferred.
        self.late = frozenset(n.name for n in facts.order if n.defer) - facts.sent_to
        self._branches: dict[str, list[list[Arc]]] = {}
        self._before: dict[int, frozenset[str]] = {}

    def branches(self, name: str) -> list[list[Arc]]:
        if name not in self._branches:
            self._branches[name] = branches(self.facts.out.get(name, ()), self.exact)
        return self._branches[name]

    def started_by(self, name: str) -> Iterator[tuple[Pair, bool]]:
        """The pairs that one execution of a node starts."""
        groups = self.branches(name)
        for i, group in enumerate(groups):
            for arc in group:
                if arc.edge.fans_out and arc.edge.each != 1:
                    yield (arc.target, arc.target), True
            for other in groups[i + 1 :]:
                for a in group:
                    for b in other:
                        if a.target != b.target and not self._instead(a, b):
                            yield _pair(a.target, b.target), self._certain(a) and self._certain(b)

    def _instead(self, a: Arc, b: Arc) -> bool:
        """Whether a decision either sends, or takes one way: never both, which is refused when it runs."""
        one = self.exact and a.edge.kind == "choice" and not a.edge.many and decision(a) == decision(b)
        return one and a.edge.fans_out != b.edge.fans_out

    def after(self, pair: Pair) -> Iterator[tuple[Pair, bool]]:
        """The pairs that can follow one superstep later."""
        left, right = pair
        if (left in self.late) != (right in self.late):
            yield from self._waiting(*((left, right) if left in self.late else (right, left)))
            return
        yield from self.started_by(left)
        if left != right:
            yield from self.started_by(right)
        for a in (arc for group in self.branches(left) for arc in group):
            if a.edge.kind == "join" and not self._fires(a, right):
                continue
            for b in (arc for group in self.branches(right) for arc in group):
                if a.target == b.target or (b.edge.kind == "join" and not self._fires(b, left)):
                    continue
                yield _pair(a.target, b.target), self._certain(a) and self._certain(b)

    def _waiting(self, waits: str, runs: str) -> Iterator[tuple[Pair, bool]]:
        """The pairs that can follow where a deferred node waits for what runs."""
        yield from self.started_by(runs)
        for arc in (arc for group in self.branches(runs) for arc in group):
            if arc.target != waits and (arc.edge.kind != "join" or self._fires(arc, waits)):
                yield _pair(waits, arc.target), self._certain(arc)

    def _certain(self, arc: Arc) -> bool:
        edge = arc.edge
        if edge.loop is not None or edge.exhausted_of is not None or edge.kind in ("command", "join"):
            return False
        return self.exact or edge.kind != "choice"

    def _fires(self, arc: Arc, other: str) -> bool:
        """Whether a join may fire while `other` runs beside its source: not if it waits for that branch."""
        key = id(arc.edge)
        if key not in self._before:
            import networkx as nx

            found: set[str] = set()
            for origin in arc.edge.origins:
                found |= nx.ancestors(self.facts.free, origin) | {origin}
            self._before[key] = frozenset(found)
        return other not in self._before[key]


def _pair(a: str, b: str) -> Pair:
    return (a, b) if a <= b else (b, a)
