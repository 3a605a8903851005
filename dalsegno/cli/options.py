"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dalsegno.cli.exits import UsageError
from dalsegno.errors import UnknownThread, did_you_mean
from dalsegno.observe.strict_json import Inexact, strict_json

if TYPE_CHECKING:
    from dalsegno.checkpoints import AnyDatabase, Ledger

DEFAULT_DATABASE = Path(".dalsegno") / "runs.db"

Target = Annotated[
    str, typer.Argument(metavar="TARGET", help="path/to/file.py:name, package.module:name or file.yaml.")
]
Input = Annotated[
    str,
    typer.Option(
        "--input",
        "-i",
        metavar="JSON",
        help="The input, state keys and values. @file reads a file, - reads stdin.",
    ),
]
Thread = Annotated[str | None, typer.Option(metavar="T", help="The thread's name. Default: a new one.")]
Abandon = Annotated[
    bool, typer.Option("--abandon", help="Give up pending work of an earlier run on the thread.")
]
Db = Annotated[
    str | None,
    typer.Option(
        "--db",
        metavar="PATH",
        help="The database: a file or postgresql://…. Default: DALSEGNO_DB, else .dalsegno/runs.db.",
    ),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json", help='Print one JSON document. An error goes to stderr as {"error": {"type", "message"}}.'
    ),
]
Traceback = Annotated[
    bool,
    typer.Option(
        "--traceback",
        help="Show every frame of an error, not only yours. DALSEGNO_TRACEBACK=1 does the same.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress on stderr.")]
Context = Annotated[
    str | None,
    typer.Option("--context", metavar="JSON", help="The runtime context of the nodes. It is not stored."),
]


def database(given: str | None) -> str:
    """The database that is meant, a path or a URL; its folder is made when it is the one we choose."""
    named = given or os.environ.get("DALSEGNO_DB") or str(own_database())
    if named in (":memory:", "sqlite:///:memory:"):
        raise UsageError(
            f"`{named}` is gone when this command ends, and nothing could be resumed or shown. Name a file with --db."
        )
    return named


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


def nothing_here() -> str:
    """What is said where `existing_ledger` gives none: what is missing, and where to look."""
    return (
        f"Nothing was run here yet: there is no `{DEFAULT_DATABASE}` in `{Path.cwd()}`. "
        "Go to the folder where it was started, or name the database with --db."
    )


def no_thread(database: AnyDatabase, thread: str) -> UnknownThread:
    """The error of a thread that a database does not hold: a name that is nearly its, and where the names are."""
    from dalsegno.checkpoints.maintenance import thread_statistics

    known = [one.thread for one in thread_statistics(database)]
    return UnknownThread(
        f"There is no thread `{thread}` in `{database.path}`{did_you_mean(thread, known) or '.'} "
        "`dalsegno db stats --threads` lists them.",
        thread=thread,
    )


def json_value(text: str, option: str) -> Any:
    """JSON from the command line, from `@file`, or from stdin (`-`)."""
    source, place = option, None
    if text == "-":
        source, place = f"{option} (stdin)", "stdin"
    elif text.startswith("@"):
        source, place = f"{option} ({text[1:]})", f"`{text[1:]}`"
    try:
        text = _as_given(text) if place is None else _read(text)
        text.encode()
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(f"{option}: {place or 'what is given'} cannot be read: {why}.") from None
    try:
        return strict_json(text)
    except json.JSONDecodeError as error:
        raise UsageError(
            f"{source} is no JSON: {error.msg}, line {error.lineno} column {error.colno}. "
            f'An object looks like \'{{"topic": "rain"}}\'; @file reads a file, - reads stdin.'
        ) from None
    except RecursionError:
        raise UsageError(f"{source} is JSON that is nested too deeply.") from None
    except Inexact as error:
        raise UsageError(f"{source} is no JSON: {error}") from None
    except UnicodeError:
        raise _half_a_pair(source) from None


def _as_given(text: str) -> str:
    """A word of the command line that may be UTF-8 where the locale is not, as in the locale `C` without UTF-8 mode.

    Raises UnicodeError where it is not.
    """
    try:
        text.encode()
    except UnicodeError:
        return os.fsencode(text).decode()
    return text


def json_or_text(text: str, option: str) -> Any:
    """A value as it was meant: JSON where it is JSON, else the text itself."""
    try:
        text = _as_given(text)
    except UnicodeError:
        raise UsageError(f"{option}: what is given cannot be read: it is not UTF-8 text.") from None
    try:
        return strict_json(text)
    except Inexact as error:
        if not text.lstrip().startswith(("{", "[")):
            return text  # a word, such as NaN, or a number of too many digits
        raise UsageError(f"{option} is no JSON: {error}") from None
    except UnicodeError:
        raise _half_a_pair(option) from None
    except (json.JSONDecodeError, RecursionError):
        return text


def _half_a_pair(source: str) -> UsageError:
    return UsageError(f"{source} holds half of a surrogate pair, which is no text.")


def pairs(given: list[str] | None, option: str, meant: str) -> Iterator[tuple[str, str]]:
    """What several ``KEY=VALUE`` say, each of another key; `meant` is how they are written.

    >>> dict(pairs(["topic=rain", "note=a=b"], "--set", "KEY=VALUE"))
    {'topic': 'rain', 'note': 'a=b'}
    """
    seen: set[str] = set()
    for pair in given or ():
        key, equals, value = pair.partition("=")
        if not (key and equals):
            raise UsageError(f"{option} {pair}: it is {meant}.")
        if key in seen:
            raise UsageError(f"{option} {pair}: `{key}` is said twice. Say it once.")
        seen.add(key)
        yield key, value


def _read(text: str) -> str:
    """What `-` and `@file` stand for; a byte order mark before it is none of it."""
    if text == "-":
        raw = getattr(sys.stdin, "buffer", None)
        return str(raw.read(), "utf-8-sig") if raw is not None else sys.stdin.read()
    return Path(text[1:]).read_text(encoding="utf-8-sig")
