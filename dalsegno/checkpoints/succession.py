"""Checkpoints of a thread follow one another, though they are named by clocks.

The latest one is that with the highest id, and LangGraph makes ids of the time (UUID version 6, RFC 9562). Where
another machine wrote the last one, or this one before its clock was set back, a new id may be lower: nobody would find
what it names, and the run would go on from what it was long ago.
"""

from __future__ import annotations

import re
import time

from langgraph.checkpoint.base.id import uuid6

from dalsegno.checkpoints.interface import AnyDatabase
from dalsegno.errors import CheckpointError

PATIENCE = 5.0
"""Seconds that a clock may be behind, and is waited for."""

_OF_TIME = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-6[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_TICKS = 10_000_000  # in a second


def come_after_all(database: AnyDatabase, thread: str) -> None:
    """As `come_after`, of the latest checkpoint of a thread, its subgraphs' too."""
    come_after(database.upkeep().latest_checkpoint(thread), thread)


def come_after(identity: str | None, thread: str) -> None:
    """Wait until a checkpoint that is made in this process comes after that one, the latest of a thread.

    Raises
    ------
    CheckpointError
        The clock is too far behind.
    """
    if identity is None or not _OF_TIME.fullmatch(identity):
        return
    while (made := str(uuid6())) <= identity:
        behind = (_ticks(identity) - _ticks(made)) / _TICKS
        if behind > PATIENCE:
            raise CheckpointError(
                f"The clock of this machine is {_words(behind)} behind the latest checkpoint of thread {thread!r}: "
                "what is written now would be taken for older. Nothing was done. Set the clock right, or go on where "
                "that was written.",
                thread=thread,
                seconds=behind,
            )
        time.sleep(behind)


def _ticks(identity: str) -> int:
    return int(identity[:8] + identity[9:13] + identity[15:18], 16)


def _words(seconds: float) -> str:
    for size, name in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {name}"
    return f"{seconds:.0f} seconds"
