"""The ways out of loops: when each of them opens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dalsegno.graphs.model import EdgeSpec


class WaysOut:
    """The edges that are taken in place of a loop that is spent; one may be a loop itself, with its own way out."""

    def __init__(self, edges: Sequence[EdgeSpec]) -> None:
        self._edges = edges
        self._loops: dict[str, EdgeSpec] = {}
        self._no_rounds: dict[str, str | None] = {}
        for edge in edges:
            if edge.loop == 0:
                self._no_rounds.setdefault(edge.counter, edge.exhausted_of)
            elif edge.loop is not None:
                self._loops.setdefault(edge.counter, edge)

    def spent_before(self, edge: EdgeSpec) -> str | None:
        """The counter of the loop that must be spent before this way out is open; None for any other edge.

        A loop of no rounds is spent from the start: its way out is open when the loop before it is spent.
        """
        counter = edge.exhausted_of
        seen: set[str] = set()
        while counter is not None and counter in self._no_rounds:
            if counter in seen:
                return None
            seen.add(counter)
            counter = self._no_rounds[counter]
        return counter

    def shut(self, component_of: Mapping[str, int]) -> tuple[EdgeSpec, ...]:
        """Those that no run opens: a loop before them does not lead back, so it is never spent.

        `component_of` has the component of each node that lies on a cycle.
        """
        return tuple(edge for edge in self._edges if self._is_shut(edge, component_of))

    def _is_shut(self, edge: EdgeSpec, component_of: Mapping[str, int]) -> bool:
        before = self.spent_before(edge)
        seen: set[str] = set()
        while before is not None and before in self._loops and before not in seen:
            seen.add(before)
            loop = self._loops[before]
            if component_of.get(loop.source, -1) != component_of.get(loop.target, -2):
                return True
            before = self.spent_before(loop)
        return False
