"""Services on one database whose code is not the same, as while a version is rolled out, or back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal, TypedDict

import pytest

from dalsegno import END, START, Workflow, human
from dalsegno.graphs.loading import LoadedTarget
from dalsegno.service import Service, Settings
from dalsegno.service.models import ResumeRun, StartRun
from dalsegno.service.problems import RequestRefused
from dalsegno.service.showing import whole
from tests.service.conftest import until

CLIENT = "ci"
RECHECK = 0.05


class State(TypedDict, total=False):
    verdict: str
    by: str


class More(State, total=False):
    topic: str


def asking(question: str, state: type = State) -> Workflow:
    """A version of a workflow, known by the name of the node that asks."""
    flow = Workflow("article", state, version="1")
    flow.add_node(question, human("Publish?", answer=Literal["yes", "no"], writes="verdict"))
    flow.add_node("publish", lambda state: {"by": question})
    return flow.add_edge(START, question).add_edge(question, "publish").add_edge("publish", END)


Serving = Callable[..., Service]


@pytest.fixture
def serving(url: str) -> Iterator[Serving]:
    """Makes the service of a process with one version of the code."""
    made: list[Service] = []

    def make(question: str, state: type = State) -> Service:
        settings = Settings(poll=0.02, recheck=RECHECK)
        made.append(Service([LoadedTarget(asking(question, state), "app.py:flow")], url, settings))
        return made[-1]

    yield make
    for service in made:
        if service.dispatcher.is_alive:
            service.drain()
        service.close()


def waiting(service: Service, **input: Any) -> str:
    """A run that has come to its question."""
    run_id, _ = service.start(StartRun(workflow="article", input=input), client=CLIENT)
    service.open()
    until(lambda: service.run(run_id).status == "interrupted", "it asks")
    service.drain()
    return run_id


def answered(service: Service, run_id: str, **more: Any) -> None:
    service.resume(run_id, ResumeRun(answer="yes", **more), client=CLIENT)


def problem(service: Service, run_id: str) -> Any:
    request = service.request(run_id)
    assert request is not None
    return (request.problem or {}).get("type")


def test_an_answer_that_one_version_could_not_take_is_taken_by_the_other(serving: Serving) -> None:
    run_id = waiting(serving("ask"))
    answered(serving("ask"), run_id)
    new = serving("question")
    new.open()
    until(lambda: problem(new, run_id) == "IncompatibleGraph", "the new version cannot go on with it")
    assert new.run(run_id).status == "interrupted"
    old = serving("ask")
    old.open()
    until(lambda: old.run(run_id).status == "completed", "the old one is back")
    assert problem(old, run_id) is None
    assert (
        old.kept.get_tuple({"configurable": {"thread_id": old.run(run_id).thread}}).checkpoint[  # type: ignore[union-attr]
            "channel_values"
        ]["verdict"]
        == "yes"
    )


def test_a_version_that_could_not_go_on_says_nothing_of_a_run_that_the_other_has_taken_meanwhile(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = waiting(serving("ask"))
    answered(serving("ask"), run_id)
    new, old = serving("question"), serving("ask")
    refuse = new.dispatcher._requests.refuse
    is_refused = threading.Event()

    def late(*given: Any) -> None:
        old.open()
        until(
            lambda: old.run(run_id).status == "completed" and old.dispatcher.active == 0, "the old one did it"
        )
        refuse(*given)
        is_refused.set()

    monkeypatch.setattr(new.dispatcher._requests, "refuse", late)
    new.open()
    assert is_refused.wait(60)
    assert problem(old, run_id) is None
    assert new.run(run_id).status == "completed"


def test_a_run_that_no_process_can_go_on_with_is_left_alone(
    serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    def tried(name: str) -> bool:
        return any(f"is it `{name}` now?" in record.getMessage() for record in caplog.records)

    run_id = waiting(serving("ask"))
    answered(serving("ask"), run_id)
    for name in ("question", "another"):
        serving(name).open()
        until(lambda name=name: tried(name), f"`{name}` has tried it")  # type: ignore[misc]  # once a round
    tries, since = 0, 0.0

    def is_left_alone() -> bool:
        nonlocal tries, since
        if len(caplog.records) > tries:
            tries, since = len(caplog.records), time.monotonic()
        return time.monotonic() > since + 2 * 12 * RECHECK

    until(is_left_alone, "it is left alone")


def test_what_nobody_could_go_on_with_may_be_answered_anew(serving: Serving) -> None:
    run_id = waiting(serving("ask"))
    answered(serving("ask"), run_id)
    with pytest.raises(RequestRefused):
        answered(serving("ask"), run_id, accept_changes=True)  # it is about to go on
    new = serving("question")
    new.open()
    until(lambda: problem(new, run_id) == "IncompatibleGraph", "the new version cannot go on with it")
    new.drain()
    answered(serving("ask"), run_id, accept_changes=True)
    assert problem(new, run_id) is None


@pytest.mark.parametrize("is_killed", [False, True], ids=["waits", "was killed"])
def test_what_goes_on_all_the_same_is_told_as_a_request_and_does_with_the_answer_that_it_was_given(
    serving: Serving, is_killed: bool
) -> None:
    run_id = waiting(serving("ask", More), topic="rain")
    answered(serving("ask", More), run_id)
    new = serving("ask")
    if is_killed:  # after it was taken, and before the answer was kept
        with new.checkpointer.database.transaction() as session:
            session.execute("UPDATE runs SET status = 'running', finished_at = NULL, resumes = resumes + 1")
    new.open()
    until(lambda: problem(new, run_id) == "IncompatibleGraph", "a key of the state is gone")
    request = new.request(run_id)
    assert request is not None
    assert request.problem is not None
    assert f'`POST /v1/runs/{run_id}/resume` with `{{"accept_changes": true}}`' in request.problem["message"]
    new.resume(run_id, ResumeRun(accept_changes=True), client=CLIENT)
    until(lambda: new.run(run_id).status == "completed", "it goes on")


def test_an_answer_stands_where_its_process_died_and_somebody_only_asks_to_go_on(serving: Serving) -> None:
    run_id = waiting(serving("ask"))
    answered(serving("ask"), run_id)
    new = serving("ask")
    with (
        new.checkpointer.database.transaction() as session
    ):  # after it was taken, and before the answer was kept
        session.execute("UPDATE runs SET status = 'running', finished_at = NULL, resumes = resumes + 1")
    assert new.run(run_id).status == "stopped"
    new.resume(run_id, ResumeRun(), client=CLIENT)
    new.open()
    until(lambda: new.run(run_id).status in ("completed", "interrupted"), "it goes on")
    assert new.run(run_id).status == "completed"


def test_a_problem_is_none_any_more_where_somebody_else_has_gone_on_with_the_run(serving: Serving) -> None:
    def shown() -> Any:
        return whole(new, new.run(run_id)).problem

    run_id = waiting(serving("ask"))
    answered(serving("ask"), run_id)
    new = serving("question")
    new.open()
    until(shown, "the new version cannot go on with it")
    new.drain()
    runner = new.runners["article"]
    runner.resume(new.run(run_id).thread, rename={"ask": "question"})  # by hand
    assert (new.run(run_id).status, shown()) == ("interrupted", None)
    runner.resume(new.run(run_id).thread, "yes")
    assert (new.run(run_id).status, shown()) == ("completed", None)
