"""`Runner`: runs a workflow on a thread, keeps the ledger, and goes on from the mark."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Literal, NoReturn, Self

from langgraph.store.base import BaseStore
from langgraph.types import StreamMode

from dalsegno.checkpoints import AnyDatabase, Checkpointer, Claim, Ledger, open_checkpointer
from dalsegno.checkpoints.interventions import cancel
from dalsegno.checkpoints.lease import this_process
from dalsegno.checkpoints.maintenance import delete_thread
from dalsegno.graphs.checking import spec_of, validate
from dalsegno.graphs.loading import from_anywhere
from dalsegno.graphs.views import KERNEL
from dalsegno.graphs.workflow import Workflow
from dalsegno.nodes.kinds import NAMES, TEXT, Kind, check_kinds
from dalsegno.nodes.policies import Budget
from dalsegno.runtime import carrying, forking, turns
from dalsegno.runtime.adopting import adopted
from dalsegno.runtime.difference import Difference
from dalsegno.runtime.events import Listener, listeners_of
from dalsegno.runtime.inputs import check_thread
from dalsegno.runtime.late_results import keep_quiet
from dalsegno.runtime.off_loop import off_loop
from dalsegno.runtime.pending import Pending
from dalsegno.runtime.result import RunResult
from dalsegno.runtime.session import Session
from dalsegno.runtime.stream import RunStream, check_modes

_KINDS = {
    "store": Kind(lambda given: isinstance(given, BaseStore), "a LangGraph store (BaseStore)"),
    "target": TEXT,
}


class Runner:
    """Runs a graph, commits every superstep to a database, and resumes runs that did not end.

    Parameters
    ----------
    graph
        A `Workflow`, or any LangGraph `StateGraph` or compiled graph.
    db
        The database for checkpoints, ledger and effects: a path, ``sqlite:///path``, ``postgresql://…``, or a
        checkpointer.
    store
        LangGraph's long-term store, given to the nodes.
    on_event
        A function, or several. Each is called with every `Event` of a run, in the thread where it happens.
    target
        Where the graph comes from (``path.py:name``). It is kept with each run, so that ``dalsegno resume`` finds
        the graph, from any folder.

    Raises
    ------
    WorkflowInvalid
        The check found errors.

    Example
    -------
    >>> runner = Runner(flow, db="runs.db")  # doctest: +SKIP
    >>> runner.run({"topic": "rain"}, thread="t1").output  # doctest: +SKIP
    """

    def __init__(
        self,
        graph: Any,
        db: str | os.PathLike[str] | AnyDatabase | Checkpointer = "runs.db",
        store: Any = None,
        *,
        on_event: Listener | Iterable[Listener] = (),
        target: str | None = None,
    ) -> None:
        check_kinds("Runner", {"store": store, "target": target}, _KINDS)
        keep_quiet()
        self.source = graph
        self.spec = spec_of(graph)
        self.report = validate(self.spec)
        self.target = from_anywhere(target) if target is not None else None
        self.store = store
        self.checkpointer = open_checkpointer(db)
        self.ledger = Ledger(self.checkpointer.database, self.checkpointer.serde)
        self.graph = self._compiled(graph, store)
        self.is_ours = KERNEL in self.graph.channels
        builder = graph if isinstance(graph, Workflow) else self.graph.builder
        self.input_schema, self.state_schema = builder.input_schema, builder.state_schema
        self.schemas = tuple(
            graph.state_types() if isinstance(graph, Workflow) else self.graph.builder.schemas
        )
        self.migrations = tuple(getattr(graph, "migrations", ()))
        self.listeners = listeners_of(on_event)
        self.sessions: list[Session] = []
        self.needs_loop = self.spec.is_async

    def __getstate__(self) -> NoReturn:
        raise TypeError(
            "A Runner is neither pickled nor copied: its database is open, and runs may be going on. Give the other "
            "process the name of the database, and make a Runner there."
        )

    def _compiled(self, graph: Any, store: Any) -> Any:
        if isinstance(graph, Workflow):
            return graph.compile(self.checkpointer, store=store)
        return adopted(graph, self.checkpointer, store, self.report)

    # -- running ------------------------------------------------------------------------------------

    def run(
        self,
        input: Any,
        thread: str | None = None,
        *,
        context: Any = None,
        budget: Budget | None = None,
        abandon: bool = False,
    ) -> RunResult:
        """Run on a new thread, or as the next turn of an old one.

        Parameters
        ----------
        input
            State keys and values.
        thread
            The thread's name. Default: a new one.
        context
            LangGraph's runtime context. It is not stored: pass it again when you resume.
        budget
            What this run may spend, if it differs from the workflow's budget. A run that has spent it fails with
            `BudgetExceeded`, and can be resumed with more.
        abandon
            Give up pending work of an earlier run on the thread.

        Raises
        ------
        InputInvalid
            The input does not fit the state, or the context what the graph declares.
        ThreadBusy
            Another process runs on the thread.
        ThreadUnfinished
            The thread has pending work, and `abandon` is not set.
        CheckpointError
            This machine's clock is behind the thread's latest checkpoint.

        A failure inside the run does not raise: it is in the result, see `RunResult`.
        """
        return turns.driven(self, turns.begin(self, input, thread, context, abandon, budget))

    async def arun(
        self,
        input: Any,
        thread: str | None = None,
        *,
        context: Any = None,
        budget: Budget | None = None,
        abandon: bool = False,
    ) -> RunResult:
        """`run` in the running event loop."""
        return await turns.adriven(self, partial(turns.begin, self, input, thread, context, abandon, budget))

    def resume(
        self,
        thread: str,
        value: Any = None,
        *,
        rename: Mapping[str, str] | None = None,
        accept_changes: bool = False,
        budget: Budget | None = None,
        context: Any = None,
        claim: Claim | None = None,
    ) -> RunResult:
        """Go on from the mark: after a crash, a failure, a stop or a wait for a human.

        Parameters
        ----------
        value
            The answer to the question that waits. If several wait: `{interrupt id: answer}`.
        rename
            `{old: new}` for nodes that were renamed since (``"sub/draft"`` in a subworkflow). It holds for the rest
            of the run. The idempotency keys stay those of the old names.
        accept_changes
            Go on even if the graph changed in a way that this run can notice; see `difference`.
        budget
            What the run may spend in all, including what it has spent already. Default: its budget so far.
        claim
            For engines: who resumes, and at which place of its order; see `dalsegno.checkpoints.Claim`.

        Raises
        ------
        UnknownThread
            Nothing was ever run on it.
        NothingToResume
            Its last run is completed or cancelled.
        ThreadBusy
            Another process runs on the thread. `Fenced`, a `ThreadBusy`: it came in between, or this claim is late.
        InputInvalid
            The answer fits no question, or is not what the question asks for. Or a rename names no node. Or the context
            does not fit.
        IncompatibleGraph
            The graph changed in a way with which the run cannot go on; `.difference` says how.
        CheckpointError
            This machine's clock is behind the thread's latest checkpoint.
        """
        return turns.driven(
            self, turns.go_on(self, thread, value, rename, accept_changes, context, budget, claim)
        )

    async def aresume(
        self,
        thread: str,
        value: Any = None,
        *,
        rename: Mapping[str, str] | None = None,
        accept_changes: bool = False,
        budget: Budget | None = None,
        context: Any = None,
        claim: Claim | None = None,
    ) -> RunResult:
        """`resume` in the running event loop."""
        return await turns.adriven(
            self, partial(turns.go_on, self, thread, value, rename, accept_changes, context, budget, claim)
        )

    def stream(
        self,
        input: Any,
        thread: str | None = None,
        *,
        stream_mode: StreamMode | Sequence[StreamMode] = "updates",
        subgraphs: bool = False,
        context: Any = None,
        budget: Budget | None = None,
        abandon: bool = False,
    ) -> RunStream:
        """`run` as an iterator of LangGraph's chunks, for ``for`` or ``async for``. Afterwards, `.result` is the
        `RunResult`."""
        check_modes(stream_mode)
        turn = turns.begin(self, input, thread, context, abandon, budget)
        return RunStream(self, turns.told(self, turn), stream_mode, subgraphs)

    astream = stream
    """`stream`, for `async for`: one `RunStream` can be read in both ways."""

    def stream_resume(
        self,
        thread: str,
        value: Any = None,
        *,
        stream_mode: StreamMode | Sequence[StreamMode] = "updates",
        subgraphs: bool = False,
        rename: Mapping[str, str] | None = None,
        accept_changes: bool = False,
        budget: Budget | None = None,
        context: Any = None,
    ) -> RunStream:
        """`resume` as an iterator of LangGraph's chunks, for ``for`` or ``async for``. Afterwards, `.result` is the
        `RunResult`."""
        check_modes(stream_mode)
        turn = turns.go_on(self, thread, value, rename, accept_changes, context, budget)
        return RunStream(self, turns.told(self, turn), stream_mode, subgraphs)

    astream_resume = stream_resume
    """`stream_resume`, for `async for`."""

    def drain(self, reason: str = "drain") -> None:
        """Ask every run of this runner to stop after its current superstep. They end as ``stopped``."""
        for session in list(self.sessions):
            session.control.request_drain(reason)

    def cancel(self, thread: str) -> Literal["asked", "cancelled"]:
        """Cancel the last run of a thread, whichever process runs it.

        Returns ``"cancelled"`` if no process runs it; then it is cancelled at once. Returns ``"asked"`` if a process
        runs it. That process sees the request within a second, and lets the superstep end. It cancels coroutines that
        are not done 5 seconds later. A sync function cannot be cancelled: it ends by itself or by its `timeout`.

        A cancelled run cannot be resumed.

        Raises
        ------
        UnknownThread
            Nothing was run on it.
        NothingToResume
            Its last run is completed or cancelled already.
        """
        check_thread(thread)
        me = this_process()
        return cancel(self.ledger, thread, by=f"process {me.pid} on {me.host}")

    async def acancel(self, thread: str) -> Literal["asked", "cancelled"]:
        """`cancel` without blocking the running event loop."""
        return await off_loop(partial(self.cancel, thread))

    def fork(
        self,
        thread: str,
        at: str,
        *,
        into: str | None = None,
        values: Mapping[str, Any] | None = None,
    ) -> RunResult:
        """Go back to a checkpoint, in a new thread: it has the history up to there, and a new run.

        The new run executes what is pending at the checkpoint when it is resumed, with idempotency keys of its own.
        Its loop counters and its bound continue from the checkpoint. The old thread stays as it is.

        Parameters
        ----------
        at
            The checkpoint's id, or the beginning of it. `dalsegno history THREAD` lists them.
        into
            The new thread's name. Default: a new one, which is in the result.
        values
            State keys and their new values. They replace what is there; reducers are not applied.

        Raises
        ------
        UnknownThread
            The thread has no checkpoint.
        InputInvalid
            The thread has no such checkpoint, or a value does not fit the state.
        ThreadUnfinished
            The new thread exists already.
        CheckpointError
            This machine's clock is behind the checkpoint.
        """
        return forking.fork(self, thread, at, into, values)

    async def afork(
        self,
        thread: str,
        at: str,
        *,
        into: str | None = None,
        values: Mapping[str, Any] | None = None,
    ) -> RunResult:
        """`fork` without blocking the running event loop."""
        return await off_loop(partial(forking.fork, self, thread, at, into, values))

    def delete(self, thread: str) -> None:
        """Delete everything of a thread: its checkpoints, runs, journal and effects, in one commit.

        Raises
        ------
        ThreadBusy
            A living process runs on the thread.
        """
        check_thread(thread)
        delete_thread(self.ledger.database, thread)

    # -- looking ------------------------------------------------------------------------------------

    def pending(self, thread: str) -> Pending:
        """What a thread still has to do: `Pending`."""
        check_thread(thread)
        return Pending.on(self.graph, thread)

    def difference(self, thread: str, *, rename: Mapping[str, str] | None = None) -> Difference:
        """Compare the graph with the one that a thread's last run was checkpointed with.

        Raises
        ------
        UnknownThread
            Nothing was run on it.
        """
        check_thread(thread)
        check_kinds("difference", {"rename": rename}, {"rename": NAMES})
        run = self.ledger.last(thread, plain=True)
        return carrying.difference_of(self, run, rename)[0]

    def close(self) -> None:
        """Close the database."""
        self.checkpointer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
