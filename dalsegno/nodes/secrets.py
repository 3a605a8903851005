"""What is never shown: fields of the state that hold secrets, and their values wherever they turn up in a text."""

from __future__ import annotations

import dataclasses
import functools
import json
import threading
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, get_args, get_origin, get_type_hints
from urllib.parse import quote, quote_plus

import typing_extensions

from dalsegno.nodes.aliases import is_alias, meant

MASK: Final = "**********"
"""What is shown in place of a secret, as pydantic shows its own."""

_QUALIFIERS = (typing.Required, typing.NotRequired, typing_extensions.ReadOnly)
_AROUND = (typing.Union, types.UnionType, *_QUALIFIERS)

_SHORTEST = 3
"""Characters from which on a value is looked for in texts; a shorter one would be found everywhere."""


class _Secret:
    def __repr__(self) -> str:
        return "Secret"

    def __reduce__(self) -> str:
        return "Secret"


Secret: Final = _Secret()
"""Marks a field of the state that is never shown: ``key: Annotated[str, Secret]``.

It stands in no log, span, metric, error, picture or page, as a pydantic `SecretStr` does not. The database keeps it as
it is, for a resume needs it: give the checkpointer an encrypted serializer where that matters. A reducer stands last:
``Annotated[list[str], Secret, operator.add]``. (No class, for LangGraph would take one for a reducer.)
"""


def is_secret(annotation: Any) -> bool:
    """Whether a field of that type is a secret as a whole.

    >>> is_secret(typing.Annotated[str, Secret]), is_secret(str)
    (True, False)
    """
    annotation = meant(annotation)
    if hasattr(annotation, "__metadata__"):
        marks = annotation.__metadata__
        return any(mark is Secret for mark in marks) or is_secret(annotation.__origin__)
    if get_origin(annotation) in _AROUND:
        return any(is_secret(part) for part in get_args(annotation))
    return hasattr(get_origin(annotation) or annotation, "get_secret_value")


def masked(value: Any, annotation: Any = None) -> Any:
    """A value to be shown: secrets in it are masked, however deep; models and dataclasses become mappings there.

    What holds no secret is given back as it is.

    >>> masked({"key": "abc"}, typing.TypedDict("T", {"key": typing.Annotated[str, Secret]}))
    {'key': '**********'}
    """
    if value is None:
        return None
    if hasattr(value, "get_secret_value") or is_secret(annotation):
        return MASK
    hints = _hints(type(value)) or _hints(_bare(annotation))
    if isinstance(value, Mapping):
        inner = _parts(annotation)[-1] if not hints else None
        shown = {key: masked(part, hints.get(key, inner)) for key, part in value.items()}
        return shown if any(shown[key] is not part for key, part in value.items()) else value
    if hints:
        fields = {name: getattr(value, name, None) for name in hints}
        shown = {name: masked(part, hints[name]) for name, part in fields.items()}
        return shown if any(shown[name] is not part for name, part in fields.items()) else value
    if isinstance(value, list | tuple | set | frozenset):
        inner = _parts(annotation)[0]
        parts = list(value)
        items = [masked(part, inner) for part in parts]
        return value if all(a is b for a, b in zip(items, parts, strict=True)) else items
    return value


class Secrets:
    """The secrets of a run, and texts without them.

    Parameters
    ----------
    schemas
        The schemas of the states: their marked fields are secrets.

    `learn` takes a state and remembers the values of its marked fields; `text` masks these values in a text. Without
    marked fields neither costs anything.
    """

    def __init__(self, schemas: Iterable[Any] = ()) -> None:
        self._hints: dict[str, list[Any]] = {}
        for schema in schemas:
            for name, hint in _hints(schema).items():
                if holds_secret(hint):
                    self._hints.setdefault(name, []).append(hint)
        self._values: tuple[str, ...] = ()
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        return bool(self._hints)

    def learn(self, state: Any) -> None:
        """Remember the values of the marked fields in a state: a mapping, or an object with attributes."""
        if not self._hints or state is None:
            return
        found: set[str] = set()
        for name, hints in self._hints.items():
            value = state.get(name) if isinstance(state, Mapping) else getattr(state, name, None)
            for hint in hints:
                found.update(_plain(value, hint))
        if found.difference(self._values):
            with self._lock:
                self._values = tuple(sorted({*self._values, *found}, key=lambda text: (-len(text), text)))

    def state(self, values: Any) -> Any:
        """A state (or a part of one) to be shown, its marked fields masked."""
        if not self._hints or not isinstance(values, Mapping):
            return values
        return {key: masked(part, self._hints.get(key, (None,))[0]) for key, part in values.items()}

    def text(self, text: str) -> str:
        """The text with every remembered value masked."""
        for value in self._values:
            text = text.replace(value, MASK)
        return text

    def shown(self, value: Any) -> Any:
        """A plain value (as of JSON) with every remembered value masked in its texts."""
        if not self._values:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {key: self.shown(part) for key, part in value.items()}
        if isinstance(value, list | tuple):
            return [self.shown(part) for part in value]
        return value


def input_shown(given: Any, shape: Mapping[str, Any] | None) -> Any:
    """The input of a run to be shown, where only the shape of its workflow is known."""
    state = (shape or {}).get("state", {})
    if not isinstance(given, Mapping):
        return given
    return {key: MASK if "secret" in state.get(key, ())[2:] else part for key, part in given.items()}


def holds_secret(annotation: Any) -> bool:
    """Whether a value of that type is a secret, or has one in it."""
    try:
        return _known_to_hold(annotation)
    except TypeError:  # it has no hash
        return _holds(annotation, frozenset())


@functools.lru_cache(maxsize=4096)
def _known_to_hold(annotation: Any) -> bool:
    return _holds(annotation, frozenset())


def _holds(annotation: Any, seen: frozenset[Any]) -> bool:
    if is_secret(annotation):
        return True
    bare = _bare(annotation)
    # What may have itself in it.
    entered = frozenset(each for each in (annotation, bare) if isinstance(each, type) or is_alias(each))
    if entered & seen:
        return False
    seen = seen | entered
    parts = (*get_args(meant(annotation)), *_hints(bare).values())
    return any(_holds(part, seen) for part in parts if not isinstance(part, str))


def _plain(value: Any, annotation: Any) -> Iterable[str]:
    """The texts of the secrets in a value, without those too short to be told from other text."""
    if value is None:
        return
    if hasattr(value, "get_secret_value"):
        value, annotation = value.get_secret_value(), typing.Annotated[str, Secret]
    if is_secret(annotation):
        yield from _texts(value)
        return
    hints = _hints(type(value)) or _hints(_bare(annotation))
    if hints:
        for name, hint in hints.items():
            part = value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
            yield from _plain(part, hint)
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _plain(part, _parts(annotation)[-1])
    elif isinstance(value, list | tuple | set | frozenset):
        for part in value:
            yield from _plain(part, _parts(annotation)[0])


def _texts(value: Any) -> Iterable[str]:
    """Every text in a value that is a secret as a whole."""
    if isinstance(value, Mapping):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, Sequence | set | frozenset) and not isinstance(value, str | bytes):
        for part in value:
            yield from _texts(part)
    else:
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
        if len(text) >= _SHORTEST:
            yield from spellings(text)


def spellings(text: str) -> set[str]:
    """A text as it may stand in others: as it is, in the quotes of Python and of JSON, in an address, in one line.

    >>> sorted(spellings('a&b'))
    ['a%26b', 'a&b']
    """
    if text.isalnum() and text.isascii():
        return {text}
    quoted = (quote(text, safe=safe, errors="replace") for safe in ("", "/"))
    in_json = (json.dumps(text, ensure_ascii=ascii)[1:-1] for ascii in (True, False))
    plus = quote_plus(text, errors="replace")
    others = {repr(text)[1:-1], *in_json, *quoted, plus, " ".join(text.split())}
    return {text, *(other for other in others if len(other) >= _SHORTEST)}


def _bare(annotation: Any) -> Any:
    """The class behind `Annotated`, `Required`, `X | None` and aliases; the annotation where there is no one class."""
    annotation = meant(annotation)
    if hasattr(annotation, "__metadata__"):
        return _bare(annotation.__origin__)
    if get_origin(annotation) in _QUALIFIERS:
        return _bare(get_args(annotation)[0])
    if get_origin(annotation) in (typing.Union, types.UnionType):
        classes = [part for part in get_args(annotation) if part is not type(None)]
        return _bare(classes[0]) if len(classes) == 1 else annotation
    return annotation


def _parts(annotation: Any) -> tuple[Any, ...]:
    return get_args(_bare(annotation)) or (None,)


def _hints(schema: Any) -> dict[str, Any]:
    """Fields and their annotations of a TypedDict, dataclass or pydantic class; none for anything else."""
    if not isinstance(schema, type):
        return {}
    known = hasattr(schema, "model_fields") or dataclasses.is_dataclass(schema) or typing.is_typeddict(schema)
    if not known and not hasattr(schema, "__required_keys__"):
        return {}
    try:
        return get_type_hints(schema, include_extras=True)
    except (NameError, TypeError):
        return dict(getattr(schema, "__annotations__", {}))
