"""The table `segments`: streams of values as chains of differences.

==============  =========================================================================================
column          holds
==============  =========================================================================================
`id`            what others name; always greater than `base`
`place`         the thread and namespace that owns it; nothing is shared between places
`base`          the row whose stream this one changes, NULL for the beginning of a chain
`base_length`   how many bytes of the base's stream count: it may have grown since on another branch
`splices`       packed ``[start, end, length, …]``: what to replace, by how many bytes of `data`; NULL for none
`data`          the new bytes: those of the splices, and behind them what is appended
`count`         of a list, how many elements the stream has so far, so that each row is decoded alone
`used`          how many bytes of `data` count, NULL for all: behind them is room to grow into
==============  =========================================================================================

A stream is named by a row and a length. A row that is the end of the chain may grow, up to `CHUNK`
bytes: that changes no stream that was named before, since its length was smaller. Everything else in a row
never changes. So a superstep stores what is new, old checkpoints stay readable, and reading the latest
takes one query over few rows. A chain that holds much more than its stream is begun again.

A row of several pages grows into room that it has already: SQLite writes over a record of the same size in
place, and only those of its pages that differ, where one of another size is freed and laid out anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import ormsgpack

from dalsegno.checkpoints.file.differences import Change, Tip
from dalsegno.checkpoints.file.driver import sqlite3
from dalsegno.checkpoints.file.streams import LIST, Splice, apply

PAGE = 4000
"""Bytes up to which a row is appended to: about one page of the database."""

LARGE = PAGE // 8
"""Bytes from which on an addition may make the row longer than a page."""

_HEAD, _OVERFLOW = 440, 4092
"""Bytes of a long record on its own page, and on each page behind it (https://sqlite.org/fileformat2.html#cell_payload)."""

CHUNK = _HEAD + 8 * _OVERFLOW
"""Bytes up to which a row of several pages is appended to."""

REMEMBERED = 32_000_000
"""Bytes of streams that are kept for those that begin as they do."""

_CHAIN = (
    "WITH RECURSIVE chain (id) AS (SELECT value FROM json_each(?) UNION "
    "SELECT base FROM chain JOIN segments USING (id) WHERE base IS NOT NULL) "
)


@dataclass(frozen=True, slots=True)
class Stored:
    """Where new bytes of a value are: in which row, and from where in its data."""

    data: bytes
    segment: int
    start: int


@dataclass(frozen=True, slots=True)
class Segment:
    """One row."""

    base: int | None
    base_length: int
    splices: bytes | None
    data: bytes | memoryview
    count: int | None = None


def store(connection: sqlite3.Connection, place: int, change: Change) -> Stored | None:
    """Store the stream of a changed value; its tip is then where it ends. None where nothing is new."""
    kept = change.kept
    assert kept is not None
    tip, splices = kept.tip, change.splices
    if tip is None or splices is None:
        return _begin(connection, place, change)
    if not splices:
        return None
    data = b"".join(new for _, _, new in splices)
    # The stream as it was: `kept` holds the new one.
    before = len(kept.stream) - sum(len(new) - (end - start) for start, end, new in splices)
    appended = len(splices) == 1 and splices[0][0] == before
    count = kept.count if kept.form == LIST else None
    if appended and (stored := _grow(connection, tip, data, count)) is not None:
        return stored
    length = len(kept.stream)
    if tip.spent + len(data) > 2 * length + PAGE or tip.rows > 32 + length // 512:
        return _begin(connection, place, change)
    packed = None if appended else _pack(splices)
    segment = insert(connection, place, Segment(tip.segment, before, packed, data, count))
    spent = tip.spent + len(data) + len(packed or b"")
    kept.tip = Tip(segment, _growing(data), len(data), tip.rows + 1, spent)
    return Stored(data, segment, 0)


def _grow(connection: sqlite3.Connection, tip: Tip, data: bytes, count: int | None) -> Stored | None:
    start, end = tip.used, tip.used + len(data)
    if tip.data is None or end > (PAGE if len(data) < LARGE else CHUNK):
        return None
    missing = (end if end <= PAGE else _room(end, tip.spent)) - len(tip.data)
    if end > len(tip.data):
        tip.data += bytes(missing)
    tip.data[start:end] = data
    grown = connection.execute(
        "UPDATE segments SET data = ?, count = ?, used = ? WHERE id = ? AND coalesce(used, length(data)) = ?",
        (tip.data, count, end if len(tip.data) > PAGE else None, tip.segment, start),
    )
    if not grown.rowcount:  # it has grown on another branch
        tip.data = None
        return None
    tip.used = end
    tip.spent += len(data)
    return Stored(data, tip.segment, start)


def _room(length: int, spent: int) -> int:
    """How long a row is made that holds `length` bytes: more room where much came already, in whole pages."""
    wanted = max(2 * length, spent // 4) - _HEAD
    return max(length, min(_HEAD + -(-wanted // _OVERFLOW) * _OVERFLOW, CHUNK))


def _begin(connection: sqlite3.Connection, place: int, change: Change) -> Stored:
    kept = change.kept
    assert kept is not None
    data = bytes(kept.stream)
    count = kept.count if kept.form == LIST else None
    segment = insert(connection, place, Segment(None, 0, None, data, count))
    kept.tip = Tip(segment, _growing(data), len(data), 1, len(data))
    return Stored(data, segment, 0)


def insert(connection: sqlite3.Connection, place: int, row: Segment) -> int:
    """Store one row."""
    cursor = connection.execute(
        "INSERT INTO segments (place, base, base_length, splices, data, count) VALUES (?, ?, ?, ?, ?, ?)",
        (place, row.base, row.base_length, row.splices, row.data, row.count),
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def _growing(data: bytes | memoryview) -> bytearray | None:
    return bytearray(data) if len(data) < CHUNK else None


def _pack(splices: Sequence[Splice]) -> bytes:
    numbers = [number for start, end, new in splices for number in (start, end, len(new))]
    return ormsgpack.packb(numbers)


def _unpack(splices: bytes | None) -> list[tuple[int, int, int]]:
    """Start, end and number of new bytes of each."""
    numbers = iter(ormsgpack.unpackb(splices) if splices is not None else ())
    return list(zip(numbers, numbers, numbers, strict=True))


# --- reading ---


def _is_row(base: Any, base_length: Any, splices: Any, data: Any, count: Any, used: Any) -> bool:
    numbers = [number for number in (base, base_length, count, used) if number is not None]
    return (
        all(type(number) is int and 0 <= number < 2**63 for number in numbers)
        and base_length is not None
        and isinstance(data, bytes)
        and (splices is None or isinstance(splices, bytes))
    )


class Segments:
    """Rows that were read, and the streams in them."""

    def __init__(self) -> None:
        self.rows: dict[int, Segment] = {}
        self._streams: dict[int, tuple[bytes, int, int]] = {}
        self._remembered = 0

    def weigh(self, connection: sqlite3.Connection, wanted: Iterable[int]) -> int:
        """The bytes of data in these rows and all that they are based on; SQLite reads none of it for that."""
        sql = _CHAIN + "SELECT sum(length(data)) FROM segments WHERE id IN chain"
        (weight,) = connection.execute(sql, (json.dumps(sorted(wanted)),)).fetchone()
        return int(weight or 0)

    def load(self, connection: sqlite3.Connection, wanted: Iterable[int]) -> None:
        """Read these rows and all that they are based on."""
        missing = sorted(set(wanted) - self.rows.keys())
        if not missing:
            return
        for identity, base, base_length, splices, data, count, used in connection.execute(
            _CHAIN
            + "SELECT id, base, base_length, splices, data, count, used FROM segments WHERE id IN chain",
            (json.dumps(missing),),
        ):
            if not _is_row(base, base_length, splices, data, count, used):
                continue  # who looks for it finds it missing
            part = data if used is None else memoryview(data)[:used]
            self.rows[identity] = Segment(base, base_length, splices, part, count)

    def pieces(self, segment: int, length: int) -> list[tuple[int, bytes | memoryview]] | None:
        """The number and the bytes of the elements in each row of a list that has only grown, else None.

        To decode row by row is faster: the list is never in memory as one piece of bytes.
        """
        found: list[tuple[int, bytes | memoryview]] = []
        done, elements = 0, 0
        for each in reversed(self.chain(segment)):
            row = self.rows[each]
            if row.splices is not None or row.count is None or row.base_length != done:
                return None
            found.append((row.count - elements, row.data))
            done, elements = done + len(row.data), row.count
        return found if done == length else None

    def stream(self, segment: int, length: int, head: bytes = b"") -> bytes:
        """The first `length` bytes of the stream that ends in a row, behind `head`.

        Raises LookupError where it is damaged.
        """
        known = self._streams.get(segment)
        if known is not None and length <= known[2]:
            stream, skipped, _ = known
            return head + stream[skipped : skipped + length]
        stream = b"".join((head, *self._parts(segment)))
        whole = len(stream) - len(head)
        self._remembered += whole
        if self._remembered > REMEMBERED:
            self._streams.clear()
            self._remembered = whole
        for each, most in self.appended(segment, whole):
            if each in self._streams and self._streams[each][2] >= most:
                break
            self._streams[each] = stream, len(head), most
        if whole < length:
            raise LookupError(segment)
        return stream if whole == length else stream[: len(head) + length]

    def tip(self, segment: int, length: int) -> Tip | None:
        """How a stream goes on from here; None where the row has grown since, on another branch."""
        if self._length(segment) != length:
            return None
        chain = [self.rows[each] for each in self.chain(segment)]
        spent = sum(len(row.data) + len(row.splices or b"") for row in chain)
        return Tip(segment, _growing(chain[0].data), len(chain[0].data), len(chain), spent)

    def _length(self, segment: int) -> int:
        row = self.rows[segment]
        gone = sum(end - start for start, end, _ in _unpack(row.splices))
        return row.base_length - gone + len(row.data)

    def appended(self, segment: int, length: int) -> Iterable[tuple[int, int]]:
        """The rows whose streams begin this one's, each with how many bytes: those before the last splice."""
        while True:
            yield segment, length
            row = self.rows[segment]
            if row.base is None or row.splices is not None:
                return
            segment, length = row.base, row.base_length

    def chain(self, segment: int) -> list[int]:
        """The rows that a stream is made from, its end first."""
        found = [segment]
        while (base := self.rows[found[-1]].base) is not None:
            if base >= found[-1]:
                raise LookupError(segment)
            found.append(base)
        return found

    def _parts(self, segment: int) -> list[bytes | memoryview]:
        """What a stream is made of, in order."""
        parts: list[bytes | memoryview] = []
        length = 0
        for each in reversed(self.chain(segment)):
            row = self.rows[each]
            if row.base is not None and length != row.base_length:
                if length < row.base_length:
                    raise LookupError(each)
                parts = [memoryview(b"".join(parts))[: row.base_length]]
            if row.splices is None:
                parts.append(row.data)
                length = row.base_length + len(row.data)
                continue
            stream, done, splices = bytearray(b"".join(parts)), 0, []
            for start, end, count in _unpack(row.splices):
                splices.append((start, end, bytes(row.data[done : done + count])))
                done += count
            apply(stream, splices)
            stream += row.data[done:]
            parts, length = [bytes(stream)], len(stream)
        return parts


def reachable(connection: sqlite3.Connection, roots: Iterable[int]) -> set[int]:
    """These rows and all that they are based on."""
    found = connection.execute(_CHAIN + "SELECT id FROM chain", (json.dumps(sorted(set(roots))),))
    return {identity for (identity,) in found}
