"""Which of today's nodes one that is gone most likely became: a guess, for a human to confirm."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

from dalsegno.graphs.code import same_code

LEAST = 1.0
"""How alike two nodes are at least, where there are several new ones: more than any two names make them."""


class Successors:
    """The nodes of one level that are gone, matched with those that are new, by code, ways, what is in them, and name.

    `then` and `now` are the shapes of the level, `code_then` and `code_now` what is kept of its
    nodes' code by name.
    """

    def __init__(
        self,
        then: Mapping[str, Any],
        now: Mapping[str, Any],
        code_then: Mapping[str, str | None],
        code_now: Mapping[str, str | None],
    ) -> None:
        self._then, self._now = then["nodes"], now["nodes"]
        self._code_then, self._code_now = code_then, code_now
        self._ways_then, self._ways_now = _edges_at(then["edges"]), _edges_at(now["edges"])
        self._known: dict[tuple[str, str], float] = {}

    def of(self, name: str, taken: Mapping[str, str]) -> str | None:
        """What became of a node; `taken` is what has been found of others.

        The two that are most alike belong together, then the next two of those that are left.
        """
        gone = (self._then.keys() - self._now.keys() - taken.keys()) | {name}
        new = self._now.keys() - self._then.keys() - set(taken.values())
        least = LEAST if len(new) > 1 else 0.0
        for likeness, _, old, candidate in sorted(
            (-self._likeness(old, candidate), old != name, old, candidate)
            for old in gone
            for candidate in new
        ):
            if old in gone and candidate in new:
                if old == name:
                    return candidate if -likeness >= least else None
                gone.remove(old)
                new.remove(candidate)
        return None

    def _likeness(self, name: str, candidate: str) -> float:
        pair = name, candidate
        if pair not in self._known:
            self._known[pair] = self._likeness_of(name, candidate)
        return self._known[pair]

    def _likeness_of(self, name: str, candidate: str) -> float:
        was, is_ = name.casefold(), candidate.casefold()
        score = (SequenceMatcher(None, was, is_).ratio() + (was in is_ or is_ in was)) / 2
        code = self._code_then.get(name)
        coded = self._code_now[candidate]
        if code is not None and coded is not None and same_code(code, coded):
            score += 3
        within_then = (self._then.get(name) or {}).get("child")
        within_now = self._now[candidate]["child"]
        if within_then is not None and within_now is not None:
            score += 3 if within_then == within_now else 0.5
        ways = sorted(way_of(edge, {candidate: name}) for edge in self._ways_now[candidate])
        return score + 2 * (ways == sorted(way_of(edge, {}) for edge in self._ways_then[name]))


def way_of(edge: Iterable[Any], names: Mapping[str, str]) -> tuple[Any, ...]:
    """An edge as something that can be compared and sorted, in other names."""
    kind, origins, target, router, label, *rest = edge
    label = names[target] if label == target and target in names else label
    origins = tuple(sorted(names.get(o, o) for o in origins))
    return (kind, origins, names.get(target, target), router or "", label or "", *map(str, rest))


def _edges_at(edges: Iterable[Sequence[Any]]) -> Mapping[str, list[Sequence[Any]]]:
    """The edges that each node is an end of."""
    found: dict[str, list[Sequence[Any]]] = defaultdict(list)
    for edge in edges:
        for name in {*edge[1], edge[2]}:
            found[name].append(edge)
    return found
