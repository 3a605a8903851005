"""Looking after a SQLite file: the tables of its checkpoints, its room, and whether it is sound."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from dalsegno.checkpoints.failures import damage_named
from dalsegno.checkpoints.file import bodies, pending, segments, threads
from dalsegno.checkpoints.file.database import Database
from dalsegno.checkpoints.file.driver import sqlite3
from dalsegno.checkpoints.file.surroundings import log_of
from dalsegno.checkpoints.identities import lengthen, shorten, time_ordered
from dalsegno.checkpoints.maintenance import Statistics, ThreadStatistics
from dalsegno.errors import CheckpointError

_TOGETHER = 32
"""Checkpoints that are checked with what was read for each other."""


class SqliteUpkeep:
    """The `Upkeep` of a SQLite file."""

    together = sys.maxsize  # one writer at a time, whatever it writes

    def __init__(self, database: Database) -> None:
        self._database = database

    def delete_checkpoints(self, thread: str) -> int:
        with self._database.transaction() as connection:
            return threads.delete_thread(connection, thread)

    def copy_history(self, thread: str, checkpoint_id: str, into: str) -> None:
        with self._database.transaction() as connection:
            if threads.places_of(connection, into):
                raise CheckpointError(f"Thread {into!r} exists already; name a new one.", thread=into)
            with damage_named(thread, "checkpoints"):
                threads.fork(connection, thread, shorten(checkpoint_id), into)

    def prune(self, thread_ids: Iterable[str] | None, *, keep: int, before: float | None) -> int:
        limit = None if before is None else time_ordered(before)
        with self._database.transaction() as connection:
            gone = 0
            for thread in _threads(connection, thread_ids):
                with damage_named(thread, "checkpoints"):
                    gone += threads.prune(connection, thread, keep=keep, before=limit)
            return gone

    def statistics(self) -> Statistics:
        database = self._database
        with database.read() as connection:

            def count(what: str) -> int:
                return int(connection.execute(f"SELECT {what}").fetchone()[0])

            page = count("page_size FROM pragma_page_size")
            free = count("freelist_count FROM pragma_freelist_count") * page
            file = count("page_count FROM pragma_page_count") * page
            if database.path != ":memory:":
                files = (database.file, log_of(database.file))
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

    def thread_statistics(self) -> list[ThreadStatistics]:
        database = self._database
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

    def count_checkpoints(self, thread: str) -> int:
        with self._database.read() as connection:
            found = connection.execute(
                "SELECT count(*) FROM places p JOIN checkpoints c ON c.place = p.id WHERE p.thread_id = ?",
                (thread,),
            ).fetchall()
        return int(found[0][0])

    def latest_checkpoint(self, thread: str) -> str | None:
        with self._database.read() as connection:
            (found,) = connection.execute(
                "SELECT max((SELECT max(checkpoint_id) FROM checkpoints c WHERE c.place = p.id)) FROM places p "
                "WHERE p.thread_id = ?",
                (thread,),
            ).fetchone()
        return None if found is None else lengthen(found)

    def check(self) -> list[str]:
        database = self._database
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

    def vacuum(self) -> int:
        database = self._database
        before = self.statistics().file
        with database.transaction() as connection:
            threads.drop_unused(connection)
            connection.execute("DELETE FROM writes WHERE place NOT IN (SELECT id FROM places)")
        database.outside("VACUUM")
        database.outside("PRAGMA wal_checkpoint(TRUNCATE)")
        return max(before - self.statistics().file, 0)


def _check_place(connection: sqlite3.Connection, place: int, where: str) -> list[str]:
    problems: list[str] = []
    for checkpoint_id, body, loaded in _newest_first(
        connection, "checkpoint_id, body FROM checkpoints", place
    ):
        at = f"checkpoint {lengthen(checkpoint_id)} of {where}"
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
    for checkpoint_id, task, body, loaded in _newest_first(
        connection, "checkpoint_id, task_id, body FROM writes", place
    ):
        at = f"task {lengthen(task)} of checkpoint {lengthen(checkpoint_id)} of {where}"
        try:
            entries = pending.unpack(body, where)
            loaded.load(connection, pending.roots(entries))
            for entry in entries:
                pending.read(loaded, entry)
        except Exception as error:  # as above
            problems.append(f"What was written by {at} is damaged ({error}).")
    return problems


def _newest_first(connection: sqlite3.Connection, what: str, place: int) -> Iterator[tuple[Any, ...]]:
    """Rows, each with the segments that were read for it and for those before it: a value mostly holds the older ones,
    which need not be read again."""
    rows = connection.execute(
        f"SELECT {what} WHERE place = ? ORDER BY checkpoint_id DESC", (place,)
    ).fetchall()
    for start in range(0, len(rows), _TOGETHER):
        loaded = segments.Segments()
        for row in rows[start : start + _TOGETHER]:
            yield *row, loaded


def _threads(connection: sqlite3.Connection, chosen: Iterable[str] | None) -> list[str]:
    if chosen is not None:
        return [str(each) for each in chosen]
    return list(dict.fromkeys(thread for _, thread, _ in threads.places_of(connection)))
