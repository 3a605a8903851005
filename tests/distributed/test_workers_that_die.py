"""A worker that is killed, stopped or told to go loses no run and repeats at most the node in flight."""

from __future__ import annotations

import os
import signal
import time
from datetime import timedelta
from typing import Any

import pytest
from fleets import Databases, Fleet, until, working

from dalsegno import Budget
from dalsegno.distributed import Client

NODES = [f"n{i}" for i in range(10)]
SCALE = float(os.environ.get("DALSEGNO_TORTURE", "1"))


def submitted(fleet: Fleet, count: int, name: str, **input: Any) -> list[Any]:
    return [fleet.submit("ten", {"trail": [], **input}, f"{name}{i}") for i in range(count)]


def at(fleet: Fleet, name: str, node: str) -> list[int]:
    """The processes in which runs of that name have come to a node."""
    return [pid for thread, at_node, pid in fleet.executed() if thread.startswith(name) and at_node == node]


def all_done(fleet: Fleet, runs: list[Any]) -> None:
    """Every run is done, node by node, and repeated at most one of them."""
    for run in runs:
        result = run.result(90)
        assert result.status == "completed", result
        assert result.output["trail"] == NODES
        assert fleet.repeated(run.thread) <= 1


@pytest.fixture(scope="module")
def two(fleet: Fleet) -> list[Any]:
    return [fleet.worker(), fleet.worker()]


@pytest.fixture
def pair(fleet: Fleet, two: list[Any]) -> list[Any]:
    """Two workers that take runs; what a test has ended is started anew for the next one."""
    two[:] = [worker if worker.poll() is None else fleet.worker() for worker in two]
    fleet.taking(*two)
    return two


def test_kill_9_in_the_middle_of_twenty_runs(fleet: Fleet, pair: list[Any]) -> None:
    poor = fleet.submit("ten", {"trail": [], "gate": "n4 kill"}, "poor", budget=Budget(supersteps=8))
    runs = submitted(fleet, 20, "kill", gate="n4 kill")
    until(lambda: len(at(fleet, "kill", "n4")) == 20, "all are in the middle")
    (pid,) = until(lambda: at(fleet, "poor", "n4"), "so is the one with a budget")
    lost = at(fleet, "kill", "n4").count(pid)

    next(worker for worker in pair if worker.pid == pid).kill()
    fleet.open("kill")

    all_done(fleet, runs)
    assert sum(fleet.repeated(run.thread) for run in runs) == lost
    result = poor.result(90)  # what the killed worker has spent is spent
    assert (result.status, result.error["type"]) == ("failed", "BudgetExceeded")
    assert [n for _, n, p in fleet.executed("poor") if p != pid] == ["n4", "n5", "n6", "n7"]


def test_a_stopped_worker_that_wakes_up_writes_nothing_more(fleet: Fleet, pair: list[Any]) -> None:
    runs = submitted(fleet, 4, "stop", gate="n4 stop")
    until(lambda: len(at(fleet, "stop", "n4")) == 4, "all are in the middle")
    sleeper = next(worker for worker in pair if worker.pid in at(fleet, "stop", "n4"))
    lost = at(fleet, "stop", "n4").count(sleeper.pid)

    os.kill(sleeper.pid, signal.SIGSTOP)
    until(lambda: len(at(fleet, "stop", "n4")) == 4 + lost, "the other one has taken them over")
    os.kill(sleeper.pid, signal.SIGCONT)
    fleet.open("stop")

    all_done(fleet, runs)
    until(
        lambda: sleeper.told.read_text().count("taken over") >= lost,
        "it has learnt that they are not its own",
    )
    assert sleeper.poll() is None
    assert [
        t for t, node, pid in fleet.executed() if t.startswith("stop") and pid == sleeper.pid and node > "n4"
    ] == []


def test_a_run_that_is_cancelled_after_its_worker_was_killed_tells_what_it_had_done(
    fleet: Fleet, pair: list[Any]
) -> None:
    (run,) = submitted(fleet, 1, "given-up", gate="n4 given-up")
    (pid,) = until(lambda: at(fleet, "given-up", "n4"), "it is in the middle")
    poor = next(worker for worker in pair if worker.pid == pid)
    poor.kill()
    poor.wait(60)

    assert run.cancel() == "cancelled"

    result = run.result(60)
    assert (result.status, result.supersteps) == ("cancelled", 4)
    assert result.usage["seconds"] > 0


def test_sigterm_hands_over_at_the_next_superstep(fleet: Fleet, pair: list[Any]) -> None:
    runs = submitted(fleet, 4, "term", gate="n4 term")
    until(lambda: len(at(fleet, "term", "n4")) == 4, "all are in the middle")
    going = next(worker for worker in pair if worker.pid in at(fleet, "term", "n4"))

    going.terminate()
    until(lambda: "stopping" in going.told.read_text(), "it has heard that")
    fleet.open("term")

    assert going.wait(60) == 0
    all_done(fleet, runs)
    assert sum(fleet.repeated(run.thread) for run in runs) == 0
    assert going.pid not in at(fleet, "term", "n6")


def test_the_database_is_restarted(fleet: Fleet, pair: list[Any], databases: Databases) -> None:
    runs = submitted(fleet, 6, "database", gate="n4 database")
    until(lambda: len(at(fleet, "database", "n4")) == 6, "all are in the middle")

    databases.server.restart()
    fleet.open("database")

    all_done(fleet, runs)


def test_the_engine_is_killed_and_comes_back(fleet: Fleet, pair: list[Any]) -> None:
    runs = submitted(fleet, 6, "engine", gate="n4 engine")
    until(lambda: len(at(fleet, "engine", "n4")) == 6, "all are in the middle")

    fleet.engine.kill()
    fleet.open("engine")
    until(lambda: len(at(fleet, "engine", "n9")) >= 6, "runs that a worker has go on without the engine")
    fleet.engine.start()

    all_done(fleet, runs)
    assert submitted(fleet, 1, "afterwards")[0].result(90).status == "completed"


def test_a_run_that_many_workers_died_with_does_not_wait_longer_for_each(fleet: Fleet) -> None:
    with Client(fleet.engine.address, db=fleet.db, heartbeat=0.5) as client:
        run = client.submit(fleet.plays.ten, {"trail": []}, thread="unlucky", queue="unlucky")
        for attempt in range(1, 8):
            assert client.loop.call(taken_to_the_grave(client, "unlucky/ten")) == attempt
        with working(fleet, fleet.plays.ten, "unlucky"):
            assert run.result(25).status == "completed"  # it would be 36 seconds


async def taken_to_the_grave(client: Client, queue: str) -> int:
    """Take a run's next step from the engine as a worker does that is killed then; which attempt at it that was."""
    from temporalio.api.taskqueue.v1 import TaskQueue
    from temporalio.api.workflowservice.v1 import PollWorkflowTaskQueueRequest

    asked = PollWorkflowTaskQueueRequest(namespace="default", task_queue=TaskQueue(name=queue))
    engine = (await client.temporal()).workflow_service
    while True:
        given = await engine.poll_workflow_task_queue(asked, timeout=timedelta(seconds=90))
        if given.task_token:
            return int(given.attempt)


def test_forty_runs_over_two_workers_of_which_one_is_killed(fleet: Fleet, pair: list[Any]) -> None:
    many_runs(fleet, pair, 40)


@pytest.mark.torture
def test_six_hundred_runs_over_two_workers_of_which_one_is_killed(fleet: Fleet, pair: list[Any]) -> None:
    many_runs(fleet, pair, max(60, int(600 * SCALE)))


def many_runs(fleet: Fleet, pair: list[Any], count: int) -> None:
    runs = submitted(fleet, count, f"many{count}-", pause=0.02)
    until(lambda: len(at(fleet, f"many{count}-", "n9")) >= count // 4, "some are done")
    pair[0].kill()
    all_done(fleet, runs)
    assert fleet.client.ledger.runs(status="running") == []


@pytest.mark.torture
def test_a_dead_workers_runs_are_taken_over_within_the_heartbeat_and_two_seconds(
    fleet: Fleet, pair: list[Any]
) -> None:
    for attempt in range(max(1, int(5 * SCALE))):
        name = f"soon{attempt}-"
        runs = submitted(fleet, 20, name, gate=f"n4 {name}")
        until(lambda name=name: len(at(fleet, name, "n4")) == 20, "all are in the middle")
        lost = at(fleet, name, "n4").count(pair[attempt % 2].pid)
        assert lost
        pair[attempt % 2].kill()
        killed = time.monotonic()
        until(lambda name=name, lost=lost: len(at(fleet, name, "n4")) == 20 + lost, "the other one has them")
        assert time.monotonic() - killed <= fleet.client.heartbeat + 2.0
        fleet.open(name)
        all_done(fleet, runs)
        pair[:] = [worker if worker.poll() is None else fleet.worker() for worker in pair]
        fleet.taking(*pair)
