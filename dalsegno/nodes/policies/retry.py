"""How often a node is tried again, and how long it waits in between."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from dalsegno.errors import DefinitionError, RemoteError
from dalsegno.nodes.execution import is_for_nobody
from dalsegno.nodes.policies.case import AsyncCall, Call, Case, check_filter, is_fault, matches, number
from dalsegno.nodes.policies.clock import SYSTEM, Clock
from dalsegno.nodes.policies.retry_after import retry_after
from dalsegno.nodes.policies.words import noted

RetryOn = type[Exception] | Sequence[type[Exception]] | Callable[[Exception], bool]


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """Further attempts, with exponential backoff and jitter. The fields have LangGraph's names.

    A server may say when to come back (`Retry-After`, in the headers of the error's `response`). The next attempt
    waits for that. If it is longer than `max_interval`, no further attempt is made.

    Parameters
    ----------
    max_attempts
        How many attempts are made, the first one included.
    initial_interval
        Seconds to wait before the second attempt.
    backoff_factor
        The interval is multiplied by this after each attempt.
    max_interval
        The longest interval in seconds, without the jitter.
    jitter
        Whether a random part of up to one second is added to each interval.
    retry_on
        Exception classes, or a function of the error that says whether to try again. None: any `Exception`, but a
        `RemoteError` only if it is `retryable`. A breach of what the workflow declares (`KernelError`) is never
        tried again.
    max_elapsed
        Seconds after which no further attempt is started. None: no limit.
    """

    max_attempts: int = 3
    initial_interval: float = 0.5
    backoff_factor: float = 2.0
    max_interval: float = 128.0
    jitter: bool = True
    retry_on: RetryOn | None = None
    max_elapsed: float | None = None
    clock: Clock = field(default=SYSTEM, repr=False, compare=False)
    random: Callable[[], float] = field(default=random.random, repr=False, compare=False)

    def __post_init__(self) -> None:
        if (
            isinstance(self.max_attempts, bool)
            or not isinstance(self.max_attempts, int)
            or self.max_attempts < 1
        ):
            raise DefinitionError(
                f"RetryPolicy(max_attempts={self.max_attempts!r}): the first attempt counts, so it is 1 or more."
            )
        for name in ("initial_interval", "backoff_factor", "max_interval", "max_elapsed"):
            if getattr(self, name) is not None or name != "max_elapsed":
                number(f"RetryPolicy({name})", getattr(self, name), least=0)
        if not isinstance(self.jitter, bool):
            raise DefinitionError(
                f"RetryPolicy(jitter={self.jitter!r}): True adds up to a second to each interval, False nothing."
            )
        check_filter("RetryPolicy(retry_on)", self.retry_on)


def attempts_of(policy: Any) -> int:
    """The most attempts of a policy of ours or of LangGraph's, or of a sequence of LangGraph's."""
    if policy is None:
        return 1
    if isinstance(policy, Sequence) and not hasattr(policy, "max_attempts"):
        return max((attempts_of(p) for p in policy), default=1)
    return int(policy.max_attempts)


class RetryLayer:
    """Tries again what failed. Of several policies the first that means the error is asked, as in LangGraph.

    A loop of our own, after tenacity and stamina: every attempt is an execution in the run's journal,
    a signal is no failure, and what costs nothing when nothing fails stays that way.
    """

    def __init__(self, policies: Sequence[Any]) -> None:
        self._policies = tuple(policies)
        self._clock: Clock = getattr(self._policies[0], "clock", SYSTEM)
        # Only where there is a limit in time is the time looked at before something has failed.
        self._timed = any(getattr(p, "max_elapsed", None) is not None for p in self._policies)

    def around(self, inner: Call) -> Call:
        def call(case: Case) -> Any:
            began, attempt = self._clock.now() if self._timed else 0.0, 1
            while True:
                try:
                    return inner(case)
                except Exception as error:
                    pause = self._pause(case, error, attempt, began)
                    if pause is None:
                        raise
                    failed = error
                if case.ended is not None:
                    case.ended(failed)
                if pause > 0:
                    self._clock.sleep(pause)
                    if is_for_nobody():  # since then: nobody breaks a pause in a thread off
                        raise failed
                del failed
                if case.begun is not None:
                    case.begun()
                attempt += 1

        return call

    def aaround(self, inner: AsyncCall) -> AsyncCall:
        async def acall(case: Case) -> Any:
            began, attempt = self._clock.now() if self._timed else 0.0, 1
            while True:
                try:
                    return await inner(case)
                except Exception as error:
                    pause = self._pause(case, error, attempt, began)
                    if pause is None:
                        raise
                    failed = error
                if case.ended is not None:
                    case.ended(failed)
                del failed
                if pause > 0:
                    await self._clock.asleep(pause)
                if case.begun is not None:
                    case.begun()
                attempt += 1

        return acall

    def _pause(self, case: Case, error: Exception, attempt: int, began: float) -> float | None:
        """Seconds to wait before the next attempt; None where there is none."""
        if not is_fault(error) or is_for_nobody():
            return None
        policy = next((p for p in self._policies if means(p.retry_on, error)), None)
        if policy is None or attempt >= policy.max_attempts:
            return None
        if asked_a_human(case):
            noted(
                error,
                f"`{case.name}` waited for a human and then failed. It was not tried again, for it would have asked "
                "once more: declare `interrupts=1`, and it is.",
            )
            case.acted("retry", "refused", attempt=attempt, why="it waited for a human, undeclared")
            return None
        try:
            grown = policy.initial_interval * policy.backoff_factor ** (attempt - 1)
        except OverflowError:  # after a thousand attempts or so
            grown = policy.max_interval if policy.initial_interval else 0.0
        pause: float = min(policy.max_interval, grown)
        asked = retry_after(error, self._clock.time())
        if asked is not None and asked > policy.max_interval:
            self._given_up(case, error, attempt, f"the server asks to wait {asked:g} seconds")
            return None
        pause = max(pause, asked or 0.0)
        if policy.jitter:
            pause += getattr(policy, "random", random.random)()
        now = self._clock.now()
        limit = getattr(policy, "max_elapsed", None)
        if limit is not None and now + pause - began > limit:
            self._given_up(case, error, attempt, f"{limit:g} seconds would be over")
            return None
        if case.deadline is not None and now + pause >= case.deadline:
            self._given_up(case, error, attempt, "its total time would be over")
            return None
        detail = {"retry_after": asked} if asked is not None else {}
        case.acted("retry", "again", attempt=attempt, pause=pause, error=type(error).__name__, **detail)
        return pause

    def _given_up(self, case: Case, error: Exception, attempt: int, why: str) -> None:
        noted(error, f"`{case.name}` was not tried again after attempt {attempt}: {why}.")
        case.acted("retry", "given up", attempt=attempt, why=why)


def asked_a_human(case: Case) -> bool:
    """Whether the node waited for a human before: LangGraph then keeps the answers it was given beside its config."""
    config = case.args[1] if len(case.args) > 1 else None
    if case.again is None or not isinstance(config, dict):
        return False
    kept = (v for v in config.get("configurable", {}).values() if type(v).__name__ == "PregelScratchpad")
    return any(getattr(pad, "resume", None) for pad in kept)


def means(retry_on: RetryOn | None, error: Exception) -> bool:
    """Whether a policy tries again after this error; one that names none goes by what a remote agent's error says."""
    if isinstance(error, RemoteError) and not error.retryable:
        unnamed = retry_on is None or getattr(retry_on, "__name__", "") == "default_retry_on"  # LangGraph's
        return not unnamed and matches(retry_on, error)
    return matches(retry_on, error)
