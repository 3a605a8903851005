"""What a type says of the parts of a value: of its fields, keys and items, each with every type that may be meant."""

from __future__ import annotations

import collections
import dataclasses
import functools
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

from dalsegno.nodes.aliases import is_alias, meant, qualifier

_UNIONS = (typing.Union, types.UnionType)
ITEMS = (list, tuple, set, frozenset, collections.deque)


class Part(NamedTuple):
    """A part of a value: its name or index, what it is, and the types that may be meant by it."""

    name: Any
    value: Any
    types: tuple[Any, ...]


def choices(annotation: Any) -> tuple[Any, ...]:
    """The types that a value of that type may have, one level down: of a union, of `Required[...]` and its like.

    >>> choices(int | None)
    (<class 'int'>, <class 'NoneType'>)
    """
    annotation = meant(annotation)
    if qualifier(annotation) is not None or get_origin(annotation) in _UNIONS:
        return get_args(annotation)
    return ()


def bare(annotation: Any, seen: frozenset[Any] = frozenset()) -> Iterator[Any]:
    """Every type that a value of that type may have, without marks and names around it; `seen` are names met."""
    if is_alias(annotation):
        if annotation in seen:
            return
        seen |= {annotation}
        annotation = meant(annotation)
    if hasattr(annotation, "__metadata__"):
        yield from bare(annotation.__origin__, seen)
    elif inner := choices(annotation):
        for one in inner:
            yield from bare(one, seen)
    elif annotation is not None and annotation is not types.NoneType:
        yield annotation


def fields(shape: Any) -> Mapping[str, Any]:
    """Fields and their annotations of a TypedDict, dataclass, NamedTuple or pydantic class; none for anything else.

    A field of a pydantic class is there under its aliases too, as it may be called in an input.
    """
    try:
        return _known_fields(shape)
    except TypeError:  # it has no hash
        return _fields(shape)


@functools.lru_cache(maxsize=4096)
def _known_fields(shape: Any) -> Mapping[str, Any]:
    return _fields(shape)


def _fields(shape: Any) -> Mapping[str, Any]:
    of = get_origin(shape) or shape
    if not isinstance(of, type):
        return {}
    models = getattr(of, "model_fields", None)
    named = issubclass(of, tuple) and hasattr(of, "_fields")
    if (
        models is None
        and not named
        and not dataclasses.is_dataclass(of)
        and not hasattr(of, "__required_keys__")
    ):
        return {}
    try:
        hints = get_type_hints(of, include_extras=True)
    except (NameError, TypeError):
        hints = dict(getattr(of, "__annotations__", {}))
    if isinstance(models, Mapping):
        for name, field in models.items():
            if not isinstance(field.annotation, str | typing.ForwardRef):
                hints[name] = field.rebuild_annotation()  # a generic class has its own types only here
            for alias in _aliases(field):
                hints.setdefault(alias, hints.get(name))
    given = dict(zip(getattr(of, "__parameters__", ()), get_args(shape), strict=False))
    return {name: _filled(hint, given) for name, hint in hints.items()} if given else hints


def _aliases(field: Any) -> Iterator[str]:
    for alias in (field.alias, field.validation_alias, field.serialization_alias):
        for one in getattr(alias, "choices", (alias,)):
            if isinstance(one, str):
                yield one


def _filled(hint: Any, given: Mapping[Any, Any]) -> Any:
    if isinstance(hint, typing.TypeVar):
        return given.get(hint, hint)
    open_ = getattr(hint, "__parameters__", ())
    return hint[tuple(given.get(each, each) for each in open_)] if open_ else hint


def parts(value: Any, annotations: tuple[Any, ...]) -> list[Part] | None:
    """The parts of a value that is of one of these types, or None where it has none.

    A text is whole. The names are those of fields where the value is an object, else keys or indexes.
    """
    if isinstance(value, str | bytes):
        return None
    shapes = [shape for annotation in annotations for shape in bare(annotation)]
    own = fields(type(value))
    if own and not isinstance(value, Mapping):
        return _of_object(value, [own, *map(fields, shapes)])
    if isinstance(value, Mapping):
        return [Part(key, part, tuple(_under(key, shapes))) for key, part in value.items()]
    if isinstance(value, ITEMS):
        return [Part(at, part, tuple(_at(at, shapes))) for at, part in enumerate(value)]
    known = [found for found in map(fields, shapes) if found]
    return _of_object(value, known) if known else None


def keys(value: Any, annotations: tuple[Any, ...]) -> tuple[Any, ...]:
    """The types of the keys of a mapping."""
    if not isinstance(value, Mapping):
        return ()
    shapes = (shape for annotation in annotations for shape in bare(annotation) if not fields(shape))
    return tuple(args[0] for args in map(get_args, shapes) if len(args) == 2)


def _of_object(value: Any, known: list[Mapping[str, Any]]) -> list[Part]:
    names = [name for name in dict.fromkeys(name for each in known for name in each) if hasattr(value, name)]
    return [Part(name, getattr(value, name), tuple(f[name] for f in known if name in f)) for name in names]


def _under(key: Any, shapes: list[Any]) -> Iterator[Any]:
    for shape in shapes:
        if known := fields(shape):
            if isinstance(key, str) and key in known:
                yield known[key]
        elif args := get_args(shape):
            yield args[-1]


def _at(index: int, shapes: list[Any]) -> Iterator[Any]:
    for shape in shapes:
        args = get_args(shape)
        if known := fields(shape):
            yield from list(known.values())[index : index + 1]
        elif get_origin(shape) is tuple and args[-1:] != (...,):
            yield from args[index : index + 1]
        elif args:
            yield args[0]
