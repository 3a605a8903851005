"""A circuit breaker: what failed again and again is not called for a while.

After M. Nygard, *Release It!*; states and the single probe as in Hystrix.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from dalsegno.errors import CircuitOpen, DefinitionError
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

NAMESPACE = ("dalsegno", "breakers")
"""Where LangGraph's store keeps the breakers."""


@dataclass(frozen=True, kw_only=True)
class CircuitBreaker:
    """Stops calling what keeps failing.

    Closed, it lets calls through and counts failures. With `failures` of them within `window` seconds it
    opens: calls fail at once with `CircuitOpen`, for `recovery` seconds. Then it is half open: one call
    goes through as a probe, and its outcome closes or opens it again.

    All runs of a process share the state: that of this object, or with a `name` that of all breakers of
    that name. Where the graph has a store (LangGraph's `BaseStore`) it is kept there when it changes, so that a
    restart does not forget it.

    Parameters
    ----------
    name
        Shared by all of that name. In the store, one without a name goes by its workflow and node.
    failures
        How many open it.
    window
        Seconds in which they count.
    recovery
        Seconds that it stays open.
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
    """The state of a breaker: ``"closed"``, ``"open"`` or ``"half open"``. Times are unix seconds."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.failures: deque[float] = deque()
        self.opened_at: float | None = None
        self.probing = False
        self.loaded = False

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
    """A breaker around a call; `key` names it in the store."""

    def __init__(self, policy: CircuitBreaker, key: str) -> None:
        self._policy = policy
        self._key = policy.name or key
        self._circuit = policy.state

    def around(self, inner: Call) -> Call:
        circuit = self._circuit

        def call(case: Case) -> Any:
            if not circuit.loaded and case.store is not None:
                self._load(case.store.get(NAMESPACE, self._key))
            probe = self._enter(case)
            try:
                result = inner(case)
            except BaseException as error:
                if (kept := self._failed(case, error, probe)) is not None and case.store is not None:
                    case.store.put(NAMESPACE, self._key, kept, index=False)
                raise
            if (kept := self._succeeded(case, probe)) is not None and case.store is not None:
                case.store.put(NAMESPACE, self._key, kept, index=False)
            return result

        return call

    def aaround(self, inner: AsyncCall) -> AsyncCall:
        circuit = self._circuit

        async def acall(case: Case) -> Any:
            if not circuit.loaded and case.store is not None:
                self._load(await case.store.aget(NAMESPACE, self._key))
            probe = self._enter(case)
            try:
                result = await inner(case)
            except BaseException as error:
                if (kept := self._failed(case, error, probe)) is not None and case.store is not None:
                    await case.store.aput(NAMESPACE, self._key, kept, index=False)
                raise
            if (kept := self._succeeded(case, probe)) is not None and case.store is not None:
                await case.store.aput(NAMESPACE, self._key, kept, index=False)
            return result

        return acall

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
            case.acted("breaker", "probe", breaker=self._key)
            return True
        case.acted("breaker", "refused", breaker=self._key, seconds=max(left, 0.0))
        when = f"for {left:.3g} seconds more" if left > 0 else "until its probe has an answer"
        raise CircuitOpen(
            f"`{case.name}` was not called: its circuit breaker `{self._key}` is open {when}, after "
            f"{self._policy.failures} failures within {self._policy.window:g} seconds. Wait and resume, or give "
            "the node a `fallback`.",
            node=case.name,
            breaker=self._key,
            seconds=max(left, 0.0),
        )

    def _failed(self, case: Case, error: BaseException, probe: bool) -> dict[str, Any] | None:
        """What to keep in the store; None where nothing has changed."""
        circuit, policy = self._circuit, self._policy
        now = policy.clock.time()
        counts = is_fault(error) and matches(policy.on, error)
        with circuit.lock:
            if probe:
                circuit.probing = (
                    False  # an interrupted or cancelled probe proves nothing: the next call is one
                )
                if not counts:
                    return None
            elif not counts or circuit.opened_at is not None:
                return None
            else:
                failures = circuit.failures
                while failures and not 0 <= now - failures[0] < policy.window:
                    failures.popleft()
                failures.append(now)
                if len(failures) < policy.failures:
                    return None
            circuit.failures.clear()
            circuit.opened_at = now
        case.acted("breaker", "opened", breaker=self._key, seconds=policy.recovery)
        return {"state": "open", "opened_at": now}

    def _succeeded(self, case: Case, probe: bool) -> dict[str, Any] | None:
        if not probe:
            return None
        with self._circuit.lock:
            self._circuit.opened_at, self._circuit.probing = None, False
            self._circuit.failures.clear()
        case.acted("breaker", "closed", breaker=self._key)
        return {"state": "closed", "opened_at": None}

    def _load(self, item: Any) -> None:
        """Take over what an earlier process kept; what this one knows already stands."""
        with self._circuit.lock:
            if self._circuit.loaded:
                return
            self._circuit.loaded = True
            opened_at = item.value.get("opened_at") if item is not None else None
            if self._circuit.opened_at is None and isinstance(opened_at, int | float):
                self._circuit.opened_at = float(opened_at)
