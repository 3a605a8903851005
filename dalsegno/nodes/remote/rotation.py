"""Whose turn it is: one after the other, without those that failed lately."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from dalsegno.errors import DefinitionError, RemoteAnswerInvalid, RemoteError, RemoteStatus
from dalsegno.nodes.policies.clock import Clock
from dalsegno.nodes.remote.addresses import parsed

Protocol = Literal["jsonrpc", "a2a"]
PROTOCOLS = ("jsonrpc", "a2a")


@dataclass(frozen=True, slots=True)
class Agent:
    """Somebody who can be asked. `method` is the JSON-RPC method, where it has one of its own."""

    name: str
    url: str
    protocol: Protocol = "jsonrpc"
    method: str | None = None
    skills: tuple[str, ...] = ()

    def check(self, what: str) -> None:
        """Refuse what cannot be asked.

        Raises
        ------
        DefinitionError
            The URL is none, or the protocol unknown.
        """
        parsed(self.url, what=what)
        if self.protocol not in PROTOCOLS:
            raise DefinitionError(f"{what}: protocol {self.protocol!r} is not `jsonrpc` or `a2a`.")


@dataclass(slots=True)
class _Health:
    failures: int = 0
    until: float = 0.0


@dataclass(eq=False)
class Rotation:
    """Round robin for each skill, over those agents that have not failed within `cooldown` seconds.

    Where all have, it is the turn of the one that has rested longest: never nobody's.
    """

    clock: Clock
    cooldown: float
    _health: dict[str, _Health] = field(default_factory=dict)
    _turns: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def next(self, skill: str, agents: Sequence[Agent]) -> Agent:
        """Whose turn it is among the agents of a skill, in the registry's order."""
        with self._lock:
            now, first = self.clock.now(), self._turns.get(skill, 0) % len(agents)
            order = [(first + step) % len(agents) for step in range(len(agents))]
            well = (place for place in order if self._resting(agents[place]) <= now)
            place = next(well, min(order, key=lambda place: self._resting(agents[place])))
            self._turns[skill] = place + 1
            return agents[place]

    def failed(self, agent: Agent, error: Exception) -> bool:
        """Note a failure; whether it is one for which an agent rests."""
        if not is_down(error):
            return False
        with self._lock:
            health = self._health.setdefault(agent.url, _Health())
            health.failures += 1
            health.until = self.clock.now() + self.cooldown
        return True

    def worked(self, agent: Agent) -> bool:
        """Note an answer; whether the agent had failed before."""
        if not self._health:
            return False
        with self._lock:
            return self._health.pop(agent.url, None) is not None

    def _resting(self, agent: Agent) -> float:
        health = self._health.get(agent.url)
        return health.until if health is not None else float("-inf")


def is_down(error: Exception) -> bool:
    """Whether an error speaks against the agent, and not against what it was asked."""
    if isinstance(error, RemoteStatus):
        return error.status not in (400, 409, 413, 422)
    if isinstance(error, RemoteAnswerInvalid):
        return error.reason not in ("does not fit", "too large")
    return isinstance(error, RemoteError) and (
        error.retryable or hasattr(error, "reason") or hasattr(error, "address")
    )
