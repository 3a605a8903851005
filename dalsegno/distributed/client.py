"""`Client`: hands runs to the engine, and finds those it has."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Self

from dalsegno.checkpoints.interventions import cancel
from dalsegno.distributed import asking
from dalsegno.distributed.engine import Loop, address, connect
from dalsegno.distributed.handle import Handle
from dalsegno.distributed.orders import (
    HEARTBEAT,
    LONGEST_HEARTBEAT,
    Letter,
    Order,
    Place,
    keep,
    letter_of,
    queue_of,
)
from dalsegno.distributed.sharing import shared_checkpointer
from dalsegno.errors import (
    DefinitionError,
    NothingToResume,
    ThreadBusy,
    ThreadUnfinished,
    UnknownThread,
    as_typed,
)
from dalsegno.graphs.loading import from_anywhere
from dalsegno.observe.extras import wanted
from dalsegno.runtime import Runner
from dalsegno.runtime.queueing import enqueue

if TYPE_CHECKING:
    from types import TracebackType

    from temporalio.client import Client as Temporal

    from dalsegno.nodes.policies import Budget


class Client:
    """Hands runs to workers, whichever takes them, and asks how they are.

    Parameters
    ----------
    engine
        HOST:PORT of the Temporal server. Default: DALSEGNO_ENGINE, else 127.0.0.1:7233.
    db
        ``postgresql://…``, the workers' one.
    heartbeat
        Seconds without a sign of life after which the worker of a run that is submitted here counts as dead, and
        another one goes on with the run.
    connections
        To the database, at most.
    namespace
        Temporal's. Default: TEMPORAL_NAMESPACE, else ``default``.

    Raises
    ------
    DefinitionError
        The database is a SQLite file, or the address no HOST:PORT.
    MissingExtra
        The extra `distributed` is not installed.

    Example
    -------
    >>> with Client(db="postgresql://localhost/runs") as client:  # doctest: +SKIP
    ...     handle = client.submit(flow, {"topic": "rain"}, thread="t1", priority=1)
    ...     print(handle.result().output)
    """

    def __init__(
        self,
        engine: str | None = None,
        *,
        db: str,
        heartbeat: float = HEARTBEAT,
        connections: int = 10,
        namespace: str | None = None,
    ) -> None:
        if not 0 < heartbeat <= LONGEST_HEARTBEAT:
            raise DefinitionError(
                f"Client(heartbeat={heartbeat!r}): seconds, more than 0 and at most {LONGEST_HEARTBEAT:,} (a day)."
            )
        self.engine = address(engine)
        self.checkpointer = shared_checkpointer(db, connections)
        wanted("temporalio", by="a client of the engine", extra="distributed")
        from dalsegno.checkpoints import Ledger

        self.heartbeat = heartbeat
        self.ledger = Ledger(self.checkpointer.database, self.checkpointer.serde)
        self.loop = Loop()
        self._namespace = namespace
        self._temporal: Temporal | None = None
        self._runners: dict[int, Runner] = {}

    def submit(
        self,
        graph: Any,
        input: Any,
        *,
        thread: str | None = None,
        queue: str = "default",
        priority: int | None = None,
        context: Any = None,
        budget: Budget | None = None,
        abandon: bool = False,
        target: str | None = None,
    ) -> Handle:
        """Record a run as queued and hand it to the engine; it is on disk when this returns.

        Parameters
        ----------
        graph
            The workflow or LangGraph graph, which the workers have too.
        input, thread, budget, abandon
            As of `Runner.run`.
        queue
            Which workers take it.
        priority
            1 (first) to 5 (last); 3 is the default.
        context
            LangGraph's runtime context, for all turns of the run: it has to be a value that can be kept.
        target
            Where the graph came from, kept with the run.

        Raises
        ------
        InputInvalid
            The input does not fit the state, or the context what the graph declares.
        ThreadBusy
            The engine has a run on the thread, or a process holds it.
        ThreadUnfinished
            The thread has pending work that nobody is at, and `abandon` is not set.
        DefinitionError
            The priority or the queue is none, or a name is too long for the engine.
        EngineUnavailable
            The engine does not answer. The run is recorded as cancelled.
        """
        if priority is not None and (type(priority) is not int or priority not in range(1, 6)):
            raise DefinitionError(f"submit(priority={priority!r}): 1 (first) to 5 (last).")
        runner = self._runner(graph, target)
        queue_of(runner.spec.name, queue)  # asked before anything is recorded
        place = Place(self.engine, self._namespace or "", queue)
        letter = Letter(place, self.heartbeat, priority, context=context, outputs=sorted(runner.spec.outputs))
        try:
            with self.ledger.database.transaction():
                run_id = enqueue(runner, input, thread, context=context, budget=budget, abandon=abandon)
                run = self.ledger.get(run_id, plain=True)
                keep(self.ledger, run_id, run.thread, letter, first=True)
        except ThreadUnfinished as error:
            raise self._busy(error) from error
        order = Order(run_id, run.thread, run.workflow, self.heartbeat)
        try:
            self.loop.call(asking.start(self, order, letter, replace=abandon))
        except (
            BaseException
        ) as error:  # whatever it is, Ctrl-C too: the caller has no handle, so nobody waits for it
            with contextlib.suppress(NothingToResume):
                cancel(self.ledger, run.thread, by="its submission")
                error.add_note("The run is recorded as cancelled.")
            raise
        return Handle(self, run, runner)

    async def asubmit(self, graph: Any, input: Any, **options: Any) -> Handle:
        """`submit` without blocking the running event loop."""
        return await asyncio.to_thread(self.submit, graph, input, **options)

    def handle(self, thread: str, graph: Any = None) -> Handle:
        """The last run of a thread; with `graph`, its output is read with that one's types.

        Raises
        ------
        UnknownThread
            Nothing was run on it, or not by the engine.
        """
        run = self.ledger.latest(thread, plain=True)
        if run is None or letter_of(self.ledger, run.run_id) is None:
            what = "was run" if run is None else "was handed to the engine"
            raise UnknownThread(
                f"Nothing {what} on thread {thread!r} in `{self.ledger.database.path}`. `dalsegno runs` lists what "
                "was.",
                thread=thread,
            )
        return Handle(self, run, self._runner(graph, run.target) if graph is not None else None)

    def close(self) -> None:
        """Close the connections; what was submitted goes on."""
        self.loop.close()
        self.checkpointer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def temporal(self) -> Temporal:
        """Temporal's client, connected at first use; for use in `loop` only."""
        if self._temporal is None:
            self._temporal = await connect(self.engine, self._namespace)
        return self._temporal

    def _runner(self, graph: Any, target: str | None) -> Runner:
        """The runner of a graph; it is never run here."""
        known = self._runners.get(id(graph))
        target = from_anywhere(target) if target is not None else None
        if known is None or known.source is not graph or known.target != target:
            known = self._runners[id(graph)] = Runner(graph, self.checkpointer, target=target)
        return known

    def _busy(self, error: ThreadUnfinished) -> Exception:
        """What to say of pending work on a thread: whether the engine is at it."""
        run = self.ledger.latest(error.thread, plain=True)
        if run is None or letter_of(self.ledger, run.run_id) is None:
            return error
        if not self.loop.call(asking.is_open(self, run)):
            return error
        typed = as_typed(run.thread)
        way = f"Wait until it is done (`Client.handle({run.thread!r}).result()`), or `dalsegno cancel {typed}` first."
        if run.status == "interrupted":
            answered = as_typed(run.thread, "--value ANSWER")
            way = (
                f"Answer it (`dalsegno resume {answered}`), or give it up with `abandon=True` (`--abandon`)."
            )
        return ThreadBusy(
            f"The engine has run {run.run_id} on thread {run.thread!r}, which is {run.status}. {way}",
            thread=run.thread,
            holder=None,
        )
