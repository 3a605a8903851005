"""What waits for a commit, taken by several connections at once."""

from __future__ import annotations

from collections.abc import Collection

from dalsegno.checkpoints.enlisting import Due, Queue


class DueQueue(Queue):
    """A queue whose statements several connections take from at once."""

    def take(self, names: Collection[str]) -> Due:
        """What goes with a commit of those names, for this caller alone."""
        with self._lock:
            taken = self._due(names)
            for number, _ in taken:
                self._remove(number)
            return taken

    def put_back(self, taken: Due) -> None:
        """They were not committed. One whose slot another one has by now was not true."""
        with self._lock:
            for number, one in taken:
                later = self._in_slot(one)
                self._put(number, one)
                if later is not None:
                    self._give_up(number, one.tasks)
                    self._put(later, self._numbered[later])
