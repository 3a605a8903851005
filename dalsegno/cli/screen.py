"""What is printed: lines, columns and JSON, in colour on a terminal and plain elsewhere."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import sys
import textwrap
import time
import unicodedata
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, TextIO

from dalsegno.cli import streams
from dalsegno.observe.plain import plain

_CODES = {
    "bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34", "magenta": "35",
    "cyan": "36",
}  # fmt: skip
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_SURROGATE, _NOT_ASCII = re.compile("[\ud800-\udfff]"), re.compile("[^\x00-\x7f]")


class Copied(str):
    """A value that people copy, as a command or a name: it stands in one line, however long that is."""

    __slots__ = ()


class Screen:
    """One stream to print on: stdout for what was asked for, stderr for everything about it."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.is_terminal = stream.isatty()
        self._colour = _wants_colour(self.is_terminal)

    @property
    def width(self) -> int:
        """Columns to fill with text; at most 100, for a longer line is not read."""
        return min(self.columns, 100)

    @property
    def columns(self) -> int:
        """Columns that there are; 100 where nobody looks."""
        return shutil.get_terminal_size((100, 24)).columns if self.is_terminal else 100

    def paint(self, text: str, style: str) -> str:
        """The text in a style (``"bold red"``), where there is colour."""
        if not self._colour or not text:
            return text
        return f"\x1b[{';'.join(_CODES[word] for word in style.split())}m{text}\x1b[0m"

    def line(self, text: str = "") -> None:
        """Print one line, whatever the stream can encode."""
        # Written as one piece: nodes that run side by side end at the same time.
        try:
            self.stream.write(f"{text}\n")
        except UnicodeEncodeError:
            encoding = self.stream.encoding or "ascii"
            self.stream.write(f"{text.encode(encoding, 'replace').decode(encoding)}\n")
        self.stream.flush()

    def block(self, text: str, *, indent: str = "", first: str | None = None) -> None:
        """Print a paragraph, wrapped to the width."""
        filled = textwrap.fill(
            text,
            self.width,
            initial_indent=indent if first is None else first,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
        self.line(filled)

    def facts(self, pairs: Sequence[tuple[str, str]], *, indent: str = "  ") -> None:
        """Print names and values in two columns; a long value goes on below itself."""
        wide = max((len(name) for name, _ in pairs), default=0)
        for name, value in pairs:
            lines = readable(value).split("\n")
            if not isinstance(value, Copied):
                room = max(self.width - wide - len(indent) - 2, 30)
                wrap = textwrap.TextWrapper(room, break_long_words=False, break_on_hyphens=False).wrap
                lines = [piece for line in lines for piece in wrap(line) or [""]]
            for number, line in enumerate(lines):
                head = self.paint(name.ljust(wide), "dim") if number == 0 else " " * wide
                self.line(f"{indent}{head}  {line}")

    def catalogue(self, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table that is there for the sentences in its last column: they go on below themselves."""
        wide = [max(map(cells, column)) for column in zip(heads, *rows, strict=True)]
        room = max(self.columns - sum(wide[:-1]) - 2 * len(wide[:-1]), 8) if self.is_terminal else wide[-1]
        whole: list[Sequence[str]] = []
        for *names, text in rows:
            first, *more = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]
            whole += [[*names, first], *([*[""] * len(names), line] for line in more)]
        self.table(heads, whole)

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> None:
        """Print a table; `right` are the columns of numbers. The last column is cut at the width."""
        rows = [[readable(cell) for cell in row] for row in rows]
        columns = list(zip(heads, *rows, strict=True))
        wide = [max(cells(cell) for cell in column) for column in columns]
        for number, row in enumerate([heads, *rows]):
            parts = []
            for i, cell in enumerate(row):
                if i == len(row) - 1 and i not in right:
                    room = self.columns - sum(wide[:-1]) - 2 * len(wide[:-1])
                    fits = not self.is_terminal or room >= min(8, wide[-1])
                    parts.append((shortened(cell, room) if self.is_terminal else cell) if fits else "")
                else:
                    gap = " " * (wide[i] - cells(cell))
                    parts.append(gap + cell if i in right else cell + gap)
            line = "  ".join(parts).rstrip()
            self.line(self.paint(line, "dim") if number == 0 else self._signed(line))

    def _signed(self, line: str) -> str:
        for sign, style in SIGN_STYLES.items():
            line = line.replace(sign, self.paint(sign, style))
        return line


SIGNS = {
    "completed": "✓", "done": "✓", "caught": "↷", "failed": "✗", "interrupted": "‖", "stopped": "○", "running": "▶",
    "cancelled": "✗", "pending": "○", "queued": "○",
}  # fmt: skip
SIGN_STYLES = {"✓": "green", "↷": "magenta", "✗": "red", "‖": "yellow", "▶": "cyan", "○": "blue"}


def sign(status: str) -> str:
    """The sign of a run's or a node's status."""
    return SIGNS.get(status, " ")


def _wants_colour(is_terminal: bool) -> bool:
    """https://no-color.org and https://force-color.org"""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (is_terminal and os.environ.get("TERM") != "dumb")


def readable(text: str) -> str:
    """Text that cannot move the cursor, colour the screen or turn its neighbours around."""
    return _CONTROL.sub("\ufffd", text)


def one_line(text: object) -> str:
    """`readable` text in one line."""
    return " ".join(readable(str(text).replace("\r", "\n")).split())


def shortened(text: str, width: int) -> str:
    """Text of at most `width` columns; what is cut off ends in an ellipsis."""
    if cells(text) <= width:
        return text
    used, out = 0, []
    for char in text:
        used += cells(char)
        if used >= width:
            break
        out.append(char)
    return "".join(out).rstrip() + "…"


def cells(text: str) -> int:
    """Columns that a text takes on a terminal."""
    return len(text) if text.isascii() else sum(map(_taken, text))


def _taken(character: str) -> int:
    """The columns of one character: none of one that is set over or under another, or that nobody sees."""
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def duration(seconds: float | None) -> str:
    """Seconds as people say them; a dash where they are not known."""
    if seconds is None:
        return "–"
    if seconds < 9.995:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def ago(at: float, now: float | None = None) -> str:
    """How long ago that was: ``just now``, ``5 min ago``, ``3 days ago``, else the date."""
    seconds = (time.time() if now is None else now) - at
    if seconds < 10:
        return "just now"
    for limit, unit, size in ((120, "s", 1), (7200, "min", 60), (172_800, "h", 3600)):
        if seconds < limit:
            return f"{int(seconds // size)} {unit} ago"
    if seconds < 30 * 86_400:
        return f"{int(seconds // 86_400)} days ago"
    return datetime.fromtimestamp(at).strftime("%Y-%m-%d")


def clock(at: float | None) -> str:
    """A time of the day here, to the second."""
    return "–" if at is None else datetime.fromtimestamp(at).strftime("%Y-%m-%d %H:%M:%S")


def instant(at: float | None) -> str | None:
    """Unix seconds as ISO 8601 in UTC, for JSON."""
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def print_json(value: Any, stream: TextIO | None = None) -> None:
    """Print one JSON document on stdout: indented on a terminal, one line elsewhere."""
    out = stream or sys.stdout
    indent = 2 if out.isatty() else None
    text = json.dumps(plain(value), indent=indent, ensure_ascii=False)
    print(carried(text, out), file=out, flush=True)


def carried(document: str, stream: TextIO) -> str:
    """A text of JSON as a stream can carry it: what is beyond its encoding is escaped."""
    unicode = (stream.encoding or "").lower().replace("-", "") == "utf8"
    return (_SURROGATE if unicode else _NOT_ASCII).sub(lambda found: json.dumps(found[0])[1:-1], document)


@contextlib.contextmanager
def stdout_kept_for_json(wanted: bool) -> Iterator[TextIO]:
    """Let everything that is printed meanwhile, by nodes or their programs, go to stderr.

    Gives the real stdout, for the one document that belongs there.
    """
    if not wanted:
        yield sys.stdout
        return
    real = sys.stdout
    with contextlib.ExitStack() as stack:
        try:
            is_real = real.fileno() == 1 and sys.stderr.fileno() == 2
        except (OSError, ValueError, AttributeError):
            is_real = False
        if is_real and isinstance(real, io.TextIOWrapper):
            kept = os.dup(1)
            stack.callback(os.close, kept)
            real = stack.enter_context(streams.piped(real, kept, "backslashreplace"))
            os.dup2(2, 1)
            stack.callback(os.dup2, kept, 1)
        stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        yield real
