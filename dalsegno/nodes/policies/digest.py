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
        body = (str(value) if type(value) is int else _JSON.encode(value)).encode(errors="surrogatepass")
    except TypeError:  # keys that are no texts, or cannot be sorted
        body = _pieces(value).encode()
    except (ValueError, RecursionError):  # it holds itself
        body = _pickled(value)
    return hashlib.sha256(body).hexdigest()


def _parts(value: Any) -> Any:
    """What JSON has no form for, as something that it has one for."""
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if isinstance(value, set | frozenset):
        return [kind, sorted(map(digest, value))]
    names = getattr(type(value), "model_fields", None)
    if isinstance(names, dict):
        given = {name: value.__dict__[name] for name in names if name in value.__dict__}
        return [kind, given, *(getattr(value, f"__pydantic_{more}__", None) for more in ("extra", "private"))]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return [kind, {field.name: getattr(value, field.name, None) for field in fields}]
    return ["pickle", base64.b64encode(_pickled(value)).decode()]


def _pieces(value: Any) -> str:
    """What JSON cannot encode, as the digests of its pieces."""
    if isinstance(value, dict):
        return "{" + ",".join(sorted(f"{digest(key)}:{digest(held)}" for key, held in value.items())) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(digest, value)) + "]"
    return _pieces(_parts(value))


def _pickled(value: Any) -> bytes:
    return pickle.dumps(value, protocol=5)


_JSON = json.JSONEncoder(sort_keys=True, ensure_ascii=False, default=_parts)
