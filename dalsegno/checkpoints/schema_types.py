"""The types that a state schema mentions, and that a checkpoint of it may therefore hold."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import inspect
import pathlib
import sys
import types
import typing
import uuid
from collections.abc import Iterator
from typing import Any

_PLAIN_MODULES = frozenset({"builtins", "typing", "typing_extensions", "types", "collections.abc", "abc"})

_WRITTEN = (
    enum.Enum, set, frozenset, collections.deque, pathlib.PurePath, uuid.UUID, decimal.Decimal,
    datetime.date, datetime.time, datetime.timedelta, datetime.tzinfo,
)  # fmt: skip


def types_in(schema: Any) -> set[type]:
    """Every class that `schema` names, however deep, and that the serializer has a notation for.

    Walks TypedDicts, dataclasses, pydantic models, named tuples, the arguments of containers, unions,
    `Annotated`, `NewType`, bounds of type variables and type aliases. A class that cannot be written (a
    lock, a client) is not given: it must not become one that may be built. A name in an annotation that
    cannot be resolved is passed over.
    """
    found: set[type] = set()
    _walk(schema, found, set())
    return found


def _walk(annotation: Any, found: set[type], seen: set[int]) -> None:
    if id(annotation) in seen or annotation is None or annotation is Any:
        return
    seen.add(id(annotation))
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        _walk_class(annotation, found, seen)
        return
    if isinstance(annotation, typing.TypeVar):
        parts: list[Any] = [annotation.__bound__, *annotation.__constraints__]
    elif hasattr(annotation, "__supertype__"):  # NewType
        parts = [annotation.__supertype__]
    elif type(annotation).__name__ == "TypeAliasType":
        parts = [annotation.__value__]
    elif typing.get_origin(annotation) is typing.Literal:
        parts = [type(value) for value in typing.get_args(annotation)]
    elif type(annotation).__name__ == "_AnnotatedAlias" or hasattr(annotation, "__metadata__"):
        parts = [annotation.__origin__]  # the metadata are reducers and validators, no stored types
    else:
        origin = typing.get_origin(annotation)
        parts = [origin, *typing.get_args(annotation)]
    for part in parts:
        if isinstance(part, list):  # the arguments of a Callable
            continue
        _walk(part, found, seen)


def _walk_class(cls: type, found: set[type], seen: set[int]) -> None:
    if cls.__module__ in _PLAIN_MODULES:
        return
    entered = (
        dataclasses.is_dataclass(cls)
        or hasattr(cls, "model_fields")
        or hasattr(cls, "__fields__")
        or (issubclass(cls, tuple) and hasattr(cls, "_fields"))
    )
    typed_dict = typing.is_typeddict(cls) or hasattr(cls, "__total__")
    if not typed_dict and (entered or issubclass(cls, _WRITTEN) or hasattr(cls, "get_secret_value")):
        found.add(cls)
    if not (entered or typed_dict) or issubclass(cls, enum.Enum):
        return
    for annotation in _annotations(cls).values():
        _walk(annotation, found, seen)
    for argument in _arguments(cls):
        _walk(argument, found, seen)


def _arguments(cls: type) -> Iterator[Any]:
    """What a class fills in the parameters of its bases with: of `class Named(Box[Item])`, `Item`."""
    for base in cls.__mro__:
        yield from vars(base).get("__pydantic_generic_metadata__", {}).get("args", ())
        for filled in vars(base).get("__orig_bases__", ()):
            if hasattr(
                typing.get_origin(filled), "__total__"
            ):  # a TypedDict is no base of what inherits from it
                yield filled
            else:
                yield from (each for each in typing.get_args(filled) if not isinstance(each, typing.TypeVar))


def _annotations(cls: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(cls, include_extras=True)
    except Exception:
        pass
    # One name that cannot be resolved must not hide the others.
    hints: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        module = sys.modules.get(base.__module__)
        for name, annotation in inspect.get_annotations(base).items():
            holder = types.SimpleNamespace(__annotations__={name: annotation})
            try:
                hints[name] = typing.get_type_hints(
                    holder, vars(module) if module else {}, dict(vars(base)), include_extras=True
                )[name]
            except Exception:
                if not isinstance(annotation, (str, typing.ForwardRef)):
                    hints[name] = annotation
    for name, field in getattr(cls, "model_fields", {}).items():
        hints.setdefault(name, field.annotation)
    return hints
