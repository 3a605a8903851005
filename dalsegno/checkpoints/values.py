"""Channel values to bytes and back, with errors that say which thread and which key."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import ormsgpack
from langgraph.checkpoint.serde.types import ERROR

from dalsegno.errors import DatabaseInvalid, NotSerializable, TypeNotAllowed

if TYPE_CHECKING:
    from langgraph.checkpoint.serde.base import SerializerProtocol


def dump(serde: SerializerProtocol, value: Any, *, thread: str, key: str) -> tuple[str, bytes]:
    """The type and bytes of the value of `key`.

    Raises
    ------
    NotSerializable
        It has no bytes; the message leads to the part of it that has none.
    TypeNotAllowed
        It could not be read again.
    """
    if key == ERROR and isinstance(value, BaseException):
        value = repr(value)  # as LangGraph does; what it keeps of an error is its text
    try:
        kind, packed = serde.dumps_typed(value)
    except TypeNotAllowed as error:
        raise _named(error, "cannot be kept", thread, key) from None
    except Exception as error:  # whatever a serializer of the user's raises
        path, culprit = _culprit(serde, value, key)
        name = type(culprit).__qualname__
        if type(culprit).__module__ != "builtins":
            name = f"{type(culprit).__module__}.{name}"
        why = getattr(error, "why", str(error))
        raise NotSerializable(
            f"`{path}` in thread {thread!r} cannot be kept: its type is `{name}` ({why}). Keep plain data, a "
            "dataclass or a pydantic model there, and make what cannot be stored inside the node. The last "
            "checkpoint stands.",
            thread=thread,
            key=key,
            type=name,
        ) from error
    # The bytes of a bytearray are the object itself, which a node may change before they are written.
    return kind, bytes(packed) if isinstance(packed, bytearray) else packed


def load(serde: SerializerProtocol, kind: str, blob: bytes, *, thread: str, key: str) -> Any:
    """The value of `key`.

    Raises
    ------
    TypeNotAllowed
        It holds a type that is not allowed, is gone, or cannot be built any more.
    DatabaseInvalid
        The serializer encrypts, and this was stored without, or with another key.
    """
    refuse_plaintext(serde, kind, thread=thread, key=key)
    try:
        return serde.loads_typed((kind, blob))
    except TypeNotAllowed as error:
        raise _named(error, "cannot be read", thread, key) from None
    except DatabaseInvalid as error:  # of a serializer that encrypts
        raise DatabaseInvalid(
            f"`{key}` in thread {thread!r} cannot be read. {error}", path="", thread=thread, key=key
        ) from error.__cause__


def native(packed: bytes) -> Any:
    """The value of bytes that hold nothing but msgpack's own kinds of data. Raises ValueError where there is more."""
    return ormsgpack.unpackb(packed, option=ormsgpack.OPT_NON_STR_KEYS)


def refuse_plaintext(serde: SerializerProtocol, kind: str, *, thread: str, key: str) -> None:
    """A serializer that encrypts takes nothing that was stored without. Raises DatabaseInvalid."""
    refuses = getattr(serde, "refuses", None)
    if refuses is not None and refuses(kind):
        raise DatabaseInvalid(
            f"`{key}` in thread {thread!r} was stored without encryption, so anybody may have written it. It is "
            "not read; to take over values from before, copy them with a checkpointer that does not encrypt.",
            path="",
            thread=thread,
            key=key,
        )


def dump_json(value: Any, *, thread: str, key: str) -> str | None:
    """A record's field as JSON text, None for None."""
    if value is None:
        return None
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        name = type(value).__qualname__
        raise NotSerializable(
            f"`{key}` of a run of thread {thread!r} is no JSON ({error}).", thread=thread, key=key, type=name
        ) from error


def load_json(text: str | None) -> Any:
    """A record's field from its JSON text."""
    return None if text is None else json.loads(text)


def _named(error: TypeNotAllowed, what: str, thread: str, key: str) -> TypeNotAllowed:
    why = str(error.data.get("why", "that"))
    if "cannot be built" in why:
        way = "Its class has changed since: let it take what was stored, with a default for what is new."
    elif "is damaged" in why:
        way = "Restore the database from a backup."
    elif "is encrypted" in why:
        way = "Pass what wrote it: `SqliteCheckpointer(..., serde=EncryptedSerializer(...))`."
    else:
        way = (
            "If you trust it, name the type in the state's schema or pass it in "
            "`SqliteCheckpointer(..., allow=[...])`."
        )
    return TypeNotAllowed(
        f"`{key}` in thread {thread!r} {what}: it holds `{error.type}`, and {why}. {way}",
        thread=thread,
        key=key,
        type=error.type,
    )


def _culprit(serde: SerializerProtocol, value: Any, path: str, depth: int = 0) -> tuple[str, Any]:
    """The innermost part of `value` that cannot be serialised, and the way to it."""
    if depth < 20:
        for step, part in _parts(value):
            try:
                serde.dumps_typed(part)
            except TypeNotAllowed:
                continue
            except Exception:
                return _culprit(serde, part, path + step, depth + 1)
    return path, value


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        yield from ((f"[{key!r}]", part) for key, part in value.items())
    elif isinstance(value, (list, tuple, set, frozenset)):
        yield from ((f"[{index}]", part) for index, part in enumerate(value))
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from ((f".{f.name}", getattr(value, f.name)) for f in dataclasses.fields(value))
    elif hasattr(type(value), "model_fields"):  # not of a class, which has them itself
        yield from ((f".{name}", getattr(value, name)) for name in type(value).model_fields)
