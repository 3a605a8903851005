"""What waits for a commit, taken by several connections at once."""

from __future__ import annotations

from collections.abc import Collection, Hashable
from typing import Literal

from dalsegno.checkpoints.enlisting import Due, Enlisted, Queue


class DueQueue(Queue):
    """A queue whose statements several connections take from at once."""

    def __init__(self) -> None:
        super().__init__()
        self._out: dict[int, Enlisted] = {}
        self._over: dict[int, Literal["given up", "forgotten"]] = {}
        """What became of the owners of some that are out."""

    def take(self, names: Collection[str], owner: Hashable = None) -> Due:
        """What goes with a commit of those names, for this caller alone.

        A task has one name in all turns of its run. Where an `owner` commits, what another one enlisted under that
        name stays: it is of an earlier turn, or of a later one.
        """
        with self._lock:
            taken = [
                (number, one)
                for number, one in self._due(names)
                if None in (owner, one.owner) or one.owner == owner or not one.tasks
            ]
            for number, one in taken:
                self._remove(number)
                self._out[number] = one
            return taken

    def committed(self, taken: Due) -> None:
        """They were."""
        with self._lock:
            for number, _ in taken:
                self._out.pop(number, None)
                self._over.pop(number, None)

    def put_back(self, taken: Due) -> None:
        """They were not committed. One whose slot another one has by now was not true, nor is one whose owner has given
        it up meanwhile."""
        with self._lock:
            for number, one in taken:
                self._out.pop(number, None)
                over = self._over.pop(number, None)
                if over == "forgotten":
                    continue
                later = self._in_slot(one)
                self._put(number, one)
                if over is not None:
                    self._give_up(number, ())
                elif later is not None:
                    self._give_up(number, one.tasks)
                if later is not None:
                    self._put(later, self._numbered[later])

    def give_up(self, owner: Hashable) -> None:
        with self._lock:
            for number, one in self._out.items():
                if one.owner == owner and one.tasks:
                    self._over[number] = "given up"
            self._give_up_all(owner)  # under the same lock: what is taken behind it is given up already

    def forget(self, owner: Hashable) -> None:
        with self._lock:
            self._over.update(
                (number, "forgotten") for number, one in self._out.items() if one.owner == owner
            )
            self._forget_all(owner)
