"""What the ledger tells of a run that goes on elsewhere, as events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dalsegno.distributed.advancing import is_settled
from dalsegno.distributed.orders import NEVER
from dalsegno.errors import DalsegnoError
from dalsegno.nodes.execution import Taken
from dalsegno.nodes.paths import names_of
from dalsegno.runtime.events import Event, NodeFailed, NodeFinished, NodeInterrupted, RunFinished, RunStarted

if TYPE_CHECKING:
    from dalsegno.checkpoints import ExecutionRecord, Ledger, RunRecord

SOONEST, LATEST = 0.05, 1.0
"""Seconds between two looks: short while something happens, longer each time that nothing did."""


class Following:
    """Looks at a run again and again; `over` once it has ended, pauses, or was given up for another one."""

    def __init__(self, ledger: Ledger, run_id: str) -> None:
        self.over = False
        self.pause = SOONEST
        self._ledger = ledger
        self._run_id = run_id
        self._told: set[tuple[object, ...]] = set()
        self._started = 0.0

    def look(self) -> list[Event]:
        """What was committed since the last look."""
        run = self._ledger.get(self._run_id, plain=True)  # first: what ended it is in the journal by then
        records = self._ledger.executions(self._run_id)
        events: list[Event] = []
        if run.status != "queued" and run.started_at != self._started:
            self._started = run.started_at
            events.append(
                RunStarted(
                    run_id=run.run_id,
                    thread=run.thread,
                    at=run.started_at,
                    workflow=run.workflow,
                    resumed=run.resumes > 0,
                )
            )
        # One may come to stand before what was told: its commit began first, and ended later.
        for record in records:
            if (name := _name(record)) not in self._told:
                self._told.add(name)
                events += _event(run, record)
        if is_settled(run, NEVER) or self._is_given_up(run):
            self.over = True
            events.append(
                RunFinished(
                    run_id=run.run_id,
                    thread=run.thread,
                    at=run.finished_at or run.updated_at,
                    workflow=run.workflow,
                    status=run.status,
                    seconds=max((run.finished_at or run.updated_at) - run.started_at, 0.0),
                    error=dict(run.error) if run.error else None,
                )
            )
        self.pause = SOONEST if events else min(self.pause * 2, LATEST)
        return events

    def _is_given_up(self, run: RunRecord) -> bool:
        """Whether nobody goes on with a run that was let go of: its thread has another one since."""
        if run.status != "stopped":
            return False
        latest = self._ledger.latest(run.thread, plain=True)
        return latest is not None and latest.run_id != run.run_id


def _name(record: ExecutionRecord) -> tuple[object, ...]:
    """What tells an execution from every other one of its run."""
    return (
        record.place,
        record.superstep,
        record.occurrence,
        record.index,
        record.attempt,
        record.status,
        record.started_at,
    )


def _event(run: RunRecord, record: ExecutionRecord) -> list[Event]:
    if record.occurrence == 0:  # a router outside of any node
        return []
    common: dict[str, Any] = {
        "run_id": run.run_id,
        "thread": run.thread,
        "at": record.started_at + record.seconds,
        "node": record.node,
        "place": record.place,
        "path": names_of(record.place),
        "superstep": record.superstep,
        "occurrence": record.occurrence,
        "index": record.index,
        "attempt": record.attempt,
        "seconds": record.seconds,
    }
    if record.status == "done":
        caught = f"{record.error['type']}: {record.error['message']}" if record.error else None
        return [NodeFinished(**common, taken=tuple(Taken(*way) for way in record.targets), caught=caught)]
    if record.status == "interrupted":
        return [NodeInterrupted(**common)]
    told = record.error or {}
    message = str(told.get("message", ""))
    return [
        NodeFailed(**common, error=DalsegnoError(f"{told.get('type', 'error')}: {message}"), message=message)
    ]
