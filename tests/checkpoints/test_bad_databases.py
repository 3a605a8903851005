"""Files that are not a database of ours, or cannot be used: a clear error, and nothing lost."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sqlite3 as standard_sqlite3  # only to see that ours is the one library: see the last test
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.base import empty_checkpoint

from dalsegno.checkpoints import Database, Ledger, SqliteCheckpointer, maintenance
from dalsegno.checkpoints.file import migrations
from dalsegno.checkpoints.file.driver import sqlite3
from dalsegno.errors import CheckpointError, DatabaseInvalid, DatabaseUnavailable
from tests.nobody import become_nobody

THREAD: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}


def put(saver: SqliteCheckpointer, value: Any) -> None:
    checkpoint = {**empty_checkpoint(), "channel_values": {"k": value}, "channel_versions": {"k": 1}}
    saver.put(THREAD, checkpoint, {}, {"k": 1})  # type: ignore[arg-type]


def test_nothing_is_opened_before_the_first_use(path: Path) -> None:
    with SqliteCheckpointer(path):
        pass
    assert not path.parent.exists()


def test_a_text_file_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    path.write_text("these are my notes\n" * 100)
    with pytest.raises(DatabaseInvalid, match="not a SQLite database") as raised:
        put(SqliteCheckpointer(path), 1)
    assert raised.value.path == str(path)
    assert path.read_text() == "these are my notes\n" * 100


@pytest.mark.parametrize("application", [0, 12345])
def test_a_database_of_another_application_is_refused_and_left_as_it_is(
    tmp_path: Path, application: int
) -> None:
    path = tmp_path / "other.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE customers (name)")
    connection.execute(f"PRAGMA application_id = {application}")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    with pytest.raises(DatabaseInvalid, match="another application"):
        put(SqliteCheckpointer(path), 1)
    assert path.read_bytes() == before


def test_a_newer_database_is_refused_and_left_as_it_is(path: Path) -> None:
    with SqliteCheckpointer(path) as saver:
        put(saver, 1)
        with saver.database.transaction() as connection:
            connection.execute("PRAGMA user_version = 99")
    before = path.read_bytes()
    with pytest.raises(DatabaseInvalid, match=rf"version 99.* {migrations.VERSION}.*upgrade"):
        SqliteCheckpointer(path).get_tuple(THREAD)
    assert path.read_bytes() == before


def test_a_truncated_database_is_invalid(path: Path) -> None:
    with SqliteCheckpointer(path) as saver:
        for n in range(50):
            put(saver, [str(n)] * 1000)
    with open(path, "r+b") as file:
        file.truncate(path.stat().st_size // 2)
    with SqliteCheckpointer(path) as saver, pytest.raises(DatabaseInvalid, match="damaged"):
        list(saver.list(None))


@pytest.mark.parametrize(
    ("whole", "damaged"),
    [
        (b"CREATE TABLE ", b"CREATE TAB\xcc\xff "),  # what SQLite says of it is no text
        (b"parent_id", b"parent_\xcc\xff"),
        (b"base_length", b"base_laaaaa"),
        (b'{"step"', b'{"st\xcc\xff"'),
    ],
)
def test_a_few_bytes_that_changed_are_said_to_be_damage(path: Path, whole: bytes, damaged: bytes) -> None:
    with SqliteCheckpointer(path) as saver:
        put(saver, "x" * 1000)
        with saver.database.transaction() as connection:
            connection.execute("UPDATE checkpoints SET metadata = ?", ('{"step": 1}',))
    content = path.read_bytes()
    assert whole in content
    path.write_bytes(content.replace(whole, damaged))
    told = []
    with SqliteCheckpointer(path) as saver:
        for use in (
            lambda: saver.get_tuple(THREAD),
            lambda: put(saver, "y" * 1000),
            lambda: list(saver.list(None)),
        ):
            try:
                use()
            except DatabaseInvalid as error:
                told.append(str(error))
    assert told
    assert all("damaged" in each for each in told)


def test_a_value_that_is_missing_is_an_error_and_not_an_empty_channel(path: Path) -> None:
    with SqliteCheckpointer(path) as saver:
        put(saver, "x" * 1000)
        with saver.database.transaction() as connection:
            connection.execute("DELETE FROM segments")
        with pytest.raises(DatabaseInvalid, match="`k`"):
            list(saver.list(THREAD))
    with SqliteCheckpointer(path) as saver, pytest.raises(DatabaseInvalid, match="`k`"):
        saver.get_tuple(THREAD)  # by a process that does not remember it


def test_a_damaged_schema_is_invalid(saver: SqliteCheckpointer) -> None:
    put(saver, 1)
    with saver.database.transaction() as connection:
        connection.execute("DROP TABLE writes")
    with pytest.raises(DatabaseInvalid, match="no such table: writes"):
        saver.get_tuple(THREAD)


def test_a_locked_database_is_unavailable_and_what_was_enlisted_waits(path: Path, child: Any) -> None:
    def body(tell: Callable[[str], None]) -> None:
        with Database(path).transaction():
            tell("locked")
            signal.pause()

    Database(path).flush()
    holder = child(body)
    assert holder.line() == "locked"
    database = Database(path, timeout=0.05)
    ledger = Ledger(database)
    database.enlist("INSERT INTO effects VALUES ('k', 'n', 'r', 't', 'null', '', 0)")
    with pytest.raises(DatabaseUnavailable, match="locked by another process") as raised:
        ledger.begin(run_id="r", thread="t", workflow="w")
    assert raised.value.path == str(path)
    holder.kill()
    assert holder.wait() == -signal.SIGKILL
    database.flush()
    assert ledger.effect_get("k", "n") == (True, None)


def as_nobody(body: Callable[[], None]) -> Callable[[Callable[[str], None]], None]:
    def run(tell: Callable[[str], None]) -> None:
        become_nobody()
        try:
            body()
        except CheckpointError as error:
            tell(f"{type(error).__name__} {error}")

    return run


def test_a_read_only_database_is_unavailable(child: Any) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        with SqliteCheckpointer(folder / "runs.db") as saver:
            put(saver, 1)
        os.chmod(folder / "runs.db", 0o444)
        os.chmod(folder, 0o555)
        process = child(as_nobody(lambda: put(SqliteCheckpointer(folder / "runs.db"), 2)))
        told = process.line()
        process.wait()
        assert told.startswith("DatabaseUnavailable")
        assert "permission" in told or "may write" in told
        process = child(as_nobody(lambda: Ledger(Database(folder / "runs.db")).latest("t1")))
        told = process.line()
        process.wait()
        assert told.startswith("DatabaseUnavailable")
        assert "is in a folder without permission to write for this user" in told
        assert "copy the database" in told
        process = child(as_nobody(lambda: put(SqliteCheckpointer(folder / "new" / "runs.db"), 2)))
        told = process.line()
        process.wait()
        assert told.startswith("DatabaseUnavailable")
        assert "folder" in told
    finally:
        os.chmod(folder, 0o755)
        shutil.rmtree(folder)


@pytest.mark.parametrize("mode", [0o444, 0o400])
@pytest.mark.parametrize("withheld", [("",), ("-shm",), ("-wal", "-shm")], ids=str)
def test_the_files_that_may_not_be_written_are_named(
    child: Any, withheld: tuple[str, ...], mode: int
) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        os.chmod(folder, 0o777)
        for file in ("runs.db", "runs.db-wal", "runs.db-shm"):  # as somebody else's process leaves them
            (folder / file).touch()
            os.chmod(folder / file, 0o666)
        for end in withheld:
            os.chmod(folder / f"runs.db{end}", mode)
        process = child(as_nobody(lambda: put(SqliteCheckpointer(folder / "runs.db"), 2)))
        told = process.line()
        process.wait()
        assert told.startswith("DatabaseUnavailable")
        names = " and ".join(f"`{folder}/runs.db{end}`" for end in withheld)
        assert f"who has no permission to write {names}. Give it." in told
    finally:
        shutil.rmtree(folder)


def test_a_folder_in_the_place_of_the_file_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailable, match=r"could not be opened: it is a folder\. Name a file in it"):
        put(SqliteCheckpointer(tmp_path), 1)


def test_a_full_disk_loses_nothing_that_was_committed(saver: SqliteCheckpointer) -> None:
    put(saver, "first")
    with saver.database.read() as connection:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(DatabaseUnavailable, match=r"disk is full.*resume"):
        put(saver, "x" * 100_000)
    found = saver.get_tuple(THREAD)
    assert found is not None
    assert found.checkpoint["channel_values"] == {"k": "first"}
    with saver.database.read() as connection:
        connection.execute("PRAGMA max_page_count = 1000000")
    put(saver, "x" * 100_000)


def test_a_file_that_may_not_grow_loses_nothing_that_was_committed(path: Path, child: Any) -> None:
    def body(tell: Callable[[str], None]) -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))
        saver = SqliteCheckpointer(path)
        done = 0
        try:
            for done in range(10_000):
                put(saver, [done, "x" * 1000])
        except DatabaseUnavailable as error:
            tell(f"{done} {error}")
        os._exit(0)

    process = child(body)
    done, _, message = process.line().partition(" ")
    assert process.wait() == 0
    assert "what was committed is safe" in message
    assert int(done) > 10
    with SqliteCheckpointer(path) as saver:
        kept = {t.checkpoint["channel_values"]["k"][0] for t in saver.list(None)}
        assert kept == set(range(int(done)))
        with saver.database.read() as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        put(saver, "more")


def test_processes_that_create_a_database_at_once_all_work(tmp_path: Path, child: Any) -> None:
    for attempt in range(6):
        path = tmp_path / f"{attempt}.db"
        gate, opener = os.pipe()

        def body(
            tell: Callable[[str], None], path: Path = path, gate: int = gate, opener: int = opener
        ) -> None:
            import sqlite_utils  # noqa: F401  # so that all of them arrive together

            os.close(opener)
            tell("ready")
            os.read(gate, 1)
            ledger = Ledger(Database(path))
            ledger.begin(run_id=str(os.getpid()), thread=str(os.getpid()), workflow="w")

        processes = [child(body) for _ in range(4)]
        assert [process.line() for process in processes] == ["ready"] * 4
        os.close(opener)
        assert [process.wait() for process in processes] == [0] * 4
        os.close(gate)
        with Database(path).read() as connection:
            assert connection.execute("SELECT count(*) FROM runs").fetchone() == (4,)
            assert connection.execute("SELECT count(*) FROM _sqlite_migrations").fetchone() == (
                migrations.VERSION,
            )


def test_a_database_that_is_replaced_while_in_use_is_unavailable(path: Path) -> None:
    """SQLite alone would go on writing to a file that nobody can find any more."""
    saver = SqliteCheckpointer(path)
    put(saver, 1)
    path.unlink()
    path.touch()
    with pytest.raises(DatabaseUnavailable, match="moved, deleted or replaced"):
        put(saver, 2)
    put(saver, 3)
    assert [t.checkpoint["channel_values"]["k"] for t in saver.list(None)] == [3]


def test_a_database_that_is_moved_in_the_midst_of_a_transaction_is_unavailable(
    path: Path, tmp_path: Path
) -> None:
    away = tmp_path / "away.db"
    database = Database(path)

    def move_it() -> None:
        with database.transaction() as connection:
            connection.execute("INSERT INTO breakers VALUES ('b', 1, 1)")
            path.rename(away)
            with database.transaction():
                raise AssertionError("it is not there")

    with pytest.raises(DatabaseUnavailable, match="moved, deleted or replaced"):
        move_it()
    away.rename(path)
    with database.read() as connection:
        assert connection.execute("SELECT count(*) FROM breakers").fetchone() == (0,)


@pytest.mark.parametrize("by_way_of_a_link", [False, True])
def test_the_log_of_a_replaced_database_is_not_applied_to_the_new_one(
    path: Path, tmp_path: Path, by_way_of_a_link: bool
) -> None:
    with SqliteCheckpointer(tmp_path / "new.db") as other:
        put(other, 7)
    path.parent.mkdir(exist_ok=True)
    link = tmp_path / "link.db"
    link.symlink_to(path)
    saver = SqliteCheckpointer(link if by_way_of_a_link else path)
    put(saver, 1)
    os.replace(tmp_path / "new.db", path)
    for _ in range(2):  # whoever looked first may have told nobody
        with pytest.raises(
            DatabaseUnavailable, match=r"is still the log of the old file.* before you start anything again"
        ):
            put(saver, 2)
    Path(f"{path}-wal").unlink()
    Path(f"{path}-shm").unlink()
    assert [t.checkpoint["channel_values"]["k"] for t in saver.list(None)] == [7]


def test_a_database_by_way_of_a_link_has_the_log_of_its_file(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "elsewhere" / "link.db"
    link.parent.mkdir()
    path.parent.mkdir(exist_ok=True)
    link.symlink_to(path)
    for name in (link, path):
        with SqliteCheckpointer(name) as saver:
            for number in range(5):
                put(saver, number)
            log = Path(f"{path}-wal").stat().st_size
            assert log >= 200 * 4096, "there is room in it before it is needed"
            assert maintenance.statistics(saver.database).file == path.stat().st_size + log
    assert [file.name for file in link.parent.iterdir()] == ["link.db"]


def test_no_new_database_is_made_where_one_is_to_be_put_back(tmp_path: Path) -> None:
    here, away = tmp_path / "here", tmp_path / "away"
    saver = SqliteCheckpointer(here / "runs.db")
    put(saver, 1)
    here.rename(away)
    for _ in range(2):  # whoever looked first may have told nobody
        with pytest.raises(DatabaseUnavailable, match="moved, deleted or replaced"):
            put(saver, 2)
    assert not here.exists()
    away.rename(here)
    put(saver, 3)
    assert [t.checkpoint["channel_values"]["k"] for t in saver.list(None)] == [3, 1]


def test_a_name_that_is_no_text_is_refused(saver: SqliteCheckpointer) -> None:
    with pytest.raises(CheckpointError, match="surrogate"):
        saver.get_tuple({"configurable": {"thread_id": "\ud800"}})
    with pytest.raises(CheckpointError, match="surrogate"):
        saver.copy_thread("\ud800", "t")


@pytest.mark.parametrize(("profile", "synchronous"), [("durable", 2), ("fast", 1)])
def test_a_profile_says_how_a_commit_is_synchronised(path: Path, profile: Any, synchronous: int) -> None:
    with Database(path, profile=profile).read() as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (synchronous,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA foreign_keys").fetchone() == (0,)


def test_an_unknown_profile_is_refused(path: Path) -> None:
    with pytest.raises(CheckpointError, match="careless"):
        Database(path, profile="careless")  # type: ignore[arg-type]


def test_one_process_uses_one_sqlite_library(path: Path) -> None:
    with Database(path).read() as connection:
        assert isinstance(connection, sqlite3.Connection)
    import sqlite_utils.utils

    assert sqlite_utils.utils.sqlite3.Connection is sqlite3.Connection
    if "pysqlite3" in sys.modules:
        assert sqlite3.Connection is not standard_sqlite3.Connection


def test_what_is_larger_than_sqlite_takes_is_refused_with_a_sentence(saver: SqliteCheckpointer) -> None:
    with (
        pytest.raises(CheckpointError, match=r"larger than SQLite's limit .* The last checkpoint stands"),
        saver.database.transaction() as connection,
    ):
        connection.execute("SELECT zeroblob(1000000001)").fetchone()
