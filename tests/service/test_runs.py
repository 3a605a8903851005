"""Runs over HTTP: started, looked at, answered, cancelled; twice the same request is one run."""

from __future__ import annotations

import concurrent.futures
import time
from typing import Any

import pytest

from dalsegno.runtime.looking import LOOK
from tests.service.conftest import Served, until


def test_what_is_served_is_listed_with_what_is_proved_of_it(service: Served) -> None:
    listed = service.client.get("/v1/workflows").json()["workflows"]
    assert [found["name"] for found in listed] == ["article", "asking", "hurried", "deadly", "quitting"]
    assert listed[0] == {"name": "article", "version": "1", "nodes": 3, "supersteps": 3}
    one = service.client.get("/v1/workflows/article").json()
    assert one["certificate"]["supersteps"] == 3
    assert set(one["input_schema"]["properties"]) == {"topic", "draft", "verdict", "key"}
    assert "flowchart" in one["mermaid"]


def test_a_run_is_accepted_and_comes_to_its_end(service: Served) -> None:
    got = service.client.post("/v1/runs", json={"workflow": "article", "input": {"topic": "rain"}})
    assert got.status_code == 202
    assert got.headers["location"] == f"/v1/runs/{got.json()['run_id']}"
    run = service.run(got.json()["run_id"], wait=60)
    assert (run["status"], run["output"]["draft"], run["supersteps"]) == ("completed", "All about rain.", 3)
    assert (run["resumes"], run["input"]) == (0, {"topic": "rain"})


def test_who_asks_for_a_run_that_is_not_there_is_told_of_no_other_and_not_where_runs_are(
    service: Served,
) -> None:
    run_id = service.start(topic="mine")["run_id"]
    for wrong in (run_id[:-1], run_id[:-1] + ("0" if run_id[-1] != "0" else "1"), run_id.upper()[::-1]):
        got = service.client.get(f"/v1/runs/{wrong}")
        assert (got.status_code, got.json()["type"]) == (404, "urn:dalsegno:unknown-run")
        assert run_id not in got.text
        assert "runs.db" not in got.text


def test_runs_are_listed_newest_first_page_by_page(service: Served) -> None:
    started = [
        service.start(topic=f"list {number}", thread=f"list-{number}")["run_id"] for number in range(3)
    ]
    for run_id in started:
        service.ended(run_id)
    first = service.client.get("/v1/runs", params={"limit": 2, "status": "completed"}).json()
    assert [run["run_id"] for run in first["runs"]] == started[:0:-1]
    second = service.client.get("/v1/runs", params={"limit": 1, "before": first["next"]}).json()
    assert [run["run_id"] for run in second["runs"]] == started[:1]
    only = service.client.get("/v1/runs", params={"thread": "list-1"}).json()
    assert [run["run_id"] for run in only["runs"]] == [started[1]]
    assert only["next"] is None
    gone = service.client.get("/v1/runs", params={"before": "0" * 32})  # deleted meanwhile, perhaps
    assert (gone.status_code, gone.json()["errors"][0]["field"]) == (404, "query.before")
    none = service.client.get("/v1/runs", params={"before": started[0], "thread": "list-0"})
    assert (none.status_code, none.json()) == (200, {"runs": [], "next": None})


def test_the_same_request_under_a_key_is_one_run_also_at_the_same_time(service: Served) -> None:
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(service.start, topic="keyed", key="order-1") for _ in range(8)]
        found = {each.result()["run_id"] for each in asked}
    assert len(found) == 1
    service.ended(found.pop())
    assert service.start(topic="keyed", key="order-1")["status"] == "completed"
    assert service.done().count("write keyed") == 1
    other = service.client.post(
        "/v1/runs",
        json={"workflow": "article", "input": {"topic": "another"}},
        headers={"idempotency-key": "order-1"},
    )
    assert other.status_code == 409
    assert other.json()["errors"][0]["field"] == "header.Idempotency-Key"


def test_the_same_request_for_a_thread_is_one_run_and_another_one_is_its_next_turn(service: Served) -> None:
    first = service.start(topic="turn", thread="turns")
    assert service.start(topic="turn", thread="turns")["run_id"] == first["run_id"]
    service.ended(first["run_id"])
    assert service.start(topic="turn", thread="turns")["run_id"] == first["run_id"]
    second = service.start(topic="turned", thread="turns")
    service.ended(second["run_id"])
    third = service.start(topic="turned", thread="turns", key="meant-twice")
    assert len({first["run_id"], second["run_id"], third["run_id"]}) == 3


def test_a_question_waits_and_its_answer_goes_on(service: Served) -> None:
    run_id = service.start("asking", "question")["run_id"]
    run = service.run(run_id, wait=60)
    (question,) = run["interrupts"]
    assert (run["status"], question["node"]) == ("interrupted", "ask")
    assert question["value"] == {"question": "Publish All about question.?"}
    assert question["answer_schema"]["enum"] == ["yes", "no"]
    wrong = service.client.post(f"/v1/runs/{run_id}/resume", json={"answer": "perhaps"})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "body.answer")
    nothing = service.client.post(f"/v1/runs/{run_id}/resume", json={"answer": None})
    assert (nothing.status_code, nothing.json()["errors"][0]["field"]) == (422, "body.answer")
    by_id = {"answers": {question["id"]: "yes"}}
    both = service.client.post(f"/v1/runs/{run_id}/resume", json={**by_id, "answer": "yes"})
    assert (both.status_code, both.json()["errors"][0]["field"]) == (422, "body")
    other = service.client.post(f"/v1/runs/{run_id}/resume", json={"answers": {"another": "yes"}})
    assert (other.status_code, other.json()["errors"][0]["field"]) == (422, "body.answers.another")
    none = service.client.post(f"/v1/runs/{run_id}/resume", json={"answers": {}})
    assert (none.status_code, "No question is answered" in none.json()["detail"]) == (422, True)
    assert service.client.post(f"/v1/runs/{run_id}/resume", json=by_id).status_code == 202
    assert service.ended(run_id)["output"]["verdict"] == "yes"
    late = service.client.post(f"/v1/runs/{run_id}/resume", json={"answer": "no"})
    assert (late.status_code, late.json()["type"]) == (409, "urn:dalsegno:nothing-to-resume")


def test_a_default_stands_when_its_deadline_has_passed(service: Served) -> None:
    run = service.ended(service.start("hurried", "deadline")["run_id"])
    assert (run["output"]["verdict"], run["resumes"]) == ("no", 1)


def test_a_failed_run_says_where_and_can_be_resumed(service: Served) -> None:
    run_id = service.start(topic="boom", input={"key": "s3cr3t-value"})["run_id"]
    run = service.ended(run_id, "failed")
    assert (run["error"]["type"], run["error"]["node"]) == ("ValueError", "check")
    assert "s3cr3t" not in str(run)
    assert service.client.post(f"/v1/runs/{run_id}/resume", json={}).status_code == 202
    until(lambda: service.run(run_id)["resumes"] == 1, "it goes on")
    service.ended(run_id, "failed")
    assert service.done().count("write boom") == 1


def test_a_secret_is_masked_in_what_a_run_gives_under_another_key_too(service: Served) -> None:
    run_id = service.start(topic="s3cr3t-value", input={"key": "s3cr3t-value"})["run_id"]
    assert service.ended(run_id, "completed")["output"] == {
        "topic": "**********",
        "draft": "All about **********.",
        "key": "**********",
    }


def test_a_run_that_ends_the_program_does_not_end_the_service_nor_come_back(service: Served) -> None:
    run_id = service.start("quitting", "quit", input={"key": "s3cr3t-value"})["run_id"]

    def refused() -> Any:
        return service.run(run_id)["problem"]

    problem = until(refused, "the run is refused")
    assert problem == {"type": "SystemExit", "message": "enough of **********"}
    assert service.run(run_id)["status"] == "stopped"
    assert "s3cr3t" not in service.log.read_text()


def test_a_run_in_progress_is_cancelled_after_its_superstep(service: Served) -> None:
    (service.folder / "hold cancel").touch()
    run_id = service.start(topic="cancel it")["run_id"]
    until(lambda: "check cancel it" in service.done(), "it is going")
    begun = time.monotonic()
    got = service.client.post(f"/v1/runs/{run_id}/cancel")
    assert (got.status_code, got.json()) == (202, {"run_id": run_id, "status": "asked"})
    until(lambda: time.monotonic() > begun + 2 * LOOK, "the run looks again whether it is cancelled")
    (service.folder / "hold cancel").unlink()
    assert service.ended(run_id, "cancelled")["finished_at"]
    assert "publish cancel it" not in service.done()
    again = service.client.post(f"/v1/runs/{run_id}/cancel")
    assert again.status_code == 409


def test_a_budget_is_kept_with_the_run(service: Served) -> None:
    asked = {"supersteps": 1, "cost": 1.5}
    run = service.ended(service.start(topic="dear", budget=asked)["run_id"], "failed")
    assert run["error"]["type"] == "BudgetExceeded"
    assert run["usage"]["budget"].items() >= asked.items()
    more = {"supersteps": 9, "cost": 2.5}
    got = service.client.post(f"/v1/runs/{run['run_id']}/resume", json={"budget": more})
    assert got.status_code == 202
    run = service.ended(run["run_id"])
    assert run["output"]["draft"] == "All about dear."
    assert run["usage"]["budget"].items() >= more.items()


def test_a_thread_with_pending_work_takes_no_other_input_unless_it_is_given_up(service: Served) -> None:
    first = service.start("asking", "pending", thread="busy")
    service.ended(first["run_id"], "interrupted")
    asked = {"workflow": "asking", "input": {"topic": "other"}, "thread": "busy"}
    got = service.client.post("/v1/runs", json=asked)
    assert (got.status_code, got.json()["type"]) == (409, "urn:dalsegno:thread-unfinished")
    assert f"`POST /v1/runs/{first['run_id']}/resume`" in got.json()["detail"]
    assert '`"abandon": true`' in got.json()["detail"]
    assert "dalsegno resume" not in got.json()["detail"]  # who asks over HTTP may have no command line
    other = service.client.post("/v1/runs", json={**asked, "workflow": "article"})
    assert (other.status_code, other.json()["errors"][0]["field"]) == (409, "body.thread")
    got = service.client.post("/v1/runs", json={**asked, "abandon": True})
    assert got.status_code == 202
    service.ended(got.json()["run_id"], "interrupted")
    late = service.client.post(f"/v1/runs/{first['run_id']}/resume", json={"answer": "yes"})
    assert late.status_code == 409
    assert f"that is run {got.json()['run_id']}" in late.json()["detail"]


def test_what_nobody_can_answer_any_more_is_no_question(service: Served) -> None:
    first = service.start("asking", "forgotten", thread="forgotten")["run_id"]
    assert service.ended(first, "interrupted")["interrupts"]
    asked = {"workflow": "asking", "input": {"topic": "other"}, "thread": "forgotten", "abandon": True}
    second = service.client.post("/v1/runs", json=asked).json()["run_id"]
    assert service.ended(second, "interrupted")["interrupts"]
    assert service.run(first)["interrupts"] == []
    assert service.client.post(f"/v1/runs/{second}/cancel").status_code == 202
    cancelled = service.run(second)
    assert (cancelled["status"], cancelled["interrupts"]) == ("cancelled", [])


def test_a_thread_that_is_taken_names_the_run_and_not_the_process(service: Served) -> None:
    (service.folder / "hold taken").touch()
    first = service.start(topic="taken it", thread="taken")
    service.ended(first["run_id"], "running")
    got = service.client.post(
        "/v1/runs", json={"workflow": "article", "input": {"topic": "other"}, "thread": "taken"}
    )
    (service.folder / "hold taken").unlink()
    assert (got.status_code, got.json()["type"]) == (409, "urn:dalsegno:thread-busy")
    assert f"`POST /v1/runs/{first['run_id']}/cancel`" in got.json()["detail"]
    assert "process" not in got.json()["detail"]
    service.ended(first["run_id"])


HOSTILE = ["../../etc/passwd", "a/b c%2F", "'; DROP TABLE runs; --", "\x01\n", "😀" * 60]


@pytest.mark.parametrize("thread", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_name_of_a_thread_is_data(service: Served, thread: str) -> None:
    run = service.ended(service.start(topic="hostile", thread=thread)["run_id"])
    assert run["thread"] == thread
    listed = service.client.get("/v1/runs", params={"thread": thread}).json()["runs"]
    assert [found["run_id"] for found in listed] == [run["run_id"]]
