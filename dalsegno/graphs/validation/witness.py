"""A walk as people read it, made from how often it takes each step.

A set of counted steps that hangs together, and enters each node as often as it leaves it, is an Euler
walk: leave every node by its unbounded steps last, so that the last exits form a tree to the end
(van Aardenne-Ehrenfest & de Bruijn 1951), and no step back is ever needed.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass

from dalsegno.graphs.validation.walks import Uses

Step = tuple[int, int, str | None]


@dataclass(frozen=True)
class Walk:
    """A walk: its first nodes, whether it is longer than these, how often each node is entered.

    `realizable` says that no bounded step is taken too often, and none that follows a spent loop
    before that loop is spent.
    """

    nodes: tuple[int, ...]
    cut: bool
    visits: Mapping[int, int]
    steps: Uses
    realizable: bool


def euler_walk(
    uses: Uses,
    start: int,
    last: int,
    *,
    limits: Mapping[str, int],
    needs: Mapping[tuple[int, int, str | None], frozenset[str]],
    most: int,
) -> Walk:
    """The walk from `start` to `last` that takes the steps of `uses`, its first `most` nodes.

    `limits` are the times a bounded step may be taken; `needs` names, for a step that is open only after
    a loop is spent, the loops of which one must be. Steps that do not hang together with the rest
    are left out.
    """
    out: dict[int, list[Step]] = defaultdict(list)
    into: dict[int, list[Step]] = defaultdict(list)
    for step, count in uses.items():
        if count:
            out[step[0]].append(step)
            into[step[1]].append(step)
    exits = _last_exits(last, into)
    kept = {s: n for s, n in uses.items() if n and (s[0] in exits or s[0] == last)}
    visits: dict[int, int] = defaultdict(int, {start: 1})
    for step, count in kept.items():
        visits[step[1]] += count
    spent: dict[str, int] = defaultdict(int)
    for (_, _, key), count in kept.items():
        if key is not None:
            spent[key] += count
    realizable = all(spent[key] <= limits[key] for key in spent)
    queues: dict[int, deque[Step]] = {}
    for v, steps in out.items():
        if len(steps) == 1:
            step = steps[0]
            possible = step not in needs
            if step in kept:
                queues[v] = deque(steps)
        else:
            mine = [s for s in steps if s in kept]
            queues[v], possible = _in_order(mine, exits.get(v), kept, limits, needs)
        realizable = realizable and possible
    nodes, v, left = [start], start, dict(kept)
    while queues.get(v) and len(nodes) < most:
        step = queues[v][0]
        left[step] -= 1
        if not left[step]:
            queues[v].popleft()
        v = step[1]
        nodes.append(v)
    return Walk(tuple(nodes), bool(queues.get(v)), visits, kept, realizable)


def _last_exits(last: int, into: Mapping[int, list[Step]]) -> dict[int, Step]:
    """For each node but `last` the step by which it is left for the last time, unbounded if it can be."""
    exits: dict[int, Step] = {}
    plain: list[Step] = []
    bounded: list[Step] = []

    def reach(v: int) -> None:
        for step in into.get(v, ()):
            (plain if step[2] is None else bounded).append(step)

    reach(last)
    while plain or bounded:
        step = (plain or bounded).pop()
        if step[0] != last and step[0] not in exits:
            exits[step[0]] = step
            reach(step[0])
    return exits


def _in_order(
    steps: list[Step],
    final: Step | None,
    counts: Mapping[Step, int],
    limits: Mapping[str, int],
    needs: Mapping[Step, frozenset[str]],
) -> tuple[deque[Step], bool]:
    """The steps that leave one node, each when it is open and `final` last; whether that is possible."""
    queue = deque(s for s in steps if s != final and s not in needs)
    waiting = [s for s in steps if s != final and s in needs]
    if final is not None:
        waiting.append(final)
    spent: dict[str, int] = defaultdict(int)
    for step in queue:
        if step[2] is not None:
            spent[step[2]] += counts[step]
    possible = True
    while waiting:
        last_one = len(waiting) == 1
        open_ones = [
            s
            for s in waiting
            if (s != final or last_one)
            and (s not in needs or any(spent[key] >= limits[key] for key in needs[s]))
        ]
        step = open_ones[0] if open_ones else waiting[0]
        possible = possible and bool(open_ones)
        waiting.remove(step)
        queue.append(step)
        if step[2] is not None:
            spent[step[2]] += counts[step]
    return queue, possible
