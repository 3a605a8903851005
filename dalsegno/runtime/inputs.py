"""Whether an input fits the state: which key does not, and what was expected."""

from __future__ import annotations

import operator
from collections.abc import Collection, Mapping
from dataclasses import MISSING, fields, is_dataclass, replace
from typing import Annotated, Any, get_args

from langgraph.channels import (
    AnyValue,
    BaseChannel,
    BinaryOperatorAggregate,
    EphemeralValue,
    LastValue,
    UntrackedValue,
)
from langgraph.types import Command, Overwrite
from pydantic import BaseModel, ConfigDict, PydanticSchemaGenerationError, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from dalsegno.errors import InputInvalid, did_you_mean
from dalsegno.graphs.declarations import schema_keys
from dalsegno.nodes.aliases import unqualified
from dalsegno.nodes.kinds import shortly

_SAME_TYPE = (operator.add, operator.or_)
"""Reducers whose update has the type of the key; another reducer may take anything."""

_REPLACED = (LastValue, AnyValue, EphemeralValue, UntrackedValue)
"""Channels whose update is their next value; another channel may take anything, as a reducer may."""


def fitting(value: Any, schema: Any, present: Collection[str] = (), *, of: str = "input") -> Any:
    """The input as the graph gets it: values coerced to their keys' types where they are plain data.

    `present` are the keys that the thread has from before, `of` is what the schema describes, in words.

    Raises
    ------
    InputInvalid
        It is no mapping, has a key that the state does not have, lacks a required one, or a value does
        not fit its type.
    """
    keys = schema_keys(schema)
    if keys is None or isinstance(value, schema if isinstance(schema, type) and _is_class(schema) else ()):
        return value
    names = ", ".join(f"`{k}`" for k in keys)
    if not isinstance(value, Mapping):
        raise InputInvalid(
            f"The input is {type(value).__name__}, and a mapping of state keys is expected: {names}."
            f"{_resuming(value)}",
            key=None,
            expected="mapping",
        )
    for key in value:
        if key not in keys:
            has = "The input has the key" if of == "input" else "A value is given for"
            raise InputInvalid(
                f"{has} `{key}`, which the workflow's {of} does not have"
                f"{did_you_mean(str(key), keys) or '.'} It has {names or 'none'}.",
                key=str(key),
                expected=names,
            )
    for key in _required(schema):
        if key not in value and key not in present:
            expected = _words(keys[key])
            raise InputInvalid(f"The input lacks the key `{key}` ({expected}).", key=key, expected=expected)
    return {key: _coerced(key, item, _narrowed(schema, key, keys[key]), of) for key, item in value.items()}


def check_thread(thread: Any) -> None:
    """Raise where that is no name of a thread."""
    if not isinstance(thread, str):
        raise InputInvalid(
            f"The thread's name is {shortly(thread)}, and a text is needed.",
            key="thread",
            expected="a name",
        )


def _resuming(value: Any) -> str:
    """What to call instead, where the input is what LangGraph resumes with."""
    if value is None:
        return " To go on with what a thread has pending: `resume(thread)`, or `stream_resume(thread)`."
    if isinstance(value, Command):
        return " To answer what a thread asks: `resume(thread, answer)`, or `stream_resume(thread, answer)`."
    return ""


def _is_class(schema: Any) -> bool:
    return is_dataclass(schema) or (isinstance(schema, type) and issubclass(schema, BaseModel))


def _required(schema: Any) -> list[str]:
    """Keys that cannot be left out: a class without them could not be made for the first node."""
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        return [name for name, field in schema.model_fields.items() if field.is_required()]
    if is_dataclass(schema):
        return [f.name for f in fields(schema) if f.default is MISSING and f.default_factory is MISSING]
    return []


def _narrowed(schema: Any, key: str, annotation: Any) -> Any:
    """An annotation with what a pydantic class says beside it: ``topic: str = Field(min_length=2)``. A node that is
    given the class would fail by it, and an input cannot be changed any more then."""
    is_model = isinstance(schema, type) and issubclass(schema, BaseModel)
    beside = schema.model_fields[key].metadata if is_model and not hasattr(annotation, "__metadata__") else ()
    return Annotated[annotation, *beside] if beside else annotation


def _coerced(key: str, value: Any, annotation: Any, of: str) -> Any:
    annotation = unqualified(annotation)
    extras = getattr(annotation, "__metadata__", ())
    reducers = [reducer for reducer in map(_reducer, extras) if reducer is not None]
    if any(reducer not in _SAME_TYPE for reducer in reducers):
        return value
    if isinstance(value, Overwrite) and reducers:
        return replace(value, value=_coerced(key, value.value, annotation, of))
    adapter = _adapter(annotation)
    if adapter is None:
        return value
    try:
        fitted = adapter.validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        at = "".join(f"[{part!r}]" for part in first["loc"])
        expected = _words(annotation)
        got = type(value).__name__
        kinds = f" Expected {expected}, got {got}." if got != expected else ""
        raise InputInvalid(
            f"The {of}'s `{key}`{at} does not fit: {first['msg']}.{kinds}",
            key=key,
            expected=expected,
        ) from None
    return fitted if _became_something_else(value, fitted) else value


def _reducer(extra: Any) -> Any:
    """What makes the next value of an update, where that is said beside a key's type: a function, or a channel."""
    if isinstance(extra, BinaryOperatorAggregate):
        return extra.operator
    kind = extra if isinstance(extra, type) else type(extra)
    if issubclass(kind, BaseChannel):
        return None if issubclass(kind, _REPLACED) else kind
    return extra if callable(extra) and not isinstance(extra, type) else None


def _adapter(annotation: Any) -> TypeAdapter[Any] | None:
    try:
        return TypeAdapter(annotation)
    except PydanticSchemaGenerationError:
        pass
    except PydanticUserError:
        return None
    try:
        return TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True))
    except PydanticUserError:
        return None


def _became_something_else(before: Any, after: Any) -> bool:
    """Whether validation made objects out of plain data. A copy of the same data is not taken, because
    pydantic drops what a nested TypedDict does not name."""
    if type(before) is not type(after):
        return True
    if isinstance(before, list | tuple) and len(before) == len(after):
        return any(_became_something_else(a, b) for a, b in zip(before, after, strict=True))
    if isinstance(before, dict):
        return any(k in before and _became_something_else(before[k], v) for k, v in after.items())
    return False


def _words(annotation: Any) -> str:
    said = next((extra for extra in getattr(annotation, "__metadata__", ()) if isinstance(extra, str)), None)
    if said is not None:  # the name that a workflow document has for the type
        return said
    base = get_args(annotation)[0] if hasattr(annotation, "__metadata__") else annotation
    return (
        base.__name__ if isinstance(base, type) and not get_args(base) else str(base).replace("typing.", "")
    )
