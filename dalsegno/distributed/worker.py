"""A worker: takes runs from the engine's queue and goes on with each from its mark."""

from __future__ import annotations

import concurrent.futures
import contextlib
import contextvars
import logging
import random
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from dalsegno.checkpoints.interventions import cancel
from dalsegno.distributed.advancing import advance, withdraw
from dalsegno.distributed.beats import Beats
from dalsegno.distributed.engine import Loop, address, connect, unavailable
from dalsegno.distributed.orders import Outcome, Turn, queue_of
from dalsegno.distributed.sharing import shared_checkpointer
from dalsegno.errors import CheckpointError, DefinitionError, NothingToResume, ThreadBusy
from dalsegno.nodes.policies.workers import SLICE
from dalsegno.observe.extras import wanted
from dalsegno.runtime import Runner
from dalsegno.runtime.events import Listener

if TYPE_CHECKING:
    from temporalio.worker import Worker as TemporalWorker

_LOG = logging.getLogger("dalsegno.worker")

HANDED_OVER = timedelta(milliseconds=100)
"""After which another worker takes a run that this one hands over."""


class Worker:
    """Takes runs of one workflow from a queue, `concurrency` at once, until it is told to drain.

    Parameters
    ----------
    graph
        A `Workflow`, or any LangGraph graph; the same that was submitted, or a newer one (then the rules of resume
        hold: a run that cannot go on in it fails with `IncompatibleGraph`, and a resume can mend that).
    engine
        HOST:PORT of the Temporal server. Default: DALSEGNO_ENGINE, else 127.0.0.1:7233.
    db
        ``postgresql://…``: workers on several machines share nothing else.
    queue
        Which queue of the workflow it takes from.
    concurrency
        Runs at once, each in a thread.
    connections
        To the database, at most, whatever the number of runs.
    namespace
        Temporal's. Default: TEMPORAL_NAMESPACE, else ``default``.
    target, on_event, store
        As of `Runner`.

    Raises
    ------
    DefinitionError
        The database is a SQLite file, or the queue has no name that the engine can have.
    MissingExtra
        The extra `distributed` is not installed.
    WorkflowInvalid
        The check found errors.
    """

    def __init__(
        self,
        graph: Any,
        *,
        db: str,
        engine: str | None = None,
        queue: str = "default",
        concurrency: int = 20,
        connections: int = 10,
        namespace: str | None = None,
        target: str | None = None,
        on_event: Listener | tuple[Listener, ...] = (),
        store: Any = None,
    ) -> None:
        checkpointer = shared_checkpointer(db, connections)
        wanted("temporalio", by="a worker", extra="distributed")
        if concurrency < 1:
            raise DefinitionError(f"Worker(concurrency={concurrency}): at least one run at a time.")
        self.engine = address(engine)
        self.queue = queue
        self.concurrency = concurrency
        self.namespace = namespace
        self.runner = Runner(graph, checkpointer, store, on_event=on_event, target=target)
        queue_of(self.runner.spec.name, queue)
        self.ready = threading.Event()
        """Set once it takes runs."""
        self._draining = threading.Event()
        self._wake = threading.Event()
        self._beats = Beats()

    def run(self, ready: Callable[[], object] = lambda: None) -> None:
        """Take runs until `drain` is called and what is under way has stopped after its superstep.

        `ready` is called once the database and the engine are reached.

        Raises
        ------
        EngineUnavailable
            Nothing answers at the engine's address.
        """
        loop = Loop()
        threads = concurrent.futures.ThreadPoolExecutor(
            self.concurrency + 1, thread_name_prefix="dalsegno-run"
        )
        try:
            self.runner.ledger.latest("", plain=True)  # a database that is not there is told of now
            temporal = loop.call(self._made(threads))
            working = loop.submit(temporal.run())
            self.ready.set()
            ready()
            while not self._draining.is_set() and not working.done():
                self._wake.wait(SLICE)
            ending = loop.submit(temporal.shutdown())
            while not (
                working.done() and ending.done()
            ):  # a signal that comes meanwhile is seen between two slices
                concurrent.futures.wait((working, ending), SLICE)
                self.runner.drain("handed over")  # also what was just beginning when it was asked for
            working.result()
        except RuntimeError as error:
            raise unavailable(self.engine, error) from error
        finally:
            loop.close()
            threads.shutdown()
            self._beats.close()
            self.runner.close()

    def drain(self) -> None:
        """Take no more runs; those under way stop after their superstep and are handed over. May be called in a
        signal handler."""
        self._draining.set()
        self._wake.set()
        self.runner.drain("handed over")

    # -- what the engine calls ----------------------------------------------------------------------

    async def _made(self, threads: concurrent.futures.ThreadPoolExecutor) -> TemporalWorker:
        from temporalio import activity
        from temporalio.worker import PollerBehaviorSimpleMaximum, UnsandboxedWorkflowRunner
        from temporalio.worker import Worker as TemporalWorker

        from dalsegno.distributed import playing

        @activity.defn(name=playing.ADVANCE, no_thread_cancel_exception=True)
        def advanced(turn: Turn) -> Outcome:
            return self._advance(turn)

        @activity.defn(name=playing.WITHDRAW, no_thread_cancel_exception=True)
        def withdrawn(turn: Turn) -> Outcome:
            return self._attempted(withdraw, turn)

        client = await connect(self.engine, self.namespace)
        return TemporalWorker(
            client,
            task_queue=queue_of(self.runner.spec.name, self.queue),
            workflows=[playing.Play],
            activities=[advanced, withdrawn],
            activity_executor=threads,
            workflow_runner=UnsandboxedWorkflowRunner(),
            max_concurrent_activities=self.concurrency,
            # A workflow that sticks to a worker waits for it when it is dead: seen to delay take-over by 6 seconds.
            max_cached_workflows=0,
            # Steps take milliseconds, and each that a killed worker holds is lost for seconds: few of them, not 100.
            max_concurrent_workflow_tasks=5,
            # What a stalled worker was about to be handed is lost for a heartbeat: one of each kind, not five.
            workflow_task_poller_behavior=PollerBehaviorSimpleMaximum(1),
            activity_task_poller_behavior=PollerBehaviorSimpleMaximum(1),
            # How soon a worker learns that a run was cancelled, or is another's by now.
            max_heartbeat_throttle_interval=timedelta(seconds=1),
            default_heartbeat_throttle_interval=timedelta(seconds=1),
            # `drain` ends what is under way; a node is never cut off.
            graceful_shutdown_timeout=timedelta(days=1),
        )

    def _advance(self, turn: Turn) -> Outcome:
        outcome = self._attempted(advance, turn)
        if outcome.status in ("stopped", "queued"):
            raise _again("handed over", HANDED_OVER)
        if outcome.status == "deleted":
            _LOG.warning(
                "run %s on thread %r is not in this worker's database: its thread was deleted, or it was submitted to "
                "another database; the engine drops it",
                turn.order.run_id,
                turn.order.thread,
            )
        return outcome

    def _attempted(self, what: Callable[[Runner, Turn, int], Outcome], turn: Turn) -> Outcome:
        from temporalio import activity

        attempt = activity.info().attempt
        if self._draining.is_set():
            raise _again("this worker takes no more", HANDED_OVER)
        try:
            with self._beats.of(_beat(), lambda why: self._stop(turn, why)):
                return what(self.runner, turn, attempt)
        except (CheckpointError, ThreadBusy) as error:
            _LOG.warning("run %s, attempt %d: %s", turn.order.run_id, attempt, error)
            pause = random.uniform(0.5, 1.0) * min(2.0 ** min(attempt, 4), 10.0)
            raise _again(f"{type(error).__name__}: {error}", timedelta(seconds=pause)) from error

    def _stop(self, turn: Turn, why: str) -> None:
        """The engine wants a run of ours to stop: cancelled by somebody, or another's by now."""
        order, ledger = turn.order, self.runner.ledger
        for session in list(self.runner.sessions):
            if session.run_id == order.run_id:
                session.control.request_drain(why)
        if why != "cancelled":
            return
        # Where the database is away, the engine has the ledger told when it is back: see `withdraw`.
        with contextlib.suppress(NothingToResume, CheckpointError), ledger.database.transaction():
            ledger.database.lock(order.thread)
            latest = ledger.latest(order.thread, plain=True)
            if (
                latest is not None and latest.run_id == order.run_id
            ):  # this may have waited, and the run has not
                cancel(ledger, order.thread, by="the engine")


def _again(why: str, pause: timedelta) -> Exception:
    """What has Temporal make another attempt after that time, without a word in the log: ours says what there is."""
    from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

    return ApplicationError(why, next_retry_delay=pause, category=ApplicationErrorCategory.BENIGN)


def _beat() -> Callable[[], str | None]:
    """A sign of life of the activity that this thread is in, for another thread to give."""
    from temporalio import activity

    context = contextvars.copy_context()

    def beat() -> str | None:
        activity.heartbeat()
        if not activity.is_cancelled():
            return None
        details = activity.cancellation_details()
        return "cancelled" if details is not None and details.cancel_requested else "taken over"

    return lambda: context.run(beat)
