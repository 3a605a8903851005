"""`dalsegno draw`: the graph, a run laid over it, what differs from another, and a run that goes on."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dalsegno.cli import options
from dalsegno.cli.exits import COMPLETED, UsageError, reporting
from dalsegno.errors import UnknownRun, UnknownThread, did_you_mean

if TYPE_CHECKING:
    from dalsegno.checkpoints import Ledger, RunRecord
    from dalsegno.graphs.model import WorkflowSpec
    from dalsegno.runtime.seeing import Seeing


@reporting
def command(
    target: options.Target,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="The picture: .svg .png .pdf .html .dot .mmd .txt. Default: print it on the terminal.",
        ),
    ] = None,
    run: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Lay this run over the graph: its id, or the beginning of it."),
    ] = None,
    thread: Annotated[
        str | None, typer.Option(metavar="T", help="Lay the last run on this thread over the graph.")
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="OTHER",
            help="Draw the difference to another TARGET or, with a run, to another run: its id or thread.",
        ),
    ] = None,
    fold: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH", help="Draw this subworkflow as one box: its path, `all` or `none`. Repeatable."
        ),
    ] = None,
    watch: Annotated[
        bool,
        typer.Option("--watch", "-w", help="Draw again while the run goes on. A .html page follows the run."),
    ] = False,
    db: options.Db = None,
    as_json: options.Json = False,
    traceback: options.Traceback = False,
) -> int:
    """Draw the graph, or a run laid over it.

    --run and --thread lay a run over the graph and show what it used beside what was proved. A .html page replays
    the run, superstep by superstep, with its state. Without -o the graph is drawn in characters.
    """
    from dalsegno.cli.screen import stdout_kept_for_json

    _check(output, run, thread, against, watch, fold or [])
    with stdout_kept_for_json(as_json) as out:
        from dalsegno.cli.loading import load

        graph = load(target).graph
        if run is None and thread is None:
            return _graph(graph, output, against, _folding(fold), as_json, out)
        if watch:
            from dalsegno.cli.watching import watch as follow

            path = _database(db, run, thread)
            watched = follow(graph, path, output, lambda ledger: _record(ledger, run, thread), _folding(fold))
            if as_json:
                _print_drawn(output, watched.workflow, watched.run_id, out)
            return COMPLETED
        return _run(graph, output, run, thread, against, _folding(fold), db, as_json, out)


def _check(
    output: Path | None,
    run: str | None,
    thread: str | None,
    against: str | None,
    watch: bool,
    fold: list[str],
) -> None:
    from dalsegno import viz

    if output is not None and output.suffix.lower() not in viz.SUFFIXES:
        hint = did_you_mean(output.suffix.lower(), viz.SUFFIXES)
        raise UsageError(
            f"-o {output}: the suffix chooses the format, and is one of {' '.join(viz.SUFFIXES)}{hint or '.'}"
        )
    if run is not None and thread is not None:
        raise UsageError("--run and --thread both name a run: give one of them.")
    if watch and run is None and thread is None:
        raise UsageError("--watch follows a run: name it with --run or --thread.")
    if watch and against is not None:
        raise UsageError("--watch follows one run: leave --against away.")
    if len(set(fold)) > 1 and ("all" in fold or "none" in fold):
        raise UsageError("--fold all and --fold none apply to every subworkflow. Give one of them, or paths.")


def _folding(fold: list[str] | None) -> Any:
    if not fold:
        return None
    return True if "all" in fold else False if "none" in fold else fold


def _graph(graph: Any, output: Path | None, against: str | None, fold: Any, as_json: bool, out: Any) -> int:
    """The graph without a run, or what differs from another one."""
    from dalsegno.cli.loading import load
    from dalsegno.cli.screen import one_line
    from dalsegno.graphs.checking import spec_of
    from dalsegno.graphs.validation import check

    spec = spec_of(graph)
    other = spec_of(load(against).graph) if against is not None else None
    over = f", compared with {one_line(other.name)}" if other is not None else ""
    _draw(spec, output, {"report": check(spec), "against": other, "fold": fold}, over, None, as_json, out)
    return COMPLETED


def _run(
    graph: Any,
    output: Path | None,
    run: str | None,
    thread: str | None,
    against: str | None,
    fold: Any,
    db: str | None,
    as_json: bool,
    out: Any,
) -> int:
    """A run over the graph, or what differs between it and another one."""
    from dalsegno.graphs.validation import check
    from dalsegno.runtime.seeing import Seeing

    with Seeing(graph, _database(db, run, thread)) as seeing:
        record = _record(seeing.ledger, run, thread)
        _same_workflow(record, seeing)
        spec = seeing.graph_of(record)
        page = output is not None and output.suffix.lower() == ".html"
        view = seeing.view(record, states=page and against is None)
        over = f", run {view.run_id[:8]} laid over it"
        other = None
        if against is not None:
            from dalsegno.cli.show import find

            before = find(seeing.ledger, against)
            _same_workflow(before, seeing)
            other = seeing.view(before)
            if before.fingerprint != record.fingerprint:
                note = (
                    f"Run {before.run_id[:8]} was executed in another graph (version {before.version}): "
                    "what is only in that one is not drawn."
                )
                other = replace(other, note=note)
            over = f", run {before.run_id[:8]} compared with {view.run_id[:8]}"
        options_ = {"run": view, "report": check(spec), "against": other, "fold": fold}
        _draw(spec, output, options_, over, view.run_id, as_json, out)
    return COMPLETED


def _draw(
    spec: WorkflowSpec,
    output: Path | None,
    given: dict[str, Any],
    over: str,
    run_id: str | None,
    as_json: bool,
    out: Any,
) -> None:
    from dalsegno import viz
    from dalsegno.cli.screen import Screen, one_line

    if output is not None:
        drawn = viz.draw(spec, output, **given)
    if as_json:
        _print_drawn(output, spec.name, run_id, out)
    elif output is not None:
        Screen(sys.stdout).line(f"{drawn}: {one_line(spec.name)}{over}")
    else:
        from dalsegno.cli.drawing import print_drawing

        print_drawing(Screen(sys.stdout), viz.picture(spec, **given))


def _print_drawn(output: Path | None, workflow: str, run_id: str | None, out: Any) -> None:
    from dalsegno.cli.screen import print_json

    print_json({"file": str(output) if output else None, "workflow": workflow, "run_id": run_id}, out)


def _same_workflow(record: RunRecord, seeing: Seeing) -> None:
    if record.workflow != seeing.spec.name:
        raise UsageError(
            f"Run {record.run_id[:8]} is a run of `{record.workflow}`, but the target is `{seeing.spec.name}`."
        )


def _database(db: str | None, run: str | None, thread: str | None) -> str:
    """The database, which has to be there."""
    ledger = options.existing_ledger(db)
    if ledger is None:
        missing = options.nothing_here()
        raise UnknownThread(missing, thread=thread) if thread else UnknownRun(missing, run_id=run)
    ledger.database.close()
    return ledger.database.url


def _record(ledger: Ledger, run: str | None, thread: str | None) -> RunRecord:
    """The run that is meant."""
    return ledger.get(run, plain=True) if run is not None else ledger.last(thread or "", plain=True)
