"""The most profitable flow through the loops of one component.

Contracted to loop tails and heads, a walk is a flow of one unit from its entry to its exit whose
bounded steps carry at most their counts. The best flow bounds the walk, and is one if it hangs together.
Its matrix is totally unimodular, so that whole numbers come for free.

Source: implicit path enumeration without its connectivity constraints (Li & Malik 1995).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple


class Bounded(NamedTuple):
    """A step from `tail` to `head` that may be taken `times` in a run."""

    key: str
    tail: int
    head: int
    times: int


@dataclass(frozen=True)
class Flow:
    """The value of the best flow, and what it uses.

    `stretches` counts paths from a node to a tail, `steps` bounded steps by (key, tail, head); `last`
    is the node from which the walk leaves.
    """

    value: int
    stretches: Mapping[tuple[int, int], int]
    steps: Mapping[tuple[str, int, int], int]
    last: int


def best_flow(
    entry: int,
    loops: Sequence[Bounded],
    distances: Mapping[int, Mapping[int, int]],
    leaving: Mapping[int, int],
) -> Flow:
    """The best flow from `entry`.

    ``distances[tail][v]`` is the longest path from v to the tail, absent where there is none;
    ``leaving[v]`` the longest way from v out of the component and on to the end.
    """
    if len(loops) == 1:
        return _one_loop(entry, loops[0], distances[loops[0].tail], leaving)
    import networkx as nx

    graph: Any = nx.DiGraph()
    graph.add_node("in", demand=-1)
    graph.add_node("out", demand=1)
    graph.add_edge("in", "out", weight=-leaving[entry])
    heads = {loop.head for loop in loops}
    for tail, reach in distances.items():
        if entry in reach:
            graph.add_edge("in", ("tail", tail), weight=-reach[entry])
        for head in heads & reach.keys():
            graph.add_edge(("head", head), ("tail", tail), weight=-reach[head])
    for head in heads:
        graph.add_edge(("head", head), "out", weight=-leaving[head])
    for loop in loops:
        graph.add_edge(("loop", loop.key), ("head", loop.head), capacity=loop.times, weight=0)
        graph.add_edge(("tail", loop.tail), ("loop", loop.key), weight=0)
    cost, used = nx.network_simplex(graph)
    return _read(-int(cost), used, entry, loops)


def _one_loop(entry: int, loop: Bounded, reach: Mapping[int, int], leaving: Mapping[int, int]) -> Flow:
    """In to the tail, around as often as may be, and out from the head."""
    tail, head = loop.tail, loop.head
    if entry not in reach:
        return Flow(leaving[entry], {}, {}, entry)
    value = reach[entry] + (loop.times - 1) * reach[head] + leaving[head]
    if value <= leaving[entry]:
        return Flow(leaving[entry], {}, {}, entry)
    stretches = {(entry, tail): 1}
    stretches[head, tail] = stretches.get((head, tail), 0) + loop.times - 1
    return Flow(value, stretches, {(loop.key, tail, head): loop.times}, head)


def _read(value: int, used: Any, entry: int, loops: Sequence[Bounded]) -> Flow:
    stretches: dict[tuple[int, int], int] = {}
    steps: dict[tuple[str, int, int], int] = {}
    last = entry
    head_of = {loop.key: loop.head for loop in loops}
    for source, targets in used.items():
        for target, count in targets.items():
            if not count:
                continue
            if target == "out":
                last = entry if source == "in" else source[1]
            elif target[0] == "tail":
                start = entry if source == "in" else source[1]
                stretches[start, target[1]] = stretches.get((start, target[1]), 0) + count
            elif target[0] == "loop":
                steps[target[1], source[1], head_of[target[1]]] = count
    return Flow(value, stretches, steps, last)
