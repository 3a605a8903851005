"""`dalsegno show`: everything the ledger knows about one run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
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

    Fact = tuple[str, str]


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

    ledger = options.existing_ledger(db)
    if ledger is None:
        raise UnknownRun(options.nothing_here(), run_id=run)
    try:
        page = _page(ledger, run, picture=not as_json)
    finally:
        ledger.database.close()
    if as_json:
        print_json(_document(page))
    else:
        _print(Screen(sys.stdout), page, db, full=traceback or wants_traceback())
    return COMPLETED


@dataclass(frozen=True)
class _Page:
    """What is known of a run.

    `superseded` is the run that came after it on its thread, `holder` the process that is at it, `queue` the one that
    an engine has it in. `drawn` is its graph as it was then and the run over it, if there is anything to draw.
    """

    run: RunRecord
    history: History
    superseded: str | None
    holder: Any
    queue: str | None
    drawn: tuple[WorkflowSpec, RunView] | None


def _page(ledger: Ledger, name: str, *, picture: bool) -> _Page:
    from dalsegno.distributed.orders import letter_of
    from dalsegno.graphs import model
    from dalsegno.runtime.view import as_journalled, history_of, in_todays_names, run_view, shape_today
    from dalsegno.viz.remembered import spec_of_shape

    run = find(ledger, name)
    history = history_of(
        in_todays_names(ledger.executions(run.run_id), run), model.WorkflowSpec(run.workflow)
    )
    run = as_journalled(run, history)
    latest = ledger.latest(run.thread, plain=True)
    letter = letter_of(ledger, run.run_id) if run.status in ("queued", "stopped") else None
    drawn = None
    if picture and run.shape:
        spec = spec_of_shape(shape_today(run))
        view = run_view(ledger, spec, run)
        drawn = (spec, view) if view.executions else None
    return _Page(
        run=run,
        history=history,
        superseded=latest.run_id if latest is not None and latest.run_id != run.run_id else None,
        holder=ledger.holder(run.thread) if run.status == "running" else None,
        queue=letter.place.queue if letter is not None else None,
        drawn=drawn,
    )


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


def _print(screen: Screen, page: _Page, db: str | None, *, full: bool) -> None:
    """All of it for a reader; `full` with the whole traceback of a failure."""
    from dalsegno.cli.outcomes import failure
    from dalsegno.cli.screen import SIGN_STYLES, one_line, readable, sign
    from dalsegno.cli.tracebacks import users_part

    run = page.run
    mark = sign(run.status)
    screen.line(
        f"{screen.paint(mark, 'bold ' + SIGN_STYLES.get(mark, 'dim'))} "
        f"{screen.paint(one_line(run.workflow), 'bold')} {run.status}"
    )
    screen.facts([*_story(page), *_spent(run), *_ways_on(page, db)])
    if run.error:
        screen.line()
        screen.line(f"{screen.paint('✗', 'bold red')} {failure(run.error)}")
        for line in users_part(str(run.error.get("traceback") or ""), full=full).splitlines():
            screen.line(f"  {readable(line)}")
    if page.drawn is not None:
        _draw(screen, *page.drawn)
    _print_nodes(screen, page.history)
    _print_usage(screen, run)


def _story(page: _Page) -> Iterator[Fact]:
    """Which run it is, and when it began, went on and ended."""
    from dalsegno.cli.runs import seconds_of
    from dalsegno.cli.screen import Copied, ago, clock, duration
    from dalsegno.runtime.view import resumed_of
    from dalsegno.viz.captions import in_supersteps

    run, later = page.run, page.superseded
    yield "run", run.run_id
    yield "thread", run.thread + (f"  (run {later[:8]} came after this one)" if later else "")
    yield "target", Copied(run.target or "none: started from Python")
    yield "version", f"{run.version}  (fingerprint {run.fingerprint})"
    yield "started", f"{clock(run.created_at)}  ({ago(run.created_at)})"
    if run.resumes:
        many = f", {run.resumes} times in all" if run.resumes > 1 else ""
        marks = page.history.marks(resumed_of(run))
        yield "resumed", f"{clock(run.started_at)}{many}, after {in_supersteps(marks)}"
    if run.finished_at is not None:
        word = "ended" if run.status in ("completed", "failed", "cancelled") else "paused"
        since = " since it was resumed" if run.resumes else ""
        yield word, f"{clock(run.finished_at)}  (after {duration(seconds_of(run))}{since})"
    if page.holder is not None:
        yield "held by", str(page.holder)


def _spent(run: RunRecord) -> Iterator[Fact]:
    """What it used, against what was proved, and what it was given."""
    from dalsegno.cli.budgets import spent_in_words
    from dalsegno.cli.outcomes import value_in_words

    proved, used = (run.certificate or {}).get("supersteps"), run.supersteps
    if proved is None:
        yield "supersteps", f"{used}; no bound was proved"
    elif used <= proved:
        yield "supersteps", f"proved {proved} · used {used}"
    else:
        yield "supersteps", f"used {used} · proved {proved} for the graph it began in"
    if spent := spent_in_words(run.usage):
        yield "spent", spent
    yield "input", value_in_words(input_shown(run.input, run.shape))


def _ways_on(page: _Page, db: str | None) -> Iterator[Fact]:
    """What it asks, and how it goes on; nothing where the thread has gone on with another run."""
    from dalsegno.cli.budgets import spent_out
    from dalsegno.cli.outcomes import questions, target_option, way_on
    from dalsegno.cli.screen import Copied, one_line

    run = page.run
    if page.superseded:
        return
    yield from questions(run.interrupts)
    short = spent_out(run.error, run.usage, run.supersteps)
    way = way_on(run.status, run.thread, run.interrupts, db, short, target_option(run.target))
    if way and page.queue is not None:  # the engine has it, and while it does `resume` is refused
        yield "goes on", f"by itself, when a worker takes it from queue {one_line(page.queue)}"
        way += "  # if the engine has lost it"
    if way:
        yield "go on", Copied(way)


def _print_nodes(screen: Screen, history: History) -> None:
    """What became of each node."""
    from dalsegno.cli.screen import duration, one_line, sign
    from dalsegno.viz.palette import WORDS

    rows = [
        (
            one_line(shown(place)),
            str(node.count),
            duration(node.seconds),
            str(node.attempts),
            f"{sign(node.status)} {WORDS[node.status]}",
        )
        for place, node in history.nodes.items()
    ]
    if rows:
        screen.line()
        screen.table(("node", "times", "took", "attempts", "status"), rows, right=(1, 2, 3))


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


def _document(page: _Page) -> dict[str, Any]:
    from dalsegno.cli.runs import summary

    run = page.run
    return {
        **summary(run),
        "fingerprint": run.fingerprint,
        "input": input_shown(run.input, run.shape),
        "error": dict(run.error) if run.error else None,
        "interrupts": list(run.interrupts),
        "usage": dict(run.usage),
        "certificate": run.certificate,
        "process": run.process,
        "superseded_by": page.superseded,
        "nodes": [
            {
                "node": shown(place),
                "times": node.count,
                "seconds": node.seconds,
                "attempts": node.attempts,
                "status": node.status,
                "error": node.error,
            }
            for place, node in page.history.nodes.items()
        ],
    }
