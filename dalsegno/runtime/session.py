"""One process's part of a run: what the kernel of every node tells it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from langgraph.errors import GraphBubbleUp, GraphInterrupt

from dalsegno.checkpoints import ExecutionRecord, Ledger
from dalsegno.nodes.execution import Effects, Execution, Taken
from dalsegno.runtime.events import Event, Listener, NodeFailed, NodeFinished, NodeInterrupted, NodeStarted


class Session:
    """The `RunContext` of a run: journals executions, keeps failures, tells listeners.

    Called from any thread. `clock` gives unix seconds.
    """

    def __init__(
        self,
        run_id: str,
        thread: str,
        ledger: Ledger,
        listeners: Sequence[Listener],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.run_id = run_id
        self.thread = thread
        self.ledger = ledger
        self.clock = clock
        self.executions = 0
        self.failures: list[tuple[Execution, BaseException]] = []
        self._listeners = tuple(listeners)
        self._started: dict[Execution, float] = {}
        self._lock = threading.Lock()

    @property
    def effects(self) -> Effects:
        return self.ledger

    def started(self, execution: Execution, superstep: int) -> None:
        now = self.clock()
        with self._lock:
            self._started[execution] = now
        if self._listeners:
            self.tell(NodeStarted(**self._common(execution, superstep, now)))

    def finished(self, execution: Execution, superstep: int, taken: Sequence[Taken]) -> None:
        began, seconds = self._ended(execution)
        self._journal(execution, superstep, "done", began, seconds, taken)
        if self._listeners:
            common = self._common(execution, superstep, began + seconds)
            self.tell(NodeFinished(**common, seconds=seconds, taken=tuple(taken)))

    def failed(self, execution: Execution, superstep: int, error: BaseException) -> None:
        began, seconds = self._ended(execution)
        common = self._common(execution, superstep, began + seconds)
        if isinstance(error, GraphBubbleUp):
            if isinstance(error, GraphInterrupt):
                self._journal(execution, superstep, "interrupted", began, seconds)
                self.tell(NodeInterrupted(**common, seconds=seconds))
            return
        with self._lock:
            self.failures.append((execution, error))
        message = {"type": type(error).__name__, "message": str(error)}
        self._journal(execution, superstep, "failed", began, seconds, error=message)
        self.tell(NodeFailed(**common, seconds=seconds, error=error))

    def routed(self, node: str, superstep: int, taken: Sequence[Taken], task: str | None = None) -> None:
        """Journal the decision of a router outside of any node as an execution of its own."""
        record = ExecutionRecord(
            run_id=self.run_id,
            superstep=superstep,
            node=node,
            occurrence=0,
            started_at=self.clock(),
            targets=[(t.target, t.label, t.counter) for t in taken],
        )
        self.ledger.journal(record, task=task)

    def failure_of(self, error: BaseException) -> Execution | None:
        """The execution in which that error was raised; the first that failed if it is another."""
        with self._lock:
            for execution, raised in self.failures:
                if raised is error:
                    return execution
        return None

    def tell(self, event: Event) -> None:
        """Hand an event to every listener."""
        for listener in self._listeners:
            listener(event)

    def _ended(self, execution: Execution) -> tuple[float, float]:
        now = self.clock()
        with self._lock:
            self.executions += 1
            began = self._started.pop(execution, now)
        return began, now - began

    def _common(self, execution: Execution, superstep: int, at: float) -> dict[str, Any]:
        return {
            "run_id": self.run_id,
            "thread": self.thread,
            "at": at,
            "node": execution.node,
            "superstep": superstep,
            "occurrence": execution.occurrence,
            "index": execution.index,
            "attempt": execution.attempt,
        }

    def _journal(
        self,
        execution: Execution,
        superstep: int,
        status: Any,
        began: float,
        seconds: float,
        taken: Sequence[Taken] = (),
        error: dict[str, str] | None = None,
    ) -> None:
        self.ledger.journal(
            ExecutionRecord(
                run_id=self.run_id,
                superstep=superstep,
                node=execution.node,
                occurrence=execution.occurrence,  # type: ignore[arg-type]  # the column takes either
                index=execution.index,
                attempt=execution.attempt,
                status=status,
                started_at=began,
                seconds=seconds,
                targets=[(t.target, t.label, t.counter) for t in taken],
                error=error,
            ),
            task=execution.task_id,
        )
