"""A run that is recorded and has not begun: whoever resumes its thread begins it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dalsegno.checkpoints.ledger import Ledger


def enqueue(ledger: Ledger, *, usage: Mapping[str, Any] | None = None, **described: Any) -> None:
    """Record a run as queued, in one commit; `described` is what `Ledger.begin` takes.

    `usage` is what it is to find when it begins: its budget.

    Raises
    ------
    ThreadBusy
        A living process holds the thread.
    NotSerializable, TypeNotAllowed
        The input cannot be kept. Nothing is recorded.
    """
    with ledger.database.transaction() as connection:
        lease = ledger.begin(**described)  # asks who holds the thread
        try:
            ledger.finish(lease, "queued", usage=dict(usage or {}))
        except BaseException:
            ledger.let_go(lease)
            raise
        connection.execute(
            "UPDATE runs SET finished_at = NULL, process = NULL WHERE run_id = ?", (lease.run_id,)
        )
