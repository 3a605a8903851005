"""Of which kind something that was given has to be: said where it is given, not where it is used first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from reprlib import Repr
from typing import Any, NamedTuple

from dalsegno.errors import DefinitionError

_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = 80


class Kind(NamedTuple):
    """Whether a value is of it, and what it is called."""

    has: Callable[[Any], bool]
    words: str


TEXT = Kind(lambda given: isinstance(given, str), "a text")
FLAG = Kind(lambda given: isinstance(given, bool), "True or False")
FUNCTION = Kind(callable, "a function")
MAPPING = Kind(lambda given: isinstance(given, Mapping), "a mapping")
COUNT = Kind(
    lambda given: isinstance(given, int) and not isinstance(given, bool) and given >= 0,
    "a whole number, 0 or more,",
)
KEYS = Kind(lambda given: isinstance(given, str) or is_of_texts(given), "a state key, or {state key: field},")


def is_of_texts(given: Any) -> bool:
    """Whether it is a mapping of texts to texts."""
    return isinstance(given, Mapping) and all(
        isinstance(text, str) for pair in given.items() for text in pair
    )


NAMES = Kind(is_of_texts, "a mapping of names to names")


def check_kinds(place: str, given: Mapping[str, Any], kinds: Mapping[str, Kind]) -> None:
    """Raise where one of what was given is not of its kind; None is nothing given.

    >>> check_kinds("agent", {"name": 5}, {"name": TEXT})
    Traceback (most recent call last):
    dalsegno.errors.DefinitionError: agent: `name=5`: a text is needed.
    """
    for name, kind in kinds.items():
        value = given[name]
        if value is not None and not kind.has(value):
            raise DefinitionError(f"{place}: `{name}={shortly(value)}`: {kind.words} is needed.")


def shortly(value: Any) -> str:
    """A value in a message: the beginning of a long one."""
    return _SHORT.repr(value)
