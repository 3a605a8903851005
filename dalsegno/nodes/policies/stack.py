"""The one order in which policies wrap a call, and the call of a plain function in them.

cache → budget → rate limit → fallback → circuit breaker → retry → watch → timeout → the call
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from types import CoroutineType
from typing import Any

from dalsegno.errors import BudgetExceeded, DefinitionError
from dalsegno.nodes.execution import CURRENT
from dalsegno.nodes.policies.account import Account
from dalsegno.nodes.policies.breaker import BreakerLayer, CircuitBreaker
from dalsegno.nodes.policies.budget import Budget
from dalsegno.nodes.policies.cache import Cache, CacheLayer, cache_of
from dalsegno.nodes.policies.case import Action, AsyncCall, Call, Case, Layer
from dalsegno.nodes.policies.fallback import Fallback, FallbackLayer, as_function, fallback_of, is_called
from dalsegno.nodes.policies.rate_limit import RateLayer, RateLimit, rate_of
from dalsegno.nodes.policies.retry import RetryLayer, RetryPolicy
from dalsegno.nodes.policies.timeout import Timeout, TimeoutLayer, in_worker, timeout_of
from dalsegno.nodes.policies.watch import Watch, WatchLayer, watch_of


@dataclass(frozen=True, kw_only=True)
class Policies:
    """What is wrapped around one node or function; None is nothing."""

    cache: Cache | None = None
    budget: Budget | None = None
    rate_limit: RateLimit | None = None
    fallback: Fallback | None = None
    breaker: CircuitBreaker | None = None
    retry: tuple[Any, ...] | None = None
    timeout: Timeout | None = None
    watch: Watch | None = None

    @classmethod
    def of(
        cls,
        *,
        cache: Any = None,
        budget: Any = None,
        rate_limit: Any = None,
        fallback: Any = None,
        breaker: Any = None,
        retry: Any = None,
        timeout: Any = None,
        watch: Any = None,
    ) -> Policies:
        """From what a user gives, in any of the forms that are taken.

        Raises
        ------
        DefinitionError
            Something given is no such policy.
        """
        if breaker is True:
            breaker = CircuitBreaker()
        for name, value, kind in (("breaker", breaker, CircuitBreaker), ("budget", budget, Budget)):
            if value is not None and not isinstance(value, kind):
                raise DefinitionError(f"{name}={value!r}: a {kind.__name__}(...) is needed.")
        if budget is not None and budget.supersteps is not None:
            raise DefinitionError(
                "Budget(supersteps=...) on a node or a function: supersteps are those of a run. Put it on the "
                "Workflow, or give it to Runner.run."
            )
        return cls(
            cache=cache_of(cache),
            budget=budget,
            rate_limit=rate_of(rate_limit),
            fallback=fallback_of(fallback),
            breaker=breaker,
            retry=retries_of(retry),
            timeout=timeout_of(timeout),
            watch=watch_of(watch),
        )

    @property
    def given(self) -> dict[str, Any]:
        """Those that are there, by name."""
        return {f.name: value for f in fields(self) if (value := getattr(self, f.name)) is not None}


def retries_of(given: Any) -> tuple[Any, ...] | None:
    """`retry=` as given: a policy of ours or of LangGraph's, or a sequence of them."""
    if given is None:
        return None
    several = given if isinstance(given, list | tuple) and not hasattr(given, "max_attempts") else (given,)
    for policy in several:
        if not hasattr(policy, "max_attempts") or not hasattr(policy, "retry_on"):
            raise DefinitionError(
                f"retry={policy!r}: a RetryPolicy(max_attempts=...) is needed, ours or LangGraph's."
            )
    return tuple(several) or None


def layers(
    policies: Policies,
    *,
    owner: Sequence[str],
    is_sync: bool,
    others: Sequence[Call | AsyncCall | None] = (),
    writes: frozenset[str] | None = None,
) -> tuple[list[Layer], list[Layer]]:
    """The layers of the policies, outermost first: those around all, and those around one attempt.

    A fallback that is called gets the ones around an attempt too; `others` are its calls, ready to be.
    `is_sync` says that the call itself is a sync function; `owner` whose policies they are: the names of a workflow
    and a node, or that of a function.
    """
    outer: list[Layer] = []
    attempt: list[Layer] = []
    if policies.cache is not None:
        outer.append(CacheLayer(policies.cache, owner))
    if policies.budget is not None:
        outer.append(BudgetLayer(policies.budget, "/".join(owner)))
    if policies.rate_limit is not None:
        outer.append(RateLayer(policies.rate_limit))
    if policies.watch is not None:
        attempt.append(WatchLayer(policies.watch, writes))
    if policies.timeout is not None:
        attempt.append(TimeoutLayer(policies.timeout, in_thread=is_sync))
    if policies.timeout is not None and policies.timeout.total is not None:
        outer.append(_Deadline(policies.timeout))
    if policies.fallback is not None:
        outer.append(FallbackLayer(policies.fallback, others))
    if policies.breaker is not None:
        outer.append(BreakerLayer(policies.breaker, owner))
    if policies.retry is not None:
        outer.append(RetryLayer(policies.retry))
    return outer, attempt


def within(chosen: Sequence[Layer], call: Call) -> Call:
    """A call in its layers."""
    for layer in reversed(chosen):
        call = layer.around(call)
    return call


def awithin(chosen: Sequence[Layer], call: AsyncCall) -> AsyncCall:
    """The same in an event loop."""
    for layer in reversed(chosen):
        call = layer.aaround(call)
    return call


class _Deadline:
    """Says until when the attempts must be over; retry and timeout keep to it."""

    def __init__(self, policy: Timeout) -> None:
        self._clock = policy.clock
        self._total = float(policy.total or 0)

    def around(self, inner: Call) -> Call:
        def call(case: Case) -> Any:
            case.deadline = self._clock.now() + self._total
            return inner(case)

        return call

    def aaround(self, inner: AsyncCall) -> AsyncCall:
        async def acall(case: Case) -> Any:
            case.deadline = self._clock.now() + self._total
            return await inner(case)

        return acall


class BudgetLayer:
    """A node's own budget, kept in the run's account; around what is in no run, in an account of its own."""

    def __init__(self, policy: Budget, owner: str) -> None:
        from dalsegno.nodes.policies.metering import ACCOUNT, METER, THE_METER

        self._budget = policy
        self._function = Account(owner=owner)
        self._clock = policy.clock
        self._account, self._meter, self._the_meter = ACCOUNT, METER, THE_METER

    def around(self, inner: Call) -> Call:
        def call(case: Case) -> Any:
            account, node, tokens, began = self._enter(case)
            try:
                return inner(case)
            finally:
                self._leave(account, node, tokens, began)

        return call

    def aaround(self, inner: AsyncCall) -> AsyncCall:
        async def acall(case: Case) -> Any:
            account, node, tokens, began = self._enter(case)
            try:
                return await inner(case)
            finally:
                self._leave(account, node, tokens, began)

        return acall

    def _enter(self, case: Case) -> tuple[Account, str, list[Any], float]:
        execution = CURRENT.get()
        if execution is not None and execution.context is not None and case.again is not None:
            account, node = execution.context.account, execution.place
            self._check(case, account, node)
            return account, node, [], self._clock.now()
        # Without a run a node's budget is that of one execution, a plain function's of all its calls.
        is_node = case.again is not None and execution is not None
        node = execution.place if is_node and execution is not None else case.name
        account = Account(owner=node) if is_node else self._function
        self._check(case, account, node)
        tokens = [
            (self._account, self._account.set(account)),
            (self._meter, self._meter.set(self._the_meter)),
        ]
        return account, node, tokens, self._clock.now()

    def _check(self, case: Case, account: Account, node: str) -> None:
        try:
            account.limit(node, self._budget)
        except BudgetExceeded as error:
            case.acted("budget", "exceeded", limit=error.what, owner=error.owner)
            raise

    def _leave(self, account: Account, node: str, tokens: list[Any], began: float) -> None:
        self._the_meter.give_up(CURRENT.get())
        for variable, token in tokens:
            variable.reset(token)
        account.settle(node, seconds=self._clock.now() - began)


def with_policies(
    function: Callable[..., Any],
    *,
    cache: Any = None,
    budget: Budget | None = None,
    rate_limit: RateLimit | None = None,
    fallback: Any = None,
    breaker: CircuitBreaker | None = None,
    retry: RetryPolicy | Any = None,
    timeout: Timeout | float | None = None,
    watch: Watch | bool | None = None,
    name: str | None = None,
    store: Any = None,
    on_action: Callable[[Action], None] | None = None,
) -> Callable[..., Any]:
    """A plain function, sync or async, in policies: as they would be around a node, in the same order.

    Parameters
    ----------
    function
        What is called. A coroutine function stays one.
    name
        What it is called in messages, in the cache and in the store. Default: its own name. A lambda, a partial, an
        object, its method and a function that was made in another one have none that is theirs alone: where
        something is kept of them in a store, it needs one.
    store
        A LangGraph `BaseStore` in which a breaker, and a ``Cache(store="graph")``, are kept.
    on_action
        Called with every `Action` of a policy.

    >>> numbers = iter([ConnectionError(), 7])
    >>> def fetch():
    ...     if isinstance(found := next(numbers), Exception):
    ...         raise found
    ...     return found
    >>> with_policies(fetch, retry=RetryPolicy(max_attempts=2, initial_interval=0, jitter=False))()
    7

    Raises
    ------
    DefinitionError
        Something given is no such policy, or what would be kept in a store has no name.
    """
    policies = Policies.of(
        cache=cache, budget=budget, rate_limit=rate_limit, fallback=fallback, breaker=breaker, retry=retry,
        timeout=timeout, watch=watch,
    )  # fmt: skip
    called = name or getattr(function, "__qualname__", None) or type(function).__name__
    _check_function(function, called)
    owner = (name,) if name else _own_name(function)
    if owner is None:
        owner, policies = (called,), _to_itself(policies, called, store)
    answers = policies.fallback.answers if policies.fallback is not None else ()
    if _is_async(function):
        _, inner = layers(policies, owner=owner, is_sync=False, others=[None] * len(answers))
        others = [awithin(inner, _async_call(answer)) if is_called(answer) else None for answer in answers]
        outer, _ = layers(policies, owner=owner, is_sync=False, others=others)
        acall = awithin([*outer, *inner], lambda case: function(*case.args, **case.kwargs))

        @functools.wraps(function)
        async def awrapped(*args: Any, **kwargs: Any) -> Any:
            return await acall(Case(called, args, kwargs, store, listener=on_action))

        return awrapped
    _, inner = layers(policies, owner=owner, is_sync=True, others=[None] * len(answers))
    sync_others = [within(inner, _sync_call(answer)) if is_called(answer) else None for answer in answers]
    outer, _ = layers(policies, owner=owner, is_sync=True, others=sync_others)
    call = within([*outer, *inner], lambda case: _given(function(*case.args, **case.kwargs), called))

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return call(Case(called, args, kwargs, store, listener=on_action))

    return wrapped


def _own_name(function: Any) -> tuple[str] | None:
    """A name that no other function has: where it stands. None where others may stand there too."""
    called, bound = getattr(function, "__qualname__", None), getattr(function, "__self__", None)
    if isinstance(bound, type):  # a method of a class, perhaps of the one that this one extends
        return (f"{bound.__module__}.{bound.__qualname__}.{function.__name__}",)
    if called is None or "<lambda>" in called or not (bound is None or inspect.ismodule(bound)):
        return None
    if "<locals>" in called and getattr(function, "__closure__", None):
        return None
    return (f"{function.__module__}.{called}",)


def _to_itself(policies: Policies, called: str, store: Any) -> Policies:
    """The policies of a function without a name: what it answered is for nobody else."""
    cache, breaker = policies.cache, policies.breaker
    if cache is not None and cache.store is not None:
        what = "cache"
    elif breaker is not None and breaker.name is None and store is not None:
        what = "breaker"
    else:
        return policies if cache is None else replace(policies, cache=replace(cache))
    raise DefinitionError(
        f"with_policies({called}): its {what} is kept in a store under its name, and another function may have the "
        "same one. Name it, so that they do not share their entries: with_policies(..., name=...)."
    )


def _check_function(function: Any, called: str) -> None:
    if hasattr(function, "ainvoke"):
        raise DefinitionError(
            f"with_policies({called}): give its method, `.invoke` or `.ainvoke`. Or make it a node, with the policies "
            "as options of `add_node`."
        )
    if not callable(function):
        raise DefinitionError(f"with_policies({function!r}): a function is needed.")
    method = getattr(function, "__call__", None)  # noqa: B004 - of an object, to see if it is a generator
    if any(inspect.isgeneratorfunction(f) or inspect.isasyncgenfunction(f) for f in (function, method)):
        raise DefinitionError(
            f"with_policies({called}): it is a generator. Calling it does nothing yet, so no policy could see it fail. "
            "Wrap what it calls."
        )


def _is_async(function: Any) -> bool:
    method = getattr(function, "__call__", None)  # noqa: B004 - of an object, to see if it is a coroutine
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(method)


def _given(answer: Any, called: str) -> Any:
    """The answer of a sync function; a coroutine would do its work only after all policies have let it go."""
    if type(answer) is CoroutineType:
        answer.close()
        raise DefinitionError(
            f"`{called}` is not a coroutine function, but returned a coroutine, which no policy could see fail. "
            "Make it `async def`, and await the coroutine in it."
        )
    return answer


def _sync_call(answer: Any) -> Call:
    function = as_function(answer)
    return lambda case: function(*case.args, **case.kwargs)


def _async_call(answer: Any) -> AsyncCall:
    if hasattr(answer, "ainvoke"):
        return lambda case: answer.ainvoke(*case.args, **case.kwargs)
    if _is_async(answer):
        return lambda case: answer(*case.args, **case.kwargs)
    call = _sync_call(answer)
    return lambda case: in_worker(call, case)
