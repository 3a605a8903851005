"""What `run` and `resume` share: one process's turn at a run, watched, stoppable, and summed up."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dalsegno.checkpoints import RunRecord
from dalsegno.cli import exits, progress, signals
from dalsegno.cli.outcomes import again, key_lacked, print_outcome
from dalsegno.cli.screen import Screen, print_json
from dalsegno.errors import CheckpointError, WorkflowInvalid
from dalsegno.graphs.declarations import schema_keys
from dalsegno.nodes.secrets import Secrets
from dalsegno.runtime import Runner, RunResult
from dalsegno.runtime.events import Event, NodeFailed, RunStarted
from dalsegno.runtime.view import History, history_of, in_todays_names

if TYPE_CHECKING:
    from typing import TextIO

    from dalsegno.graphs.loading import LoadedTarget


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How a run is shown: `out` is where the one JSON document goes, `db_option` what `--db` was, `given` the input
    with which the run began here."""

    as_json: bool
    quiet: bool
    full_traceback: bool
    db_option: str | None
    out: TextIO
    given: Mapping[str, Any] | None = None


class _Watch:
    """Notes which run was started and which node ended the program, hands on what it hears to what shows the run, and
    drains the run if that was asked for before it began."""

    def __init__(self) -> None:
        self.started: RunStarted | None = None
        self.ended_by: NodeFailed | None = None
        self.shown: Callable[[Event], None] | None = None
        self.drain: Callable[[], None] | None = None
        self.wanted = False

    def __call__(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            self.started = event
            if self.wanted and self.drain is not None:
                self.drain()
        elif isinstance(event, NodeFailed) and isinstance(event.error, SystemExit):
            self.ended_by = self.ended_by or event
        if self.shown is not None:
            self.shown(event)

    def ask(self) -> None:
        """Ask the run to stop after its current superstep, also when it has not begun yet."""
        self.wanted = True
        if self.drain is not None:
            self.drain()


def take(loaded: LoadedTarget, db: str, start: Callable[[Runner], RunResult], manner: Manner) -> int:
    """Take a turn at a run and give the exit code."""
    watch = _Watch()
    try:
        runner = Runner(loaded.graph, db=db, target=loaded.target, on_event=watch)
    except WorkflowInvalid as error:
        if not manner.as_json:
            from dalsegno.cli.reports import print_report

            print_report(Screen(sys.stderr), error.report)
            return exits.FAILED
        raise
    watch.drain = lambda: runner.drain("SIGTERM")
    try:
        return _taken(runner, watch, start, manner)
    finally:
        with contextlib.suppress(CheckpointError):  # a database that cannot be written was told of already
            runner.close()


def _taken(runner: Runner, watch: _Watch, start: Callable[[Runner], RunResult], manner: Manner) -> int:
    try:
        result, code = _driven(runner, watch, start, manner)
    except CheckpointError as error:
        if watch.started is None:
            raise
        exits.tell(error, as_json=manner.as_json, full=manner.full_traceback)
        if not manner.as_json:
            screen = Screen(sys.stderr)
            screen.line(f"go on with: {again(watch.started.thread, manner.db_option)}")
        return exits.FAILED
    _print(runner, replace(result, output=_shown(runner, result)), manner)
    if result.status == "stopped" and code is not None:
        return code
    return exits.code_of_status(result.status)


def _driven(
    runner: Runner, watch: _Watch, start: Callable[[Runner], RunResult], manner: Manner
) -> tuple[RunResult, int | None]:
    """What came of the turn, and the exit code of what stopped it: a signal, or a node that ended the program."""

    def past(run_id: str) -> History | None:
        records = in_todays_names(runner.ledger.executions(run_id), runner.ledger.get(run_id))
        return history_of(records, runner.spec)

    code: int | None = None
    try:
        quiet = manner.quiet or manner.as_json
        with progress.shown(runner.spec, _proved(runner), past, quiet=quiet) as seen:
            watch.shown = seen
            stop = _stop(runner, watch, seen, manner)
            try:
                with signals.stoppable(stop):
                    result = start(runner)
            finally:
                code = stop.code
    except KeyboardInterrupt:
        if watch.started is None:
            raise
        result = recorded(runner.ledger.get(watch.started.run_id, plain=True))
        code = 128 + signal.SIGINT if code is None else code  # a node may raise it without a signal
    except SystemExit:
        if watch.ended_by is None:
            raise
        result = recorded(runner.ledger.get(watch.ended_by.run_id, plain=True))
        result = replace(result, error=_of_a_node(watch.ended_by))
        code = exits.FAILED if code is None else code  # whatever the node said: 0 is for a completed run
    return result, code


def _stop(runner: Runner, watch: _Watch, seen: progress.Progress, manner: Manner) -> signals.Stop:
    """What signals do to the turn."""

    def leave() -> None:
        for session in list(runner.sessions):
            session.is_left = True

    def say(text: str) -> None:
        seen.note = text
        if not sys.stderr.isatty() and not manner.as_json:
            print(text, file=sys.stderr, flush=True)

    def last_words() -> str:
        show_cursor = "\x1b[?25h\r\x1b[K" if sys.stderr.isatty() else ""
        if watch.started is None:
            return show_cursor
        return f"{show_cursor}stopped; go on with: {again(watch.started.thread, manner.db_option)}\n"

    return signals.Stop(watch.ask, leave, say, last_words)


def _print(runner: Runner, result: RunResult, manner: Manner) -> None:
    if manner.as_json:
        print_json(result.to_dict(), manner.out)
        return
    lacks = None
    if manner.given is not None:
        lacks = key_lacked(result, manner.given, schema_keys(runner.input_schema) or ())
    print_outcome(result, _proved(runner), manner.db_option, full=manner.full_traceback, lacks=lacks)


def _proved(runner: Runner) -> int | None:
    certificate = runner.report.certificate
    return certificate.supersteps if certificate else None


def _shown(runner: Runner, result: RunResult) -> Any:
    """What a run gives, without the secrets of its state, under whatever key they stand."""
    if result.output is None or not Secrets(runner.schemas):
        return result.output
    secrets = runner.pending(result.thread).secrets(runner.schemas)
    return secrets.shown(secrets.state(result.output))


def _of_a_node(failed: NodeFailed) -> dict[str, Any]:
    return {
        "type": type(failed.error).__name__,
        "message": failed.message or "the node ended the program",
        "node": failed.node,
        "attempt": failed.attempt,
    }


def recorded(run: RunRecord) -> RunResult:
    """The result of a run as the ledger has it, for a turn that ended without giving one."""
    return RunResult(
        run_id=run.run_id,
        thread=run.thread,
        workflow=run.workflow,
        status=run.status,
        error=run.error,
        interrupts=tuple(run.interrupts),
        supersteps=run.supersteps,
        usage=run.usage,
    )
