"""What this process stored or read last in each place, so that the next checkpoint is a difference."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field

from dalsegno.checkpoints.file.bodies import Index, channels
from dalsegno.checkpoints.file.differences import Kept
from dalsegno.checkpoints.file.streams import header
from dalsegno.nodes.forking import in_forked_child
from dalsegno.nodes.living import Living

PLACES = 256
"""Places that are remembered; of the others the next checkpoint is stored whole."""

BYTES = 64_000_000
"""Bytes of streams that are remembered."""


@dataclass(slots=True)
class Entry:
    """A checkpoint as it is stored: its row's body, its index, and what its values were."""

    checkpoint_id: str
    body: bytes
    index: Index
    kept: dict[str, Kept] = field(default_factory=dict)
    index_kept: Kept | None = None

    @property
    def weight(self) -> int:
        return len(self.body) + sum(len(kept.stream) for kept in self.kept.values())


class Cache:
    """One entry a place. Whoever takes an entry owns it, and changes it; after a rollback it is gone."""

    def __init__(self) -> None:
        self._entries: OrderedDict[Hashable, tuple[Entry, int]] = OrderedDict()
        self._weight = 0
        self._lock = threading.Lock()
        _all.add(self)

    def take(self, place: Hashable, checkpoint_id: str | None) -> Entry | None:
        """The entry of a place, where it is that checkpoint's."""
        with self._lock:
            found = self._entries.get(place)
            if found is None or found[0].checkpoint_id != checkpoint_id:
                return None
            del self._entries[place]
            self._weight -= found[1]
            return found[0]

    def keep(self, place: Hashable, entry: Entry) -> None:
        """Remember what is stored in a place now; the oldest ones are forgotten."""
        weight = entry.weight
        with self._lock:
            self._forget(place)
            self._entries[place] = entry, weight
            self._weight += weight
            while len(self._entries) > PLACES or (self._weight > BYTES and len(self._entries) > 1):
                _, (_, gone) = self._entries.popitem(last=False)
                self._weight -= gone

    def packed(
        self, place: Hashable, checkpoint_id: str, body: bytes
    ) -> tuple[Index, dict[str, bytes]] | None:
        """The index of a checkpoint and the bytes of its larger values, where they are remembered as they are stored.

        They are copied while nobody can take the entry: whoever has taken one changes it.
        """
        with self._lock:
            found = self._entries.get(place)
            if found is None or found[0].checkpoint_id != checkpoint_id or found[0].body != body:
                return None
            entry = found[0]
            packed: dict[str, bytes] = {}
            for channel, stored in channels(entry.index):
                kept = entry.kept.get(channel)
                if len(stored) > 3 and kept is not None and kept.tip is not None:
                    _, _, segment, length, form, count = stored
                    if (segment, length, form) == (kept.tip.segment, len(kept.stream), kept.form):
                        packed[channel] = b"".join((header(form, count), kept.stream))
            return entry.index, packed

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()
            self._weight = 0

    def _after_fork_in_child(self) -> None:
        """Another thread may have had the lock, in the midst of a change; it is not in this process."""
        self._lock = threading.Lock()
        self._weight = sum(weight for _, weight in self._entries.values())

    def _forget(self, place: Hashable) -> None:
        found = self._entries.pop(place, None)
        if found is not None:
            self._weight -= found[1]


_all: Living[Cache] = Living()


@in_forked_child
def _forked() -> None:
    for cache in _all:
        cache._after_fork_in_child()
