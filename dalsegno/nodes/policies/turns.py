"""When the next of so many calls in a time may begin."""

from __future__ import annotations

from collections import deque


def next_turn(begun: deque[float], *, calls: int, per: float, now: float) -> float:
    """The moment of the next turn: at least `per` seconds after the one that is `calls` turns before it.

    `begun` are the moments of the turns so far, some of which may lie ahead; those that matter no more are taken out.
    """
    # A clock that was set back would make everybody wait for its old time to come again.
    if begun and begun[-1] - now > per * (len(begun) // calls + 1):
        begun.clear()
    while begun and begun[0] <= now - per and len(begun) > calls:
        begun.popleft()
    return max(now, begun[-calls] + per) if len(begun) >= calls else now
