"""What a run has spent, in the ledger while it is spent."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from dalsegno.checkpoints import values
from dalsegno.checkpoints.journal import Journal


def keep_usage(
    ledger: Journal, run_id: str, usage: Mapping[str, Any], *, tasks: Collection[str] = ()
) -> None:
    """Note what a run has used so far, in the commit of a task's writes, or in the next one.

    It is never less than what is noted already, for it is the whole each time.
    """
    ledger.database.enlist(
        "UPDATE runs SET usage = ? WHERE run_id = ?",
        (values.dump_json(usage, thread=run_id, key="usage"), run_id),
        tasks=tasks,
    )
