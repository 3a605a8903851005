"""How often each node runs: tokens pushed through the graph, cut to the supersteps in which it can run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from dalsegno.graphs.model import START
from dalsegno.graphs.validation.arcs import Arc, forks
from dalsegno.graphs.validation.facts import Facts

if TYPE_CHECKING:
    from dalsegno.graphs.validation.supersteps import Walks

MOST_LOOPS = 256
"""Most loops of one component that are told apart; beyond it, all count for all of its nodes."""


class Executions:
    """Bounds on the executions of every node in one run of a workflow."""

    def __init__(self, facts: Facts, walks: Walks) -> None:
        self.facts = facts
        self.walks = walks

    @cached_property
    def endless_fan_outs(self) -> tuple[str, ...]:
        """The targets of fan-outs without a maximum: nothing bounds executions then."""
        endless = (a.target for a in self.facts.live if a.edge.fans_out and a.edge.each is None)
        return tuple(dict.fromkeys(endless))

    @cached_property
    def of(self) -> Mapping[str, int]:
        """Most executions of each node."""
        return self._counts()

    @cached_property
    def supersteps_of(self) -> Mapping[str, int]:
        """Most supersteps in which each node runs: a fan-out runs in one."""
        return self._counts(one_a_send=True)

    @cached_property
    def _into(self) -> Mapping[str, list[Arc]]:
        found: dict[str, list[Arc]] = defaultdict(list)
        for arc in self.facts.live:
            found[arc.target].append(arc)
        return found

    def _counts(self, *, one_a_send: bool = False) -> dict[str, int]:
        push = _Push(self.facts, self._into, one_a_send, self.walks)
        for members in self.walks.forwards:
            push.through(members)
        return push.of


class _Push:
    """Tokens on their way: `of` counts executions, `passed` how often a node passes a token on.

    A node that several edges trigger in one superstep runs once. A component that starts nothing side
    by side passes on as many tokens as enter it, and runs a node once for each of these and once for
    each round of a loop whose head leads to it.
    """

    def __init__(self, facts: Facts, into: Mapping[str, list[Arc]], one_a_send: bool, walks: Walks) -> None:
        self.facts = facts
        self.into = into
        self.one_a_send = one_a_send
        self.walks = walks
        self.of: dict[str, int] = {}
        self.passed: dict[str, int] = {START: 1}

    def through(self, members: Sequence[str]) -> None:
        """Push through one component, its nodes in topological order of the free edges."""
        if len(members) == 1 and members[0] not in self.facts.component_of:
            name = members[0]
            pulled, sent = self._arriving(name, frozenset())
            self._settle(name, pulled if self.facts.parallel else min(pulled, 1), sent)
        elif self._starts_nothing(members):
            self._around(members)
        else:
            for name in members:
                self._settle(name, *self._arriving(name, frozenset()))

    def _arriving(self, name: str, without: Collection[str]) -> tuple[int, int]:
        """Tokens that come to a node by edges, and by fan-outs, from nodes not in `without`."""
        pulled = sent = 0
        seen: set[str] = set()
        for arc in self.into.get(name, ()):
            edge = arc.edge
            if arc.source in without:
                continue
            if edge.loop is not None:
                pulled += edge.loop
            elif edge.kind == "join":
                others = [o for o in edge.origins if o not in without]
                if arc.source == others[0]:
                    pulled += min(self.passed[o] for o in others)
            elif edge.fans_out:
                sent += self.passed[arc.source] * (1 if self.one_a_send else edge.each or 0)
            elif arc.source not in seen:
                seen.add(arc.source)
                pulled += self.passed[arc.source]
        return pulled, sent

    def _settle(self, name: str, pulled: int, sent: int) -> None:
        pulled = min(pulled, self.walks.latest[name] - self.facts.depth[name] + 1)
        self.of[name] = self.passed[name] = pulled + sent

    def _starts_nothing(self, members: Sequence[str]) -> bool:
        facts = self.facts
        inside = set(members)
        return not facts.parallel or all(
            not forks(facts.out.get(name, ()), facts.spec.exact_choices)
            and not facts.nodes[name].defer
            and not any(a.edge.fans_out or a.edge.kind == "join" for a in facts.out.get(name, ()))
            and not any(a.edge.kind == "join" and a.source in inside for a in self.into.get(name, ()))
            for name in members
        )

    def _around(self, members: Sequence[str]) -> None:
        facts, inside = self.facts, set(members)
        arriving = {name: self._arriving(name, inside) for name in members}
        entered = sum(pulled + sent for pulled, sent in arriving.values())
        entered = entered if facts.parallel else min(entered, 1)
        rounds: dict[str, int] = {}
        bits: dict[str, int] = {}
        for name in members:
            for arc in self.into.get(name, ()):
                times = arc.edge.loop
                if arc.source not in inside or times is None:
                    continue
                counter = arc.edge.counter
                if counter not in rounds:
                    bits[name] = bits.get(name, 0) | 1 << len(rounds)
                # A spent loop may lead to one with the same counter, that goes on to a higher count.
                rounds[counter] = max(times, rounds.get(counter, 0))
        counts, everything = list(rounds.values()), sum(rounds.values())
        reached: dict[str, int] = {}
        for name in members:
            mask = bits.get(name, 0)
            if len(counts) <= MOST_LOOPS:
                for before in facts.free.predecessors(name):
                    if before in inside:
                        mask |= reached[before]
            reached[name] = mask
            again = _total(mask, counts) if len(counts) <= MOST_LOOPS else everything
            self._settle(name, entered + again, arriving[name][1] if facts.parallel else 0)
        for name in members:
            self.passed[name] = entered


def _total(mask: int, counts: Sequence[int]) -> int:
    if mask + 1 == 1 << len(counts):
        return sum(counts)
    return sum(count for i, count in enumerate(counts) if mask >> i & 1)
