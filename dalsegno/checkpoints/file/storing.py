"""A checkpoint and the writes of a task, on their way into the tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import ormsgpack
from langgraph.checkpoint.base import ChannelVersions, Checkpoint

from dalsegno.checkpoints.enlisting import Outcome
from dalsegno.checkpoints.failures import damage_named
from dalsegno.checkpoints.fencing import in_the_way, taken_over
from dalsegno.checkpoints.file import bodies, pending, segments
from dalsegno.checkpoints.file.bodies import Index
from dalsegno.checkpoints.file.cache import Cache, Entry
from dalsegno.checkpoints.file.differences import Change, Kept, change
from dalsegno.checkpoints.file.driver import sqlite3
from dalsegno.checkpoints.file.group_commit import AT_THE_END, Company, Job
from dalsegno.checkpoints.file.segments import Segments, Stored
from dalsegno.checkpoints.identities import shorten
from dalsegno.checkpoints.strict import StrictSerializer

if TYPE_CHECKING:
    from langgraph.checkpoint.serde.base import SerializerProtocol

Place = tuple[str, str]
"""Thread and namespace."""

_PLAIN = StrictSerializer()

_ROWS = "rows of what tasks wrote"
"""Where the jobs of a transaction gather them: many rows are one statement."""


@dataclass(frozen=True, slots=True)
class Given:
    """What `put` was given.

    `metadata` is JSON, and bytes beside it where JSON would lose something. `token` is that of the lease under which
    it is put, None where it is nobody's run.
    """

    place: Place
    parent: str | None
    checkpoint: Checkpoint
    new_versions: ChannelVersions
    metadata: tuple[str, str | None, bytes | None]
    token: str | None = None


@dataclass(slots=True)
class _Plan:
    entry: Entry | None
    changes: dict[str, Change] = field(default_factory=dict)


class PutCheckpoint(Job):
    """Stores a checkpoint: what changed since its parent, and references to what did not.

    What changed is found before the transaction, against what this process has stored or read last. In
    the transaction the parent must be what it was then; where it is not (pruned by another process,
    say), everything is stored from its beginning.
    """

    __slots__ = ("_cache", "_given", "_next", "_plan", "_serde", "_tag_and_rest")

    def __init__(self, given: Given, serde: SerializerProtocol, cache: Cache) -> None:
        super().__init__((given.place, given.token), given.parent)  # all tasks that ran on it are done
        self._given = given
        self._serde = serde
        self._cache = cache
        self._tag_and_rest = bodies.rest(serde, given.checkpoint, given.place[0])
        self._plan: _Plan | None = self._planned(cache.take(given.place, given.parent))
        self._next: Entry | None = None

    def is_of(self, thread: str) -> bool:
        return self._given.place[0] == thread

    def _planned(self, entry: Entry | None) -> _Plan:
        plan = _Plan(entry)
        channel_values = self._given.checkpoint["channel_values"]
        for channel in self._given.new_versions:
            if channel in channel_values:
                plan.changes[channel] = self._change(channel, entry)
        return plan

    def _change(self, channel: str, entry: Entry | None) -> Change:
        kept = entry.kept.get(channel) if entry is not None else None
        value = self._given.checkpoint["channel_values"][channel]
        return change(self._serde, value, kept, thread=self._given.place[0], key=channel)

    def write(self, connection: sqlite3.Connection, company: Company) -> None:
        given = self._given
        place, parent = _arrive(connection, given.place, given.parent, given.token, company)
        plan, self._plan = self._plan, None
        if plan is None or (plan.entry is not None and plan.entry.body != parent):
            plan = self._planned(None)
        entry = plan.entry
        index = entry.index if entry is not None else read_index(connection, parent, given.place[0])
        kept = dict(entry.kept) if entry is not None else {}
        new = self._inherited(connection, place, index, plan)
        fresh: list[Stored] = []
        for channel, changed in plan.changes.items():
            new["=" + channel] = [self._version(channel), *self._store(connection, place, changed, fresh)]
            if changed.kept is not None:
                kept[channel] = changed.kept
            else:
                kept.pop(channel, None)
        if fresh:
            company.setdefault((given.place, given.parent), []).extend(fresh)
        tag, rest = self._tag_and_rest
        for node, versions in bodies.seen(tag, given.checkpoint).items():
            known = index.get("<" + node)
            new["<" + node] = known if known == versions else versions
        index_kept = entry.index_kept if entry is not None else None
        where, index_kept = store_index(connection, place, new, index_kept, given.place[0])
        body = bodies.pack(tag, rest, where)
        connection.execute(
            "INSERT INTO checkpoints (place, checkpoint_id, parent_id, body, metadata, metadata_type, "
            "metadata_blob) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (place, checkpoint_id) DO UPDATE SET "
            "parent_id = excluded.parent_id, body = excluded.body, metadata = excluded.metadata, "
            "metadata_type = excluded.metadata_type, metadata_blob = excluded.metadata_blob",
            (
                place, shorten(given.checkpoint["id"]), given.parent and shorten(given.parent), body,
                *given.metadata,
            ),
        )  # fmt: skip
        self._next = Entry(given.checkpoint["id"], body, new, _still_there(kept, new), index_kept)

    def _version(self, channel: str) -> Any:
        versions = self._given.checkpoint["channel_versions"]
        return versions[channel] if channel in versions else self._given.new_versions[channel]

    def _store(
        self, connection: sqlite3.Connection, place: int, changed: Change, fresh: list[Stored]
    ) -> list[Any]:
        kind = bodies.short(changed.kind)
        if changed.inline is not None:
            return [kind, changed.inline]
        stored = segments.store(connection, place, changed)
        if stored is not None:
            fresh.append(stored)
        kept = changed.kept
        assert kept is not None
        assert kept.tip is not None
        return [kind, kept.tip.segment, len(kept.stream), kept.form, kept.count]

    def _inherited(self, connection: sqlite3.Connection, place: int, parent: Index, plan: _Plan) -> Index:
        """The values of the channels that have no new version: those of the parent, where it has the version."""
        index: Index = {}
        for channel, version in self._given.checkpoint["channel_versions"].items():
            if channel in plan.changes:
                continue
            known = parent.get("=" + channel)
            if known is not None and known[0] == version:
                index["=" + channel] = known
            elif channel in self._given.new_versions:
                index["=" + channel] = [version]  # empty now
            elif channel in self._given.checkpoint["channel_values"]:
                plan.changes[channel] = self._change(channel, None)
            else:
                # The parent is gone: the youngest value with that version is the best guess.
                index["=" + channel] = _youngest(connection, place, channel, version) or [version]
        return index

    def committed(self) -> None:
        assert self._next is not None
        self._cache.keep(self._given.place, self._next)

    def failed(self) -> None:
        self._plan = self._next = None


class PutWrites(Job):
    """Stores what a task wrote. After the checkpoints of the same transaction: it often is part of them.

    `outcome` is what the writes say of the task, None where they say nothing yet.
    """

    __slots__ = ("_checkpoint", "_place", "_task", "_token", "_writes")
    order = 1

    def __init__(
        self,
        place: Place,
        checkpoint_id: str,
        task: str,
        writes: Sequence[pending.Write],
        token: str | None = None,
        outcome: Outcome | None = "done",
    ) -> None:
        super().__init__((place, token), task if outcome is not None else None, outcome or "done")
        self._task = task
        self._token = token
        self._place = place
        self._checkpoint = checkpoint_id
        self._writes = writes

    def is_of(self, thread: str) -> bool:
        return self._place[0] == thread

    def write(self, connection: sqlite3.Connection, company: Company) -> None:
        place = company.get(("held", self._place, self._token))
        if place is None:
            place, _ = _arrive(connection, self._place, None, self._token, company)
        shared = company.get((self._place, self._checkpoint), ())
        checkpoint = shorten(self._checkpoint)
        row = pending.row(connection, place, checkpoint, shorten(self._task), self._writes, shared)
        rows = company.get(_ROWS)
        if rows is None:
            rows = company[_ROWS] = []
            company.setdefault(AT_THE_END, []).append(partial(_store_all, rows))
        rows.append(row)


def _store_all(rows: Sequence[pending.Row], connection: sqlite3.Connection) -> None:
    pending.store(connection, rows)


def place_of(connection: sqlite3.Connection, place: Place, company: Company) -> int:
    """The number of a thread's namespace in this database, made where there is none."""
    if place in company:
        return int(company[place])
    sql = "SELECT id FROM places WHERE thread_id = ? AND checkpoint_ns = ?"
    row = connection.execute(sql, place).fetchone()
    number = company[place] = int(row[0]) if row is not None else _add_place(connection, place)
    return number


def _add_place(connection: sqlite3.Connection, place: Place) -> int:
    cursor = connection.execute("INSERT INTO places (thread_id, checkpoint_ns) VALUES (?, ?)", place)
    assert cursor.lastrowid is not None
    return cursor.lastrowid


_ARRIVE = (
    "SELECT p.id, c.body, l.token FROM (SELECT 1) "
    "LEFT JOIN places p ON p.thread_id = ?1 AND p.checkpoint_ns = ?2 "
    "LEFT JOIN checkpoints c ON c.place = p.id AND c.checkpoint_id = ?3 "
    "LEFT JOIN leases l ON l.thread_id = ?1"
)


def _arrive(
    connection: sqlite3.Connection,
    place: Place,
    checkpoint_id: str | None,
    token: str | None,
    company: Company,
) -> tuple[int, bytes | None]:
    """The number of a place, and the body of a checkpoint there; its thread must still be the lease's.

    Raises
    ------
    Fenced
        Another process has taken the thread over.
    ThreadBusy
        Nobody's run writes, and a run of another living process has the thread.
    """
    parameters = (*place, checkpoint_id and shorten(checkpoint_id))
    number, body, held = connection.execute(_ARRIVE, parameters).fetchone()
    if token is None and held is not None:
        in_the_way(connection, place[0])
    elif token != held:
        raise taken_over(connection, place[0], "what it had still to write is not kept")
    if number is None:  # nothing was put there yet
        number = _add_place(connection, place)
    company[place] = company["held", place, token] = number
    return number, body


def _still_there(kept: Mapping[str, Kept], index: Index) -> dict[str, Kept]:
    """What is known of the values that a checkpoint names. Of a channel that is empty now nothing is: the rows of its
    last value belong to older checkpoints, which may be pruned."""
    found: dict[str, Kept] = {}
    for channel, one in kept.items():
        entry = index.get("=" + channel, ())
        if len(entry) > 3 and one.tip is not None and one.tip.segment == entry[2]:
            found[channel] = one
    return found


def store_index(
    connection: sqlite3.Connection, place: int, index: Index, kept: Kept | None, thread: str
) -> tuple[Index | list[int], Kept | None]:
    """What stands in a body for its index: a small one itself, else its stream; that is kept."""
    if kept is None and len(ormsgpack.packb(index)) <= bodies.INLINE_INDEX:
        return index, None
    changed = change(_PLAIN, index, kept, thread=thread, key="checkpoint")
    if changed.kept is None:
        return index, None
    segments.store(connection, place, changed)
    tip = changed.kept.tip
    assert tip is not None
    return [tip.segment, len(changed.kept.stream), changed.kept.count], changed.kept


def read_index(connection: sqlite3.Connection, body: bytes | None, thread: str) -> Index:
    """The index of a body, wherever it is; empty where there is no body."""
    if body is None:
        return {}
    _, _, index = bodies.unpack(body, thread)
    loaded = Segments()
    if isinstance(index, list):
        loaded.load(connection, index[:1])
    with damage_named(thread, "checkpoint"):
        return bodies.whole_index(index, loaded, thread)


def _youngest(connection: sqlite3.Connection, place: int, channel: str, version: Any) -> Any:
    for (body,) in _bodies(connection, place):
        entry: Mapping[str, Any] = read_index(connection, body, "")
        known = entry.get("=" + channel)
        if known is not None and known[0] == version and len(known) > 1:
            return known
    return None


def _bodies(connection: sqlite3.Connection, place: int) -> Iterator[tuple[bytes]]:
    return iter(
        connection.execute(
            "SELECT body FROM checkpoints WHERE place = ? ORDER BY id DESC", (place,)
        ).fetchall()
    )
