"""One writer a thread: the living hold it, the dead do not."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dalsegno.checkpoints import Ledger, open_database
from dalsegno.checkpoints.lease import (
    Heartbeat,
    Holder,
    Process,
    _boot_from_sysctl,
    _start_time_from_ps,
    start_time,
    this_process,
)
from dalsegno.checkpoints.spending import note_of
from dalsegno.errors import ThreadBusy, UnknownRun


@pytest.fixture
def ledger(url: str, ledger_of: Any) -> Ledger:
    made: Ledger = ledger_of(url)
    return made


def held_by(ledger: Ledger, **changes: Any) -> None:
    """Make the lease of thread t that of another process."""
    process = dataclasses.asdict(this_process()) | changes
    with ledger.database.transaction() as connection:
        connection.execute(
            f"UPDATE leases SET {', '.join(f'{name} = ?' for name in process)}", tuple(process.values())
        )


def test_a_thread_that_runs_in_this_process_is_busy(ledger: Ledger, ledger_of: Any) -> None:
    lease = ledger.begin(run_id="r1", thread="t", workflow="w")
    for attempt in (
        lambda: ledger.begin(run_id="r2", thread="t", workflow="w"),
        lambda: ledger.acquire("t", "r1"),
        lambda: ledger_of(ledger.database.url).acquire("t", "r1"),
        lambda: ledger.delete_thread("t"),
    ):
        with pytest.raises(ThreadBusy, match=f"process {os.getpid()} on .* since ") as raised:
            attempt()
        assert raised.value.thread == "t"
        holder = raised.value.holder
        assert (holder.pid, holder.run_id, holder.host) == (os.getpid(), "r1", this_process().host)
    assert [run.run_id for run in ledger.runs()] == ["r1"]
    ledger.begin(run_id="r2", thread="another", workflow="w")
    ledger.finish(lease, "failed")
    assert ledger.holder("t") is None
    assert ledger.acquire("t", "r1").run_id == "r1"
    assert ledger.get("r1").resumes == 1


def test_a_lease_that_this_process_left_behind_is_taken_over(ledger: Ledger) -> None:
    ledger.begin(run_id="r1", thread="t", workflow="w")
    with ledger.database.transaction() as connection:
        connection.execute("UPDATE leases SET token = 'nobody keeps it'")
    assert ledger.get("r1").status == "stopped"
    ledger.acquire("t", "r1")
    assert ledger.get("r1").status == "running"


def test_the_thread_of_a_killed_process_is_taken_over_at_once(ledger: Ledger, child: Any) -> None:
    def body(tell: Callable[[str], None]) -> None:
        Ledger(open_database(ledger.database.url)).begin(
            run_id="r1", thread="t", workflow="w", input={"a": 1}
        )
        tell("running")
        signal.pause()

    process = child(body)
    assert process.line() == "running"
    assert ledger.get("r1").status == "running"
    assert ledger.runs(status="stopped") == []
    with pytest.raises(ThreadBusy, match=str(process.pid)):
        ledger.acquire("t", "r1")
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, but still a zombie
    assert ledger.get("r1").status == "stopped"
    assert [run.run_id for run in ledger.runs(status="stopped")] == ["r1"]
    assert ledger.runs(status="running") == []
    lease = ledger.acquire("t", "r1")
    assert process.wait() == -signal.SIGKILL
    assert ledger.get("r1").input == {"a": 1}
    assert ledger.get("r1").process == {"pid": os.getpid(), "host": this_process().host}
    ledger.finish(lease, "completed")


def test_of_two_processes_that_resume_exactly_one_runs(url: str, ledger_of: Any, child: Any) -> None:
    for attempt in map(str, range(10)):
        ledger = ledger_of(url)
        ledger.finish(ledger.begin(run_id=attempt, thread=attempt, workflow="w"), "failed")
        ledger.database.close()
        gate, opener = os.pipe()

        def body(
            tell: Callable[[str], None], attempt: str = attempt, gate: int = gate, opener: int = opener
        ) -> None:
            os.close(opener)
            tell("ready")
            os.read(gate, 1)
            try:
                Ledger(open_database(url)).acquire(attempt, attempt)
            except ThreadBusy as error:
                tell(f"busy {error.holder.pid}")
            else:
                tell(f"won {os.getpid()}")
                signal.pause()

        processes = [child(body) for _ in range(3)]
        assert [process.line() for process in processes] == ["ready"] * 3
        os.close(opener)
        told = sorted(process.line() for process in processes)
        for process in processes:
            process.kill()
            process.wait()
        os.close(gate)
        winner = told[-1].split()[1]
        assert told == [f"busy {winner}", f"busy {winner}", f"won {winner}"]


def test_a_process_id_that_is_used_again_is_another_process(ledger: Ledger) -> None:
    ledger.begin(run_id="r1", thread="t", workflow="w")
    held_by(ledger, pid=os.getppid(), started=start_time(os.getppid()))
    assert ledger.holder("t") is not None
    held_by(ledger, pid=os.getppid(), started="1")
    assert ledger.holder("t") is None


def test_a_holder_of_whom_nobody_knows_when_it_started_is_dead_when_its_lease_has_expired(
    url: str, ledger_of: Any
) -> None:
    now = [1000.0]
    ledger = ledger_of(url, clock=lambda: now[0], expiry=60)
    ledger.begin(run_id="r1", thread="t", workflow="w")
    held_by(ledger, pid=os.getppid(), started="")
    assert ledger.holder("t") is not None
    now[0] = 1061
    assert ledger.holder("t") is None


@pytest.mark.skipif(shutil.which("ps") is None, reason="there is no `ps`")
def test_when_a_process_started_is_the_same_in_every_time_zone_and_language(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = set[str | None]()
    for zone, language in (("UTC0", "C"), ("<+09>-9", "C"), ("<-05>5", "de_DE.UTF-8")):
        monkeypatch.setenv("TZ", zone)
        monkeypatch.setenv("LC_ALL", language)
        said.add(_start_time_from_ps(os.getpid()))
    (one,) = said
    assert one


def test_a_boot_is_the_same_when_the_clock_was_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sysctl = tmp_path / "sysctl"
    times = tmp_path / "times"
    times.touch()
    sysctl.write_text(  # as on a Mac: https://github.com/firelock-ai/kin/pull/653
        "#!/bin/sh\n"
        "case $2 in\n"
        "kern.bootsessionuuid) echo 5F2A3C1E-0000-4000-8000-00805F9B34FB;;\n"
        f"kern.boottime) echo >> {times}; wc -l < {times};;\n"
        "*) exit 1;;\n"
        "esac\n"
    )
    sysctl.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    first, second = _boot_from_sysctl(), _boot_from_sysctl()
    assert first == second == "5F2A3C1E-0000-4000-8000-00805F9B34FB"


def test_a_holder_from_before_the_reboot_is_dead(ledger: Ledger) -> None:
    ledger.begin(run_id="r1", thread="t", workflow="w")
    held_by(ledger, boot="an earlier boot", pid=os.getppid(), started=start_time(os.getppid()))
    assert ledger.holder("t") is None


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"host": "another"},
        {"namespace": "pid:[1]"},
        {"boot": "its own", "namespace": "pid:[1]@of the same name"},  # as copies of one image have
    ],
)
def test_a_holder_elsewhere_is_dead_when_its_lease_has_expired(
    url: str, ledger_of: Any, elsewhere: Any
) -> None:
    now = [1000.0]
    ledger = ledger_of(url, clock=lambda: now[0], expiry=60)
    ledger.begin(run_id="r1", thread="t", workflow="w")
    held_by(ledger, **elsewhere)
    now[0] = 1059
    assert ledger.holder("t") is not None
    assert ledger.get("r1").status == "running"
    now[0] = 1061
    assert ledger.get("r1").status == "stopped"
    ledger.acquire("t", "r1")


def test_an_active_run_gives_signs_of_life_and_a_finished_one_does_not(url: str, ledger_of: Any) -> None:
    now = [1000.0]
    ledger = ledger_of(url, clock=lambda: now[0], expiry=60)
    assert not ledger.renew()
    lease = ledger.begin(run_id="r1", thread="t", workflow="w")
    now[0] = 1050
    assert ledger.renew()
    holder = ledger.holder("t")
    assert holder is not None
    assert (holder.since, holder.expires_at) == (1000, 1110)
    ledger.finish(lease, "completed")
    assert not ledger.renew()


def test_a_sign_of_life_notes_what_a_run_has_used_and_is_given_also_where_nobody_can_say(
    url: str, ledger_of: Any
) -> None:
    now = [1000.0]
    ledger = ledger_of(url, clock=lambda: now[0], expiry=60)
    leases = [ledger.begin(run_id=run, thread=run, workflow="w") for run in ("r1", "r2")]
    leases[0].note = lambda: {}["nobody knows"]
    leases[1].note = lambda: note_of(ledger, leases[1], {"seconds": 50.0})
    now[0] = 1050
    assert ledger.renew()
    assert [ledger.holder(run).expires_at for run in ("r1", "r2")] == [1110, 1110]
    assert [ledger.get(run).usage for run in ("r1", "r2")] == [{}, {"seconds": 50.0}]
    for lease in leases:
        ledger.finish(lease, "completed", usage={})


def test_the_heartbeat_beats_until_there_is_nothing_to_renew() -> None:
    beats: list[int] = []
    over = threading.Event()

    def beat() -> bool:
        beats.append(1)
        if len(beats) == 3:
            over.set()
        return len(beats) < 3

    heartbeat = Heartbeat(beat, 0.001)
    heartbeat.start()
    heartbeat.start()
    assert over.wait(10)
    heartbeat.stop()
    assert len(beats) == 3


def test_a_heartbeat_that_is_wanted_while_it_is_about_to_end_goes_on() -> None:
    beats: list[int] = []
    over = threading.Event()

    def beat() -> bool:
        beats.append(1)
        if len(beats) == 1:
            heartbeat.start()  # by another thread, when this beat has found nothing to renew
        if len(beats) == 3:
            over.set()
        return 1 < len(beats) < 3

    heartbeat = Heartbeat(beat, 0.001)
    heartbeat.start()
    assert over.wait(60)
    heartbeat.stop()
    assert len(beats) == 3


def test_a_run_that_begins_while_the_last_one_ends_gives_signs_of_life(url: str, ledger_of: Any) -> None:
    ledger = ledger_of(url, heartbeat=0.001)
    last = ledger.begin(run_id="r1", thread="t1", workflow="w")
    stop = ledger._heartbeat.stop

    def stop_late() -> None:
        ledger._heartbeat.stop = stop
        ledger.begin(run_id="r2", thread="t", workflow="w")
        stop()

    ledger._heartbeat.stop = stop_late
    ledger.finish(last, "completed")
    began = ledger.holder("t").expires_at
    deadline = time.monotonic() + 60
    while ledger.holder("t").expires_at == began:
        assert time.monotonic() < deadline, "it gives no sign of life"


def test_a_run_that_can_give_no_sign_of_life_does_not_begin(
    url: str, ledger_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    renewed = threading.Event()
    ledger = ledger_of(url, heartbeat=0.001)
    ledger.runs()  # a server's connections have threads too
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="new thread"):
            ledger.begin(run_id="r1", thread="t", workflow="w")
    assert ledger.holder("t") is None
    lease = ledger.acquire("t", "r1")
    ledger.database.on_commit.append(lambda number: renewed.set())
    assert renewed.wait(60)
    ledger.finish(lease, "completed")


def test_the_heart_beats_while_a_run_is_active(url: str, ledger_of: Any) -> None:
    renewed = threading.Event()
    ledger = ledger_of(url, heartbeat=0.001)
    lease = ledger.begin(run_id="r1", thread="t", workflow="w")
    ledger.database.on_commit.append(lambda number: renewed.set())
    assert renewed.wait(10)
    ledger.finish(lease, "completed")


def test_a_run_that_was_taken_over_cannot_be_finished_by_its_first_holder(
    ledger: Ledger, ledger_of: Any
) -> None:
    lease = ledger.begin(run_id="r1", thread="t", workflow="w")
    held_by(ledger, boot="an earlier boot")
    other = ledger_of(ledger.database.url)
    second = other.acquire("t", "r1")
    ledger.renew()
    assert lease.lost
    with pytest.raises(ThreadBusy, match="taken over"):
        ledger.finish(lease, "failed", error={"type": "X"})
    assert ledger.get("r1").status == "running"
    other.finish(second, "completed")
    assert ledger.get("r1").status == "completed"


def test_a_forked_child_does_not_live_for_its_parent(ledger: Ledger, child: Any) -> None:
    lease = ledger.begin(run_id="r1", thread="t", workflow="w")

    def body(tell: Callable[[str], None]) -> None:
        assert not ledger.renew()
        with pytest.raises(ThreadBusy):
            ledger.acquire("t", "r1")
        mine = ledger.begin(run_id="r2", thread="another", workflow="w")
        assert ledger.renew()
        ledger.finish(mine, "completed")

    assert child(body).wait() == 0
    ledger.finish(lease, "completed")
    assert ledger.get("r2").status == "completed"


def test_the_run_of_another_thread_cannot_be_acquired(ledger: Ledger) -> None:
    ledger.finish(ledger.begin(run_id="r1", thread="t", workflow="w"), "failed")
    with pytest.raises(UnknownRun):
        ledger.acquire("another", "r1")
    assert ledger.holder("another") is None


def test_a_process_of_another_user_that_is_not_seen_is_not_taken_for_dead(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Linux where `/proc` is mounted with `hidepid`: it lives until it gives no sign of life any more."""

    def refuse(pid: int, signal: int) -> None:
        raise PermissionError

    unseen = 2**22 + 1
    ledger.begin(run_id="r1", thread="t", workflow="w")
    held_by(ledger, pid=unseen, started="123")
    monkeypatch.setattr("dalsegno.checkpoints.lease.os.kill", refuse)
    assert start_time(unseen) == ""
    holder = ledger.holder("t")
    assert holder is not None
    assert (holder.alive(holder.expires_at - 1), holder.alive(holder.expires_at + 1)) == (True, False)


def test_a_holder_says_who_it_is() -> None:
    holder = Holder(Process("host", "boot", "ns", 7, "1"), "r1", "token", 0.0, 60.0)
    assert str(holder).startswith("process 7 on host since 19")
    assert start_time(2**22 + 1) is None
    assert this_process().started
