"""A process that has lost its thread writes nothing more to it: asked in the transaction that would write."""

from __future__ import annotations

from dalsegno.checkpoints.driver import sqlite3
from dalsegno.checkpoints.lease import Holder, Process
from dalsegno.errors import ThreadBusy

LEASE = "__dalsegno_lease__"
"""Where a run's config carries the token of its lease to the checkpointer."""


def holder_of(connection: sqlite3.Connection, thread: str) -> Holder | None:
    """Who holds a thread according to the ledger, dead or alive."""
    row = connection.execute(
        "SELECT host, boot, namespace, pid, started, run_id, token, since, expires_at "
        "FROM leases WHERE thread_id = ?",
        (thread,),
    ).fetchone()
    return Holder(Process(*row[:5]), *row[5:]) if row else None


def taken_over(connection: sqlite3.Connection, thread: str, what: str) -> ThreadBusy:
    """The error for a process that goes on after another one has taken its thread."""
    holder = holder_of(connection, thread)
    return ThreadBusy(
        f"Thread {thread!r} was taken over by {holder or 'a process that is done'}, since this one gave no sign of "
        f"life for too long: {what}.",
        thread=thread,
        holder=holder,
    )
