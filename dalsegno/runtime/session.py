"""One process's part of a run: what the kernel of every node tells it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from langgraph.errors import GraphBubbleUp, GraphInterrupt
from langgraph.runtime import RunControl
from langgraph.types import Command

from dalsegno.checkpoints import ExecutionRecord, Ledger
from dalsegno.checkpoints.breakers import KeptBreakers
from dalsegno.checkpoints.lease import Lease
from dalsegno.checkpoints.spending import Note, commit_usage, keep_usage, note_of
from dalsegno.checkpoints.turns import KeptTurns
from dalsegno.errors import BudgetExceeded
from dalsegno.graphs.renaming import today, way_today
from dalsegno.nodes.execution import Breakers, Effects, Execution, SharedTurns, Taken, current_execution
from dalsegno.nodes.parts import fields
from dalsegno.nodes.paths import coded, prefix_of, shown
from dalsegno.nodes.policies import Account, Budget
from dalsegno.nodes.policies.clock import SYSTEM
from dalsegno.nodes.policies.words import words_of
from dalsegno.nodes.secrets import Secrets
from dalsegno.runtime.events import (
    Event,
    Listener,
    NodeFailed,
    NodeFinished,
    NodeInterrupted,
    NodeStarted,
    PolicyActed,
    RunFinished,
)
from dalsegno.runtime.fenced_effects import FencedEffects
from dalsegno.runtime.looking import Looking

if TYPE_CHECKING:
    from dalsegno.runtime.calls import CallWatch


class Session:
    """The `RunContext` of a run: journals executions, keeps failures, tells listeners, notices a cancel.

    Called from any thread. `clock` gives unix seconds. `names` maps the places that the run's nodes go on under to
    today's; listeners hear today's, the journal keeps the run's own. `executed` is as in `RunContext`. `hand_over`
    commits what an execution wrote that nobody has committed.
    """

    def __init__(
        self,
        run_id: str,
        thread: str,
        ledger: Ledger,
        listeners: Sequence[Listener],
        clock: Callable[[], float] = time.time,
        *,
        lease: Lease,
        names: Mapping[str, str] | None = None,
        executed: Mapping[tuple[str, str], int] | None = None,
        first_step: int = 0,
        budget: Budget | None = None,
        spent: Mapping[str, Any] | None = None,
        secrets: Secrets | None = None,
        kinds: Mapping[str, str] | None = None,
        hand_over: Callable[[Session, Execution], None] | None = None,
    ) -> None:
        self.run_id = run_id
        self.secrets = secrets or Secrets()
        self._kinds = kinds or {}
        self.lease = lease
        self.names = names or {}
        self.executed = executed or {}
        self.watch: CallWatch | None = None
        self.calls: CallWatch | None = None
        """`watch`, also where the run's own nodes do not bring it."""
        self.first_step = first_step
        """LangGraph's step number before the first superstep of a run without our kernel."""
        self.open: dict[str, tuple[Execution, int]] = {}
        """Executions of such a run that are under way, by their tasks."""
        self.control = RunControl()
        self.looking = Looking(ledger, run_id, self.control)
        self._effects = FencedEffects(self)
        self._breakers = KeptBreakers(ledger)
        self._turns = KeptTurns(ledger) if ledger.database.is_shared else None
        self.executions = int((spent or {}).get("executions", 0))
        self._account = Account(
            budget, spent, clock=budget.clock if budget is not None else SYSTEM, reserved=self._reserved
        )
        self.thread = thread
        self.ledger = ledger
        self.clock = clock
        self.failures: list[tuple[Execution, BaseException]] = []
        self.failing: dict[tuple[Any, ...], tuple[Execution, BaseException]] = {}
        """The last failure of each execution that was not done since, in the order in which they failed."""
        self._hand_over = hand_over
        self._here = threading.local()
        self._listeners = tuple(listeners)
        self._started: dict[Execution, tuple[float, float, int]] = {}
        self._routing: dict[str, Execution] = {}
        """Executions that are done, and whose routers LangGraph has yet to ask, by their tasks."""
        self._lock = threading.Lock()
        self.is_over = self.is_left = False
        self.is_told = False
        """Whether the end of the turn was told."""
        self.chunks: Any = None
        """What the chunks of its stream come from: it is not to be collected with what reads them, but ended then."""

    @property
    def effects(self) -> Effects:
        return self._effects

    @property
    def breakers(self) -> Breakers:
        return self._breakers

    @property
    def turns(self) -> SharedTurns | None:
        return self._turns

    @property
    def account(self) -> Account:
        return self._account

    def usage(self) -> dict[str, Any]:
        """What the run has used, in all its processes."""
        return {"executions": self.executions, **self._account.usage()}

    def shown(self, place: str) -> str:
        """A node's path, as people read it, in today's names; `place` is that in the run's own."""
        return shown(self._today(place))

    def _today(self, place: str) -> str:
        return today(place, self.names) if self.names else place

    def _ways_today(self, place: str, taken: Sequence[Taken]) -> tuple[Taken, ...]:
        if not self.names:
            return tuple(taken)
        prefix = prefix_of(place)
        return tuple(Taken(*way_today((t.target, t.label, t.counter), prefix, self.names)) for t in taken)

    def is_live(self, execution: Execution) -> bool:
        """Whether an attempt of a node is going on: it has not ended, and was not given up."""
        with self._lock:
            return execution.whole in self._started

    def started(self, execution: Execution, superstep: int) -> None:
        now = self.clock()
        with self._lock:
            self._started[execution] = now, time.monotonic(), self._account.version
        self.looking.look()
        if self._listeners:
            self.tell(NodeStarted.made(self._common(execution, superstep, now)))
        try:
            self._account.begin(execution.place, execution.before + 1 if execution.superstep else superstep)
        except BudgetExceeded as error:
            self.acted(execution, "budget", "exceeded", {"limit": error.what, "owner": error.owner})
            raise

    def given(self, output: Any) -> None:
        if not self.secrets:
            return
        for part in output if isinstance(output, list | tuple) else (output,):
            update = part.update if isinstance(part, Command) else part
            if isinstance(update, Mapping) or fields(type(update)):
                self.secrets.learn(update)

    def takes_thread(self, execution: Execution) -> None:
        before: Execution | None = getattr(self._here, "finished", None)
        if before is not None and before.checkpoint_id == execution.checkpoint_id:
            self._here.finished = None
            if self._hand_over is not None:
                self._hand_over(self, before)

    def finished(self, execution: Execution, superstep: int, taken: Sequence[Taken]) -> None:
        began, seconds, spent = self._ended(execution)
        with self._lock:
            self.executions += 1  # as the certificate counts: what failed or waited is executed again
            if self.failing:
                self.failing.pop(execution.identity, None)
            if execution.config is None and execution.task_id is not None and execution.left_to is None:
                self._routing[execution.task_id] = execution
        caught = self._told(execution, execution.caught) if execution.caught is not None else None
        self._journal(execution, superstep, "done", began, seconds, taken, caught, spent=spent)
        self._here.finished = execution
        self.looking.look()
        if self._listeners:
            told = self._common(execution, superstep, began + seconds)
            told["seconds"], told["taken"] = seconds, self._ways_today(execution.place, taken)
            told["caught"] = f"{caught['type']}: {caught['message']}" if caught else None
            self.tell(NodeFinished.made(told))

    def failed(self, execution: Execution, superstep: int, error: BaseException) -> None:
        with self._lock:
            if execution not in self._started:  # the pause before this attempt was broken off: it never began
                self._keep(execution, error)
                return
        began, seconds, spent = self._ended(execution)
        common = self._common(execution, superstep, began + seconds)
        if self.calls is not None:
            self.calls.give_up(execution)
        if isinstance(error, GraphBubbleUp):
            if isinstance(error, GraphInterrupt):
                self._journal(execution, superstep, "interrupted", began, seconds, spent=spent)
                self.tell(NodeInterrupted(**common, seconds=seconds))
            return
        with self._lock:
            self._keep(execution, error)
        told = self._told(execution, error)
        self._journal(execution, superstep, "failed", began, seconds, error=told, spent=spent)
        self.tell(NodeFailed(**common, seconds=seconds, error=error, message=told["message"]))

    def _keep(self, execution: Execution, error: BaseException) -> None:
        self.failures.append((execution, error))
        self.failing.pop(execution.identity, None)
        self.failing[execution.identity] = execution, error

    def masked(self, execution: Execution, text: str) -> str:
        self.secrets.learn(execution.argument)
        return self.secrets.text(text)

    def _told(self, execution: Execution, error: BaseException | str) -> dict[str, str]:
        # Of a failure whose handler is called by a resume nothing is kept but its `repr`.
        if isinstance(error, str):
            kind, message = error.partition("(")[0], error
        else:
            kind, message = type(error).__name__, words_of(error)
        return {"type": kind, "message": self.masked(execution, message)}

    def acted(self, execution: Execution, policy: str, what: str, detail: Mapping[str, Any]) -> None:
        """Count what a policy around a node did, and tell the listeners."""
        self._account.acted(execution.place, policy, what)
        if self._listeners:
            common = self._common(execution, execution.superstep, self.clock())
            del common["kind"]
            self.secrets.learn(execution.argument)
            self.tell(PolicyActed(**common, policy=policy, what=what, detail=self.secrets.shown(detail)))

    def routed(self, node: str, superstep: int, taken: Sequence[Taken], tasks: Collection[str] = ()) -> None:
        """Journal the decision of a router outside of any node as an execution of its own."""
        outer = current_execution()
        place = coded(node) if outer is None else f"{outer.place}/{coded(node)}"
        record = ExecutionRecord(
            run_id=self.run_id,
            superstep=superstep,
            node=shown(place),
            place=place,
            occurrence=0,
            started_at=self.clock(),
            targets=[(t.target, t.label, t.counter) for t in taken],
        )
        with self._lock:
            if not self.is_over:
                self.ledger.journal(record, tasks=tasks, owner=self.lease.token)

    def written(self, config: Mapping[str, Any]) -> None:
        with self._lock:
            execution = self._routing.pop(
                config["metadata"]["langgraph_checkpoint_ns"].rpartition(":")[2], None
            )
        if execution is not None:
            execution.config = config

    def is_cancelled(self) -> bool:
        return self.looking.seen()

    def failure_of(self, error: BaseException) -> Execution | None:
        """The execution in which that error was raised; the first that failed if it is another."""
        with self._lock:
            for execution, raised in self.failures:
                if raised is error:
                    return execution
        return None

    @property
    def is_heard(self) -> bool:
        """Whether anybody listens."""
        return bool(self._listeners)

    def tell(self, event: Event) -> None:
        """Hand an event to every listener; none of what goes on in some thread after the turn."""
        if isinstance(event, RunFinished):
            self.is_told = True
        elif self.is_over:
            return
        for listener in self._listeners:
            listener(event)

    def _ended(self, execution: Execution) -> tuple[float, float, bool]:
        """When an execution began, how many seconds it took, and whether the run has spent something meanwhile."""
        now, end = self.clock(), time.monotonic()  # the first may be set while the node is executed
        with self._lock:
            began, since, version = self._started.pop(execution, (now, end, 0))
        return began, end - since, version < self._account.version

    def _common(self, execution: Execution, superstep: int, at: float) -> dict[str, Any]:
        place = self._today(execution.place)
        return {
            "run_id": self.run_id,
            "thread": self.thread,
            "at": at,
            "node": shown(place),
            "place": place,
            "path": execution.path,
            "kind": self._kinds.get(place, "function"),
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
        *,
        spent: bool,
    ) -> None:
        record = ExecutionRecord(
            run_id=self.run_id,
            superstep=superstep,
            node=execution.node,
            place=execution.place,
            occurrence=execution.number,
            index=execution.index,
            attempt=execution.attempt,
            status=status,
            started_at=began,
            seconds=seconds,
            targets=[(t.target, t.label, t.counter) for t in taken],
            error=error,
        )
        with self._lock:
            if self.is_over:
                return
            self.ledger.journal(record, tasks=execution.tasks, owner=self.lease.token, about=execution.keeper)
            if spent:  # in the same commit as the node's writes, whatever others have noted for theirs
                keep_usage(self.ledger, self.lease, self._note(), tasks=execution.tasks)

    def end(self) -> None:
        """The turn is over: no task writes anything more, and what still ends in some thread is not heard.

        What was done and not committed is journalled as given up, with the record of how the turn ended.
        """
        with self._lock:
            self.is_over = True
            self.ledger.database.give_up(self.lease.token)

    def _reserved(self) -> None:
        """A model is about to be called: where calls are limited, a crash during the call forgets none."""
        if self._account.is_metered:
            commit_usage(self.ledger, self.noted())

    def noted(self) -> Note:
        """What the run has used by now."""
        with self._lock:
            return self._note()

    def _note(self) -> Note:
        """As `noted`; under the lock, so that what is noted later is never less."""
        return note_of(self.ledger, self.lease, self.usage())
