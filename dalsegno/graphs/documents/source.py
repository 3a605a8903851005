"""Reading the file of a document, so that nothing in it can do harm, and everything in it can be pointed at."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from dalsegno.errors import DocumentInvalid, TargetNotLoaded, did_you_mean
from dalsegno.graphs.documents.problems import FieldPath, Place, Problem, invalid
from dalsegno.graphs.garbage import garbage_kept
from dalsegno.graphs.loading import is_document

LARGEST = 1_000_000
"""Bytes of a document, at most."""

LARGE = 50_000
"""Characters from which on a document is large."""

AS_WRITTEN = frozenset({"version"})
"""A version is a text: 1.10 is not 1.1."""

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")

_BREAK = re.compile("[\x85\u2028\u2029]")
_IN_TWO_WAYS = (
    "There is a character here (U+{0:04X}) that some programs read as the end of a line: write it as `\\u{0:04x}`, in "
    "double quotes."
)


@dataclass(frozen=True, eq=False)
class Source:
    """A document as plain data (mappings, lists, texts, numbers, true, false and null), and where each part stands."""

    file: str
    text: str
    data: dict[str, Any]
    _root: Any

    def place(self, path: FieldPath, *, key: bool = False, offset: int | None = None) -> Place:
        """Where a value stands, or its key; of what is not there, where it would be: the nearest that is.

        `offset`: that character of a text, from 0; where a text is written with escapes or over lines, its begin.
        """
        spot, at_key = self._root, None
        for part in path:
            if part not in spot.inner:
                return Place(self.file, (at_key or spot).line, (at_key or spot).column)
            at_key, spot = spot.keys.get(part), spot.inner[part]
        if key and at_key is not None:
            spot = at_key
        return Place(self.file, spot.line, spot.column + self._shift(path, spot, offset))

    def _shift(self, path: FieldPath, spot: Any, offset: int | None) -> int:
        """How far a character of a text is from where the text is written."""
        if not offset:
            return 0
        value: Any = self.data
        for part in path:
            value = value[part]
        written = self.text[spot.begin : spot.end]
        for quote in ("", '"', "'"):
            if written == f"{quote}{value}{quote}":
                return offset + len(quote)
        return 0

    def written(self, path: FieldPath) -> str | None:
        """A number or word as it is written, before it means anything; None for what is not there or in quotes."""
        spot = self._root
        for part in path:
            if part not in spot.inner:
                return None
            spot = spot.inner[part]
        word: str | None = spot.word
        return word

    def placed(self, problem: Problem) -> Problem:
        """The same problem with its place."""
        if problem.place is not None:
            return problem
        return replace(problem, place=self.place(problem.path, key=problem.key, offset=problem.offset))

    def invalid(self, problems: Iterable[Problem]) -> DocumentInvalid:
        """The error that tells of problems, in the order of their places."""
        placed = [self.placed(problem) for problem in problems]
        return invalid(sorted(placed, key=lambda problem: problem.place or Place("", 0, 0)), file=self.file)


def read_source(path: str | Path) -> Source:
    """Read a document from a file: JSON where its name ends in ``.json``, else YAML.

    Only plain data is made of it: no tags, numbers and words as JSON has them, `yes` and `on` are texts, and the
    version is a text as it is written. It has at most 1 MB, 40 levels, 100 aliases and 20,000 values repeated by them.

    Raises
    ------
    TargetNotLoaded
        There is no such file, or it cannot be opened.
    DocumentInvalid
        It is too large, no text, no YAML or JSON, or no mapping; the error has the place.
    """
    shown = os.fspath(path)
    text = _decoded(_bytes(Path(path), shown), shown)
    with garbage_kept(large=len(text) > LARGE):
        return parse_source(text, file=shown)


def parse_source(text: str, *, file: str = "<text>") -> Source:
    """Read a document from text; JSON where `file` ends in ``.json``.

    Raises
    ------
    DocumentInvalid
        As `read_source`.
    """
    from dalsegno.graphs.documents.composing import Composer, Refused
    from dalsegno.graphs.documents.json_events import NotJson, json_events

    if len(text) > LARGEST:
        _too_large(file, len(text))
    if found := _CONTROL.search(text):
        _invalid(
            file, text, found.start(), f"There is a character here that no text has (U+{ord(found[0]):04X})."
        )
    composer = Composer(AS_WRITTEN)
    try:
        if file.lower().endswith(".json"):
            composer.read(json_events(text))
        else:
            if found := _BREAK.search(text):
                _invalid(file, text, found.start(), _IN_TWO_WAYS.format(ord(found[0])))
            _read_yaml(composer, text, file)
    except NotJson as error:
        _invalid(file, text, error.offset, error.message)
    except Refused as refused:
        spot = refused.spot
        place = Place(file, spot.line, spot.column) if spot is not None else Place(file, 1, 1)
        found_so_far = [replace(p, place=Place(file, s.line, s.column)) for p, s in composer.problems]
        raise invalid(
            [*found_so_far, Problem(refused.message, refused.path, place=place)], file=file
        ) from None
    if composer.problems:
        raise invalid(
            [replace(p, place=Place(file, s.line, s.column)) for p, s in composer.problems], file=file
        )
    if not isinstance(composer.data, dict) or not composer.data:
        _no_mapping(composer.data, composer.root, file)
    return Source(file, text, composer.data, composer.root)


def _no_mapping(data: Any, root: Any, file: str) -> NoReturn:
    from dalsegno.graphs.documents.recognizing import no_workflow

    place = Place(file, 1, 1) if root is None else Place(file, root.line, root.column)
    if root is None or data is None or data == {}:
        said = "The document is empty."
    elif other := no_workflow(data, file):
        raise invalid([Problem(other, place=place)], file=file)
    else:
        what = {list: "a list", str: "a text", bool: "true or false"}.get(type(data), "a number")
        said = f"The document is {what}, and a workflow is a mapping."
    raise invalid([Problem(f"{said} It begins with `name:` and has `steps:`.", place=place)], file=file)


# -- the file ------------------------------------------------------------------------------------


def _bytes(path: Path, shown: str) -> bytes:
    """What is in a file, if it is one, and not too large: it is asked before it is read."""
    try:
        about = path.stat()
        if stat.S_ISDIR(about.st_mode):
            _refuse(shown, f"`{shown}` is a folder: name a document in it.")
        if not stat.S_ISREG(about.st_mode):
            _refuse(shown, f"`{shown}` is no file.")
        if about.st_size > LARGEST:
            _too_large(shown, about.st_size)
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except FileNotFoundError:
        if path.is_symlink():
            _refuse(shown, f"`{shown}` is a link to `{os.readlink(path)}`, which does not exist.")
        folder = path.parent
        near = [p.name for p in folder.iterdir() if is_document(p.name)] if folder.is_dir() else []
        _refuse(shown, f"`{shown}` does not exist{did_you_mean(path.name, near) or '.'}")
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or str(error)
        _refuse(shown, f"`{shown}` cannot be read: {said}.")
    if len(content) > LARGEST:  # it grew
        _too_large(shown, len(content))
    return content


def _refuse(shown: str, message: str) -> NoReturn:
    raise TargetNotLoaded(message, target=shown, reason="no file")


def _too_large(file: str, size: int) -> NoReturn:
    raise invalid(
        [
            Problem(
                f"It has {size:,} bytes, and a document has at most {LARGEST:,}. Data belongs into the input."
            )
        ],
        file=file,
    )


def _decoded(content: bytes, file: str) -> str:
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise invalid([Problem("It is UTF-16. Save it as UTF-8.")], file=file)
    if (at := content.find(b"\0")) >= 0:
        raise invalid([Problem(f"It is no text: there is a zero byte at {at:,}.")], file=file)
    content = content.removeprefix(b"\xef\xbb\xbf")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        before = content[: error.start].decode()
        line = before.count("\n") + 1
        place = Place(file, line, len(before) - (before.rfind("\n") + 1) + 1)
        said = f"The byte 0x{content[error.start]:02x} here is no UTF-8. Save the file as UTF-8"
        guess = content[error.start : error.start + 1].decode("latin-1")
        hint = f"; it looks like Latin-1, in which it is `{guess}`." if guess.isalpha() else "."
        raise invalid([Problem(said + hint, place=place)], file=file) from None


def _invalid(file: str, text: str, at: int, message: str) -> NoReturn:
    line = text.count("\n", 0, at) + 1
    place = Place(file, line, at - (text.rfind("\n", 0, at) + 1) + 1)
    raise invalid([Problem(message, place=place)], file=file)


# -- YAML ----------------------------------------------------------------------------------------


def _read_yaml(composer: Any, text: str, file: str) -> None:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # events only: neither constructs anything
    try:
        composer.read(yaml.parse(text, Loader=loader))
    except yaml.MarkedYAMLError as error:
        message, mark = _explained(error, text)
        line, column = (mark.line, mark.column) if mark is not None else (0, 0)
        raise invalid([Problem(message, place=Place(file, line + 1, column + 1))], file=file) from None
    except yaml.YAMLError as error:
        raise invalid([Problem(f"It is no YAML: {error}.")], file=file) from None


def _explained(error: Any, text: str) -> tuple[str, Any]:
    """What is wrong with YAML, in words of somebody who writes it, and the mark of where."""
    mark = error.problem_mark or error.context_mark
    lines = text.splitlines()
    here = lines[mark.line] if mark is not None and mark.line < len(lines) else ""
    next_one = here[mark.column : mark.column + 1] if here else ""
    said, context = str(error.problem or error).rstrip("."), str(error.context or "")
    if "\t" in here[: len(here) - len(here.lstrip())] or next_one == "\t":
        return "There is a tab here: YAML is indented with spaces.", mark
    if next_one and next_one in "`@%":
        return f"A text that begins with {next_one} is written in quotes.", mark
    for sign, means in (("anchor", "&"), ("alias", "*"), ("tag", "!")):
        if f"scanning an {sign}" in context or f"scanning a {sign}" in context:
            return f"A text that begins with {means} is written in quotes.", error.context_mark or mark
    if "unexpected end of stream" in said:
        return "The quote that begins here is not closed.", error.context_mark or mark
    if "did not find expected ',' or" in said:
        begun = "The bracket that begins here is not closed, or a comma is missing"
        where = f" before line {mark.line + 1}, column {mark.column + 1}." if mark is not None else "."
        quotes = (
            " Inside brackets a reference with `[0]` or `${…}` is written in quotes." if "$" in here else ""
        )
        return begun + where + quotes, error.context_mark or mark
    for yaml_says, means in _MEANS:
        if yaml_says in said:
            return means, mark
    return f"This is no YAML: {said}{', ' if context else ''}{context}.", mark


_MEANS = (
    (
        "invalid Unicode character escape",
        "A character beyond `\\uFFFF` is written as itself, or as `\\U0001F600`.",
    ),
    ("unknown escape character", "In double quotes a backslash is written twice; in single quotes once."),
    (
        "mapping values are not allowed",
        "A colon cannot stand here: a text with `: ` in it is written in quotes, or the indent is wrong.",
    ),
    (
        "could not find expected ':'",
        "A `:` is missing after this key, or a text goes on over a line that is indented too little.",
    ),
    (
        "did not find expected key",
        "This line does not go on with what stands above it: is it indented as the lines of its block?",
    ),
    (
        "did not find expected '-' indicator",
        "This line does not go on with the list above it: is it indented as its elements?",
    ),
)
