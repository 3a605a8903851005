"""Every state that some run can come to: exact with joins, as long as there are not too many.

A state is the set of nodes that run, the deferred ones that wait, what has arrived at joins, and what
loops have counted. Failures, decisions for several targets and fan-outs take every way they may.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from dalsegno.graphs.model import END, START, EdgeSpec
from dalsegno.graphs.validation.facts import Facts

MOST_STATES = 50_000
"""Most states that are visited; beyond it, nothing is decided."""
MOST_WAYS = 2_000
"""Most ways in which one superstep may end; beyond it, nothing is decided."""

Arrival = tuple[int, str]


class State(NamedTuple):
    """What a run is at between two supersteps."""

    running: frozenset[str]
    waiting: frozenset[str]
    arrived: frozenset[Arrival]
    counted: tuple[tuple[str, int], ...]


class Outcome(NamedTuple):
    """What one execution leads to: the nodes it starts, the joins it arrives at, the loops it takes."""

    targets: frozenset[str]
    arrivals: frozenset[Arrival]
    loops: tuple[str, ...]


@dataclass(frozen=True)
class States:
    """The longest run, as the nodes that run in each of its supersteps, and the joins left half-filled."""

    longest: tuple[frozenset[str], ...]
    half_filled: frozenset[EdgeSpec]


class _TooMany(Exception):
    pass


UNDECIDED = (
    f"there are more than {MOST_STATES:,} states: whether a run is as long as the bound, and whether joins are left "
    "half-filled, was not found out. The bounds hold."
)
"""What is said where there were too many states, or too many ways from one to the next."""


def explore(facts: Facts) -> tuple[States | None, bool]:
    """Visit every state: what was found, and whether it was decided.

    Nothing is found where there are too many of them, which is not decided, or where a run need not end.
    """
    try:
        return _Explorer(facts).run(), True
    except _TooMany:
        return None, False


class _Explorer:
    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.joins = [e for e in facts.edges if e.kind == "join"]
        self.spent = {e.exhausted_of: e for e in facts.edges if e.exhausted_of is not None}
        self.deferred = frozenset(n.name for n in facts.order if n.defer)
        self._decisions: dict[str, list[list[EdgeSpec]]] = {}

    def run(self) -> States | None:
        nothing = State(frozenset((START,)), frozenset(), frozenset(), ())
        length: dict[State, int] = {}
        best: dict[State, State | None] = {}
        half: set[EdgeSpec] = set()
        ahead: set[State] = {nothing}
        stack: list[tuple[State, Iterator[State]]] = [(nothing, self._after(nothing))]
        best[nothing] = None
        while stack:
            state, following = stack[-1]
            for after in following:
                if after in ahead:
                    return None
                if after not in length:
                    if len(best) >= MOST_STATES:
                        raise _TooMany
                    ahead.add(after)
                    best[after] = None
                    stack.append((after, self._after(after)))
                    break
                known = best[state]
                if known is None or length[after] > length[known]:
                    best[state] = after
            else:
                stack.pop()
                ahead.discard(state)
                onto = best[state]
                length[state] = (1 if state.running else 0) + (length[onto] if onto is not None else 0)
                if not state.running:
                    half.update(self.joins[i] for i, _ in state.arrived)
                if stack:
                    above = stack[-1][0]
                    known = best[above]
                    if known is None or length[state] > length[known]:
                        best[above] = state
        walk: list[frozenset[str]] = []
        at = best[nothing]
        while at is not None and at.running:
            walk.append(at.running)
            at = best[at]
        return States(tuple(walk), frozenset(half))

    def _after(self, state: State) -> Iterator[State]:
        """The states that one superstep can lead to, each once."""
        if not state.running:
            return iter(())
        counted = dict(state.counted)
        ways = [list(self._outcomes(name, counted)) for name in sorted(state.running)]
        size = 1
        for way in ways:
            size *= len(way)
        if size > MOST_WAYS:
            raise _TooMany
        return iter({self._joined(state, combination) for combination in itertools.product(*ways)})

    def _joined(self, state: State, outcomes: Iterable[Outcome]) -> State:
        counted = dict(state.counted)
        targets: set[str] = set()
        arrived = set(state.arrived)
        for outcome in outcomes:
            targets |= outcome.targets
            arrived |= outcome.arrivals
            for key in outcome.loops:
                counted[key] = counted.get(key, 0) + 1
        for i, edge in enumerate(self.joins):
            wanted = {(i, o) for o in edge.origins}
            if wanted <= arrived:
                arrived -= wanted
                targets.add(edge.target)
        targets.discard(END)
        waiting = state.waiting | (targets & self.deferred)
        running = frozenset(targets - self.deferred)
        if not running:
            running, waiting = waiting, frozenset()
        return State(running, waiting, frozenset(arrived), tuple(sorted(counted.items())))

    def _outcomes(self, name: str, counted: Mapping[str, int]) -> Iterator[Outcome]:
        arcs = [a.edge for a in self.facts.written_out.get(name, ()) if a.edge.each != 0]
        failing = [e for e in arcs if e.kind == "handler" and e.exhausted_of is None]
        always = frozenset(e.target for e in arcs if e.kind == "static")
        arrivals = frozenset((i, name) for i, e in enumerate(self.joins) if name in e.origins)
        options = [list(self._options(group, counted)) for group in self._groups(name, arcs)]
        for taken in self._options(failing, counted) if failing else ():
            yield Outcome(frozenset(e.target for e in taken), frozenset(), _counters(taken))
        for combination in itertools.product(*options):
            taken = tuple(e for chosen in combination for e in chosen)
            yield Outcome(always | {e.target for e in taken}, arrivals, _counters(taken))

    def _groups(self, name: str, arcs: Iterable[EdgeSpec]) -> list[list[EdgeSpec]]:
        if name not in self._decisions:
            groups: dict[tuple[str, str | None], list[EdgeSpec]] = {}
            for edge in arcs:
                if edge.kind in ("choice", "command") and edge.exhausted_of is None:
                    groups.setdefault((edge.kind, edge.router), []).append(edge)
            self._decisions[name] = list(groups.values())
        return self._decisions[name]

    def _options(self, group: list[EdgeSpec], counted: Mapping[str, int]) -> Iterator[tuple[EdgeSpec, ...]]:
        """What one decision may take, spent loops replaced by their way out."""
        open_ones: list[EdgeSpec] = []
        for edge in group:
            taken: EdgeSpec | None = edge
            while (
                taken is not None and taken.loop is not None and counted.get(taken.counter, 0) >= taken.loop
            ):
                taken = self.spent.get(taken.counter)
            if taken is not None:
                open_ones.append(taken)
        first = group[0]
        several = first.many or first.kind != "choice" or not self.facts.spec.exact_choices
        # Tasks of one fan-out decide each for itself.
        several = several or first.source in self.facts.sent_to
        if several and len(open_ones) > 10:
            raise _TooMany
        for size in range(1, len(open_ones) + 1 if several else 2):
            yield from itertools.combinations(open_ones, size)
        if not several:  # it sends to several at once, or takes one way
            sends = [edge for edge in open_ones if edge.fans_out]
            if len(sends) > 10:
                raise _TooMany
            for size in range(2, len(sends) + 1):
                yield from itertools.combinations(sends, size)


def _counters(taken: Iterable[EdgeSpec]) -> tuple[str, ...]:
    return tuple(e.counter for e in taken if e.loop is not None)
