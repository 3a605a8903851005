"""What is done next with a run that was asked for, of what is known of it."""

from __future__ import annotations

from typing import Any

import pytest

from dalsegno.checkpoints.records import RunRecord
from dalsegno.checkpoints.requests import Request
from dalsegno.runtime.answering import deadline
from dalsegno.service.deciding import Cancel, GiveUp, Go, Look, Step, next_step

NOW = 1000.0
ASKED = {"question": "Go?", "deadline": "1970-01-01T00:20:00+00:00", "default": "no"}


def run(status: Any, **more: Any) -> RunRecord:
    fields: dict[str, Any] = {
        "run_id": "r", "thread": "t", "workflow": "w", "version": "1", "fingerprint": "", "target": None,
        "created_at": 0.0, "started_at": 0.0, "updated_at": 0.0, "finished_at": 5.0, "input": {}, "resumes": 1,
    }  # fmt: skip
    return RunRecord(status=status, **{**fields, **more})


def step(
    of: RunRecord | None, wanted: Any = None, *, cancelled: bool = False, waiting: Any = (), **more: Any
) -> Step:
    request = Request(
        run_id="r", thread="t", workflow="w", client="c", digest="d", due=NOW, wanted=wanted, **more
    )
    return next_step(
        request, of, NOW, recheck=5, deaths=3, is_cancelled=lambda: cancelled, waiting=lambda: waiting
    )


def test_a_queued_run_begins() -> None:
    assert step(run("queued")) == Go()


def test_a_run_that_somebody_runs_is_looked_at_again() -> None:
    assert step(run("running")) == Look(NOW + 5)


@pytest.mark.parametrize("status", ["completed", "cancelled", "failed", "interrupted"])
def test_what_has_ended_is_left_until_somebody_asks(status: str) -> None:
    assert step(run(status)) == Look(None)


def test_a_run_that_is_gone_or_has_a_successor_is_left() -> None:
    assert step(None) == Look(None)
    assert step(run("stopped", run_id="another")) == Look(None)


def test_a_stopped_run_goes_on_and_one_whose_process_died_is_counted() -> None:
    assert step(run("stopped")) == Go()
    assert step(run("stopped", finished_at=None), deaths=1) == Go(died=True)


def test_a_run_whose_process_died_too_often_is_given_up() -> None:
    assert step(run("stopped", finished_at=None), deaths=2) == GiveUp()
    assert step(run("stopped"), deaths=9) == Go()  # it was stopped, and did not die


def test_a_run_that_failed_because_its_database_was_away_goes_on_with_what_was_wanted_of_it() -> None:
    away = {"type": "DatabaseUnavailable", "message": "locked", "node": None}
    wanted = {"resumes": 0, "answers": {"i": 5}}
    assert step(run("failed", error=away), deaths=9) == Go()
    assert step(run("failed", error=away), wanted, waiting=[{"id": "i"}]) == Go({"i": 5})
    assert step(run("failed", error=away), cancelled=True) == Cancel()
    assert step(run("failed", error={**away, "node": "import"})) == Look(None)  # another database, of a node


def test_a_run_that_was_to_be_cancelled_when_its_process_died_is_cancelled() -> None:
    assert step(run("stopped", finished_at=None), cancelled=True) == Cancel()


def test_a_failed_run_goes_on_once_for_each_time_that_somebody_asked() -> None:
    assert step(run("failed"), {"resumes": 1}) == Go()
    assert step(run("failed"), {"resumes": 0}) == Look(None)


def test_an_answer_goes_with_a_failed_run_too_where_another_branch_of_it_asks() -> None:
    wanted = {"resumes": 1, "answers": {"i": 5}}
    assert step(run("failed"), wanted, waiting=[{"id": "i"}]) == Go({"i": 5})
    assert step(run("failed"), wanted, waiting=[{"id": "j"}]) == Go(None)


def test_an_answer_is_given_once() -> None:
    assert step(run("interrupted"), {"resumes": 1, "answers": {"i": 5}}) == Go({"i": 5})
    assert step(run("interrupted"), {"resumes": 0, "answers": {"i": 5}}) == Look(None)


def test_an_answer_that_was_lost_with_its_process_is_given_again_to_the_same_question_only() -> None:
    wanted = {"resumes": 0, "answers": {"i": 5}}
    died = run("stopped", finished_at=None)
    assert step(died, wanted, waiting=[{"id": "i"}]) == Go({"i": 5}, died=True)
    assert step(died, wanted, waiting=[{"id": "j"}]) == Go(None, died=True)


def test_a_question_waits_for_its_deadline_and_then_the_default_stands() -> None:
    asked = run("interrupted", interrupts=[{"id": "i", "node": "ask", "value": ASKED}])
    assert step(asked) == Look(1201.0)
    late = {**ASKED, "deadline": "1970-01-01T00:16:00+00:00"}
    assert step(run("interrupted", interrupts=[{"id": "i", "node": "ask", "value": late}])) == Go()


def test_what_goes_with_a_resume_goes_with_it() -> None:
    wanted = {"resumes": 1, "accept_changes": True, "budget": {"tokens": 5}}
    assert step(run("failed"), wanted) == Go(None, True, {"tokens": 5})
    assert step(run("queued"), {**wanted, "resumes": 0}) == Go(None, True, {"tokens": 5})


@pytest.mark.parametrize(
    "value",
    ["Publish?", {"deadline": "soon"}, {**ASKED, "deadline": "soon"}, {**ASKED, "deadline": None}, None, 5],
)
def test_what_is_no_deadline_of_ours_is_none(value: Any) -> None:
    assert deadline([{"id": "i", "value": value}]) is None


def test_a_question_that_is_asked_again_when_its_time_was_over_has_no_default() -> None:
    late = {**ASKED, "deadline": "1970-01-01T00:16:00+00:00"}
    asked = [{"id": "i", "value": late}, {"id": "j", "value": ASKED}]
    assert deadline(asked) == 961.0
    assert deadline(asked, asked_again=960.0) == 961.0
    assert deadline(asked, asked_again=961.0) == 1201.0
    assert deadline(asked, asked_again=1201.0) is None
