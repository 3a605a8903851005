"""`Runner`: runs a workflow on a thread, keeps the ledger, and goes on from the mark."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Self

from langgraph.store.base import BaseStore
from langgraph.types import StreamMode

from dalsegno.checkpoints import AnyDatabase, Checkpointer, Claim, Ledger, open_checkpointer
from dalsegno.checkpoints.interventions import cancel
from dalsegno.checkpoints.lease import this_process
from dalsegno.checkpoints.maintenance import delete_thread
from dalsegno.graphs.checking import spec_of, validate
from dalsegno.graphs.views import KERNEL
from dalsegno.graphs.workflow import Workflow
from dalsegno.nodes.kinds import NAMES, TEXT, Kind, check_kinds
from dalsegno.nodes.policies import Budget
from dalsegno.runtime import carrying, forking, turns
from dalsegno.runtime.adopting import adopted
from dalsegno.runtime.difference import Difference
from dalsegno.runtime.events import Listener, listeners_of
from dalsegno.runtime.inputs import check_thread
from dalsegno.runtime.own_loop import on_own_loop
from dalsegno.runtime.pending import Pending
from dalsegno.runtime.result import RunResult
from dalsegno.runtime.session import Session
from dalsegno.runtime.stream import RunStream, check_modes

_KINDS = {
    "store": Kind(lambda given: isinstance(given, BaseStore), "a LangGraph store (BaseStore)"),
    "target": TEXT,
}


class Runner:
    """Runs a graph with every superstep committed to a database, and resumes what did not end.

    Parameters
    ----------
    graph
        A `Workflow`, or any LangGraph `StateGraph` or compiled graph.
    db
        The database: a path, ``sqlite:///path``, ``postgresql://…``, or a checkpointer of it. Checkpoints, ledger
        and effects are kept in it.
    store
        LangGraph's long-term store, given to the nodes.
    on_event
        A function, or several, called with every `Event` of a run, in the thread where it happens.
    target
        Where the graph came from (``path.py:name``), kept with each run so that the command line can
        resume it without being told.

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
        self.source = graph
        self.spec = spec_of(graph)
        self.report = validate(graph)
        self.target = target
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
        self._needs_loop = any(node.is_async for node in self.spec.nodes.values())

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
            Its name; made up when left out.
        context
            LangGraph's runtime context. It is not kept: give it again on resume.
        budget
            What this run may spend, where it differs from the workflow's. A run that has spent it fails with
            `BudgetExceeded` and can be resumed with more.
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

        What happens inside the run is in the result: see `RunResult`.
        """
        return self._driven(turns.begin(self, input, thread, context, abandon, budget))

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
        return await self._adriven(turns.begin(self, input, thread, context, abandon, budget))

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
            The answer to the question that waits; `{interrupt id: answer}` where several wait.
        rename
            `{old: new}` of nodes that were renamed since (``"sub/draft"`` in a subworkflow). It holds for the rest
            of the run, whose idempotency keys stay those of the old names.
        accept_changes
            Go on although the graph changed in a way that this run can notice; see `difference`.
        budget
            What the run may spend in all, with what it has spent already. Default: what it was given before.
        claim
            By whom, and in which place of its order, an engine has this done; see `dalsegno.checkpoints.Claim`.

        Raises
        ------
        UnknownThread
            Nothing was ever run on it.
        NothingToResume
            Its last run is completed or cancelled.
        ThreadBusy
            Another process has it. `Fenced`: it has come in between, or this claim comes too late.
        InputInvalid
            The answer fits no question, or not what it asked for; a rename names no node; the context does not fit.
        IncompatibleGraph
            The graph changed in a way that cannot be gone on from; `.difference` says how.
        """
        return self._driven(turns.go_on(self, thread, value, rename, accept_changes, context, budget, claim))

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
        return await self._adriven(
            turns.go_on(self, thread, value, rename, accept_changes, context, budget, claim)
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
        """Run, giving LangGraph's chunks as they come, to ``for`` or to ``async for``; `.result` afterwards is the
        `RunResult`."""
        check_modes(stream_mode)
        turn = turns.begin(self, input, thread, context, abandon, budget)
        return RunStream(self, turn, stream_mode, subgraphs)

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
        """`resume`, giving LangGraph's chunks as they come, to ``for`` or to ``async for``; `.result` afterwards is the
        `RunResult`."""
        check_modes(stream_mode)
        turn = turns.go_on(self, thread, value, rename, accept_changes, context, budget)
        return RunStream(self, turn, stream_mode, subgraphs)

    astream_resume = stream_resume
    """`stream_resume`, for `async for`."""

    def drain(self, reason: str = "drain") -> None:
        """Ask every run of this runner to stop after its current superstep; they end as ``stopped``."""
        for session in self.sessions:
            session.control.request_drain(reason)

    def cancel(self, thread: str) -> Literal["asked", "cancelled"]:
        """Cancel the last run of a thread, whichever process runs it.

        Where nobody runs it, it is ``"cancelled"`` at once. Else its process is ``"asked"``: it sees that when a node
        begins or ends, and lets the superstep end. Coroutines that are not done 5 seconds after it has seen it, which
        takes a second at most, are cancelled; a sync function cannot be, and ends by itself or by its `timeout`. A
        cancelled run is not resumed.

        Raises
        ------
        UnknownThread
            Nothing was run on it.
        NothingToResume
            Its last run is completed, or cancelled already.
        """
        check_thread(thread)
        me = this_process()
        return cancel(self.ledger, thread, by=f"process {me.pid} on {me.host}")

    async def acancel(self, thread: str) -> Literal["asked", "cancelled"]:
        """`cancel` without blocking the running event loop."""
        return await asyncio.to_thread(self.cancel, thread)

    def fork(
        self,
        thread: str,
        at: str,
        *,
        into: str | None = None,
        values: Mapping[str, Any] | None = None,
    ) -> RunResult:
        """Travel back in time, into a new thread: the history up to a checkpoint, and a new run from there.

        What is pending at the checkpoint is executed by the new run when it is resumed, under new idempotency
        keys; loop counters and the bound go on from what they were. The old thread stays as it is.

        Parameters
        ----------
        at
            The checkpoint's id, or enough of its beginning; `dalsegno history THREAD` lists them.
        into
            The new thread; made up when left out. It is in the result.
        values
            State keys to set, in place of what they hold (reducers are not asked).

        Raises
        ------
        UnknownThread
            There is no checkpoint of that thread.
        InputInvalid
            There is no such checkpoint, or a value does not fit the state.
        ThreadUnfinished
            The new thread exists.
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
        return await asyncio.to_thread(forking.fork, self, thread, at, into, values)

    def delete(self, thread: str) -> None:
        """Delete everything of a thread: its checkpoints, runs, journal and effects, in one commit.

        Raises
        ------
        ThreadBusy
            A living process holds it.
        """
        check_thread(thread)
        delete_thread(self.ledger.database, thread)

    # -- looking ------------------------------------------------------------------------------------

    def pending(self, thread: str) -> Pending:
        """What is pending on a thread."""
        check_thread(thread)
        return Pending.on(self.graph, thread)

    def difference(self, thread: str, *, rename: Mapping[str, str] | None = None) -> Difference:
        """How the graph differs from the one that a thread's last run was checkpointed in.

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

    # -- one turn -----------------------------------------------------------------------------------

    def _driven(self, turn: turns.Turn) -> RunResult:
        try:
            if self._needs_loop:
                on_own_loop(turn.drive.arun())
            else:
                turn.drive.run()
        except BaseException as error:
            turn.drive.left = error
        return turns.settle(self, turn)

    async def _adriven(self, turn: turns.Turn) -> RunResult:
        try:
            await turn.drive.arun()
        except BaseException as error:
            turn.drive.left = error
        return turns.settle(self, turn)
