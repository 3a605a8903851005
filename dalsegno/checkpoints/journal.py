"""What nodes did: their executions, and the effects they recorded."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Hashable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from dalsegno.checkpoints import values
from dalsegno.checkpoints.enlisting import Outcome
from dalsegno.checkpoints.failures import damage_named
from dalsegno.checkpoints.interface import AnyDatabase, Statements
from dalsegno.checkpoints.records import ExecutionRecord
from dalsegno.checkpoints.right_rows import right_execution
from dalsegno.nodes.paths import coded, shown

if TYPE_CHECKING:
    from langgraph.checkpoint.serde.base import SerializerProtocol

_WHY = {
    "given up": (
        "CancelledError",
        "It was done when nobody waited for it any more: its result was not taken.",
    ),
    "failed": (
        "ResultNotTaken",
        "It was done, and what came behind it raised, as a router: its result was not taken.",
    ),
}

_EXECUTION = (
    "run_id", "superstep", "node", "occurrence", "index", "attempt", "status", "started_at", "seconds",
    "targets", "error",
)  # fmt: skip


class Journal:
    """The node executions and recorded effects of one database; the part of the ledger that nodes write.

    Parameters
    ----------
    database
        The one that the checkpointer has too.
    serde
        Turns values into bytes; a strict one without further types where there is none.
    clock
        Unix seconds.
    """

    def __init__(
        self,
        database: AnyDatabase,
        serde: SerializerProtocol | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.database = database
        self._serde = serde
        self._clock = clock

    def now(self) -> float:
        """Unix seconds."""
        return self._clock()

    # --- effects ---

    def effect_get(self, key: str, name: str) -> tuple[bool, Any]:
        """Whether an effect is recorded under an idempotency key, and its result."""
        with self.database.read() as connection:
            row = self._effect(connection, key, name)
        return (True, self._load(row[1], row[2], row[0], name)) if row else (False, None)

    def effect_put(self, run_id: str, thread: str, key: str, name: str, value: Any) -> Any:
        """Record the result of an effect, committed at once, and give back the one that stands.

        The first writer wins: where a result is recorded already, that one is given back.
        """
        kind, blob = self._dump(value, thread, name)
        with self.database.transaction() as connection:
            written = connection.execute(
                "INSERT INTO effects (key, name, run_id, thread_id, type, value, recorded_at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key, name) DO NOTHING",
                (key, name, run_id, thread, kind, blob, self._clock()),
            )
            row = None if written.rowcount else self._effect(connection, key, name)
        return value if row is None else self._load(row[1], row[2], row[0], name)

    def _effect(self, connection: Statements, key: str, name: str) -> Any:
        return connection.execute(
            "SELECT thread_id, type, value FROM effects WHERE key = ? AND name = ?", (key, name)
        ).fetchone()

    # --- executions ---

    def journal(
        self,
        record: ExecutionRecord,
        *,
        tasks: Collection[str] = (),
        owner: Hashable = None,
        about: Any = None,
    ) -> None:
        """Note a node execution in the commit of its task's writes, or of the checkpoint that holds them: it
        costs none of its own, and is there only if they are.

        `tasks` are the task's id and that of the checkpoint it ran on; without them it goes with the next
        commit, whoever makes it. An execution that is ``done`` is noted so only with the result of its task: where
        that failed after it, or was given up beside another one's failure, the execution's result was not taken,
        and it is noted as what became of the task. `owner` is whose it is, for `Database.give_up`; `about` what
        `Database.waiting_about` tells while the result of such a one is not there.
        """
        row = (
            record.run_id, record.superstep, record.place, record.occurrence, record.index, record.attempt,
            record.status, record.started_at, record.seconds,
            values.dump_json([list(way) for way in record.targets], thread=record.run_id, key="targets"),
            values.dump_json(record.error, thread=record.run_id, key="error"),
        )  # fmt: skip
        is_result = record.status == "done" and bool(tasks)
        is_node = record.occurrence != 0  # else it is a router's decision, of which a node may have several
        self.database.enlist(
            "INSERT INTO executions (run_id, superstep, node, occurrence, idx, attempt, status, started_at, "
            "seconds, targets, error) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            row,
            tasks=tasks,
            instead=partial(_not_taken, row) if is_result else None,
            owner=owner,
            slot=(*row[:5], *tasks) if is_result and is_node else None,
            about=about if is_result else None,
        )

    def executions(self, run_id: str) -> list[ExecutionRecord]:
        """The committed node executions of a run, in the order in which they ended."""
        with self.database.read() as connection:
            rows = connection.execute(
                "SELECT run_id, superstep, node, occurrence, idx, attempt, status, started_at, seconds, "
                "targets, error FROM executions WHERE run_id = ? ORDER BY id",
                (run_id,),
            ).fetchall()
        return [_execution(row) for row in rows]

    def executed(self, run_id: str) -> int:
        """How many node executions of a run are done; one that a crash made happen twice is one."""
        with self.database.read() as connection:
            found = connection.execute(
                "SELECT COUNT(*) FROM (SELECT DISTINCT node, occurrence, idx FROM executions "
                "WHERE run_id = ? AND status = 'done' AND occurrence <> '0') AS done",
                (run_id,),
            ).fetchone()
        return int(found[0])

    # --- values ---

    @property
    def serde(self) -> SerializerProtocol:
        """What turns values into bytes and back."""
        if self._serde is None:
            from dalsegno.checkpoints.strict import StrictSerializer

            self._serde = StrictSerializer()
        return self._serde

    def _dump(self, value: Any, thread: str, key: str) -> tuple[str, bytes]:
        return values.dump(self.serde, value, thread=thread, key=key)

    def _load(self, kind: str, blob: bytes, thread: str, key: str, plain: bool = False) -> Any:
        if plain and kind == "msgpack" and self._serde is None:
            with suppress(ValueError):  # it needs LangGraph's serializer, which takes half a second to import
                return values.native(blob)
        if plain and hasattr(self.serde, "loads_plain"):
            return self.serde.loads_plain((kind, blob))
        return values.load(self.serde, kind, blob, thread=thread, key=key)


def _not_taken(row: tuple[Any, ...], outcome: Outcome) -> tuple[Any, ...] | None:
    """The row of an execution that was done and whose task was not; none of a decision that so was not taken."""
    if row[3] == 0:
        return None
    if outcome == "interrupted":
        return (*row[:6], outcome, *row[7:9], "[]", None)
    kind, message = _WHY[outcome]
    return (*row[:6], "failed", *row[7:9], "[]", json.dumps({"type": kind, "message": message}))


def _execution(row: tuple[Any, ...]) -> ExecutionRecord:
    fields = dict(zip(_EXECUTION, row, strict=True))
    if isinstance(fields["occurrence"], str) and fields["occurrence"].isdecimal():
        fields["occurrence"] = int(fields["occurrence"])  # a column of a server has one type
    for name in ("targets", "error"):
        with damage_named(f"of run {fields['run_id']}", name):
            fields[name] = values.load_json(fields[name])
    right_execution(fields)
    fields["targets"] = tuple(map(tuple, fields["targets"]))
    place = fields["node"]
    if isinstance(fields["occurrence"], int) and fields["occurrence"]:
        place = coded(place)  # of the outermost workflow: it was noted as its name once
    return ExecutionRecord(**{**fields, "node": shown(place)}, place=place)
