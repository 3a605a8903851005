"""Checkpoints as rows: storing, finding and building them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointTuple
from langgraph.checkpoint.serde.base import SerializerProtocol

from dalsegno.checkpoints import values
from dalsegno.checkpoints.driver import sqlite3
from dalsegno.errors import DatabaseInvalid

GROUP = 64
"""Checkpoints read at once when they are listed."""

_COLUMNS = (
    "id, thread_id, checkpoint_ns, checkpoint_id, parent_id, channel_versions, blobs, "
    "type, checkpoint, metadata, metadata_type, metadata_blob"
)


@dataclass(frozen=True, slots=True)
class Row:
    """A checkpoint to be stored, without its values."""

    thread: str
    namespace: str
    checkpoint_id: str
    parent: str | None
    versions: ChannelVersions
    type: str
    body: bytes
    metadata: tuple[str, str | None, bytes | None]


@dataclass(frozen=True, slots=True)
class Found:
    """A stored checkpoint, its values not yet loaded; `blobs` leads from channels to rows of values."""

    id: int
    thread: str
    namespace: str
    checkpoint_id: str
    parent: str | None
    versions: dict[str, Any]
    blobs: dict[str, int]
    type: str
    body: bytes
    metadata: str
    metadata_type: str | None
    metadata_blob: bytes | None

    def load_metadata(self, serde: SerializerProtocol) -> Any:
        if self.metadata_type is None or self.metadata_blob is None:
            return json.loads(self.metadata)
        return values.load(serde, self.metadata_type, self.metadata_blob, thread=self.thread, key="metadata")


@dataclass(frozen=True, slots=True)
class Parts:
    """Stored values by their row, and writes by the checkpoint they belong to."""

    blobs: Mapping[int, tuple[str, bytes]]
    writes: Mapping[int, Sequence[tuple[str, str, str, bytes]]]


def dump_metadata(
    serde: SerializerProtocol, metadata: Mapping[str, Any], thread: str
) -> tuple[str, str | None, bytes | None]:
    """Metadata as JSON, and as bytes beside it where JSON would lose something."""
    try:
        return _searchable(metadata), None, None
    except (TypeError, ValueError):
        pass
    searchable = {}
    for key, value in metadata.items():
        try:
            _searchable({key: value})
        except (TypeError, ValueError):
            continue
        searchable[key] = value
    return _searchable(searchable), *values.dump(serde, dict(metadata), thread=thread, key="metadata")


def _searchable(metadata: Mapping[str, Any]) -> str:
    """JSON that SQLite finds everything in: it misreads some escapes of characters beyond the BMP, so
    they are written as they are. Raises ValueError for lone surrogates, which have no bytes."""
    text = json.dumps(metadata, allow_nan=False, ensure_ascii=False)
    text.encode()
    return text


def insert(
    connection: sqlite3.Connection,
    row: Row,
    blobs: Sequence[tuple[str, Any, str, bytes]],
    new_versions: ChannelVersions,
) -> None:
    """Store a checkpoint: its new values, and references to those of its parent that still stand."""
    place = (row.thread, row.namespace)
    references = _inherited(connection, row, new_versions)
    for channel, version, kind, blob in blobs:
        cursor = connection.execute(
            "INSERT INTO blobs (thread_id, checkpoint_ns, channel, version, type, blob) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (*place, channel, version, kind, blob),
        )
        assert cursor.lastrowid is not None
        references[channel] = cursor.lastrowid
    connection.execute(
        "INSERT INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, parent_id, channel_versions, "
        "blobs, type, checkpoint, metadata, metadata_type, metadata_blob) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id) DO UPDATE SET "
        "parent_id = excluded.parent_id, channel_versions = excluded.channel_versions, "
        "blobs = excluded.blobs, type = excluded.type, checkpoint = excluded.checkpoint, "
        "metadata = excluded.metadata, metadata_type = excluded.metadata_type, "
        "metadata_blob = excluded.metadata_blob",
        (
            *place, row.checkpoint_id, row.parent, json.dumps(row.versions), json.dumps(references),
            row.type, row.body, *row.metadata,
        ),
    )  # fmt: skip


def _inherited(connection: sqlite3.Connection, row: Row, new_versions: ChannelVersions) -> dict[str, int]:
    kept = {channel: v for channel, v in row.versions.items() if channel not in new_versions}
    if not kept:
        return {}
    found = None
    if row.parent is not None:
        found = connection.execute(
            "SELECT channel_versions, blobs FROM checkpoints "
            "WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ?",
            (row.thread, row.namespace, row.parent),
        ).fetchone()
    versions, blobs = (json.loads(found[0]), json.loads(found[1])) if found else ({}, {})
    references = {}
    for channel, version in kept.items():
        if versions.get(channel) == version:
            if channel in blobs:  # else its value was empty, as it is now
                references[channel] = blobs[channel]
            continue
        # The parent is gone or does not know this version: the youngest value with it is the best guess.
        youngest = connection.execute(
            "SELECT max(id) FROM blobs "
            "WHERE thread_id = ? AND checkpoint_ns = ? AND channel = ? AND version = ?",
            (row.thread, row.namespace, channel, version),
        ).fetchone()
        if youngest[0] is not None:
            references[channel] = youngest[0]
    return references


def find(
    connection: sqlite3.Connection, thread: str, namespace: str, checkpoint_id: str | None
) -> Found | None:
    """One checkpoint by its id, or the latest."""
    sql = f"SELECT {_COLUMNS} FROM checkpoints WHERE thread_id = ? AND checkpoint_ns = ? "
    if checkpoint_id:
        row = connection.execute(sql + "AND checkpoint_id = ?", (thread, namespace, checkpoint_id)).fetchone()
    else:
        row = connection.execute(sql + "ORDER BY checkpoint_id DESC LIMIT 1", (thread, namespace)).fetchone()
    return _found(row) if row else None


def fetch(connection: sqlite3.Connection, identities: Sequence[int]) -> list[Found]:
    """Checkpoints by their rows, in that order, without those deleted meanwhile."""
    found = connection.execute(
        f"SELECT {_COLUMNS} FROM checkpoints WHERE id IN (SELECT value FROM json_each(?))",
        (json.dumps(identities),),
    )
    by_id = {row[0]: _found(row) for row in found}
    return [by_id[identity] for identity in identities if identity in by_id]


def _found(row: Sequence[Any]) -> Found:
    columns = [*row]
    columns[5:7] = json.loads(row[5]), json.loads(row[6])
    return Found(*columns)


def load_parts(connection: sqlite3.Connection, found: Sequence[Found]) -> Parts:
    """The values and writes of these checkpoints."""
    wanted = sorted({blob for row in found for blob in row.blobs.values()})
    blobs = {
        identity: (kind, blob)
        for identity, kind, blob in connection.execute(
            "SELECT id, type, blob FROM blobs WHERE id IN (SELECT value FROM json_each(?))",
            (json.dumps(wanted),),
        )
    }
    writes: dict[int, list[tuple[str, str, str, bytes]]] = {}
    # In the order of `langgraph.checkpoint.base.writes_sort_key`.
    for identity, *write in connection.execute(
        "SELECT c.id, w.task_id, w.channel, w.type, w.blob "
        "FROM checkpoints c JOIN writes w USING (thread_id, checkpoint_ns, checkpoint_id) "
        "WHERE c.id IN (SELECT value FROM json_each(?)) "
        "ORDER BY w.task_path, w.task_id, w.idx",
        (json.dumps([row.id for row in found]),),
    ):
        writes.setdefault(identity, []).append(tuple(write))
    return Parts(blobs, writes)


def build(serde: SerializerProtocol, found: Found, parts: Parts) -> CheckpointTuple:
    """A checkpoint with its values, as LangGraph takes it."""
    thread = found.thread
    checkpoint: Checkpoint = values.load(serde, found.type, found.body, thread=thread, key="checkpoint")
    channel_values: dict[str, Any] = {}
    for channel, identity in found.blobs.items():
        if identity not in parts.blobs:
            raise DatabaseInvalid(
                f"The value of `{channel}` in checkpoint {found.checkpoint_id} of thread {thread!r} is "
                "missing: the database is damaged. Restore it from a backup.",
                path="",
                thread=thread,
                key=channel,
            )
        channel_values[channel] = values.load(serde, *parts.blobs[identity], thread=thread, key=channel)
    return CheckpointTuple(
        config=_config(thread, found.namespace, found.checkpoint_id),
        checkpoint={
            **checkpoint,
            "channel_versions": found.versions,
            "channel_values": channel_values,
        },
        metadata=found.load_metadata(serde),
        parent_config=_config(thread, found.namespace, found.parent) if found.parent else None,
        pending_writes=[
            (task, channel, values.load(serde, kind, blob, thread=thread, key=channel))
            for task, channel, kind, blob in parts.writes.get(found.id, ())
        ],
    )


def _config(thread: str, namespace: str, checkpoint_id: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread, "checkpoint_ns": namespace, "checkpoint_id": checkpoint_id}}


@dataclass(frozen=True)
class Search:
    """What to list; `filter` holds metadata keys and the values they must have."""

    thread: str | None
    namespace: str | None
    checkpoint_id: str | None
    before: str | None
    filter: Mapping[str, Any]
    limit: int | None

    @property
    def exact(self) -> Mapping[str, str | int]:
        """The part of the filter that SQL compares exactly as Python does."""
        return {
            key: value
            for key, value in self.filter.items()
            if _is_plain(key) and (_is_plain(value) or (isinstance(value, int) and -(2**63) <= value < 2**63))
        }

    def matches(self, found: Found, serde: SerializerProtocol) -> bool:
        """Whether the rest of the filter holds as well."""
        if not self.filter:
            return True
        metadata = found.load_metadata(serde)
        return all(metadata.get(key) == value for key, value in self.filter.items())


def _is_plain(text: Any) -> bool:
    # SQLite's JSON ends a text at a NUL, and a lone surrogate cannot be bound.
    return isinstance(text, str) and "\0" not in text and not any("\ud800" <= c <= "\udfff" for c in text)


def search(connection: sqlite3.Connection, wanted: Search) -> list[int]:
    """The rows of the checkpoints that may match, newest first."""
    conditions: list[str] = []
    parameters: list[Any] = []
    for column, operator, value in (
        ("thread_id", "=", wanted.thread),
        ("checkpoint_ns", "=", wanted.namespace),
        ("checkpoint_id", "=", wanted.checkpoint_id),
        ("checkpoint_id", "<", wanted.before),
    ):
        if value is not None:
            conditions.append(f"{column} {operator} ?")
            parameters.append(value)
    for key, exact in wanted.exact.items():
        # The key is bound as data of json_each, never part of a JSON path.
        conditions.append("EXISTS (SELECT 1 FROM json_each(metadata) WHERE key = ? AND value = ?)")
        parameters += [key, exact]
    sql = "SELECT id FROM checkpoints"
    if conditions:
        sql += " WHERE " + " AND ".join(conditions)
    sql += " ORDER BY checkpoint_id DESC, thread_id, checkpoint_ns"
    if wanted.limit is not None and wanted.exact == wanted.filter:
        sql += " LIMIT ?"
        parameters.append(max(wanted.limit, 0))
    return [identity for (identity,) in connection.execute(sql, parameters)]
