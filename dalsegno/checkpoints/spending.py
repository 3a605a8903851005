"""What a run has spent, in the ledger while it is spent."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from dalsegno.checkpoints import values
from dalsegno.checkpoints.interface import Statements
from dalsegno.checkpoints.journal import Journal
from dalsegno.checkpoints.lease import Lease

_NOTE = (
    # Commits that are made side by side come in any order, and the last that was noted stands.
    "UPDATE runs SET usage = ?, updated_at = ? WHERE run_id = ? AND updated_at <= ? "
    "AND EXISTS (SELECT 1 FROM leases WHERE thread_id = ? AND token = ?)"
)


Note = tuple[Any, ...]
"""What a run had used at a moment."""


def note_of(ledger: Journal, lease: Lease, usage: Mapping[str, Any]) -> Note:
    """What a run has used so far, the whole each time: the caller sees to it that it is never less than the last one
    of its lease."""
    at = lease.noted = max(ledger.now(), math.nextafter(lease.noted, math.inf))
    text = values.dump_json(usage, thread=lease.thread, key="usage")
    return text, at, lease.run_id, at, lease.thread, lease.token


def keep_usage(ledger: Journal, lease: Lease, note: Note, *, tasks: Collection[str] = ()) -> None:
    """Keep it in the commit of a task's writes, or in the next one; who has lost the thread keeps nothing."""
    ledger.database.enlist(_NOTE, note, tasks=tasks, owner=lease.token)


def commit_usage(ledger: Journal, note: Note) -> None:
    """As `keep_usage`; it is committed when this returns."""
    with ledger.database.transaction() as connection:
        note_usage(connection, note)


def note_usage(connection: Statements, note: Note) -> None:
    """As `keep_usage`, in a transaction that is open."""
    connection.execute(_NOTE, note)
