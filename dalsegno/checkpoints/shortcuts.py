"""A short way to the bytes of dataclasses and of `Send`, which LangGraph's serializer comes to last.

Before it writes one it asks whether it keeps a protocol, and that takes Python 3.11 some 40 µs an object.
"""

from __future__ import annotations

import dataclasses
from abc import ABC
from typing import Any, Generic

from langgraph.checkpoint.serde import jsonplus
from langgraph.types import Send

_ASKED_FIRST = frozenset({"model_dump", "get_secret_value", "dict", "_asdict", "__getattr__"})
"""What has one of these may be written in another way, or says so only when it is asked."""


def stored_fields(kind: type) -> tuple[str, ...] | None:
    """The fields of a dataclass, which is stored by them and in no other way; None of any other class.

    LangGraph takes one that has the fields `node` and `arg` for a `Send`, and loses what else is in it.
    """
    if not all(map(_is_plain, kind.__mro__)):
        return None
    names = tuple(field.name for field in dataclasses.fields(kind))
    return None if _ASKED_FIRST & {*names, *dir(kind)} else names


def _is_plain(base: type) -> bool:
    has = base.__dict__
    return base in (object, Generic, ABC) or ("__dataclass_fields__" in has and "__getattribute__" not in has)


def taken_apart(obj: Any, fields: tuple[str, ...] | None) -> tuple[int, tuple[str, str, Any]] | None:
    """The extension and the content to write for an object, where that is known: for a `Send`, and for a dataclass
    with these fields."""
    kind = type(obj)
    content: Any
    if fields is not None:
        code, content = jsonplus.EXT_CONSTRUCTOR_KW_ARGS, {name: getattr(obj, name) for name in fields}
    elif kind is Send:
        timeout = () if obj.timeout is None else (obj.timeout,)
        code, content = jsonplus.EXT_CONSTRUCTOR_POS_ARGS, (obj.node, obj.arg, *timeout)
    else:
        return None
    return code, (kind.__module__, kind.__name__, content)
