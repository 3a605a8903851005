"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dalsegno.cli.exits import UsageError

if TYPE_CHECKING:
    from dalsegno.checkpoints import Ledger

DEFAULT_DATABASE = Path(".dalsegno") / "runs.db"

Target = Annotated[
    str, typer.Argument(metavar="TARGET", help="path/to/file.py:name, package.module:name or file.yaml.")
]
Input = Annotated[
    str,
    typer.Option("--input", "-i", metavar="JSON", help="State keys and values; @file reads a file, - stdin."),
]
Thread = Annotated[str | None, typer.Option(metavar="T", help="The thread's name; made up when left out.")]
Abandon = Annotated[
    bool, typer.Option("--abandon", help="Give up pending work of an earlier run on the thread.")
]
Db = Annotated[
    str | None,
    typer.Option(
        "--db",
        metavar="PATH",
        help="The database, or postgresql://…; else DALSEGNO_DB, else .dalsegno/runs.db.",
    ),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json", help='Print one JSON document; errors go to stderr as {"error": {"type", "message"}}.'
    ),
]
Traceback = Annotated[
    bool,
    typer.Option("--traceback", help="Show every frame of an error, not only yours. DALSEGNO_TRACEBACK=1."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]
Context = Annotated[
    str | None,
    typer.Option("--context", metavar="JSON", help="The runtime context of the nodes; it is not kept."),
]


def database(given: str | None) -> str:
    """The database that is meant, a path or a URL; its folder is made when it is the one we choose."""
    return given or os.environ.get("DALSEGNO_DB") or str(own_database())


def own_database() -> Path:
    """The database that we choose, in this folder."""
    folder = DEFAULT_DATABASE.parent
    try:
        folder.mkdir(exist_ok=True)
        ignore = folder / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")
    except OSError as error:
        raise UsageError(
            f"`{folder}` cannot be made here ({error.strerror or error}). Name a database with --db."
        ) from None
    return DEFAULT_DATABASE


def existing_ledger(given: str | None) -> Ledger | None:
    """The ledger to read from; None where nothing was run here yet. A database that is named must be there."""
    from dalsegno.checkpoints import Ledger, open_database
    from dalsegno.checkpoints.opening import file_of, is_server

    named = given or os.environ.get("DALSEGNO_DB")
    if named and is_server(named):
        return Ledger(open_database(named))
    path = Path(file_of(named)) if named else DEFAULT_DATABASE
    if not os.path.exists(path):  # and not Path.exists, which fails for a name that no file can have
        if not named:
            return None
        said = "--db" if given else "DALSEGNO_DB"
        raise UsageError(f"There is no database `{path}` ({said}). Check the path; `dalsegno run` makes one.")
    return Ledger(open_database(path))


def json_value(text: str, option: str) -> Any:
    """JSON from the command line, from `@file`, or from stdin (`-`)."""
    source, place = option, None
    if text == "-":
        source, place = f"{option} (stdin)", "stdin"
    elif text.startswith("@"):
        source, place = f"{option} ({text[1:]})", f"`{text[1:]}`"
    try:
        if place is not None:
            text = _read(text)
        text.encode()
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(f"{option}: {place or 'what is given'} cannot be read: {why}.") from None
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(
            f"{source} is no JSON: {error.msg}, line {error.lineno} column {error.colno}. "
            f'An object looks like \'{{"topic": "rain"}}\'; @file reads a file, - reads stdin.'
        ) from None
    except RecursionError:
        raise UsageError(f"{source} is JSON that is nested too deeply.") from None
    except ValueError:  # a number of more digits than Python reads
        raise UsageError(f"{source} is JSON with a number of too many digits.") from None


def _read(text: str) -> str:
    """What `-` and `@file` stand for; a byte order mark before it is none of it."""
    if text == "-":
        raw = getattr(sys.stdin, "buffer", None)
        return str(raw.read(), "utf-8-sig") if raw is not None else sys.stdin.read()
    return Path(text[1:]).read_text(encoding="utf-8-sig")
