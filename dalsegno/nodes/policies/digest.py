"""A short text for a value, the same in every process: by it a cache finds answers, and a watch sees repeats."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import pickle
from typing import Any


def digest(value: Any) -> str:
    """A short text that is the same for the same value: of its JSON, and of the pickle of what in it has none.

    What holds a set is taken apart first: a pickle has it in an order that differs from process to process, and a
    pydantic object holds one, of the names of its fields that were given.
    """
    try:
        body = _text(value).encode(errors="surrogatepass")
    except (ValueError, RecursionError):  # it holds itself
        body = _pickled(value)
    return hashlib.sha256(body).hexdigest()


def _text(value: Any) -> str:
    if type(value) is int:  # as JSON has it, and at once
        return str(value)
    return _JSON.encode(value) if _keys_are_texts(value) else _pieces(value)


def _parts(value: Any) -> Any:
    """What JSON has no form for, as something that it has one for."""
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if isinstance(value, set | frozenset):
        return [kind, sorted(map(digest, value))]
    names = getattr(type(value), "model_fields", None)
    if isinstance(names, dict):
        given = {name: value.__dict__[name] for name in names if name in value.__dict__}
        more = (getattr(value, f"__pydantic_{what}__", None) for what in ("extra", "private"))
        return [kind, *map(digest, (given, *more))]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return [kind, digest({field.name: getattr(value, field.name, None) for field in fields})]
    return ["pickle", base64.b64encode(_pickled(value)).decode()]


def _keys_are_texts(value: Any) -> bool:
    """Whether JSON tells every key in it from every other: a number in one it writes as a text."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and _keys_are_texts(held) for key, held in value.items())
    return not isinstance(value, list | tuple) or all(map(_keys_are_texts, value))


def _pieces(value: Any) -> str:
    """What has other keys, as the digests of its pieces."""
    if isinstance(value, dict):
        return "{" + ",".join(sorted(f"{digest(key)}:{digest(held)}" for key, held in value.items())) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(digest, value)) + "]"
    return _pieces(_parts(value))


def _pickled(value: Any) -> bytes:
    return pickle.dumps(value, protocol=5)


_JSON = json.JSONEncoder(sort_keys=True, ensure_ascii=False, default=_parts)
