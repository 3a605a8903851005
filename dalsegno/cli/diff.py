"""`dalsegno diff`: the graph that a thread was checkpointed in, against today's."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from dalsegno.cli import options
from dalsegno.cli.exits import COMPLETED, FAILED, reporting

_SIGNS = {"compatible": "✓", "needs mapping": "✗", "unsafe": "✗"}


@reporting
def command(
    target: options.Target,
    thread: Annotated[str, typer.Argument(metavar="THREAD", help="The thread's name.")],
    rename: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OLD=NEW", help="Compare as if this node had been renamed; see `dalsegno resume`."
        ),
    ] = None,
    db: options.Db = None,
    as_json: options.Json = False,
    traceback: options.Traceback = False,
) -> int:
    """Compare the graph with the one that a thread was run with.

    Shows what changed since the last checkpoint, and whether the thread's run can go on.

    Exit: 0 the same or compatible, 1 a node needs --rename or the change is unsafe.
    """
    from dalsegno.cli.resume import renames
    from dalsegno.cli.screen import print_json, stdout_kept_for_json

    names = renames(rename)
    with stdout_kept_for_json(as_json) as out:
        from dalsegno.cli.loading import load
        from dalsegno.runtime import Runner

        _known(thread, db)
        with Runner(load(target).graph, db=options.database(db)) as runner:
            difference = runner.difference(thread, rename=names)
            run = runner.ledger.latest(thread, plain=True)
        assert run is not None
        refused = difference.refused()
        if as_json:
            document: dict[str, Any] = {"thread": thread, "run_id": run.run_id, "workflow": run.workflow}
            print_json({**document, **difference.to_dict(), "options": difference.options}, out)
        else:
            _print(thread, run, difference, db, target)
    return FAILED if refused else COMPLETED


def _known(thread: str, db: str | None) -> None:
    from dalsegno.errors import UnknownThread

    ledger = options.existing_ledger(db)
    if ledger is None:
        raise UnknownThread(options.nothing_here(), thread=thread)
    ledger.database.close()


def _print(thread: str, run: Any, difference: Any, db: str | None, target: str) -> None:
    from dalsegno.cli.outcomes import again, target_option
    from dalsegno.cli.screen import Screen, one_line, readable

    screen = Screen(sys.stdout)
    words = {
        "same": "nothing changed that the run can notice",
        "compatible": "compatible: the run can go on",
        "needs mapping": "a node needs mapping before the run can go on",
        "unsafe": "unsafe: the run would notice",
    }
    screen.line(
        f"{one_line(run.workflow)} on thread {one_line(thread)}, run {run.run_id[:8]}: {words[difference.verdict]}"
    )
    for change in difference.changes:
        screen.block(
            readable(change.words), first=f"{screen.paint(_SIGNS[change.verdict], 'bold')} ", indent="  "
        )
    if run.status in ("completed", "cancelled"):
        screen.line(f"The run is {run.status}: there is nothing to go on with.")
    elif difference.options:
        options = f"{target_option(run.target, target)} {difference.options}"
        screen.line(f"go on with: {again(thread, db, options)}")
