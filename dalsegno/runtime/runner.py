"""`Runner`: runs a workflow on a thread, keeps the ledger, and goes on from the mark."""

from __future__ import annotations

import os
import traceback
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from langgraph.runtime import RunControl
from langgraph.types import Command

from dalsegno.checkpoints import Ledger, RunRecord, SqliteCheckpointer
from dalsegno.errors import CheckpointError, DefinitionError, NothingToResume, ThreadUnfinished, UnknownThread
from dalsegno.graphs.checking import spec_of, validate
from dalsegno.graphs.kernel import CONTEXT
from dalsegno.graphs.views import KERNEL
from dalsegno.graphs.workflow import Workflow
from dalsegno.nodes.policies import Budget
from dalsegno.runtime.driving import Drive, on_own_loop
from dalsegno.runtime.events import Listener, RunFinished, RunStarted
from dalsegno.runtime.inputs import fitting
from dalsegno.runtime.pending import Pending, answer, check_nodes
from dalsegno.runtime.result import RunResult
from dalsegno.runtime.session import Session


class Turn:
    """One process's turn at a run, from taking the thread to giving it back."""

    def __init__(
        self, drive: Drive, session: Session, lease: Any, began: float, resumed_from: str | None
    ) -> None:
        self.drive = drive
        self.session = session
        self.lease = lease
        self.began = began
        self.resumed_from = resumed_from


class Runner:
    """Runs a graph with every superstep committed to SQLite, and resumes what did not end.

    Parameters
    ----------
    graph
        A `Workflow`, or any LangGraph `StateGraph` or compiled graph.
    db
        The database file, or a `SqliteCheckpointer`. Checkpoints, ledger and effects are kept in it.
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
        db: str | os.PathLike[str] | SqliteCheckpointer = "runs.db",
        store: Any = None,
        *,
        on_event: Listener | tuple[Listener, ...] = (),
        target: str | None = None,
    ) -> None:
        self.spec = spec_of(graph)
        self.report = validate(graph)
        self.target = target
        self.store = store
        self.checkpointer = db if isinstance(db, SqliteCheckpointer) else SqliteCheckpointer(Path(db))
        self.ledger = Ledger(self.checkpointer.database, self.checkpointer.serde)
        self.graph = self._compiled(graph, store)
        self.input_schema = (
            graph.input_schema if isinstance(graph, Workflow) else self.graph.builder.input_schema
        )
        self._listeners = on_event if isinstance(on_event, tuple) else (on_event,)
        self._needs_loop = any(node.is_async for node in self.spec.nodes.values())
        self._controls: list[RunControl] = []

    def _compiled(self, graph: Any, store: Any) -> Any:
        if isinstance(graph, Workflow):
            return graph.compile(self.checkpointer, store=store)
        self.checkpointer.allow_schema(*getattr(graph, "builder", graph).schemas)
        if hasattr(graph, "compile"):
            return graph.compile(checkpointer=self.checkpointer, store=store)
        return graph.copy(
            {"checkpointer": self.checkpointer, "store": store if store is not None else graph.store}
        )

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
            What this run may spend.
        abandon
            Give up pending work of an earlier run on the thread.

        Raises
        ------
        InputInvalid
            The input does not fit the state.
        ThreadBusy
            Another process runs on the thread.
        ThreadUnfinished
            The thread has pending work, and `abandon` is not set.

        What happens inside the run is in the result: see `RunResult`.
        """
        _not_yet(budget=budget)
        return self._driven(self._begin(input, thread, context, abandon))

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
        _not_yet(budget=budget)
        return await self._adriven(self._begin(input, thread, context, abandon))

    def resume(
        self,
        thread: str,
        value: Any = None,
        *,
        rename: Mapping[str, str] | None = None,
        budget: Budget | None = None,
        context: Any = None,
    ) -> RunResult:
        """Go on from the mark: after a crash, a failure, a stop or a wait for a human.

        Parameters
        ----------
        value
            The answer to the question that waits; `{interrupt id: answer}` where several wait.

        Raises
        ------
        UnknownThread
            Nothing was ever run on it.
        NothingToResume
            Its last run is completed.
        ThreadBusy
            Another process has it.
        InputInvalid
            The answer fits no question.
        IncompatibleGraph
            The pending node is not in the graph any more.
        """
        _not_yet(rename=rename, budget=budget)
        return self._driven(self._again(thread, value, context))

    async def aresume(
        self,
        thread: str,
        value: Any = None,
        *,
        rename: Mapping[str, str] | None = None,
        budget: Budget | None = None,
        context: Any = None,
    ) -> RunResult:
        """`resume` in the running event loop."""
        _not_yet(rename=rename, budget=budget)
        return await self._adriven(self._again(thread, value, context))

    def stream(
        self,
        input: Any,
        thread: str | None = None,
        *,
        stream_mode: Any = "updates",
        subgraphs: bool = False,
        context: Any = None,
        abandon: bool = False,
    ) -> RunStream:
        """Run, giving LangGraph's chunks as they come; `.result` afterwards is the `RunResult`."""
        return RunStream(self, self._begin(input, thread, context, abandon), stream_mode, subgraphs)

    def astream(
        self,
        input: Any,
        thread: str | None = None,
        *,
        stream_mode: Any = "updates",
        subgraphs: bool = False,
        context: Any = None,
        abandon: bool = False,
    ) -> RunStream:
        """`stream` for `async for`."""
        return RunStream(self, self._begin(input, thread, context, abandon), stream_mode, subgraphs)

    def drain(self, reason: str = "drain") -> None:
        """Ask every run of this runner to stop after its current superstep; they end as ``stopped``."""
        for control in self._controls:
            control.request_drain(reason)

    # -- looking ------------------------------------------------------------------------------------

    def pending(self, thread: str) -> Pending:
        """What is pending on a thread."""
        return Pending.of(self.graph.get_state({"configurable": {"thread_id": thread}}))

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

    def _begin(self, input: Any, thread: str | None, context: Any, abandon: bool) -> Turn:
        known = thread is not None
        thread = thread if thread is not None else uuid.uuid4().hex[:12]
        pending = self.pending(thread)
        value = fitting(input, self.input_schema, present=pending.values)
        latest = self.ledger.latest(thread, plain=True) if known else None
        if latest is not None and latest.status not in ("running", "completed", "cancelled"):
            if not abandon and (pending.tasks or pending.run_id != latest.run_id):
                raise self._unfinished(thread, latest.status, pending)
        elif latest is None and pending.tasks and not abandon:
            raise self._unfinished(thread, "unfinished", pending)
        run_id = uuid.uuid4().hex
        certificate = self.report.certificate
        lease = self.ledger.begin(
            run_id=run_id,
            thread=thread,
            workflow=self.spec.name,
            input=value,
            version=self.spec.version,
            fingerprint=self.spec.fingerprint(),
            target=self.target,
            certificate=certificate.to_dict() if certificate else None,
            shape=self.spec.shape(),
            code={name: node.code for name, node in self.spec.nodes.items()},
        )
        return self._turn(lease, run_id, thread, value, context, resumed_from=None)

    def _again(self, thread: str, value: Any, context: Any) -> Turn:
        run = self.ledger.latest(thread, plain=True)
        if run is None:
            raise UnknownThread(
                f"Nothing was run on thread {thread!r} in `{self.checkpointer.database.path}`. Look at "
                "`dalsegno runs`, and at --db.",
                thread=thread,
            )
        if run.status in ("completed", "cancelled"):
            raise NothingToResume(
                f"The last run on thread {thread!r} is {run.status}: there is nothing to go on with. Start a new "
                "run on it, or on another thread.",
                thread=thread,
            )
        lease = self.ledger.acquire(thread, run.run_id)
        try:
            payload, mark = self._payload(run, thread, value)
        except BaseException:
            self.ledger.finish(lease, run.status if run.status != "running" else "stopped")
            raise
        return self._turn(lease, run.run_id, thread, payload, context, resumed_from=mark)

    def _payload(self, run: RunRecord, thread: str, value: Any) -> tuple[Any, str | None]:
        """What to give to LangGraph to go on, and the checkpoint it goes on from."""
        pending = self.pending(thread)
        if pending.run_id != run.run_id:  # killed before its first checkpoint: its input is in the ledger
            whole = self.ledger.get(run.run_id)
            return whole.input, None
        config: Any = {"configurable": {"thread_id": thread}}
        kept = self.checkpointer.get_tuple(config)
        check_nodes(thread, kept.checkpoint if kept else None, self.graph.nodes)
        if value is None:
            return None, pending.checkpoint_id
        return Command(resume=answer(pending, value)), pending.checkpoint_id

    def _turn(
        self, lease: Any, run_id: str, thread: str, payload: Any, context: Any, resumed_from: str | None
    ) -> Turn:
        session = Session(run_id, thread, self.ledger, self._listeners)
        config = {"configurable": {"thread_id": thread, "run_id": run_id, CONTEXT: session}}
        control = RunControl()
        self._controls.append(control)
        now = session.clock()
        resumed = resumed_from is not None
        session.tell(
            RunStarted(run_id=run_id, thread=thread, at=now, workflow=self.spec.name, resumed=resumed)
        )
        return Turn(Drive(self.graph, payload, config, context, control), session, lease, now, resumed_from)

    def _driven(self, turn: Turn) -> RunResult:
        try:
            if self._needs_loop:
                on_own_loop(turn.drive.arun())
            else:
                turn.drive.run()
        except BaseException as error:
            turn.drive.left = error
        return self._settled(turn)

    async def _adriven(self, turn: Turn) -> RunResult:
        try:
            await turn.drive.arun()
        except BaseException as error:
            turn.drive.left = error
        return self._settled(turn)

    def _settled(self, turn: Turn) -> RunResult:
        """Record how the turn ended, give the thread back, and tell."""
        drive, session = turn.drive, turn.session
        self._controls.remove(drive.control)
        if isinstance(drive.error, CheckpointError) and not session.failure_of(drive.error):
            self._release(turn, drive.error)
        pending = self.pending(session.thread)
        error = self._error(drive, session, pending)
        if drive.error is not None:
            status = "failed"
        elif drive.drained or drive.left is not None:
            status = "stopped" if pending.tasks or pending.run_id != session.run_id else "completed"
        else:
            status = "interrupted" if pending.tasks else "completed"
        seconds = session.clock() - turn.began
        result = RunResult(
            run_id=session.run_id,
            thread=session.thread,
            workflow=self.spec.name,
            status=status,
            output=self._output(pending) if status in ("completed", "interrupted") else None,
            error=error,
            interrupts=pending.interrupts if status == "interrupted" else (),
            supersteps=self._supersteps(session.run_id, session.thread, pending),
            usage={"executions": session.executions, "seconds": round(seconds, 6)},
            resumed_from=turn.resumed_from,
        )
        self.ledger.finish(
            turn.lease,
            status,  # type: ignore[arg-type]  # one of the ledger's
            error=error,
            interrupts=result.interrupts,
            supersteps=result.supersteps,
            usage=result.usage,
        )
        session.tell(
            RunFinished(
                run_id=session.run_id,
                thread=session.thread,
                at=session.clock(),
                workflow=self.spec.name,
                status=status,
                seconds=seconds,
                error=dict(error) if error else None,
            )
        )
        if drive.left is not None:
            raise drive.left
        return result

    def _release(self, turn: Turn, error: CheckpointError) -> None:
        """The database itself failed: give the thread back if it can still be written, and raise."""
        described = {
            "type": type(error).__name__,
            "message": str(error),
            "node": None,
            "attempt": None,
            "traceback": None,
        }
        try:
            self.ledger.finish(turn.lease, "failed", error=described)
        except CheckpointError:
            error.add_note(
                "The ledger could not be written either; the run shows as stopped and can be resumed."
            )
        raise error

    def _error(self, drive: Drive, session: Session, pending: Pending) -> dict[str, Any] | None:
        error = drive.error
        if error is None:
            return None
        execution = session.failure_of(error)
        node = execution.node if execution else next((name for name, _ in pending.errors), None)
        return {
            "type": type(error).__name__,
            "message": str(error),
            "node": node,
            "attempt": execution.attempt if execution else None,
            "traceback": "".join(traceback.format_exception(error)),
        }

    def _output(self, pending: Pending) -> dict[str, Any]:
        return {key: value for key, value in pending.values.items() if key in self.spec.outputs}

    def _supersteps(self, run_id: str, thread: str, pending: Pending) -> int:
        record = pending.values.get(KERNEL)
        if record:
            return int(record["walk"]) if record["run"] == run_id else 0
        if pending.run_id != run_id:
            return 0
        return max(pending.step - self._input_step(run_id, thread) - 1, 0)

    def _input_step(self, run_id: str, thread: str) -> int:
        """LangGraph's step number of the run's input, for a graph without our kernel."""
        config: Any = {"configurable": {"thread_id": thread, "checkpoint_ns": ""}}
        found = self.checkpointer.list(config, filter={"run_id": run_id, "source": "input"}, limit=1)
        return next((kept.metadata["step"] for kept in found), -1)

    def _unfinished(self, thread: str, status: str, pending: Pending) -> ThreadUnfinished:
        waiting = ", ".join(f"`{name}`" for name in pending.tasks) or "its input"
        return ThreadUnfinished(
            f"Thread {thread!r} has a run that is {status}, with {waiting} pending; new input would drop that work. "
            f"Go on with it (`dalsegno resume {thread}`, `Runner.resume({thread!r})`), or give it up with "
            "`abandon=True`.",
            thread=thread,
        )


def _not_yet(**options: Any) -> None:
    for name, value in options.items():
        if value is not None:
            raise DefinitionError(
                f"`{name}=` is part of the interface and not enforced by this version, so it is refused rather than "
                "ignored. Leave it out."
            )


class RunStream:
    """The chunks of a run; iterate (sync or async) and read `.result` afterwards."""

    def __init__(self, runner: Runner, turn: Turn, mode: Any, subgraphs: bool) -> None:
        self._runner = runner
        self._turn = turn
        self._mode = mode
        self._subgraphs = subgraphs
        self.run_id: str = turn.session.run_id
        self.thread: str = turn.session.thread
        self.result: RunResult | None = None

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self._turn.drive.stream(self._mode, self._subgraphs)
        finally:
            self.result = self._runner._settled(self._turn)

    async def __aiter__(self) -> AsyncIterator[Any]:
        try:
            async for chunk in self._turn.drive.astream(self._mode, self._subgraphs):
                yield chunk
        finally:
            self.result = self._runner._settled(self._turn)
