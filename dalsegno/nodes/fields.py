"""Fields of the state by name: `draft`, `order.total`, `rounds[0]`."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dalsegno.errors import FieldMissing, did_you_mean

MISSING: Any = object()
_NUMBER = re.compile("-?[0-9]{1,18}")


def field_of(state: Any, name: str, *, default: Any = MISSING) -> Any:
    """The value of a field, by its dotted name, in a mapping, an object or a sequence (by number).

    >>> field_of({"order": {"lines": [{"price": 5}]}}, "order.lines.0.price")
    5
    """
    value = state
    for part in name.split("."):
        value = _part(value, part)
        if value is MISSING:
            return default
    return value


def needed(state: Any, name: str, *, node: str, what: str, none: bool = False) -> Any:
    """The value of a field that has to be there; `none` says that it may be None.

    Raises
    ------
    FieldMissing
        The state has no such field, or nothing in it yet.
    """
    value = field_of(state, name)
    if value is not MISSING and (none or value is not None):
        return value
    known = names_of(state)
    there = f"It has {', '.join(f'`{k}`' for k in known)}" if known else "It is empty"
    why = "is None" if value is None else "is not there"
    top = name.split(".")[0]
    meant = did_you_mean(top, known) if value is MISSING and top not in known else ""
    raise FieldMissing(
        f"`{node}` needs `{name}` for {what}, and it {why} in the state it was given{meant or '.'} {there}.",
        node=node,
        field=name,
    )


def names_of(state: Any) -> list[str]:
    """The names of a state's fields."""
    if isinstance(state, Mapping):
        return [str(key) for key in state]
    fields = getattr(type(state), "model_fields", None)
    if isinstance(fields, Mapping):
        return list(fields)
    if dataclasses.is_dataclass(state):
        return [field.name for field in dataclasses.fields(state)]
    return sorted(vars(state)) if hasattr(state, "__dict__") else []


def tops(names: Iterable[str]) -> tuple[str, ...]:
    """The state keys that dotted names begin with, each once."""
    return tuple(dict.fromkeys(name.split(".")[0] for name in names))


def left_out(names: Iterable[str]) -> frozenset[str]:
    """The state keys of dotted names that all say, with a question mark, that they may be missing.

    >>> sorted(left_out(["order.total?", "order.lines?", "topic", "topic?"]))
    ['order']
    """
    given = list(names)
    return frozenset(tops(n.removesuffix("?") for n in given if n.endswith("?"))) - set(
        tops(n for n in given if not n.endswith("?"))
    )


def _part(value: Any, part: str) -> Any:
    if isinstance(value, Mapping):
        return value.get(part, MISSING)
    if isinstance(value, Sequence) and not isinstance(value, str) and _NUMBER.fullmatch(part):
        at = int(part)
        return value[at] if -len(value) <= at < len(value) else MISSING
    if part.startswith("_"):
        return MISSING
    found = getattr(value, part, MISSING)
    return MISSING if getattr(found, "__self__", None) is value else found  # a method is no field
