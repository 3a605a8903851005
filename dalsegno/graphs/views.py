"""How a node sees the state, narrowed to its schema's keys and coerced to its class, and what it writes to it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from dalsegno.graphs.declarations import schema_keys

KERNEL = "__dalsegno__"
"""The state key in which the kernel keeps a run's counters. Nodes neither see nor write it."""

View = Callable[[Mapping[str, Any]], Any]


def view_of(schema: Any) -> View:
    """A function from the whole state to what a node with that schema is given."""
    names = tuple(schema_keys(schema) or ())
    if _is_class(schema):
        made = _making(schema)
        return lambda state: made({name: state[name] for name in names if name in state})
    return lambda state: {name: state[name] for name in names if name in state}


def keys_of(names: frozenset[str]) -> View:
    """A function from the whole state to a dictionary of those keys."""
    return lambda state: {name: state[name] for name in names if name in state}


def as_sent(hint: Any) -> Callable[[Any], Any]:
    """A function that coerces a sent argument to the type its node declares, and only to that."""
    if _is_class(hint):
        made = _making(hint)

        def coerce(argument: Any) -> Any:
            return made(argument) if isinstance(argument, Mapping) else argument

        return coerce
    return lambda argument: argument


def _making(schema: Any) -> View:
    """A function from keys and values to an object of the class. Keys of a state are the names of fields; a pydantic
    class whose fields have aliases would take only those, and a default for the rest."""
    fields = getattr(schema, "model_fields", {})
    if any(field.validation_alias is not None for field in fields.values()):
        return lambda values: schema.model_validate(dict(values), by_name=True)
    return lambda values: schema(**values)


def as_updates(part: Any) -> list[dict[str, Any]] | None:
    """What a node gives as what it writes, by LangGraph's rule for objects: a pydantic object writes what was set or
    has no None for a default, any other object what is not None. Pairs may write a key several times. None where it
    can write nothing."""
    if isinstance(part, Mapping):
        return [dict(part)]
    if isinstance(part, list | tuple) and all(isinstance(p, tuple) and len(p) == 2 for p in part):
        several: list[dict[str, Any]] = [{}]
        for key, value in part:
            if all(key in each for each in several):
                several.append({})
            next(each for each in several if key not in each)[key] = value
        return several
    keys = schema_keys(type(part))
    if keys is None:
        return None
    fields = getattr(type(part), "model_fields", {})
    is_set: frozenset[str] = getattr(part, "model_fields_set", frozenset())
    values = {key: getattr(part, key) for key in keys if hasattr(part, key)}
    written = {
        key: value
        for key, value in values.items()
        if value is not None or key in is_set or (key in fields and fields[key].default is not None)
    }
    return [written]


def _is_class(schema: Any) -> bool:
    return isinstance(schema, type) and (hasattr(schema, "model_fields") or dataclasses.is_dataclass(schema))
