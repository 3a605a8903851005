"""The bound on supersteps: the longest walk through a workflow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from dalsegno.graphs.model import END, START, EdgeSpec
from dalsegno.graphs.validation.circulation import Bounded
from dalsegno.graphs.validation.executions import Executions
from dalsegno.graphs.validation.facts import Facts
from dalsegno.graphs.validation.report import Tier
from dalsegno.graphs.validation.walks import Longest, Uses, WalkGraph, longest
from dalsegno.graphs.validation.witness import Walk, euler_walk

WAITING = "waiting of deferred nodes"
"""The key of the bounded step that stands for waiting."""

WITNESS_NODES = 1_000
"""Most nodes of a witness that are kept."""


@dataclass(frozen=True)
class BoundedWalk:
    """A bound on the weight of walks, and the heaviest walk that was found.

    `names` are the first nodes of that walk, `cut` says whether there are more; `visits` how often it comes to
    each node; `realizable` that some run really goes this way.
    """

    bound: int
    found: int
    names: tuple[str, ...]
    cut: bool
    realizable: bool
    tier: Tier = "linear"
    visits: Mapping[str, int] = field(default_factory=dict)


class Walks:
    """The walks of one workflow, on whole numbers: START is 0, END is left out.

    A deferred node runs when nothing else is left to run, so the task before it need not be the one that
    triggered it. It is entered only through two nodes of no weight that every node leads to, with a
    bounded step between them: taken as often as nothing else is left, at most as often as one walk along
    the edges comes to deferred nodes (whatever triggers the last of them passes one each time, or what was
    sent beside it). What is sent to a deferred node does not wait: there is a step from its sender.
    """

    def __init__(self, facts: Facts, *, waiting: bool = True) -> None:
        self.facts = facts
        self.names = [START, *(n.name for n in facts.order)]
        self.index = {name: i for i, name in enumerate(self.names)}
        deferred = {n.name for n in facts.order if n.defer} if waiting and facts.parallel else set()
        self.deferred = frozenset(self.index[n] for n in deferred)
        self._walked: dict[tuple[int, ...], BoundedWalk] = {}

    @cached_property
    def executions(self) -> Executions:
        """How often each node runs."""
        return Executions(self.facts, self)

    @cached_property
    def rounds(self) -> int:
        """How often deferred nodes run at most, those that run together counted once."""
        facts, plain = self.facts, Walks(self.facts, waiting=False)
        marked = facts.beside_deferred.union(n.name for n in facts.order if n.defer)
        return plain.longest({n.name: int(n.name in marked) for n in facts.order}).value[0]

    @cached_property
    def loops(self) -> Mapping[str, Bounded]:
        """The bounded steps by their counter."""
        found: dict[str, Bounded] = {}
        for arc in self.facts.live:
            if arc.edge.loop is not None and arc.target != END:
                tail, head = self.index[arc.source], self.index[arc.target]
                key, times = arc.edge.counter, arc.edge.loop
                if head in self.deferred:
                    continue
                if key in found:
                    times = max(times, found[key].times)
                found[key] = Bounded(key, tail, head, times)
        if self.deferred:
            size = len(self.names)
            found[WAITING] = Bounded(WAITING, size, size + 1, self.rounds)
        return found

    @cached_property
    def _free(self) -> list[list[int]]:
        index, deferred = self.index, self.deferred
        free: list[list[int]] = [[] for _ in self.names]
        for source, target in self.facts.free.edges:
            if target != END and index[target] not in deferred:
                free[index[source]].append(index[target])
        if deferred:
            for arc in self.facts.live:
                if arc.edge.fans_out and index[arc.target] in deferred:
                    free[index[arc.source]].append(index[arc.target])
            size = len(free)
            for steps in free:
                steps.append(size)
            free += [[], sorted(deferred)]
        return free

    @cached_property
    def _frame(self) -> tuple[list[int], list[list[int]], list[int]]:
        """Topological order, components and the order in which to go through them backwards."""
        index, size = self.index, len(self.names)
        order = [index[n] for n in self.facts.topological if n != END]
        if self.deferred:
            order = [size + 1, *order, size]
        loops = list(self.loops.values())
        if not loops:
            return order, [], order[::-1]
        position = {v: i for i, v in enumerate(order)}
        alone = {loop.head for loop in loops if loop.head == loop.tail}
        components: list[list[int]] = []
        backwards: list[int] = []
        for members in self._backwards:
            if len(members) == 1 and members[0] not in alone:
                backwards.append(members[0])
            else:
                components.append(sorted(members, key=position.__getitem__, reverse=True))
                backwards.append(-len(components))
        return order, components, backwards

    @property
    def _backwards(self) -> Iterator[Sequence[int]]:
        """The strongly connected components, each before all that lead to it."""
        if not self.deferred:
            for names in self.facts.backwards:
                if END not in names:
                    yield [self.index[n] for n in names]
            return
        import networkx as nx

        whole: Any = nx.DiGraph()
        whole.add_nodes_from(range(len(self._free)))
        whole.add_edges_from((v, t) for v, targets in enumerate(self._free) for t in targets)
        whole.add_edges_from((loop.tail, loop.head) for loop in self.loops.values())
        for members in nx.strongly_connected_components(whole):
            yield list(members)

    def longest(self, weight: Mapping[str, int], *, exact: bool = False) -> Longest:
        """The bound on walks in which a node counts `weight` of its name (START counts nothing)."""
        order, components, backwards = self._frame
        weights = [0, *(weight[n] for n in self.names[1:])]
        weights += [0] * (len(self._free) - len(weights))
        loops = tuple(self.loops.values())
        graph = WalkGraph(weights, self._free, loops, order, components, backwards)
        # Where branches run side by side, another one may spend a loop: then nothing waits for it.
        needs = {} if self.facts.parallel else self._needs
        return longest(graph, exact=exact, needs=needs)

    @property
    def forwards(self) -> Iterator[tuple[str, ...]]:
        """The components of the edges alone after START, each behind all that lead to it.

        The nodes within one come in topological order of the free edges.
        """
        place = self.facts.place
        for members in reversed(self.facts.backwards):
            if START not in members and END not in members:
                yield tuple(sorted(members, key=place.__getitem__))

    @cached_property
    def latest(self) -> Mapping[str, int]:
        """The latest superstep in which a node can run: the longest walk to it."""
        order, components, backwards = self._frame
        back: list[list[int]] = [[] for _ in self._free]
        for v, targets in enumerate(self._free):
            for t in targets:
                back[t].append(v)
        loops = tuple(Bounded(loop.key, loop.head, loop.tail, loop.times) for loop in self.loops.values())
        weights = [0] + [1] * (len(self.names) - 1) + [0] * (len(back) - len(self.names))
        graph = WalkGraph(weights, back, loops, order[::-1], [c[::-1] for c in components], backwards[::-1])
        value = longest(graph, refine=False).value
        return {name: value[i] for i, name in enumerate(self.names)}

    @cached_property
    def _needs(self) -> Mapping[tuple[int, int, str | None], frozenset[str]]:
        """The steps that are open only after a loop is spent, with the counters of these loops."""
        spent: dict[tuple[int, int, str | None], set[str]] = {}
        plain: set[tuple[int, int, str | None]] = set()
        limits = self.loops
        for arc in self.facts.live:
            if arc.target == END:
                continue
            key = arc.edge.counter if arc.edge.loop is not None else None
            step = (self.index[arc.source], self.index[arc.target], key)
            counter = self.facts.ways_out.spent_before(arc.edge)
            if counter is None or counter not in limits:
                plain.add(step)
            else:
                spent.setdefault(step, set()).add(counter)
        return {step: frozenset(keys) for step, keys in spent.items() if step not in plain}

    def walk(self, weight: Mapping[str, int], *, exact: bool = False) -> BoundedWalk:
        """The bound with the longest walk that was found, and whether that one can really be walked."""
        weights = tuple(weight[name] for name in self.names[1:])
        if weights not in self._walked:
            self._walked[weights] = self._walk(weight, exact=False)
        found = self._walked[weights]
        if exact and (found.found < found.bound or not found.realizable):
            return self._walk(weight, exact=True)
        return found

    def _walk(self, weight: Mapping[str, int], *, exact: bool) -> BoundedWalk:
        longest_one = self.longest(weight, exact=exact)
        walk = self._euler(longest_one.uses, longest_one.last)
        names, real = self.names, range(1, len(self.names))
        return BoundedWalk(
            bound=longest_one.value[0],
            found=sum(weight[names[v]] * n for v, n in walk.visits.items() if v in real),
            names=tuple(names[v] for v in walk.nodes if v in real),
            cut=walk.cut,
            realizable=walk.realizable and self._sure(walk),
            tier="exact walk" if exact else "linear",
            visits={names[v]: times for v, times in walk.visits.items() if v in real},
        )

    def _euler(self, uses: Uses, last: int) -> Walk:
        limits = {key: loop.times for key, loop in self.loops.items()}
        return euler_walk(uses, 0, last, limits=limits, needs=self._needs, most=WITNESS_NODES + 1)

    def _sure(self, walk: Walk) -> bool:
        """Whether joins fire, and other branches can be kept from disturbing a walk: see `Facts.parallel`."""
        facts = self.facts
        if not facts.parallel and not any(a.edge.kind == "join" for a in facts.live):
            return True
        for source, target, key in walk.steps:
            if key == WAITING:
                return False
            if source >= len(self.names) or target >= len(self.names):
                continue
            leaving = facts.out.get(self.names[source], ())
            if facts.parallel and key is not None and not any(_is_alternative(a.edge) for a in leaving):
                return False
            arcs = [a for a in leaving if a.target == self.names[target]]
            if key is None and not any(a.edge.kind != "join" or self._always_fires(a.edge) for a in arcs):
                return False
        return True

    def _always_fires(self, join: EdgeSpec) -> bool:
        """Whether a join fires in every run, once, by the latest of its sources, or has but one of them."""
        return len(set(join.origins)) == 1 or all(
            o in self.facts.certain and self.executions.of.get(o, 1) == 1 for o in join.origins
        )


def _is_alternative(edge: EdgeSpec) -> bool:
    """Whether a router can take this edge to leave a loop alone."""
    return edge.kind in ("choice", "command") and edge.loop is None and edge.exhausted_of is None
