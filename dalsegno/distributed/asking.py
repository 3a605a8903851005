"""What a client asks of Temporal: to start, signal, cancel and describe workflows; all in the client's loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from dalsegno.distributed.engine import unavailable
from dalsegno.distributed.orders import Letter, Order, identity_of, queue_of
from dalsegno.errors import DefinitionError, EngineUnavailable, ThreadBusy, UnknownRun, as_typed, quoted

if TYPE_CHECKING:
    from temporalio.client import WorkflowHandle

    from dalsegno.checkpoints import RunRecord
    from dalsegno.distributed.client import Client

_RUN = "run"
"""The memo of a workflow by which people and we find its run in the ledger."""

CLOSING = 10.0
"""Seconds that a new run waits for Temporal to close the thread's last one, of which the ledger has the end already."""


async def start(client: Client, order: Order, letter: Letter, *, replace: bool = False) -> None:
    """Start the workflow of a run. One of the thread's earlier run is ended, after some time to end by itself where not
    `replace` is set: the ledger has it that the earlier run has ended, or was given up.

    Raises
    ------
    ThreadBusy
        The thread has one that goes on.
    DefinitionError
        It takes no such name.
    EngineUnavailable
        No answer.
    """
    from temporalio.common import WorkflowIDConflictPolicy as Conflict
    from temporalio.exceptions import WorkflowAlreadyStartedError

    try:
        return await _started(client, order, letter, Conflict.FAIL)
    except WorkflowAlreadyStartedError:
        pass
    if await _is_ours(client, order):
        try:
            again = (
                Conflict.TERMINATE_EXISTING if replace or not await _closes(client, order) else Conflict.FAIL
            )
            return await _started(client, order, letter, again)
        except WorkflowAlreadyStartedError:
            pass
    else:
        name = identity_of(order.workflow, order.thread)
        raise ThreadBusy(
            f"The engine has a run on thread {order.thread!r} that has not ended and that this database does not know: "
            "it is another database's, or its thread was deleted from this one. Name another thread, or end it with "
            f"`temporal workflow terminate --workflow-id {quoted(name)}`.",
            thread=order.thread,
            holder=None,
        )
    raise ThreadBusy(
        f"The engine has a run on thread {order.thread!r} that has not ended. Wait until it is done, or "
        f"`dalsegno cancel {as_typed(order.thread)}` first.",
        thread=order.thread,
        holder=None,
    )


async def resume(client: Client, order: Order, letter: Letter, name: str) -> None:
    """Hand a letter to a run's workflow, which is started anew where it was done.

    Raises
    ------
    EngineUnavailable
        No answer.
    """
    from temporalio.common import WorkflowIDConflictPolicy as Conflict

    from dalsegno.distributed.playing import RESUME

    await _started(
        client, order, letter, Conflict.USE_EXISTING, start_signal=RESUME, start_signal_args=[name]
    )


async def _started(client: Client, order: Order, letter: Letter, conflict: Any, **signal: Any) -> None:
    from temporalio.common import Priority
    from temporalio.service import RPCError, RPCStatusCode

    from dalsegno.distributed.playing import PLAY

    temporal = await client.temporal()
    try:
        await temporal.start_workflow(
            PLAY,
            order,
            id=identity_of(order.workflow, order.thread),
            task_queue=queue_of(order.workflow, letter.place.queue),
            id_conflict_policy=conflict,
            priority=Priority(priority_key=letter.priority),
            # Of the workflow's own steps, which take milliseconds; on a stalled worker one takes this long.
            task_timeout=timedelta(seconds=max(1.0, min(order.heartbeat, 5.0))),
            memo={_RUN: order.run_id},
            **signal,
        )
    except RPCError as error:
        if error.status == RPCStatusCode.INVALID_ARGUMENT:
            raise DefinitionError(
                f"The engine at {client.engine} does not take the run: {error.message}. There it is named "
                "`<workflow>:<thread>`; a name that is too long can be made shorter, the thread's by --thread."
            ) from error
        raise unavailable(client.engine, error) from error


async def cancelled(client: Client, run: RunRecord, *, at_once: bool) -> None:
    """Cancel the workflow of a run, if it has one that goes on; `at_once` where no worker is at the run, nor is needed
    to end the workflow."""
    from temporalio.service import RPCError, RPCStatusCode

    handle = await _handle(client, run.workflow, run.thread)
    try:
        await (handle.terminate(reason="cancelled") if at_once else handle.cancel())
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise unavailable(client.engine, error) from error


async def is_open(client: Client, run: RunRecord) -> bool:
    """Whether the engine has a workflow on the run's thread that goes on."""
    from temporalio.client import WorkflowExecutionStatus
    from temporalio.service import RPCError, RPCStatusCode

    handle = await _handle(client, run.workflow, run.thread)
    try:
        described = await handle.describe()
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            return False
        raise unavailable(client.engine, error) from error
    return described.status == WorkflowExecutionStatus.RUNNING


async def ended(client: Client, workflow: str, thread: str) -> bool:
    """Wait until the workflow on a thread is closed, or there is none; False where the engine is away."""
    from temporalio.client import WorkflowFailureError
    from temporalio.service import RPCError, RPCStatusCode

    try:
        handle = await _handle(client, workflow, thread)
        await handle.result()
    except WorkflowFailureError:
        return True
    except RPCError as error:
        return error.status == RPCStatusCode.NOT_FOUND
    except EngineUnavailable:
        return False
    return True


async def _is_ours(client: Client, order: Order) -> bool:
    """Whether the thread's earlier workflow is of a run of our ledger, where that run has ended or was given up: the
    new one was recorded. One of another ledger is left alone."""
    handle = await _handle(client, order.workflow, order.thread)
    with _told_as_unavailable(client):
        earlier = await (await handle.describe()).memo_value(_RUN, default="")
        return await asyncio.to_thread(_knows, client, earlier)


async def _closes(client: Client, order: Order) -> bool:
    """Whether the thread's earlier workflow is closed before long."""
    from temporalio.client import WorkflowFailureError

    handle = await _handle(client, order.workflow, order.thread)
    with _told_as_unavailable(client):
        try:
            await asyncio.wait_for(handle.result(), CLOSING)
        except TimeoutError:
            return False
        except WorkflowFailureError:
            return True
    return True


@contextlib.contextmanager
def _told_as_unavailable(client: Client) -> Iterator[None]:
    from temporalio.service import RPCError

    try:
        yield
    except RPCError as error:
        raise unavailable(client.engine, error) from error


def _knows(client: Client, run_id: str) -> bool:
    try:
        return client.ledger.get(run_id, plain=True).run_id == run_id
    except UnknownRun:
        return False


async def _handle(client: Client, workflow: str, thread: str) -> WorkflowHandle[Any, Any]:
    temporal = await client.temporal()
    return temporal.get_workflow_handle(identity_of(workflow, thread))
