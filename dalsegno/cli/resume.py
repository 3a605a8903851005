"""`dalsegno resume`: go on from the mark."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dalsegno.cli import options
from dalsegno.cli.budgets import BudgetOption, budget
from dalsegno.cli.exits import UsageError, reporting
from dalsegno.errors import TargetNotLoaded, UnknownThread

if TYPE_CHECKING:
    from dalsegno.distributed.orders import Letter
    from dalsegno.graphs.loading import LoadedTarget
    from dalsegno.runtime import Runner, RunResult
    from dalsegno.runtime.events import Event


@reporting
def command(
    thread: Annotated[str, typer.Argument(metavar="THREAD", help="The thread's name.")],
    value: Annotated[
        str | None,
        typer.Option(
            metavar="ANSWER",
            help="The answer to the question that waits: JSON, or else plain text. If several wait: "
            "'{\"ID\": ANSWER, ...}'.",
        ),
    ] = None,
    rename: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OLD=NEW",
            help="A node that was renamed since; in a subworkflow `sub/old=new`. Repeatable.",
        ),
    ] = None,
    accept_changes: Annotated[
        bool,
        typer.Option(
            "--accept-changes", help="Go on even if the graph changed in a way that the run can notice."
        ),
    ] = False,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="TARGET", help="The workflow, if it has moved or the run was started from Python."
        ),
    ] = None,
    budgeted: BudgetOption = None,
    db: options.Db = None,
    context: options.Context = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    traceback: options.Traceback = False,
) -> int:
    """Go on from the mark: after a crash, a failure, a stop or a wait.

    What was committed is not done again. If the graph has changed since, the command shows the difference. It refuses
    a change with which the run cannot go on, and says which --rename would help. `dalsegno diff` shows the difference
    without going on.

    A run that was submitted is continued by a worker: the command waits for it, and Ctrl-C leaves it to the worker.

    Exit: as `dalsegno run`; 1 if the graph changed too much, 2 if there is nothing to go on with.
    """
    from dalsegno.cli.screen import stdout_kept_for_json

    given = options.json_value(context, "--context") if context is not None else None
    names = renames(rename)
    limits = budget(budgeted)
    answer = _answer(value, thread, db)
    with stdout_kept_for_json(as_json) as out:
        letter = _letter(thread, db)
        if letter is not None:
            from dalsegno.cli import handing

            if target is not None:
                raise UsageError(
                    f"--target {target}: the run on thread `{thread}` was submitted, and the workers have its "
                    "workflow. Leave it out."
                )
            return handing.resumed(
                thread,
                letter,
                handing.Manner(db_option=db, as_json=as_json, quiet=quiet, full_traceback=traceback, out=out),
                value=answer,
                rename=names,
                accept_changes=accept_changes,
                context=given,
                budget=limits,
            )
        loaded = loaded_for(thread, target, db)
        from dalsegno.cli import turn

        def start(runner: Runner) -> RunResult:
            if not as_json and not quiet:
                runner.listeners = (*runner.listeners, _tell_changes)
            return runner.resume(
                thread,
                answer,
                rename=names,
                accept_changes=accept_changes,
                context=given,
                budget=limits,
            )

        manner = turn.Manner(as_json=as_json, quiet=quiet, full_traceback=traceback, db_option=db, out=out)
        return turn.take(loaded, options.database(db), start, manner)


def _letter(thread: str, db: str | None) -> Letter | None:
    """How the thread's last run was handed to the engine; None where it was not."""
    from dalsegno.cli.handing import letter_of_thread

    ledger = options.existing_ledger(db)
    if ledger is None:
        return None
    try:
        return letter_of_thread(ledger, thread)
    finally:
        ledger.database.close()


def renames(given: list[str] | None) -> dict[str, str]:
    """`OLD=NEW` options as a mapping."""
    found = dict(options.pairs(given, "--rename", "OLD=NEW, the node's old name and its new one"))
    for old, new in found.items():
        if not new:
            raise UsageError(f"--rename {old}=: it is OLD=NEW, the node's old name and its new one.")
    return found


def _tell_changes(event: Event) -> None:
    changes = getattr(event, "changes", ())
    if changes:
        from dalsegno.cli.screen import Screen, one_line

        screen = Screen(sys.stderr)
        screen.line("the graph has changed since: " + "; ".join(one_line(change.words) for change in changes))


def loaded_for(thread: str, target: str | None, db: str | None) -> LoadedTarget:
    """The workflow of a thread: where the target says, else where its last run came from."""
    from dalsegno.cli.loading import load

    kept = _kept_target(thread, db)
    try:
        return load(target or _needed(kept, thread))
    except TargetNotLoaded as error:
        if target is None and error.reason in ("no file", "no module", "no such name"):
            error.add_note(
                f"The run was started from `{kept}`: if that moved, say where it is now with --target."
            )
        raise


def _kept_target(thread: str, db: str | None) -> str | None:
    """Where the thread's last run came from."""
    ledger = options.existing_ledger(db)
    if ledger is None:
        raise UnknownThread(options.nothing_here(), thread=thread)
    try:
        run = ledger.latest(thread, plain=True)
        if run is None:
            raise ledger.unknown(thread)
        return run.target
    finally:
        ledger.database.close()


def _needed(kept: str | None, thread: str) -> str:
    if kept is None:
        raise UsageError(
            f"The last run on thread `{thread}` was started from Python, so its database does not know its workflow. "
            "Name it with --target path/to/file.py:name."
        )
    return kept


def _answer(text: str | None, thread: str, db: str | None) -> Any:
    """What is answered. Null, which by itself means no answer, is given by the id of the one question that waits."""
    answer = None if text is None else options.json_or_text(text, "--value")
    if text is None or answer is not None:
        return answer
    ledger = options.existing_ledger(db)
    if ledger is None:
        return None
    try:
        run = ledger.latest(thread, plain=True)
    finally:
        ledger.database.close()
    waiting = run.interrupts if run is not None else ()
    return {waiting[0]["id"]: None} if len(waiting) == 1 else {}
