"""The policies of a call in a workflow document, field by field as the policy classes have them."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from dalsegno.errors import DefinitionError
from dalsegno.nodes.policies import Budget, Cache, CircuitBreaker, RateLimit, RetryPolicy, Timeout

Count = Annotated[int, Field(ge=1)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Part(BaseModel):
    """A mapping of a document: its fields are known, and are not coerced."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)


class Policy(Part):
    """A mapping that means a policy, and is refused where that class refuses it."""

    @abstractmethod
    def policy(self) -> Any:
        """The policy itself."""

    @model_validator(mode="after")
    def _means_something(self) -> Self:
        try:
            self.policy()
        except DefinitionError as error:
            raise ValueError(str(error)) from None
        return self


class RetryOptions(Policy):
    """How often a call is tried, and how long is waited in between."""

    max_attempts: Count = 3
    """The first attempt counts."""
    initial_interval: NotNegative = 0.5
    """Seconds before the second attempt."""
    backoff_factor: NotNegative = 2.0
    """What the interval is multiplied with after each attempt."""
    max_interval: NotNegative = 128.0
    """Seconds that an interval is never longer than."""
    jitter: bool = True
    """Whether a random part of up to a second is added to each interval."""
    max_elapsed: NotNegative | None = None
    """Seconds after which no further attempt is started."""

    def policy(self) -> RetryPolicy:
        """The policy itself."""
        return RetryPolicy(**dict(self))


class TimeoutOptions(Policy):
    """How long a call may take, in seconds."""

    attempt: Seconds | None = None
    """Of one attempt."""
    total: Seconds | None = None
    """Of all attempts and the pauses between them."""

    def policy(self) -> Timeout:
        """The policy itself."""
        return Timeout(**dict(self))


class BreakerOptions(Policy):
    """When an agent that keeps failing is not asked for a while."""

    name: str | None = None
    """Breakers of one name are one breaker."""
    failures: Count = 5
    """How many failures open it."""
    window: Seconds = 60.0
    """Seconds in which they count."""
    recovery: Seconds = 30.0
    """Seconds that it stays open."""

    def policy(self) -> CircuitBreaker:
        """The policy itself."""
        return CircuitBreaker(**dict(self))


class RateLimitOptions(Policy):
    """How many calls are begun, and go on at once."""

    calls: Count | None = None
    """So many are begun in any `per` seconds."""
    per: Seconds = 1.0
    """Seconds."""
    concurrency: Count | None = None
    """So many go on at once."""
    max_wait: NotNegative | None = None
    """Seconds that a call waits for its turn at most."""
    name: str | None = None
    """Calls limited under one name share the limit."""

    def policy(self) -> RateLimit:
        """The policy itself."""
        return RateLimit(**dict(self))


class CacheOptions(Policy):
    """Answers are kept, and given again where the same is asked."""

    ttl: Seconds | None = None
    """Seconds that an answer is good for."""
    max_entries: Count = 1024
    """How many are kept."""

    def policy(self) -> Cache:
        """The policy itself; what is asked is put in as its `key` where the call is known."""
        return Cache(**dict(self))


class BudgetOptions(Policy):
    """What may be spent."""

    supersteps: Annotated[int, Field(ge=0)] | None = None
    """Supersteps of the graph."""
    model_calls: Annotated[int, Field(ge=0)] | None = None
    """Calls of models in this process; those of remote agents are their own."""
    tokens: Annotated[int, Field(ge=0)] | None = None
    """Tokens of those calls."""
    seconds: NotNegative | None = None
    """Seconds."""
    cost: NotNegative | None = None
    """Money, in the unit of the prices."""

    def policy(self) -> Budget:
        """The policy itself."""
        return Budget(**dict(self))


def by_kind(value: Any) -> str:
    """The tag of what may be short, or a mapping of options."""
    return "(options)" if isinstance(value, dict | Part) else "(short)"


TimeoutGiven = Annotated[
    Annotated[Seconds, Tag("(short)")] | Annotated[TimeoutOptions, Tag("(options)")],
    Discriminator(by_kind),
]
"""Seconds of an attempt, or both of its options."""


class CallPolicies(Part):
    """What stands around a call."""

    timeout: TimeoutGiven | None = None
    """Seconds of an attempt, or `{attempt, total}`."""
    retry: RetryOptions | None = None
    """Further attempts."""
    breaker: BreakerOptions | None = None
    """A circuit breaker."""
    rate_limit: RateLimitOptions | None = None
    """How often, and how many at once."""
    cache: CacheOptions | None = None
    """Answers that are kept."""

    def around(self, defaults: CallPolicies | None) -> dict[str, Any]:
        """The policies as keywords of `Workflow.add_node`; what is not said here is as in `defaults`."""
        options: dict[str, Any] = {}
        for name in CallPolicies.model_fields:
            given = getattr(self, name)
            if given is None and defaults is not None:
                given = getattr(defaults, name)
            if given is not None:
                options[name] = Timeout(attempt=given) if isinstance(given, float | int) else given.policy()
        return options
