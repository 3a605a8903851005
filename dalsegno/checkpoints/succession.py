"""Checkpoints of a thread follow one another whatever the clocks say.

The latest one is that with the highest id, and LangGraph makes ids of the time (UUID version 6). Where another machine
wrote the last one, or this one before its clock was set back, a new id could be lower, and nobody would find what it
names: so whoever reads a checkpoint makes only higher ones from then on.
"""

from __future__ import annotations

import re

from langgraph.checkpoint.base import id as ids

_OF_TIME = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-6[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_BEYOND = 1 << 59  # of 60 bits: no clock shows the year 3400, and behind the highest id there is none


def follow(identity: str) -> None:
    """Have every id that is made in this process from now on be higher than that one."""
    if not _OF_TIME.fullmatch(identity):
        return
    ticks = int(identity[:8] + identity[9:13] + identity[15:18], 16)
    made = ids._last_v6_timestamp
    if ticks < _BEYOND and (made is None or ticks > made):
        ids._last_v6_timestamp = ticks  # type: ignore[assignment]  # declared by its first value, None
