"""The ways out of loops: when each of them opens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from dalsegno.graphs.model import EdgeSpec


class WaysOut:
    """The edges that are taken in place of a loop that is spent; one may be a loop itself, with its own way out.

    They stand one behind the other, as they were declared. Loops of one node's destinations that lead to the same
    node have one counter, and each its own way out.
    """

    def __init__(self, edges: Sequence[EdgeSpec]) -> None:
        self._edges = edges
        self._after: dict[int, EdgeSpec] = {}
        self._before: dict[int, EdgeSpec] = {}
        apart = []
        for loop, edge in pairwise(edges):
            if edge.exhausted_of is None:
                continue
            if loop.loop is not None and loop.counter == edge.exhausted_of:
                self._after[id(loop)], self._before[id(edge)] = edge, loop
            else:
                apart.append(edge)
        if apart:
            loops = {e.counter: e for e in edges if e.loop is not None and id(e) not in self._after}
            for edge in apart:
                if (of := loops.get(str(edge.exhausted_of))) is not None:
                    self._after[id(of)], self._before[id(edge)] = edge, of

    def after(self, loop: EdgeSpec) -> EdgeSpec | None:
        """The edge that is taken in place of a loop that is spent."""
        return self._after.get(id(loop))

    def before(self, edge: EdgeSpec) -> Iterator[EdgeSpec]:
        """The loops that are spent, one after the other, before a way out is taken; the last of them first."""
        seen: set[int] = set()
        loop = self._before.get(id(edge))
        while loop is not None and id(loop) not in seen:
            seen.add(id(loop))
            yield loop
            loop = self._before.get(id(loop))

    def spent_before(self, edge: EdgeSpec) -> str | None:
        """The counter of the loop that must be spent before this way out is open; None for any other edge.

        A loop of no rounds is spent from the start: its way out is open when the loop before it is spent.
        """
        return next((loop.counter for loop in self.before(edge) if loop.loop != 0), None)

    def shut(self, component_of: Mapping[str, int]) -> tuple[EdgeSpec, ...]:
        """Those that no run opens: a loop before them does not lead back, so it is never spent.

        `component_of` has the component of each node that lies on a cycle.
        """
        return tuple(
            edge
            for edge in self._edges
            if any(
                component_of.get(loop.source, -1) != component_of.get(loop.target, -2)
                for loop in self.before(edge)
                if loop.loop != 0
            )
        )
