"""What waits for a commit, taken by several connections at once."""

from __future__ import annotations

from collections.abc import Collection

from dalsegno.checkpoints.enlisting import Enlisted, Queue

Due = list[tuple[int, Enlisted]]
"""Statements that go with a commit, in their order."""


class DueQueue(Queue):
    """A queue whose statements several connections take from at once."""

    def take(self, names: Collection[str]) -> Due:
        """What goes with a commit of those names, for this caller alone."""
        with self._lock:
            if not self._numbered:
                return []
            found = set(self._by_name.get(None, ()))
            for name in names:
                found |= self._by_name.get(name, frozenset())
            taken = [(number, self._numbered[number]) for number in sorted(found)]
            for number, _ in taken:
                self._remove(number)
            return taken

    def put_back(self, taken: Due) -> None:
        """They were not committed."""
        with self._lock:
            for number, one in taken:
                self._put(number, one)
