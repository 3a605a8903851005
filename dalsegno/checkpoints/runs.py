"""What the ledger knows of runs, read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dalsegno.checkpoints import values
from dalsegno.checkpoints.failures import damage_named
from dalsegno.checkpoints.fencing import holder_of
from dalsegno.checkpoints.interface import AnyDatabase
from dalsegno.checkpoints.journal import Journal
from dalsegno.checkpoints.lease import Holder
from dalsegno.checkpoints.records import RunOutcome, RunRecord, Status
from dalsegno.checkpoints.right_rows import right_run
from dalsegno.errors import UnknownRun, UnknownThread, did_you_mean

JSON_FIELDS = ("error", "usage", "certificate", "shape", "code", "process", "resumed")
"""Those of a run that are kept as JSON."""

_WHO = "run_id, thread_id, status"
_RUN = (
    f"{_WHO}, workflow, version, fingerprint, target, created_at, started_at, updated_at, "
    "finished_at, input_type, input, interrupts_type, interrupts, error, supersteps, usage, resumes, "
    "certificate, shape, code, process, resumed"
)
_OUTCOME = f"{_WHO}, workflow, started_at, finished_at, usage, resumes"
_LEADING = (
    "run_id", "thread", "status", "workflow", "version", "fingerprint", "target", "created_at",
    "started_at", "updated_at", "finished_at",
)  # fmt: skip


class Runs(Journal):
    """The part of the ledger that reads runs, and who holds their threads."""

    def holder(self, thread: str) -> Holder | None:
        """Who holds a thread, None if nobody living does."""
        with self.database.read() as connection:
            holder = holder_of(connection, thread)
        return holder if holder is not None and holder.alive(self._clock()) else None

    def one(self, run_id: str, *, plain: bool = False) -> RunRecord | None:
        """One run by its whole id; None where there is none. `plain` and errors are those of `get`."""
        rows = self._select("run_id = ?", (run_id,))
        return self._record(rows[0], plain) if rows else None

    def get(self, run_id: str, *, plain: bool = False) -> RunRecord:
        """One run by its id or by the beginning of its id.

        With `plain` a value of a type that may not be built is given as its plain data, for showing.

        Raises
        ------
        UnknownRun
            No run, or several, have that beginning.
        TypeNotAllowed
            The input holds a type that is not allowed.
        """
        found = self.one(run_id, plain=plain)
        if found is not None:
            return found
        # Of every run there is:
        rows = self._select("substr(run_id, 1, length(?1)) = ?1 ORDER BY run_id LIMIT 6", (run_id,))
        if not run_id:
            rows = []  # every id begins with nothing
        if len(rows) == 1:
            return self._record(rows[0], plain)
        if rows:
            several = ", ".join(row[0] for row in rows[:5]) + (", …" if len(rows) > 5 else "")
            raise UnknownRun(
                f"Several runs begin with `{run_id}`: {several}. Give more of the id.", run_id=run_id
            )
        with self.database.read() as connection:
            recent = connection.execute("SELECT run_id FROM runs ORDER BY id DESC LIMIT 1000").fetchall()
        hint = did_you_mean(run_id, (known for (known,) in recent))
        hint = hint or ". `dalsegno runs` lists those there are."
        raise UnknownRun(f"There is no run `{run_id}` in `{self.database.path}`{hint}", run_id=run_id)

    def given_up_for(self, run: RunRecord) -> str | None:
        """The last run of its thread, where that is another one and this one was not finished: nobody goes on with it,
        or can answer what it asks."""
        if run.status not in ("interrupted", "stopped"):
            return None
        latest = self.latest(run.thread, plain=True)
        return latest.run_id if latest is not None and latest.run_id != run.run_id else None

    def latest(self, thread: str, *, plain: bool = False) -> RunRecord | None:
        """The last run of a thread."""
        rows = self._select("thread_id = ? ORDER BY id DESC LIMIT 1", (thread,))
        return self._record(rows[0], plain) if rows else None

    def last(self, thread: str, *, plain: bool = False) -> RunRecord:
        """The last run of a thread that must have one. `plain` is that of `get`.

        Raises
        ------
        UnknownThread
            Nothing was run on it.
        """
        found = self.latest(thread, plain=plain)
        if found is not None:
            return found
        raise self.unknown(thread)

    def unknown(self, thread: str) -> UnknownThread:
        """The error of a thread that has no run: a name that is nearly its, or who may have written its checkpoints."""
        path = self.database.path
        if _has_checkpoints(self.database, str(thread)):
            words = (
                f"No `Runner` ran on thread {thread!r} in `{path}`: its checkpoints were imported, or written by a "
                "graph that has the checkpointer itself. It goes on by itself too: compile the graph with "
                f"`checkpointer=open_checkpointer({path!r})` of `dalsegno.checkpoints` and invoke it with None, or "
                "with `Command(resume=answer)`, and the thread's config."
            )
        else:
            with self.database.read() as connection:
                recent = connection.execute(
                    "SELECT thread_id FROM runs ORDER BY id DESC LIMIT 1000"
                ).fetchall()
            hint = did_you_mean(str(thread), dict.fromkeys(known for (known,) in recent)) or "."
            words = (
                f"Nothing was run on thread {thread!r} in `{path}`{hint} `dalsegno runs` lists what was, and `--db` "
                "names another database."
            )
        return UnknownThread(words, thread=thread)

    def runs(
        self,
        *,
        status: Status | None = None,
        workflow: str | None = None,
        thread: str | None = None,
        limit: int | None = None,
        before: str | None = None,
    ) -> list[RunRecord]:
        """Runs, newest first; a value of a type that may not be built is given as its plain data.

        With `before`, those that were recorded before the run of that id.
        """
        rows = self._matching(_RUN, status, workflow, thread, limit=limit, before=before)
        return [self._record(row, plain=True) for row in rows]

    def outcomes(
        self, *, status: Status | None = None, workflow: str | None = None, thread: str | None = None
    ) -> list[RunOutcome]:
        """What became of runs, newest first: of many, a tenth of the work of reading them whole."""
        rows = self._matching(_OUTCOME, status, workflow, thread)
        return [_outcome(row) for row in rows]

    def _matching(
        self,
        columns: str,
        status: Status | None,
        workflow: str | None,
        thread: str | None,
        *,
        limit: int | None = None,
        before: str | None = None,
    ) -> list[Any]:
        conditions: list[str] = ["1 = 1"]
        parameters: list[Any] = []
        for column, value in (("workflow", workflow), ("thread_id", thread)):
            if value is not None:
                conditions.append(f"{column} = ?")
                parameters.append(value)
        if before is not None:
            conditions.append("id < (SELECT id FROM runs WHERE run_id = ?)")
            parameters.append(before)
        if status is not None:
            # Whether a run recorded as running has stopped is known when its holder is looked at.
            conditions.append("status IN (?, 'running')" if status == "stopped" else "status = ?")
            parameters.append(status)
        where = " AND ".join(conditions) + " ORDER BY id DESC"
        if limit is not None and status not in ("running", "stopped"):
            where += " LIMIT ?"
            parameters.append(max(limit, 0))
        rows = [row for row in self._select(where, parameters, columns) if status in (None, row[2])]
        return rows if limit is None else rows[: max(limit, 0)]

    def _select(self, where: str, parameters: Sequence[Any], columns: str = _RUN) -> list[Any]:
        rows, someone_died = self._look(where, parameters, columns)
        # Who is dead has written what there is by now: the end of its run may have come behind the first look.
        return self._look(where, parameters, columns)[0] if someone_died else rows

    def _look(self, where: str, parameters: Sequence[Any], columns: str) -> tuple[list[Any], bool]:
        """Runs as they are in one view, and whether any of them is ``stopped`` because its holder is not alive."""
        checked = []
        with self.database.read() as connection:
            rows = connection.execute(f"SELECT {columns} FROM runs WHERE {where}", parameters).fetchall()
            now = self._clock()
            someone_died = False
            for row in rows:
                run_id, thread, status, *others = row
                if status == "running":
                    holder = holder_of(connection, thread)
                    if holder is None or holder.run_id != run_id or not holder.alive(now):
                        row, someone_died = (run_id, thread, "stopped", *others), True
                checked.append(row)
        return checked, someone_died

    def _record(self, row: Sequence[Any], plain: bool) -> RunRecord:
        thread = row[1]
        texts = zip(JSON_FIELDS, (row[15], row[17], *row[19:24]), strict=True)
        fields: dict[str, Any] = {}
        for name, text in texts:
            with damage_named(thread, name):
                fields[name] = values.load_json(text)
        fields["usage"], fields["resumed"] = fields["usage"] or {}, fields["resumed"] or []
        fields["input"] = self._load(row[11], row[12], thread, "input", plain)
        asked = self._load(row[13], row[14], thread, "interrupts", plain) if row[13] is not None else []
        fields["interrupts"] = [asked] if plain and isinstance(asked, str) else asked  # encrypted: its kind
        fields |= zip(_LEADING, row, strict=False)
        fields |= {"supersteps": row[16], "resumes": row[18]}
        right_run(fields)
        return RunRecord(**fields)


def _outcome(row: Sequence[Any]) -> RunOutcome:
    run_id, thread, status, workflow, started_at, finished_at, text, resumes = row
    with damage_named(thread, "usage"):
        usage = values.load_json(text) or {}
    fields = {"run_id": run_id, "thread": thread, "status": status, "workflow": workflow, "usage": usage}
    fields |= {"started_at": started_at, "finished_at": finished_at, "resumes": resumes}
    right_run(fields)
    return RunOutcome(**fields)


def _has_checkpoints(database: AnyDatabase, thread: str) -> bool:
    from dalsegno.checkpoints.opening import open_checkpointer  # which needs langgraph: only for this
    from dalsegno.checkpoints.strict import PlainReader

    config: Any = {"configurable": {"thread_id": thread}}
    return any(True for _ in open_checkpointer(database, serde=PlainReader()).list(config, limit=1))
