"""Where the edges of a graph's shape lead."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any


def reachable(
    edges: Iterable[Sequence[Any]],
    sources: Collection[str],
    heard: Mapping[tuple[frozenset[str], str], frozenset[str]] | None = None,
) -> set[str]:
    """The nodes that can be come to from some, and these.

    Without `heard` a join leads on from each of its sources. With it only from all of them together, but those that the
    join (its sources and its target) has heard of.
    """
    found, before = set(sources), -1
    edges = list(edges)
    while len(found) > before:
        before = len(found)
        for kind, origins, target, *_ in edges:
            if kind == "join" and heard is not None:
                comes = set(origins) <= found | heard.get((frozenset(origins), target), frozenset())
            else:
                comes = not found.isdisjoint(origins)
            if comes:
                found.add(target)
    return found


def joins_to(name: str, edges: Iterable[Sequence[Any]]) -> set[tuple[str, ...]]:
    """The sources of each join that leads to a node."""
    return {tuple(origins) for kind, origins, target, *_ in edges if (kind, target) == ("join", name)}
