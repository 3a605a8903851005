"""A list of large elements grows in place, in room that its row has; whoever else goes on from it is not disturbed."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.base.id import uuid6

from dalsegno.checkpoints import SqliteCheckpointer, maintenance


def text(number: int) -> str:
    return f"{number:06}" + "x" * 1994


def put(saver: SqliteCheckpointer, log: list[str], config: Any = None) -> Any:
    checkpoint: Any = {
        "v": 4,
        "id": str(uuid6()),
        "ts": "2026-01-01T00:00:00+00:00",
        "channel_values": {"log": log},
        "channel_versions": {"log": len(log)},
        "versions_seen": {},
        "updated_channels": None,
    }
    place: Any = config or {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    return saver.put(place, checkpoint, {}, {"log": len(log)})


def grow(saver: SqliteCheckpointer, log: list[str], steps: int, config: Any = None) -> Any:
    """Append an element a checkpoint."""
    for _ in range(steps):
        log.append(text(len(log)))
        config = put(saver, log, config)
    return config


def log_at(saver: SqliteCheckpointer, config: Any) -> list[str]:
    found = saver.get_tuple(config)
    assert found is not None
    log: list[str] = found.checkpoint["channel_values"]["log"]
    return log


def lengths(saver: SqliteCheckpointer) -> list[tuple[int, int | None]]:
    with saver.database.read() as connection:
        return connection.execute("SELECT length(data), used FROM segments ORDER BY id").fetchall()


def test_a_row_is_written_over_in_place(saver: SqliteCheckpointer) -> None:
    log: list[str] = []
    config = grow(saver, log, 100)
    rows = lengths(saver)
    assert len(rows) < 100 / 10
    assert len({length for length, _ in rows[1:]}) == 1, "later rows have all their room from the beginning"
    length, used = rows[-1]
    assert used is not None
    assert used < length
    config = grow(saver, log, 1, config)
    assert lengths(saver)[-1] in ((length, used + 2003), (2003, None))
    assert log_at(saver, config) == log
    assert maintenance.check(saver.database) == []


def test_the_room_of_a_long_list_is_small_beside_it(path: Path) -> None:
    for steps in (3, 10, 30, 200):
        with SqliteCheckpointer(path.with_name(f"{steps}.db")) as saver:
            grow(saver, [], steps)
            room = sum(length for length, _ in lengths(saver))
            assert room <= 2003 * steps * (2.4 if steps < 10 else 1.4)


def test_two_branches_of_a_list_do_not_share_its_room(saver: SqliteCheckpointer) -> None:
    log: list[str] = []
    fork = grow(saver, log, 20)
    one, other = [*log], [*log]
    end = grow(saver, one, 5, fork)
    other_end = put(saver, [*other, "short"], fork)
    assert log_at(saver, end) == one
    assert log_at(saver, fork) == log
    assert log_at(saver, other_end) == [*other, "short"]
    assert maintenance.check(saver.database) == []


def test_who_reads_while_another_writes_sees_whole_checkpoints(saver: SqliteCheckpointer) -> None:
    log: list[str] = [text(number) for number in range(20)]
    config = put(saver, log)
    over = threading.Event()
    wrong: list[list[str]] = []

    def read() -> None:
        while not over.is_set():
            found = log_at(saver, {"configurable": {"thread_id": "t", "checkpoint_ns": ""}})
            if found[0] not in (text(0), "first") or found[1:] != [text(n) for n in range(1, len(found))]:
                wrong.append(found)

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(20, 120):
        log = ["first" if number % 2 else text(0), *log[1:], text(number)]  # grows, and changes in the middle
        config = put(saver, log, config)
    over.set()
    reader.join()
    assert wrong == []
    assert log_at(saver, config) == log


@pytest.mark.parametrize("kept", [1, 3])
def test_what_is_pruned_copied_and_read_elsewhere_is_whole(path: Path, kept: int) -> None:
    log: list[str] = []
    with SqliteCheckpointer(path) as saver:
        config = grow(saver, log, 40)
        maintenance.prune(saver.database, keep=kept)
        saver.copy_thread("t", "copy")
    with SqliteCheckpointer(path) as saver:
        assert log_at(saver, config) == log
        copy: Any = {"configurable": {"thread_id": "copy", "checkpoint_ns": ""}}
        assert log_at(saver, copy) == log
        config = grow(saver, log, 10, config)
        assert log_at(saver, config) == log
        assert log_at(saver, copy) == log[:40]
        assert maintenance.check(saver.database) == []
