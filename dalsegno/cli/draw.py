"""`dalsegno draw`: the graph, and a run laid over it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dalsegno.cli import options
from dalsegno.cli.exits import COMPLETED, UsageError, reporting
from dalsegno.errors import DalsegnoError, UnknownRun, UnknownThread, did_you_mean

if TYPE_CHECKING:
    from dalsegno.checkpoints import RunRecord
    from dalsegno.graphs.model import WorkflowSpec
    from dalsegno.viz.overlay import RunView


@reporting
def command(
    target: options.Target,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FILE", help="The picture: .svg .png .pdf .dot .mmd"),
    ],
    run: Annotated[
        str | None, typer.Option(metavar="ID", help="Lay this run over it: an id, or its beginning.")
    ] = None,
    thread: Annotated[
        str | None, typer.Option(metavar="T", help="Lay the last run on this thread over it.")
    ] = None,
    db: options.Db = None,
    as_json: options.Json = False,
    traceback: options.Traceback = False,
) -> int:
    """Draw the graph; with --run or --thread, the run laid over it: proved against used."""
    from dalsegno import viz
    from dalsegno.cli.screen import Screen, print_json, stdout_kept_for_json

    if output.suffix.lower() not in viz.SUFFIXES:
        hint = did_you_mean(output.suffix.lower(), viz.SUFFIXES)
        raise UsageError(
            f"-o {output}: the suffix chooses the format, and is one of {' '.join(viz.SUFFIXES)}{hint or '.'}"
        )
    if run is not None and thread is not None:
        raise UsageError("--run and --thread both name a run: give one of them.")
    with stdout_kept_for_json(as_json) as out:
        from dalsegno.graphs.loading import load_target

        graph = load_target(target).graph
        from dalsegno.graphs.checking import spec_of
        from dalsegno.graphs.validation import check

        spec = spec_of(graph)
        view = _view(graph, spec, run, thread, db) if run is not None or thread is not None else None
        drawn = viz.draw(spec, output, run=view, report=check(spec))
        if as_json:
            run_id = view.run_id if view else None
            print_json({"file": str(drawn), "workflow": spec.name, "run_id": run_id}, out)
        else:
            over = f", run {view.run_id[:8]} laid over it" if view else ""
            Screen(sys.stdout).line(f"{drawn}: {spec.name}{over}")
    return COMPLETED


def _view(graph: Any, spec: WorkflowSpec, run: str | None, thread: str | None, db: str | None) -> RunView:
    from dalsegno.runtime.view import run_view

    ledger = options.existing_ledger(db)
    if ledger is None:
        missing = "Nothing was run here yet: there is no `.dalsegno/runs.db`. Name the database with --db."
        raise UnknownThread(missing, thread=thread) if thread else UnknownRun(missing, run_id=run)
    try:
        record = ledger.get(run, plain=True) if run is not None else ledger.latest(thread or "", plain=True)
        if record is None:
            known = dict.fromkeys(r.thread for r in ledger.runs(limit=1000))
            raise UnknownThread(
                f"Nothing was run on thread `{thread}` in `{ledger.database.path}`"
                f"{did_you_mean(thread or '', known) or '.'}",
                thread=thread,
            )
        if record.workflow != spec.name:
            raise UsageError(
                f"Run {record.run_id[:8]} is one of workflow `{record.workflow}`, and the target is `{spec.name}`."
            )
        path = ledger.database.path
        view = run_view(ledger, spec, record)
    finally:
        ledger.database.close()
    return view if record.status == "completed" else _with_pending(view, graph, spec, record, path)


def _with_pending(view: RunView, graph: Any, spec: WorkflowSpec, record: RunRecord, path: str) -> RunView:
    """The view with the nodes that are pending, where the graph still fits its checkpoint."""
    from dalsegno.runtime import Runner
    from dalsegno.runtime.view import run_view

    try:
        with Runner(graph, db=path) as runner:
            return run_view(runner.ledger, spec, record, runner.pending(record.thread))
    except DalsegnoError:
        return view
