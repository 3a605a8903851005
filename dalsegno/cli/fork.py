"""`dalsegno fork`: time travel into a new thread."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from dalsegno.cli import options
from dalsegno.cli.exits import COMPLETED, reporting


@reporting
def command(
    thread: Annotated[str, typer.Argument(metavar="THREAD", help="The thread's name.")],
    at: Annotated[
        str,
        typer.Option(
            "--at",
            metavar="CHECKPOINT",
            help="The checkpoint to go back to: its id, or the beginning of it. `dalsegno history` lists them.",
        ),
    ],
    into: Annotated[
        str | None, typer.Option("--as", metavar="T2", help="The new thread's name. Default: a new one.")
    ] = None,
    values: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change a state key: JSON, or else plain text. Repeatable."
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="TARGET", help="The workflow, if it has moved or the run was started from Python."
        ),
    ] = None,
    db: options.Db = None,
    as_json: options.Json = False,
    traceback: options.Traceback = False,
) -> int:
    """Go back to a checkpoint, in a new thread.

    The new thread has the history up to the checkpoint, and a new run that continues from it. The old thread stays
    as it is. The new run does again what comes after the checkpoint, with idempotency keys of
    its own. `dalsegno resume` starts it.
    """
    from dalsegno.cli.screen import Copied, Screen, print_json, stdout_kept_for_json

    changes = _values(values)
    with stdout_kept_for_json(as_json) as out:
        from dalsegno.cli.outcomes import again
        from dalsegno.cli.resume import loaded_for

        loaded = loaded_for(thread, target, db)
        from dalsegno.runtime import Runner

        with Runner(loaded.graph, db=options.database(db), target=loaded.target) as runner:
            forked = runner.fork(thread, at, into=into, values=changes)
        if as_json:
            print_json(forked.to_dict(), out)
        else:
            screen = Screen(sys.stdout)
            screen.line(f"{screen.paint('✓', 'bold green')} thread {thread} forked at {forked.resumed_from}")
            way = (
                again(forked.thread, db)
                if forked.status == "stopped"
                else "nothing pending: give it new input"
            )
            screen.facts([("thread", Copied(forked.thread)), ("run", forked.run_id), ("go on", Copied(way))])
    return COMPLETED


def _values(given: list[str] | None) -> dict[str, Any]:
    written = options.pairs(given, "--set", "KEY=VALUE, a state key and what it holds then")
    return {key: options.json_or_text(text, f"--set {key}") for key, text in written}
