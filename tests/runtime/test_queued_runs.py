"""A run can be recorded before anybody runs it; whoever resumes its thread begins it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypedDict

import pytest

from dalsegno import END, START, Budget, Runner, Workflow
from dalsegno.errors import InputInvalid, NothingToResume, ThreadBusy, ThreadUnfinished
from dalsegno.runtime.events import RunStarted
from dalsegno.runtime.queueing import drive, enqueue, take


class State(TypedDict, total=False):
    topic: str
    draft: str


@pytest.fixture
def heard() -> list[Any]:
    return []


@pytest.fixture
def runner(tmp_path: Path, heard: list[Any]) -> Iterator[Runner]:
    flow = Workflow("article", State).add_node("write", lambda state: {"draft": f"On {state['topic']}."})
    flow.add_edge(START, "write").add_edge("write", END)
    with Runner(flow, tmp_path / "runs.db", on_event=heard.append) as made:
        yield made


def test_a_queued_run_is_recorded_with_its_input_and_has_not_begun(runner: Runner) -> None:
    run = runner.ledger.get(enqueue(runner, {"topic": "rain"}, "t"))
    assert (run.status, run.thread, run.input, run.finished_at) == ("queued", "t", {"topic": "rain"}, None)
    assert runner.ledger.executions(run.run_id) == []
    assert [found.run_id for found in runner.ledger.runs(status="queued")] == [run.run_id]


def test_its_first_resume_begins_it_and_counts_as_none(runner: Runner, heard: list[Any]) -> None:
    run_id = enqueue(runner, {"topic": "rain"}, "t")
    result = runner.resume("t")
    assert (result.run_id, result.status, result.output["draft"]) == (run_id, "completed", "On rain.")
    assert runner.ledger.get(run_id).resumes == 0
    assert [event.resumed for event in heard if isinstance(event, RunStarted)] == [False]


def test_a_run_that_was_recorded_in_another_graph_begins_in_this_one(tmp_path: Path) -> None:
    """What it has executed is compared with this one, and nothing is taken for what was passed in the other."""
    broken = {"write"}

    def write(state: State) -> dict[str, str]:
        if broken:
            raise ConnectionError("nobody there")
        return {"draft": f"On {state['topic']}, in {state['draft']}."}

    def flow(*names: str) -> Workflow:
        made = Workflow("article", State)
        nodes = {"write": write, "look_up": lambda state: {"draft": "a book"}}
        made.add_sequence([(name, nodes[name]) for name in names])
        return made.add_edge(START, names[0]).add_edge(names[-1], END)

    with Runner(flow("write"), tmp_path / "runs.db") as old:
        enqueue(old, {"topic": "rain"}, "t")
    with Runner(flow("look_up", "write"), tmp_path / "runs.db") as new:
        assert new.resume("t").status == "failed"
        broken.clear()
        assert new.resume("t").output == {"topic": "rain", "draft": "On rain, in a book."}


def test_an_answer_to_a_run_that_has_asked_nothing_is_refused(runner: Runner) -> None:
    enqueue(runner, {"topic": "rain"}, "t")
    with pytest.raises(InputInvalid, match="no question waits"):
        runner.resume("t", "yes")
    assert runner.resume("t").status == "completed"


def test_what_does_not_fit_is_not_queued(runner: Runner) -> None:
    with pytest.raises(InputInvalid):
        enqueue(runner, {"topic": 5}, "t")
    assert runner.ledger.runs() == []


def test_a_thread_with_a_queued_run_takes_no_other_input(runner: Runner) -> None:
    enqueue(runner, {"topic": "rain"}, "t")
    with pytest.raises(ThreadUnfinished, match="queued"):
        runner.run({"topic": "snow"}, "t")


def test_a_thread_that_is_taken_is_neither_queued_on_nor_taken_again(runner: Runner) -> None:
    enqueue(runner, {"topic": "rain"}, "t")
    turn = take(runner, "t")
    with pytest.raises(ThreadBusy):
        take(runner, "t")
    with pytest.raises(ThreadBusy):
        enqueue(runner, {"topic": "snow"}, "t", abandon=True)
    assert drive(runner, turn).status == "completed"


def test_its_budget_is_there_when_it_begins(runner: Runner) -> None:
    enqueue(runner, {"topic": "rain"}, "t", budget=Budget(supersteps=0))
    result = runner.resume("t")
    assert result.error is not None
    assert (result.status, result.error["type"]) == ("failed", "BudgetExceeded")


def test_a_cancelled_queued_run_never_begins(runner: Runner) -> None:
    enqueue(runner, {"topic": "rain"}, "t")
    assert runner.cancel("t") == "cancelled"
    with pytest.raises(NothingToResume):
        runner.resume("t")


def test_a_queued_run_that_is_given_up_for_another_one_is_cancelled(runner: Runner) -> None:
    first = enqueue(runner, {"topic": "rain"}, "t")
    second = enqueue(runner, {"topic": "snow"}, "t", abandon=True)
    assert runner.ledger.get(first).status == "cancelled"
    third = runner.run({"topic": "hail"}, "t", abandon=True)
    assert [run.status for run in map(runner.ledger.get, (second, third.run_id))] == [
        "cancelled",
        "completed",
    ]


def test_a_queued_run_may_be_the_next_turn_of_a_thread(runner: Runner) -> None:
    first = runner.run({"topic": "rain"}, "t")
    second = enqueue(runner, {"topic": "snow"}, "t")
    assert second != first.run_id
    assert runner.resume("t").output["draft"] == "On snow."


def test_of_two_who_queue_on_one_thread_at_the_same_time_one_is_told(
    runner: Runner, postgres_url: str
) -> None:
    def ask(topic: str) -> type[Exception] | None:
        try:
            enqueue(shared, {"topic": topic}, "t")
        except ThreadUnfinished as error:
            return type(error)
        return None

    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    with Runner(runner.graph, postgres_url) as shared, ThreadPoolExecutor(2) as pool:
        with shared.ledger.database.transaction() as session:
            shared.ledger.database.lock("t")
            asked = [pool.submit(ask, topic) for topic in ("rain", "snow")]
            end = time.monotonic() + 60
            while session.execute(waiting).fetchone()[0] < 2:
                assert time.monotonic() < end, "both wait"
        assert {each.result() for each in asked} == {None, ThreadUnfinished}
        assert len(shared.ledger.runs()) == 1
