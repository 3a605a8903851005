"""The bound on supersteps: the longest walk through a workflow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from dalsegno.graphs.model import END, START, EdgeSpec
from dalsegno.graphs.validation.circulation import Bounded
from dalsegno.graphs.validation.deferral import Waits, waits
from dalsegno.graphs.validation.facts import Facts
from dalsegno.graphs.validation.report import Tier
from dalsegno.graphs.validation.walks import Longest, Uses, WalkGraph, longest
from dalsegno.graphs.validation.witness import Walk, euler_walk

WITNESS_NODES = 1_000
"""Most nodes of a witness that are kept."""


@dataclass(frozen=True)
class BoundedWalk:
    """A bound on the weight of walks, and the heaviest walk that was found.

    `names` are the first nodes of that walk, `cut` says whether there are more; `realizable` that
    some run really goes this way.
    """

    bound: int
    found: int
    names: tuple[str, ...]
    cut: bool
    realizable: bool
    tier: Tier = "linear"
    visited: frozenset[str] = frozenset()


class Walks:
    """The walks of one workflow, on whole numbers: START is 0, END is left out."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.names = [START, *(n.name for n in facts.order)]
        self.index = {name: i for i, name in enumerate(self.names)}
        self._walked: dict[tuple[int, ...], BoundedWalk] = {}

    @cached_property
    def waits(self) -> Waits:
        """What deferred nodes may wait for."""
        return waits(self.facts)

    @cached_property
    def loops(self) -> Mapping[str, Bounded]:
        """The bounded steps by their counter."""
        found: dict[str, Bounded] = {}
        for arc in self.facts.live:
            if arc.edge.loop is not None and arc.target != END:
                tail, head = self.index[arc.source], self.index[arc.target]
                key, times = arc.edge.counter, arc.edge.loop
                if key in found:
                    times = max(times, found[key].times)
                found[key] = Bounded(key, (tail,), head, times)
        for name, sources in self.waits.again.items():
            tails = tuple(self.index[s] for s in sources)
            times = self.waits.rounds[name]
            found[f"wait of {name}"] = Bounded(f"wait of {name}", tails, self.index[name], times)
        return found

    @cached_property
    def _free(self) -> list[list[int]]:
        index = self.index
        free: list[list[int]] = [[] for _ in self.names]
        for source, target in self.waits.free.edges:
            if target != END:
                free[index[source]].append(index[target])
        return free

    @cached_property
    def _frame(self) -> tuple[list[int], list[list[int]], list[int]]:
        """Topological order, components and the order in which to go through them backwards."""
        index = self.index
        order = [index[n] for n in self.waits.topological if n != END]
        loops = list(self.loops.values())
        if not loops:
            return order, [], order[::-1]
        position = {v: i for i, v in enumerate(order)}
        alone = {loop.head for loop in loops if loop.head in loop.tails}
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
        """The strongly connected components, waiting included, each before all that lead to it."""
        index = self.index
        if self.waits.free is self.facts.free:
            for names in self.facts.backwards:
                if END not in names:
                    yield [index[n] for n in names]
            return
        import networkx as nx

        whole: Any = nx.DiGraph()
        whole.add_nodes_from(range(len(self.names)))
        whole.add_edges_from((v, t) for v, targets in enumerate(self._free) for t in targets)
        whole.add_edges_from((t, loop.head) for loop in self.loops.values() for t in loop.tails)
        for members in nx.strongly_connected_components(whole):
            yield list(members)

    def longest(self, weight: Mapping[str, int], *, exact: bool = False) -> Longest:
        """The bound on walks in which a node counts `weight` of its name (START counts nothing)."""
        order, components, backwards = self._frame
        weights = [0, *(weight[n] for n in self.names[1:])]
        loops = tuple(self.loops.values())
        graph = WalkGraph(weights, self._free, loops, order, components, backwards)
        # Where branches run side by side, another one may spend a loop: then nothing waits for it.
        needs = {} if self.facts.parallel else self._needs
        return longest(graph, exact=exact, needs=needs)

    @property
    def forwards(self) -> Iterator[tuple[str, ...]]:
        """The components after START, each behind all that lead to it, its nodes in topological order."""
        _, components, backwards = self._frame
        for v in reversed(backwards):
            if v < 0:
                yield tuple(self.names[m] for m in reversed(components[-1 - v]))
            elif v:
                yield (self.names[v],)

    @cached_property
    def latest(self) -> Mapping[str, int]:
        """The latest superstep in which a node can run: the longest walk to it."""
        order, components, backwards = self._frame
        back: list[list[int]] = [[] for _ in self.names]
        for v, targets in enumerate(self._free):
            for t in targets:
                back[t].append(v)
        bounded = tuple(
            Bounded(f"{loop.key} {tail}", (loop.head,), tail, loop.times)
            for loop in self.loops.values()
            for tail in loop.tails
        )
        weights = [0] + [1] * (len(self.names) - 1)
        graph = WalkGraph(weights, back, bounded, order[::-1], [c[::-1] for c in components], backwards[::-1])
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
            counter = arc.edge.exhausted_of
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
        names = self.names
        return BoundedWalk(
            bound=longest_one.value[0],
            found=sum(weight[names[v]] * n for v, n in walk.visits.items() if v),
            names=tuple(names[v] for v in walk.nodes[1:]),
            cut=walk.cut,
            realizable=walk.realizable and self._sure(walk),
            tier="exact walk" if exact else "linear",
            visited=frozenset(names[v] for v in walk.visits),
        )

    def _euler(self, uses: Uses, last: int) -> Walk:
        limits = {key: loop.times for key, loop in self.loops.items()}
        return euler_walk(uses, 0, last, limits=limits, needs=self._needs, most=WITNESS_NODES + 1)

    def _sure(self, walk: Walk) -> bool:
        """Whether other branches can be kept from disturbing a walk: see `Facts.parallel`."""
        facts = self.facts
        if not facts.parallel:
            return True
        for source, target, key in walk.steps:
            leaving = facts.out.get(self.names[source], ())
            if key is not None and not any(_is_alternative(a.edge) for a in leaving):
                return False
            arcs = [a for a in leaving if a.target == self.names[target]]
            if key is None and not any(a.edge.kind != "join" or self._always_fires(a.edge) for a in arcs):
                return False
        return True

    def _always_fires(self, join: EdgeSpec) -> bool:
        """Whether a join fires in every run, once, by the latest of its sources."""
        facts = self.facts
        return join.target not in facts.component_of and all(
            o in facts.certain and o not in facts.component_of for o in join.origins
        )


def _is_alternative(edge: EdgeSpec) -> bool:
    """Whether a router can take this edge to leave a loop alone."""
    return edge.kind in ("choice", "command") and edge.loop is None and edge.exhausted_of is None
