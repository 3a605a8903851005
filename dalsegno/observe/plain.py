"""Values of any kind as JSON has them, for whoever looks at a run."""

from __future__ import annotations

import json
import math
from typing import Any


def plain(value: Any) -> Any:
    """A value as JSON can hold it: models and dataclasses as objects, bytes as base64, the rest as text.

    >>> plain({"share": float("inf"), "tags": {"new"}, "raw": b"\\x00"})
    {'share': 'Infinity', 'tags': ['new'], 'raw': 'AA=='}
    """
    from pydantic_core import to_jsonable_python

    try:
        return _finite(to_jsonable_python(value, fallback=repr, bytes_mode="base64"))
    except Exception:  # a circular value, or one whose own serialiser fails
        return json.loads(json.dumps(value, default=repr, skipkeys=True)) if _is_tree(value) else repr(value)


def _finite(value: Any) -> Any:
    """Infinities and NaN, which JSON does not have, as text."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    return [_finite(part) for part in value] if isinstance(value, list) else value


def _is_tree(value: Any) -> bool:
    try:
        json.dumps(value, default=repr, skipkeys=True, allow_nan=False)
    except (ValueError, TypeError, RecursionError):
        return False
    return True
