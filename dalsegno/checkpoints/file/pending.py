"""The table `writes`: what a task wrote, one row for each task of a checkpoint.

A row's body is msgpack of plain data, a list of ``[path, index, channel, kind, bytes]``. Larger values are
in the table `segments`, often in the very bytes that the next checkpoint stored: then four items follow,
``[…, head, segment, start, length]``: the value is the head and a part of the data of that row.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import ormsgpack

from dalsegno.checkpoints import values
from dalsegno.checkpoints.failures import damaged
from dalsegno.checkpoints.file.bodies import are_counts, is_kind, long, short
from dalsegno.checkpoints.file.differences import INLINE
from dalsegno.checkpoints.file.driver import sqlite3
from dalsegno.checkpoints.file.segments import Segment, Segments, Stored, insert
from dalsegno.checkpoints.file.streams import header_length
from dalsegno.checkpoints.identities import Stored as Identity
from dalsegno.checkpoints.identities import lengthen
from dalsegno.checkpoints.strict import StrictSerializer

Write = tuple[str, int, str, str, bytes]
"""Path of the task, index, channel, kind and bytes."""

_PLAIN = StrictSerializer()


class Row(NamedTuple):
    """What a task wrote, ready to be stored."""

    place: int
    checkpoint_id: Identity
    task: Identity
    entries: list[list[Any]]

    def values(self) -> tuple[Any, ...]:
        return self.place, self.checkpoint_id, self.task, ormsgpack.packb(self.entries)


def row(
    connection: sqlite3.Connection,
    place: int,
    checkpoint_id: Identity,
    task: Identity,
    writes: Sequence[Write],
    shared: Iterable[Stored],
) -> Row:
    """The row of a task's writes; larger values are stored here.

    `shared` are bytes that were stored a moment ago and that the writes may lead to.
    """
    last = {write[1]: write for write in writes}
    entries = [_entry(connection, place, write, shared) for write in last.values()]
    return Row(place, checkpoint_id, task, entries)


_TOGETHER = 32
"""Rows of one statement: between two statements another thread may take its turn, of which a fan-out has many."""


def store(connection: sqlite3.Connection, rows: Sequence[Row]) -> None:
    """Add writes to those of their tasks, in order: special ones (of negative index) replace, ordinary ones stay."""
    done = 0
    while done < len(rows):
        count = _TOGETHER if len(rows) - done >= _TOGETHER else 1
        part = rows[done : done + count]
        added = connection.execute(_INSERTS[count], [value for one in part for value in one.values()])
        if added.rowcount < count:  # somebody's are there, maybe from this statement: none is added twice
            for one in part:
                _merge(connection, one)
        done += count


_INSERTS = {
    count: "INSERT OR IGNORE INTO writes (place, checkpoint_id, task_id, body) VALUES "
    + ", ".join(["(?, ?, ?, ?)"] * count)
    for count in (1, _TOGETHER)
}


def _merge(connection: sqlite3.Connection, row: Row) -> None:
    key = row.place, row.checkpoint_id, row.task
    (body,) = connection.execute(
        "SELECT body FROM writes WHERE place = ? AND checkpoint_id = ? AND task_id = ?", key
    ).fetchone()
    merged = {entry[1]: entry for entry in unpack(body, "")}
    for entry in row.entries:
        if entry[1] < 0 or entry[1] not in merged:
            merged[entry[1]] = entry
    connection.execute(
        "UPDATE writes SET body = ? WHERE place = ? AND checkpoint_id = ? AND task_id = ?",
        (ormsgpack.packb(list(merged.values())), *key),
    )


def _entry(connection: sqlite3.Connection, place: int, write: Write, shared: Iterable[Stored]) -> list[Any]:
    path, index, channel, kind, packed = write
    named = [path, index, channel, short(kind)]
    if len(packed) <= INLINE:
        return [*named, packed]
    for skipped in dict.fromkeys((0, header_length(packed))):
        part = packed[skipped:]
        for stored in shared:
            at = stored.data.find(part)
            if at >= 0:
                return [*named, packed[:skipped], stored.segment, stored.start + at, len(part)]
    segment = insert(connection, place, Segment(None, 0, None, packed))
    return [*named, b"", segment, 0, len(packed)]


def unpack(body: bytes, thread: str) -> list[list[Any]]:
    """The entries of a row.

    Raises
    ------
    TypeNotAllowed
        They hold anything but plain data.
    DatabaseInvalid
        They are no writes: the row is damaged.
    """
    entries: list[list[Any]] = values.load(_PLAIN, "msgpack", body, thread=thread, key="writes")
    if not isinstance(entries, list) or not all(map(_is_entry, entries)):
        raise damaged(thread, "writes", "are no writes")
    return entries


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, list) or len(entry) not in (5, 8):
        return False
    path, index, channel, kind, packed, *where = entry
    texts = isinstance(path, str) and isinstance(channel, str) and isinstance(packed, bytes)
    return texts and type(index) is int and is_kind(kind) and are_counts(where)


def roots(entries: Iterable[Sequence[Any]]) -> set[int]:
    """The segments that writes lead to."""
    return {entry[5] for entry in entries if len(entry) > 5}


def in_order(rows: Iterable[tuple[Identity, list[list[Any]]]]) -> list[tuple[str, list[Any]]]:
    """The task and the entry of each write, in the order of `langgraph.checkpoint.base.writes_sort_key`."""
    every = [(lengthen(task), entry) for task, entries in rows for entry in entries]
    every.sort(key=lambda one: (one[1][0], one[0], one[1][1]))
    return every


def read(segments: Segments, entry: Sequence[Any]) -> tuple[str, bytes]:
    """Kind and bytes of the value that was written. Raises LookupError where they are damaged."""
    _, _, _, kind, packed, *where = entry
    if where:
        segment, start, length = where
        part = segments.rows[segment].data[start : start + length]
        if len(part) != length:
            raise LookupError(segment)
        packed += part
    return long(kind), packed
