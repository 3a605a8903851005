"""What tasks wrote waits for company, shortly, and never so that a finished sibling could be lost."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.base.id import uuid6
from langgraph.checkpoint.serde.types import RESUME

from dalsegno.checkpoints import Ledger, SqliteCheckpointer
from dalsegno.checkpoints.file.database import Database
from dalsegno.checkpoints.file.driver import sqlite3
from dalsegno.checkpoints.file.fair_lock import FairLock
from dalsegno.checkpoints.file.group_commit import GroupCommit, Job
from dalsegno.checkpoints.records import ExecutionRecord
from dalsegno.errors import DatabaseUnavailable

LONG = 60.0


def put(saver: SqliteCheckpointer, thread: str = "t", config: Any = None, value: Any = 0) -> Any:
    checkpoint = {
        **empty_checkpoint(),
        "id": str(uuid6()),
        "channel_values": {"k": value},
        "channel_versions": {"k": 1},
    }
    place: Any = config or {"configurable": {"thread_id": thread, "checkpoint_ns": ""}}
    return saver.put(place, checkpoint, {}, {"k": 1})  # type: ignore[arg-type]


def journal(saver: SqliteCheckpointer, task: str | None) -> None:
    record = ExecutionRecord(run_id="r", superstep=1, node=str(task))
    Ledger(saver.database).journal(record, tasks=[task])


def test_a_superstep_of_several_tasks_is_one_commit(path: Path) -> None:
    with SqliteCheckpointer(path, linger=LONG) as saver:
        config = put(saver)
        for task in "abc":
            journal(saver, task)
            saver.put_writes(config, [("k", task)], task)
        journal(saver, "still running")
        assert saver.database.commits == 1
        put(saver, config=config)
        assert saver.database.commits == 2
        found = saver.get_tuple(config)
        assert found is not None
        assert [task for task, *_ in found.pending_writes or ()] == ["a", "b", "c"]
        assert [one.node for one in Ledger(saver.database).executions("r")] == ["a", "b", "c"]


def test_who_reads_another_thread_leaves_what_waits_to_those_who_write(path: Path) -> None:
    with SqliteCheckpointer(path, linger=LONG) as saver:
        mine, other = put(saver, "mine"), put(saver, "other")
        saver.put_writes(mine, [("k", 1)], "task")
        assert saver.get_tuple(other) is not None
        assert [*saver.list(other)]
        saver.get_delta_channel_history(config=other, channels=["k"])
        assert saver.database.commits == 2
        found = saver.get_tuple(mine)
        assert found is not None
        assert found.pending_writes == [("task", "k", 1)]
        assert saver.database.commits == 3
        saver.put_writes(other, [("k", 2)], "task")
        assert [one.pending_writes for one in saver.list(None)] == [[("task", "k", 2)], [("task", "k", 1)]]


def test_nothing_waits_longer_than_its_linger(path: Path) -> None:
    committed = threading.Event()
    with SqliteCheckpointer(path, linger=0.002) as saver:
        config = put(saver)
        saver.database.on_commit.append(lambda _: committed.set())
        saver.put_writes(config, [("k", 1)], "task")
        assert committed.wait(10)


def test_where_there_are_no_more_threads_a_write_does_not_wait(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with SqliteCheckpointer(path) as saver:
        config = put(saver)
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", refuse)
            for task in "ab":
                saver.put_writes(config, [("k", 1)], task)
        assert saver.database.commits == 3
        committed = threading.Event()
        saver.database.on_commit.append(lambda _: committed.set())
        saver.put_writes(config, [("k", 1)], "c")
        assert committed.wait(10)


@pytest.mark.parametrize("channel", ["__error__", "__interrupt__", "__resume__"])
def test_errors_interrupts_and_answers_are_committed_at_once(path: Path, channel: str) -> None:
    with SqliteCheckpointer(path, linger=LONG) as saver:
        config = put(saver)
        saver.put_writes(config, [("k", 1)], "sibling")
        assert saver.database.commits == 1
        saver.put_writes(config, [(channel, "x")], "task")
        assert saver.database.commits == 2
        other = SqliteCheckpointer(path)
        found = other.get_tuple(config)
        assert found is not None
        assert {task for task, *_ in found.pending_writes or ()} == {"sibling", "task"}


def test_without_linger_a_write_is_on_disk_when_it_returns(path: Path, child: Any) -> None:
    def body(tell: Callable[[str], None]) -> None:
        saver = SqliteCheckpointer(path, linger=0)
        saver.put_writes(put(saver), [("k", 1)], "task")
        os.kill(os.getpid(), signal.SIGKILL)

    assert child(body).wait() == -signal.SIGKILL
    with SqliteCheckpointer(path) as saver:
        (found,) = saver.list(None)
        assert found.pending_writes == [("task", "k", 1)]


def test_who_reads_sees_what_waits(path: Path) -> None:
    with SqliteCheckpointer(path, linger=LONG) as saver:
        config = put(saver)
        saver.put_writes(config, [("k", 1)], "task")
        (found,) = saver.list(None)
        assert found.pending_writes == [("task", "k", 1)]


def test_what_waits_is_what_was_written_whatever_becomes_of_it(path: Path) -> None:
    with SqliteCheckpointer(path, linger=LONG) as saver:
        config = put(saver)
        given = bytearray(b"as it was")
        saver.put_writes(config, [("k", given)], "task")
        given += b", and more"
        (found,) = saver.list(None)
        assert found.pending_writes == [("task", "k", bytearray(b"as it was"))]


def test_closing_commits_what_waits(path: Path) -> None:
    with SqliteCheckpointer(path, linger=LONG) as saver:
        saver.put_writes(put(saver), [("k", 1)], "task")
    with SqliteCheckpointer(path) as saver:
        (found,) = saver.list(None)
        assert found.pending_writes == [("task", "k", 1)]


def test_the_end_of_the_process_commits_what_waits(path: Path, tmp_path: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys; sys.path[:0] = sys.argv[2:]\n"
        "from tests_linger import put, SqliteCheckpointer\n"
        "saver = SqliteCheckpointer(sys.argv[1], linger=60)\n"
        "saver.put_writes(put(saver), [('k', 1)], 'task')\n"
    )
    (tmp_path / "tests_linger.py").write_text(Path(__file__).read_text())
    subprocess.run([sys.executable, "-c", code, str(path), str(tmp_path), *sys.path], check=True)
    with SqliteCheckpointer(path) as saver:
        (found,) = saver.list(None)
        assert found.pending_writes == [("task", "k", 1)]


def test_a_write_that_was_lost_is_raised_by_the_next_put_of_its_thread(path: Path, child: Any) -> None:
    saver = SqliteCheckpointer(path, linger=0.002)
    config, other = put(saver), put(saver, "other")
    saver.database.timeout = 0.01
    saver.database.close()

    def body(tell: Callable[[str], None]) -> None:
        with SqliteCheckpointer(path).database.transaction():
            tell("locked")
            signal.pause()

    holder = child(body)
    assert holder.line() == "locked"
    saver.put_writes(config, [("k", 1)], "task")
    group = saver.database._group
    while not group._parked:
        os.sched_yield()
    holder.kill()
    holder.wait()
    put(saver, config=other)
    with pytest.raises(DatabaseUnavailable, match="locked"):
        put(saver, config=config)
    put(saver, config=config)
    saver.close()


@pytest.mark.parametrize("told", [True, False])
def test_closing_raises_what_was_lost_unless_the_put_beside_it_has(path: Path, told: bool) -> None:
    saver = SqliteCheckpointer(path, linger=LONG)
    config = put(saver)
    for part in path.parent.glob(f"{path.name}*"):
        part.unlink()
    if told:
        with pytest.raises(DatabaseUnavailable):
            put(saver, config=config)
    saver.put_writes(
        config, [("k", 1)], "task"
    )  # LangGraph hands it over from another thread, and so maybe later
    with contextlib.nullcontext() if told else pytest.raises(DatabaseUnavailable):
        saver.close()


def test_what_is_wrong_with_one_thread_is_not_the_others_fault(path: Path) -> None:
    with SqliteCheckpointer(path, linger=LONG) as saver:
        config, bad = put(saver), put(saver, "bad")
        saver.put_writes(bad, [("k", 1)], "\ud800")  # a task that has no bytes
        saver.put_writes(config, [("k", 1)], "task")
        put(saver, config=config)
        found = saver.get_tuple(config)
        assert found is not None
        assert [task for task, *_ in found.pending_writes or ()] == ["task"]
        with pytest.raises(Exception, match="surrogate"):
            put(saver, config=bad)


def test_threads_that_write_at_once_share_commits(path: Path) -> None:
    with SqliteCheckpointer(path) as saver:
        config = put(saver)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda n: saver.put_writes(config, [("k", n)], f"task{n:03}"), range(400)))
        put(saver, config=config)
        assert saver.database.commits < 100
        found = saver.get_tuple(config)
        assert found is not None
        assert [value for _, _, value in found.pending_writes or ()] == list(range(400))


def test_who_comes_while_another_process_writes_goes_with_the_same_commit(path: Path) -> None:
    with SqliteCheckpointer(path) as saver, contextlib.ExitStack() as opened:
        put(saver)
        other = opened.enter_context(contextlib.closing(sqlite3.connect(path, isolation_level=None)))
        before = saver.database.commits
        other.execute("BEGIN IMMEDIATE")
        with ThreadPoolExecutor(4) as pool:
            puts = [pool.submit(put, saver, f"thread {n}") for n in range(4)]
            limit = time.monotonic() + 60
            while len(saver.database._group) < 4:  # the first of them has asked for the file already
                assert time.monotonic() < limit
                time.sleep(0.001)
            other.execute("ROLLBACK")
            for each in puts:
                each.result()
        assert saver.database.commits == before + 1
        assert len(list(saver.list(None))) == 5


def test_a_put_that_another_thread_has_committed_returns_whoever_writes_next(path: Path) -> None:
    gate = threading.Event()

    def write_next(saver: SqliteCheckpointer) -> None:
        with saver.database.transaction():
            gate.wait(60)

    def come(function: Callable[..., Any], *given: Any) -> Any:
        waiting, coming = len(line), pool.submit(function, *given)
        limit = time.monotonic() + 60
        while len(line) == waiting:
            assert time.monotonic() < limit
            time.sleep(0.001)
        return coming

    with SqliteCheckpointer(path) as saver, ThreadPoolExecutor(3) as pool:
        put(saver)
        line = saver.database._lock._line
        with saver.database._lock.turn():
            first = come(put, saver, "first")
            second = come(write_next, saver)
            third = come(put, saver, "third")
        try:
            first.result(60)
            third.result(60)
            assert not second.done()
        finally:
            gate.set()
        second.result(60)


def test_what_others_wait_for_is_no_part_of_a_transaction_that_is_rolled_back(path: Path) -> None:
    with SqliteCheckpointer(path) as saver, ThreadPoolExecutor(1) as pool:
        put(saver)
        with contextlib.suppress(ZeroDivisionError), saver.database.transaction():
            other = pool.submit(put, saver, "another thread's")
            limit = time.monotonic() + 60
            while not saver.database._group:
                assert time.monotonic() < limit
                time.sleep(0.001)
            put(saver, "its own")
            assert not other.done()
            raise ZeroDivisionError
        other.result(60)
    with SqliteCheckpointer(path) as saver:
        found = {one.config["configurable"]["thread_id"] for one in saver.list(None)}
    assert found == {"t", "another thread's"}


def test_a_file_that_stays_locked_fails_everybody_who_waited_for_it(path: Path) -> None:
    database = Database(path, timeout=0.05, linger=0.002)
    with SqliteCheckpointer(database) as saver, contextlib.ExitStack() as opened:
        put(saver)
        other = opened.enter_context(contextlib.closing(sqlite3.connect(path, isolation_level=None)))
        other.execute("BEGIN IMMEDIATE")
        with ThreadPoolExecutor(4) as pool:
            puts = [pool.submit(put, saver, f"thread {n}") for n in range(4)]
            assert all(isinstance(each.exception(), DatabaseUnavailable) for each in puts)
        other.execute("ROLLBACK")
        put(saver)
        assert len(list(saver.list(None))) == 2


def test_a_fork_leaves_what_waits_to_the_parent(path: Path, child: Any) -> None:
    with SqliteCheckpointer(path, linger=LONG) as saver:
        saver.put_writes(put(saver), [("k", 1)], "task")
        assert child(lambda tell: saver.close()).wait() == 0
        (found,) = saver.list(None)
        assert found.pending_writes == [("task", "k", 1)]


@pytest.mark.parametrize("tasks", [1, 31, 32, 33, 100])
def test_writes_that_go_into_one_transaction_are_each_those_of_their_task(path: Path, tasks: int) -> None:
    """Many rows are one statement; a task that wrote before, or twice in the same transaction, has all of it."""
    with SqliteCheckpointer(path, linger=LONG) as saver:
        config = put(saver)
        ids = [str(uuid.uuid4()) for _ in range(tasks)]
        saver.put_writes(config, [("early", 0)], ids[0])
        saver.database.flush()
        for number, task in enumerate(ids):
            saver.put_writes(config, [("a", number), ("b", "x" * 300)], task)
        commits = saver.database.commits
        for task in ids[::7]:
            saver.put_writes(config, [(RESUME, task)], task)  # at once, and all that waits with the first one
        assert saver.database.commits == commits + len(ids[::7])
        found = saver.get_tuple(config)
        assert found is not None
        kept = {(task, channel): value for task, channel, value in found.pending_writes or ()}
    expected = {(task, "a"): number for number, task in enumerate(ids)} | {
        (task, "b"): "x" * 300 for task in ids
    }
    del expected[ids[0], "a"]  # the first write of a task at a place stands
    expected |= {(ids[0], "early"): 0} | {(task, RESUME): task for task in ids[::7]}
    assert kept == expected


class CtrlC:
    """Comes once, in the next transaction of this thread."""

    def __init__(self, database: Database, when: str) -> None:
        self.came = False
        if when == "before":
            database.before_commit.append(self._come)
        elif when == "behind":
            database.on_commit.append(self._come)
        else:
            # A signal during a call of C's, and the commit waits for the disk there, is heard as that returns.
            sys.setprofile(self._profile)

    def _come(self, *_: object) -> None:
        if not self.came:
            self.came = True
            raise KeyboardInterrupt

    def _profile(self, frame: FrameType, event: str, function: Any) -> None:
        of = getattr(function, "__self__", None)
        is_sql = event == "c_return" and function.__name__ == "execute" and isinstance(of, sqlite3.Connection)
        if is_sql and frame.f_code.co_name == "_entered" and not of.in_transaction:
            sys.setprofile(None)
            self._come()


@pytest.mark.parametrize("when", ["before", "during", "behind"])
@pytest.mark.parametrize("whose", ["a put's", "a read's", "a transaction's", "closing's"])
def test_ctrl_c_while_what_waits_is_committed_is_heard_once_and_loses_none_of_it(
    path: Path, when: str, whose: str
) -> None:
    with SqliteCheckpointer(path, linger=LONG) as saver:
        config = put(saver)
        journal(saver, "task")
        saver.put_writes(config, [("k", 1)], "task")
        ctrl_c = CtrlC(saver.database, when)
        commit: dict[str, Callable[[], object]] = {
            "a put's": lambda: put(saver, config=config, value=2),
            "a read's": lambda: saver.get_tuple(config),
            "a transaction's": lambda: saver.database.transaction().__enter__(),
            "closing's": saver.close,
        }
        with pytest.raises(KeyboardInterrupt):
            commit[whose]()
        assert ctrl_c.came
        put(saver)
        found = saver.get_tuple(config)
        assert found is not None
        assert found.pending_writes == [("task", "k", 1)]
        assert [one.node for one in Ledger(saver.database).executions("r")] == ["task"]


def test_ctrl_c_of_one_thread_is_not_heard_by_another_whose_put_it_commits(path: Path) -> None:
    with SqliteCheckpointer(path, linger=LONG) as saver, ThreadPoolExecutor(1) as pool:
        put(saver)
        with saver.database._lock.turn():
            other = pool.submit(put, saver, "another thread's")
            limit = time.monotonic() + 60
            while not saver.database._group:
                assert time.monotonic() < limit
                time.sleep(0.001)
            CtrlC(saver.database, "before")
            with pytest.raises(KeyboardInterrupt):
                put(saver, "its own")
        other.result(60)
        found = {one.config["configurable"]["thread_id"] for one in saver.list(None)}
        assert found == {"t", "another thread's"}


def test_what_waits_is_written_soon_also_where_ctrl_c_came_meanwhile(path: Path) -> None:
    committed = threading.Event()
    with SqliteCheckpointer(path, linger=0.01) as saver:
        config = put(saver)
        with (
            saver.database._lock.turn()
        ):  # so that it is this thread that writes it, and not the one that lingers
            saver.put_writes(config, [("k", 1)], "task")
            CtrlC(saver.database, "before")
            with pytest.raises(KeyboardInterrupt):
                saver.get_tuple(config)
            saver.database.on_commit.append(lambda _: committed.set())
        assert committed.wait(10)


class Nothing(Job):
    """A job that writes nothing."""

    def write(self, connection: object, company: object) -> None:
        return


def test_ctrl_c_is_heard_also_where_other_threads_bring_more_meanwhile() -> None:
    class Asked(Nothing):
        """While somebody asks how long it may wait, another thread brings one more."""

        def __init__(self, place: str) -> None:
            self.was_asked = False
            super().__init__(place)

        @property
        def due(self) -> float:
            if not self.was_asked:
                self.was_asked = True
                with ThreadPoolExecutor(1) as threads:
                    threads.submit(commits.commit_soon, Nothing("another place")).result()
            return 0.0

        @due.setter
        def due(self, _: float) -> None:
            return

    class Interrupted:
        is_first = True

        def write(self, arrived: Callable[[], object]) -> None:
            arrived()
            if self.is_first:
                self.is_first = False
                raise KeyboardInterrupt

    owner, lock = Interrupted(), FairLock()
    commits = GroupCommit(lock, owner.write, linger=0.01)
    with lock.turn():
        with pytest.raises(KeyboardInterrupt):
            commits.commit(Asked("a place"))
        assert len(commits) == 1
