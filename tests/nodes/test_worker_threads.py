"""The threads in which sync calls can be given up: reused, never too many, and never in the way of an exit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable

import pytest

from dalsegno.nodes.policies import ManualClock, Timeout, with_policies, workers
from dalsegno.nodes.policies.workers import Job, Workers


def wait_until(what: Callable[[], bool]) -> None:
    for _ in range(1000):
        if what():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it did not come to that")


def answered(pool: Workers, job: Job) -> object:
    pool.start(job)
    assert job.done.wait(10)
    return job.answer()


def test_calls_one_after_the_other_use_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "IDLE", 60.0)
    pool, threads = Workers(), set[int]()
    for _ in range(200):
        answered(pool, Job(lambda: threads.add(threading.get_ident())))
    assert len(threads) == 1


def test_an_abandoned_thread_comes_back_for_work_when_its_call_returns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(workers, "IDLE", 60.0)
    pool, release = Workers(), threading.Event()
    job = pool.start(Job(lambda: (release.wait(), threading.get_ident())[1]))
    assert job.abandon()
    other = answered(pool, Job(threading.get_ident))
    release.set()
    wait_until(lambda: len(pool._idle) == 2)
    assert job.result is None
    threads = {answered(pool, Job(threading.get_ident)) for _ in range(20)}
    assert len(threads) == 1
    assert threads != {other}  # the last one that became idle


def test_a_thread_that_can_tell_nobody_of_its_answer_takes_the_next_job() -> None:
    """As where the event loop that waited for it was closed meanwhile."""

    def tell() -> None:
        raise RuntimeError("Event loop is closed")

    pool = Workers()
    for _ in range(3):
        assert answered(pool, Job(lambda: "done", tell)) == "done"


def test_a_job_is_either_answered_or_abandoned() -> None:
    pool = Workers()
    for number in range(300):
        job = pool.start(Job(lambda number=number: number))  # type: ignore[misc]
        if job.abandon():
            assert (job.result, job.done.is_set()) == (None, False)
        else:
            assert job.answer() == number


def test_threads_without_work_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "IDLE", 0.01)
    pool, gate = Workers(), threading.Event()
    jobs = [pool.start(Job(lambda: (gate.wait(), threading.current_thread())[1])) for _ in range(8)]
    gate.set()
    assert all(job.done.wait(10) for job in jobs)
    threads: set[threading.Thread] = {job.answer() for job in jobs}
    assert len(threads) == 8
    wait_until(lambda: not any(thread.is_alive() for thread in threads))
    assert pool._idle == []


def test_many_threads_get_each_their_own_answer() -> None:
    double = with_policies(lambda n: 2 * n, timeout=30)
    wrong: list[int] = []

    def ask(start: int) -> None:
        wrong.extend(n for n in range(start, start + 50) if double(n) != 2 * n)

    threads = [threading.Thread(target=ask, args=(n * 100,)) for n in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_an_error_of_the_call_is_not_kept_by_its_thread() -> None:
    class Held(Exception):
        pass

    def fail() -> None:
        raise Held

    kept: list[weakref.ref[Held]] = []
    try:
        with_policies(fail, timeout=30)()
    except Held as error:
        kept.append(weakref.ref(error))
    wait_until(lambda: kept[0]() is None)


def test_ctrl_c_in_a_call_gives_it_up() -> None:
    entered, release = threading.Event(), threading.Event()
    clock = ManualClock()

    def slow() -> None:
        entered.set()
        os.kill(os.getpid(), signal.SIGINT)
        release.wait()

    try:
        with pytest.raises(KeyboardInterrupt):
            with_policies(slow, timeout=Timeout(attempt=5, clock=clock))()
    finally:
        release.set()
    assert entered.is_set()


HANGS = """
import threading
from dalsegno.errors import NodeTimeout
from dalsegno.nodes.policies import with_policies
try:
    with_policies(threading.Event().wait, timeout=0.01)()
except NodeTimeout:
    print("given up", flush=True)
"""

WAITS = """
import threading
from dalsegno.nodes.policies import with_policies
def hang():
    print("in it", flush=True)
    threading.Event().wait()
with_policies(hang, timeout=600)()
"""


def test_a_call_that_never_returns_does_not_keep_the_process() -> None:
    done = subprocess.run([sys.executable, "-c", HANGS], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "given up\n"), done.stderr


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_process_that_waits_for_such_a_call(signum: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WAITS], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "in it\n"
        process.send_signal(signum)
        try:
            _, said = process.communicate(timeout=120)
        finally:
            process.kill()
    assert process.returncode == -signum
    assert ("KeyboardInterrupt" in said) == (signum == signal.SIGINT)


FORKS = """
import os, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 on a fork beside threads: what is meant here
from dalsegno.nodes.policies import with_policies
call = with_policies(lambda: 7, timeout=30)
assert call() == 7
child = os.fork()
if child == 0:
    os._exit(call())
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_child_makes_threads_of_its_own() -> None:
    done = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "7\n"), done.stderr
