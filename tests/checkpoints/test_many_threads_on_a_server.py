"""Thousands of threads on PostgreSQL: a lock for each at once would be more than a server has room for, and who writes
to one of them would wait for all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dalsegno.checkpoints import maintenance, open_checkpointer
from dalsegno.checkpoints.postgres.upkeep import PostgresUpkeep
from dalsegno.errors import CheckpointError, ThreadBusy

THREADS = [f"t{number:03}" for number in range(450)]


@pytest.fixture
def saver(postgres_url: str) -> Iterator[Any]:
    """Two checkpoints of each of many threads, and three of one that is not to be looked at."""
    with open_checkpointer(postgres_url) as saver:
        with saver.database.transaction() as session:
            for thread, most in (("'t' || to_char(n, 'FM000')", 2), ("'other'", 3)):
                session.execute(
                    "INSERT INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, checkpoint, metadata) "
                    f"SELECT DISTINCT {thread}, '', '1f1e69eb-63e3-600' || step || '-b759-f7a0468f1c39', "
                    """'{"v": 4, "id": "", "ts": "", "channel_values": {}, "channel_versions": {}, """
                    """"versions_seen": {}}'::jsonb, jsonb_build_object('run_id', 'run', 'step', step) """
                    f"FROM generate_series(0, {len(THREADS) - 1}) n, generate_series(1, {most}) step"
                )
        yield saver


@pytest.fixture
def commits(saver: Any) -> list[int]:
    found: list[int] = []
    saver.database.on_commit.append(found.append)
    return found


def left(saver: Any) -> int:
    return int(maintenance.statistics(saver.database).checkpoints)


def test_all_threads_are_pruned_some_in_each_transaction(saver: Any, commits: list[int]) -> None:
    assert maintenance.prune(saver.database) == len(THREADS) + 2
    assert len(commits) == -(-451 // PostgresUpkeep.together) == 3
    assert left(saver) == 451


def test_threads_that_have_no_more_than_is_kept_are_not_locked(saver: Any, commits: list[int]) -> None:
    assert maintenance.prune(saver.database, keep=2) == 1  # of the one that has three
    assert maintenance.prune(saver.database, keep=3) == 0
    assert len(commits) == 1


def test_many_threads_are_deleted_some_in_each_transaction(saver: Any, commits: list[int]) -> None:
    saver.prune(THREADS, strategy="delete")
    assert len(commits) == 3
    assert left(saver) == 3


def test_what_runs_of_many_threads_wrote_is_deleted_some_in_each_transaction(
    saver: Any, commits: list[int]
) -> None:
    saver.delete_for_runs(["run"])
    assert len(commits) == 3
    assert left(saver) == 0


@pytest.mark.parametrize(
    "delete",
    [lambda saver: saver.prune(THREADS, strategy="delete"), lambda saver: saver.delete_for_runs(["run"])],
    ids=["threads", "runs"],
)
def test_nothing_is_deleted_where_a_run_has_one_of_them(
    saver: Any, delete: Callable[[Any], None], ledger_on: Any
) -> None:
    before, ledger = left(saver), ledger_on(saver.database)
    lease = ledger.begin(run_id="r", thread=THREADS[-1], workflow="w")
    with pytest.raises(ThreadBusy, match=THREADS[-1]):
        delete(saver)
    assert left(saver) == before
    ledger.finish(lease, "completed")


def test_nothing_is_pruned_where_one_of_them_has_a_delta_channel(saver: Any) -> None:
    with saver.database.transaction() as session:
        session.execute(
            "UPDATE checkpoints SET metadata = metadata || ? WHERE thread_id = ?",
            ('{"counters_since_delta_snapshot": {"k": 1}}', THREADS[-1]),
        )
    before = left(saver)
    with pytest.raises(CheckpointError, match=f"{THREADS[-1]}.*DeltaChannel"):
        maintenance.prune(saver.database)
    assert left(saver) == before


def test_each_of_many_threads_is_counted(saver: Any) -> None:
    found = maintenance.thread_statistics(saver.database)
    assert {(one.thread, one.checkpoints) for one in found} == {(t, 2) for t in THREADS} | {("other", 3)}
    assert found[0].thread == "other"
    assert sum(one.stored for one in found) == maintenance.statistics(saver.database).stored
