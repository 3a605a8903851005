"""`dalsegno delete`: a thread and everything of it."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from dalsegno.cli import options
from dalsegno.cli.exits import COMPLETED, FAILED, reporting
from dalsegno.errors import UnknownThread


@reporting
def command(
    thread: Annotated[str, typer.Argument(metavar="THREAD", help="The thread's name.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    db: options.Db = None,
    as_json: options.Json = False,
    traceback: options.Traceback = False,
) -> int:
    """Delete a thread: its checkpoints, runs and recorded effects.

    Asks first if it is started from a terminal. It is refused while a process runs the thread. If a run was submitted,
    the engine is told first.

    Exit: 0 deleted, 1 not confirmed, 2 no such thread or no engine, 4 a process holds it.
    """
    from dalsegno.checkpoints.maintenance import count_checkpoints, delete_thread
    from dalsegno.cli import handing
    from dalsegno.cli.screen import Screen, one_line, print_json

    ledger = options.existing_ledger(db)
    if ledger is None:
        raise UnknownThread(options.nothing_here(), thread=thread)
    try:
        runs = len(ledger.runs(thread=thread))
        kept = count_checkpoints(ledger.database, thread)
        if not runs and not kept:
            raise options.no_thread(ledger.database, thread)
        what = f"{_many(runs, 'run')} and {_many(kept, 'checkpoint')}"
        asks = not yes and sys.stdin.isatty() and sys.stdout.isatty()
        if asks and not typer.confirm(f"Delete thread {one_line(thread)} with its {what}?"):
            return FAILED
        run = ledger.latest(thread, plain=True)
        letter = handing.letter_of_thread(ledger, thread)
        if letter is not None and run is not None and run.status not in ("running", "completed", "cancelled"):
            # Or it waits there for ever, and the thread's name is taken by a run that nobody knows.
            handing.cancelled(ledger, thread, letter)
        deleted = delete_thread(ledger.database, thread)
    finally:
        ledger.database.close()
    if as_json:
        print_json({"thread": thread, "runs": runs, "checkpoints": deleted})
    else:
        Screen(sys.stdout).line(f"thread {one_line(thread)} is deleted: {what}")
    return COMPLETED


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
