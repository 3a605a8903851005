"""JSON as RFC 8259 has it, read without guessing: what readers differ about is refused."""

from __future__ import annotations

import json
from typing import Any


class Inexact(ValueError):
    """Almost JSON: each reader would make something else of it."""


def strict_json(text: str) -> Any:
    """The value of a JSON text in which no number is NaN or beyond all numbers, and no name is there twice.

    >>> strict_json('{"share": 0.5}')
    {'share': 0.5}

    Raises
    ------
    Inexact
        Python's own reader would take it: the last of two values, ``NaN``, ``1e999`` as infinite.
    UnicodeEncodeError
        A text in it has half of a surrogate pair, and cannot be stored.
    JSONDecodeError
        It is no JSON.
    """
    try:
        value = json.loads(text, parse_constant=_constant, object_pairs_hook=_object, parse_float=_float)
    except (json.JSONDecodeError, Inexact):
        raise
    except ValueError:  # CPython says which of its own limits that is, and how to set it
        raise Inexact("a whole number in it has more digits than can be read.") from None
    json.dumps(value, ensure_ascii=False).encode()
    return value


def _constant(word: str) -> Any:
    raise Inexact(f"{word} is no number of it.")


def _float(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise Inexact(f"{text[:40]} is too large for a number.")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise Inexact(f"`{name[:80]}` is there twice.")
        found[name] = value
    return found
