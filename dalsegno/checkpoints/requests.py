"""What services were asked for: which runs, by whom, and when to look at each next.

A run that a service accepted has a row here from the same commit as its row in the ledger, so that nothing that was
acknowledged is lost. `due` is when somebody has to look at it: now for a queued run, in a while for one that runs (its
process may die), at the deadline for one that waits, never for one that ended.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from dalsegno.checkpoints import values
from dalsegno.checkpoints.ledger import Ledger

_COLUMNS = (
    "run_id, thread_id, workflow, client, key, digest, due, stamp, deaths, context_type, context, "
    "wanted_type, wanted, problem"
)
_UNFINISHED = (
    "SELECT count(*) FROM requests q JOIN runs r ON r.run_id = q.run_id "
    "WHERE q.service = ? AND q.due IS NOT NULL AND r.status IN "
)


@dataclass(frozen=True, kw_only=True)
class Request:
    """A run that was asked for.

    `key` and `digest` tell the same request from another one; `due` is unix seconds, None for never. `stamp` counts
    what was asked of it since, `deaths` how often in a row its process died while it ran. `wanted` is what it is to
    go on with, and has not been recorded to have; `problem` why a process could not go on (``type``, ``message``, and
    ``started_at``, which is the run's: where that is later by now, somebody else went on with it).
    """

    run_id: str
    thread: str
    workflow: str
    client: str
    digest: str
    key: str | None = None
    due: float | None = None
    stamp: int = 0
    deaths: int = 0
    context: Any = None
    wanted: Mapping[str, Any] | None = None
    problem: Mapping[str, Any] | None = None


class Requests:
    """The requests of one service, whose processes have its name in common.

    Parameters
    ----------
    ledger
        The ledger of the same database; used inside its transaction, a change joins it.
    service
        The name. Requests of services of other names are never touched.
    """

    def __init__(self, ledger: Ledger, service: str) -> None:
        self._ledger = ledger
        self._database = ledger.database
        self.service = service

    # --- asking ---

    def add(self, request: Request) -> None:
        """Record a request, of a run that is recorded in the same transaction."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO requests (run_id, thread_id, workflow, service, client, key, digest, due, "
                "context_type, context) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    request.run_id, request.thread, request.workflow, self.service, request.client, request.key,
                    request.digest, request.due, *self._dump(request.context, request.thread, "context"),
                ),
            )  # fmt: skip

    def want(self, request: Request) -> None:
        """Record what a run is to go on with (`wanted`, from `due` on); one that was started elsewhere is adopted."""
        kind, blob = self._dump(request.wanted, request.thread, "wanted")
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO requests (run_id, thread_id, workflow, service, client, digest, due, wanted_type, wanted) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (run_id) DO UPDATE SET service = excluded.service, "
                "due = excluded.due, wanted_type = excluded.wanted_type, wanted = excluded.wanted, "
                "stamp = requests.stamp + 1, deaths = 0, problem = NULL",
                (
                    request.run_id, request.thread, request.workflow, self.service, request.client, request.digest,
                    request.due, kind, blob,
                ),
            )  # fmt: skip

    # --- finding ---

    def of(self, run_id: str) -> Request | None:
        """The request of a run."""
        return self._one("run_id = ? AND service = ?", (run_id, self.service))

    def of_key(self, client: str, key: str) -> Request | None:
        """The request that a client made under an idempotency key."""
        return self._one("service = ? AND client = ? AND key = ?", (self.service, client, key))

    def due(self, workflows: Collection[str], now: float, limit: int) -> list[Request]:
        """Requests to look at, those that wait longest first."""
        marks = ", ".join("?" * len(workflows))
        where = f"service = ? AND due <= ? AND workflow IN ({marks}) ORDER BY due, id LIMIT ?"
        return self._found(where, (self.service, now, *workflows, limit))

    def next_due(self, workflows: Collection[str]) -> float | None:
        """When the next one is due."""
        marks = ", ".join("?" * len(workflows))
        with self._database.read() as connection:
            (at,) = connection.execute(
                f"SELECT min(due) FROM requests WHERE service = ? AND due IS NOT NULL AND workflow IN ({marks})",
                (self.service, *workflows),
            ).fetchone()
        return None if at is None else float(at)

    def unfinished(self, client: str) -> int:
        """How many runs of a client are queued or run."""
        return self._count(_UNFINISHED + "('queued', 'running') AND q.client = ?", (self.service, client))

    def queued(self) -> int:
        """How many runs have not begun."""
        return self._count(_UNFINISHED + "('queued')", (self.service,))

    # --- going on ---

    def beat(self, run_ids: Collection[str], at: float) -> None:
        """Set when to look at requests next whose runs go on here."""
        marks = ", ".join("?" * len(run_ids))
        with self._database.transaction() as connection:
            connection.execute(
                f"UPDATE requests SET due = ? WHERE due IS NOT NULL AND run_id IN ({marks})", (at, *run_ids)
            )

    def look_again(self, run_id: str, at: float | None) -> None:
        """Set when to look at a request next."""
        with self._database.transaction() as connection:
            connection.execute("UPDATE requests SET due = ? WHERE run_id = ?", (at, run_id))

    def go_on(self, run_id: str, at: float, *, died: bool) -> None:
        """A run is gone on with, and looked at again then; `died` where its process was found dead."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE requests SET due = ?, deaths = deaths + ?, problem = NULL WHERE run_id = ?",
                (at, int(died), run_id),
            )

    def settle(self, request: Request, due: float | None) -> None:
        """What was wanted of a run is done; unless something else was asked of it meanwhile."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE requests SET due = ?, deaths = 0, wanted_type = NULL, wanted = NULL "
                "WHERE run_id = ? AND stamp = ?",
                (due, request.run_id, request.stamp),
            )

    def refuse(self, request: Request, problem: Mapping[str, Any]) -> None:
        """A run cannot be gone on with here: not looked at again until somebody asks for it, or another process, whose
        code may be another one, has it tried once more. What it is to go on with is kept for that. Nothing happens
        where such a process has gone on with it since it was looked at."""
        self._trouble(request, problem, "due = ?", (request.due,))

    def give_up(self, request: Request, problem: Mapping[str, Any]) -> None:
        """As `refuse`, of a run that this process went on with."""
        self._trouble(request, problem, "1 = 1", ())

    def _trouble(
        self, request: Request, problem: Mapping[str, Any], where: str, parameters: tuple[Any, ...]
    ) -> None:
        with self._database.transaction() as connection:
            run = self._ledger.one(request.run_id, plain=True)
            told = {**problem, "started_at": run.started_at if run is not None else None}
            text = values.dump_json(told, thread=request.thread, key="problem")
            connection.execute(
                f"UPDATE requests SET due = NULL, problem = ? WHERE run_id = ? AND stamp = ? AND {where}",
                (text, request.run_id, request.stamp, *parameters),
            )

    def refused(self) -> list[tuple[str, int, str]]:
        """The runs that some process could not go on with, and that are not over: the id of each, the stamp of its
        request, and the type of its problem."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT q.run_id, q.stamp, q.problem FROM requests q JOIN runs r ON r.run_id = q.run_id "
                "WHERE q.service = ? AND q.due IS NULL AND q.problem IS NOT NULL "
                "AND r.status NOT IN ('completed', 'cancelled')",
                (self.service,),
            ).fetchall()
        return [(run_id, stamp, values.load_json(problem)["type"]) for run_id, stamp, problem in rows]

    def wake(self, now: float) -> None:
        """Look at once at what is recorded as running: a process has just started, another may have died."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE requests SET due = ?1 WHERE service = ?2 AND due > ?1 "
                "AND run_id IN (SELECT run_id FROM runs WHERE status = 'running')",
                (now, self.service),
            )

    def try_to_write(self) -> None:
        """Write, and leave nothing behind. Raises DatabaseUnavailable."""
        name = f"try {uuid.uuid4().hex}"
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO requests (run_id, thread_id, workflow, service, client, digest) "
                "VALUES (?, '', '', ?, '', '')",
                (name, self.service),
            )
            connection.execute("DELETE FROM requests WHERE run_id = ?", (name,))

    # --- rows ---

    def _one(self, where: str, parameters: tuple[Any, ...]) -> Request | None:
        return next(iter(self._found(f"{where} LIMIT 1", parameters)), None)

    def _found(self, where: str, parameters: tuple[Any, ...]) -> list[Request]:
        with self._database.read() as connection:
            rows = connection.execute(f"SELECT {_COLUMNS} FROM requests WHERE {where}", parameters).fetchall()
        return [self._request(row) for row in rows]

    def _request(self, row: tuple[Any, ...]) -> Request:
        run_id, thread, workflow, client, key, digest, due, stamp, deaths = row[:9]
        return Request(
            run_id=run_id,
            thread=thread,
            workflow=workflow,
            client=client,
            key=key,
            digest=digest,
            due=due,
            stamp=stamp,
            deaths=deaths,
            context=self._load(row[9], row[10], thread, "context"),
            wanted=self._load(row[11], row[12], thread, "wanted"),
            problem=values.load_json(row[13]),
        )

    def _count(self, sql: str, parameters: tuple[Any, ...]) -> int:
        with self._database.read() as connection:
            return int(connection.execute(sql, parameters).fetchone()[0])

    def _dump(self, value: Any, thread: str, key: str) -> tuple[str | None, bytes | None]:
        return (
            (None, None) if value is None else values.dump(self._ledger.serde, value, thread=thread, key=key)
        )

    def _load(self, kind: str | None, blob: bytes | None, thread: str, key: str) -> Any:
        if kind is None or blob is None:
            return None
        return values.load(self._ledger.serde, kind, blob, thread=thread, key=key)


def is_due(ledger: Ledger, run_id: str) -> bool:
    """Whether some service sees to a run by itself."""
    with ledger.database.read() as connection:
        found = connection.execute("SELECT 1 FROM requests WHERE run_id = ? AND due IS NOT NULL", (run_id,))
        return found.fetchone() is not None
