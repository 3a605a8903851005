"""What is wrong with a document, and where."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from dalsegno.errors import DocumentInvalid

FieldPath = tuple[str | int, ...]
"""The way into a document: keys of mappings, and numbers of elements from 0."""

MOST_SHOWN = 20
"""So many problems are told; the rest is counted."""

_BARE = re.compile(r"[^\W\d]\w*(-\w+)*")  # as the grammar of references has a field


@dataclass(frozen=True, order=True)
class Place:
    """A place in a file; lines and columns begin with 1, and columns are counted in characters."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    `path` leads into the document; `offset` is the character of the text there, from 0, where it is in a text;
    `key` says that the key is meant, not its value. `place` is what a `Source` makes of them.
    """

    message: str
    path: FieldPath = ()
    offset: int | None = None
    key: bool = False
    place: Place | None = None

    @property
    def field(self) -> str:
        """The path as text: ``steps[0].strategy``; empty for the whole document."""
        return field_text(self.path)

    def __str__(self) -> str:
        where = f"{self.place}: " if self.place is not None else ""
        field = f"{self.field}: " if self.path else ""
        return f"{where}{field}{self.message}"


def field_text(path: FieldPath) -> str:
    """A path as a reference writes it.

    >>> field_text(("steps", 0, "params", "first name"))
    'steps[0].params["first name"]'
    """
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _BARE.fullmatch(part):
            text += f".{part}" if text else part
        else:
            quoted = part.replace("\\", "\\\\").replace('"', '\\"')
            text += f'["{quoted}"]'
    return text


def invalid(problems: Iterable[Problem], *, file: str | None = None) -> DocumentInvalid:
    """The error that tells of all of them, each in a line of its own."""
    found = tuple(problems)
    first = found[0]
    lines = [str(problem) for problem in found[:MOST_SHOWN]]
    if file is not None and first.place is None:
        lines[0] = f"{file}: {lines[0]}"
    if len(found) > MOST_SHOWN:
        lines.append(f"… and {len(found) - MOST_SHOWN} more.")
    place = first.place
    return DocumentInvalid(
        "\n".join(lines),
        file=place.file if place is not None else file,
        line=place.line if place is not None else None,
        column=place.column if place is not None else None,
        field=first.field or None,
        problems=found,
    )
