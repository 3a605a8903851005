"""`dalsegno runs`: the ledger, newest first."""

from __future__ import annotations

import sys
import time
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dalsegno.cli import options
from dalsegno.cli.exits import COMPLETED, UsageError, reporting

if TYPE_CHECKING:
    from dalsegno.checkpoints import Ledger, RunRecord
    from dalsegno.checkpoints.records import RunOutcome


class Status(StrEnum):
    """The statuses of a run."""

    running = "running"
    completed = "completed"
    failed = "failed"
    interrupted = "interrupted"
    stopped = "stopped"
    queued = "queued"
    cancelled = "cancelled"


@reporting
def command(
    status: Annotated[Status | None, typer.Option(help="Show only runs of this status.")] = None,
    workflow: Annotated[
        str | None, typer.Option(metavar="W", help="Show only runs of this workflow, by its name.")
    ] = None,
    thread: Annotated[str | None, typer.Option(metavar="T", help="Show only runs on this thread.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Show at most this many.")] = 20,
    metrics: Annotated[
        bool, typer.Option("--metrics", help="Print the metrics of all runs, in Prometheus's text format.")
    ] = False,
    db: options.Db = None,
    as_json: options.Json = False,
) -> int:
    """List runs, newest first."""
    from dalsegno.cli.screen import Screen, print_json

    if metrics and as_json:
        raise UsageError("--metrics is a format of its own: leave out --json.")
    ledger = options.existing_ledger(db)
    if metrics:
        return _print_metrics(ledger, status, workflow, thread)
    found: list[RunRecord] = []
    given_up: dict[str, str] = {}
    if ledger is not None:
        try:
            found = ledger.runs(
                status=status.value if status else None,
                workflow=workflow,
                thread=thread,
                limit=min(limit + 1, sys.maxsize),
            )
            if any(run.is_untold for run in found):
                from dalsegno.runtime.view import as_it_stands

                found = [as_it_stands(ledger, run) for run in found]
            if not as_json:
                given_up = {run.run_id: later for run in found if (later := ledger.given_up_for(run))}
        finally:
            ledger.database.close()
    if as_json:
        print_json([summary(run) for run in found[:limit]])
        return COMPLETED
    screen = Screen(sys.stdout)
    if not found:
        narrowed = any(given is not None for given in (status, workflow, thread))
        screen.line("No such runs." if narrowed else "No runs yet. `dalsegno run TARGET` makes one.")
        return COMPLETED
    now = time.time()
    screen.table(
        ("run", "workflow", "thread", "status", "started", "took", "supersteps", ""),
        [_row(run, now, given_up.get(run.run_id)) for run in found[:limit]],
        right=(5, 6),
    )
    if len(found) > limit:
        screen.line(screen.paint(f"The newest {limit}; --limit shows more.", "dim"))
    return COMPLETED


def _print_metrics(
    ledger: Ledger | None, status: Status | None, workflow: str | None, thread: str | None
) -> int:
    from dalsegno.cli.screen import Screen
    from dalsegno.observe.ledger import metrics_of

    found: list[RunOutcome] = []
    if ledger is not None:
        try:
            found = ledger.outcomes(status=status.value if status else None, workflow=workflow, thread=thread)
        finally:
            ledger.database.close()
    Screen(sys.stdout).line(metrics_of(found).removesuffix("\n"))
    return COMPLETED


def _row(run: RunRecord, now: float, given_up_for: str | None) -> tuple[str, ...]:
    from dalsegno.cli.screen import ago, duration, one_line, shortened, sign

    proved = (run.certificate or {}).get("supersteps")
    return (
        run.run_id[:8],
        shortened(one_line(run.workflow), 24),
        shortened(one_line(run.thread), 28),
        f"{sign(run.status)} {run.status}",
        ago(run.created_at, now),
        duration(None if run.finished_at is None else run.usage.get("seconds", seconds_of(run))),
        f"{run.supersteps}/{proved}" if proved is not None else str(run.supersteps),
        f"given up for {given_up_for[:8]}" if given_up_for else _remark(run),
    )


def _remark(run: RunRecord) -> str:
    from dalsegno.cli.outcomes import asked_in_words
    from dalsegno.cli.screen import one_line

    if run.error:
        node = f"{run.error['node']}: " if run.error.get("node") else ""
        return one_line(f"{node}{run.error['type']}: {run.error['message']}")
    asked = [i for i in run.interrupts if isinstance(i, dict)]
    return one_line(f"{asked[0].get('node')} asks {asked_in_words(asked[0].get('value'))}") if asked else ""


def seconds_of(run: RunRecord) -> float | None:
    """Seconds of the last start or resume; None while it is running, or where its process died."""
    return None if run.finished_at is None else max(run.finished_at - run.started_at, 0.0)


def summary(run: RunRecord) -> dict[str, Any]:
    """A run as the JSON of `runs`; `seconds` are those of the last start or resume."""
    from dalsegno.cli.screen import instant

    error = run.error
    return {
        "run_id": run.run_id,
        "thread": run.thread,
        "workflow": run.workflow,
        "version": run.version,
        "status": run.status,
        "target": run.target,
        "created_at": instant(run.created_at),
        "started_at": instant(run.started_at),
        "finished_at": instant(run.finished_at),
        "seconds": seconds_of(run),
        "supersteps": run.supersteps,
        "proved": (run.certificate or {}).get("supersteps"),
        "resumes": run.resumes,
        "error": {k: error.get(k) for k in ("type", "message", "node", "attempt")} if error else None,
    }
