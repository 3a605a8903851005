"""`dalsegno submit`: hand a run to the workers."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from dalsegno.cli import options
from dalsegno.cli.budgets import BudgetOption, budget
from dalsegno.cli.exits import COMPLETED, reporting
from dalsegno.cli.worker import Engine, Queue, SharedDb, shared_database


@reporting
def command(
    target: options.Target,
    input: options.Input = "{}",
    thread: options.Thread = None,
    db: SharedDb = None,
    engine: Engine = None,
    queue: Queue = "default",
    priority: Annotated[
        int | None, typer.Option(min=1, max=5, help="1 comes first, 5 last. Default: 3.")
    ] = None,
    heartbeat: Annotated[
        float,
        typer.Option(
            min=0.5,
            max=86_400,
            metavar="SECONDS",
            help="How long a worker may show no sign of life before it counts as dead.",
        ),
    ] = 10.0,
    context: Annotated[
        str | None,
        typer.Option(
            metavar="JSON", help="The runtime context of the nodes. It is stored for all turns of the run."
        ),
    ] = None,
    budgeted: BudgetOption = None,
    abandon: options.Abandon = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until the run has ended, or waits for a human.")
    ] = False,
    as_json: options.Json = False,
    traceback: options.Traceback = False,
) -> int:
    """Put a run into the queue; a worker takes it.

    Workflow and input are checked first. The run is recorded as queued and handed to the engine. With --wait the
    command prints the outcome as `dalsegno run` does, and its exit code is that of the run.

    Exit: 0 handed over (with --wait: completed), 1 failed or invalid, 2 wrong usage, or the engine cannot be reached,
    3 waits for a human, 4 the thread has a run that goes on, 5 cancelled.
    """
    from dalsegno.cli.screen import Screen, one_line, print_json, stdout_kept_for_json

    value = options.json_value(input, "--input")
    given = options.json_value(context, "--context") if context is not None else None
    limits = budget(budgeted)
    url = shared_database(db)
    from dalsegno.distributed.sharing import refuse_a_file

    refuse_a_file(url)
    with stdout_kept_for_json(as_json) as out:
        from dalsegno.cli.loading import load

        loaded = load(target)
        from dalsegno.distributed import Client

        with Client(engine, db=url, heartbeat=heartbeat) as client:
            handle = client.submit(
                loaded.graph,
                value,
                thread=thread,
                queue=queue,
                priority=priority,
                context=given,
                budget=limits,
                abandon=abandon,
                target=loaded.target,
            )
            if wait:
                from dalsegno.cli.handing import Manner, printed

                return printed(
                    handle,
                    Manner(db_option=db, as_json=as_json, quiet=False, full_traceback=traceback, out=out),
                )
        if as_json:
            document = {
                "run_id": handle.run_id,
                "thread": handle.thread,
                "workflow": handle.workflow,
                "queue": queue,
            }
            print_json({**document, "status": "queued"}, out)
        else:
            Screen(sys.stdout).line(
                f"run {handle.run_id[:8]} of {one_line(handle.workflow)} on thread {one_line(handle.thread)} is in "
                f"queue {one_line(queue)}"
            )
        return COMPLETED
