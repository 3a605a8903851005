"""The ledger: every run, who may write its thread, what it executed, and the effects it recorded."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from dalsegno.checkpoints import values
from dalsegno.checkpoints.claims import Claim, record
from dalsegno.checkpoints.failures import damage_named
from dalsegno.checkpoints.fencing import holder_of, taken_over
from dalsegno.checkpoints.interface import AnyDatabase, Statements
from dalsegno.checkpoints.lease import Heartbeat, Lease, drop, hold, is_held, this_process
from dalsegno.checkpoints.records import STATUSES, RunRecord, Status
from dalsegno.checkpoints.runs import JSON_FIELDS, Runs
from dalsegno.checkpoints.spending import note_usage
from dalsegno.errors import CheckpointError, ThreadBusy, UnknownRun

if TYPE_CHECKING:
    from langgraph.checkpoint.serde.base import SerializerProtocol

_FINISHING = frozenset({"error", "interrupts", "supersteps", "usage", "certificate", "shape", "code"})
_RESUMES = 1_000
"""How many of the latest resumes of a run are kept."""
_WAS = ("status", "resumes", "started_at", "finished_at", "supersteps")
"""What `abandon_resume` gives back to a run, beside its error and its interrupts."""


class Ledger(Runs):
    """The runs of one database. Its SQL is what SQLite and PostgreSQL both understand.

    Parameters
    ----------
    database
        The one that the checkpointer has too.
    serde
        Turns inputs, interrupts and effects into bytes; the checkpointer's, so that the same types are
        allowed. A strict one without further types where there is none.
    clock
        Unix seconds.
    heartbeat
        Seconds between signs of life while a run is active.
    expiry
        Seconds after which a holder on another machine without a sign of life counts as dead. On the
        same machine a dead holder is known at once.
    """

    def __init__(
        self,
        database: AnyDatabase,
        serde: SerializerProtocol | None = None,
        *,
        clock: Callable[[], float] = time.time,
        heartbeat: float = 15.0,
        expiry: float = 60.0,
    ) -> None:
        super().__init__(database, serde, clock=clock)
        self._expiry = expiry
        self._leases: dict[str, Lease] = {}
        self._heartbeat = Heartbeat(self.renew, heartbeat)

    # --- a run begins, goes on, ends ---

    def begin(
        self,
        *,
        run_id: str,
        thread: str,
        workflow: str,
        input: Any = None,
        version: str = "0",
        fingerprint: str = "",
        target: str | None = None,
        certificate: Mapping[str, Any] | None = None,
        shape: Mapping[str, Any] | None = None,
        code: Mapping[str, str | None] | None = None,
        claim: Claim | None = None,
    ) -> Lease:
        """Record a run as running and take its thread, in one commit.

        The input is in it, so that a kill before the first checkpoint loses nothing. `claim` is that of an engine,
        which takes the thread from an earlier claim of its, stalled or alive.

        Raises
        ------
        ThreadBusy
            A living process holds the thread; `.holder` says which.
        Fenced
            A later claim came before this one.
        NotSerializable, TypeNotAllowed
            The input cannot be kept. Nothing is recorded.
        """
        now = self._clock()
        kind, blob = self._dump(input, thread, "input")
        extra = {"certificate": certificate, "shape": shape, "code": code, "process": _process()}
        texts = {key: values.dump_json(value, thread=thread, key=key) for key, value in extra.items()}
        lease = Lease(thread, run_id, noted=now)
        with self.database.transaction() as connection:
            self._take(connection, lease, now, claim)
            written = connection.execute(
                "INSERT INTO runs (run_id, thread_id, workflow, version, fingerprint, target, status, "
                "created_at, started_at, updated_at, input_type, input, certificate, shape, code, "
                "process) VALUES (?, ?, ?, ?, ?, ?, 'running', ?, ?, ?, ?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (run_id) DO NOTHING",
                (
                    run_id, thread, workflow, version, fingerprint, target, now, now, now, kind, blob,
                    *texts.values(),
                ),
            )  # fmt: skip
            if not written.rowcount:
                raise CheckpointError(
                    f"There is a run {run_id} already; use a new id, or resume it.", run_id=run_id
                )
            connection.execute(  # one that was given up before it had begun never will
                "UPDATE runs SET status = 'cancelled', updated_at = ?1, finished_at = ?1 "
                "WHERE thread_id = ?2 AND status = 'queued' AND run_id <> ?3",
                (now, thread, run_id),
            )
        return self._active(lease)

    def acquire(self, thread: str, run_id: str, *, claim: Claim | None = None) -> Lease:
        """Take the thread to go on with a run: it is running again, resumed once more; a queued one begins.

        Raises
        ------
        ThreadBusy
            A living process holds the thread; `.holder` says which.
        Fenced
            A later claim came before this one.
        UnknownRun
            The thread has no such run.
        """
        now = self._clock()
        lease = Lease(thread, run_id, noted=now)
        process = values.dump_json(_process(), thread=thread, key="process")
        with self.database.transaction() as connection:
            self._take(connection, lease, now, claim)
            found = connection.execute(
                "SELECT status, resumes, resumed FROM runs WHERE run_id = ? AND thread_id = ?",
                (run_id, thread),
            ).fetchone()
            if found is None:
                raise UnknownRun(f"Thread {thread!r} has no run {run_id}.", run_id=run_id)
            status, resumes, resumed = found
            if status != "queued":
                resumes += 1
                with damage_named(thread, "resumed"):
                    resumed = json.dumps([*(values.load_json(resumed) or ()), now][-_RESUMES:])
            connection.execute(
                "UPDATE runs SET status = 'running', started_at = ?, updated_at = ?, resumes = ?, resumed = ?, "
                "finished_at = NULL, process = ? WHERE run_id = ?",
                (now, now, resumes, resumed, process, run_id),
            )
        return self._active(lease)

    def finish(self, lease: Lease, status: Status, **fields: Any) -> None:
        """Record how a run ended, or why it pauses, and release its thread, in one commit.

        `fields` are any of error, interrupts, supersteps, usage, certificate, shape, code.

        Raises
        ------
        ThreadBusy
            Another process has taken the thread over meanwhile: the outcome is not this one's to record.
        """
        unknown = set(fields) - _FINISHING
        if status not in STATUSES or unknown:
            what = f"field `{sorted(unknown)[0]}`" if unknown else f"status {status!r}"
            raise CheckpointError(f"A run has no {what}.", run_id=lease.run_id)
        now = self._clock()
        columns: dict[str, Any] = {"status": status, "updated_at": now, "finished_at": now}
        self._record_end(lease, columns, fields)

    def abandon_resume(self, lease: Lease, run: RunRecord) -> None:
        """Release a thread that was acquired for `run`, and could not be gone on with: the run is as it was.

        A run whose process had died is ``stopped`` then.
        """
        columns: dict[str, Any] = {name: getattr(run, name) for name in _WAS}
        if run.status == "running":
            columns["status"] = "stopped"
        self._record_end(
            lease, columns, {"error": run.error, "interrupts": run.interrupts, "resumed": list(run.resumed)}
        )

    def let_go(self, lease: Lease) -> None:
        """Live up to a lease no longer, of a run whose end could not be recorded: whoever resumes it takes it over."""
        self._release(lease)

    def _record_end(self, lease: Lease, columns: dict[str, Any], fields: Mapping[str, Any]) -> None:
        for name, value in fields.items():
            if name == "interrupts":
                columns["interrupts_type"], columns["interrupts"] = self._dump(
                    list(value), lease.thread, "interrupts"
                )
            else:
                columns[name] = (
                    values.dump_json(value, thread=lease.thread, key=name) if name in JSON_FIELDS else value
                )
        # Errors and interrupts are those of the last start.
        for name in ("error", "interrupts_type", "interrupts"):
            columns.setdefault(name, None)
        assignments = ", ".join(f"{name} = ?" for name in columns)
        with self.database.transaction() as connection:
            self.database.lock(lease.thread)
            released = connection.execute(
                "DELETE FROM leases WHERE thread_id = ? AND token = ?", (lease.thread, lease.token)
            )
            if not released.rowcount:
                self._release(lease)
                lease.lost = True
                raise taken_over(
                    connection, lease.thread, f"run {lease.run_id} is no longer this one's to record"
                )
            connection.execute(
                f"UPDATE runs SET {assignments} WHERE run_id = ?", (*columns.values(), lease.run_id)
            )
        self._release(lease)

    def renew(self) -> bool:
        """Give a sign of life for every active lease; the heartbeat calls it. False if there is none."""
        leases = [lease for lease in list(self._leases.values()) if is_held(lease.token)]
        if not leases:
            return False
        notes = []
        for lease in leases:
            if (used := lease.note) is not None:
                with contextlib.suppress(Exception):  # a sign of life is given all the same
                    notes.append(used())
        # A beat that fails is made up for by the next one, long before the lease expires.
        with contextlib.suppress(Exception), self.database.transaction() as connection:
            for lease in leases:
                renewed = connection.execute(
                    "UPDATE leases SET expires_at = ? WHERE thread_id = ? AND token = ?",
                    (self._clock() + self._expiry, lease.thread, lease.token),
                )
                if not renewed.rowcount:
                    lease.lost = lease.token in self._leases
            for note in (
                notes
            ):  # behind the leases, as `finish` has it: of two who lock rows neither waits for the other
                note_usage(connection, note)
        return True

    def _take(self, connection: Statements, lease: Lease, now: float, claim: Claim | None) -> None:
        self.database.lock(lease.thread)
        holder = holder_of(connection, lease.thread)
        is_later = claim is not None and record(connection, lease.thread, claim)
        # Of two claims the later one has the thread; whoever has it without one is left alone while it lives.
        if holder is not None and not (is_later and holder.owner) and holder.alive(now):
            raise ThreadBusy(
                f"Thread {lease.thread!r} is held by {holder}. {holder.remedy(lease.thread)}",
                thread=lease.thread,
                holder=holder,
            )
        me = this_process()
        connection.execute(
            "INSERT INTO leases (thread_id, run_id, token, host, boot, namespace, pid, started, "
            "since, expires_at, owner) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (thread_id) DO UPDATE SET "
            "run_id = excluded.run_id, token = excluded.token, host = excluded.host, boot = excluded.boot, "
            "namespace = excluded.namespace, pid = excluded.pid, started = excluded.started, "
            "since = excluded.since, expires_at = excluded.expires_at, owner = excluded.owner",
            (
                lease.thread, lease.run_id, lease.token, me.host, me.boot, me.namespace, me.pid, me.started,
                now, now + self._expiry, claim.owner if claim is not None else None,
            ),
        )  # fmt: skip

    def _active(self, lease: Lease) -> Lease:
        hold(lease.token)
        self._leases[lease.token] = lease
        try:
            self._heartbeat.start()
        except BaseException:  # no more threads: whoever was to run it has not got it
            self._release(lease)
            raise
        return lease

    def _release(self, lease: Lease) -> None:
        drop(lease.token)
        lease.note = None
        self._leases.pop(lease.token, None)
        if not self._leases:
            self._heartbeat.stop()
        if self._leases:  # another run has begun meanwhile, and found it beating
            self._heartbeat.start()

    # --- deleting ---

    def delete_thread(self, thread: str) -> None:
        """Delete the runs, executions and effects of a thread, and its lease.

        Raises
        ------
        ThreadBusy
            A living process holds the thread.
        """
        with self.database.transaction() as connection:
            self.database.lock(thread)
            holder = holder_of(connection, thread)
            if holder is not None and holder.alive(self._clock()):
                raise ThreadBusy(
                    f"Thread {thread!r} is held by {holder} and cannot be deleted. {holder.remedy(thread)}",
                    thread=thread,
                    holder=holder,
                )
            connection.execute(
                "DELETE FROM executions WHERE run_id IN (SELECT run_id FROM runs WHERE thread_id = ?)",
                (thread,),
            )
            for table in ("runs", "effects", "leases", "claims", "requests"):
                connection.execute(f"DELETE FROM {table} WHERE thread_id = ?", (thread,))


def _process() -> dict[str, Any]:
    me = this_process()
    return {"pid": me.pid, "host": me.host}
