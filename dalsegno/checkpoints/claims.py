"""Claims to a thread that somebody else puts in order: an engine, which starts an attempt anew elsewhere.

A process on its own takes a thread that no living process has, and whether one lives can be seen. Of the attempts of an
engine only their order is known: a stalled one looks alive, and may wake up. So the later claim takes the thread, the
earlier one is fenced, and what is kept of the last claim tells one that comes too late.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dalsegno.errors import Fenced

if TYPE_CHECKING:
    from dalsegno.checkpoints.interface import Statements


@dataclass(frozen=True, slots=True)
class Claim:
    """Who claims a thread, and in which place of the order.

    `owner` is shown to people (``"worker w1 on host h"``). `token` is when the engine began the work, in unix seconds,
    and the number of the attempt at it; claims are ordered by it, never by what they are for.
    """

    owner: str
    token: tuple[float, int]


def last_claim(connection: Statements, thread: str) -> Claim | None:
    """The last claim to a thread, also after its run has ended."""
    row = connection.execute(
        "SELECT owner, begun, attempt FROM claims WHERE thread_id = ?", (thread,)
    ).fetchone()
    return Claim(row[0], (row[1], row[2])) if row else None


def record(connection: Statements, thread: str, claim: Claim) -> bool:
    """Keep a claim as the last one of its thread, whose transactions are locked; whether it is a new one.

    Raises
    ------
    Fenced
        There is one that comes after it, or somebody else's in its place.
    """
    last = last_claim(connection, thread)
    if last == claim:
        return False
    if last is not None and claim.token <= last.token:
        raise Fenced(
            f"Thread {thread!r}: attempt {claim.token[1]} of {claim.owner} comes too late, and does nothing. Attempt "
            f"{last.token[1]} of {last.owner} came after it, and has claimed the thread.",
            thread=thread,
            holder=last.owner,
        )
    connection.execute(
        "INSERT INTO claims (thread_id, owner, begun, attempt) VALUES (?, ?, ?, ?) ON CONFLICT (thread_id) DO UPDATE "
        "SET owner = excluded.owner, begun = excluded.begun, attempt = excluded.attempt",
        (thread, claim.owner, *claim.token),
    )
    return True
