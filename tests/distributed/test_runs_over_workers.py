"""What a client and the runs of the engine do: refused, overtaken, cancelled, failed, told of."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fleets import ROOT, Databases, Fleet, until, working

from dalsegno.cli import main
from dalsegno.distributed import Client, DevEngine, Worker
from dalsegno.errors import (
    DefinitionError,
    EngineUnavailable,
    MissingExtra,
    NothingToResume,
    ThreadBusy,
)
from dalsegno.runtime.events import NodeFinished, RunFinished, RunStarted


@pytest.fixture(scope="module")
def ten(fleet: Fleet) -> Iterator[Worker]:
    with working(fleet, fleet.plays.ten) as worker:
        yield worker


def test_a_run_is_queued_run_and_told_of(fleet: Fleet, ten: Worker) -> None:
    handle = fleet.submit("ten", {"trail": []}, "told")
    result = handle.result(60)
    assert (result.status, result.supersteps, handle.status()) == ("completed", 10, "completed")
    assert result.output["trail"] == [f"n{i}" for i in range(10)]
    events = list(handle.events())
    assert [type(e) for e in events] == [RunStarted, *[NodeFinished] * 10, RunFinished]
    assert fleet.client.handle("told").result(60).output == result.output


def test_a_result_has_the_keys_of_the_output_also_for_who_has_no_graph(fleet: Fleet) -> None:
    with working(fleet, fleet.plays.brief):
        handle = fleet.submit("brief", {"trail": [], "verdict": "none"}, "brief")
        assert handle.result(60).output == {"trail": ["only"]}
        assert fleet.client.handle("brief").result(60).output == {"trail": ["only"]}


def test_a_run_can_be_followed_while_it_goes_on_and_from_async_code(fleet: Fleet, ten: Worker) -> None:
    async def follow() -> list[str]:
        handle = fleet.submit("ten", {"trail": [], "gate": "n3 follow"}, "followed")
        seen = []
        async for event in handle.aevents():
            if isinstance(event, NodeFinished):
                seen.append(event.node)
            if event.__class__ is NodeFinished and event.node == "n2":
                assert await handle.astatus() == "running"
                fleet.open("follow")
        assert (await handle.aresult(60)).status == "completed"
        return seen

    assert asyncio.run(follow()) == [f"n{i}" for i in range(10)]


def test_a_second_run_on_a_live_thread_is_refused(fleet: Fleet, ten: Worker) -> None:
    handle = fleet.submit("ten", {"trail": [], "gate": "n3 second"}, "a live one")
    with pytest.raises(ThreadBusy, match="`dalsegno cancel 'a live one'`"):
        fleet.submit("ten", {"trail": []}, "a live one")
    until(lambda: handle.status() == "running")
    with pytest.raises(ThreadBusy, match=r"held by worker .*`dalsegno cancel 'a live one'` first"):
        fleet.submit("ten", {"trail": []}, "a live one")
    with pytest.raises(ThreadBusy, match=r"the engine sees to it\. .* `dalsegno cancel 'a live one'`"):
        handle.resume()
    fleet.open("second")
    assert handle.result(60).status == "completed"
    assert (
        fleet.submit("ten", {"trail": []}, "a live one").result(60).output["trail"]
        == [f"n{i}" for i in range(10)] * 2
    )


def test_a_thread_is_one_run_over_two_databases_too(fleet: Fleet, ten: Worker, databases: Databases) -> None:
    handle = fleet.submit("ten", {"trail": [], "gate": "n3 other"}, "shared")
    with Client(fleet.engine.address, db=databases.new()) as other:
        with pytest.raises(ThreadBusy):
            other.submit(fleet.plays.ten, {"trail": []}, thread="shared")
        assert other.ledger.latest("shared").status == "cancelled"  # type: ignore[union-attr]
    fleet.open("other")
    assert handle.result(60).status == "completed"


def test_priorities_overtake(fleet: Fleet) -> None:
    low = [fleet.submit("ten", {"trail": []}, f"low{i}", queue="one", priority=5) for i in range(6)]
    high = [fleet.submit("ten", {"trail": []}, f"high{i}", queue="one", priority=1) for i in range(3)]
    with working(fleet, fleet.plays.ten, "one", concurrency=1):
        for handle in low + high:
            assert handle.result(60).status == "completed"
    order = list(dict.fromkeys(t for t, _, _ in fleet.executed() if t.startswith(("low", "high"))))
    # What the worker was handed before the others were seen may come first: one run, and the one after it.
    assert {t for t in order[:5] if t.startswith("high")} == {"high0", "high1", "high2"}


def test_a_run_is_cancelled_after_its_superstep(fleet: Fleet, ten: Worker) -> None:
    handle = fleet.submit("ten", {"trail": [], "pause": 0.2}, "cancelled")
    until(lambda: handle.status() == "running")
    assert handle.cancel() == "asked"
    begun = len(fleet.executed("cancelled"))
    result = handle.result(60)
    assert result.status == "cancelled"
    assert len(fleet.executed("cancelled")) - begun <= 1  # a look at the ledger goes before the next one
    with pytest.raises(NothingToResume):
        handle.cancel()
    with pytest.raises(NothingToResume):
        handle.resume()


@pytest.mark.parametrize("queue", ["", " ", "a\nb", "\x00", "\ud800", "q" * 1000, None])
def test_a_queue_without_a_name_is_nobodys(fleet: Fleet, queue: Any) -> None:
    with pytest.raises(DefinitionError, match="queue="):
        fleet.submit("ten", {"trail": []}, "to-no-queue", queue=queue)
    assert fleet.client.ledger.latest("to-no-queue") is None
    with pytest.raises(DefinitionError, match="queue="):
        Worker(fleet.plays.ten, db=fleet.db, engine=fleet.engine.address, queue=queue)


def test_what_the_engine_cannot_take_is_said_and_nothing_stays_queued(fleet: Fleet) -> None:
    with pytest.raises(DefinitionError, match=r"maximum allowed length.*--thread"):
        fleet.submit("ten", {"trail": []}, "t" * 1001)
    assert fleet.client.ledger.latest("t" * 1001).status == "cancelled"  # type: ignore[union-attr]
    with pytest.raises(DefinitionError, match="priority"):
        fleet.submit("ten", {"trail": []}, "pressing", priority=True)


def test_a_submission_that_is_broken_off_leaves_nothing_queued(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ctrl_c(work: Any) -> None:
        work.close()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(fleet.client.loop, "call", ctrl_c)
        with pytest.raises(KeyboardInterrupt):
            fleet.submit("ten", {"trail": []}, "broken-off")
    assert fleet.client.ledger.latest("broken-off").status == "cancelled"  # type: ignore[union-attr]


def test_a_run_in_the_queue_is_cancelled_at_once(fleet: Fleet) -> None:
    handle = fleet.submit("ten", {"trail": []}, "unwanted", queue="nobody's")
    assert handle.status() == "queued"
    assert handle.cancel() == "cancelled"
    assert handle.result(60).status == "cancelled"
    again = fleet.submit("ten", {"trail": []}, "unwanted", queue="nobody's")
    with pytest.raises(NothingToResume, match="gone on with"):
        handle.cancel()
    assert again.cancel() == "cancelled"


def test_who_waits_for_a_run_that_was_given_up_is_told(fleet: Fleet) -> None:
    handle = fleet.submit("ten", {"trail": []}, "given-up", queue="nobody's")
    again = fleet.submit("ten", {"trail": []}, "given-up", queue="nobody's", abandon=True)
    assert handle.result(60).status == "cancelled"
    with fleet.client.ledger.database.transaction() as connection:  # as when a worker had handed it over
        connection.execute("UPDATE runs SET status = 'stopped' WHERE run_id = ?", (handle.run_id,))
    assert handle.result(60).status == "stopped"
    assert again.cancel() == "cancelled"


def cancelled_with_its_tools(fleet: Fleet, handle: Any) -> None:
    async def cancel() -> None:
        temporal = await fleet.client.temporal()
        await temporal.get_workflow_handle(f"ten:{handle.thread}").cancel()

    fleet.client.loop.call(cancel())


def test_what_temporals_own_tools_cancel_the_ledger_knows(fleet: Fleet, ten: Worker) -> None:
    handle = fleet.submit("ten", {"trail": [], "pause": 0.3}, "by-its-tools")
    until(lambda: handle.status() == "running")
    cancelled_with_its_tools(fleet, handle)
    assert handle.result(60).status == "cancelled"
    until(lambda: handle.status() == "cancelled")


@pytest.mark.parametrize("way", ["handle", "tools"])
def test_a_run_of_short_nodes_is_cancelled_within_two_seconds(fleet: Fleet, ten: Worker, way: str) -> None:
    took = []
    while not took or min(took) > 2.0:  # a machine that is busy takes longer at times, not always
        assert len(took) < 5, took
        handle = fleet.submit("ten", {"trail": [], "pause": 0.4}, f"soon-{way}-{len(took)}")
        until(lambda handle=handle: len(fleet.executed(handle.thread)) >= 2)
        asked = time.monotonic()
        handle.cancel() if way == "handle" else cancelled_with_its_tools(fleet, handle)
        assert handle.result(60).status == "cancelled"
        took.append(time.monotonic() - asked)


def test_a_node_that_fails_is_not_tried_again_by_the_engine(fleet: Fleet, ten: Worker) -> None:
    handle = fleet.submit("ten", {"trail": [], "fails": "n3"}, "fails")
    result = handle.result(60)
    assert (result.status, result.error["node"], result.error["message"]) == (
        "failed",
        "n3",
        "n3 cannot go on",
    )  # type: ignore[index]
    assert [n for _, n, _ in fleet.executed("fails")] == ["n0", "n1", "n2", "n3"]
    handle.resume()
    assert handle.result(60).status == "failed"
    assert [n for _, n, _ in fleet.executed("fails")] == ["n0", "n1", "n2", "n3", "n3"]


def test_connections_are_bounded_by_the_pool(fleet: Fleet, databases: Databases) -> None:
    db = databases.new()
    with Client(fleet.engine.address, db=db, connections=2) as client:
        runs = [
            client.submit(fleet.plays.ten, {"trail": [], "gate": "n5 pool"}, queue="pool") for _ in range(12)
        ]
        fleet_there = Fleet(fleet.folder, fleet.engine, db, client, fleet.plays)
        with working(fleet_there, fleet.plays.ten, "pool", connections=3):
            until(lambda: all(run.status() == "running" for run in runs))
            most = databases.connections(db)
            fleet.open("pool")
            for run in runs:
                assert run.result(60).status == "completed"
                most = max(most, databases.connections(db))
    assert most <= 2 + 3


def test_a_worker_refuses_a_file_first_of_all_and_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["worker", "--target", "nowhere.py:nothing", "--db", "runs.db"]) == 2
    said = capsys.readouterr().err
    assert "SQLite" in said
    assert "postgresql://" in said
    with pytest.raises(DefinitionError, match="another machine"):
        Client(db="sqlite:///runs.db")


def test_a_worker_that_is_given_two_workflows_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    two = ["--target", "app.py:flow", "--target", "trip.yaml"]
    assert main(["worker", *two, "--db", "postgresql://postgres@127.0.0.1:1/nowhere"]) == 2
    assert (
        "`--target` names 2: `app.py:flow`, `trip.yaml`. Start a worker for each." in capsys.readouterr().err
    )


@pytest.mark.parametrize("there", [True, False])
def test_a_worker_says_that_it_takes_runs_once_it_does(
    tmp_path: Path, postgres_url: str, there: bool
) -> None:
    (tmp_path / "app.py").write_text(
        "from typing import TypedDict\n"
        "from dalsegno import END, START, Workflow\n"
        "flow = Workflow('echo', TypedDict('S', {'n': int})).add_node('say', lambda _: {})\n"
        "flow.add_edge(START, 'say').add_edge('say', END)\n"
    )
    db = postgres_url if there else "postgresql://postgres@127.0.0.1:1/nowhere"
    asked = ["worker", "--target", "app.py:flow", "--engine", "127.0.0.1:1", "--db", db]
    ended = subprocess.run(
        [sys.executable, "-m", "dalsegno", *asked],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    assert ("engine at 127.0.0.1:1 does not answer" if there else "cannot be reached") in ended.stderr
    assert "takes runs" not in ended.stderr


@pytest.mark.parametrize("port", ["0", "99999", "9" * 5000, "٣"])
def test_an_address_whose_port_is_none_and_a_heartbeat_that_nobody_lives_to_see_are_refused(
    port: str,
) -> None:
    with pytest.raises(DefinitionError, match="HOST:PORT"):
        Client(f"127.0.0.1:{port}", db="postgresql://nowhere")
    with pytest.raises(DefinitionError, match="HOST:PORT"):
        Client("http://127.0.0.1:7233", db="postgresql://nowhere")
    for heartbeat in (0, 1e300, float("nan")):
        with pytest.raises(DefinitionError, match="heartbeat"):
            Client(db="postgresql://nowhere", heartbeat=heartbeat)


def test_without_the_extra_it_is_named(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "temporalio", None)
    with pytest.raises(MissingExtra, match="distributed"):
        Worker(fleet.plays.ten, db=fleet.db)
    with pytest.raises(MissingExtra, match="distributed"):
        Client(db=fleet.db)


def test_an_engine_that_is_not_there(fleet: Fleet) -> None:
    with Client("127.0.0.1:9", db=fleet.db) as client:
        with pytest.raises(EngineUnavailable, match="engine dev"):
            client.submit(fleet.plays.ten, {"trail": []}, thread="nowhere")
        assert client.ledger.latest("nowhere").status == "cancelled"  # type: ignore[union-attr]
    handle = fleet.submit("ten", {"trail": []}, "nowhere", queue="nobody's")
    with Client("127.0.0.1:9", db=fleet.db) as client:
        with pytest.raises(EngineUnavailable) as raised:
            client.handle("nowhere").cancel()
        assert "The run is cancelled all the same; cancel it again" in raised.value.__notes__[0]
    with pytest.raises(NothingToResume):
        handle.cancel()  # and the engine knows
    assert fleet.submit("ten", {"trail": []}, "nowhere", queue="nobody's").cancel() == "cancelled"


def test_the_development_engine_is_one_command_until_ctrl_c(tmp_path: Path) -> None:
    port = DevEngine().port
    told = tmp_path / "told.txt"
    with told.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "dalsegno", "engine", "dev", "--port", str(port)], cwd=ROOT, stderr=out
        )
    try:
        until(lambda: f"engine at 127.0.0.1:{port}" in told.read_text() or process.poll() is not None)
        second = DevEngine(port=port)
        with pytest.raises(EngineUnavailable, match="--port"):
            second.start()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


def test_no_state_goes_through_the_engine_and_no_secret_to_the_screen(
    fleet: Fleet, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(fleet.folder)
    given = json.dumps({"trail": ["of paper"], "token": "hunter2"})
    words = ["submit", "plays.py:guarded", "--db", fleet.db, "--engine", fleet.engine.address]
    with working(fleet, fleet.plays.guarded):
        assert main([*words, "--thread", "guarded", "--input", given, "--wait", "--json"]) == 0
        said = capsys.readouterr()
        assert json.loads(said.out)["output"] == {"token": "**********", "trail": ["of paper", "only"]}
        assert main([*words, "--thread", "guarded2", "--input", given, "--wait"]) == 0
        said_again = capsys.readouterr()
    assert "hunter2" not in said.out + said.err + said_again.out + said_again.err

    async def history() -> str:
        temporal = await fleet.client.temporal()
        return (await temporal.get_workflow_handle("guarded:guarded").fetch_history()).to_json()

    events = json.loads(fleet.client.loop.call(history()))["events"]
    payloads = "".join(
        b64decode(found).decode() for found in re.findall(r'"data": "([^"]*)"', json.dumps(events))
    )
    assert fleet.client.handle("guarded").run_id in payloads
    assert "paper" not in payloads
    assert "hunter2" not in payloads


def test_the_development_engine_does_not_outlive_its_command(tmp_path: Path) -> None:
    port = DevEngine().port
    told = tmp_path / "told.txt"
    with told.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "dalsegno", "engine", "dev", "--port", str(port)], cwd=ROOT, stderr=out
        )
    try:
        until(lambda: f"engine at 127.0.0.1:{port}" in told.read_text() or process.poll() is not None)
        with socket.create_connection(("127.0.0.1", port)):  # as a worker has one
            process.kill()
            process.wait()
            until(lambda: not answers(port), "its port is free")
    finally:
        process.kill()
        process.wait()


def answers(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def test_the_command_line_submits_waits_answers_and_cancels(
    fleet: Fleet, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(fleet.folder)
    there = ["--db", fleet.db]
    submit = [
        "submit",
        "plays.py:asks",
        *there,
        "--engine",
        fleet.engine.address,
        "--queue",
        "shell",
        "--input",
    ]
    assert main([*submit, '{"trail": []}', "--thread", "shell", "--priority", "1"]) == 0
    assert "queue shell" in capsys.readouterr().out
    assert main([*submit, '{"trail": []}', "--thread", "shell"]) == 4
    assert main(["runs", *there, "--thread", "shell", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["status"] == "queued"
    with working(fleet, fleet.plays.asks, "shell"):
        assert main([*submit, '{"trail": []}', "--thread", "shell2", "--wait", "--json"]) == 3
        assert json.loads(capsys.readouterr().out)["interrupts"][0]["node"] == "ask"
        assert main(["resume", "shell2", *there, "--value", "null"]) == 2
        assert "does not fit: expected string" in capsys.readouterr().err  # null is an answer as any
        assert main(["resume", "shell2", *there, "--value", "yes", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["output"]["verdict"] == "yes"
        assert fleet.client.handle("shell").result(60).status == "interrupted"
    assert main(["cancel", "shell", *there]) == 0
    assert "is cancelled" in capsys.readouterr().out
    assert main(["resume", "shell", *there]) == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_whose_words_nobody_reads_any_more_stops_as_well(
    fleet: Fleet, number: signal.Signals
) -> None:
    name, queue = f"unheard {number}", f"unheard{number}"
    words = ["worker", "--target", "plays.py:ten", "--queue", queue, "--db", fleet.db]
    worker = subprocess.Popen(
        [sys.executable, "-m", "dalsegno", *words, "--engine", fleet.engine.address],
        cwd=fleet.folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"},
        stderr=subprocess.PIPE,
    )
    fleet.workers.append(worker)
    assert worker.stderr is not None
    until(lambda: b"takes runs" in worker.stderr.readline(), "the worker is up")  # type: ignore[union-attr]
    worker.stderr.close()  # as where it was piped to a program that has ended
    handle = fleet.submit("ten", {"trail": [], "gate": f"n3 {name}"}, name, queue=queue)
    until(lambda: (name, "n3", worker.pid) in fleet.executed(name), "it is in the node")
    worker.send_signal(number)
    fleet.open(name)
    assert worker.wait(60) == 0
    with contextlib.suppress(NothingToResume):  # it has ended, where the signal came late
        handle.cancel()


def test_a_run_that_a_worker_of_another_database_takes_is_not_dropped_without_a_word(
    fleet: Fleet,
    databases: Databases,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["submit", f"{fleet.folder / 'plays.py'}:ten", "--input", '{"trail": []}', "--queue", "another"]
    words += ["--db", fleet.db, "--engine", fleet.engine.address, "--thread", "astray", "--wait"]
    with working(fleet, fleet.plays.ten, "another", db=databases.new()):
        assert main(words) == 1
    out, err = capsys.readouterr()
    assert "ten queued" in out
    assert "a worker that has another --db took it" in err
    assert "'astray' is not in this worker's database" in caplog.text
    with working(fleet, fleet.plays.ten, "another"):  # nothing is lost
        assert main(["resume", "astray", "--db", fleet.db]) == 0


def test_a_thread_whose_waiting_run_was_deleted_can_be_used_again(
    fleet: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    there = ["--db", fleet.db]
    with working(fleet, fleet.plays.asks, "deleted"):
        handle = fleet.submit("asks", {"trail": []}, "deleted", queue="deleted")
        assert handle.result(60).status == "interrupted"
        assert main(["delete", "deleted", "--yes", *there]) == 0
        assert "1 run" in capsys.readouterr().out
        handle = fleet.submit("asks", {"trail": []}, "deleted", queue="deleted")
        assert handle.result(60).status == "interrupted"
    assert handle.cancel() == "cancelled"
