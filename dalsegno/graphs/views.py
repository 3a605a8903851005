"""How a node sees the state: narrowed to its schema's keys and coerced to its schema's class."""

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
        return lambda state: schema(**{name: state[name] for name in names if name in state})
    return lambda state: {name: state[name] for name in names if name in state}


def keys_of(names: frozenset[str]) -> View:
    """A function from the whole state to a dictionary of those keys."""
    return lambda state: {name: state[name] for name in names if name in state}


def as_sent(hint: Any) -> Callable[[Any], Any]:
    """A function that coerces a sent argument to the type its node declares, and only to that."""
    if _is_class(hint):

        def coerce(argument: Any) -> Any:
            return hint(**argument) if isinstance(argument, Mapping) else argument

        return coerce
    return lambda argument: argument


def _is_class(schema: Any) -> bool:
    return isinstance(schema, type) and (hasattr(schema, "model_fields") or dataclasses.is_dataclass(schema))
