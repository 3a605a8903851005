"""The longest walk through a graph whose loops are bounded.

A run has as many supersteps as its longest causal walk: every task of a superstep was triggered by
a task of the one before, a join by its last arrival. Without bounded edges the graph is acyclic. So a
walk within a strongly connected component is a first stretch to the tail of a loop, stretches from
a loop's head to a loop's tail, and a last stretch from a head; each stretch is a path.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from dalsegno.graphs.validation.circulation import Bounded, Flow, best_flow
from dalsegno.graphs.validation.exact import ExactWalk, Exit, Step, exact_walk

FLOW_LOOPS = 64
"""Most loops of one component for which the flow is computed; beyond it, the sum over loops."""
FLOW_ENTRIES = 8
"""Most entries of one component for which the flow is computed."""
FLOW_WORK = 1_000_000
"""Most loops times nodes of one component for which the flow is computed."""

NEVER = -(1 << 200)
"""Less than any walk: there is none."""

Uses = dict[tuple[int, int, str | None], int]
"""How often a walk takes each step: (from, to, key of the bounded step or None)."""


@dataclass(frozen=True)
class WalkGraph:
    """A graph of whole numbers in which long walks are sought; walks begin at node 0.

    `free[v]` are the steps from v that nothing bounds; `topological` is an order in which all of them
    lead forward; `components` hold a cycle when bounded steps are counted; `backwards` lists single
    nodes (v) and components (-1 - index) so that every step out of one leads to an earlier one.
    """

    weight: Sequence[int]
    free: Sequence[Sequence[int]]
    bounded: Sequence[Bounded]
    topological: Sequence[int]
    components: Sequence[Sequence[int]]
    backwards: Sequence[int]


@dataclass(frozen=True)
class Longest:
    """`value[v]` bounds the weight of the walks from v, v among it; `uses` is a walk from node 0."""

    value: Sequence[int]
    uses: Uses
    last: int


@dataclass
class _Component:
    """One component: its nodes in reverse topological order, and how to walk in it."""

    members: Sequence[int]
    loops: Sequence[Bounded]
    leaving: dict[int, int] = field(default_factory=dict)
    exit_to: dict[int, int] = field(default_factory=dict)
    steps: dict[int, dict[int, int]] = field(default_factory=dict)
    flows: dict[int, Flow] = field(default_factory=dict)
    exact: dict[int, ExactWalk] = field(default_factory=dict)


def longest(
    graph: WalkGraph,
    *,
    refine: bool = True,
    exact: bool = False,
    needs: Mapping[Step, frozenset[str]] | None = None,
) -> Longest:
    """Bound the weight of the walks from every node.

    `refine` uses the flow where a component is small enough; then only the values of node 0, and of
    nodes at which components are entered, are as tight. `exact` solves an integer program where more
    than one loop is involved, and heeds `needs`: the steps that are open only once one of some loops is
    spent.
    """
    return _Search(graph, refine, exact, needs or {}).run()


class _Search:
    def __init__(
        self,
        graph: WalkGraph,
        refine: bool,
        exact: bool,
        needs: Mapping[Step, frozenset[str]],
    ) -> None:
        self.graph = graph
        self.exact = exact
        self.needs = needs
        self.value = [0] * len(graph.weight)
        self.next: list[tuple[int, str | None]] = [(-1, None)] * len(graph.weight)
        of = self.of = [-1] * len(graph.weight)
        for index, members in enumerate(graph.components):
            for v in members:
                of[v] = index
        self.outward: dict[int, list[tuple[int, str | None]]] = defaultdict(list)
        loops: list[list[Bounded]] = [[] for _ in graph.components]
        for loop in graph.bounded:
            if of[loop.tail] != -1 and of[loop.tail] == of[loop.head]:
                loops[of[loop.head]].append(loop)
            else:
                self.outward[loop.tail].append((loop.head, loop.key))
        self.parts = [_Component(m, ls) for m, ls in zip(graph.components, loops, strict=True)]
        self.entries = self._entries() if refine and graph.components else set()

    def _entries(self) -> set[int]:
        of, found = self.of, {0}
        for v, targets in enumerate(self.graph.free):
            found.update(t for t in targets if of[t] != -1 and of[t] != of[v])
        found.update(t for targets in self.outward.values() for t, _ in targets)
        return found

    def run(self) -> Longest:
        value, weight, free, outward = self.value, self.graph.weight, self.graph.free, self.outward
        for v in self.graph.backwards:
            if v < 0:
                self._component(self.parts[-1 - v])
                continue
            best, onto = 0, -1
            for t in free[v]:
                if onto < 0 or value[t] > best:
                    best, onto = value[t], t
            self.next[v] = (onto, None)
            for t, key in outward.get(v, ()):
                if onto < 0 or value[t] > best:
                    best, onto = value[t], t
                    self.next[v] = (t, key)
            value[v] = weight[v] + best
        uses, last = self._walk()
        return Longest(value, uses, last)

    def _component(self, part: _Component) -> None:
        weight, free, value, of = self.graph.weight, self.graph.free, self.value, self.of
        c = of[part.members[0]]
        tails = {loop.tail for loop in part.loops}
        leaving, to_tail = part.leaving, dict[int, int]()
        for v in part.members:
            best, onto, reach = 0, -1, 0 if v in tails else NEVER
            for t in free[v]:
                inside = of[t] == c
                gain = leaving[t] if inside else value[t]
                if inside:
                    reach = max(reach, to_tail[t])
                if onto < 0 or gain > best:
                    best, onto = gain, t
            self.next[v] = (onto, None)
            for t, key in self.outward.get(v, ()):
                if onto < 0 or value[t] > best:
                    best, onto = value[t], t
                    self.next[v] = (t, key)
            leaving[v] = weight[v] + best
            to_tail[v] = weight[v] + reach
        gain_of = {loop.head: max(to_tail[loop.head], 0) for loop in part.loops}
        total = sum(loop.times * gain_of[loop.head] for loop in part.loops)
        last = max((leaving[h] - gain for h, gain in gain_of.items()), default=NEVER)
        for v in part.members:
            value[v] = max(leaving[v], to_tail[v] + total + last)
        entries = [v for v in part.members if v in self.entries]
        if self.exact:
            for v in entries:
                self._exactly(part, v)
            entries = [v for v in entries if v not in part.exact]
        small = len(part.loops) <= FLOW_LOOPS and len(part.loops) * len(part.members) <= FLOW_WORK
        if entries and small and len(entries) <= FLOW_ENTRIES:
            distances = self._distances(part, tails)
            for v in entries:
                flow = part.flows[v] = best_flow(v, part.loops, distances, leaving)
                value[v] = min(value[v], flow.value)

    def _exactly(self, part: _Component, entry: int) -> None:
        """Replace the bound from `entry` by the value of the heaviest walk, if that can be decided."""
        inside, value = set(part.members), self.value
        exits: list[Exit] = []
        for v in part.members:
            outside = [(t, None) for t in self.graph.free[v] if t not in inside]
            exits += [Exit(v, t, key, value[t]) for t, key in (*outside, *self.outward.get(v, ()))]
            # A walk may stop anywhere: one that must go on is heavier, and is found too.
            exits.append(Exit(v, -1, None, 0))
        found = exact_walk(
            entry,
            members=part.members,
            weight=self.graph.weight,
            free=self.graph.free,
            loops=part.loops,
            exits=exits,
            needs=self.needs,
        )
        if found is not None:
            part.exact[entry] = found
            value[entry] = found.value

    def _distances(self, part: _Component, tails: Iterable[int]) -> Mapping[int, Mapping[int, int]]:
        """For each tail the longest path to it from every node of its component."""
        weight, free = self.graph.weight, self.graph.free
        position = {v: i for i, v in enumerate(part.members)}
        found: dict[int, dict[int, int]] = {}
        for tail in sorted(tails):
            reach, step = {tail: weight[tail]}, dict[int, int]()
            for v in part.members[position[tail] + 1 :]:
                best = NEVER
                for t in free[v]:
                    if t in reach and reach[t] > best:
                        best, step[v] = reach[t], t
                if best > NEVER:
                    reach[v] = weight[v] + best
            found[tail], part.steps[tail] = reach, step
        return found

    def _walk(self) -> tuple[Uses, int]:
        """A long walk from node 0, as the number of times it takes each step."""
        uses: Uses = defaultdict(int)
        v = 0
        while True:
            onto, key = self.next[v]
            if self.of[v] != -1:
                part = self.parts[self.of[v]]
                found = part.exact.get(v)
                if found is None:
                    v = self._through(part, v, uses)
                    onto, key = self.next[v]
                else:
                    for step, count in found.uses.items():
                        uses[step] += count
                    v, (onto, key) = found.last, found.exit
            if onto < 0:
                return uses, v
            uses[v, onto, key] += 1
            v = onto

    def _through(self, part: _Component, entry: int, uses: Uses) -> int:
        """Walk through a component; its last node, from where `next` leads out."""
        flow = part.flows.get(entry)
        if flow is None:
            return self._along(part, entry, uses)
        for (start, tail), count in flow.stretches.items():
            v = start
            while v != tail:
                onto = part.steps[tail][v]
                uses[v, onto, None] += count
                v = onto
        for (key, tail, head), count in flow.steps.items():
            uses[tail, head, key] += count
        return self._along(part, flow.last, uses, loops=())

    def _along(self, part: _Component, entry: int, uses: Uses, loops: Sequence[Bounded] | None = None) -> int:
        """Walk straight out of a component, around every loop whose body lies on the way."""
        c, path = self.of[entry], [entry]
        while self.next[path[-1]][0] >= 0 and self.of[self.next[path[-1]][0]] == c:
            path.append(self.next[path[-1]][0])
        position = {v: i for i, v in enumerate(path)}
        more = [0] * (len(path) + 1)
        for loop in part.loops if loops is None else loops:
            if position.get(loop.head, len(path)) <= position.get(loop.tail, -1):
                uses[loop.tail, loop.head, loop.key] += loop.times
                more[position[loop.head]] += loop.times
                more[position[loop.tail]] -= loop.times
        rounds = 1
        for i in range(len(path) - 1):
            rounds += more[i]
            uses[path[i], path[i + 1], None] += rounds
        return path[-1]
