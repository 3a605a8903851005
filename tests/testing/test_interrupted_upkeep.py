"""Pruning, deleting, emptying and migrating are all or nothing, wherever they are interrupted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dalsegno import Runner, SqliteCheckpointer, Workflow
from dalsegno.checkpoints import Database, maintenance
from dalsegno.checkpoints.file import migrations
from dalsegno.checkpoints.file.driver import sqlite3
from dalsegno.errors import CrashTestFailed
from dalsegno.testing.crash_kit.kills import Mode
from dalsegno.testing.crash_kit.tracing import why_not
from dalsegno.testing.crash_kit.upkeep import interrupted

NO_TRACING = why_not()

pytestmark = pytest.mark.skipif(NO_TRACING is not None, reason=f"no process can be traced: {NO_TRACING}")

LAYOUTS = sorted((Path(__file__).parents[1] / "checkpoints").glob("layout_*.sql"))


def content(path: Path) -> list[Any]:
    """Every checkpoint of every thread; raises where the database is damaged."""
    with SqliteCheckpointer(path) as saver:
        problems = maintenance.check(saver.database)
        assert not problems, problems
        return sorted(
            (
                one.config["configurable"]["thread_id"],
                one.checkpoint["id"],
                repr(one.checkpoint["channel_values"]),
            )
            for one in saver.list(None)
        )


def changed(operation: Callable[[Database], Any]) -> Callable[[Path], None]:
    def run(path: Path) -> None:
        with SqliteCheckpointer(path) as saver:
            operation(saver.database)

    return run


@pytest.fixture
def database(tmp_path: Path, linear_workflow: Workflow) -> Path:
    path = tmp_path / "runs.db"
    with Runner(linear_workflow, db=path) as runner:
        for thread in ("t1", "t2"):
            runner.run({"topic": "rain" * 2000, "notes": []}, thread=thread)
    return path


@pytest.mark.parametrize("at", ["every write", "power cuts", "disk full", "io errors"])
def test_pruning_leaves_all_or_what_was_to_be_kept(at: Mode, database: Path) -> None:
    done = interrupted(changed(maintenance.prune), database, content, at=at, kills=8)
    assert done.wrong == ()
    assert done.kills == done.undone + done.done == 8
    assert len(content(database)) > 4


def test_a_thread_is_deleted_or_there(database: Path) -> None:
    done = interrupted(changed(lambda one: maintenance.delete_thread(one, "t1")), database, content, kills=8)
    assert done.wrong == ()


def test_emptying_changes_no_checkpoint(database: Path) -> None:
    with SqliteCheckpointer(database) as saver:
        maintenance.delete_thread(saver.database, "t1")
    assert interrupted(changed(maintenance.vacuum), database, content, kills=8, at="power cuts").wrong == ()


@pytest.mark.parametrize("at", ["every write", "power cuts", "disk full"])
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda path: path.stem)
def test_a_migration_that_is_interrupted_is_done_by_the_next_process(
    layout: Path, at: Mode, tmp_path: Path
) -> None:
    old = tmp_path / "old.db"
    connection = sqlite3.connect(old)
    connection.executescript(layout.read_text())
    connection.execute(f"PRAGMA application_id = {migrations.APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {layout.stem.removeprefix('layout_')}")
    connection.close()

    def migrate(database: Database) -> None:
        with database.read():
            pass

    done = interrupted(changed(migrate), old, content, at=at, kills=8)
    assert done.wrong == ()
    assert done.writes > 20


def test_an_operation_that_fails_undisturbed_is_told(database: Path) -> None:
    with pytest.raises(CrashTestFailed, match=r"ZeroDivisionError"):
        interrupted(lambda path: 1 / 0, database, content)


def test_an_operation_that_is_not_all_or_nothing_is_found(database: Path) -> None:
    def in_two_steps(one: Database) -> None:
        maintenance.delete_thread(one, "t1")
        maintenance.delete_thread(one, "t2")

    done = interrupted(changed(in_two_steps), database, content, kills=12)
    assert any("neither as it was nor as it is to be" in sentence for sentence in done.wrong)


@pytest.mark.torture
@pytest.mark.parametrize("at", ["every write", "power cuts", "disk full", "io errors"])
@pytest.mark.parametrize("operation", [maintenance.prune, maintenance.vacuum], ids=lambda one: one.__name__)
def test_upkeep_is_interrupted_at_every_write(
    operation: Callable[[Database], Any],
    at: Mode,
    database: Path,
    amount: Callable[[int], int],
    points: int | None,
) -> None:
    kills = amount(500) if at == "power cuts" else points
    done = interrupted(changed(operation), database, content, at=at, kills=kills)
    assert done.wrong == ()
