"""What a run has spent, in the ledger while it is spent."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from dalsegno.checkpoints import values
from dalsegno.checkpoints.journal import Journal
from dalsegno.checkpoints.lease import Lease


def keep_usage(
    ledger: Journal, lease: Lease, usage: Mapping[str, Any], *, tasks: Collection[str] = ()
) -> None:
    """Note what a run has used so far, in the commit of a task's writes, or in the next one.

    It is never less than what is noted already, for it is the whole each time; a process that has lost the thread
    notes nothing.
    """
    ledger.database.enlist(
        "UPDATE runs SET usage = ? WHERE run_id = ? "
        "AND EXISTS (SELECT 1 FROM leases WHERE thread_id = ? AND token = ?)",
        (
            values.dump_json(usage, thread=lease.thread, key="usage"),
            lease.run_id,
            lease.thread,
            lease.token,
        ),
        tasks=tasks,
        owner=lease.token,
    )
