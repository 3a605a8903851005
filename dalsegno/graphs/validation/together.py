"""Which nodes can run in the same superstep: a search over pairs of running nodes.

A pair arises where a node starts several others, and goes on until its branches meet or end. Counters
of loops and half-filled joins are not followed, so a pair that takes a loop to arise is only possible.
A deferred node that waits beside another node is a pair that goes on, and does not run: it runs when no
edge leads to anything else. What is sent to neither waits nor holds it back.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from dalsegno.graphs.model import START
from dalsegno.graphs.validation.arcs import Arc, branches, decision
from dalsegno.graphs.validation.facts import Facts

MOST_LOOKS = 40_000
"""Most pairs that are looked at: what lies beyond is left undecided."""

Pair = tuple[str, str]


Token = int
"""A node that runs, by its place in the order of the names; ``~token`` is a deferred one that waits."""

Tokens = tuple[Token, Token]


class Step(NamedTuple):
    """An arc as it is taken: what it starts, whether by a fan-out, and whether some run surely takes it."""

    token: Token
    sent: bool
    certain: bool
    arc: Arc


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
    steps: dict[Tokens, int] = {}
    if not facts.parallel:
        return Together({}, frozenset(), True)
    search = _Search(facts)
    depth = facts.depth
    queue: deque[Tokens] = deque()
    unsure: deque[tuple[Tokens, int]] = deque()

    def meet(pair: Tokens, step: int, certain: bool) -> None:
        if pair in steps:
            return
        if certain:
            steps[pair] = step
            queue.append(pair)
        else:
            unsure.append((pair, step))

    looks = _Looks(MOST_LOOKS)
    for name in (START, *(n.name for n in facts.order)):
        for pair, certain in looks.at(search.started_by(name)):
            meet(pair, depth[name] + 1, certain and name in facts.visited)
    unvisited = set(search.names) - facts.visited
    while queue and looks.left:
        pair = queue.popleft()
        following = search.after(pair)
        if unvisited:
            following = itertools.chain(search.started_too(pair, unvisited), following)
        for after, certain in looks.at(following):
            meet(after, steps[pair] + 1, certain)
    sure = len(steps)  # the first of them
    while unsure and looks.left:
        pair, step = unsure.popleft()
        if pair in steps:
            continue
        steps[pair] = step
        unsure.extend((after, step + 1) for after, _ in looks.at(search.after(pair)))
    running = search.running(steps)
    is_sure = (a >= 0 and b >= 0 for a, b in itertools.islice(steps, sure))
    return Together(running, frozenset(itertools.islice(running, sum(is_sure))), looks.left > 0)


class _Looks:
    """How many pairs may still be looked at."""

    def __init__(self, most: int) -> None:
        self.left = most

    def at(self, found: Iterable[tuple[Tokens, bool]]) -> Iterator[tuple[Tokens, bool]]:
        """As many of them as may be looked at."""
        for each in found:
            if not self.left:
                return
            self.left -= 1
            yield each


class _Search:
    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.exact = facts.spec.exact_choices
        self.names = sorted((START, *(n.name for n in facts.order)))
        self.deferred = frozenset(n.name for n in facts.order if n.defer)
        self._place = {name: place for place, name in enumerate(self.names)}
        self._steps: dict[str, list[list[Step]]] = {}
        self._taken: dict[str, list[Step]] = {}
        self._before: dict[int, frozenset[str]] = {}

    def running(self, steps: Mapping[Tokens, int]) -> dict[Pair, int]:
        """The pairs of which both run, by their names."""
        return {(self.names[a], self.names[b]): step for (a, b), step in steps.items() if a >= 0 and b >= 0}

    def steps(self, name: str) -> list[list[Step]]:
        """What leaves a node, grouped into what is taken side by side."""
        if name not in self._steps:
            groups = branches(self.facts.out.get(name, ()), self.exact)
            self._steps[name] = [[self._step(arc) for arc in group] for group in groups]
        return self._steps[name]

    def taken(self, name: str) -> list[Step]:
        """The same in one list."""
        if name not in self._taken:
            self._taken[name] = [step for group in self.steps(name) for step in group]
        return self._taken[name]

    def _step(self, arc: Arc) -> Step:
        place, sent = self._place[arc.target], arc.edge.fans_out
        waits = arc.target in self.deferred and not sent
        return Step(~place if waits else place, sent, self._certain(arc), arc)

    def started_by(self, name: str) -> Iterator[tuple[Tokens, bool]]:
        """The pairs that one execution of a node starts."""
        arcs = self.facts.out.get(name, ())
        if len(arcs) < 2 and not any(arc.edge.fans_out for arc in arcs):
            return
        groups = self.steps(name)
        for i, group in enumerate(groups):
            for step in group:
                if step.sent and step.arc.edge.each != 1:
                    yield (step.token, step.token), True
            for other in groups[i + 1 :]:
                for a in group:
                    for b in other:
                        if a.sent == b.sent or not self._instead(a.arc, b.arc):
                            yield from _beside(a, b)

    def _instead(self, a: Arc, b: Arc) -> bool:
        """Whether of two arcs, one of a fan-out, a decision takes but one: it sends, or it goes one way."""
        return self.exact and a.edge.kind == "choice" and not a.edge.many and decision(a) == decision(b)

    def started_too(self, pair: Tokens, unvisited: set[str]) -> Iterator[tuple[Tokens, bool]]:
        """The pairs that a node starts of which this pair says that some run comes to it."""
        for name in (self.names[token] for token in pair if token >= 0):
            if name in unvisited:
                unvisited.discard(name)
                yield from self.started_by(name)

    def after(self, pair: Tokens) -> Iterator[tuple[Tokens, bool]]:
        """The pairs that can follow one superstep later."""
        if pair[0] < 0 or pair[1] < 0:
            yield from self._waiting(min(pair), max(pair))
            return
        left, right = self.names[pair[0]], self.names[pair[1]]
        beside = [b for b in self.taken(right) if b.arc.edge.kind != "join" or self._fires(b.arc, left)]
        for a in self.taken(left):
            if a.arc.edge.kind != "join" or self._fires(a.arc, right):
                for b in beside:
                    yield from _beside(a, b)

    def _waiting(self, waits: Token, runs: Token) -> Iterator[tuple[Tokens, bool]]:
        """The pairs that can follow where a deferred node waits for what runs."""
        for step in self.taken(self.names[runs]):
            fires = step.arc.edge.kind != "join" or self._fires(step.arc, self.names[~waits])
            if step.token != waits and fires:
                yield from _met(waits, step.token, step.sent, step.certain)

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


def _beside(a: Step, b: Step) -> Iterable[tuple[Tokens, bool]]:
    """What two steps in one superstep start: nothing side by side where edges lead to one node."""
    sent = a.sent or b.sent
    if a.arc.target == b.arc.target and not sent:
        return ()
    return _met(a.token, b.token, sent, a.certain and b.certain)


def _met(a: Token, b: Token, sent: bool, certain: bool) -> Iterable[tuple[Tokens, bool]]:
    """The pair of two that meet, and whether they surely do; `sent` if a fan-out is among what started them."""
    if a < 0 and b < 0:
        return ((_pair(~a, ~b), certain),)
    if sent and (a < 0 or b < 0):  # it waits on where an edge leads to a third
        return ((_pair(a, b), False), (_pair(max(a, ~a), max(b, ~b)), False))
    return ((_pair(a, b), certain),)


def _pair(a: Token, b: Token) -> Tokens:
    return (a, b) if a <= b else (b, a)
