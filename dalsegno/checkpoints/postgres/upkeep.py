"""Looking after a schema: its threads' checkpoints, and what it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.postgres.base import PRUNE_DELTA_THREADS_SQL

from dalsegno.checkpoints.fencing import in_the_way, refuse_held
from dalsegno.checkpoints.identities import lengthen, time_ordered
from dalsegno.checkpoints.maintenance import Statistics, ThreadStatistics
from dalsegno.errors import CheckpointError

if TYPE_CHECKING:
    from dalsegno.checkpoints.postgres.database import PostgresDatabase
from dalsegno.checkpoints.postgres.session import Session

_TABLES = ("checkpoint_writes", "checkpoint_blobs", "checkpoints")
_DELTA = PRUNE_DELTA_THREADS_SQL.replace("%s", "$1")

_COPY = {
    "checkpoints": "checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata",
    "checkpoint_blobs": "checkpoint_ns, channel, version, type, blob",
    "checkpoint_writes": "checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, blob",
}
_WANTED = (
    # The checkpoint, what it came from, and in other namespaces what is not younger.
    "WITH RECURSIVE line (checkpoint_id, parent) AS ("
    "SELECT checkpoint_id, parent_checkpoint_id FROM checkpoints "
    "WHERE thread_id = $1 AND checkpoint_ns = '' AND checkpoint_id = $2 UNION "
    "SELECT c.checkpoint_id, c.parent_checkpoint_id FROM checkpoints c JOIN line ON c.checkpoint_id = line.parent "
    "WHERE c.thread_id = $1 AND c.checkpoint_ns = '') "
    "SELECT checkpoint_ns, checkpoint_id FROM checkpoints WHERE thread_id = $1 AND ("
    "checkpoint_ns = '' AND checkpoint_id IN (SELECT checkpoint_id FROM line) "
    "OR checkpoint_ns <> '' AND checkpoint_id COLLATE \"C\" <= $2)"
)
_GROWN = (
    "SELECT DISTINCT thread_id FROM (SELECT thread_id FROM checkpoints GROUP BY thread_id, checkpoint_ns "
    "HAVING count(*) > $1) AS grown"
)
_DOOMED = (
    "SELECT checkpoint_ns, checkpoint_id FROM (SELECT checkpoint_ns, checkpoint_id, row_number() OVER "
    "(PARTITION BY checkpoint_ns ORDER BY checkpoint_id DESC) AS place FROM checkpoints WHERE thread_id = $1) AS c "
    'WHERE place > $2 AND ($3::text IS NULL OR checkpoint_id COLLATE "C" < $3)'
)
_GONE = "(SELECT * FROM unnest($2::text[], $3::text[]))"
_UNREFERENCED = (
    "DELETE FROM checkpoint_blobs b WHERE thread_id = $1 AND NOT EXISTS (SELECT 1 FROM "
    "(SELECT DISTINCT c.checkpoint_ns, v.key, v.value FROM checkpoints c "
    "CROSS JOIN LATERAL jsonb_each_text(c.checkpoint -> 'channel_versions') v WHERE c.thread_id = $1) AS kept "
    "WHERE kept.checkpoint_ns = b.checkpoint_ns AND kept.key = b.channel AND kept.value = b.version)"
)
_LOST = (
    "SELECT DISTINCT x.thread_id, x.checkpoint_ns FROM {table} x WHERE NOT EXISTS (SELECT 1 FROM checkpoints c "
    "WHERE c.thread_id = x.thread_id AND c.checkpoint_ns = x.checkpoint_ns) ORDER BY 1, 2 LIMIT 100"
)


class PostgresUpkeep:
    """The `Upkeep` of a schema."""

    together = 200  # each takes a lock, and a server has room for some thousands of all its transactions

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database

    @property
    def _session(self) -> Session:
        session = self._database.session
        assert session is not None, "inside a transaction"
        return session

    # --- deleting ---

    def delete_checkpoints(self, thread: str) -> int:
        deleted = [
            self._session.send(f"DELETE FROM {table} WHERE thread_id = $1", (thread,)) for table in _TABLES
        ]
        self._session.sync()
        return deleted[-1].rowcount

    def delete_runs(self, run_ids: Sequence[str]) -> None:
        """Delete the checkpoints of these runs, and what only they hold."""
        runs = [str(each) for each in run_ids]
        with self._database.read() as session:
            sql = "SELECT DISTINCT thread_id FROM checkpoints WHERE metadata ->> 'run_id' = ANY ($1)"
            chosen = [thread for (thread,) in session.send(sql, (runs,)).fetchall()]
            refuse_held(session, chosen)

        def delete(session: Session, thread: str) -> None:
            in_the_way(session, thread, mine=True)
            sql = (
                "SELECT checkpoint_ns, checkpoint_id FROM checkpoints "
                "WHERE thread_id = $1 AND metadata ->> 'run_id' = ANY ($2)"
            )
            self._delete(thread, session.send(sql, (thread, runs)).fetchall())

        self._each(chosen, "deleted run by run", delete)

    def prune(self, thread_ids: Iterable[str] | None, *, keep: int, before: float | None) -> int:
        limit = None if before is None else lengthen(time_ordered(before))
        if thread_ids is None:
            with self._database.read() as session:
                thread_ids = [thread for (thread,) in session.send(_GROWN, (keep,)).fetchall()]
        gone = 0

        def prune(session: Session, thread: str) -> None:
            nonlocal gone
            doomed = session.send(_DOOMED, (thread, keep, limit)).fetchall()
            self._delete(thread, doomed)
            gone += len(doomed)

        self._each(thread_ids, "pruned", prune)
        return gone

    def _each(self, threads: Iterable[str], done: str, act: Callable[[Session, str], None]) -> None:
        """Act on each thread, locked by then; many of them in several transactions.

        They are locked in their order, so that of two who do so neither waits for the other.
        """
        ordered = sorted({str(each) for each in threads})
        with self._database.read() as session:
            _refuse_delta(session, ordered, done)  # before anything is gone
        for start in range(0, len(ordered), self.together):
            group = ordered[start : start + self.together]
            with self._database.transaction():
                for thread in group:
                    self._database.lock(thread)
                _refuse_delta(self._session, group, done)
                for thread in group:
                    act(self._session, thread)

    def _delete(self, thread: str, doomed: Sequence[tuple[str, str]]) -> None:
        if not doomed:
            return
        places = (thread, *([*column] for column in zip(*doomed, strict=True)))
        for table in ("checkpoint_writes", "checkpoints"):
            where = f"WHERE thread_id = $1 AND (checkpoint_ns, checkpoint_id) IN {_GONE}"
            self._session.send(f"DELETE FROM {table} {where}", places)
        self._session.send(_UNREFERENCED, (thread,))

    # --- copying ---

    def copy(self, source: str, target: str) -> None:
        """Copy everything of one thread to another; what the target has under other ids stays."""
        if source == target:
            return
        for thread in sorted((source, target)):
            self._database.lock(thread)
        # A checkpoint that the target has already is the source's now, writes and all.
        same = "(SELECT checkpoint_ns, checkpoint_id FROM checkpoints WHERE thread_id = $2)"
        for table in ("checkpoint_writes", "checkpoints"):
            where = f"WHERE thread_id = $1 AND (checkpoint_ns, checkpoint_id) IN {same}"
            self._session.send(f"DELETE FROM {table} {where}", (target, source))
        for table, columns in _COPY.items():
            self._session.send(
                f"INSERT INTO {table} (thread_id, {columns}) SELECT $1::text, {columns} FROM {table} "
                "WHERE thread_id = $2 ON CONFLICT DO NOTHING",
                (target, source),
            )

    def copy_history(self, thread: str, checkpoint_id: str, into: str) -> None:
        if self._session.send("SELECT 1 FROM checkpoints WHERE thread_id = $1 LIMIT 1", (into,)).fetchone():
            raise CheckpointError(f"Thread {into!r} exists already; name a new one.", thread=into)
        wanted = self._session.send(_WANTED, (thread, checkpoint_id)).fetchall()
        if ("", checkpoint_id) not in wanted:
            raise CheckpointError(f"Thread {thread!r} has no checkpoint {checkpoint_id}.", thread=thread)
        namespaces, ids = ([*column] for column in zip(*wanted, strict=True))
        for table, columns in _COPY.items():
            only = ""
            parameters: list[Any] = [into, thread]
            if table != "checkpoint_blobs":
                only = "AND (checkpoint_ns, checkpoint_id) IN (SELECT * FROM unnest($3::text[], $4::text[]))"
                parameters += [namespaces, ids]
            self._session.send(
                f"INSERT INTO {table} (thread_id, {columns}) SELECT $1::text, {columns} FROM {table} "
                f"WHERE thread_id = $2 {only}",
                parameters,
            )
        self._session.send(_UNREFERENCED, (into,))

    # --- looking ---

    def statistics(self) -> Statistics:
        with self._database.read() as session:

            def count(what: str) -> int:
                return int(session.send(f"SELECT {what}").fetchone()[0])  # type: ignore[index]  # a count is there

            return Statistics(
                threads=count("count(DISTINCT thread_id) FROM checkpoints"),
                namespaces=count(
                    "count(*) FROM (SELECT DISTINCT thread_id, checkpoint_ns FROM checkpoints) AS n"
                ),
                checkpoints=count("count(*) FROM checkpoints"),
                writes=count("count(*) FROM checkpoint_writes"),
                segments=count("count(*) FROM checkpoint_blobs"),
                stored=count("coalesce(sum(length(blob)), 0) FROM checkpoint_blobs")
                + count("coalesce(sum(length(checkpoint::text)), 0) FROM checkpoints")
                + count("coalesce(sum(length(blob)), 0) FROM checkpoint_writes"),
                file=count(
                    "coalesce(sum(pg_total_relation_size(oid)), 0) FROM pg_class "
                    "WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'"
                ),
                free=0,
                runs=count("count(*) FROM runs"),
                executions=count("count(*) FROM executions"),
                effects=count("count(*) FROM effects"),
            )

    def thread_statistics(self) -> list[ThreadStatistics]:
        with self._database.read() as session:
            rows = session.send(
                "WITH bytes AS (SELECT thread_id, sum(stored)::bigint AS stored FROM ("
                "SELECT thread_id, sum(length(blob)) AS stored FROM checkpoint_blobs GROUP BY 1 UNION ALL "
                "SELECT thread_id, sum(length(blob)) FROM checkpoint_writes GROUP BY 1 UNION ALL "
                "SELECT thread_id, sum(length(checkpoint::text)) FROM checkpoints GROUP BY 1) AS each GROUP BY 1) "
                "SELECT thread_id, count(DISTINCT checkpoint_ns), count(*), coalesce(max(stored), 0), "
                "max(checkpoint_id) FROM checkpoints LEFT JOIN bytes USING (thread_id) GROUP BY 1 ORDER BY 4 DESC, 1"
            ).fetchall()
        return [ThreadStatistics(*row) for row in rows]

    def count_checkpoints(self, thread: str) -> int:
        with self._database.read() as session:
            found = session.send(
                "SELECT count(*) FROM checkpoints WHERE thread_id = $1", (thread,)
            ).fetchall()
        return int(found[0][0])

    def latest_checkpoint(self, thread: str) -> str | None:
        with self._database.read() as session:
            sql = 'SELECT max(checkpoint_id COLLATE "C") FROM checkpoints WHERE thread_id = $1'
            found = session.send(sql, (thread,)).fetchall()
        return None if found[0][0] is None else str(found[0][0])

    def check(self) -> list[str]:
        problems: list[str] = []
        with self._database.read() as session:
            for table in _TABLES[:2]:
                for thread, namespace in session.send(_LOST.format(table=table)).fetchall():
                    where = f"thread {thread!r}" + (f", namespace {namespace!r}" if namespace else "")
                    problems.append(f"`{table}` holds something of {where}, which has no checkpoint.")
        return problems

    def vacuum(self) -> int:
        raise CheckpointError(
            f"`{self._database.path}` is on a PostgreSQL server, which gives room back by itself (autovacuum). To "
            "have it back at once, let its administrator run VACUUM FULL.",
            path=self._database.path,
        )


def _refuse_delta(session: Session, threads: Sequence[str], done: str) -> None:
    found = session.send(_DELTA, (list(threads),)).fetchall()
    if found:
        raise CheckpointError(
            f"Thread {found[0][0]!r} has a DeltaChannel, whose values are rebuilt from older checkpoints: on "
            f"PostgreSQL it cannot be {done}. Leave it out, or delete the whole thread.",
            thread=found[0][0],
        )
