"""What is never shown: fields of the state that hold secrets, and their values wherever they turn up in a text."""

from __future__ import annotations

import functools
import json
import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Final, TypedDict, get_args, get_origin
from urllib.parse import quote, quote_plus

from dalsegno.nodes.aliases import is_alias, meant
from dalsegno.nodes.parts import ITEMS, bare, choices, fields, keys, parts

MASK: Final = "**********"
"""What is shown in place of a secret, as pydantic shows its own."""

_SHORTEST = 3
"""Characters from which on a value is looked for in texts; a shorter one would be found everywhere."""

_SHORTEST_PIECE = 4
"""Characters of a value from which on its beginning, or its end, is one at a cut."""

_LONGEST_PIECE = 2000
"""Characters of such a beginning or end that are looked for, so that a long value costs no more at each cut."""

_CUT = re.compile(r"\.\.\.|…")
"""Where others leave out what is long: pydantic and `reprlib` in the middle, others at the end."""


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

    >>> from typing import Annotated
    >>> is_secret(Annotated[str, Secret]), is_secret(str)
    (True, False)
    """
    annotation = meant(annotation)
    if hasattr(annotation, "__metadata__"):
        marks = annotation.__metadata__
        return any(mark is Secret for mark in marks) or is_secret(annotation.__origin__)
    if inner := choices(annotation):
        return any(is_secret(one) for one in inner)
    return hasattr(get_origin(annotation) or annotation, "get_secret_value")


def masked(value: Any, annotation: Any = None) -> Any:
    """A value to be shown: secrets in it are masked, however deep; models and dataclasses become mappings there.

    What holds no secret is given back as it is.

    >>> from typing import Annotated, TypedDict
    >>> masked({"key": "abc"}, TypedDict("T", {"key": Annotated[str, Secret]}))
    {'key': '**********'}
    """
    return _masked(value, (annotation,))


def _masked(value: Any, annotations: tuple[Any, ...]) -> Any:
    if value is None:
        return None
    if _is_hidden(value, annotations):
        return MASK
    inner = parts(value, annotations)
    if inner is None:
        return value
    if any(map(is_secret, keys(value, annotations))):
        return MASK
    shown = [_masked(part, of) for _, part, of in inner]
    if all(one is part for one, (_, part, _) in zip(shown, inner, strict=True)):
        return value
    if isinstance(value, ITEMS) and not fields(type(value)):
        return shown
    return {name: one for (name, _, _), one in zip(inner, shown, strict=True)}


def _is_hidden(value: Any, annotations: tuple[Any, ...]) -> bool:
    return hasattr(value, "get_secret_value") or any(map(is_secret, annotations))


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
            for name, hint in fields(schema).items():
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
            found.update(_plain(value, tuple(hints)))
        if found.difference(self._values):
            with self._lock:
                self._values = tuple(sorted({*self._values, *found}, key=lambda text: (-len(text), text)))

    def state(self, values: Any) -> Any:
        """A state (or a part of one) to be shown, its marked fields masked."""
        if not self._hints or not isinstance(values, Mapping):
            return values
        return {key: _masked(part, tuple(self._hints.get(key, ()))) for key, part in values.items()}

    def text(self, text: str) -> str:
        """The text with every remembered value masked, also what is left of one that was cut."""
        for value in self._values:
            text = text.replace(value, MASK)
        return without_pieces(text, self._values, MASK)

    def shown(self, value: Any) -> Any:
        """A plain value (as of JSON) with every remembered value masked in its texts."""
        if not self._values:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.shown(key): self.shown(part) for key, part in value.items()}
        if isinstance(value, list | tuple):
            return [self.shown(part) for part in value]
        return value


def input_shown(given: Any, shape: Mapping[str, Any] | None) -> Any:
    """The input of a run to be shown, where only the shape of its workflow is known."""
    state = (shape or {}).get("state", {})
    if not isinstance(given, Mapping):
        return masked(given)  # an object says by its class what is secret in it
    return {key: MASK if "secret" in state.get(key, ())[2:] else part for key, part in given.items()}


def secret_keys(shape: Mapping[str, Any] | None) -> Any:
    """A schema of the keys that are secret in the shape of a workflow."""
    state = (shape or {}).get("state", {})
    named = {key: Annotated[Any, Secret] for key, told in state.items() if "secret" in told[2:]}
    return TypedDict("Keys", named)  # type: ignore[operator]  # a class that is made


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
    if is_alias(annotation):
        if annotation in seen:
            return False
        seen |= {annotation}
    return any(_holds_inside(shape, seen) for shape in bare(annotation))


def _holds_inside(shape: Any, seen: frozenset[Any]) -> bool:
    if isinstance(shape, type) and shape in seen:
        return False
    inside = seen | {shape} if isinstance(shape, type) else seen
    within = (*get_args(shape), *fields(shape).values())
    return any(_holds(part, inside) for part in within if not isinstance(part, str))


def _plain(value: Any, annotations: tuple[Any, ...]) -> Iterable[str]:
    """The texts of the secrets in a value, without those too short to be told from other text."""
    if value is None:
        return
    if _is_hidden(value, annotations):
        yield from _texts(value)
        return
    if any(map(is_secret, keys(value, annotations))):
        yield from _texts(list(value))
    for _, part, of in parts(value, annotations) or ():
        yield from _plain(part, of)


def _texts(value: Any) -> Iterable[str]:
    """Every text in a value that is a secret as a whole."""
    if hasattr(value, "get_secret_value"):
        value = value.get_secret_value()
    if value is None or isinstance(value, bool):
        return
    inner = parts(value, ())
    if inner is not None:
        for part in inner:
            yield from _texts(part.value)
    else:
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
        if len(text) >= _SHORTEST:
            yield from spellings(text)


def without_pieces(text: str, values: Sequence[str], mask: str) -> str:
    """A text without what is left of these values where something was cut out of it: ``sk-12...9f``, ``sk-12…``.

    >>> without_pieces("input_value='hunter-22-p...anted'", ["hunter-22-planted"], "**")
    "input_value='**...**'"
    """
    if not values:
        return text
    begins = [value[:_LONGEST_PIECE] for value in values]
    ends = [value[-_LONGEST_PIECE:][::-1] for value in values]
    kept, at = [], 0
    for cut in _CUT.finditer(text):
        if cut.start() < at:
            continue  # it was a part of a value
        before = text[at : cut.start()]
        after = text[cut.end() : cut.end() + _LONGEST_PIECE][::-1]
        begun = max(_begun(value, before) for value in begins)
        ended = max(_begun(value, after) for value in ends)
        kept += [before[: len(before) - begun], mask if begun else "", cut.group(), mask if ended else ""]
        at = cut.end() + ended
    return "".join([*kept, text[at:]])


def _begun(value: str, before: str) -> int:
    """How much of the beginning of a value a text ends with."""
    at = before.find(value[:_SHORTEST_PIECE], max(0, len(before) - len(value)))
    while 0 <= at <= len(before) - _SHORTEST_PIECE:
        if value.startswith(before[at:]):
            return len(before) - at
        at = before.find(value[:_SHORTEST_PIECE], at + 1)
    return 0


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
