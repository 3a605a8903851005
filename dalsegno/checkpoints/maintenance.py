"""Deleting, pruning and copying threads; each function works inside the caller's transaction."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from dalsegno.checkpoints.driver import sqlite3
from dalsegno.errors import CheckpointError


def delete_thread(connection: sqlite3.Connection, thread: str) -> None:
    """Delete everything of a thread."""
    for table in ("checkpoints", "blobs", "writes"):
        connection.execute(f"DELETE FROM {table} WHERE thread_id = ?", (thread,))


def prune(connection: sqlite3.Connection, threads: Sequence[str], strategy: str) -> None:
    """Delete all but the latest checkpoint of each namespace and what it needs, or everything."""
    if strategy not in ("keep_latest", "delete"):
        raise CheckpointError(
            f'There is no pruning strategy {strategy!r}; it is "keep_latest" or "delete".', strategy=strategy
        )
    for thread in threads:
        if strategy == "delete":
            delete_thread(connection, thread)
            continue
        latest = connection.execute(
            "SELECT checkpoint_ns, max(checkpoint_id) FROM checkpoints WHERE thread_id = ? "
            "GROUP BY checkpoint_ns",
            (thread,),
        ).fetchall()
        for namespace, checkpoint_id in latest:
            keep = {checkpoint_id} | _needed(connection, thread, namespace, checkpoint_id)
            _delete_others(connection, thread, namespace, keep)
        _drop_unused_blobs(connection, thread)


def delete_for_runs(connection: sqlite3.Connection, run_ids: Sequence[str]) -> None:
    """Delete the checkpoints of these runs, unless a checkpoint that stays is rebuilt from one of them."""
    doomed = connection.execute(
        "SELECT thread_id, checkpoint_ns, checkpoint_id FROM checkpoints "
        "WHERE json_extract(metadata, '$.run_id') IN (SELECT value FROM json_each(?))",
        (json.dumps(list(run_ids)),),
    ).fetchall()
    by_place: dict[tuple[str, str], set[str]] = {}
    for thread, namespace, checkpoint_id in doomed:
        by_place.setdefault((thread, namespace), set()).add(checkpoint_id)
    for (thread, namespace), gone in by_place.items():
        for checkpoint_id in _delta_checkpoints(connection, thread, namespace) - gone:
            if gone & _needed(connection, thread, namespace, checkpoint_id):
                raise CheckpointError(
                    f"The runs {list(run_ids)} cannot be deleted: checkpoint {checkpoint_id} of thread "
                    f"{thread!r} rebuilds a DeltaChannel from them. Delete the runs after them as well, or "
                    "the whole thread.",
                    thread=thread,
                )
        _delete(connection, thread, namespace, gone)
    for thread in {thread for thread, _ in by_place}:
        _drop_unused_blobs(connection, thread)


def copy_thread(connection: sqlite3.Connection, source: str, target: str) -> None:
    """Copy all checkpoints, values and writes of a thread; what the target has under other ids stays."""
    if source == target:
        return
    moved: dict[int, int] = {}
    for identity, namespace, channel, version, kind, blob in connection.execute(
        "SELECT id, checkpoint_ns, channel, version, type, blob FROM blobs WHERE thread_id = ?", (source,)
    ).fetchall():
        cursor = connection.execute(
            "INSERT INTO blobs (thread_id, checkpoint_ns, channel, version, type, blob) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (target, namespace, channel, version, kind, blob),
        )
        assert cursor.lastrowid is not None
        moved[identity] = cursor.lastrowid
    for identity, blobs in connection.execute(
        "SELECT id, blobs FROM checkpoints WHERE thread_id = ?", (source,)
    ).fetchall():
        references = {channel: moved[blob] for channel, blob in json.loads(blobs).items()}
        connection.execute(
            "INSERT OR REPLACE INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, parent_id, "
            "channel_versions, blobs, type, checkpoint, metadata, metadata_type, metadata_blob) "
            "SELECT ?, checkpoint_ns, checkpoint_id, parent_id, channel_versions, ?, type, checkpoint, "
            "metadata, metadata_type, metadata_blob FROM checkpoints WHERE id = ?",
            (target, json.dumps(references), identity),
        )
    # A checkpoint that the target has already is the source's now, writes and all.
    connection.execute(
        "DELETE FROM writes WHERE thread_id = ? AND (checkpoint_ns, checkpoint_id) IN "
        "(SELECT checkpoint_ns, checkpoint_id FROM checkpoints WHERE thread_id = ?)",
        (target, source),
    )
    connection.execute(
        "INSERT OR REPLACE INTO writes (thread_id, checkpoint_ns, checkpoint_id, task_id, idx, task_path, "
        "channel, type, blob) SELECT ?, checkpoint_ns, checkpoint_id, task_id, idx, task_path, channel, "
        "type, blob FROM writes WHERE thread_id = ?",
        (target, source),
    )
    _drop_unused_blobs(connection, target)


def _needed(connection: sqlite3.Connection, thread: str, namespace: str, checkpoint_id: str) -> set[str]:
    """The ancestors that the delta channels of a checkpoint are rebuilt from.

    LangGraph counts, in the metadata, the updates of each delta channel since its last snapshot. The
    value is rebuilt from the writes of the ancestors down to the one that holds the snapshot.
    """
    needed: set[str] = set()
    row = _summary(connection, thread, namespace, checkpoint_id)
    if row is None:
        return needed
    parent, blobs, counters = row
    missing = set(counters) - set(blobs)
    while missing and parent is not None and parent not in needed:
        row = _summary(connection, thread, namespace, parent)
        if row is None:
            break
        needed.add(parent)
        parent, blobs, _ = row
        missing -= set(blobs)
    return needed


def _summary(
    connection: sqlite3.Connection, thread: str, namespace: str, checkpoint_id: str
) -> tuple[str | None, dict[str, int], dict[str, object]] | None:
    row = connection.execute(
        "SELECT parent_id, blobs, metadata FROM checkpoints "
        "WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ?",
        (thread, namespace, checkpoint_id),
    ).fetchone()
    if row is None:
        return None
    counters = json.loads(row[2]).get("counters_since_delta_snapshot") or {}
    return row[0], json.loads(row[1]), counters


def _delta_checkpoints(connection: sqlite3.Connection, thread: str, namespace: str) -> set[str]:
    found = connection.execute(
        "SELECT checkpoint_id FROM checkpoints WHERE thread_id = ? AND checkpoint_ns = ? "
        "AND json_extract(metadata, '$.counters_since_delta_snapshot') IS NOT NULL",
        (thread, namespace),
    )
    return {checkpoint_id for (checkpoint_id,) in found}


def _delete_others(connection: sqlite3.Connection, thread: str, namespace: str, keep: set[str]) -> None:
    for table in ("checkpoints", "writes"):
        connection.execute(
            f"DELETE FROM {table} WHERE thread_id = ? AND checkpoint_ns = ? "
            "AND checkpoint_id NOT IN (SELECT value FROM json_each(?))",
            (thread, namespace, json.dumps(sorted(keep))),
        )


def _delete(connection: sqlite3.Connection, thread: str, namespace: str, gone: Iterable[str]) -> None:
    for table in ("checkpoints", "writes"):
        connection.execute(
            f"DELETE FROM {table} WHERE thread_id = ? AND checkpoint_ns = ? "
            "AND checkpoint_id IN (SELECT value FROM json_each(?))",
            (thread, namespace, json.dumps(sorted(gone))),
        )


def _drop_unused_blobs(connection: sqlite3.Connection, thread: str) -> None:
    connection.execute(
        "DELETE FROM blobs WHERE thread_id = ?1 AND id NOT IN ("
        "SELECT j.value FROM checkpoints c, json_each(c.blobs) j WHERE c.thread_id = ?1)",
        (thread,),
    )
