"""Every state that some run can come to: exact with joins, as long as there are not too many.

A state is the set of nodes that run, the deferred ones that wait, what has arrived at joins, and what
loops have counted. Failures, decisions for several targets and fan-outs take every way they may.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    """What a run is at between two supersteps; `tasks` says which nodes run several times at once."""

    running: frozenset[str]
    tasks: tuple[tuple[str, int], ...]
    waiting: frozenset[str]
    arrived: frozenset[Arrival]
    counted: tuple[tuple[str, int], ...]


class Outcome(NamedTuple):
    """What one execution leads to: what it starts by edges and by fan-outs, where it is joined, its loops."""

    targets: frozenset[str]
    sent: tuple[tuple[str, int], ...]
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
        self.never_open = frozenset(map(id, facts.never_open))
        self.deferred = frozenset(n.name for n in facts.order if n.defer)
        # So many tasks of one node can take all that leaves it, and fail besides: more of them are no different.
        self.most_tasks = 1 + max(map(len, facts.written_out.values()), default=0)
        self._decisions: dict[str, list[list[EdgeSpec]]] = {}

    def run(self) -> States | None:
        nothing = State(frozenset((START,)), (), frozenset(), frozenset(), ())
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
        tasks = dict(state.tasks)
        ways = [self._ways(name, tasks.get(name, 1), counted) for name in sorted(state.running)]
        size = 1
        for way in ways:
            size *= len(way)
        if size > MOST_WAYS:
            raise _TooMany
        return iter({self._joined(state, combination) for combination in itertools.product(*ways)})

    def _joined(self, state: State, outcomes: Iterable[Outcome]) -> State:
        counted = dict(state.counted)
        targets: set[str] = set()
        sent: Counter[str] = Counter()
        arrived = set(state.arrived)
        for outcome in outcomes:
            targets |= outcome.targets
            sent.update(dict(outcome.sent))
            arrived |= outcome.arrivals
            for key in outcome.loops:
                counted[key] = counted.get(key, 0) + 1
        for i, edge in enumerate(self.joins):
            wanted = {(i, o) for o in edge.origins}
            if wanted <= arrived:
                targets.add(edge.target)
                if edge.target not in self.deferred:
                    arrived -= wanted
        targets.discard(END)
        waiting = state.waiting | (targets & self.deferred)
        running = frozenset(targets - self.deferred)
        if not running:
            running, waiting = waiting, frozenset()
            arrived = self._without_those_of(running, arrived)
        # What is sent neither waits nor holds back what is deferred.
        sent.update(running & sent.keys())
        tasks = tuple(sorted((n, min(count, self.most_tasks)) for n, count in sent.items() if count > 1))
        return State(running.union(sent), tasks, waiting, frozenset(arrived), tuple(sorted(counted.items())))

    def _without_those_of(self, released: frozenset[str], arrived: set[Arrival]) -> set[Arrival]:
        """What joins hold when deferred nodes run: until then a join of theirs takes every further arrival for one."""
        left = set(arrived)
        for i, edge in enumerate(self.joins):
            wanted = {(i, o) for o in edge.origins}
            if edge.target in released and wanted <= arrived:
                left -= wanted
        return left

    def _ways(self, name: str, tasks: int, counted: Mapping[str, int]) -> list[Outcome]:
        """What the tasks of one node lead to: each decides for itself."""
        single = list(dict.fromkeys(self._outcomes(name, counted)))
        if tasks == 1:
            return single
        if len(single) > 10:
            raise _TooMany
        sizes = range(1, min(tasks, len(single)) + 1)
        return [_together(chosen, tasks) for size in sizes for chosen in itertools.combinations(single, size)]

    def _outcomes(self, name: str, counted: Mapping[str, int]) -> Iterator[Outcome]:
        arcs = [a.edge for a in self.facts.written_out.get(name, ()) if a.edge.each != 0]
        failing = [e for e in arcs if e.kind == "handler" and e.exhausted_of is None]
        always = frozenset(e.target for e in arcs if e.kind == "static")
        arrivals = frozenset((i, name) for i, e in enumerate(self.joins) if name in e.origins)
        options = [list(self._options(group, counted)) for group in self._groups(name, arcs)]
        for taken in self._options(failing, counted) if failing else ():
            yield Outcome(frozenset(e.target for e in taken), (), frozenset(), _counters(taken))
        for combination in itertools.product(*options):
            taken = tuple(e for chosen in combination for e in chosen)
            pulled = always | {e.target for e in taken if not e.fans_out}
            sent = tuple((e.target, e.each or 1) for e in taken if e.fans_out)
            yield Outcome(pulled, sent, arrivals, _counters(taken))

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
                taken = self.facts.ways_out.after(taken)
            if taken is not None and id(taken) not in self.never_open:
                open_ones.append(taken)
        first = group[0]
        several = first.many or first.kind != "choice" or not self.facts.spec.exact_choices
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


def _together(outcomes: Sequence[Outcome], tasks: int) -> Outcome:
    """What so many tasks of one node lead to, that each decide for one of these; loops leave no such node."""
    targets = frozenset().union(*(o.targets for o in outcomes))
    arrivals = frozenset().union(*(o.arrivals for o in outcomes))
    sent = Counter[str]()
    for outcome in outcomes:
        sent.update({name: times * tasks for name, times in outcome.sent})
    return Outcome(targets, tuple(sent.items()), arrivals, ())


def _counters(taken: Iterable[EdgeSpec]) -> tuple[str, ...]:
    return tuple(e.counter for e in taken if e.loop is not None)
