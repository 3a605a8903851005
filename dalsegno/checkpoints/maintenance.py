"""Looking after a database: what it holds, whether it is sound, and making it smaller.

Functions of any database, for the command line and for programs. The `prune` of a checkpointer is LangGraph's
own, simpler one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass

from dalsegno.checkpoints.failures import check_names
from dalsegno.checkpoints.interface import AnyDatabase
from dalsegno.errors import CheckpointError


@dataclass(frozen=True)
class Statistics:
    """What a database holds. Sizes are bytes; `file` is what it takes on disk: the file with its log, or the tables
    with their indexes. `segments` are pieces of values, which several checkpoints may share."""

    threads: int
    namespaces: int
    checkpoints: int
    writes: int
    segments: int
    stored: int
    file: int
    free: int
    runs: int
    executions: int
    effects: int


@dataclass(frozen=True)
class ThreadStatistics:
    """What one thread holds; `stored` are the bytes of its values, `latest` is the id of its last checkpoint."""

    thread: str
    namespaces: int
    checkpoints: int
    stored: int
    latest: str


def prune(
    database: AnyDatabase,
    thread_ids: Iterable[str] | None = None,
    *,
    keep: int = 1,
    older_than: float | None = None,
    now: float | None = None,
) -> int:
    """Delete old checkpoints of some threads, or of all; gives how many.

    The newest `keep` of each namespace stay, and what they are rebuilt from: values they share with what
    is deleted, and the ancestors of a `DeltaChannel`. With `older_than` only those made more than so many
    seconds before `now` (unix seconds; the clock's where it is not given) are deleted.

    Raises
    ------
    CheckpointError
        `keep` is less than 1: the latest checkpoint is what a run resumes from. Or `keep` is no whole number, or
        `older_than` or `now` none at all.
    """
    check_names(thread_ids, "thread_ids")
    if not isinstance(keep, int):
        raise CheckpointError(f"keep={keep!r} is no number of checkpoints.")
    if keep < 1:
        raise CheckpointError(
            f"keep={keep} would delete the checkpoint that a run resumes from. Keep at least 1, or delete the "
            "thread."
        )
    before = None
    if older_than is not None:
        try:
            before = float((time.time() if now is None else now) - older_than)
        except (TypeError, OverflowError):
            before = math.nan
        if math.isnan(before):
            raise CheckpointError(f"older_than={older_than!r}, now={now!r}: that is no number of seconds.")
    return database.upkeep().prune(thread_ids, keep=keep, before=before)


def statistics(database: AnyDatabase) -> Statistics:
    """What a database holds."""
    return database.upkeep().statistics()


def thread_statistics(database: AnyDatabase) -> list[ThreadStatistics]:
    """What each thread holds, the largest first."""
    return database.upkeep().thread_statistics()


def count_checkpoints(database: AnyDatabase, thread: str) -> int:
    """How many checkpoints a thread has, without a look at any other thread."""
    return database.upkeep().count_checkpoints(thread)


def check(database: AnyDatabase) -> list[str]:
    """What is wrong with a database, a sentence each; an empty list where nothing is.

    Looks at SQLite's own structure, at every reference, and rebuilds every value's bytes. No value is
    decoded: which types it holds makes no difference. Of a server's tables it looks at the references.
    """
    return database.upkeep().check()


def vacuum(database: AnyDatabase) -> int:
    """Give the room of what was deleted back to the file system; gives how many bytes.

    Drops what nothing leads to any more, which an interrupted version may have left. Takes as much free
    disk as the database has, for as long as it runs, and nobody else can write meanwhile.

    Raises
    ------
    CheckpointError
        It is on a server, which does this by itself.
    """
    return database.upkeep().vacuum()


def delete_thread(database: AnyDatabase, thread: str) -> int:
    """Delete a thread everywhere: checkpoints, runs, executions, effects; gives the number of checkpoints.

    The engine of a run that was submitted is not told: cancel a run that has not ended before.

    Raises
    ------
    ThreadBusy
        A living process holds the thread. Nothing is deleted.
    """
    from dalsegno.checkpoints.ledger import Ledger

    with database.transaction():
        Ledger(database).delete_thread(thread)
        return database.upkeep().delete_checkpoints(thread)


def fork(database: AnyDatabase, thread: str, checkpoint_id: str, into: str) -> None:
    """Copy a checkpoint with its history into a new thread, where it is the latest.

    Raises
    ------
    CheckpointError
        There is no such checkpoint, or the new thread has some already.
    """
    with database.transaction():
        database.lock(into)
        database.upkeep().copy_history(thread, checkpoint_id, into)
