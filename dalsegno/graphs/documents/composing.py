"""From the events of YAML or JSON to plain data, and the place of every key and value of it.

The caps are kept while events come in, so that what is beyond them is never built.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NoReturn

import yaml

from dalsegno.graphs.documents.problems import FieldPath, Problem
from dalsegno.graphs.documents.scalars import Doubtful, is_null, meaning

DEEPEST = 40
MOST_ALIASES = 100
MOST_BY_ALIASES = 20_000
"""So many values may be repeated by aliases, all together."""
MOST_PROBLEMS = 100

_TAGS = {f"tag:yaml.org,2002:{name}": name for name in ("str", "int", "float", "bool", "null", "seq", "map")}


@dataclass(slots=True)
class Spot:
    """Where a value stands, and the values in it; `begin` and `end` are characters of the text, from 0."""

    line: int
    column: int
    begin: int
    end: int
    keys: dict[str, Spot] = field(default_factory=dict)
    inner: dict[str | int, Spot] = field(default_factory=dict)
    word: str | None = None
    size: int = 1


class Refused(Exception):
    """A document that is not read on."""

    def __init__(self, message: str, spot: Spot | None, path: FieldPath = ()) -> None:
        super().__init__(message)
        self.message, self.spot, self.path = message, spot, path


@dataclass(slots=True)
class _Open:
    """A mapping or list whose end has not come."""

    value: Any
    spot: Spot
    anchor: str | None
    key: str | None = None
    key_spot: Spot | None = None
    merged: list[tuple[Any, Spot]] = field(default_factory=list)


class Composer:
    """Builds data of events.

    `as_written`: keys at the top whose values are texts as they are written, whatever they look like.
    """

    def __init__(self, as_written: frozenset[str] = frozenset()) -> None:
        self.data: Any = None
        self.root: Spot | None = None
        self.problems: list[tuple[Problem, Spot]] = []
        self._as_written = as_written
        self._open: list[_Open] = []
        self._anchors: dict[str, tuple[Any, Spot] | None] = {}
        self._documents = 0
        self._aliases = 0
        self._repeated = 0

    def read(self, events: Iterable[yaml.Event]) -> None:
        """Take in all events.

        Raises
        ------
        Refused
            A cap was reached, or there is what cannot be made data of.
        """
        for event in events:
            if isinstance(event, yaml.ScalarEvent):
                self._scalar(event)
            elif isinstance(event, yaml.MappingStartEvent):
                self._begin(event, {}, "map")
            elif isinstance(event, yaml.SequenceStartEvent):
                self._begin(event, [], "seq")
            elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
                self._end(event)
            elif isinstance(event, yaml.AliasEvent):
                self._alias(event)
            elif isinstance(event, yaml.DocumentStartEvent):
                self._documents += 1
                if self._documents > 1:
                    self._refuse("A second document begins here: a file holds one workflow.", _spot(event))

    @property
    def path(self) -> FieldPath:
        """Where the next value goes."""
        return tuple(
            each.key if isinstance(each.value, dict) else len(each.value)  # type: ignore[misc]  # a value has its key
            for each in self._open
            if not (isinstance(each.value, dict) and each.key is None)
        )

    def _refuse(self, message: str, spot: Spot) -> NoReturn:
        raise Refused(message, spot, self.path)

    def _problem(self, message: str, spot: Spot, path: FieldPath | None = None) -> None:
        self.problems.append((Problem(message, self.path if path is None else path), spot))
        if len(self.problems) >= MOST_PROBLEMS:
            self._refuse("… and more: there are too many problems to go on.", spot)

    # -- events ------------------------------------------------------------------------------

    def _begin(self, event: Any, value: Any, name: str) -> None:
        spot = _spot(event)
        self._tagged(event, (name,), spot)
        if len(self._open) >= DEEPEST:
            raise Refused(f"This is nested deeper than {DEEPEST} levels.", spot)
        parent = self._open[-1] if self._open else None
        if parent is not None and isinstance(parent.value, dict) and parent.key is None:
            self._refuse("A key is a text, and no mapping or list.", spot)
        if event.anchor:
            self._anchors[event.anchor] = None
        self._open.append(_Open(value, spot, event.anchor))

    def _end(self, event: Any) -> None:
        done = self._open.pop()
        done.spot.end = event.end_mark.index
        for value, spot in done.merged:  # what is written here goes before what is merged in
            for key, inner in value.items():
                if key not in done.value:
                    done.value[key] = inner
                    done.spot.keys[key], done.spot.inner[key] = spot.keys[key], spot.inner[key]
        done.spot.size = 1 + sum(inner.size for inner in done.spot.inner.values())
        if done.anchor:
            self._anchors[done.anchor] = (done.value, done.spot)
        self._put(done.value, done.spot)

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        spot = _spot(event)
        parent = self._open[-1] if self._open else None
        if parent is not None and isinstance(parent.value, dict) and parent.key is None:
            self._key(event, parent, spot)
            return
        value: Any = event.value
        tag = self._tagged(event, ("str", "int", "float", "bool", "null"), spot)
        if (event.implicit[0] and event.tag is None) or tag in ("int", "float", "bool", "null"):
            spot.word = event.value
            value = self._meaning(event.value, spot)
        if event.anchor:
            self._anchors[event.anchor] = (value, spot)
        self._put(value, spot)

    def _meaning(self, word: str, spot: Spot) -> Any:
        if len(self._open) == 1 and self._open[0].key in self._as_written and not is_null(word):
            return word
        try:
            return meaning(word)
        except Doubtful as error:
            self._problem(str(error), spot)
            return None

    def _key(self, event: yaml.ScalarEvent, parent: _Open, spot: Spot) -> None:
        """A key of a mapping."""
        key = event.value
        self._tagged(event, ("str",), spot)
        if event.implicit[0] and event.tag is None:
            try:
                is_text = isinstance(meaning(key), str)
            except Doubtful:
                is_text = False
            if not is_text:
                shown = key[:40] or "null"
                self._problem(f'A key is a text: write "{shown}" in quotes.', spot)
        if key in parent.spot.keys and (key != "<<" or parent.merged):
            before = parent.spot.keys[key]
            self._problem(
                f"`{key[:60]}` is here twice: it is in line {before.line} already.", spot, (*self.path, key)
            )
        parent.key, parent.key_spot = key, spot
        if event.anchor:
            self._anchors[event.anchor] = (key, spot)

    def _alias(self, event: Any) -> None:
        spot = _spot(event)
        name = event.anchor
        if name not in self._anchors:
            self._refuse(f"There is no anchor `&{name[:60]}` before this.", spot)
        found = self._anchors[name]
        if found is None:
            self._refuse(f"`*{name[:60]}` stands inside of what it repeats, so it would have no end.", spot)
        value, at = found
        self._aliases += 1
        self._repeated += at.size
        if self._aliases > MOST_ALIASES:
            self._refuse(f"There are more than {MOST_ALIASES} aliases (`*name`).", spot)
        if self._repeated > MOST_BY_ALIASES:
            self._refuse(f"Aliases (`*name`) repeat more than {MOST_BY_ALIASES:,} values all together.", spot)
        parent = self._open[-1] if self._open else None
        if parent is not None and isinstance(parent.value, dict) and parent.key is None:
            self._refuse("A key is written out, and no alias.", spot)
        if len(self._open) + _depth(at) > DEEPEST:
            self._refuse(f"What `*{name[:60]}` repeats is nested deeper than {DEEPEST} levels here.", spot)
        self._put(value, at, spot)

    def _put(self, value: Any, spot: Spot, alias: Spot | None = None) -> None:
        """Place a value that is complete; `alias` is where an alias for it stands."""
        if not self._open:
            self.data, self.root = value, spot
            return
        parent = self._open[-1]
        if isinstance(parent.value, list):
            parent.spot.inner[len(parent.value)] = spot
            parent.value.append(value)
            return
        assert parent.key is not None
        assert parent.key_spot is not None
        if parent.key == "<<" and parent.key_spot.end - parent.key_spot.begin == 2:  # not in quotes
            self._merge(value, spot, parent, alias or spot)
        elif parent.key not in parent.value:
            parent.value[parent.key] = value
            parent.spot.keys[parent.key], parent.spot.inner[parent.key] = parent.key_spot, spot
        parent.key = parent.key_spot = None

    def _merge(self, value: Any, spot: Spot, parent: _Open, at: Spot) -> None:
        """`<<: *defaults` and `<<: [*one, *other]`."""
        each = list(enumerate(value)) if isinstance(value, list) else [(None, value)]
        for number, part in each:
            if not isinstance(part, dict):
                self._problem("`<<` takes in a mapping, or a list of mappings, by their aliases.", at)
                return
            parent.merged.append((part, spot if number is None else spot.inner[number]))

    def _tagged(self, event: Any, allowed: tuple[str, ...], spot: Spot) -> str | None:
        """The name of an event's tag; None where it has none."""
        if event.tag is None or event.tag == "!":
            return None
        name = _TAGS.get(event.tag)
        if name not in allowed:
            shown = event.tag.replace("tag:yaml.org,2002:", "!!")[:80]
            self._refuse(
                f"`{shown}` is a tag, and a document holds plain data only: texts, numbers, true, false, null, lists "
                "and mappings.",
                spot,
            )
        return name


def _spot(event: Any) -> Spot:
    begin, end = event.start_mark, event.end_mark
    if begin is None:
        return Spot(1, 1, 0, 0)
    return Spot(begin.line + 1, begin.column + 1, begin.index, end.index)


def _depth(spot: Spot) -> int:
    """How many levels a value has."""
    depth, level = 0, [spot]
    while level:
        depth, level = depth + 1, [inner for each in level for inner in each.inner.values()]
    return depth
