"""What a task wrote: what is kept of it, and what it says of the task."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.base import WRITES_IDX_MAP
from langgraph.checkpoint.serde.types import ERROR, INTERRUPT, RESUME

from dalsegno.checkpoints import values
from dalsegno.checkpoints.enlisting import Outcome

if TYPE_CHECKING:
    from langgraph.checkpoint.serde.base import SerializerProtocol

_ERROR_SOURCE = "__error_source_node__"  # langgraph._internal._constants.ERROR_SOURCE_NODE

Kept = tuple[int, str, str, bytes]
"""Index, channel, type and bytes of one write."""


def kept_of(
    serde: SerializerProtocol, writes: Sequence[tuple[str, Any]], outcome: Outcome | None, thread: str
) -> list[Kept]:
    """The writes to store of a task of which they say that `outcome`.

    A task that failed has done nothing: its ordinary writes are dropped. LangGraph hands them over
    when the router behind a node raises, and on resume would take the task for done and end the run
    without routing. They stay when an error handler has taken over, since the run then goes on with them.
    """
    failed = outcome in ("failed", "given up")
    return [
        (
            WRITES_IDX_MAP.get(channel, position),
            channel,
            *values.dump(serde, value, thread=thread, key=channel),
        )
        for position, (channel, value) in enumerate(writes)
        if not failed or channel in WRITES_IDX_MAP
    ]


def _is_given_up(error: Any) -> bool:
    """Whether that is LangGraph's word for a task that it did not wait for, or did not begin, beside another one's
    failure. Nobody raised the one of a task that still waited for a thread, and no error handler is to answer it,
    though LangGraph says so: the task is still to be done."""
    if isinstance(error, concurrent.futures.CancelledError):
        return error.__traceback__ is None
    return isinstance(error, asyncio.CancelledError)


def outcome_of(writes: Sequence[tuple[str, Any]]) -> Outcome | None:
    """What these writes say of their task, None where they only prepare it."""
    told = dict(writes)
    if ERROR in told:
        if _is_given_up(told[ERROR]):
            return "given up"
        if _ERROR_SOURCE not in told:
            return "failed"
    if INTERRUPT in told:
        return "interrupted"
    return None if told.keys() == {RESUME} else "done"
