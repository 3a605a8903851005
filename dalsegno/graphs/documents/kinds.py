"""Of which kind a value is, told without running any code of the value.

Values come from agents and from functions. Whatever class they are of, none of its methods is called: not
`__eq__`, not `__getattr__`, not `__class__`.
"""

from __future__ import annotations

import json
from typing import Any, Literal

Kind = Literal["string", "number", "boolean", "array", "object", "null", "other"]
"""The kinds of JSON, and `other` for what JSON does not have."""

MOST_CHARACTERS = 1_000_000
"""So long a text is made of a value at most."""

_DEEPEST = 100


class NotPlain(Exception):
    """A value that has no text: it says why."""


def kind_of(value: Any) -> Kind:
    """The kind of a value; a tuple is an array.

    >>> kind_of(True), kind_of(1.5), kind_of((1, 2)), kind_of(object())
    ('boolean', 'number', 'array', 'other')
    """
    if value is None:
        return "null"
    cls = type(value)
    if cls is bool:
        return "boolean"
    for base, kind in _KINDS:
        if issubclass(cls, base):
            return kind
    return "other"


_KINDS: tuple[tuple[Any, Kind], ...] = (
    (str, "string"),
    (int, "number"),
    (float, "number"),
    (dict, "object"),
    (list, "array"),
    (tuple, "array"),
)


def described(value: Any) -> str:
    """A kind in words: ``a string``, ``an array``; of what JSON does not have, the class."""
    kind = kind_of(value)
    if kind == "other":
        return f"a Python object ({type.__dict__['__name__'].__get__(type(value))})"
    return in_words(kind)


def in_words(kind: str) -> str:
    """A kind with its article."""
    return kind if kind == "null" else f"{'an' if kind[0] in 'ao' else 'a'} {kind}"


def scalar(value: Any) -> Any:
    """A string or number as one of Python's own class; anything else as it is."""
    cls = type(value)
    if cls in (str, int, float, bool):
        return value
    if issubclass(cls, str):
        return str.__str__(value)
    if issubclass(cls, int):
        return int.__int__(value)
    return float.__float__(value) if issubclass(cls, float) else value


def elements(value: Any) -> list[Any]:
    """The elements of an array."""
    return list(list.__iter__(value) if issubclass(type(value), list) else tuple.__iter__(value))


def element(value: Any, number: int) -> Any:
    """One element of an array."""
    return (
        list.__getitem__(value, number) if issubclass(type(value), list) else tuple.__getitem__(value, number)
    )


def size(value: Any) -> int:
    """How many characters, elements or keys a string, an array or an object has."""
    for base in (str, dict, list, tuple):
        if issubclass(type(value), base):
            return int(base.__len__(value))
    raise NotPlain("it has no length")


def own(value: Any) -> Any:
    """The same value with mappings and lists of its own: whoever is given it may change it."""
    try:
        return _own(value)
    except RecursionError:
        return value


def _own(value: Any) -> Any:
    if type(value) is dict:
        return {key: _own(item) for key, item in value.items()}
    return [_own(item) for item in value] if type(value) is list else value


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal as JSON: 1 is 1.0, true is not 1, and the order of keys is nothing.

    Values that JSON does not have are equal to themselves only. A value that contains itself is compared as far as
    the two go.
    """
    waiting = [(one, other)]
    seen: set[tuple[int, int]] = set()
    while waiting:
        left, right = waiting.pop()
        kind = kind_of(left)
        if kind != kind_of(right):
            return False
        if kind in ("null", "boolean", "other"):
            if left is not right:
                return False
        elif kind in ("string", "number"):
            if scalar(left) != scalar(right):
                return False
        elif (id(left), id(right)) not in seen and left is not right:
            seen.add((id(left), id(right)))
            if size(left) != size(right):
                return False
            if kind == "array":
                waiting += zip(elements(left), elements(right), strict=True)
                continue
            theirs = plain_keys(right)
            for key, value in plain_keys(left).items():
                if key not in theirs:
                    return False
                waiting.append((value, theirs[key]))
    return True


def plain_keys(value: Any) -> dict[Any, Any]:
    """An object by its keys; one that is no string or number is known by its identity."""
    return {
        scalar(key) if kind_of(key) in ("string", "number", "boolean", "null") else _Only(key): item
        for key, item in dict.items(value)
    }


class _Only:
    """A key that is equal to itself only, and whose own code is not asked."""

    __slots__ = ("key",)

    def __init__(self, key: Any) -> None:
        self.key = key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Only) and self.key is other.key

    def __hash__(self) -> int:
        return id(self.key)


def text_of(value: Any) -> str:
    """A value inside a text: a string as it is, anything else as JSON.

    Raises
    ------
    NotPlain
        It is, or contains, what JSON does not have, or is too large.
    """
    if kind_of(value) == "string":
        text: str = scalar(value)
    else:
        try:
            text = json.dumps(_plain(value, _DEEPEST, [MOST_CHARACTERS]), ensure_ascii=False)
        except ValueError:  # a number of thousands of digits
            raise NotPlain("it contains a number that is too long to be written") from None
    if len(text) > MOST_CHARACTERS:
        raise NotPlain(f"its text is longer than {MOST_CHARACTERS:,} characters")
    return text


def _plain(value: Any, deeper: int, left: list[int]) -> Any:
    """The same in Python's own classes; `left` is how much more there may be."""
    kind = kind_of(value)
    left[0] -= size(value) if kind == "string" else 1
    if left[0] < 0:
        raise NotPlain(f"its text is longer than {MOST_CHARACTERS:,} characters")
    if deeper == 0:
        raise NotPlain(f"it is nested more than {_DEEPEST} deep")
    if kind == "array":
        return [_plain(item, deeper - 1, left) for item in elements(value)]
    if kind == "object":
        made = {}
        for key, item in dict.items(value):
            if kind_of(key) != "string":
                raise NotPlain(f"it contains a key that is {described(key)}")
            left[0] -= size(key)
            made[scalar(key)] = _plain(item, deeper - 1, left)
        return made
    if kind == "other":
        raise NotPlain(f"it is, or contains, {described(value)}")
    return scalar(value)
