"""Cycles of a graph of networkx."""

from __future__ import annotations

from typing import Any


def holds_cycle(graph: Any, members: frozenset[str]) -> bool:
    """Whether a strongly connected component has a cycle: all but a single node without an edge to itself do."""
    return len(members) > 1 or graph.has_edge(*(tuple(members) * 2))


def cycle_through(graph: Any, start: str, members: frozenset[str]) -> tuple[str, ...]:
    """The shortest cycle from `start` back to it, within `members`: a strongly connected component that has one."""
    before: dict[str, str] = {}
    level = [start]
    while level:
        following = []
        for name in level:
            for target in graph.successors(name):
                if target == start:
                    path = [start, name]
                    while path[-1] != start:
                        path.append(before[path[-1]])
                    return tuple(reversed(path))
                if target in members and target not in before:
                    before[target] = name
                    following.append(target)
        level = following
    raise AssertionError(f"{start} is on no cycle")  # a component without a cycle never comes here
