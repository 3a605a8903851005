"""`dalsegno db`: look after the database: what it holds, whether it is sound, and making it smaller."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dalsegno.cli import options, streams
from dalsegno.cli.exits import COMPLETED, FAILED, UsageError, reporting

if TYPE_CHECKING:
    from dalsegno.checkpoints import AnyDatabase

group = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Look after the database: measure, check, prune, export, import.",
)

Threads = Annotated[
    list[str] | None,
    typer.Option("--thread", "-t", metavar="T", help="Only this thread. Repeatable."),
]


@group.command("stats")
@reporting
def stats(
    by_thread: Annotated[
        bool, typer.Option("--threads", help="List the threads, the largest first.")
    ] = False,
    db: options.Db = None,
    as_json: options.Json = False,
) -> int:
    """Count what the database holds."""
    from dalsegno.checkpoints.maintenance import statistics, thread_statistics
    from dalsegno.cli.screen import Screen, one_line, print_json

    with _database(db) as database:
        held = statistics(database)
        each = thread_statistics(database) if by_thread else []
    if as_json:
        document = asdict(held)
        print_json({**document, "by_thread": [asdict(one) for one in each]} if by_thread else document)
        return COMPLETED
    screen = Screen(sys.stdout)
    facts = [
        (name, f"{value:,}") for name, value in asdict(held).items() if name not in ("stored", "file", "free")
    ]
    sizes = [("values", held.stored), ("file", held.file), ("free in it", held.free)]
    screen.facts([*facts, *((name, _size(size)) for name, size in sizes)])
    if each:
        screen.line()
        screen.table(
            ("thread", "checkpoints", "values", "latest"),
            [(one_line(one.thread), f"{one.checkpoints:,}", _size(one.stored), one.latest) for one in each],
            right=(1, 2),
        )
    return COMPLETED


@group.command("check")
@reporting
def check(db: options.Db = None, as_json: options.Json = False) -> int:
    """Look for damage in the database.

    Reads the structure of SQLite itself, every reference and every stored value.

    Exit: 0 sound, 1 damaged.
    """
    from dalsegno.checkpoints.maintenance import check as problems_of
    from dalsegno.cli.screen import Screen, print_json, readable

    with _database(db) as database:
        problems = problems_of(database)
    if as_json:
        print_json({"ok": not problems, "problems": problems})
    else:
        screen = Screen(sys.stdout)
        for problem in problems:
            screen.line(f"{screen.paint('✗', 'bold red')} {readable(problem)}")
        if not problems:
            screen.line(f"{screen.paint('✓', 'bold green')} the database is sound")
    return FAILED if problems else COMPLETED


@group.command("prune")
@reporting
def prune(
    keep: Annotated[int, typer.Option(min=1, help="How many of a thread's newest checkpoints stay.")] = 1,
    older_than: Annotated[
        float | None,
        typer.Option(metavar="DAYS", min=0, help="Delete only checkpoints older than this many days."),
    ] = None,
    threads: Threads = None,
    db: options.Db = None,
    as_json: options.Json = False,
) -> int:
    """Delete old checkpoints; every run can still go on from its latest.

    The runs stay in the ledger. The file gets no smaller until `dalsegno db vacuum`.
    """
    from dalsegno.checkpoints.maintenance import prune as pruned
    from dalsegno.cli.screen import Screen, print_json

    with _database(db) as database:
        age = None if older_than is None else older_than * 86_400
        count = pruned(database, _known(database, threads), keep=keep, older_than=age)
    if as_json:
        print_json({"deleted": count})
    else:
        Screen(sys.stdout).line(f"{count:,} checkpoint{'' if count == 1 else 's'} deleted")
    return COMPLETED


@group.command("export")
@reporting
def export(
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write to this file. Default: stdout."),
    ] = None,
    threads: Threads = None,
    db: options.Db = None,
) -> int:
    """Write every run and every checkpoint as JSON, one a line."""
    from dalsegno.checkpoints.exporting import export as lines_of
    from dalsegno.cli.screen import carried

    with _database(db) as database:
        chosen = _known(database, threads)
        with _written(output, database) as write:
            for line in lines_of(database, chosen):
                write.write(carried(line, write) + "\n")
                if streams.is_unread(write):
                    break
    return COMPLETED


@group.command("import")
@reporting
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The database of LangGraph's SqliteSaver.")],
    db: options.Db = None,
    as_json: options.Json = False,
) -> int:
    """Copy the checkpoints of LangGraph's own SqliteSaver.

    Its file is only read.
    """
    from dalsegno.checkpoints import SqliteCheckpointer
    from dalsegno.checkpoints.importing import import_sqlite_saver
    from dalsegno.checkpoints.opening import file_of, is_server
    from dalsegno.cli.screen import Screen, print_json

    named = options.database(db)
    if is_server(named):
        raise UsageError(
            "Nothing can be imported into a PostgreSQL database. `PostgresSaver` has the same tables as Dalsegno: to "
            "go on with its threads, name its schema (`?schema=public`)."
        )
    with SqliteCheckpointer(file_of(named)) as saver:
        count = import_sqlite_saver(saver, file)
    if as_json:
        print_json({"checkpoints": count})
    else:
        Screen(sys.stdout).line(f"{count:,} checkpoint{'' if count == 1 else 's'} imported")
    return COMPLETED


@group.command("vacuum")
@reporting
def vacuum(db: options.Db = None, as_json: options.Json = False) -> int:
    """Give the room of what was deleted back to the file system.

    Nobody else can write meanwhile. It needs as much free disk space as the database takes.
    """
    from dalsegno.checkpoints.maintenance import vacuum as vacuumed
    from dalsegno.cli.screen import Screen, print_json

    with _database(db) as database:
        freed = vacuumed(database)
    if as_json:
        print_json({"freed": freed})
    else:
        Screen(sys.stdout).line(f"{_size(freed)} given back")
    return COMPLETED


@contextlib.contextmanager
def _database(db: str | None) -> Iterator[AnyDatabase]:
    ledger = options.existing_ledger(db)
    if ledger is None:
        raise UsageError(options.nothing_here())
    try:
        yield ledger.database
    finally:
        ledger.database.close()


def _known(database: AnyDatabase, threads: list[str] | None) -> list[str] | None:
    """The threads that are meant, each once, None for all; one that is mistyped is not passed over in silence.

    Raises
    ------
    UnknownThread
        There is none of that name.
    """
    if not threads:
        return None
    from dalsegno.checkpoints import Ledger
    from dalsegno.checkpoints.maintenance import count_checkpoints

    chosen = list(dict.fromkeys(threads))
    for thread in chosen:
        if not count_checkpoints(database, thread) and not Ledger(database).runs(thread=thread, limit=1):
            raise options.no_thread(database, thread)
    return chosen


@contextlib.contextmanager
def _written(output: Path | None, database: AnyDatabase) -> Iterator[typer.FileTextWrite]:
    if output is None:
        yield sys.stdout  # type: ignore[misc]  # typer's name for a text stream
        return
    if _is_of(database, output):
        raise UsageError(
            f"-o {output}: that is the database itself, and the export would take its place. Name another file."
        )
    try:
        file = output.open("w", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"-o {output}: it cannot be written ({error.strerror or error}).") from None
    with file:
        yield file  # type: ignore[misc]  # as above


def _is_of(database: AnyDatabase, output: Path) -> bool:
    """Whether a file is one of those that the database is kept in, by whatever name."""
    file = os.path.realpath(database.path)  # the log is beside the file itself, whatever link leads to it
    kept = (file + end for end in ("", "-wal", "-shm"))
    with contextlib.suppress(OSError, ValueError):  # there is no such file: then it is another one
        return any(os.path.exists(each) and os.path.samefile(each, output) for each in kept)
    return False


def _size(size: int) -> str:
    """Bytes as people say them."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:,.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}"
        size /= 1000  # type: ignore[assignment]  # a float from here on
    return f"{size:,.1f} GB"
