"""How many calls in a time, and how many at once."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from dalsegno.errors import AttemptAbandoned, DefinitionError, RateLimited
from dalsegno.nodes.execution import CURRENT, SharedTurns, is_for_nobody
from dalsegno.nodes.kinds import TEXT, check_kinds
from dalsegno.nodes.policies.case import AsyncCall, Call, Case, number
from dalsegno.nodes.policies.clock import SYSTEM, Clock, Elapsed
from dalsegno.nodes.policies.turns import next_turn


@dataclass(frozen=True, kw_only=True)
class RateLimit:
    """Makes calls wait their turn: first come, first served.

    All runs of a process share a limit: every node that is given this object or, with a `name`, everything that is
    limited under that name (an agent in several nodes). If the runs' database is a server, all its processes share the
    `calls` of a name, by the clocks of their machines. `concurrency` always counts in one process.

    Parameters
    ----------
    calls, per
        At most `calls` begin in any `per` seconds.
    concurrency
        At most so many calls go on at once. A call within another call of the same limit does not count again.
    max_wait
        Seconds that a call waits for its turn before it fails with `RateLimited`. None: as long as it takes.
    """

    calls: int | None = None
    per: float = 1.0
    concurrency: int | None = None
    max_wait: float | None = None
    name: str | None = None
    clock: Clock = field(default=SYSTEM, repr=False, compare=False)
    turns: Turns = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.calls is None and self.concurrency is None:
            raise DefinitionError("RateLimit(): say `calls=` (with `per=` seconds), `concurrency=`, or both.")
        for name in ("calls", "concurrency"):
            if getattr(self, name) is not None:
                number(f"RateLimit({name})", getattr(self, name), least=1, whole=True)
        number("RateLimit(per)", self.per, above=0)
        if self.calls is None and self.per != 1.0:
            raise DefinitionError(
                f"RateLimit(per={self.per:g}): say `calls=` too, of which there are so many `per` seconds."
            )
        if self.max_wait is not None:
            number("RateLimit(max_wait)", self.max_wait, least=0)
        check_kinds("RateLimit", {"name": self.name}, {"name": TEXT})
        with _naming:
            turns = Turns() if self.name is None else _named.setdefault(self.name, Turns())
        object.__setattr__(self, "turns", turns)


class Turns:
    """Who has begun when, how many go on, and who waits."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.begun: deque[float] = deque()
        self.going = 0
        self.waiting: deque[Callable[[], None]] = deque()


_named: dict[str, Turns] = {}
_naming = threading.Lock()


class _Place:
    """A place among those that go on, known to what is called within. What outlives the call has it no more."""

    __slots__ = ("_token", "turns")

    def __init__(self, turns: Turns) -> None:
        self.turns: Turns | None = turns
        self._token = _PLACES.set((*_PLACES.get(), self))

    def end(self) -> None:
        """The call is over."""
        self.turns = None
        try:  # every call pays for this, and twice as much for `suppress`
            _PLACES.reset(self._token)
        except ValueError:  # a coroutine that nobody awaits is closed in another context
            return


_PLACES: ContextVar[tuple[_Place, ...]] = ContextVar("dalsegno_places", default=())


class RateLayer:
    """A rate limit around a call.

    Of our own because one limit must hold for threads and event loops at once, which aiolimiter and
    asyncio's semaphore do not; it is one queue and one lock.
    """

    def __init__(self, policy: RateLimit) -> None:
        self._policy = policy
        self._turns = policy.turns

    def around(self, inner: Call) -> Call:
        policy, clock = self._policy, self._policy.clock

        def call(case: Case) -> Any:
            place: _Place | None = None
            if policy.concurrency is not None and not self._has_place():
                self._wait_for_place(case)
                place = _Place(self._turns)
            try:
                pause = self._pause(case) if policy.calls is not None else 0.0
                if pause > 0:
                    clock.sleep(pause)
                if (
                    pause > 0 or place is not None
                ) and is_for_nobody():  # a wait in a thread is not broken off
                    raise AttemptAbandoned(
                        f"`{case.name}` was not called: when its turn came, nobody waited for it any more.",
                        node=case.name,
                    )
                return inner(case)
            finally:
                if place is not None:
                    place.end()
                    self._leave()

        return call

    def aaround(self, inner: AsyncCall) -> AsyncCall:
        policy, clock = self._policy, self._policy.clock

        async def acall(case: Case) -> Any:
            place: _Place | None = None
            if policy.concurrency is not None and not self._has_place():
                await self._await_place(case)
                place = _Place(self._turns)
            try:
                pause = 0.0
                if policy.calls is not None and policy.name is not None and _shared_turns() is not None:
                    pause = await asyncio.to_thread(self._pause, case)
                elif policy.calls is not None:
                    pause = self._pause(case)
                if pause > 0:
                    await clock.asleep(pause)
                return await inner(case)
            finally:
                if place is not None:
                    place.end()
                    self._leave()

        return acall

    def _has_place(self) -> bool:
        """Whether this call is made within one that has a place: waiting for it to end would be for ever."""
        places = _PLACES.get()
        return bool(places) and any(place.turns is self._turns for place in places)

    def _pause(self, case: Case) -> float:
        """Take the next turn; seconds until it comes."""
        policy, turns = self._policy, self._turns
        assert policy.calls is not None
        pause = self._shared_pause()
        if pause is not None:
            if policy.max_wait is not None and pause > policy.max_wait:
                raise self._refused(case, pause)
        else:
            with turns.lock:
                now = policy.clock.now()
                at = next_turn(turns.begun, calls=policy.calls, per=policy.per, now=now)
                pause = at - now
                if policy.max_wait is not None and pause > policy.max_wait:
                    raise self._refused(case, pause)
                turns.begun.append(at)
        if pause > 0:
            case.acted("rate_limit", "wait", seconds=pause)
        return pause

    def _shared_pause(self) -> float | None:
        """The same among all processes on the run's database, where others reach it and the limit has a name."""
        policy, shared = self._policy, _shared_turns()
        if shared is None or policy.name is None or policy.calls is None:
            return None
        now = policy.clock.time()
        at = shared.take(policy.name, calls=policy.calls, per=policy.per, now=now, most=policy.max_wait)
        return None if at is None else at - now

    def _wait_for_place(self, case: Case) -> None:
        if self._enter():
            return
        free = threading.Event()
        if self._enter(free.set):
            return
        try:
            case.acted("rate_limit", "queue", concurrency=self._policy.concurrency)
            if self._policy.clock.wait(free, self._policy.max_wait):
                return
        except BaseException:
            self._give_back(free.set)
            raise
        self._give_back(free.set)
        raise self._refused(case, self._policy.max_wait or 0.0)

    async def _await_place(self, case: Case) -> None:
        if self._enter():
            return
        loop = asyncio.get_running_loop()
        free = asyncio.Event()

        def wake() -> None:
            loop.call_soon_threadsafe(free.set)

        if self._enter(wake):
            return
        try:
            case.acted("rate_limit", "queue", concurrency=self._policy.concurrency)
            if self._policy.max_wait is None:
                await free.wait()
            else:
                await self._policy.clock.within(free.wait, self._policy.max_wait)
        except Elapsed:
            self._give_back(wake)
            raise self._refused(case, self._policy.max_wait or 0.0) from None
        except BaseException:
            self._give_back(wake)
            raise

    def _enter(self, wake: Callable[[], None] | None = None) -> bool:
        """Take a place, or queue for one to be woken then."""
        turns = self._turns
        with turns.lock:
            if turns.going < (self._policy.concurrency or 0) and not turns.waiting:
                turns.going += 1
                return True
            if wake is not None:
                turns.waiting.append(wake)
            return False

    def _give_back(self, wake: Callable[[], None]) -> None:
        """Leave the queue; or the place, where it was given in the meantime."""
        with self._turns.lock:
            if wake in self._turns.waiting:
                self._turns.waiting.remove(wake)
                return
        self._leave()

    def _leave(self) -> None:
        turns = self._turns
        if self._policy.concurrency is None:
            return
        while True:
            with turns.lock:
                if not turns.waiting:
                    turns.going -= 1
                    return
                wake = turns.waiting.popleft()  # the place goes over to the first in the queue
            try:
                wake()
            except RuntimeError:
                continue  # its event loop is closed
            return

    def _refused(self, case: Case, seconds: float) -> RateLimited:
        case.acted("rate_limit", "refused", seconds=seconds)
        return RateLimited(
            f"`{case.name}` would have to wait longer for its turn than the {self._policy.max_wait:g} seconds of its "
            "rate limit. Raise `max_wait`, or resume later.",
            node=case.name,
            seconds=seconds,
        )


def _shared_turns() -> SharedTurns | None:
    execution = CURRENT.get()
    return execution.context.turns if execution is not None and execution.context is not None else None


def rate_of(given: Any) -> RateLimit | None:
    """`rate_limit=` as given."""
    if given is None or isinstance(given, RateLimit):
        return given
    raise DefinitionError(
        f"rate_limit={given!r}: a RateLimit(calls=..., per=..., concurrency=...) is needed."
    )
