"""Breakers and rate limits hold for a hundred threads, and a hundred tasks, that come at once."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from dalsegno import CircuitBreaker, RateLimit
from dalsegno.errors import CircuitOpen, RateLimited
from dalsegno.nodes.policies import Action, ManualClock, with_policies

MANY = 100


class Frozen(ManualClock):
    """A clock that nobody's sleep moves."""

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


def at_once(call: Callable[[], Any]) -> list[Any]:
    """What a hundred threads get that call it at the same time: an answer, or the class of an error."""
    ready, results = threading.Barrier(MANY), list[Any]()

    def go() -> None:
        ready.wait(30)
        try:
            results.append(call())
        except Exception as error:
            results.append(type(error))

    threads = [threading.Thread(target=go) for _ in range(MANY)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return results


def tasks_at_once(call: Callable[[], Any]) -> list[Any]:
    """The same for tasks of one event loop."""

    async def scenario() -> list[Any]:
        given = await asyncio.gather(*(call() for _ in range(MANY)), return_exceptions=True)
        return [type(each) if isinstance(each, Exception) else each for each in given]

    return asyncio.run(scenario())


@pytest.mark.parametrize("answers", [True, False])
@pytest.mark.parametrize("is_async", [False, True])
def test_of_all_that_come_when_it_is_half_open_exactly_one_is_let_through(
    clock: ManualClock, is_async: bool, answers: bool
) -> None:
    breaker = CircuitBreaker(failures=1, recovery=30, clock=clock)
    acts, calls, release = list[Action](), list[int](), threading.Event()

    def probe() -> str:
        calls.append(1)
        release.wait(30)
        if not answers:
            raise ConnectionError
        return "back"

    async def aprobe() -> str:
        calls.append(1)
        await asyncio.sleep(0)
        if not answers:
            raise ConnectionError
        return "back"

    with pytest.raises(ZeroDivisionError):
        with_policies(lambda: 1 / 0, breaker=breaker)()
    clock.advance(31)

    def tell(action: Action) -> None:
        acts.append(action)
        if sum(a.what == "refused" for a in acts) == MANY - 1:
            release.set()  # everybody else was refused while the probe was under way

    if is_async:
        results = tasks_at_once(with_policies(aprobe, breaker=breaker, on_action=tell))
    else:
        results = at_once(with_policies(probe, breaker=breaker, on_action=tell))
    assert len(calls) == 1
    assert Counter(results) == {("back" if answers else ConnectionError): 1, CircuitOpen: MANY - 1}
    assert breaker.state.name == ("closed" if answers else "open")


@pytest.mark.parametrize("is_async", [False, True])
def test_no_more_than_the_concurrency_go_on_at_once_and_all_get_their_turn(is_async: bool) -> None:
    going = most = 0
    lock, limit = threading.Lock(), RateLimit(concurrency=7)

    def enter() -> None:
        nonlocal going, most
        with lock:
            going += 1
            most = max(most, going)

    def leave() -> str:
        nonlocal going
        with lock:
            going -= 1
        return "done"

    def work() -> str:
        enter()
        threading.Event().wait(0.001)
        return leave()

    async def awork() -> str:
        enter()
        await asyncio.sleep(0.001)
        return leave()

    if is_async:
        results = tasks_at_once(with_policies(awork, rate_limit=limit))
    else:
        results = at_once(with_policies(work, rate_limit=limit))
    assert results == ["done"] * MANY
    assert most == 7 if is_async else most <= 7
    assert (limit.turns.going, len(limit.turns.waiting)) == (0, 0)


def test_turns_are_given_out_so_that_no_window_has_more_than_the_rate() -> None:
    clock = Frozen(1000.0)
    call = with_policies(lambda: "done", rate_limit=RateLimit(calls=10, per=60, clock=clock))
    assert at_once(call) == ["done"] * MANY
    assert Counter(clock.slept) == {60.0 * n: 10 for n in range(1, 10)}


def test_who_would_wait_too_long_takes_no_turn() -> None:
    clock = Frozen(1000.0)
    limit = RateLimit(calls=10, per=60, max_wait=120, clock=clock)
    results = Counter(at_once(with_policies(lambda: "done", rate_limit=limit)))
    assert results == {"done": 30, RateLimited: 70}
    clock.advance(60)
    assert Counter(at_once(with_policies(lambda: "done", rate_limit=limit))) == {"done": 10, RateLimited: 90}
