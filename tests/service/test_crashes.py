"""A service that is killed loses no run that it accepted, and runs none twice; one that is stopped lets steps end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import httpx

from tests.service.conftest import ROOT, Serve, Served, until


def counted(service: Served, what: str) -> Counter[str]:
    return Counter(line for line in service.done() if line.startswith(what))


def test_after_kill_9_with_ten_runs_going_and_five_waiting_none_is_lost_and_none_runs_twice(
    serve: Serve, url: str
) -> None:
    first = serve("--runs", "10", "--db", url)
    (first.folder / "hold kill").touch()
    started = [first.start(topic=f"kill {number}")["run_id"] for number in range(15)]
    until(lambda: len(counted(first, "check")) == 10, "ten are going, their first node committed")
    assert Counter(first.run(run_id)["status"] for run_id in started) == {"running": 10, "queued": 5}
    first.kill()
    (first.folder / "hold kill").unlink()
    second = serve("--runs", "10", "--db", url)
    runs = [second.ended(run_id) for run_id in started]
    assert sorted(run["resumes"] for run in runs) == [0] * 5 + [1] * 10
    assert counted(second, "write") == {f"write kill {number}": 1 for number in range(15)}
    assert counted(second, "publish") == {f"publish kill {number}": 1 for number in range(15)}
    listed = second.client.get("/v1/runs", params={"limit": 200}).json()["runs"]
    assert {run["run_id"] for run in listed} == set(started)


def test_what_was_answered_202_is_in_the_database_whenever_the_service_is_killed(serve: Serve) -> None:
    first = serve()
    accepted: list[str] = []

    def ask() -> None:
        with httpx.Client(base_url=first.address, headers=first.client.headers, trust_env=False) as client:
            try:
                for number in range(1000):
                    asked = {
                        "workflow": "article",
                        "input": {"topic": f"burst {number}"},
                        "thread": f"b{number}",
                    }
                    if (got := client.post("/v1/runs", json=asked)).status_code == 202:
                        accepted.append(got.json()["run_id"])
            except httpx.HTTPError:
                pass  # it is dead

    asking = threading.Thread(target=ask)
    asking.start()
    until(lambda: len(accepted) >= 20, "twenty are accepted")
    first.kill()
    asking.join()
    second = serve()
    for run_id in accepted:
        second.ended(run_id)
    listed = second.client.get("/v1/runs", params={"limit": 200}).json()["runs"]
    assert set(accepted) <= {run["run_id"] for run in listed}
    assert len({run["thread"] for run in listed}) == len(listed) <= len(accepted) + 1  # one was not answered
    again = [
        line for what in ("write", "publish") for line, times in counted(second, what).items() if times > 1
    ]
    assert len(again) <= 8  # a node in flight is executed again, of each run that was going


def test_sigterm_lets_supersteps_end_and_the_runs_go_on_at_the_next_start(serve: Serve) -> None:
    first = serve("--runs", "4")
    (first.folder / "hold drain").touch()
    started = [first.start(topic=f"drain {number}")["run_id"] for number in range(6)]
    until(lambda: len(counted(first, "check")) == 4, "four are going")
    until(
        lambda: sorted(first.run(run_id)["supersteps"] for run_id in started) == [0, 0, 1, 1, 1, 1],
        "one is kept",
    )
    first.process.send_signal(signal.SIGTERM)
    until(lambda: first.client.get("/ready").status_code == 503, "it drains")
    refused = first.client.post("/v1/runs", json={"workflow": "article", "input": {"topic": "late"}})
    assert (refused.status_code, refused.json()["type"]) == (503, "urn:dalsegno:draining")
    assert first.client.get("/health").status_code == 200
    assert first.run(started[0])["status"] == "running"  # it can still be asked
    (first.folder / "hold drain").unlink()
    assert first.process.wait() == 0
    assert not counted(first, "publish")
    stands = _runs(first.folder)
    assert Counter(stands[run_id] for run_id in started) == {"stopped": 4, "queued": 2}
    second = serve()
    for run_id in started:
        second.ended(run_id)
    assert counted(second, "publish") == {f"publish drain {number}": 1 for number in range(6)}
    assert counted(second, "write") == {f"write drain {number}": 1 for number in range(6)}


def test_a_superstep_that_does_not_end_in_time_is_given_up_and_done_again(serve: Serve) -> None:
    first = serve("--grace", "0.3")
    (first.folder / "hold stuck").touch()
    run_id = first.start(topic="stuck here")["run_id"]
    until(lambda: counted(first, "check"), "it is going")
    assert first.stop() == 143
    (first.folder / "hold stuck").unlink()
    assert serve().ended(run_id)["resumes"] == 1


def test_a_second_signal_ends_it_at_once(serve: Serve) -> None:
    service = serve()
    (service.folder / "hold twice").touch()
    run_id = service.start(topic="twice told")["run_id"]
    until(lambda: counted(service, "check"), "it is going")
    service.process.send_signal(signal.SIGINT)
    until(lambda: service.client.get("/ready").status_code == 503, "it drains")
    assert service.stop(signal.SIGINT) == 130
    (service.folder / "hold twice").unlink()
    assert serve().ended(run_id)["output"]["draft"] == "All about twice told."


def test_two_services_on_one_database_share_the_work_and_each_run_is_one_ones(serve: Serve, url: str) -> None:
    one, two = serve("--runs", "3", "--db", url), serve("--runs", "3", "--db", url)
    (one.folder / "hold shared").touch()
    started = [(one, two)[number % 2].start(topic=f"shared {number}")["run_id"] for number in range(12)]
    until(lambda: len(counted(one, "write")) == 6, "both are at work")
    (one.folder / "hold shared").unlink()
    for run_id in started:
        assert two.ended(run_id)["resumes"] == 0
    for what in ("write", "publish"):
        assert counted(one, what) == {f"{what} shared {number}": 1 for number in range(12)}


def test_the_one_that_lives_takes_over_from_the_one_that_was_killed(serve: Serve) -> None:
    one = serve()
    (one.folder / "hold over").touch()
    started = [one.start(topic=f"over {number}")["run_id"] for number in range(3)]
    until(lambda: len(counted(one, "write")) == 3, "three are going")
    two = serve()
    one.kill()
    (one.folder / "hold over").unlink()
    for run_id in started:
        assert two.ended(run_id)["resumes"] == 1
    assert set(counted(two, "publish").values()) == {1}


def test_an_answer_and_a_deadline_outlive_a_kill(serve: Serve) -> None:
    first = serve()
    asked, hurried = first.start("asking", "kept")["run_id"], first.start("hurried", "passed")["run_id"]
    first.ended(asked, "interrupted")
    first.ended(hurried, "interrupted", "completed")
    assert first.client.post(f"/v1/runs/{asked}/resume", json={"answer": "yes"}).status_code == 202
    first.kill()
    second = serve()
    assert second.ended(asked)["output"]["verdict"] == "yes"
    assert second.ended(hurried)["output"]["verdict"] == "no"


def test_runs_of_others_are_left_alone(serve: Serve, tmp_path: Path) -> None:
    service = serve()
    (tmp_path / "hold mine").touch()
    command = [sys.executable, "-m", "dalsegno"]
    target = ["app.py:article", "--db", "runs.db", "--thread", "mine", "--input", '{"topic": "mine only"}']
    process = subprocess.Popen(
        [*command, "run", *target, "--quiet"], cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin"}
    )
    until(lambda: "write mine only" in service.done(), "it is going")
    process.kill()
    process.wait()
    service.stop()
    second = serve()
    mine = second.client.get("/v1/runs", params={"thread": "mine"}).json()["runs"]
    other = second.ended(second.start(topic="after")["run_id"])
    assert (mine[0]["status"], other["status"]) == ("stopped", "completed")
    (tmp_path / "hold mine").unlink()
    run_id = mine[0]["run_id"]
    assert second.run(run_id)["status"] == "stopped"
    assert second.client.post(f"/v1/runs/{run_id}/resume", json={}).status_code == 202  # now it is ours
    assert second.ended(run_id)["resumes"] == 1


def test_a_run_that_kills_its_process_again_and_again_is_given_up(serve: Serve) -> None:
    service = serve("--deaths", "2")
    (service.folder / "deadly").touch()
    (service.folder / "hold boom").touch()
    run_id = service.start("deadly", "boom")["run_id"]
    (service.folder / "hold boom").unlink()  # it does not die before it has answered
    assert service.process.wait() == 7
    service = serve("--deaths", "2", up=False)  # it found it dead once, and takes it again
    assert service.process.wait() == 7
    service = serve("--deaths", "2")
    problem = until(lambda: service.run(run_id)["problem"], "it is given up")
    assert problem["type"] == "ProcessDied"
    assert counted(service, "dies") == {"dies boom": 2}
    (service.folder / "deadly").unlink()
    assert service.client.post(f"/v1/runs/{run_id}/resume", json={}).status_code == 202
    assert service.ended(run_id)["problem"] is None


def _runs(folder: Path) -> dict[str, str]:
    out = subprocess.run(
        [sys.executable, "-m", "dalsegno", "runs", "--db", "runs.db", "--json"],
        cwd=folder, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin"}, capture_output=True, check=True,
    ).stdout  # fmt: skip
    return {run["run_id"]: run["status"] for run in json.loads(out)}
