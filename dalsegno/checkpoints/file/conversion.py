"""Checkpoints of the first layout, one blob a channel and version, into segments (migration 3)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dalsegno.checkpoints.file import bodies, pending, segments
from dalsegno.checkpoints.file.differences import INLINE, Change, Kept
from dalsegno.checkpoints.file.driver import sqlite3
from dalsegno.checkpoints.file.group_commit import Company
from dalsegno.checkpoints.file.storing import place_of, store_index
from dalsegno.checkpoints.file.streams import WHOLE, compare
from dalsegno.checkpoints.identities import shorten
from dalsegno.errors import DatabaseInvalid


def convert(connection: sqlite3.Connection) -> None:
    """Fill the new tables from the old ones; nothing is built from the values, only their bytes are moved."""
    company: Company = {}
    found = _values(connection, company)
    index_of: dict[int, Kept | None] = {}
    for (
        thread,
        namespace,
        checkpoint_id,
        parent,
        versions,
        blobs,
        kind,
        body,
        *metadata,
    ) in connection.execute(
        "SELECT thread_id, checkpoint_ns, checkpoint_id, parent_id, channel_versions, blobs, type, checkpoint, "
        "metadata, metadata_type, metadata_blob FROM old_checkpoints "
        "ORDER BY thread_id, checkpoint_ns, checkpoint_id"
    ).fetchall():
        place = place_of(connection, (thread, namespace), company)
        index = _index(json.loads(versions), json.loads(blobs), found)
        where, index_of[place] = store_index(connection, place, index, index_of.get(place), thread)
        connection.execute(
            "INSERT INTO checkpoints (place, checkpoint_id, parent_id, body, metadata, metadata_type, "
            "metadata_blob) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                place, shorten(checkpoint_id), parent and shorten(parent),
                bodies.pack_serialized(kind, body, where), *metadata,
            ),
        )  # fmt: skip
    for thread, namespace, checkpoint_id, task, *write in connection.execute(
        "SELECT thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, blob "
        "FROM old_writes ORDER BY thread_id, checkpoint_ns, checkpoint_id, task_id, idx"
    ).fetchall():
        place = place_of(connection, (thread, namespace), company)
        path, index_, channel, kind, blob = write
        one = (path, index_, channel, kind, blob)
        row = pending.row(connection, place, shorten(checkpoint_id), shorten(task), [one], ())
        pending.store(connection, [row])


def _values(connection: sqlite3.Connection, company: Company) -> dict[int, list[Any]]:
    """What stands in an index for each row of the old table `blobs`, but for the version."""
    found: dict[int, list[Any]] = {}
    last: dict[tuple[int, str, str], Kept] = {}
    rows = connection.execute(
        "SELECT id, thread_id, checkpoint_ns, channel, type, blob FROM blobs ORDER BY id"
    )
    for identity, thread, namespace, channel, kind, blob in rows:
        if len(blob) <= INLINE:
            found[identity] = [bodies.short(kind), blob]
            continue
        place = place_of(connection, (thread, namespace), company)
        kept = last.get((place, channel, kind))
        splices = None
        if kept is None:
            kept = last[place, channel, kind] = Kept(kind, WHOLE, bytearray(blob))
        else:
            splices = compare(bytes(kept.stream), blob)
            kept.stream = bytearray(blob)
        segments.store(connection, place, Change(kind, None, kept, splices, blob))
        assert kept.tip is not None
        found[identity] = [bodies.short(kind), kept.tip.segment, len(blob), WHOLE, 0]
    return found


def _index(
    versions: Mapping[str, Any], blobs: Mapping[str, int], found: Mapping[int, list[Any]]
) -> dict[str, Any]:
    for channel, blob in blobs.items():
        if blob not in found:
            raise DatabaseInvalid(
                f"The database cannot be migrated: a value of `{channel}` is missing. It was left as it is; "
                "restore it from a backup.",
                path="",
            )
    return {
        "=" + channel: [version, *(found[blobs[channel]] if channel in blobs else ())]
        for channel, version in versions.items()
    }
