"""`Handle`: one run that the engine has, seen from outside."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from dalsegno.checkpoints.interventions import cancel
from dalsegno.checkpoints.lease import this_process
from dalsegno.distributed import asking
from dalsegno.distributed.advancing import is_settled
from dalsegno.distributed.following import Following
from dalsegno.distributed.orders import (
    NEVER,
    Letter,
    Order,
    give_back_questions,
    keep,
    letter_of,
    take_questions,
)
from dalsegno.errors import EngineUnavailable, NothingToResume, ThreadBusy, as_typed
from dalsegno.graphs.reading import ROOT
from dalsegno.nodes.policies import Budget
from dalsegno.runtime.answering import answers
from dalsegno.runtime.migrating import state_in
from dalsegno.runtime.result import RunResult
from dalsegno.runtime.view import as_it_stands

if TYPE_CHECKING:
    from dalsegno.checkpoints import RunRecord
    from dalsegno.distributed.client import Client
    from dalsegno.runtime import Runner
    from dalsegno.runtime.events import Event

_PAUSES = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0)
"""Seconds between two looks at the ledger; the engine itself says at once that a run has ended."""


class Handle:
    """A run on some worker; made by `Client.submit` and `Client.handle`. Each method has one with `a` in front."""

    def __init__(self, client: Client, run: RunRecord, runner: Runner | None = None) -> None:
        self.run_id = run.run_id
        self.thread = run.thread
        self.workflow = run.workflow
        self._client = client
        self._runner = runner
        self._resumes = NEVER

    def record(self) -> RunRecord:
        """The run as the ledger has it."""
        return self._client.ledger.get(self.run_id, plain=True)

    def status(self) -> str:
        """The run's status: ``queued``, ``running``, ``completed``, ``failed``, ``interrupted`` (waits for a human),
        ``stopped`` (between two workers) or ``cancelled``."""
        return self.record().status

    async def astatus(self) -> str:
        """`status` without blocking the running event loop."""
        return await asyncio.to_thread(self.status)

    def result(self, timeout: float | None = None) -> RunResult:
        """Wait until the run has ended or waits for a human; a worker that dies meanwhile makes it longer.

        Parameters
        ----------
        timeout
            Seconds; None waits for ever.

        Raises
        ------
        TimeoutError
            It goes on, or is queued, after that time.
        """
        return self._client.loop.call(self._result(timeout))

    async def aresult(self, timeout: float | None = None) -> RunResult:
        """`result` in the running event loop."""
        return await self._client.loop.acall(self._result(timeout))

    def resume(
        self,
        value: Any = None,
        *,
        rename: Mapping[str, str] | None = None,
        accept_changes: bool = False,
        budget: Budget | None = None,
        context: Any = None,
    ) -> None:
        """Have a worker go on with a run that waits for a human, or has failed. Arguments are those of `Runner.resume`.

        A context that is left out is the one it was submitted with.

        Raises
        ------
        NothingToResume
            It is completed or cancelled, or the thread has gone on with another run.
        ThreadBusy
            A worker is at it, or it is in the queue, or somebody has answered already.
        InputInvalid
            The answer fits no question, or not what it asked for.
        EngineUnavailable
            The engine does not answer.
        """
        self._is_last()
        client, run = self._client, self.record()
        if run.status in ("completed", "cancelled"):
            raise NothingToResume(
                f"Run {run.run_id} on thread {run.thread!r} is {run.status}: there is nothing to go on with.",
                thread=run.thread,
            )
        if run.status not in ("interrupted", "failed") and client.loop.call(asking.is_open(client, run)):
            raise ThreadBusy(
                f"Run {run.run_id} on thread {run.thread!r} is {run.status}, and the engine sees to it. Wait until it "
                f"is done, or `dalsegno cancel {as_typed(run.thread)}`.",
                thread=run.thread,
                holder=None,
            )
        first = letter_of(client.ledger, run.run_id)
        if first is None:
            raise NothingToResume(f"Run {run.run_id} is not the engine's.", thread=run.thread)
        asked = list(run.interrupts) if run.status == "interrupted" else []
        letter = Letter(
            first.place,
            first.heartbeat,
            first.priority,
            answers=answers(asked, value) if value is not None else None,
            questions={str(i["id"]): i["value"] for i in asked},
            context=context if context is not None else first.context,
            rename=dict(rename or {}),
            accept_changes=accept_changes,
            budget=budget.to_dict() if budget is not None else None,
        )
        with client.ledger.database.transaction():
            client.ledger.database.lock(run.thread)  # of two who answer at once one is told
            if take_questions(client.ledger, run.run_id, run.thread, letter, run.resumes, time.time()):
                raise ThreadBusy(
                    f"Somebody has answered run {run.run_id} on thread {run.thread!r} already, and a worker goes on "
                    "with it. Wait for what comes of it.",
                    thread=run.thread,
                    holder=None,
                )
            name = keep(client.ledger, run.run_id, run.thread, letter)
        order = Order(run.run_id, run.thread, run.workflow, first.heartbeat, waits=True, resumes=run.resumes)
        try:
            client.loop.call(asking.resume(client, order, letter, name))
        except EngineUnavailable:
            give_back_questions(client.ledger, run.run_id, letter, run.resumes)
            raise
        self._resumes = run.resumes

    async def aresume(self, value: Any = None, **options: Any) -> None:
        """`resume` without blocking the running event loop."""
        await asyncio.to_thread(self.resume, value, **options)

    def cancel(self) -> Literal["asked", "cancelled"]:
        """Cancel the run: at once where no worker is at it, else after the superstep that is under way.

        Raises
        ------
        NothingToResume
            It is completed, or cancelled already, or the thread has gone on with another run.
        EngineUnavailable
            The engine does not answer; the run is cancelled all the same.
        """
        client, me = self._client, this_process()
        self._is_last()
        try:
            done = cancel(client.ledger, self.thread, by=f"process {me.pid} on {me.host}")
        except NothingToResume:
            run = self.record()
            if run.status == "cancelled":  # while the engine was away, perhaps: let it know
                client.loop.call(asking.cancelled(client, run, at_once=True))
            raise
        try:
            client.loop.call(asking.cancelled(client, self.record(), at_once=done == "cancelled"))
        except EngineUnavailable as error:
            so = "The run is cancelled" if done == "cancelled" else "The run's worker was asked to stop"
            error.add_note(f"{so} all the same; cancel it again when the engine is back, so that it knows.")
            raise
        return done

    async def acancel(self) -> Literal["asked", "cancelled"]:
        """`cancel` without blocking the running event loop."""
        return await asyncio.to_thread(self.cancel)

    def events(self) -> Iterator[Event]:
        """What was committed of the run, from its beginning, and then as it comes, until it ends or pauses.

        Node executions are told when their superstep is on disk, by whatever worker; those that were lost with a
        worker are not.
        """
        following = Following(self._client.ledger, self.run_id)
        while True:
            yield from following.look()
            if following.over:
                return
            time.sleep(following.pause)

    async def aevents(self) -> AsyncIterator[Event]:
        """`events` for `async for`."""
        following = Following(self._client.ledger, self.run_id)
        while True:
            for event in await asyncio.to_thread(following.look):
                yield event
            if following.over:
                return
            await asyncio.sleep(following.pause)

    def _is_last(self) -> None:
        """Raise where the thread has gone on with another run: what is done to a thread is done to its last one."""
        latest = self._client.ledger.latest(self.thread, plain=True)
        if latest is not None and latest.run_id != self.run_id:
            raise NothingToResume(
                f"Thread {self.thread!r} has gone on with run {latest.run_id}: nothing can be done to "
                f"run {self.run_id}.",
                thread=self.thread,
            )

    def _is_given_up(self) -> bool:
        """Whether the thread has gone on with another run."""
        latest = self._client.ledger.latest(self.thread, plain=True)
        return latest is not None and latest.run_id != self.run_id

    async def _result(self, timeout: float | None) -> RunResult:
        end = None if timeout is None else time.monotonic() + timeout
        looks = closed = 0
        waiting: asyncio.Task[bool] | None = asyncio.create_task(self._ended())
        try:
            run = await asyncio.to_thread(self.record)
            # A workflow that is closed while the ledger says nothing of it was ended with Temporal's own tools.
            while not is_settled(run, self._resumes) and closed < len(_PAUSES):
                if run.status == "stopped" and await asyncio.to_thread(self._is_given_up):
                    break
                if waiting is None:
                    waiting = asyncio.create_task(self._ended())
                pause = _PAUSES[min(looks, len(_PAUSES) - 1)]
                left = pause if end is None else min(pause, end - time.monotonic())
                if left <= 0:
                    raise TimeoutError(f"Run {self.run_id} is {run.status} after {timeout} seconds.")
                looks += 1
                if waiting.done() and closed:
                    await asyncio.sleep(left)
                else:
                    await asyncio.wait({waiting}, timeout=left)
                run = await asyncio.to_thread(self.record)
                if waiting.done() and waiting.result():
                    closed += 1
                elif waiting.done():
                    waiting = None
                    await asyncio.sleep(left)
        finally:
            if waiting is not None:
                waiting.cancel()
        return await asyncio.to_thread(self._made, run)

    async def _ended(self) -> bool:
        return await asking.ended(self._client, self.workflow, self.thread)

    def _made(self, run: RunRecord) -> RunResult:
        run = as_it_stands(self._client.ledger, run)
        return RunResult(
            run_id=run.run_id,
            thread=run.thread,
            workflow=run.workflow,
            status=run.status,
            output=self._output(run) if run.status in ("completed", "interrupted") else None,
            error=run.error,
            interrupts=tuple(run.interrupts),
            supersteps=run.supersteps,
            usage=run.usage,
        )

    def _output(self, run: RunRecord) -> Any:
        if self._runner is not None:
            return self._runner.pending(run.thread).output(self._runner.spec)
        place: Any = {"configurable": {"thread_id": run.thread, "checkpoint_ns": ""}}
        kept = self._client.checkpointer.get_tuple(place)
        if kept is not None and ROOT in kept.checkpoint["channel_values"]:
            return kept.checkpoint["channel_values"][ROOT]
        first = letter_of(self._client.ledger, run.run_id)
        keys = first.outputs if first is not None else None
        state = state_in(kept) if kept is not None else {}
        return {key: value for key, value in state.items() if keys is None or key in keys}
