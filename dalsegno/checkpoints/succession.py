"""Checkpoints of a thread follow one another, though they are named by clocks.

The latest one is that with the highest id, and LangGraph makes ids of the time (UUID version 6, RFC 9562). Where
another machine wrote the last one, or this one before its clock was set back, a new id may be lower: nobody would find
what it names, and the run would go on from what it was long ago.
"""

from __future__ import annotations

import asyncio
import re
import time

from langgraph.checkpoint.base.id import uuid6

from dalsegno.checkpoints.interface import AnyDatabase
from dalsegno.errors import CheckpointError

PATIENCE = 5.0
"""Seconds that a clock may be behind, and is waited for."""

_ROUND = 0.1
"""Seconds after which the clock is looked at again: it may be set right meanwhile."""

_OF_TIME = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-6[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_TICKS = 10_000_000  # in a second


def ahead(database: AnyDatabase, thread: str) -> str | None:
    """The latest checkpoint of a thread, its subgraphs' too, where it has to be waited for with `come_after`.

    Raises
    ------
    CheckpointError
        The clock is too far behind.
    """
    latest = database.upkeep().latest_checkpoint(thread)
    return latest if _behind(latest, thread) is not None else None


def come_after(identity: str | None, thread: str) -> None:
    """Wait until a checkpoint that is made in this process comes after that one, the latest of a thread.

    Raises
    ------
    CheckpointError
        The clock is too far behind.
    """
    while (seconds := _behind(identity, thread)) is not None:
        time.sleep(min(seconds, _ROUND))


async def acome_after(identity: str | None, thread: str) -> None:
    """`come_after` in the running event loop."""
    while (seconds := _behind(identity, thread)) is not None:
        await asyncio.sleep(min(seconds, _ROUND))


def _behind(identity: str | None, thread: str) -> float | None:
    """Seconds to wait, None where what is made now comes after that."""
    if identity is None or not _OF_TIME.fullmatch(identity) or (made := str(uuid6())) > identity:
        return None
    seconds = (_ticks(identity) - _ticks(made)) / _TICKS
    if seconds > PATIENCE:
        raise CheckpointError(
            f"The clock of this machine is {_words(seconds)} behind the latest checkpoint of thread {thread!r}: "
            "what is written now would be taken for older. Nothing was done. Set the clock right, or go on where "
            "that was written.",
            thread=thread,
            seconds=seconds,
        )
    return seconds


def _ticks(identity: str) -> int:
    return int(identity[:8] + identity[9:13] + identity[15:18], 16)


def _words(seconds: float) -> str:
    for size, name in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {name}"
    return f"{seconds:.0f} seconds"
