"""What policies cost where nothing fails: every one of them around a node, and a breaker that is open."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from typing import Any, TypedDict

from dalsegno import (
    END,
    START,
    Budget,
    Cache,
    CircuitBreaker,
    Fallback,
    RateLimit,
    RetryPolicy,
    Timeout,
    Workflow,
)
from dalsegno.errors import CircuitOpen
from dalsegno.nodes.policies import with_policies

STEPS = 100
STACK_GATE = 150.0
"""Microseconds that the full stack may add to a node."""
OPEN_GATE = 50.0
"""Microseconds in which an open breaker answers."""


class State(TypedDict, total=False):
    n: int


def full_stack() -> dict[str, Any]:
    """Every policy at once, a new input each time, so that the cache is asked and filled and never answers."""
    return {
        "cache": Cache(key=_never_the_same()),
        "budget": Budget(model_calls=10**9, seconds=10**9),
        "rate_limit": RateLimit(calls=10**6, per=1, concurrency=1000),
        "fallback": Fallback({"n": 0}),
        "breaker": CircuitBreaker(),
        "retry": RetryPolicy(),
        "timeout": Timeout(attempt=60, total=600),
        "watch": True,
    }


def _never_the_same() -> Callable[[Any], int]:
    count = iter(range(10**12))
    return lambda state: next(count)


def chain(**policies: Any) -> Any:
    flow = Workflow("chain", State)
    previous = START
    for number in range(STEPS):
        flow.add_node(f"n{number}", lambda state, number=number: {"n": number}, **policies)
        flow.add_edge(previous, f"n{number}")
        previous = f"n{number}"
    return flow.add_edge(previous, END).compile()


def stack(policies: dict[str, Any], rounds: int = 61) -> float:
    """Microseconds that policies add to a superstep: the least of interleaved rounds on either side.

    The least, not the median: what else the machine does only ever adds to an absolute time.
    """
    policed, bare = chain(**policies), chain()
    least: dict[Any, float] = {}
    for number in range(rounds):
        for graph in (policed, bare) if number % 2 else (bare, policed):
            gc.collect()
            began = time.perf_counter()
            graph.invoke({"n": 0})
            took = time.perf_counter() - began
            least[graph] = min(took, least.get(graph, took))
    return float(least[policed] - least[bare]) / STEPS * 1e6


def open_breaker() -> float:
    """Microseconds in which a call is refused."""
    call = with_policies(lambda: 1 / 0, breaker=CircuitBreaker(failures=1, recovery=10**6), name="broken")
    times = []
    for _ in range(2000):
        began = time.perf_counter()
        try:
            call()
        except (CircuitOpen, ZeroDivisionError):
            times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e6


def rows() -> list[str]:
    """Rows of a table: what, microseconds, gate, met."""
    policies = full_stack()
    added, refused = stack(policies), open_breaker()
    del policies["timeout"]
    return [
        _row("every policy around a node, nothing failing, adds", added, STACK_GATE),
        # A sync timeout needs a thread. Waking one on a processor that sleeps is most of it, and not ours to change.
        _row(
            "the same without the timeout, which hands a sync node to a thread,", stack(policies), STACK_GATE
        ),
        _row("an open circuit breaker refuses a call in", refused, OPEN_GATE),
    ]


def _row(what: str, microseconds: float, gate: float) -> str:
    return f"| {what} | {microseconds:,.0f} | ≤ {gate:g} | {'yes' if microseconds <= gate else '**no**'} |"


HEADER = "| what | µs | gate | met |\n|---|--:|--:|:-:|"


if __name__ == "__main__":
    print(HEADER, *rows(), sep="\n")
