"""The body of a checkpoint's row: which channel has which value, and what LangGraph keeps beside.

A body is msgpack of plain data: ``[tag, rest, index]``. The index is a dictionary with two kinds of keys:
``=channel`` leads to the version and the value of a channel, ``<node`` to the versions a node has seen.
A value is ``[version]`` where the channel is empty, ``[version, kind, bytes]`` where it is small, and
``[version, kind, segment, length, form, count]`` where its stream is in the table `segments`. An index
that is large is a stream itself, ``[segment, length, count]`` in its place: of a graph with a hundred
nodes, a superstep stores what the few that ran have changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import ormsgpack

from dalsegno.checkpoints import values
from dalsegno.checkpoints.failures import damaged
from dalsegno.checkpoints.file.segments import Segments
from dalsegno.checkpoints.file.streams import MAP, header
from dalsegno.checkpoints.strict import PlainReader, StrictSerializer

if TYPE_CHECKING:
    from langgraph.checkpoint.serde.base import SerializerProtocol

INLINE_INDEX = 1024
"""Bytes up to which the index stands in the row."""

Index = dict[str, Any]

_KEPT_BY_ROW = frozenset({"id", "channel_values", "channel_versions"})
_USUAL = frozenset({"v", "ts", "updated_channels", "versions_seen", *_KEPT_BY_ROW})
_USUAL_AND_SENDS = _USUAL | {"pending_sends"}
_USUAL_TAG, _SENDS_TAG, _SERIALIZED_TAG = 0, 1, 2

_KINDS = ("msgpack", "null", "bytes", "bytearray")
_SHORT: dict[str, int | str] = {kind: number for number, kind in enumerate(_KINDS)}
_PLAIN = StrictSerializer()


def rest(serde: SerializerProtocol, checkpoint: Mapping[str, Any], thread: str) -> tuple[int, Any]:
    """What a checkpoint holds beside its index, and the tag that says how."""
    keys = checkpoint.keys()
    if isinstance(serde, StrictSerializer):
        fields = [checkpoint.get("v"), checkpoint.get("ts"), checkpoint.get("updated_channels")]
        if keys == _USUAL:
            return _USUAL_TAG, fields
        if keys == _USUAL_AND_SENDS and checkpoint["pending_sends"] == []:
            return _SENDS_TAG, fields
    whole = {key: value for key, value in checkpoint.items() if key not in _KEPT_BY_ROW}
    return _SERIALIZED_TAG, list(values.dump(serde, whole, thread=thread, key="checkpoint"))


def seen(tag: int, checkpoint: Mapping[str, Any]) -> Mapping[str, Any]:
    """The versions that nodes have seen, where they belong into the index."""
    return {} if tag == _SERIALIZED_TAG else checkpoint["versions_seen"]


def pack(tag: int, rest: Any, index: Index | list[int]) -> bytes:
    """The bytes of a body."""
    return ormsgpack.packb([tag, rest, index])


def pack_serialized(kind: str, rest: bytes, index: Index | list[int]) -> bytes:
    """The bytes of a body whose rest was serialised by whatever serializer."""
    return pack(_SERIALIZED_TAG, [kind, rest], index)


def unpack(body: bytes, thread: str) -> tuple[int, Any, Index | list[int]]:
    """Tag, rest and index of a body.

    Raises
    ------
    TypeNotAllowed
        It holds anything but plain data: nobody of ours has written it.
    DatabaseInvalid
        It is no body: the row is damaged.
    """
    found = values.load(_PLAIN, "msgpack", body, thread=thread, key="checkpoint")
    if not _is_body(found):
        raise damaged(thread, "checkpoint", "is no checkpoint")
    tag, rest, index = found
    return tag, rest, index


def whole_index(index: Index | list[int], loaded: Segments, thread: str) -> Index:
    """The index, where it stands in the body, or from its stream. Raises LookupError where that is damaged."""
    if isinstance(index, dict):
        return index
    segment, length, count = index
    packed = loaded.stream(segment, length, header(MAP, count))
    found: Index = values.load(_PLAIN, "msgpack", packed, thread=thread, key="checkpoint")
    if not _is_index(found):
        raise LookupError(segment)
    return found


def _is_body(found: Any) -> bool:
    if not isinstance(found, list) or len(found) != 3 or found[0] not in (0, 1, 2):
        return False
    tag, rest, index = found
    if not isinstance(rest, list) or len(rest) != (2 if tag == _SERIALIZED_TAG else 3):
        return False
    if tag == _SERIALIZED_TAG and not (isinstance(rest[0], str) and isinstance(rest[1], bytes)):
        return False
    return _is_index(index) or (isinstance(index, list) and len(index) == 3 and are_counts(index))


def _is_index(found: Any) -> bool:
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        return False
    return all(
        _is_entry(entry) if key[:1] == "=" else key[:1] == "<" and isinstance(entry, dict)
        for key, entry in found.items()
    )


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, list) or len(entry) not in (1, 3, 6):
        return False
    if len(entry) == 1:
        return True
    return is_kind(entry[1]) and (are_counts(entry[2:]) if len(entry) == 6 else isinstance(entry[2], bytes))


def are_counts(numbers: Any) -> bool:
    """Whether these are numbers of bytes, elements or rows."""
    return all(type(number) is int and 0 <= number < 2**63 for number in numbers)


def is_kind(kind: Any) -> bool:
    """Whether that says of what kind bytes are."""
    return isinstance(kind, str) or (type(kind) is int and 0 <= kind < len(_KINDS))


def checkpoint(
    serde: SerializerProtocol, tag: int, rest: Any, index: Index, checkpoint_id: str, thread: str
) -> dict[str, Any]:
    """A checkpoint as LangGraph knows it, without its values."""
    if tag == _SERIALIZED_TAG:
        known = values.load(serde, *rest, thread=thread, key="checkpoint")
        if not isinstance(known, dict):
            if not isinstance(serde, PlainReader):
                raise damaged(thread, "checkpoint", "is no checkpoint")
            known = {}  # encrypted: what is shown does without
        found = dict(known)
    else:
        values.refuse_plaintext(serde, "plain", thread=thread, key="checkpoint")
        v, ts, updated = rest
        found = {"v": v, "ts": ts, "updated_channels": updated}
        found["versions_seen"] = {key[1:]: dict(value) for key, value in index.items() if key[0] == "<"}
        if tag == _SENDS_TAG:
            found["pending_sends"] = []
    found["id"] = checkpoint_id
    found["channel_versions"] = {channel: entry[0] for channel, entry in channels(index)}
    return found


def channels(index: Index) -> Iterator[tuple[str, Any]]:
    """Each channel with its version and its value."""
    return ((key[1:], entry) for key, entry in index.items() if key[0] == "=")


def roots(index: Index | list[int]) -> set[int]:
    """The segments that an index names; of one that is a stream itself, that stream's."""
    if isinstance(index, list):
        return {index[0]}
    return {entry[2] for _, entry in channels(index) if len(entry) > 3}


def short(kind: str) -> int | str:
    """A kind of serialised bytes in as little room as possible."""
    return _SHORT.get(kind, kind)


def long(kind: int | str) -> str:
    """The kind that `short` has shortened."""
    return _KINDS[kind] if isinstance(kind, int) else kind
