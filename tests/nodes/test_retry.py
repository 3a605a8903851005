"""What fails is tried again: so often, after such pauses, and not when it makes no sense."""

from __future__ import annotations

import time
from email.utils import formatdate
from typing import Any

import pytest
from langgraph.errors import GraphInterrupt
from langgraph.types import RetryPolicy as NativeRetryPolicy

from dalsegno.errors import BudgetExceeded, DefinitionError
from dalsegno.nodes.policies import ManualClock, RetryPolicy
from dalsegno.nodes.policies.retry_after import retry_after


def policy(clock: ManualClock, **options: Any) -> RetryPolicy:
    return RetryPolicy(**{"max_attempts": 4, "jitter": False, **options}, clock=clock)


def told_to_wait(headers: dict[str, str]) -> ConnectionError:
    error = ConnectionError("too many requests")
    error.response = type("Response", (), {"headers": headers})()  # type: ignore[attr-defined]
    return error


def test_pauses_grow_by_the_factor_up_to_the_most(wrap: Any, failing: Any, clock: ManualClock) -> None:
    node = failing(*[ValueError()] * 4)
    retry = policy(clock, max_attempts=5, initial_interval=1, backoff_factor=3, max_interval=5)
    assert wrap(node, retry=retry)() == "answer"
    assert clock.slept == [1, 3, 5, 5]


def test_the_last_error_comes_out_when_all_attempts_fail(wrap: Any, failing: Any, clock: ManualClock) -> None:
    node = failing(ValueError("first"), ValueError("second"))
    with pytest.raises(ValueError, match="second"):
        wrap(node, retry=policy(clock, max_attempts=2))()
    assert node.calls == 2


def test_jitter_adds_up_to_a_second(wrap: Any, failing: Any, clock: ManualClock) -> None:
    retry = RetryPolicy(max_attempts=2, initial_interval=1, clock=clock, random=lambda: 0.25)
    wrap(failing(ValueError()), retry=retry)()
    assert clock.slept == [1.25]


@pytest.mark.parametrize("which", [ValueError, (KeyError, ValueError), lambda e: "again" in str(e)])
def test_only_the_errors_that_are_meant_are_tried_again(
    wrap: Any, failing: Any, clock: ManualClock, which: Any
) -> None:
    retry = policy(clock, retry_on=which)
    assert wrap(failing(ValueError("again")), retry=retry)() == "answer"
    with pytest.raises(TypeError):
        wrap(failing(TypeError("once")), retry=retry)()


def test_no_attempt_begins_that_would_be_beyond_max_elapsed(
    wrap: Any, failing: Any, clock: ManualClock, acted: list[Any]
) -> None:
    node = failing(*[ValueError()] * 9)
    retry = policy(clock, max_attempts=9, initial_interval=2, backoff_factor=1, max_elapsed=5)
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - which one it is does not matter
        wrap(node, retry=retry)()
    assert (node.calls, clock.slept) == (3, [2, 2])
    assert acted[-1].what == "given up"
    assert "5 seconds would be over" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"Retry-After": "7"}, 7),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after": formatdate(1030, usegmt=True)}, 30),
        ({"retry-after": "soon"}, 0.5),
        ({"retry-after": "-3"}, 0.5),
        ({}, 0.5),
    ],
)
def test_a_server_that_says_when_to_come_back_is_waited_for(
    wrap: Any, failing: Any, clock: ManualClock, headers: dict[str, str], seconds: float
) -> None:
    wrap(failing(told_to_wait(headers)), retry=policy(clock))()
    assert clock.slept == [seconds]


def test_a_server_that_asks_for_longer_than_the_most_is_not_asked_again(
    wrap: Any, failing: Any, clock: ManualClock
) -> None:
    node = failing(told_to_wait({"retry-after": "3600"}))
    with pytest.raises(ConnectionError):
        wrap(node, retry=policy(clock, max_interval=60))()
    assert node.calls == 1


def test_retry_after_is_read_off_real_responses() -> None:
    import httpx

    request = httpx.Request("GET", "http://127.0.0.1")
    response = httpx.Response(429, headers={"Retry-After": "2"}, request=request)
    assert retry_after(httpx.HTTPStatusError("429", request=request, response=response), now=0) == 2
    assert retry_after(ValueError(), now=0) is None


@pytest.mark.parametrize("date", ["Thu Jan  1 00:17:10 1970", "Thu, 01 Jan 1970 00:17:10 -0000"])
def test_a_date_without_a_zone_is_gmt_wherever_this_runs(date: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        assert retry_after(told_to_wait({"retry-after": date}), now=1000) == 30
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    "error",
    [GraphInterrupt(()), BudgetExceeded("spent"), KeyboardInterrupt()],
    ids=["a signal", "a breach of what is declared", "Ctrl-C"],
)
def test_what_is_no_failure_of_the_call_is_not_tried_again(
    wrap: Any, failing: Any, clock: ManualClock, error: BaseException
) -> None:
    node = failing(error)
    with pytest.raises(type(error)):
        wrap(node, retry=policy(clock))()
    assert node.calls == 1


def test_langgraphs_own_policies_are_taken_and_the_first_that_fits_is_asked(wrap: Any, failing: Any) -> None:
    node = failing(*[KeyError()] * 5)
    native = [
        NativeRetryPolicy(max_attempts=9, initial_interval=0, jitter=False, retry_on=ValueError),
        NativeRetryPolicy(max_attempts=2, initial_interval=0, jitter=False, retry_on=KeyError),
    ]
    with pytest.raises(KeyError):
        wrap(node, retry=native)()
    assert node.calls == 2


@pytest.mark.parametrize(
    "options",
    [
        {"max_attempts": 0},
        {"max_attempts": 1.5},
        {"max_attempts": True},
        {"initial_interval": -1},
        {"backoff_factor": float("nan")},
        {"max_interval": -0.1},
        {"max_elapsed": -1},
        {"retry_on": "ValueError"},
        {"retry_on": [1]},
        {"retry_on": ()},
        {"retry_on": KeyboardInterrupt},
        {"initial_interval": "1"},
        {"initial_interval": None},
        {"jitter": 3},
    ],
)
def test_a_policy_that_cannot_be_meant_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError, match="RetryPolicy"):
        RetryPolicy(**options)


def test_intervals_too_long_to_count_are_the_longest(wrap: Any, failing: Any, clock: ManualClock) -> None:
    node = failing(*[ValueError()] * 1100)
    retry = policy(clock, max_attempts=1101, initial_interval=1, max_interval=60)
    assert wrap(node, retry=retry)() == "answer"
    assert clock.slept[-1] == 60


def test_a_policy_without_pauses_has_none_after_a_thousand_attempts_either(
    wrap: Any, failing: Any, clock: ManualClock
) -> None:
    retry = policy(clock, max_attempts=1101, initial_interval=0)
    assert wrap(failing(*[ValueError()] * 1100), retry=retry)() == "answer"
    assert clock.slept == []


def test_a_predicate_that_raises_says_what_it_was_asked(wrap: Any, failing: Any, clock: ManualClock) -> None:
    def is_passing(error: Exception) -> bool:
        return bool(error.code)  # type: ignore[attr-defined]

    with pytest.raises(AttributeError) as caught:
        wrap(failing(ValueError("no code")), retry=policy(clock, retry_on=is_passing))()
    assert "`is_passing` raised this when a policy asked whether it means ValueError: no code" in str(
        caught.value.__notes__
    )
