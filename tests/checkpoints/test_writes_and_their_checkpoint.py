"""On PostgreSQL writes go by several connections at once: those of a task, and the checkpoint behind it, in turn."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from langgraph.checkpoint.base import empty_checkpoint

from dalsegno.checkpoints import open_checkpointer
from dalsegno.checkpoints.strict import StrictSerializer

PLACE: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}


class Slow(StrictSerializer):
    """Turns the text "slow" into bytes when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.may = threading.Event(), threading.Event()

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        if obj == "slow":
            self.begun.set()
            assert self.may.wait(30)
        return super().dumps_typed(obj)


@pytest.fixture
def serde() -> Slow:
    return Slow()


@pytest.fixture
def saver(postgres_url: str, serde: Slow) -> Iterator[Any]:
    with open_checkpointer(postgres_url, serde=serde) as saver:
        yield saver


@pytest.fixture
def commits(saver: Any) -> list[str]:
    """Who committed, in their order."""
    found: list[str] = []
    saver.database.on_commit.append(lambda _: found.append(threading.current_thread().name))
    return found


@pytest.fixture
def pool() -> Iterator[Callable[..., Any]]:
    with ThreadPoolExecutor(2) as pool:

        def named(name: str, function: Callable[..., Any], *arguments: Any) -> Any:
            def run() -> Any:
                threading.current_thread().name = name
                return function(*arguments)

            return pool.submit(run)

        yield named


def put(saver: Any, config: Any = PLACE) -> Any:
    version = saver.get_next_version(None, None)
    checkpoint = {**empty_checkpoint(), "channel_values": {"k": 1}, "channel_versions": {"k": version}}
    return saver.put(config, checkpoint, {}, {"k": version})


def test_a_checkpoint_waits_for_what_its_tasks_are_still_turning_into_bytes(
    saver: Any, serde: Slow, commits: list[str], pool: Callable[..., Any]
) -> None:
    config = put(saver)
    commits.clear()
    written = pool("task", saver.put_writes, config, [("k", "slow")], "task-1")
    assert serde.begun.wait(30)
    followed = pool("checkpoint", put, saver, config)
    with pytest.raises(TimeoutError):
        followed.result(timeout=0.2)
    serde.may.set()
    written.result(30)
    followed.result(30)
    assert commits == ["task", "checkpoint"]


def test_a_task_that_writes_when_the_next_checkpoint_is_under_way_waits_for_it(
    saver: Any, postgres_url: str, commits: list[str], pool: Callable[..., Any]
) -> None:
    config = put(saver)
    commits.clear()
    with psycopg.connect(postgres_url) as other:
        other.execute("LOCK TABLE dalsegno.checkpoints IN EXCLUSIVE MODE")
        followed = pool("checkpoint", put, saver, config)
        limit = time.monotonic() + 30
        while not other.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone():
            assert time.monotonic() < limit
        written = pool("task", saver.put_writes, config, [("k", 2)], "task-1")
        with pytest.raises(TimeoutError):
            written.result(timeout=0.2)
    followed.result(30)
    written.result(30)
    assert commits == ["checkpoint", "task"]
