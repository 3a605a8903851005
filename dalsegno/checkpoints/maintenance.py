"""Looking after a database: what it holds, whether it is sound, and making it smaller.

Functions of a `Database`, for the command line and for programs. `SqliteCheckpointer.prune` is LangGraph's
own, simpler one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass

from dalsegno.checkpoints import bodies, pending, segments, threads
from dalsegno.checkpoints.database import Database
from dalsegno.checkpoints.driver import sqlite3
from dalsegno.checkpoints.failures import damage_named
from dalsegno.checkpoints.identities import lengthen, shorten, time_ordered
from dalsegno.errors import CheckpointError


@dataclass(frozen=True)
class Statistics:
    """What a database holds. Sizes are bytes; `file` is the file on disk, with its log."""

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
    database: Database,
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
        `keep` is less than 1: the latest checkpoint is what a run resumes from.
    """
    if keep < 1:
        raise CheckpointError(
            f"keep={keep} would delete the checkpoint that a run resumes from. Keep at least 1, or delete the "
            "thread."
        )
    before = None
    if older_than is not None:
        before = time_ordered((time.time() if now is None else now) - older_than)
    with database.transaction() as connection:
        gone = 0
        for thread in _threads(connection, thread_ids):
            with damage_named(thread, "checkpoints"):
                gone += threads.prune(connection, thread, keep=keep, before=before)
        return gone


def statistics(database: Database) -> Statistics:
    """What a database holds."""
    with database.read() as connection:

        def count(what: str) -> int:
            return int(connection.execute(f"SELECT {what}").fetchone()[0])

        page = count("page_size FROM pragma_page_size")
        free = count("freelist_count FROM pragma_freelist_count") * page
        file = count("page_count FROM pragma_page_count") * page
        if database.path != ":memory:":
            files = (os.path.abspath(database.path) + end for end in ("", "-wal"))
            file = sum(os.path.getsize(each) for each in files if os.path.exists(each))
        return Statistics(
            threads=count("count(DISTINCT thread_id) FROM places"),
            namespaces=count("count(*) FROM places"),
            checkpoints=count("count(*) FROM checkpoints"),
            writes=count("count(*) FROM writes"),
            segments=count("count(*) FROM segments"),
            stored=count("coalesce(sum(coalesce(used, length(data))), 0) FROM segments")
            + count("coalesce(sum(length(body)), 0) FROM checkpoints")
            + count("coalesce(sum(length(body)), 0) FROM writes"),
            file=file,
            free=free,
            runs=count("count(*) FROM runs"),
            executions=count("count(*) FROM executions"),
            effects=count("count(*) FROM effects"),
        )


def thread_statistics(database: Database) -> list[ThreadStatistics]:
    """What each thread holds, the largest first."""
    with database.read() as connection:
        rows = connection.execute(
            "WITH bytes AS ("
            "SELECT place, sum(coalesce(used, length(data))) AS stored FROM segments GROUP BY place UNION ALL "
            "SELECT place, sum(length(body)) FROM checkpoints GROUP BY place UNION ALL "
            "SELECT place, sum(length(body)) FROM writes GROUP BY place), "
            "by_place AS (SELECT place, sum(stored) AS stored FROM bytes GROUP BY place), "
            "counts AS (SELECT place, count(*) AS number, max(checkpoint_id) AS latest "
            "FROM checkpoints GROUP BY place) "
            "SELECT thread_id, count(*), sum(coalesce(number, 0)), sum(coalesce(stored, 0)), max(latest) "
            "FROM places p LEFT JOIN by_place b ON b.place = p.id LEFT JOIN counts c ON c.place = p.id "
            "GROUP BY thread_id ORDER BY 4 DESC, 1"
        ).fetchall()
    return [
        ThreadStatistics(thread, namespaces, number, stored, lengthen(latest) if latest else "")
        for thread, namespaces, number, stored, latest in rows
    ]


def check(database: Database) -> list[str]:
    """What is wrong with a database, a sentence each; an empty list where nothing is.

    Looks at SQLite's own structure, at every reference, and rebuilds every value's bytes. No value is
    decoded: which types it holds makes no difference.
    """
    problems: list[str] = []
    with database.read() as connection:
        said = [row[0] for row in connection.execute("PRAGMA integrity_check(20)")]
        if said != ["ok"]:
            return [f"SQLite: {line}" for line in said]
        for place, thread, namespace in threads.places_of(connection):
            where = f"thread {thread!r}" + (f", namespace {namespace!r}" if namespace else "")
            problems += _check_place(connection, place, where)
        (lost,) = connection.execute(
            "SELECT count(*) FROM checkpoints WHERE place NOT IN (SELECT id FROM places)"
        ).fetchone()
        if lost:
            problems.append(f"{lost} checkpoints belong to no thread.")
    return problems


def _check_place(connection: sqlite3.Connection, place: int, where: str) -> list[str]:
    problems: list[str] = []
    for checkpoint_id, body in connection.execute(
        "SELECT checkpoint_id, body FROM checkpoints WHERE place = ?", (place,)
    ).fetchall():
        at = f"checkpoint {lengthen(checkpoint_id)} of {where}"
        loaded = segments.Segments()
        try:
            _, _, index = bodies.unpack(body, where)
            loaded.load(connection, index[:1] if isinstance(index, list) else ())
            whole = bodies.whole_index(index, loaded, where)
            loaded.load(connection, bodies.roots(whole))
        except Exception as error:  # whatever a damaged body makes of the code that reads it
            problems.append(f"The body of {at} cannot be read ({error}).")
            continue
        for channel, entry in bodies.channels(whole):
            try:
                if len(entry) > 3:
                    loaded.stream(entry[2], entry[3])
            except (LookupError, ValueError, TypeError):
                problems.append(f"The value of `{channel}` in {at} is damaged.")
    for checkpoint_id, task, body in connection.execute(
        "SELECT checkpoint_id, task_id, body FROM writes WHERE place = ?", (place,)
    ).fetchall():
        at = f"task {lengthen(task)} of checkpoint {lengthen(checkpoint_id)} of {where}"
        loaded = segments.Segments()
        try:
            entries = pending.unpack(body, where)
            loaded.load(connection, pending.roots(entries))
            for entry in entries:
                pending.read(loaded, entry)
        except Exception as error:  # as above
            problems.append(f"What was written by {at} is damaged ({error}).")
    return problems


def vacuum(database: Database) -> int:
    """Give the room of what was deleted back to the file system; gives how many bytes.

    Drops what nothing leads to any more, which an interrupted version may have left. Takes as much free
    disk as the database has, for as long as it runs, and nobody else can write meanwhile.
    """
    before = statistics(database).file
    with database.transaction() as connection:
        for place, thread, _ in threads.places_of(connection):
            with damage_named(thread, "checkpoints"):
                threads.drop_unused(connection, place)
        for table in ("segments", "writes"):
            connection.execute(f"DELETE FROM {table} WHERE place NOT IN (SELECT id FROM places)")
    database.outside("VACUUM")
    database.outside("PRAGMA wal_checkpoint(TRUNCATE)")
    return max(before - statistics(database).file, 0)


def delete_thread(database: Database, thread: str) -> int:
    """Delete a thread everywhere: checkpoints, runs, executions, effects; gives the number of checkpoints.

    Raises
    ------
    ThreadBusy
        A living process holds the thread. Nothing is deleted.
    """
    from dalsegno.checkpoints.ledger import Ledger

    with database.transaction() as connection:
        Ledger(database).delete_thread(thread)
        return threads.delete_thread(connection, thread)


def fork(database: Database, thread: str, checkpoint_id: str, into: str) -> None:
    """Copy a checkpoint with its history into a new thread, where it is the latest.

    Raises
    ------
    CheckpointError
        There is no such checkpoint, or the new thread has some already.
    """
    with database.transaction() as connection:
        if threads.places_of(connection, into):
            raise CheckpointError(f"Thread {into!r} exists already; name a new one.", thread=into)
        with damage_named(thread, "checkpoints"):
            threads.fork(connection, thread, shorten(checkpoint_id), into)


def _threads(connection: sqlite3.Connection, chosen: Iterable[str] | None) -> list[str]:
    if chosen is not None:
        return [str(each) for each in chosen]
    return list(dict.fromkeys(thread for _, thread, _ in threads.places_of(connection)))
