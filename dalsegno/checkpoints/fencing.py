"""A process that has lost its thread writes nothing more to it: asked in the transaction that would write."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from dalsegno.checkpoints.interface import AnyDatabase, Statements
from dalsegno.checkpoints.lease import Holder, Process, is_held
from dalsegno.errors import Fenced, ThreadBusy, as_typed

FENCE = "__dalsegno_fence__"
"""Where a run's config carries its fence to the checkpointer."""


@dataclass(frozen=True, slots=True)
class Fence:
    """The lease under which a run writes to its thread; a node may use its config for other threads and databases."""

    database: AnyDatabase
    thread: str
    token: str


def token_of(config: Mapping[str, Any], database: AnyDatabase, thread: str) -> str | None:
    """The token of the lease that must be the thread's when this is written, None where nobody's run writes it."""
    fence: Fence | None = config["configurable"].get(FENCE)
    if fence is None or fence.database is not database or fence.thread != thread:
        return None
    return fence.token


def holder_of(connection: Statements, thread: str) -> Holder | None:
    """Who holds a thread according to the ledger, dead or alive."""
    row = connection.execute(
        "SELECT host, boot, namespace, pid, started, run_id, token, since, expires_at, owner "
        "FROM leases WHERE thread_id = ?",
        (thread,),
    ).fetchone()
    return Holder(Process(*row[:5]), *row[5:]) if row else None


def in_the_way(connection: Statements, thread: str, *, mine: bool = False) -> str:
    """The token of the lease on a thread, empty where there is none, for who writes to it under no lease.

    `mine` says that a run of this process is in the way too.

    Raises
    ------
    ThreadBusy
        A living process runs on the thread.
    """
    holder = holder_of(connection, thread)
    if holder is None:
        return ""
    if (mine or not is_held(holder.token)) and holder.alive(time.time()):
        raise ThreadBusy(
            f"Thread {thread!r} is held by {holder}: nobody else changes it meanwhile. Wait until it is done, or "
            f"`dalsegno cancel {as_typed(thread)}`.",
            thread=thread,
            holder=holder,
        )
    return holder.token


def refuse_held(connection: Statements, threads: Collection[str]) -> None:
    """Raise ThreadBusy where a living process runs on one of these threads, be it this one."""
    chosen = set(threads)
    for (thread,) in connection.execute("SELECT thread_id FROM leases ORDER BY thread_id").fetchall():
        if thread in chosen:
            in_the_way(connection, thread, mine=True)


def taken_over(connection: Statements, thread: str, what: str) -> Fenced:
    """The error for a process that goes on after another one has taken its thread."""
    holder = holder_of(connection, thread)
    known = connection.execute("SELECT 1 FROM runs WHERE thread_id = ?", (thread,)).fetchone()
    if known is None:
        return Fenced(
            f"Nothing is kept of thread {thread!r} any more. While this process ran on it, the thread was deleted, or "
            f"its database was moved, deleted or replaced: {what}.",
            thread=thread,
        )
    return Fenced(
        f"Thread {thread!r} was taken over by {holder or 'a process that is done'}, since this one gave no sign of "
        f"life for too long: {what}.",
        thread=thread,
        holder=holder,
    )
