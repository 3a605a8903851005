"""The checkpointer: LangGraph's checkpoints in the tables of its own `PostgresSaver`."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import psycopg
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
    get_checkpoint_id,
    get_serializable_checkpoint_metadata,
)
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.serde.base import SerializerProtocol

from dalsegno.checkpoints.checkpointer import Checkpointer, check_limit, place_in
from dalsegno.checkpoints.failures import check_names
from dalsegno.checkpoints.fencing import in_the_way, taken_over, token_of
from dalsegno.checkpoints.lease import held_tokens
from dalsegno.checkpoints.postgres import failures, rows
from dalsegno.checkpoints.postgres.database import PostgresDatabase
from dalsegno.checkpoints.postgres.session import Session
from dalsegno.checkpoints.strict import Allowed, StrictSerializer
from dalsegno.checkpoints.task_writes import kept_of, outcome_of
from dalsegno.errors import ThreadBusy

_GUARD = "SELECT guard($1, $2, $3)"
_TRIES = 20  # to write to a thread of dead processes, where another one takes it meanwhile
_GROUP = 50  # checkpoints that a listing reads at once, at most
_GROUP_BYTES = 32_000_000  # of their values

_APART = random.SystemRandom()

Places = list[tuple[str, str, str]]
"""Thread, namespace and id of checkpoints."""


class PostgresCheckpointer(Checkpointer):
    """Keeps every checkpoint of every thread in a PostgreSQL database, for any LangGraph graph.

    The tables are those of LangGraph's `PostgresSaver`, which reads them too; a step stores the channels that it has
    changed. Every write asks in its own transaction whether the thread is still the writer's: one that was taken over
    raises `Fenced`. Sync and async methods work on the same object, from any thread and any event loop.

    Parameters
    ----------
    url
        ``postgresql://user:password@host/database``, or a `PostgresDatabase` to share.
    allow
        Types, or (module, name) pairs, that may be read back beside LangGraph's safe ones.
    serde
        Replaces the strict serializer, and with it `allow`.

    Raises
    ------
    TypeNotAllowed
        A stored value, or one to be stored, is of a type that is not allowed.
    NotSerializable
        A value cannot be stored; the checkpoint before it stands.
    Fenced
        The thread was taken over by another process, or another living process has it.
    DatabaseInvalid, DatabaseUnavailable
        The database cannot be used; see `PostgresDatabase`.
    """

    database: PostgresDatabase

    def __init__(
        self,
        url: str | PostgresDatabase,
        *,
        allow: Iterable[Allowed] = (),
        serde: SerializerProtocol | None = None,
    ) -> None:
        super().__init__(serde=serde if serde is not None else StrictSerializer(allow))
        self.database = url if isinstance(url, PostgresDatabase) else PostgresDatabase(url)

    # --- writing ---

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Store a checkpoint, and the values of the channels in `new_versions`, in one commit."""
        thread, namespace = place_in(config)
        parent = get_checkpoint_id(config)
        described = get_serializable_checkpoint_metadata(config, metadata)
        row, blobs = rows.dump(self.serde, checkpoint, described, new_versions, thread)
        place = (thread, namespace, checkpoint["id"])

        def statements(session: Session) -> None:
            if blobs:
                session.send(rows.PUT_BLOBS, (thread, namespace, *blobs))
            session.send(rows.PUT_CHECKPOINT, (*place, parent, *row))

        # All tasks that ran on the parent are done.
        task = {parent: "done"} if parent else None
        with self._in_turn(self.database.under_way.next_checkpoint(thread, (thread, namespace, parent))):
            self._write(
                config, thread, statements, task, "what it had still to write is not kept", rows.HAS, place
            )
        return _config(place)

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Store what a task wrote, to be found with the checkpoint it ran on; see `SqliteCheckpointer.put_writes`."""
        thread, namespace = place_in(config)
        on = (thread, namespace, str(get_checkpoint_id(config)))
        # Before anything else: the checkpoint behind it may be put while the values are turned into bytes.
        with self._in_turn(self.database.under_way.write(thread, on)):
            self._put_writes(config, (*on, task_id), writes, task_path)

    def _put_writes(
        self,
        config: RunnableConfig,
        place: tuple[str, str, str, str],
        writes: Sequence[tuple[str, Any]],
        path: str,
    ) -> None:
        thread, *_, task_id = place
        outcome = outcome_of(writes)
        # One for each index: a task that was answered twice in a turn says so twice, and the last one holds.
        kept = [*{one[0]: one for one in kept_of(self.serde, writes, outcome, thread)}.values()]

        def statements(session: Session) -> None:
            if kept:
                columns = rows.columns_of(kept)
                session.send(rows.PUT_WRITES, (*place, path, *columns))

        task = {task_id: outcome} if outcome is not None else None
        probe = (*place, kept[-1][0], kept[-1][3]) if kept else ()
        self._write(config, thread, statements, task, "what a task wrote is not kept", rows.HAS_WRITE, probe)

    def _in_turn(self, turn: AbstractContextManager[None]) -> AbstractContextManager[None]:
        """Who is in a transaction waits for nobody, who may wait for its locks."""
        return turn if self.database.session is None else nullcontext()

    def _write(
        self,
        config: RunnableConfig,
        thread: str,
        statements: Any,
        task: Mapping[str, Any] | None,
        lost: str,
        probe: str,
        parameters: Sequence[Any],
    ) -> None:
        """Have something written to a thread by whoever may; `probe` finds what was written by it already."""
        token = token_of(config, self.database, thread)
        permitted: list[str] = []

        def guarded(session: Session) -> None:
            mine = [*held_tokens(), *permitted] if token is None else []
            session.send(_GUARD, (thread, token, mine))
            statements(session)

        def is_done(session: Session) -> bool:
            return bool(parameters) and session.send(probe, parameters).fetchone() is not None

        for _ in range(_TRIES):
            try:
                self.database.write(guarded, task, is_done=is_done, owner=token)
                return
            except psycopg.Error as error:
                if error.sqlstate != failures.FENCED:
                    raise
            with self.database.read() as session:
                if token is not None:
                    raise taken_over(session, thread, lost)
                # Nobody's run writes: it may, where the run that has the thread is of a process that died.
                permitted.append(in_the_way(session, thread))
        raise ThreadBusy(
            f"Thread {thread!r} is taken by one process after another: {lost}. Wait until they are done.",
            thread=thread,
            holder=None,
        )

    def get_next_version(self, current: str | None, channel: None) -> str:
        """As LangGraph's: a number that rises, and beside it one that tells branches apart; also where a node seeds
        `random`, of which LangGraph's own takes it: of two branches one would have the other's values."""
        number = current if isinstance(current, int) else int((current or "0").partition(".")[0])
        return f"{number + 1:032}.{_APART.random():016}"

    # --- reading ---

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The checkpoint that `config` names, or the latest of its thread and namespace."""
        thread, namespace = place_in(config)
        checkpoint_id = get_checkpoint_id(config)
        with self.database.read() as session:
            if checkpoint_id:
                found = session.send(rows.ONE, (thread, namespace, checkpoint_id), binary=True).fetchone()
            else:
                found = session.send(rows.LATEST, (thread, namespace), binary=True).fetchone()
            found = rows.whole(session, found) if found is not None else None
        return rows.built(self.serde, found) if found is not None else None

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Checkpoints, newest first. They are read in groups, smaller ones where they are large, and no connection is
        held in between."""
        check_limit(limit)
        sql, parameters, rest = rows.search(config, filter or {}, before, limit)
        with self.database.read() as session:
            places: Places = session.send(sql, parameters).fetchall()
        wanted = len(places) if limit is None else limit
        start, size = 0, 1
        while start < len(places):
            group = places[start : start + size]
            with self.database.read() as session:
                each = session.send(rows.MANY, rows.columns_of(group), binary=True).fetchall()
                each = [rows.whole(session, row) for row in each]
            start += size
            fits = len(each) * _GROUP_BYTES // max(sum(map(rows.weight, each)), 1)
            size = max(1, min(2 * size, _GROUP, fits))
            for row in each:
                found = rows.built(self.serde, row)
                if all(found.metadata.get(key) == value for key, value in rest.items()):
                    if wanted <= 0:
                        return
                    wanted -= 1
                    yield found

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """What each `DeltaChannel` is rebuilt from: its last stored value and the writes since, in one view."""
        with self.database.read() as session:
            saver = PostgresSaver(session.connection, serde=self.serde)
            return saver.get_delta_channel_history(config=config, channels=channels)

    # --- deleting and copying ---

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete the checkpoints that carry one of these run ids in their metadata, and their writes.

        Raises
        ------
        CheckpointError
            One of them is of a thread with a `DeltaChannel`, which may be rebuilt from it. Nothing is deleted.
        ThreadBusy
            A run of a living process has a thread of theirs. Nothing is deleted.
        """
        check_names(run_ids, "run_ids")
        self.database.upkeep().delete_runs(run_ids)

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy everything of one thread to another: all checkpoints, values and writes.

        Raises
        ------
        ThreadBusy
            A run of a living process has the other one.
        """
        with self.database.transaction() as session:
            self.database.upkeep().copy(str(source_thread_id), str(target_thread_id))
            in_the_way(session, str(target_thread_id), mine=True)  # it is locked by now


def _config(place: tuple[str, str, str]) -> RunnableConfig:
    thread, namespace, checkpoint_id = place
    return {"configurable": {"thread_id": thread, "checkpoint_ns": namespace, "checkpoint_id": checkpoint_id}}
