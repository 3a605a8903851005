"""A circuit breaker: what failed again and again is not called for a while.

After M. Nygard, *Release It!*; states and the single probe as in Hystrix.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from dalsegno.errors import CircuitOpen, DefinitionError
from dalsegno.nodes.execution import CURRENT, Breakers
from dalsegno.nodes.paths import coded
from dalsegno.nodes.policies.case import (
    AsyncCall,
    Call,
    Case,
    ErrorFilter,
    check_filter,
    is_fault,
    matches,
    number,
)
from dalsegno.nodes.policies.clock import SYSTEM, Clock
from dalsegno.nodes.policies.keeping import afound, akept, found, kept

NAMESPACE = ("dalsegno", "breakers")
"""Where LangGraph's store keeps the breakers."""

LOOK = 1.0
"""Seconds between two looks at what other processes have made of a breaker, when it is asked for a call."""


@dataclass(frozen=True, kw_only=True)
class CircuitBreaker:
    """Stops calling what keeps failing.

    While it is closed, calls go through and failures are counted. After `failures` of them within `window` seconds it
    opens: for `recovery` seconds, every call fails at once with `CircuitOpen`. Then it is half open: one call goes
    through as a probe, and its outcome closes the breaker or opens it again.

    All runs of a process share a breaker: this object or, with a `name`, all breakers of that name. When a node's
    breaker opens or closes, that is stored in the graph's store (LangGraph's `BaseStore`) if it has one, else in the
    run's database. A restart does not forget it, and processes that share the database learn it from each other
    within a second. Each process probes on its own.

    Parameters
    ----------
    name
        Breakers of one name share their state. Without a name, the state is stored under its workflow and node.
    failures
        How many failures open it.
    window
        Seconds within which failures count.
    recovery
        Seconds for which it stays open.
    on
        Which errors count: exception classes, or a function of the error. None: any `Exception`.
    """

    name: str | None = None
    failures: int = 5
    window: float = 60.0
    recovery: float = 30.0
    on: ErrorFilter | None = None
    clock: Clock = field(default=SYSTEM, repr=False, compare=False)
    state: Circuit = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.name is not None and not (isinstance(self.name, str) and self.name):
            raise DefinitionError(f"CircuitBreaker(name={self.name!r}): a name is a text, or left out.")
        number("CircuitBreaker(failures)", self.failures, least=1, whole=True)
        number("CircuitBreaker(window)", self.window, above=0)
        number("CircuitBreaker(recovery)", self.recovery, above=0)
        check_filter("CircuitBreaker(on)", self.on)
        with _naming:
            state = Circuit() if self.name is None else _named.setdefault(self.name, Circuit())
        object.__setattr__(self, "state", state)


class Circuit:
    """The state of a breaker: ``"closed"``, ``"open"`` or ``"half open"``. Times are unix seconds.

    `changed_at` is when it opened or closed; `looked_at`, on a clock for durations, when it was last looked at what
    others have made of it.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.failures: deque[float] = deque()
        self.opened_at: float | None = None
        self.probing = False
        self.changed_at = -math.inf
        self.looked_at = -math.inf

    @property
    def name(self) -> str:
        """In which state it is."""
        return "closed" if self.opened_at is None else "half open" if self.probing else "open"

    def reset(self) -> None:
        """Close it and forget every failure."""
        with self.lock:
            self.failures.clear()
            self.opened_at, self.probing = None, False


_named: dict[str, Circuit] = {}
_naming = threading.Lock()


class BreakerLayer:
    """A breaker around a call; where it is kept, it goes by its name, or by `owner`, those of a workflow and a node."""

    def __init__(self, policy: CircuitBreaker, owner: Sequence[str]) -> None:
        self._policy = policy
        self._key = policy.name or "/".join(map(coded, owner))
        self._name = policy.name or "/".join(owner)
        self._circuit = policy.state

    def around(self, inner: Call) -> Call:
        def call(case: Case) -> Any:
            if self._is_to_look():
                if case.store is not None:
                    self._learn(_in_store(found(case, "breaker", case.store, NAMESPACE, self._key)))
                elif (ledger := _ledger(case)) is not None:
                    self._learn(ledger.breaker_get(self._key))
            probe = self._enter(case)
            try:
                result = inner(case)
            except BaseException as error:
                if self._failed(case, error, probe) and (value := self._keep(case)) is not None:
                    kept(case, "breaker", case.store, NAMESPACE, self._key, value)
                raise
            if self._succeeded(case, probe) and (value := self._keep(case)) is not None:
                kept(case, "breaker", case.store, NAMESPACE, self._key, value)
            return result

        return call

    def aaround(self, inner: AsyncCall) -> AsyncCall:
        async def acall(case: Case) -> Any:
            if self._is_to_look():
                if case.store is not None:
                    self._learn(_in_store(await afound(case, "breaker", case.store, NAMESPACE, self._key)))
                elif (ledger := _ledger(case)) is not None:
                    self._learn(ledger.breaker_get(self._key))
            probe = self._enter(case)
            try:
                result = await inner(case)
            except BaseException as error:
                if self._failed(case, error, probe) and (value := self._keep(case)) is not None:
                    await akept(case, "breaker", case.store, NAMESPACE, self._key, value)
                raise
            if self._succeeded(case, probe) and (value := self._keep(case)) is not None:
                await akept(case, "breaker", case.store, NAMESPACE, self._key, value)
            return result

        return acall

    def _is_to_look(self) -> bool:
        """Whether it was not looked for a while at what other processes have made of it."""
        now, circuit = self._policy.clock.now(), self._circuit
        if 0 <= now - circuit.looked_at < LOOK:
            return False
        circuit.looked_at = now
        return True

    def _learn(self, found: tuple[float | None, float] | None) -> None:
        """Take over what another process kept; what this one has seen later stands, and so does its probe."""
        circuit = self._circuit
        if found is None or found[1] <= circuit.changed_at:
            return
        with circuit.lock:
            if found[1] > circuit.changed_at and not circuit.probing:
                circuit.opened_at, circuit.changed_at = found
                circuit.failures.clear()

    def _keep(self, case: Case) -> dict[str, Any] | None:
        """Keep in the run's database what has become of it, or give what to keep in the graph's store."""
        circuit = self._circuit
        opened_at, changed_at = circuit.opened_at, circuit.changed_at
        if case.store is not None:
            state = "closed" if opened_at is None else "open"
            return {"state": state, "opened_at": opened_at, "changed_at": changed_at}
        if (ledger := _ledger(case)) is not None:
            ledger.breaker_put(self._key, opened_at, changed_at)
        return None

    def _enter(self, case: Case) -> bool:
        """Let the call through, or raise; whether it is the probe."""
        circuit = self._circuit
        if circuit.opened_at is None:
            return False
        now = self._policy.clock.time()
        with circuit.lock:
            if circuit.opened_at is None:
                return False
            if now < circuit.opened_at:  # the clock was set back: at most one more recovery
                circuit.opened_at = now
            left = circuit.opened_at + self._policy.recovery - now
            if left <= 0 and not circuit.probing:
                circuit.probing = True
                probe = True
            else:
                probe = False
        if probe:
            try:
                case.acted("breaker", "probe", breaker=self._name)
            except BaseException:  # a listener's: nothing was called, so the next call is the probe
                circuit.probing = False
                raise
            return True
        case.acted("breaker", "refused", breaker=self._name, seconds=max(left, 0.0))
        when = f"for {left:.3g} seconds more" if left > 0 else "until its probe has an answer"
        raise CircuitOpen(
            f"`{case.name}` was not called: its circuit breaker `{self._name}` is open {when}, after "
            f"{self._policy.failures} failures within {self._policy.window:g} seconds. Wait and resume, or give "
            "the node a `fallback`.",
            node=case.name,
            breaker=self._name,
            seconds=max(left, 0.0),
        )

    def _failed(self, case: Case, error: BaseException, probe: bool) -> bool:
        """Count a failure; whether it is open by that."""
        circuit, policy = self._circuit, self._policy
        now = policy.clock.time()
        counts = False
        try:
            counts = is_fault(error) and matches(policy.on, error)
        finally:
            if (
                probe and not counts
            ):  # interrupted, cancelled, or its error the filter fails at: it proves nothing
                circuit.probing = False  # the next call is one
        with circuit.lock:
            if probe:
                if not counts:
                    return False
                circuit.probing = False
            elif not counts or circuit.opened_at is not None:
                return False
            else:
                failures = circuit.failures
                while failures and not 0 <= now - failures[0] < policy.window:
                    failures.popleft()
                failures.append(now)
                if len(failures) < policy.failures:
                    return False
            circuit.failures.clear()
            circuit.opened_at = circuit.changed_at = now
        case.acted("breaker", "opened", breaker=self._name, seconds=policy.recovery)
        return True

    def _succeeded(self, case: Case, probe: bool) -> bool:
        """Whether it is closed by that."""
        if not probe:
            return False
        circuit = self._circuit
        with circuit.lock:
            circuit.opened_at, circuit.probing = None, False
            circuit.changed_at = self._policy.clock.time()
            circuit.failures.clear()
        case.acted("breaker", "closed", breaker=self._name)
        return True


def _ledger(case: Case) -> Breakers | None:
    """Where the run that a node is executed in keeps breakers; a plain function's are kept only in a store."""
    execution = CURRENT.get()
    if case.again is None or execution is None or execution.context is None:
        return None
    return execution.context.breakers


def _in_store(item: Any) -> tuple[float | None, float] | None:
    """What a store has of a breaker, as `Breakers` gives it."""
    if item is None:
        return None
    opened_at = item.value.get("opened_at")
    opened_at = float(opened_at) if isinstance(opened_at, int | float) else None
    changed_at = item.value.get("changed_at", opened_at)  # earlier versions kept only the one
    return opened_at, float(changed_at) if isinstance(changed_at, int | float) else -math.inf
