"""The ledger of runs, their executions and effects."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest
from langgraph.checkpoint.base import empty_checkpoint

from dalsegno.checkpoints import ExecutionRecord, Ledger, open_checkpointer, open_database
from dalsegno.checkpoints.queueing import enqueue
from dalsegno.checkpoints.records import RunOutcome
from dalsegno.errors import CheckpointError, NotSerializable, TypeNotAllowed, UnknownRun, UnknownThread


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(url: str, clock: Clock, ledger_of: Any) -> Ledger:
    made: Ledger = ledger_of(url, clock=clock)
    return made


def finished(
    ledger: Ledger, run_id: str, thread: str = "t", status: Any = "completed", **fields: Any
) -> None:
    ledger.finish(ledger.begin(run_id=run_id, thread=thread, workflow="w"), status, **fields)


def test_the_last_run_of_a_thread_that_has_none_is_told_with_the_thread_that_may_be_meant(
    ledger: Ledger,
) -> None:
    for number in (1, 2):
        finished(ledger, f"r{number}", thread="rain")
    finished(ledger, "r3", thread="snow")
    assert ledger.last("rain").run_id == "r2"
    with pytest.raises(UnknownThread, match=r"on thread 'rian' in .*did you mean `rain`\?.*--db") as told:
        ledger.last("rian")
    assert told.value.thread == "rian"


@pytest.mark.parametrize("look", [lambda of: of.latest("t"), lambda of: of.get("r"), lambda of: of.runs()[0]])
def test_a_run_that_ends_while_it_is_looked_at_was_not_stopped(url: str, ledger_of: Any, look: Any) -> None:
    running = ledger_of(url)
    lease = running.begin(run_id="r1", thread="t", workflow="w")

    def as_it_ends() -> float:
        if running.holder("t") is not None:
            running.finish(lease, "completed")
        return 1000.0

    assert look(ledger_of(url, clock=as_it_ends)).status == "completed"


def test_a_run_is_recorded_from_its_beginning_to_its_end(ledger: Ledger, clock: Clock) -> None:
    lease = ledger.begin(
        run_id="r1",
        thread="t",
        workflow="article",
        version="2",
        fingerprint="f00",
        target="app.py:flow",
        input={"topic": "rain", "tags": {"a"}},
        certificate={"supersteps": 9},
        shape={"nodes": {"a": {}}},
        code={"a": "hash", "b": None},
    )
    running = ledger.get("r1")
    assert running.status == "running"
    assert (running.workflow, running.version, running.fingerprint) == ("article", "2", "f00")
    assert (running.target, running.input) == ("app.py:flow", {"topic": "rain", "tags": {"a"}})
    assert (running.certificate, running.shape) == ({"supersteps": 9}, {"nodes": {"a": {}}})
    assert running.code == {"a": "hash", "b": None}
    assert running.process is not None
    assert running.process["pid"] == os.getpid()
    assert (running.created_at, running.started_at, running.finished_at) == (1000, 1000, None)
    clock.now = 1010
    error = {"type": "ValueError", "message": "no", "node": "a", "attempt": 1, "traceback": "…"}
    ledger.finish(lease, "failed", error=error, supersteps=3, usage={"model_calls": 2})
    failed = ledger.get("r1")
    assert (failed.status, failed.error, failed.supersteps) == ("failed", error, 3)
    assert (failed.usage, failed.finished_at) == ({"model_calls": 2}, 1010)
    clock.now = 1020
    lease = ledger.acquire("t", "r1")
    resumed = ledger.get("r1")
    assert (resumed.status, resumed.resumes, resumed.finished_at) == ("running", 1, None)
    assert (resumed.created_at, resumed.started_at, resumed.resumed) == (1000, 1020, [1020])
    ledger.finish(lease, "interrupted", interrupts=[{"id": "i", "value": {1, 2}}], supersteps=4)
    waiting = ledger.get("r1")
    assert (waiting.status, waiting.interrupts) == ("interrupted", [{"id": "i", "value": {1, 2}}])
    assert waiting.error is None
    clock.now = 1030
    lease = ledger.acquire("t", "r1")
    assert ledger.get("r1").resumed == [1020, 1030]
    ledger.abandon_resume(lease, waiting)
    assert ledger.get("r1").resumed == [1020]
    ledger.finish(ledger.acquire("t", "r1"), "completed")
    assert ledger.get("r1").interrupts == []
    assert ledger.get("r1").supersteps == 4


def test_beginning_and_finishing_a_run_cost_one_commit_each(ledger: Ledger) -> None:
    lease = ledger.begin(run_id="r1", thread="t", workflow="w")
    assert ledger.database.commits == 1
    ledger.journal(ExecutionRecord("r1", 1, "a"))
    assert ledger.database.commits == 1
    ledger.finish(lease, "completed")
    assert ledger.database.commits == 2


def test_a_kill_before_the_first_checkpoint_loses_nothing(url: str, ledger_of: Any, child: Any) -> None:
    def body(tell: Callable[[str], None]) -> None:
        Ledger(open_database(url)).begin(run_id="r1", thread="t", workflow="w", input={"topic": "rain"})
        os.kill(os.getpid(), signal.SIGKILL)

    assert child(body).wait() == -signal.SIGKILL
    record = ledger_of(url).latest("t")
    assert record is not None
    assert (record.run_id, record.status, record.input) == ("r1", "stopped", {"topic": "rain"})


def test_an_input_that_cannot_be_kept_records_nothing(ledger: Ledger) -> None:
    with pytest.raises(NotSerializable, match=r"input\['a'\]"):
        ledger.begin(run_id="r1", thread="t", workflow="w", input={"a": open})
    with pytest.raises(TypeNotAllowed, match="input"):
        ledger.begin(run_id="r1", thread="t", workflow="w", input=signal.SIGTERM)
    with pytest.raises(NotSerializable, match="shape"):
        ledger.begin(run_id="r1", thread="t", workflow="w", shape={"a": {1}})
    assert ledger.runs() == []
    assert ledger.holder("t") is None


def test_a_run_is_found_by_the_beginning_of_its_id(ledger: Ledger) -> None:
    for n, run_id in enumerate(["abc1", "abd2", "ab"]):
        finished(ledger, run_id, thread=str(n))
    assert ledger.get("abc").run_id == "abc1"
    assert ledger.get("ab").run_id == "ab"
    with pytest.raises(UnknownRun, match=r"Several runs.*ab, abc1, abd2"):
        ledger.get("a")
    with pytest.raises(UnknownRun, match=r"did you mean `abd2`\?") as raised:
        ledger.get("abx2")
    assert raised.value.run_id == "abx2"
    for nothing in ("", "%", "_b"):
        with pytest.raises(UnknownRun):
            ledger.get(nothing)


def test_a_whole_id_is_that_of_one_run_and_the_beginning_of_one_is_none(ledger: Ledger) -> None:
    for n, run_id in enumerate(("ab", "abc1")):
        finished(ledger, run_id, thread=str(n))
    found = ledger.one("ab")
    assert found is not None
    assert (found.run_id, found.thread) == ("ab", "0")
    for nothing in ("abc", "", "a%"):
        assert ledger.one(nothing) is None


def test_runs_are_listed_newest_first_and_filtered(ledger: Ledger) -> None:
    finished(ledger, "r1", "t1")
    finished(ledger, "r2", "t2", "failed")
    finished(ledger, "r3", "t1", "stopped")
    ledger.begin(run_id="r4", thread="t3", workflow="another")

    def ids(**search: Any) -> list[str]:
        return [run.run_id for run in ledger.runs(**search)]

    assert ids() == ["r4", "r3", "r2", "r1"]
    assert ids(limit=2) == ["r4", "r3"]
    assert ids(status="failed") == ["r2"]
    assert ids(status="running") == ["r4"]
    assert ids(status="stopped") == ["r3"]
    assert ids(workflow="w") == ["r3", "r2", "r1"]
    assert ids(thread="t1", status="completed") == ["r1"]
    searches: list[dict[str, Any]] = [{}, {"status": "stopped"}, {"status": "running"}, {"thread": "t1"}]
    for search in searches:
        outcomes = ledger.outcomes(**search)
        assert [one.run_id for one in outcomes] == ids(**search)
        for one in outcomes:
            whole = ledger.get(one.run_id)
            assert one == RunOutcome(
                **{field.name: getattr(whole, field.name) for field in fields(RunOutcome)}
            )
    latest = ledger.latest("t1")
    assert latest is not None
    assert latest.run_id == "r3"
    assert ledger.latest("nobody") is None


def test_a_run_id_is_used_once(ledger: Ledger) -> None:
    finished(ledger, "r1")
    with pytest.raises(CheckpointError, match="r1"):
        ledger.begin(run_id="r1", thread="t", workflow="w")
    assert ledger.holder("t") is None


def test_a_run_has_no_other_fields_or_statuses(ledger: Ledger) -> None:
    lease = ledger.begin(run_id="r1", thread="t", workflow="w")
    with pytest.raises(CheckpointError, match="`thread_id = 'x'`"):
        ledger.finish(lease, "completed", **{"thread_id = 'x'": 1})
    with pytest.raises(CheckpointError, match="'done'"):
        ledger.finish(lease, "done")  # type: ignore[arg-type]
    ledger.finish(lease, "completed")


def test_an_effect_is_recorded_once_and_the_first_result_stands(ledger: Ledger) -> None:
    assert ledger.effect_get("key", "charge") == (False, None)
    assert ledger.effect_put("r1", "t", "key", "charge", {"paid": 5}) == {"paid": 5}
    assert ledger.database.commits == 1
    assert ledger.effect_put("r1", "t", "key", "charge", {"paid": 6}) == {"paid": 5}
    assert ledger.effect_get("key", "charge") == (True, {"paid": 5})
    assert ledger.effect_put("r1", "t", "key", "mail", None) is None
    assert ledger.effect_get("key", "mail") == (True, None)
    with pytest.raises(NotSerializable, match="`post`"):
        ledger.effect_put("r1", "t", "key", "post", open)


def test_executions_are_journalled_with_the_next_checkpoint(url: str) -> None:
    with open_checkpointer(url) as saver:
        ledger = Ledger(saver.database, saver.serde)
        records = [
            ExecutionRecord("r1", 1, "a", 0, None, 1, "failed", 1.5, 0.25, (), {"type": "X"}),
            ExecutionRecord(
                "r1",
                2,
                "sub/write",
                "1.None/1",
                3,
                2,
                "done",
                2.0,
                0.5,
                (("b", "again", "c"), ("d", None, None)),
            ),
        ]
        for record in records:
            ledger.journal(record)
        assert ledger.executions("r1") == []
        place: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
        saver.put(place, empty_checkpoint(), {}, {})
        assert saver.database.commits == 1
        assert ledger.executions("r1") == records
        assert ledger.executions("r2") == []


def test_deleting_a_thread_takes_its_runs_executions_and_effects(ledger: Ledger) -> None:
    for thread in ("t1", "t2"):
        finished(ledger, f"run-{thread}", thread)
        ledger.effect_put(f"run-{thread}", thread, thread, "charge", 1)
        ledger.journal(ExecutionRecord(f"run-{thread}", 1, "a"))
    ledger.database.flush()
    ledger.delete_thread("t1")
    assert [run.thread for run in ledger.runs()] == ["t2"]
    assert ledger.effect_get("t1", "charge") == (False, None)
    assert ledger.effect_get("t2", "charge") == (True, 1)
    assert ledger.executions("run-t1") == []
    assert len(ledger.executions("run-t2")) == 1


def test_the_ledger_is_imported_without_langgraphs_checkpointer() -> None:
    code = (
        "import sys, dalsegno.checkpoints.ledger as l, dalsegno.checkpoints as c; c.Ledger, c.RunRecord;"
        "sys.exit('langgraph.checkpoint.base' in sys.modules or 'sqlite_utils' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_of_a_run_that_cannot_be_queued_nothing_is_held(ledger: Ledger) -> None:
    with pytest.raises(NotSerializable):
        enqueue(ledger, usage={"cost": float("nan")}, run_id="r1", thread="t", workflow="w")
    assert not ledger.renew()  # there is nothing to give a sign of life for
    assert ledger.runs() == []
