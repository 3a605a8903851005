"""`dalsegno cancel`: end a run that another process may be running."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from dalsegno.cli import options
from dalsegno.cli.exits import COMPLETED, reporting
from dalsegno.errors import UnknownThread


@reporting
def command(
    thread: Annotated[str, typer.Argument(metavar="THREAD", help="The thread's name.")],
    db: options.Db = None,
    as_json: options.Json = False,
    traceback: options.Traceback = False,
) -> int:
    """Cancel the last run of a thread, so that it cannot be resumed.

    A process that runs it is asked to stop: it does so after its current superstep and exits 5. What was committed
    stays. If the run was submitted, the engine is told too.

    Exit: 0 cancelled or asked, 2 if there is nothing to cancel.
    """
    from dalsegno.checkpoints.interventions import cancel
    from dalsegno.checkpoints.lease import this_process
    from dalsegno.cli import handing
    from dalsegno.cli.screen import Screen, one_line, print_json

    ledger = options.existing_ledger(db)
    if ledger is None:
        raise UnknownThread(options.nothing_here(), thread=thread)
    try:
        letter = handing.letter_of_thread(ledger, thread)
        if letter is not None:
            done = handing.cancelled(ledger, thread, letter)
        else:
            me = this_process()
            done = cancel(ledger, thread, by=f"process {me.pid} on {me.host}")
        holder = ledger.holder(thread)
        run = ledger.latest(thread, plain=True)
    finally:
        ledger.database.close()
    if as_json:
        print_json({"thread": thread, "run_id": run.run_id if run else None, "status": done})
        return COMPLETED
    if done == "asked":
        who = f"process {holder.pid} on {holder.host}" if holder else "its process"
        Screen(sys.stdout).line(
            f"{who} was asked to stop thread {one_line(thread)}; it does after its superstep"
        )
    else:
        Screen(sys.stdout).line(f"the run of thread {one_line(thread)} is cancelled")
    return COMPLETED
