"""Whether anybody still waits for an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from dalsegno.errors import AttemptAbandoned
from dalsegno.nodes.cancelling import ended
from dalsegno.nodes.execution import current_execution
from dalsegno.nodes.remote.request import Asked

T = TypeVar("T")


async def watched(work: Coroutine[Any, Any, T], asked: Asked, *, every: float) -> T:
    """What `work` gives; it is cancelled when its attempt is given up, or its run is cancelled.

    An attempt in a thread cannot be interrupted, and a cancelled run only looks between two nodes: a long task would
    go on at the agent for nobody.
    """
    execution = current_execution()
    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            await asyncio.wait((task,), timeout=every)
            if task.done() or execution is None:
                continue
            cancelled = execution.context is not None and await asyncio.to_thread(
                execution.context.is_cancelled
            )
            if execution.is_given_up or cancelled:
                why = "its run was cancelled" if cancelled else "its attempt took too long and was given up"
                raise AttemptAbandoned(
                    f"`{asked.node}` waits for {asked.agent} no longer: {why}. Its task there is cancelled too.",
                    node=asked.node,
                )
        return task.result()
    finally:
        if not task.done():
            await ended(task)
