"""What policies cost where nothing fails: every one of them around a node, and a breaker that is open."""

from __future__ import annotations

import asyncio
import gc
import statistics
import threading
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


def chain(make: Callable[[int], Any] | None = None, **policies: Any) -> Any:
    """A chain of nodes that do nothing, or what `make` gives for each."""
    flow = Workflow("chain", State)
    previous = START
    for number in range(STEPS):
        node = make(number) if make is not None else lambda state, number=number: {"n": number}
        flow.add_node(f"n{number}", node, **policies)
        flow.add_edge(previous, f"n{number}")
        previous = f"n{number}"
    return flow.add_edge(previous, END).compile()


def hands_over(number: int) -> Callable[[Any], dict[str, int]]:
    """A node that wakes another thread and waits for it: two locks, and nothing else."""
    there, back = _LOCKS

    def node(state: Any) -> dict[str, int]:
        there.release()
        back.acquire()
        return {"n": number}

    return node


_LOCKS = threading.Lock(), threading.Lock()


def _other_thread() -> None:
    there, back = _LOCKS
    while True:
        there.acquire()
        back.release()


def is_async(number: int) -> Callable[[Any], Any]:
    """The same as a coroutine function."""

    async def node(state: Any) -> dict[str, int]:
        return {"n": number}

    return node


def added(graphs: dict[str, Any], rounds: int = 41) -> dict[str, tuple[float, float]]:
    """Microseconds that each graph's superstep takes longer than the bare one's: the median of interleaved rounds,
    and the difference of the least of either.

    The first graph is the bare one. A median says what is usual on this machine, a least what it is without what
    else the machine does.
    """
    times: dict[str, list[float]] = {name: [] for name in graphs}
    loop = asyncio.new_event_loop()
    try:
        for number in range(rounds):
            for name in list(graphs) if number % 2 else reversed(graphs):
                gc.collect()
                began = time.perf_counter()
                if name.endswith("async"):
                    loop.run_until_complete(graphs[name].ainvoke({"n": 0}))
                else:
                    graphs[name].invoke({"n": 0})
                times[name].append((time.perf_counter() - began) / STEPS * 1e6)
    finally:
        loop.close()
    bare = times[next(iter(graphs))]
    return {
        name: (statistics.median(t - b for t, b in zip(each, bare, strict=True)), min(each) - min(bare))
        for name, each in times.items()
    }


def open_breaker() -> tuple[float, float]:
    """Microseconds in which a call is refused: the median, and the least."""
    call = with_policies(lambda: 1 / 0, breaker=CircuitBreaker(failures=1, recovery=10**6), name="broken")
    times = []
    for _ in range(2000):
        began = time.perf_counter()
        try:
            call()
        except (CircuitOpen, ZeroDivisionError):
            times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e6, min(times) * 1e6


def rows() -> list[str]:
    """Rows of a table: what, microseconds (median and least), gate, met."""
    everything, but_the_timeout = full_stack(), full_stack()
    del but_the_timeout["timeout"]
    for lock in _LOCKS:
        lock.acquire()
    threading.Thread(target=_other_thread, daemon=True).start()
    of_async = added({"bare async": chain(is_async), "all async": chain(is_async, **everything)})
    of_sync = added(
        {
            "bare": chain(),
            "all": chain(**everything),
            "no timeout": chain(**but_the_timeout),
            "two threads": chain(hands_over),
        }
    )
    refused = open_breaker()
    return [
        _row("every policy around an async node, nothing failing, adds", *of_async["all async"], STACK_GATE),
        _row("every policy around a sync node adds", *of_sync["all"], STACK_GATE),
        _row("… without the timeout", *of_sync["no timeout"], STACK_GATE),
        _row("to compare: waking a thread and being woken by it, and nothing else", *of_sync["two threads"]),
        _row("an open circuit breaker refuses a call in", *refused, OPEN_GATE),
    ]


def _row(what: str, median: float, least: float, gate: float | None = None) -> str:
    met = "—" if gate is None else "yes" if median <= gate else "**no**"
    return f"| {what} | {median:,.0f} | {least:,.0f} | {'—' if gate is None else f'≤ {gate:g}'} | {met} |"


HEADER = "| what | µs, median | least | gate | met |\n|---|--:|--:|--:|:-:|"


if __name__ == "__main__":
    print(HEADER, *rows(), sep="\n")
