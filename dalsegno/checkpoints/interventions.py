"""What is done to a run from outside of it: cancelled, carried over to a changed graph, taken from a process.

Functions over a `Ledger`, each one transaction.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Literal

from dalsegno.checkpoints import values
from dalsegno.checkpoints.interface import Statements
from dalsegno.checkpoints.journal import Journal
from dalsegno.checkpoints.ledger import Ledger
from dalsegno.errors import NothingToResume


def cancel(ledger: Ledger, thread: str, *, by: str) -> Literal["asked", "cancelled"]:
    """Cancel the last run of a thread: at once where nobody runs it, else its process is asked to.

    Raises
    ------
    UnknownThread
        Nothing was run on it.
    NothingToResume
        Its last run is completed, or cancelled already.
    """
    with ledger.database.transaction() as connection:
        ledger.database.lock(thread)
        run = ledger.last(thread, plain=True)
        if run.status in ("completed", "cancelled"):
            raise NothingToResume(
                f"The last run on thread {thread!r} is {run.status}: there is nothing to cancel.",
                thread=thread,
            )
        if run.status == "running":
            connection.execute(
                "UPDATE runs SET cancel_by = coalesce(cancel_by, ?) WHERE run_id = ?", (by, run.run_id)
            )
            return "asked"
        now = time.time()
        connection.execute(
            "UPDATE runs SET status = 'cancelled', updated_at = ?, finished_at = ?, "
            "interrupts_type = NULL, interrupts = NULL WHERE run_id = ?",  # nobody can answer any more
            (now, now, run.run_id),
        )
        connection.execute("DELETE FROM leases WHERE thread_id = ?", (thread,))  # of a process that is dead
    return "cancelled"


def is_cancelled(ledger: Journal, run_id: str) -> bool:
    """Whether somebody has asked the process that runs it to cancel a run."""
    with ledger.database.read() as connection:
        return _is_cancelled(connection, run_id)


def is_seen_cancelled(ledger: Journal, run_id: str) -> bool | None:
    """`is_cancelled` at a glance; None where the answer would have to be waited for."""
    with ledger.database.glance() as connection:
        return None if connection is None else _is_cancelled(connection, run_id)


def _is_cancelled(connection: Statements, run_id: str) -> bool:
    asked = "SELECT 1 FROM runs WHERE run_id = ? AND cancel_by IS NOT NULL"
    return bool(connection.execute(asked, (run_id,)).fetchall())


def change(
    ledger: Ledger,
    run_id: str,
    *,
    version: str,
    fingerprint: str,
    shape: Mapping[str, Any],
    code: Mapping[str, str | None],
) -> None:
    """Record the graph that a run goes on in, in place of the one it was in."""
    kept = [
        values.dump_json(value, thread=run_id, key=key) for key, value in (("shape", shape), ("code", code))
    ]
    with ledger.database.transaction() as connection:
        connection.execute(
            "UPDATE runs SET version = ?, fingerprint = ?, shape = ?, code = ? WHERE run_id = ?",
            (version, fingerprint, *kept, run_id),
        )


def found_at(ledger: Ledger, run_id: str, target: str) -> None:
    """Record where the graph of a run comes from now."""
    with ledger.database.transaction() as connection:
        connection.execute("UPDATE runs SET target = ? WHERE run_id = ?", (target, run_id))


def holds(ledger: Journal, thread: str, token: str) -> bool:
    """Whether that lease is still the thread's; asked inside a transaction it stays so until its end."""
    with ledger.database.read() as connection:
        row = connection.execute("SELECT token FROM leases WHERE thread_id = ?", (thread,)).fetchone()
    return row is not None and row[0] == token
