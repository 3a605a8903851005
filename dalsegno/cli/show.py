"""`dalsegno show`: everything the ledger knows about one run."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dalsegno.cli import options
from dalsegno.cli.exits import COMPLETED, reporting, wants_traceback
from dalsegno.errors import UnknownRun, did_you_mean
from dalsegno.nodes.paths import shown
from dalsegno.nodes.secrets import input_shown

if TYPE_CHECKING:
    from dalsegno.checkpoints import Ledger, RunRecord
    from dalsegno.cli.screen import Screen
    from dalsegno.graphs.model import WorkflowSpec
    from dalsegno.runtime.view import History
    from dalsegno.viz.overlay import RunView


@reporting
def command(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A run's id, the beginning of it, or a thread's name.")
    ],
    db: options.Db = None,
    as_json: options.Json = False,
    traceback: options.Traceback = False,
) -> int:
    """Show one run: its status, its steps, and how to go on with it.

    The run is drawn over its graph. A thread's name means the last run on it.
    """
    from dalsegno.cli.screen import Screen, print_json
    from dalsegno.distributed.orders import letter_of
    from dalsegno.graphs import model
    from dalsegno.runtime.view import as_journalled, history_of, in_todays_names, run_view, shape_today
    from dalsegno.viz.remembered import spec_of_shape

    ledger = options.existing_ledger(db)
    if ledger is None:
        raise UnknownRun(options.nothing_here(), run_id=run)
    try:
        record = find(ledger, run)
        history = history_of(
            in_todays_names(ledger.executions(record.run_id), record), model.WorkflowSpec(record.workflow)
        )
        record = as_journalled(record, history)
        latest = ledger.latest(record.thread, plain=True)
        holder = ledger.holder(record.thread) if record.status == "running" else None
        spec = spec_of_shape(shape_today(record)) if record.shape else None
        view = run_view(ledger, spec, record) if spec is not None and not as_json else None
        letter = letter_of(ledger, record.run_id) if record.status in ("queued", "stopped") else None
    finally:
        ledger.database.close()
    superseded = latest.run_id if latest is not None and latest.run_id != record.run_id else None
    if as_json:
        print_json(_document(record, history, superseded))
        return COMPLETED
    screen = Screen(sys.stdout)
    drawn = (spec, view) if spec is not None and view is not None and view.executions else None
    queue = letter.place.queue if letter is not None else None
    _print(screen, record, history, superseded, holder, queue, db, traceback or wants_traceback(), drawn)
    return COMPLETED


def _draw(screen: Screen, spec: WorkflowSpec, view: RunView) -> None:
    """The run over its graph as it was then, and its timeline."""
    from dalsegno import viz
    from dalsegno.cli.drawing import print_drawing, print_timeline

    screen.line()
    print_drawing(screen, viz.picture(spec, run=view), head=False)
    screen.line()
    print_timeline(screen, view)


def find(ledger: Ledger, name: str) -> RunRecord:
    """The run that is meant: the last one on a thread of that name, else the one with that id.

    Raises
    ------
    UnknownRun
        There is none, or several ids begin so.
    """
    on_thread = ledger.latest(name, plain=True) if name else None
    if on_thread is not None:
        return on_thread
    try:
        return ledger.get(name, plain=True)
    except UnknownRun as error:
        near = did_you_mean(name, dict.fromkeys(run.thread for run in ledger.runs(limit=1000)))
        if near:
            error.add_note(f"A thread's name will do too{near}")
        raise


def _print(
    screen: Screen,
    run: RunRecord,
    history: History,
    superseded: str | None,
    holder: Any,
    queue: str | None,
    db: str | None,
    full: bool,
    drawn: tuple[WorkflowSpec, RunView] | None,
) -> None:
    from dalsegno.cli.budgets import spent_in_words, spent_out
    from dalsegno.cli.outcomes import questions, target_option, value_in_words, way_on
    from dalsegno.cli.runs import seconds_of
    from dalsegno.cli.screen import SIGN_STYLES, Copied, ago, clock, duration, one_line, readable, sign
    from dalsegno.runtime.view import resumed_of
    from dalsegno.viz.captions import in_supersteps
    from dalsegno.viz.palette import WORDS

    mark = sign(run.status)
    screen.line(
        f"{screen.paint(mark, 'bold ' + SIGN_STYLES.get(mark, 'dim'))} "
        f"{screen.paint(one_line(run.workflow), 'bold')} {run.status}"
    )
    proved = (run.certificate or {}).get("supersteps")
    used = run.supersteps
    facts = [
        ("run", run.run_id),
        ("thread", run.thread + (f"  (run {superseded[:8]} came after this one)" if superseded else "")),
        ("target", Copied(run.target or "none: started from Python")),
        ("version", f"{run.version}  (fingerprint {run.fingerprint})"),
        ("started", f"{clock(run.created_at)}  ({ago(run.created_at)})"),
    ]
    if run.resumes:
        many = f", {run.resumes} times in all" if run.resumes > 1 else ""
        facts.append(
            (
                "resumed",
                f"{clock(run.started_at)}{many}, after {in_supersteps(history.marks(resumed_of(run)))}",
            )
        )
    if run.finished_at is not None:
        word = "ended" if run.status in ("completed", "failed", "cancelled") else "paused"
        since = " since it was resumed" if run.resumes else ""
        facts.append((word, f"{clock(run.finished_at)}  (after {duration(seconds_of(run))}{since})"))
    if holder is not None:
        facts.append(("held by", str(holder)))
    facts.append(
        (
            "supersteps",
            f"{used}; no bound was proved"
            if proved is None
            else f"proved {proved} · used {used}"
            if used <= proved
            else f"used {used} · proved {proved} for the graph it began in",
        )
    )
    spent = spent_in_words(run.usage)
    facts += [("spent", spent)] if spent else []
    facts.append(("input", value_in_words(input_shown(run.input, run.shape))))
    facts += questions(() if superseded else run.interrupts)
    short = spent_out(run.error, run.usage, used)
    target = target_option(run.target)
    way = None if superseded else way_on(run.status, run.thread, run.interrupts, db, short, target)
    if way and queue is not None:  # the engine has it, and while it does `resume` is refused
        facts.append(("goes on", f"by itself, when a worker takes it from queue {one_line(queue)}"))
        way += "  # if the engine has lost it"
    if way:
        facts.append(("go on", Copied(way)))
    screen.facts(facts)
    if run.error:
        from dalsegno.cli.outcomes import failure
        from dalsegno.cli.tracebacks import users_part

        screen.line()
        screen.line(f"{screen.paint('✗', 'bold red')} {failure(run.error)}")
        for line in users_part(str(run.error.get("traceback") or ""), full=full).splitlines():
            screen.line(f"  {readable(line)}")
    if drawn is not None:
        _draw(screen, *drawn)
    if history.nodes:
        screen.line()
        screen.table(
            ("node", "times", "took", "attempts", "status"),
            [
                (
                    one_line(shown(place)),
                    str(node.count),
                    duration(node.seconds),
                    str(node.attempts),
                    f"{sign(node.status)} {WORDS[node.status]}",
                )
                for place, node in history.nodes.items()
            ],
            right=(1, 2, 3),
        )
    _print_usage(screen, run)


def _print_usage(screen: Screen, run: RunRecord) -> None:
    """What each node spent, and how often its policies did something."""
    from dalsegno.cli.screen import one_line
    from dalsegno.runtime.view import spent_by_node

    rows = [
        (
            one_line(node),
            f"{int(spent.get('model_calls', 0)):,}",
            f"{int(spent.get('tokens', 0)):,}",
            f"{spent['cost']:.6g}" if spent.get("cost") else "—",
        )
        for node, spent in spent_by_node(run).items()
        if spent.get("model_calls") or spent.get("tokens") or spent.get("cost")
    ]
    if rows:
        screen.line()
        screen.table(("node", "model calls", "tokens", "cost"), rows, right=(1, 2, 3))
    told = [
        (one_line(node), one_line(what), str(times))
        for node, acted in spent_by_node(run, "policies").items()
        for what, times in acted.items()
    ]
    if told:
        screen.line()
        screen.table(("node", "policy", "times"), told, right=(2,))


def _document(run: RunRecord, history: History, superseded: str | None) -> dict[str, Any]:
    from dalsegno.cli.runs import summary

    return {
        **summary(run),
        "fingerprint": run.fingerprint,
        "input": input_shown(run.input, run.shape),
        "error": dict(run.error) if run.error else None,
        "interrupts": list(run.interrupts),
        "usage": dict(run.usage),
        "certificate": run.certificate,
        "process": run.process,
        "superseded_by": superseded,
        "nodes": [
            {
                "node": shown(place),
                "times": node.count,
                "seconds": node.seconds,
                "attempts": node.attempts,
                "status": node.status,
                "error": node.error,
            }
            for place, node in history.nodes.items()
        ],
    }
