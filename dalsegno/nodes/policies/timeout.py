"""How long an attempt, and all attempts of an execution, may take."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from dalsegno.errors import DefinitionError, NodeTimeout
from dalsegno.nodes.execution import CURRENT, Execution
from dalsegno.nodes.policies.case import AsyncCall, Call, Case, number
from dalsegno.nodes.policies.clock import SYSTEM, Clock, Elapsed
from dalsegno.nodes.policies.workers import WORKERS, Job

QUICK = 1e-3
"""Seconds that a call takes at most for the next one to be waited for awake at first."""


@dataclass(frozen=True, kw_only=True)
class Timeout:
    """How long a call may take, in seconds.

    A coroutine function is cancelled. A sync function cannot be cancelled: it runs in a worker thread, which is
    abandoned when the time is over. From then on it can record no effects and emit nothing.

    Parameters
    ----------
    attempt
        The time of one attempt.
    total
        The time of all attempts and the pauses between them. An attempt that could not end in time is not started.

    Raises
    ------
    DefinitionError
        Neither is given, one of them is not above 0, or `total` is less than `attempt`.
    """

    attempt: float | None = None
    total: float | None = None
    clock: Clock = field(default=SYSTEM, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.attempt is None and self.total is None:
            raise DefinitionError("Timeout(): say `attempt=` or `total=`, in seconds.")
        for name in ("attempt", "total"):
            value = getattr(self, name)
            if value is not None:
                number(f"Timeout({name})", value, above=0)
                if value == float("inf"):
                    raise DefinitionError(f"Timeout({name}=inf): leave it out, where there is no limit.")
        if self.attempt is not None and self.total is not None and self.total < self.attempt:
            raise DefinitionError(
                f"Timeout(attempt={self.attempt:g}, total={self.total:g}): the total is below one attempt. Raise the "
                "total, or leave `attempt` out."
            )

    @property
    def seconds(self) -> float:
        """The longest that one attempt can take."""
        return self.attempt if self.attempt is not None else float(self.total or 0)


class TimeoutLayer:
    """Ends attempts that take too long. `in_thread`: the call is a sync function, also in an event loop."""

    def __init__(self, policy: Timeout, *, in_thread: bool) -> None:
        self._policy = policy
        self._clock = policy.clock
        self._in_thread = in_thread
        self._is_quick = self._is_real = policy.clock is SYSTEM  # on a test's clock nothing takes time

    def around(self, inner: Call) -> Call:
        def call(case: Case) -> Any:
            seconds = self._limit(case)
            job = Job(lambda: inner(case))
            since = self._clock.now()  # of a clock that the job itself may move
            try:
                WORKERS.start(job)
                began = monotonic()
                in_time = (self._is_quick and job.done.spin()) or self._clock.wait(
                    job.done, seconds, since=since
                )
                self._is_quick = self._is_real and monotonic() - began < QUICK
            except BaseException:  # Ctrl-C
                _abandon(job)
                raise
            if not in_time and job.abandon():
                raise self._over(case, seconds, "abandoned")
            return job.answer()

        return call

    def aaround(self, inner: AsyncCall) -> AsyncCall:
        async def acall(case: Case) -> Any:
            seconds = self._limit(case)
            try:
                return await self._clock.within(lambda: inner(case), seconds)
            except Elapsed:
                raise self._over(case, seconds, "abandoned" if self._in_thread else "cancelled") from None

        return acall

    def _limit(self, case: Case) -> float:
        attempt = self._policy.attempt
        if case.deadline is None:
            return attempt if attempt is not None else float(self._policy.total or 0)
        left = max(case.deadline - self._clock.now(), 0.0)
        return left if attempt is None else min(attempt, left)

    def _over(self, case: Case, seconds: float, how: str) -> NodeTimeout:
        execution = CURRENT.get()
        _give_up(execution)
        case.acted("timeout", how, seconds=seconds)
        what = (
            "its thread cannot be stopped, so it was abandoned: it can record no effects and its answer is not taken."
            if how == "abandoned"
            else "it was cancelled."
        )
        attempt = f"Attempt {execution.attempt} of " if execution is not None else ""
        return NodeTimeout(
            f"{attempt}`{case.name}` took longer than {seconds:g} seconds; {what} Give it more time (`timeout=`), or "
            "a `retry` or `fallback`.",
            node=case.name,
            seconds=seconds,
        )


async def in_worker(call: Call, case: Case) -> Any:
    """Make a sync call in a worker thread, and abandon it where the waiting is cancelled."""
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[None] = loop.create_future()

    def told() -> None:
        if not answered.done():
            answered.set_result(None)

    def then() -> None:
        loop.call_soon_threadsafe(told)

    job = Job(lambda: call(case), then)
    try:
        WORKERS.start(job)
        await answered
    except asyncio.CancelledError:
        _abandon(job)
        raise
    return job.answer()


def _abandon(job: Job) -> None:
    if job.abandon():
        _give_up(CURRENT.get())


def _give_up(execution: Execution | None) -> None:
    if execution is not None:
        execution.abandoned = True


def timeout_of(given: Any) -> Timeout | None:
    """`timeout=` as given: seconds, a `timedelta`, a `Timeout`, or LangGraph's `TimeoutPolicy`."""
    if given is None or isinstance(given, Timeout):
        return given
    if hasattr(given, "run_timeout"):
        if getattr(given, "idle_timeout", None) is not None:
            raise DefinitionError(
                "timeout=TimeoutPolicy(idle_timeout=...): time without progress is not watched. Use "
                "Timeout(attempt=..., total=...)."
            )
        given = given.run_timeout
        if given is None:
            return None
    seconds = given.total_seconds() if hasattr(given, "total_seconds") else given
    try:
        number("timeout", seconds, above=0)
    except DefinitionError:
        raise DefinitionError(f"timeout={given!r}: a timeout is a number of seconds above 0.") from None
    return Timeout(attempt=float(seconds))
