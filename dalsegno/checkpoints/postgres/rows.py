"""Checkpoints and writes as rows of LangGraph's tables, and back.

Every value has a row of its own in `checkpoint_blobs`, found by its channel and version, but for the smallest ones,
which stand in the checkpoint itself as LangGraph has them.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointTuple, writes_sort_key
from langgraph.checkpoint.serde.types import TASKS, _DeltaSnapshot

from dalsegno.checkpoints import values
from dalsegno.checkpoints.strict import StrictSerializer

if TYPE_CHECKING:
    from langgraph.checkpoint.serde.base import SerializerProtocol

    from dalsegno.checkpoints.postgres.session import Session

_PLACE = "thread_id, checkpoint_ns, checkpoint_id"

PUT_BLOBS = (
    "INSERT INTO checkpoint_blobs (thread_id, checkpoint_ns, channel, version, type, blob) "
    "SELECT $1::text, $2::text, * FROM unnest($3::text[], $4::text[], $5::text[], $6::bytea[]) ON CONFLICT DO NOTHING"
)
PUT_CHECKPOINT = (
    f"INSERT INTO checkpoints ({_PLACE}, parent_checkpoint_id, checkpoint, metadata) "
    f"VALUES ($1, $2, $3, $4, $5::jsonb, $6::jsonb) ON CONFLICT ({_PLACE}) DO UPDATE SET "
    "parent_checkpoint_id = excluded.parent_checkpoint_id, checkpoint = excluded.checkpoint, "
    "metadata = excluded.metadata"
)
PUT_WRITES = (
    f"INSERT INTO checkpoint_writes ({_PLACE}, task_id, task_path, idx, channel, type, blob) "
    "SELECT $1::text, $2::text, $3::text, $4::text, $5::text, * "
    "FROM unnest($6::int[], $7::text[], $8::text[], $9::bytea[]) "
    # Special ones (of negative index) replace those of an earlier attempt of the task, ordinary ones stay.
    f"ON CONFLICT ({_PLACE}, task_id, idx) DO UPDATE SET "
    "channel = excluded.channel, type = excluded.type, blob = excluded.blob WHERE checkpoint_writes.idx < 0"
)

_AT = "thread_id = $1 AND checkpoint_ns = $2"
HAS = f"SELECT 1 FROM checkpoints WHERE {_AT} AND checkpoint_id = $3"
HAS_WRITE = (
    # Those of an earlier attempt of the task (an error, an answer) may stand in its place.
    f"SELECT 1 FROM checkpoint_writes WHERE {_AT} AND checkpoint_id = $3 AND task_id = $4 AND idx = $5 AND blob = $6"
)

_SELECT = (
    "SELECT c.thread_id, c.checkpoint_ns, c.checkpoint_id, c.parent_checkpoint_id, c.checkpoint, c.metadata, "
    "(SELECT array_agg(ARRAY[convert_to(b.channel, 'UTF8'), convert_to(b.type, 'UTF8'), b.blob]) "
    "FROM jsonb_each_text(c.checkpoint -> 'channel_versions') v JOIN checkpoint_blobs b "
    "ON b.thread_id = c.thread_id AND b.checkpoint_ns = c.checkpoint_ns AND b.channel = v.key "
    "AND b.version = v.value), "
    "(SELECT array_agg(ARRAY[convert_to(w.task_id, 'UTF8'), convert_to(w.channel, 'UTF8'), "
    "convert_to(w.type, 'UTF8'), w.blob, convert_to(w.task_path, 'UTF8'), convert_to(w.idx::text, 'UTF8')]) "
    "FROM checkpoint_writes w WHERE w.thread_id = c.thread_id AND w.checkpoint_ns = c.checkpoint_ns "
    "AND w.checkpoint_id = c.checkpoint_id) FROM checkpoints c "
)
ONE = f"{_SELECT} WHERE {_AT} AND checkpoint_id = $3"
LATEST = f"{_SELECT} WHERE {_AT} ORDER BY checkpoint_id DESC LIMIT 1"
MANY = (
    f"{_SELECT} JOIN unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS s (thread, ns, id, number) "
    "ON c.thread_id = s.thread AND c.checkpoint_ns = s.ns AND c.checkpoint_id = s.id ORDER BY s.number"
)
_SENDS = (
    "SELECT type, blob FROM checkpoint_writes WHERE thread_id = $1 AND checkpoint_id = $2 AND channel = $3 "
    "ORDER BY task_path, task_id, idx"
)
_OLD = 4
"""Of checkpoints before this version what was sent stands with the parent's writes."""

_BESIDE = "__dalsegno_metadata__"
"""Where metadata are kept that JSON would lose something of."""

_LONG = 1000  # bits of a whole number that is kept as JSON
_SHORT = 200  # characters of a text that stands in the checkpoint itself

Row = Any
"""What `ONE`, `LATEST` and `MANY` give."""


def dump(
    serde: SerializerProtocol,
    checkpoint: Checkpoint,
    metadata: Mapping[str, Any],
    new_versions: ChannelVersions,
    thread: str,
) -> tuple[tuple[str, str], list[list[Any]]]:
    """A checkpoint and its metadata as JSON, and the columns of what has rows of its own.

    Raises
    ------
    NotSerializable, TypeNotAllowed
        A value cannot be kept.
    """
    inline: dict[str, Any] = {}
    blobs: list[tuple[str, str, str, bytes]] = []
    for channel, value in checkpoint["channel_values"].items():
        if _is_inline(serde, value):
            inline[channel] = value
            continue
        if isinstance(value, _DeltaSnapshot):
            inline[channel] = True  # LangGraph's mark of a snapshot
        if channel in new_versions:
            kind, packed = values.dump(serde, value, thread=thread, key=channel)
            blobs.append((channel, str(new_versions[channel]), kind, packed))
    described = _dump_metadata(serde, metadata, thread)
    return (json.dumps({**checkpoint, "channel_values": inline}), described), columns_of(blobs)


def columns_of(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Rows as columns, each the array that ``unnest`` takes; none where there are no rows."""
    return [list(column) for column in zip(*rows, strict=True)]


def _is_inline(serde: SerializerProtocol, value: Any) -> bool:
    if value is None:
        return True
    if not isinstance(serde, StrictSerializer):  # which may encrypt
        return False
    if type(value) is str:
        return len(value) <= _SHORT and value.isprintable()
    return type(value) is bool or (type(value) is int and value.bit_length() <= _LONG)


def _dump_metadata(serde: SerializerProtocol, metadata: Mapping[str, Any], thread: str) -> str:
    searchable = {key: value for key, value in metadata.items() if _is_json(key) and _is_json(value)}
    if len(searchable) < len(metadata):
        kind, packed = values.dump(serde, dict(metadata), thread=thread, key="metadata")
        searchable[_BESIDE] = [kind, base64.b64encode(packed).decode()]
    return json.dumps(searchable)


def _is_json(value: Any) -> bool:
    """Whether JSON as PostgreSQL has it gives back the same."""
    if isinstance(value, Mapping):
        return type(value) is dict and all(
            isinstance(key, str) and _is_json(key) and _is_json(one) for key, one in value.items()
        )
    if type(value) is list:
        return all(map(_is_json, value))
    if type(value) is str:
        return "\0" not in value and not any("\ud800" <= c <= "\udfff" for c in value)
    if type(value) is float:
        return value - value == 0 and str(value) != "-0.0"
    if type(value) is int:
        return value.bit_length() <= _LONG  # Python makes no text of one with thousands of digits
    return value is None or type(value) is bool


def whole(session: Session, row: Row) -> Row:
    """A row with what an old checkpoint keeps elsewhere."""
    *_, parent, checkpoint, _, _, _ = row
    if checkpoint["v"] >= _OLD or not parent:
        return (*row, None)
    return (*row, session.send(_SENDS, (row[0], parent, TASKS), binary=True).fetchall())


def weight(row: Row) -> int:
    """The bytes of the values in a whole row."""
    *_, blobs, writes, _ = row
    return sum(len(one[2] or b"") for one in blobs or ()) + sum(len(one[3] or b"") for one in writes or ())


def built(serde: SerializerProtocol, row: Row) -> CheckpointTuple:
    """The checkpoint of a whole row.

    Raises
    ------
    TypeNotAllowed
        A value is of a type that is not allowed.
    DatabaseInvalid
        The serializer encrypts, and a value was stored without.
    """
    thread, namespace, checkpoint_id, parent, checkpoint, metadata, blobs, writes, sends = row
    channel_values: dict[str, Any] = checkpoint.get("channel_values") or {}
    for channel, value in channel_values.items():
        if value is not None:
            values.refuse_plaintext(serde, "json", thread=thread, key=channel)
    for channel, kind, packed in blobs or ():
        if kind != b"empty":
            key = channel.decode()
            channel_values[key] = values.load(serde, kind.decode(), packed, thread=thread, key=key)
    if sends:
        channel_values[TASKS] = [
            values.load(serde, kind, packed, thread=thread, key=TASKS) for kind, packed in sends
        ]
        versions = checkpoint["channel_versions"]
        versions[TASKS] = max(versions.values())
    ordered = sorted(writes or (), key=lambda w: writes_sort_key(w[4].decode(), w[0].decode(), int(w[5])))
    place = {"thread_id": thread, "checkpoint_ns": namespace}
    return CheckpointTuple(
        config={"configurable": {**place, "checkpoint_id": checkpoint_id}},
        checkpoint={**checkpoint, "channel_values": channel_values},  # type: ignore[typeddict-item]  # as it was put
        metadata=_load_metadata(serde, metadata, thread),
        parent_config={"configurable": {**place, "checkpoint_id": parent}} if parent else None,
        pending_writes=[
            (task.decode(), channel.decode(), _load_write(serde, channel, kind, packed, thread))
            for task, channel, kind, packed, _, _ in ordered
        ],
    )


def _load_write(serde: SerializerProtocol, channel: bytes, kind: bytes, packed: bytes, thread: str) -> Any:
    return values.load(serde, kind.decode(), packed, thread=thread, key=channel.decode())


def _load_metadata(serde: SerializerProtocol, metadata: dict[str, Any], thread: str) -> Any:
    beside = metadata.get(_BESIDE)
    if beside is None:
        return metadata
    return values.load(serde, beside[0], base64.b64decode(beside[1]), thread=thread, key="metadata")


def search(
    config: RunnableConfig | None,
    filter: Mapping[str, Any],
    before: RunnableConfig | None,
    limit: int | None,
) -> tuple[str, list[Any], Mapping[str, Any]]:
    """The statement, and its parameters, that finds the places of checkpoints, newest first; and what of the filter
    it cannot ask, so that more are found than are wanted."""
    conditions: list[str] = []
    parameters: list[Any] = []

    def demand(condition: str, *given: Any) -> None:
        numbers = [f"${len(parameters) + number}" for number in range(1, len(given) + 1)]
        conditions.append(condition.format(*numbers))
        parameters.extend(given)

    place: Mapping[str, Any] = config["configurable"] if config else {}
    if config:
        demand("thread_id = {}", str(place["thread_id"]))
    if place.get("checkpoint_ns") is not None:
        demand("checkpoint_ns = {}", place["checkpoint_ns"])
    if place.get("checkpoint_id"):
        demand("checkpoint_id = {}", place["checkpoint_id"])
    if before is not None and before["configurable"].get("checkpoint_id"):
        demand("checkpoint_id < {}", before["configurable"]["checkpoint_id"])
    rest = {key: value for key, value in filter.items() if not (_is_json(key) and _is_json(value))}
    for key in filter.keys() - rest.keys():
        demand("coalesce(metadata -> {}, 'null') = {}::jsonb", key, json.dumps(filter[key]))
    sql = f"SELECT {_PLACE} FROM checkpoints"
    if conditions:
        sql += " WHERE " + " AND ".join(conditions)
    sql += " ORDER BY checkpoint_id DESC, thread_id DESC, checkpoint_ns DESC"
    if limit is not None and not rest:
        parameters.append(min(max(limit, 0), 2**62))
        sql += f" LIMIT ${len(parameters)}"
    return sql, parameters, rest
