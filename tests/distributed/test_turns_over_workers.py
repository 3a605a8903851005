"""Runs that are gone on with: answered, by newer code, with more budget, by another worker than before."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fleets import Fleet, until, working

from dalsegno import Budget
from dalsegno.errors import InputInvalid, NothingToResume, ThreadBusy


@pytest.fixture(scope="module", autouse=True)
def held(fleet: Fleet) -> Iterator[Any]:
    """A run in a node that takes its time while the other tests go on, longer than until somebody else had it."""
    with working(fleet, fleet.plays.holds):
        yield fleet.submit("holds", {"trail": [], "pause": fleet.client.heartbeat + 2.5}, "held")


def test_a_human_is_waited_for_without_a_worker_and_answered_by_a_signal(fleet: Fleet) -> None:
    with working(fleet, fleet.plays.asks):
        handle = fleet.submit("asks", {"trail": []}, "asked")
        result = handle.result(60)
        assert (result.status, result.interrupts[0]["value"]["question"]) == ("interrupted", "Publish?")
    with pytest.raises(ThreadBusy, match=r"Answer it \(`dalsegno resume asked --value ANSWER`\)"):
        fleet.submit("asks", {"trail": []}, "asked")
    with pytest.raises(InputInvalid):
        handle.resume("perhaps")
    handle.resume("yes")  # nobody is there to hear it
    with working(fleet, fleet.plays.asks, concurrency=1):
        result = handle.result(60)
    assert (result.status, result.output["verdict"]) == ("completed", "yes")
    assert [n for _, n, _ in fleet.executed("asked")] == ["before", "after"]


def test_of_two_who_answer_at_once_one_is_told(fleet: Fleet) -> None:
    together = threading.Barrier(4)

    def answered(word: str) -> str | None:
        together.wait(60)
        try:
            fleet.client.handle("raced", fleet.plays.asks).resume(word)
        except (ThreadBusy, NothingToResume):  # or it is over by now
            return None
        return word

    with working(fleet, fleet.plays.asks, "raced"):
        handle = fleet.submit("asks", {"trail": []}, "raced", queue="raced")
        assert handle.result(60).status == "interrupted"
        with ThreadPoolExecutor(4) as pool:
            taken = [word for word in pool.map(answered, ["yes", "no", "yes", "no"]) if word is not None]
        until(lambda: handle.status() == "completed")
    assert taken == [handle.result(60).output["verdict"]]


def test_a_deadlines_default_is_applied_by_a_worker(fleet: Fleet) -> None:
    with working(fleet, fleet.plays.waits):
        handle = fleet.submit("waits", {"trail": []}, "late")
        until(lambda: handle.status() == "completed", "the deadline has passed")
        assert handle.result(60).output["verdict"] == "no"


def test_a_worker_with_newer_code_follows_the_rules_of_resume(fleet: Fleet) -> None:
    plays = fleet.plays
    with working(fleet, plays.asks, "versions"):
        runs = [fleet.submit("asks", {"trail": []}, f"version{i}", queue="versions") for i in range(2)]
        assert {run.result(60).status for run in runs} == {"interrupted"}

    more = plays.asking("ask", ["more", "after"])
    with working(fleet, more, "versions"):  # a node more behind the mark: compatible
        runs[0].resume("yes")
        assert runs[0].result(60).status == "completed"
        assert [n for _, n, _ in fleet.executed("version0")] == ["before", "more", "after"]

    renamed = plays.asking("query", ["after"])
    with working(fleet, renamed, "versions"):  # what waits has another name: refused, until it is said
        runs[1].resume("yes")
        refused = runs[1].result(60)
        assert (refused.status, refused.error["type"]) == ("failed", "IncompatibleGraph")  # type: ignore[index]
        runs[1].resume(rename={"ask": "query"})
        assert runs[1].result(60).status == "interrupted"
        runs[1].resume("yes")
        assert runs[1].result(60).output["verdict"] == "yes"


def test_a_resume_that_the_worker_cannot_follow_is_told_and_can_be_said_again(fleet: Fleet) -> None:
    with working(fleet, fleet.plays.asks, "mistyped"):
        handle = fleet.submit("asks", {"trail": []}, "mistyped", queue="mistyped")
        assert handle.result(60).status == "interrupted"
        handle.resume("yes", rename={"nobody": "ask"})
        refused = handle.result(60)
        assert (refused.status, refused.error["type"]) == ("failed", "InputInvalid")  # type: ignore[index]
        assert "knows no node `nobody`" in refused.error["message"]  # type: ignore[index]
        handle.resume()
        assert handle.result(60).status == "interrupted"  # nothing was answered
        handle.resume("yes")
        assert handle.result(60).output["verdict"] == "yes"


def test_a_run_that_waits_holds_no_place_on_a_worker(fleet: Fleet) -> None:
    with working(fleet, fleet.plays.asks, "single", concurrency=1):
        first = fleet.submit("asks", {"trail": []}, "waits1", queue="single")
        assert first.result(60).status == "interrupted"
        second = fleet.submit("asks", {"trail": []}, "waits2", queue="single")
        assert second.result(60).status == "interrupted"  # in the one place, while the first one waits
        assert first.status() == "interrupted"
        for handle in (first, second):
            handle.resume("yes")
            assert handle.result(60).status == "completed"


def test_a_budget_reaches_the_worker_and_a_failed_run_is_given_more(fleet: Fleet) -> None:
    with working(fleet, fleet.plays.ten, "poor"):
        handle = fleet.submit("ten", {"trail": []}, "poor", queue="poor", budget=Budget(supersteps=4))
        result = handle.result(60)
        assert (result.status, result.error["type"]) == ("failed", "BudgetExceeded")  # type: ignore[index]
        handle.resume(budget=Budget(supersteps=20))
        assert handle.result(60).status == "completed"


def test_a_budget_holds_over_a_resume_on_another_worker(fleet: Fleet) -> None:
    flow = fleet.plays.asking("ask", ["after", "more"])
    with working(fleet, flow, "frugal"):
        handle = fleet.client.submit(
            flow, {"trail": []}, thread="frugal", queue="frugal", budget=Budget(supersteps=3)
        )
        assert handle.result(60).status == "interrupted"
    with working(fleet, flow, "frugal"):  # what the first worker has spent is spent
        handle.resume("yes")
        result = handle.result(60)
        assert (result.status, result.error["type"]) == ("failed", "BudgetExceeded")  # type: ignore[index]
        assert [n for _, n, _ in fleet.executed("frugal")] == ["before", "after"]
    with working(fleet, flow, "frugal"):
        handle.resume(budget=Budget(supersteps=4))
        assert handle.result(60).status == "completed"
    assert [n for _, n, _ in fleet.executed("frugal")] == ["before", "after", "more"]


def test_a_context_reaches_each_worker_that_a_run_has(fleet: Fleet) -> None:
    flow = fleet.plays.heeds
    with working(fleet, flow, "context"):
        runs = [
            fleet.submit("heeds", {"trail": []}, f"context{i}", queue="context", context={"tone": "dry"})
            for i in range(2)
        ]
        assert {run.result(60).status for run in runs} == {"interrupted"}
    with working(fleet, flow, "context"):
        runs[0].resume("yes")  # the one it was submitted with
        assert runs[0].result(60).output["trail"] == ["before dry", "after dry"]
        runs[1].resume("yes", context={"tone": "wry"})
        assert runs[1].result(60).output["trail"] == ["before dry", "after wry"]


def test_a_node_that_blocks_the_event_loop_for_longer_than_the_heartbeat_does_not_look_dead(
    fleet: Fleet, held: Any
) -> None:
    assert held.result(60).output["trail"] == ["hold"]
    assert len(fleet.executed("held")) == 1
