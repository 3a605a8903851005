"""Pattern 2: several at once; all of them, or the first so many."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from langgraph.types import interrupt

from dalsegno import RetryPolicy, Runner
from dalsegno.errors import DefinitionError, TooFewAnswers
from dalsegno.graphs.patterns import Node, parallel
from dalsegno.runtime import RunResult
from dalsegno.testing import crash_test


def quick(state: Any) -> str:
    return "quick"


class Slow:
    """A branch that waits until it is given up, or for half a minute."""

    def __init__(self) -> None:
        self.begun, self.cancelled = threading.Event(), threading.Event()

    async def __call__(self, state: Any) -> str:
        self.begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return "slow"


def test_the_fastest_wins_and_the_others_are_cancelled_at_once(tmp_path: Path) -> None:
    slow = Slow()

    def quick(state: Any) -> str:
        assert slow.begun.wait(20)  # one that has lost before it begins is not begun
        return "quick"

    flow = parallel({"quick": quick, "slow": slow}, join="any")
    began = time.monotonic()
    with Runner(flow, db=tmp_path / "r.db") as runner:
        output = runner.run({"value": 1}).raise_for_status().output
    assert time.monotonic() - began < 30
    assert output["results"] == {"quick": "quick"}
    assert output["given_up"] == ["slow"]
    assert slow.cancelled.is_set()


def test_a_sync_loser_is_not_waited_for() -> None:
    released = threading.Event()

    def stubborn(state: Any) -> str:
        released.wait(30)
        return "late"

    graph = parallel({"quick": quick, "stubborn": stubborn}, join="any").compile()
    try:
        assert graph.invoke({"value": 1})["results"] == {"quick": "quick"}
        assert asyncio.run(graph.ainvoke({"value": 1}))["results"] == {"quick": "quick"}
    finally:
        released.set()


@pytest.mark.parametrize("first", [1, 2, 3])
def test_the_first_so_many_count(first: int) -> None:
    flow = parallel(dict.fromkeys("abcd", quick), join=first)
    for output in (flow.compile().invoke({"value": 1}), asyncio.run(flow.compile().ainvoke({"value": 1}))):
        assert len(output["results"]) == first
        assert len(output["given_up"]) == 4 - first
        assert not set(output["results"]) & set(output["given_up"])


def test_a_winner_stays_the_winner_over_a_crash() -> None:
    async def slow(state: Any) -> str:
        await asyncio.sleep(30)
        return "slow"

    report = crash_test(parallel({"quick": quick, "slow": slow}, join="any"), {"value": 1})
    report.raise_for_failures()
    assert report.kills > 8


@pytest.mark.parametrize("is_async", [False, True])
def test_a_race_that_failed_is_won_after_a_resume_in_the_same_process(is_async: bool, tmp_path: Path) -> None:
    broken: list[int] = [1, 1]

    def first(state: Any) -> str:
        if broken:
            broken.pop()
            raise ValueError("no")
        return "first"

    with Runner(parallel([first], join="any"), db=tmp_path / "r.db") as runner:

        def again() -> RunResult:
            return asyncio.run(runner.aresume("t")) if is_async else runner.resume("t")

        assert runner.run({"value": 1}, thread="t").status == "failed"
        assert again().status == "failed"
        result = again()
    assert result.status == "completed", result.error
    assert result.output["results"] == {"first": "first"}


def test_a_branch_that_fails_does_not_win() -> None:
    async def broken(state: Any) -> str:
        has_failed.set()
        raise ValueError("no")

    async def steady(state: Any) -> str:
        await has_failed.wait()
        for _ in range(100):  # the failure is heard of first
            await asyncio.sleep(0)
        return "steady"

    has_failed = asyncio.Event()
    flow = parallel([broken, steady], join="any", on_error="collect")
    output = asyncio.run(flow.compile().ainvoke({"value": 1}))
    assert output["results"] == {"steady": "steady"}
    assert [f["name"] for f in output["failures"]] == ["broken"]


def test_too_few_answers_say_what_failed(tmp_path: Path) -> None:
    def broken(state: Any) -> str:
        raise ValueError("no")

    flow = parallel([quick, broken], join=2, on_error="collect")
    with Runner(flow, db=tmp_path / "r.db") as runner:
        error = runner.run({"value": 1}).error
    assert error is not None
    assert error["type"] == "TooFewAnswers"
    assert "needs 2 answers, and 1 came. `broken`: ValueError: no" in error["message"]


def test_where_one_answer_is_enough_and_none_comes_nothing_fewer_is_to_be_asked_for() -> None:
    def broken(state: Any) -> str:
        raise ValueError("no")

    with pytest.raises(TooFewAnswers) as raised:
        parallel([broken], join="any", on_error="collect").compile().invoke({"value": 1})
    assert str(raised.value).startswith(
        "`parallel` needs 1 answer, and none came. `broken`: ValueError: no. Mend what failed and start again."
    )


def test_a_branch_is_retried_before_it_counts_as_failed() -> None:
    calls: list[int] = []

    def flaky(state: Any) -> str:
        calls.append(1)
        if len(calls) < 3:
            raise OSError("again")
        return "at last"

    retry = RetryPolicy(max_attempts=3, initial_interval=0, jitter=False)
    flow = parallel([quick, Node(flaky, retry=retry)], on_error="collect")
    assert flow.compile().invoke({"value": 1})["results"] == {"quick": "quick", "flaky": "at last"}
    assert flow.spec.nodes["flaky"].attempts == 3


def test_no_more_than_so_many_run_at_once() -> None:
    going, most = 0, 0

    async def branch(state: Any) -> str:
        nonlocal going, most
        going += 1
        most = max(most, going)
        await asyncio.sleep(0.005)
        going -= 1
        return ""

    flow = parallel({f"b{n}": branch for n in range(9)}, max_concurrency=3)
    asyncio.run(flow.compile().ainvoke({"value": 1}))
    assert most == 3


@pytest.mark.parametrize(
    ("branches", "options", "message"),
    [
        ([], {}, "no branches"),
        ([quick, quick], {}, "two branches are called `quick`"),
        ([lambda state: 1], {}, "has no name of its own"),
        ([quick], {"join": 2}, "from 1 to 1"),
        ([quick], {"join": "some"}, "join='some'"),
        ([quick], {"on_error": "ignore"}, "on_error='ignore'"),
        ([quick], {"options": {"quik": {}}}, "no node `quik` here; did you mean `quick`"),
        ("quick", {}, "are no branches"),
    ],
)
def test_what_cannot_be_meant_is_refused(branches: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        parallel(branches, **options)


@pytest.mark.parametrize("is_async", [False, True])
def test_nobody_is_asked_where_the_others_are_enough(is_async: bool, tmp_path: Path) -> None:
    begun, asked = threading.Event(), threading.Event()

    def ask(state: Any) -> Any:
        assert begun.wait(20)
        asked.set()
        return interrupt("What is it?")

    def program(state: Any) -> str:
        begun.set()
        assert asked.wait(20)
        return "quick"

    async def aprogram(state: Any) -> str:
        begun.set()
        assert await asyncio.to_thread(asked.wait, 20)
        return "quick"

    flow = parallel(
        {"ask": Node(ask, interrupts=1), "program": aprogram if is_async else program}, join="any"
    )
    with Runner(flow, db=tmp_path / "r.db") as runner:
        output = runner.run({"value": 1}).raise_for_status().output
    assert (output["results"], output["given_up"]) == ({"program": "quick"}, ["ask"])


@pytest.mark.parametrize("is_async", [False, True])
def test_somebody_is_asked_where_the_others_are_not_enough(is_async: bool, tmp_path: Path) -> None:
    def broken(state: Any) -> str:
        raise ValueError("broken")

    async def abroken(state: Any) -> str:
        raise ValueError("broken")

    def ask(state: Any) -> Any:
        return [interrupt("What is it?"), interrupt("Are you sure?")]

    branches = {"broken": abroken if is_async else broken, "ask": Node(ask, interrupts=2), "quick": quick}
    flow = parallel(branches, join=2, on_error="collect")
    with Runner(flow, db=tmp_path / "r.db") as runner:
        assert runner.run({"value": 1}, thread="t").status == "interrupted"
        assert runner.resume("t", "rain").status == "interrupted"
        output = runner.resume("t", "yes").raise_for_status().output
    assert output["results"] == {"ask": ["rain", "yes"], "quick": "quick"}


def test_one_branch_is_enough() -> None:
    assert parallel([quick]).compile().invoke({"value": 1})["results"] == {"quick": "quick"}
