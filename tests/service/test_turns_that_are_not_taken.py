"""Turns that a service wanted to take, and could not commit to."""

from __future__ import annotations

import threading
import time
import weakref
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langgraph.types import interrupt

from dalsegno import END, START, Workflow
from dalsegno.errors import DatabaseUnavailable
from dalsegno.graphs.loading import LoadedTarget
from dalsegno.runtime.events import Event, RunFinished, RunStarted
from dalsegno.service import Service, Settings
from dalsegno.service.models import ResumeRun, StartRun
from tests.service.conftest import until


class State(TypedDict, total=False):
    topic: str


def work(state: State) -> State:
    return {}


def refuses(state: State) -> State:
    raise SystemExit("enough")


def test_nobody_is_told_of_a_turn_whose_taking_was_not_committed(tmp_path: Path) -> None:
    told: list[Event] = []
    given_up: list[Any] = []
    flow = Workflow("work", State).add_node("work", work).add_edge(START, "work").add_edge("work", END)
    settings = Settings(poll=0.02, recheck=0.1)
    service = Service(
        [LoadedTarget(flow, "app.py:flow")], tmp_path / "runs.db", settings, on_event=(told.append,)
    )
    runner = service.runners["work"]

    def is_full(number: int, tasks: Any) -> None:
        for session in runner.sessions[: 3 - len(given_up)]:
            given_up.append(weakref.ref(session))
            raise DatabaseUnavailable("The disk is full.", path="runs.db")

    run_id, _ = service.start(StartRun(workflow="work", input={"topic": "rain"}), client="ci")
    service.checkpointer.database.before_commit.append(is_full)  # type: ignore[attr-defined]
    service.open()
    until(lambda: service.run(run_id).status == "completed", "it is taken when there is room")
    until(lambda: service.dispatcher.active == 0, "it has ended")
    assert service.drain() == 0
    assert len(given_up) == 3
    assert not runner.sessions
    ends = [type(event) for event in told if isinstance(event, (RunStarted, RunFinished))]
    assert ends == [RunStarted, RunFinished]
    service.close()


def test_a_run_that_gets_no_thread_is_taken_when_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = Workflow("work", State).add_node("work", work).add_edge(START, "work").add_edge("work", END)
    settings = Settings(runs=1, poll=0.02, recheck=0.1)
    service = Service([LoadedTarget(flow, "app.py:flow")], tmp_path / "runs.db", settings)
    start, refused = threading.Thread.start, 0

    def starts(thread: threading.Thread) -> None:
        nonlocal refused
        if thread.name.startswith("dalsegno-run") and refused < 3:
            refused += 1
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", starts)
    run_id, _ = service.start(StartRun(workflow="work", input={"topic": "rain"}), client="ci")
    service.open()
    until(lambda: service.run(run_id).status == "completed", "it is taken when there is a thread")
    until(lambda: service.dispatcher.active == 0, "it has ended")
    request = service.request(run_id)
    assert request is not None
    assert (request.problem, request.deaths, refused) == (None, 0, 3)
    assert not service.runners["work"].sessions
    assert service.drain() == 0
    service.close()


def test_runs_that_were_refused_are_forgotten_when_they_are_gone(tmp_path: Path) -> None:
    flow = Workflow("work", State).add_node("work", refuses).add_edge(START, "work").add_edge("work", END)
    settings = Settings(poll=0.02, recheck=0.02)
    service = Service([LoadedTarget(flow, "app.py:flow")], tmp_path / "runs.db", settings)
    refused = service.dispatcher._refused
    ids = [
        service.start(StartRun(workflow="work", input={"topic": str(n)}, thread=f"t{n}"), client="ci")[0]
        for n in range(3)
    ]
    service.open()
    until(lambda: len(refused) == 3, "all are refused")
    until(lambda: service.dispatcher.active == 0, "all have ended")
    for n in range(2):
        service.runners["work"].delete(f"t{n}")
    until(lambda: [run_id for run_id, _ in list(refused)] == [ids[2]], "only what is there is known")
    assert service.drain() == 0
    service.close()


def test_a_run_that_is_refused_while_those_of_others_are_looked_at_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = Workflow("work", State).add_node("work", refuses).add_edge(START, "work").add_edge("work", END)
    service = Service([LoadedTarget(flow, "app.py:flow")], tmp_path / "runs.db", Settings(poll=0.02))
    dispatcher = service.dispatcher
    give_up = dispatcher._requests.give_up

    def late(*given: Any) -> None:
        dispatcher._try_those_of_others(time.time())
        give_up(*given)

    monkeypatch.setattr(dispatcher._requests, "give_up", late)
    run_id, _ = service.start(StartRun(workflow="work", input={"topic": "rain"}), client="ci")
    service.open()
    until(lambda: (request := service.request(run_id)) and request.problem, "it is refused")
    until(lambda: dispatcher.active == 0, "it has ended")
    assert [known for known, _ in dispatcher._refused] == [run_id]
    assert service.drain() == 0
    service.close()


def test_a_question_of_somebodys_own_whose_time_is_over_is_asked_once(tmp_path: Path) -> None:
    """It looks like one of `human`, and has no default that would stand."""
    asked = {"question": "Publish?", "deadline": "2020-01-01T00:00:00+00:00", "default": "no"}
    ran: list[str] = []

    def ask(state: State) -> dict[str, Any]:
        ran.append("ask")
        return {"topic": interrupt(asked)}

    flow = Workflow("asks", State).add_node("ask", ask, interrupts=1)
    flow.add_edge(START, "ask").add_edge("ask", END)
    service = Service(
        [LoadedTarget(flow, "app.py:flow")], tmp_path / "runs.db", Settings(poll=0.02, recheck=0.02)
    )
    run_id, _ = service.start(StartRun(workflow="asks", input={"topic": "rain"}), client="ci")
    service.open()
    until(lambda: service.run(run_id).status == "interrupted", "it asks")
    until(lambda: service.dispatcher.active == 0, "its turn is over")
    request = service.request(run_id)
    assert request is not None
    assert (request.due, ran) == (None, ["ask"])
    service.resume(run_id, ResumeRun(answer="yes"), client="ci")
    until(lambda: service.run(run_id).status == "completed", "it is answered")
    assert service.drain() == 0
    service.close()
