"""Deleting, pruning and copying threads; each function works inside the caller's transaction."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

import ormsgpack

from dalsegno.checkpoints.failures import DAMAGE, damage_named
from dalsegno.checkpoints.fencing import in_the_way
from dalsegno.checkpoints.file import bodies, pending, segments
from dalsegno.checkpoints.file.bodies import Index
from dalsegno.checkpoints.file.driver import sqlite3
from dalsegno.checkpoints.file.segments import Segments, reachable
from dalsegno.checkpoints.file.storing import place_of, store_index
from dalsegno.checkpoints.identities import Stored as Identity
from dalsegno.checkpoints.identities import lengthen
from dalsegno.errors import CheckpointError

_CHOSEN = " AND (?2 IS NULL OR id IN (SELECT value FROM json_each(?2)))"


@dataclass(frozen=True, slots=True)
class Summary:
    """What deleting needs to know of a checkpoint: what it came from, and what it holds.

    `rebuilt` are the delta channels that were written and whose values are not in it.
    """

    id: int
    checkpoint_id: Identity
    parent: Identity | None
    filled: frozenset[str]
    roots: frozenset[int]
    rebuilt: frozenset[str]


def places_of(connection: sqlite3.Connection, thread: str | None = None) -> list[tuple[int, str, str]]:
    """Number, thread and namespace of the places of a thread, or of all."""
    sql = "SELECT id, thread_id, checkpoint_ns FROM places"
    if thread is None:
        return connection.execute(sql).fetchall()
    return connection.execute(sql + " WHERE thread_id = ?", (thread,)).fetchall()


def delete_thread(connection: sqlite3.Connection, thread: str) -> int:
    """Delete everything of a thread; gives the number of checkpoints."""
    count = 0
    for place, _, _ in places_of(connection, thread):
        try:
            roots = {root for one in summaries(connection, place).values() for root in one.roots}
            _delete_segments(connection, reachable(connection, roots | _write_roots(connection, place)))
        except (
            CheckpointError,
            *DAMAGE,
        ):  # what is damaged can be deleted all the same: by looking at every row
            connection.execute("DELETE FROM segments WHERE place = ?", (place,))
        connection.execute("DELETE FROM writes WHERE place = ?", (place,))
        count += connection.execute("DELETE FROM checkpoints WHERE place = ?", (place,)).rowcount
        connection.execute("DELETE FROM places WHERE id = ?", (place,))
    return count


def prune(
    connection: sqlite3.Connection,
    thread: str,
    *,
    keep: int = 1,
    before: Identity | None = None,
) -> int:
    """Delete all but the newest `keep` checkpoints of each namespace and what they need.

    With `before` only those below that id. Gives the number of checkpoints deleted.
    """
    count = 0
    for place, _, _ in places_of(connection, thread):
        every = summaries(connection, place)
        order = sorted(every, key=lengthen, reverse=True)
        kept = set(order[:keep])
        if before is not None:
            kept |= {one for one in order if lengthen(one) >= lengthen(before)}
        for one in list(kept):
            kept |= _needed(every, one)
        count += _delete(connection, place, every, set(every) - kept)
        connection.execute(
            "DELETE FROM writes WHERE place = ? AND checkpoint_id NOT IN "
            "(SELECT checkpoint_id FROM checkpoints WHERE place = ?1)",
            (place,),
        )
    return count


def delete_for_runs(connection: sqlite3.Connection, run_ids: Sequence[str]) -> None:
    """Delete the checkpoints of these runs, unless a checkpoint that stays is rebuilt from one of them, or a living
    process runs on their thread."""
    doomed = connection.execute(
        "SELECT thread_id, place, checkpoint_id FROM checkpoints c JOIN places p ON p.id = c.place "
        "WHERE json_extract(metadata, '$.run_id') IN (SELECT value FROM json_each(?))",
        (json.dumps([str(one) for one in run_ids]),),
    ).fetchall()
    for thread in sorted({thread for thread, _, _ in doomed}):
        in_the_way(connection, thread, mine=True)
    by_place: dict[int, set[Identity]] = {}
    for _, place, checkpoint_id in doomed:
        by_place.setdefault(place, set()).add(checkpoint_id)
    for place, gone in by_place.items():
        with damage_named(f"number {place}", "checkpoints"):
            every = summaries(connection, place)
        for one in every.keys() - gone:
            if gone & _needed(every, one):
                raise CheckpointError(
                    f"The runs {list(run_ids)} cannot be deleted: checkpoint {lengthen(one)} rebuilds a "
                    "DeltaChannel from them. Delete the runs after them as well, or the whole thread.",
                )
        _delete(connection, place, every, gone)


def copy_thread(connection: sqlite3.Connection, source: str, target: str) -> None:
    """Copy all checkpoints, values and writes of a thread; what the target has under other ids stays."""
    if source == target:
        return
    for place, _, namespace in places_of(connection, source):
        into = place_of(connection, (target, namespace), {})
        # A checkpoint that the target has already is the source's now, writes and all.
        connection.execute(
            "DELETE FROM writes WHERE place = ? AND checkpoint_id IN "
            "(SELECT checkpoint_id FROM checkpoints WHERE place = ?)",
            (into, place),
        )
        _copy_place(connection, place, into, source)


def _copy_place(
    connection: sqlite3.Connection, place: int, into: int, thread: str, only: Sequence[int] | None = None
) -> None:
    """Copy the checkpoints of a place, or those in `only` these rows, with their values and writes."""
    chosen = None if only is None else json.dumps(only)
    writes = _writes(connection, place, chosen)
    moved = _copy_segments(connection, place, into, chosen, _roots_of(writes))
    _copy_checkpoints(connection, place, into, moved, thread, chosen)
    for checkpoint_id, task, body in writes:
        entries = pending.unpack(body, thread)
        for entry in entries:
            entry[5:6] = [moved[segment] for segment in entry[5:6]]
        connection.execute(
            "INSERT OR REPLACE INTO writes (place, checkpoint_id, task_id, body) VALUES (?, ?, ?, ?)",
            (into, checkpoint_id, task, ormsgpack.packb(entries)),
        )


def fork(connection: sqlite3.Connection, thread: str, checkpoint_id: Identity, into: str) -> None:
    """Copy a thread up to one checkpoint of its outermost namespace, and what that came from.

    Subgraphs' checkpoints stay behind that are younger: they belong to a future that has not happened.
    """
    places = places_of(connection, thread)
    rows = {
        place: _up_to(connection, place, checkpoint_id)
        if namespace
        else _line(connection, place, checkpoint_id)
        for place, _, namespace in places
    }
    if not any(rows[place] for place, _, namespace in places if not namespace):
        raise CheckpointError(
            f"Thread {thread!r} has no checkpoint {lengthen(checkpoint_id)}.", thread=thread
        )
    for place, _, namespace in places:
        if kept := rows[place]:
            _copy_place(connection, place, place_of(connection, (into, namespace), {}), thread, kept)


def _line(connection: sqlite3.Connection, place: int, checkpoint_id: Identity) -> list[int]:
    """The rows of a checkpoint and of what it came from; no other one is looked at."""
    found = connection.execute(
        "WITH RECURSIVE line (id, parent_id) AS ("
        "SELECT id, parent_id FROM checkpoints WHERE place = ?1 AND checkpoint_id = ?2 UNION "
        "SELECT c.id, c.parent_id FROM line l CROSS JOIN checkpoints c "
        "ON c.place = ?1 AND c.checkpoint_id = l.parent_id) SELECT id FROM line",
        (place, checkpoint_id),
    )
    return [row for (row,) in found]


def _up_to(connection: sqlite3.Connection, place: int, checkpoint_id: Identity) -> list[int]:
    """The rows of the checkpoints that are not younger than one."""
    latest = lengthen(checkpoint_id)
    rows = connection.execute("SELECT id, checkpoint_id FROM checkpoints WHERE place = ?", (place,))
    return [row for row, each in rows if lengthen(each) <= latest]


def drop_unused(connection: sqlite3.Connection) -> None:
    """Delete the segments that nothing leads to, all in one look at the table: it has no index by place."""
    threads = {place: thread for place, thread, _ in places_of(connection)}
    rows = connection.execute("SELECT place, id FROM segments ORDER BY place")
    gone: set[int] = set()
    for place, of_it in groupby(rows, itemgetter(0)):
        unused = {identity for _, identity in of_it}
        if place in threads:
            with damage_named(threads[place], "checkpoints"):
                roots = {root for one in summaries(connection, place).values() for root in one.roots}
                unused -= reachable(connection, roots | _write_roots(connection, place))
        gone |= unused
    _delete_segments(connection, gone)


def summaries(
    connection: sqlite3.Connection, place: int, chosen: str | None = None
) -> dict[Identity, Summary]:
    """Every checkpoint of a place, or those `chosen` by a JSON list of rows, by its id.

    LangGraph counts, in the metadata, the supersteps of each delta channel since its last snapshot, also of one that
    was never written, and stops where it has become another channel: a place has those that any checkpoint counts.
    """
    loaded = Segments()
    found: dict[Identity, Summary] = {}
    rows = connection.execute(
        "SELECT id, checkpoint_id, parent_id, body, metadata FROM checkpoints WHERE place = ?1" + _CHOSEN,
        (place, chosen),
    ).fetchall()
    unpacked = [(row, bodies.unpack(row[3], "")[2]) for row in rows]
    loaded.load(connection, {index[0] for _, index in unpacked if isinstance(index, list)})
    delta: set[str] = set()
    for row, _ in unpacked:
        delta.update(json.loads(row[4]).get("counters_since_delta_snapshot") or ())
    for (identity, checkpoint_id, parent, *_), where in unpacked:
        index = bodies.whole_index(where, loaded, "")
        filled, empty = set[str](), set[str]()
        for channel, entry in bodies.channels(index):
            (filled if len(entry) > 1 else empty).add(channel)
        roots = bodies.roots(index) | bodies.roots(where)
        found[checkpoint_id] = Summary(
            identity, checkpoint_id, parent, frozenset(filled), frozenset(roots), frozenset(empty & delta)
        )
    return found


def _needed(every: Mapping[Identity, Summary], checkpoint_id: Identity) -> set[Identity]:
    """The ancestors that the delta channels of a checkpoint are rebuilt from: a value from what tasks wrote on them,
    down to the one that holds a snapshot."""
    needed: set[Identity] = set()
    one = every.get(checkpoint_id)
    missing = set(one.rebuilt) if one is not None else set()
    while missing and one is not None and one.parent is not None and one.parent not in needed:
        one = every.get(one.parent)
        if one is not None:
            needed.add(one.checkpoint_id)
            missing -= one.filled
    return needed


def _delete(
    connection: sqlite3.Connection, place: int, every: Mapping[Identity, Summary], gone: Iterable[Identity]
) -> int:
    """Delete checkpoints with their writes, and the segments that nothing else leads to."""
    gone = set(gone)
    if not gone:
        return 0
    roots = {root for one in gone for root in every[one].roots} | _write_roots(connection, place)
    identities = json.dumps([every[one].id for one in gone])
    connection.execute(
        "DELETE FROM writes WHERE place = ? AND checkpoint_id IN "
        "(SELECT checkpoint_id FROM checkpoints WHERE id IN (SELECT value FROM json_each(?)))",
        (place, identities),
    )
    connection.execute("DELETE FROM checkpoints WHERE id IN (SELECT value FROM json_each(?))", (identities,))
    kept = {root for one in every.keys() - gone for root in every[one].roots}
    kept |= _write_roots(connection, place)
    _delete_segments(connection, reachable(connection, roots) - reachable(connection, kept))
    return len(gone)


def _write_roots(connection: sqlite3.Connection, place: int) -> set[int]:
    return _roots_of(_writes(connection, place))


def _writes(
    connection: sqlite3.Connection, place: int, chosen: str | None = None
) -> list[tuple[Identity, Identity, bytes]]:
    """Checkpoint, task and body of what the tasks of a place wrote."""
    sql = "SELECT checkpoint_id, task_id, body FROM writes WHERE place = ?1"
    if chosen is None:
        return connection.execute(sql, (place,)).fetchall()
    sql += " AND checkpoint_id IN (SELECT checkpoint_id FROM checkpoints WHERE place = ?1" + _CHOSEN + ")"
    return connection.execute(sql, (place, chosen)).fetchall()


def _roots_of(writes: Iterable[tuple[Identity, Identity, bytes]]) -> set[int]:
    return {root for *_, body in writes for root in pending.roots(pending.unpack(body, ""))}


def _delete_segments(connection: sqlite3.Connection, gone: Iterable[int]) -> None:
    connection.execute(
        "DELETE FROM segments WHERE id IN (SELECT value FROM json_each(?))", (json.dumps(sorted(gone)),)
    )


def _copy_segments(
    connection: sqlite3.Connection, place: int, into: int, chosen: str | None, of_writes: set[int]
) -> dict[int, int]:
    roots = {root for one in summaries(connection, place, chosen).values() for root in one.roots}
    loaded = Segments()
    loaded.load(connection, roots | of_writes)
    moved: dict[int, int] = {}
    for identity in sorted(loaded.rows):
        row = loaded.rows[identity]
        base = None if row.base is None else moved[row.base]
        copied = segments.Segment(base, row.base_length, row.splices, row.data, row.count)
        moved[identity] = segments.insert(connection, into, copied)
    return moved


def _copy_checkpoints(
    connection: sqlite3.Connection,
    place: int,
    into: int,
    moved: Mapping[int, int],
    thread: str,
    chosen: str | None,
) -> None:
    loaded = Segments()
    rows = connection.execute(
        "SELECT checkpoint_id, parent_id, body, metadata, metadata_type, metadata_blob "
        "FROM checkpoints WHERE place = ?1" + _CHOSEN + " ORDER BY checkpoint_id",
        (place, chosen),
    ).fetchall()
    kept = None
    for checkpoint_id, parent, body, *metadata in rows:
        tag, rest, where = bodies.unpack(body, thread)
        if isinstance(where, list):
            loaded.load(connection, where[:1])
        index: Index = dict(bodies.whole_index(where, loaded, thread))
        for key, entry in index.items():
            if key[0] == "=" and len(entry) > 3:
                index[key] = [*entry[:2], moved[entry[2]], *entry[3:]]
        where, kept = store_index(connection, into, index, kept, thread)
        connection.execute(
            "INSERT OR REPLACE INTO checkpoints (place, checkpoint_id, parent_id, body, metadata, "
            "metadata_type, metadata_blob) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (into, checkpoint_id, parent, bodies.pack(tag, rest, where), *metadata),
        )
