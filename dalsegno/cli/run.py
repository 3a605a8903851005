"""`dalsegno run`: walk the graph, every superstep committed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from dalsegno.cli import options
from dalsegno.cli.budgets import BudgetOption, budget
from dalsegno.cli.exits import reporting

if TYPE_CHECKING:
    from dalsegno.runtime import Runner, RunResult


@reporting
def command(
    target: options.Target,
    input: options.Input = "{}",
    thread: options.Thread = None,
    db: options.Db = None,
    context: options.Context = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="PROVIDER:NAME", help="Set DALSEGNO_MODEL for the code that builds the workflow."
        ),
    ] = None,
    budgeted: BudgetOption = None,
    abandon: options.Abandon = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    traceback: options.Traceback = False,
) -> int:
    """Run a workflow, and commit every superstep.

    The workflow is checked first. Ctrl-C gives up what is in flight; SIGTERM waits for the current superstep. Either
    way, `dalsegno resume THREAD` continues the run.

    Exit: 0 completed, 1 failed or invalid, 2 wrong usage or could not load, 3 waits for a human, 4 another process
    holds the thread, 130 and 143 stopped by a signal and resumable.
    """
    from dalsegno.cli.screen import stdout_kept_for_json

    value = options.json_value(input, "--input")
    given = options.json_value(context, "--context") if context is not None else None
    limits = budget(budgeted)
    if model is not None:
        os.environ["DALSEGNO_MODEL"] = model
    with stdout_kept_for_json(as_json) as out:
        from dalsegno.cli.loading import load

        loaded = load(target)
        from dalsegno.cli import turn
        from dalsegno.errors import ThreadUnfinished

        def start(runner: Runner) -> RunResult:
            try:
                return runner.run(value, thread, context=given, budget=limits, abandon=abandon)
            except ThreadUnfinished as error:
                error.add_note("Here that is `--abandon`.")
                raise

        manner = turn.Manner(
            as_json=as_json,
            quiet=quiet,
            full_traceback=traceback,
            db_option=db,
            out=out,
            given=value if isinstance(value, dict) else None,
        )
        return turn.take(
            loaded,
            options.database(db),
            start,
            manner,
        )
