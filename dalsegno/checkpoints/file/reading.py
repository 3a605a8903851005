"""Checkpoints as LangGraph takes them, built from their rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import chain, islice, repeat
from typing import TYPE_CHECKING, Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import CheckpointTuple, DeltaChannelHistory, PendingWrite

from dalsegno.checkpoints import values
from dalsegno.checkpoints.failures import DAMAGE, damaged
from dalsegno.checkpoints.file import bodies, differences, pending, rows
from dalsegno.checkpoints.file.bodies import Index
from dalsegno.checkpoints.file.cache import Entry
from dalsegno.checkpoints.file.differences import Kept
from dalsegno.checkpoints.file.driver import sqlite3
from dalsegno.checkpoints.file.rows import Found
from dalsegno.checkpoints.file.segments import Segments
from dalsegno.checkpoints.file.streams import LIST, MAP, header

if TYPE_CHECKING:
    from langgraph.checkpoint.serde.base import SerializerProtocol

_WRITES = (
    "SELECT c.id, w.task_id, w.body FROM checkpoints c JOIN writes w "
    "ON w.place = c.place AND w.checkpoint_id = c.checkpoint_id "
)


class Reader:
    """Builds the checkpoints that were found, from rows read in one view of the database.

    What checkpoints have in common is read and decoded once; yet what is given out is never shared,
    except for elements that cannot change. With `only` other channels are left aside. `known` is the index of the
    only one that was found, and the bytes of values that need not be read again. Beside what the first one needs, at
    most so many bytes of values are read: `fits` says how many of those that were found can be built.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        found: Sequence[Found],
        serde: SerializerProtocol,
        only: Collection[str] | None = None,
        known: tuple[Index, Mapping[str, bytes]] | None = None,
        most: int | None = None,
    ) -> None:
        self._only = only
        self._known_index = known[0] if known is not None else None
        self._packed: Mapping[str, bytes] = known[1] if known is not None else {}
        self._serde = serde
        self._segments = Segments()
        self._lists: dict[int, tuple[list[Any], int]] = {}
        self._writes: dict[int, list[tuple[Any, list[list[Any]]]]] = {}
        self._indexes: dict[int, Index] = {}
        roots = self._roots(connection, found)
        self.fits = len(found) if most is None else self._fitting(connection, roots, most)
        self._segments.load(connection, set().union(*roots[: self.fits]))

    def _roots(self, connection: sqlite3.Connection, found: Sequence[Found]) -> list[set[int]]:
        """The segments that each checkpoint's values lead to; its writes and its index are read."""
        if len(found) == 1:
            rows = connection.execute(_WRITES + "WHERE c.id = ?", (found[0].id,))
        else:
            rows = connection.execute(
                _WRITES + "WHERE c.id IN (SELECT value FROM json_each(?))",
                (str([one.id for one in found]),),
            )
        threads = {one.id: one.thread for one in found}
        wanted: dict[int, set[int]] = {one.id: set() for one in found}
        for identity, task, body in rows:
            entries = pending.unpack(body, threads[identity])
            if self._only is not None:
                entries = [entry for entry in entries if entry[2] in self._only]
            wanted[identity] |= pending.roots(entries)
            self._writes.setdefault(identity, []).append((task, entries))
        if self._known_index is None:
            self._segments.load(connection, {one.index[0] for one in found if isinstance(one.index, list)})
        for one in found:
            with _damage(one, "index"):
                index = self._known_index or bodies.whole_index(one.index, self._segments, one.thread)
            if self._only is not None:
                index = {"=" + name: entry for name, entry in bodies.channels(index) if name in self._only}
            self._indexes[one.id] = index
            wanted[one.id] |= bodies.roots(
                {key: e for key, e in index.items() if key[1:] not in self._packed}
            )
        return [wanted[one.id] for one in found]

    def _fitting(self, connection: sqlite3.Connection, roots: Sequence[set[int]], most: int) -> int:
        fits, alone = len(roots), 0
        while fits > 1:
            weight = self._segments.weigh(connection, set().union(*roots[:fits]))
            if weight > most and not alone:
                alone = self._segments.weigh(connection, roots[0])
            if weight - alone <= most:
                break
            fits //= 2
        return fits

    def build(self, found: Found) -> CheckpointTuple:
        """A checkpoint with its values and the writes of its tasks."""
        index = self._indexes[found.id]
        checkpoint: Any = bodies.checkpoint(
            self._serde, found.tag, found.rest, index, found.checkpoint_id, found.thread
        )
        checkpoint["channel_values"] = self.values(found)
        writes = pending.in_order(self._writes.get(found.id, ()))
        return CheckpointTuple(
            config=config_of(found.thread, found.namespace, found.checkpoint_id),
            checkpoint=checkpoint,
            metadata=found.load_metadata(self._serde),
            parent_config=config_of(found.thread, found.namespace, found.parent) if found.parent else None,
            pending_writes=[(task, entry[2], self._write(found, entry)) for task, entry in writes],
        )

    def values(self, found: Found) -> dict[str, Any]:
        """The values of its channels."""
        return {
            channel: self._value(found, channel, entry)
            for channel, entry in bodies.channels(self._indexes[found.id])
            if len(entry) > 1
        }

    def value(self, found: Found, channel: str) -> Any:
        """The value of one channel."""
        return self._value(found, channel, self._indexes[found.id]["=" + channel])

    def filled(self, found: Found) -> set[str]:
        """The channels that have a value."""
        return {name for name, entry in bodies.channels(self._indexes[found.id]) if len(entry) > 1}

    def writes(self, found: Found, channel: str) -> list[tuple[str, str, Any]]:
        """What tasks wrote to one channel, in order."""
        entries = pending.in_order(self._writes.get(found.id, ()))
        return [(task, channel, self._write(found, e)) for task, e in entries if e[2] == channel]

    def entry(self, found: Found) -> Entry:
        """What was read, as the base of the next difference."""
        entry = Entry(found.checkpoint_id, found.body, self._indexes[found.id])
        for channel, stored in bodies.channels(entry.index):
            if len(stored) > 3:
                _, kind, segment, length, form, _ = stored
                kept = self._kept(bodies.long(kind), segment, length, form)
                if kept is not None:
                    entry.kept[channel] = kept
        if isinstance(found.index, list):
            segment, length, _ = found.index
            entry.index_kept = self._kept("msgpack", segment, length, MAP)
        return entry

    def _kept(self, kind: str, segment: int, length: int, form: int) -> Kept | None:
        tip = self._segments.tip(segment, length)
        if tip is None:
            return None
        return differences.read(kind, form, bytearray(self._segments.stream(segment, length)), tip)

    def _value(self, found: Found, channel: str, entry: Sequence[Any]) -> Any:
        if len(entry) == 3:
            _, kind, packed = entry
            return values.load(self._serde, bodies.long(kind), packed, thread=found.thread, key=channel)
        if channel in self._packed:
            kind, packed = entry[1], self._packed[channel]
            return values.load(self._serde, bodies.long(kind), packed, thread=found.thread, key=channel)
        with _damage(found, channel):
            _, kind, segment, length, form, count = entry
            known = self._lists.get(segment) if form == LIST else None
            if known is not None and length <= known[1]:
                return known[0][:count]
            pieces = self._segments.pieces(segment, length) if form == LIST else None
            if pieces is None:
                pieces = [(count, self._segments.stream(segment, length))]
            packs = [header(form, number) + data for number, data in pieces]
        decoded = [
            values.load(self._serde, bodies.long(kind), packed, thread=found.thread, key=channel)
            for packed in packs
        ]
        if form != LIST:
            return decoded[0]
        value = [element for part in decoded for element in part]
        if differences.cannot_change(value):
            self._remember(segment, length, value)
            return value[:]
        return value

    def _remember(self, segment: int, length: int, value: list[Any]) -> None:
        """Shorter lists that this one has grown from need not be decoded again."""
        for each, most in self._segments.appended(segment, length):
            if each in self._lists and self._lists[each][1] >= most:
                return
            self._lists[each] = value, most

    def _write(self, found: Found, entry: Sequence[Any]) -> Any:
        with _damage(found, entry[2]):
            kind, packed = pending.read(self._segments, entry)
        return values.load(self._serde, kind, packed, thread=found.thread, key=entry[2])


class _damage:
    """Says which value is missing where a row is not there, or is not what it was."""

    __slots__ = ("_found", "_key")

    def __init__(self, found: Found, key: str) -> None:
        self._found = found
        self._key = key

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, DAMAGE):
            at = f"checkpoint {self._found.checkpoint_id}, and is missing"
            raise damaged(self._found.thread, self._key, f"belongs to {at}") from error


def delta_history(
    connection: sqlite3.Connection, target: Found | None, channels: frozenset[str], serde: SerializerProtocol
) -> dict[str, DeltaChannelHistory]:
    """What `BaseCheckpointSaver.get_delta_channel_history` gives: of each channel the value in the nearest
    ancestor that has one, and what was written between, the oldest first."""
    missing = set(channels)
    writes: dict[str, list[PendingWrite]] = {channel: [] for channel in channels}
    seeds: dict[str, Any] = {}
    line = rows.ancestors(connection, target) if target is not None and channels else iter(())
    # A few at first: a snapshot is near more often than not.
    for size in chain((8, 32), repeat(128)):
        found = list(islice(line, size))
        reader = Reader(connection, found, serde, channels)
        for one in found:
            for channel in missing:
                writes[channel][:0] = reader.writes(one, channel)
            for channel in missing & reader.filled(one):
                seeds[channel] = reader.value(one, channel)
                missing.discard(channel)
            if not missing:
                break
        if not missing or len(found) < size:
            break
    return {
        channel: {"writes": writes[channel], "seed": seeds[channel]}
        if channel in seeds
        else {"writes": writes[channel]}
        for channel in channels
    }


def config_of(thread: str, namespace: str, checkpoint_id: str) -> RunnableConfig:
    """The config that names a checkpoint."""
    return {"configurable": {"thread_id": thread, "checkpoint_ns": namespace, "checkpoint_id": checkpoint_id}}
