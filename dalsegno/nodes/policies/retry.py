"""How often a node is tried again, and how long it waits in between."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dalsegno.errors import DefinitionError

RetryOn = type[Exception] | Sequence[type[Exception]] | Callable[[Exception], bool]


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """Exponential backoff with jitter; field names are LangGraph's.

    Parameters
    ----------
    max_attempts
        The first attempt counts.
    initial_interval
        Seconds before the second attempt.
    backoff_factor
        What the interval is multiplied with after each attempt.
    max_interval
        Seconds that an interval is never longer than.
    jitter
        Whether to add a random part to each interval.
    retry_on
        Exception classes, or a function that says whether to try again. None: any `Exception`.
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
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise DefinitionError(f"RetryPolicy({name}={value!r}): 0 or more is needed.")


def attempts_of(policy: Any) -> int:
    """The most attempts of a policy of ours or of LangGraph's, or of a sequence of LangGraph's."""
    if policy is None:
        return 1
    if isinstance(policy, Sequence) and not hasattr(policy, "max_attempts"):
        return max((attempts_of(p) for p in policy), default=1)
    return int(policy.max_attempts)
