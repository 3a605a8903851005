"""The table `checkpoints`: finding checkpoints. One row each; see `bodies` for what is in it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ormsgpack
from langgraph.checkpoint.serde.base import SerializerProtocol

from dalsegno.checkpoints import values
from dalsegno.checkpoints.failures import damage_named, damaged
from dalsegno.checkpoints.file import bodies
from dalsegno.checkpoints.file.bodies import Index
from dalsegno.checkpoints.file.driver import sqlite3
from dalsegno.checkpoints.identities import lengthen, shorten
from dalsegno.checkpoints.strict import PlainReader

GROUP = 512
"""Checkpoints read at once when they are listed, at most."""

GROUP_BYTES = 32_000_000
"""Bytes that a group may take beside those of its first checkpoint."""

_JSON = json.JSONEncoder(allow_nan=False, ensure_ascii=False)

_COLUMNS = (
    "c.id, p.thread_id, p.checkpoint_ns, c.place, c.checkpoint_id, c.parent_id, c.body, "
    "c.metadata, c.metadata_type, c.metadata_blob"
)
_FROM = "FROM checkpoints c JOIN places p ON p.id = c.place"


@dataclass(frozen=True, slots=True)
class Found:
    """A stored checkpoint, its values not yet loaded."""

    id: int
    thread: str
    namespace: str
    place: int
    checkpoint_id: str
    parent: str | None
    body: bytes
    tag: int
    rest: Any
    index: Index | list[int]
    metadata: str
    metadata_type: str | None
    metadata_blob: bytes | None

    def load_metadata(self, serde: SerializerProtocol) -> Any:
        if self.metadata_type is None or self.metadata_blob is None:
            with damage_named(self.thread, "metadata"):
                metadata = json.loads(self.metadata)
        else:
            kind, blob = self.metadata_type, self.metadata_blob
            if not isinstance(kind, str):  # whatever the column says, SQLite keeps what it is given
                raise damaged(self.thread, "metadata", "is no metadata")
            metadata = values.load(serde, kind, blob, thread=self.thread, key="metadata")
            if isinstance(serde, PlainReader) and isinstance(
                metadata, str
            ):  # encrypted: what is searched for is not
                metadata = json.loads(self.metadata)
        if not isinstance(metadata, dict):
            raise damaged(self.thread, "metadata", "is no metadata")
        return metadata


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
    they are written as they are. Raises ValueError for lone surrogates, which have no bytes, and TypeError for keys
    that are no texts, which JSON would make ones."""
    try:
        ormsgpack.packb(metadata)  # which takes nothing but texts for keys either, and is faster
    except TypeError:
        if not _has_texts_for_keys(metadata):
            raise
    text = _JSON.encode(metadata)
    text.encode()
    return text


def _has_texts_for_keys(value: Any) -> bool:
    inside = value
    if isinstance(value, dict):
        if not set(map(type, value)) <= {str}:
            return False
        inside = value.values()
    return all(_has_texts_for_keys(one) for one in inside if isinstance(one, (dict, list, tuple)))


def find(
    connection: sqlite3.Connection, thread: str, namespace: str, checkpoint_id: str | None
) -> Found | None:
    """One checkpoint by its id, or the latest."""
    sql = f"SELECT {_COLUMNS} {_FROM} WHERE p.thread_id = ? AND p.checkpoint_ns = ? "
    if checkpoint_id:
        sql += "AND c.checkpoint_id = ?"
        row = connection.execute(sql, (thread, namespace, shorten(checkpoint_id))).fetchone()
    else:
        sql += "ORDER BY c.checkpoint_id DESC LIMIT 1"
        row = connection.execute(sql, (thread, namespace)).fetchone()
    return _found(row) if row else None


def fetch(connection: sqlite3.Connection, identities: Sequence[int]) -> list[Found]:
    """Checkpoints by their rows, in that order, without those deleted meanwhile."""
    found = connection.execute(
        f"SELECT {_COLUMNS} {_FROM} WHERE c.id IN (SELECT value FROM json_each(?))", (json.dumps(identities),)
    )
    by_id = {row[0]: _found(row) for row in found}
    return [by_id[identity] for identity in identities if identity in by_id]


def ancestors(connection: sqlite3.Connection, found: Found) -> Iterator[Found]:
    """The checkpoints that one came from, the nearest first; read as they are asked for."""
    rows = connection.execute(
        "WITH RECURSIVE line (id, parent_id) AS (SELECT id, parent_id FROM checkpoints WHERE id = ?1 UNION "
        # CROSS keeps the order: each step is one look into the index.
        "SELECT c.id, c.parent_id FROM line l CROSS JOIN checkpoints c "
        "ON c.place = ?2 AND c.checkpoint_id = l.parent_id) "
        f"SELECT {_COLUMNS} FROM line l CROSS JOIN checkpoints c ON c.id = l.id "
        "CROSS JOIN places p ON p.id = c.place WHERE c.id <> ?1",
        (found.id, found.place),
    )
    return (_found(row) for row in rows)


def _found(row: Sequence[Any]) -> Found:
    identity, thread, namespace, place, checkpoint_id, parent, body, *metadata = row
    if not isinstance(checkpoint_id, (bytes, str)) or not isinstance(parent, (bytes, str, type(None))):
        raise damaged(thread, "checkpoint_id", "is no name")
    return Found(
        identity, thread, namespace, place, lengthen(checkpoint_id), lengthen(parent) if parent else None, body,
        *bodies.unpack(body, thread), *metadata,
    )  # fmt: skip


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
        ("p.thread_id", "=", wanted.thread),
        ("p.checkpoint_ns", "=", wanted.namespace),
        ("c.checkpoint_id", "=", wanted.checkpoint_id and shorten(wanted.checkpoint_id)),
        ("c.checkpoint_id", "<", wanted.before and shorten(wanted.before)),
    ):
        if value is not None:
            conditions.append(f"{column} {operator} ?")
            parameters.append(value)
    for key, exact in wanted.exact.items():
        # The key is bound as data of json_each, never part of a JSON path. A list's value there is a text: no atom.
        conditions.append(
            "EXISTS (SELECT 1 FROM json_each(c.metadata) WHERE key = ? AND value = ? AND atom NOTNULL)"
        )
        parameters += [key, exact]
    sql = f"SELECT c.id {_FROM}"
    if conditions:
        sql += " WHERE " + " AND ".join(conditions)
    sql += " ORDER BY c.checkpoint_id DESC, p.thread_id, p.checkpoint_ns"
    if wanted.limit is not None and wanted.exact == wanted.filter:
        sql += " LIMIT ?"
        parameters.append(min(max(wanted.limit, 0), 2**63 - 1))
    return [identity for (identity,) in connection.execute(sql, parameters)]
