"""Databases of LangGraph's own SqliteSaver are taken over. Its tables are made here as version 3.1.2 makes
them; where that package is installed, by the package itself."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import operator
import shutil
import sqlite3 as standard_sqlite3
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypedDict

import pytest
from langchain_core.messages import AIMessage
from langgraph.checkpoint.base import BaseCheckpointSaver, get_checkpoint_metadata
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.base import CipherProtocol
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command, interrupt

from dalsegno.checkpoints import SqliteCheckpointer, maintenance
from dalsegno.checkpoints.encryption import EncryptedSerializer
from dalsegno.checkpoints.importing import import_sqlite_saver
from dalsegno.checkpoints.strict import StrictSerializer
from dalsegno.errors import DatabaseInvalid, DatabaseUnavailable, TypeNotAllowed
from tests.nobody import become_nobody

THREAD: Any = {"configurable": {"thread_id": "t"}}

TABLES = """
CREATE TABLE checkpoints (
    thread_id TEXT NOT NULL, checkpoint_ns TEXT NOT NULL DEFAULT '', checkpoint_id TEXT NOT NULL,
    parent_checkpoint_id TEXT, type TEXT, checkpoint BLOB, metadata BLOB,
    PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id));
CREATE TABLE writes (
    thread_id TEXT NOT NULL, checkpoint_ns TEXT NOT NULL DEFAULT '', checkpoint_id TEXT NOT NULL,
    task_id TEXT NOT NULL, task_path TEXT NOT NULL DEFAULT '', idx INTEGER NOT NULL,
    channel TEXT NOT NULL, type TEXT, value BLOB,
    PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id, task_id, idx));
"""


class Recording(InMemorySaver):
    """Keeps what LangGraph hands over also in the tables of a SqliteSaver."""

    opened: ClassVar[list[standard_sqlite3.Connection]] = []

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.connection = standard_sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self.opened.append(self.connection)
        self.connection.executescript(TABLES)
        self.dumps = JsonPlusSerializer().dumps_typed
        self.lock = threading.Lock()  # two threads may not use one prepared statement at once

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        place = config["configurable"]
        row = (
            place["thread_id"], place["checkpoint_ns"], checkpoint["id"], place.get("checkpoint_id"),
            *self.dumps(checkpoint), json.dumps(get_checkpoint_metadata(config, metadata)).encode(),
        )  # fmt: skip
        with self.lock:
            self.connection.execute("INSERT OR REPLACE INTO checkpoints VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        return super().put(config, checkpoint, metadata, new_versions)

    def put_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        from langgraph.checkpoint.base import WRITES_IDX_MAP

        place = config["configurable"]
        for position, (channel, value) in enumerate(writes):
            index = WRITES_IDX_MAP.get(channel, position)
            where = place["thread_id"], place["checkpoint_ns"], place["checkpoint_id"]
            row = (*where, task_id, task_path, index, channel, *self.dumps(value))
            with self.lock:
                self.connection.execute(
                    "INSERT OR REPLACE INTO writes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row
                )
        super().put_writes(config, writes, task_id, task_path)


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Python 3.13 complains of a connection that nobody closes, in whichever test is under way then."""
    yield
    while Recording.opened:
        Recording.opened.pop().close()


@dataclasses.dataclass
class Draft:
    text: str


class State(TypedDict):
    log: Annotated[list[str], operator.add]
    messages: Annotated[list[AIMessage], add_messages]
    draft: Draft


def build(saver: BaseCheckpointSaver[Any]) -> Any:
    def work(state: State) -> Any:
        number = len(state["log"])
        message = AIMessage("said " * 60, id=str(number))
        return {"log": [f"{number}" * 300], "messages": [message], "draft": Draft(f"draft {number}")}

    def ask(state: State) -> Any:
        return {"log": [interrupt("how?")]}

    inner = StateGraph(State)
    inner.add_node("work", work)
    inner.add_edge(START, "work")
    graph = StateGraph(State)
    graph.add_node("inner", inner.compile())
    graph.add_node("ask", ask)
    graph.add_edge(START, "inner")
    graph.add_conditional_edges("inner", lambda s: "inner" if len(s["log"]) < 9 else "ask", ["inner", "ask"])
    return graph.compile(checkpointer=saver)


def play(saver: Any, source: Path) -> list[Any]:
    app = build(saver)
    app.invoke({"log": [], "messages": [], "draft": Draft("none")}, THREAD, durability="sync")
    return [(one.config, one.checkpoint, one.metadata, one.pending_writes) for one in saver.list(THREAD)]


def assert_taken_over(saver: SqliteCheckpointer, before: list[Any]) -> None:
    after = list(saver.list(THREAD))
    before = sorted(before, key=lambda one: one[1]["id"], reverse=True)
    assert len(after) == len(before)
    for one, (config, checkpoint, metadata, writes) in zip(after, before, strict=True):
        assert one.config["configurable"] == config["configurable"]
        for key in ("channel_values", "ts", "v", "id", "updated_channels"):
            assert one.checkpoint[key] == checkpoint[key]  # type: ignore[literal-required]
        numbers = {k: int(str(v).partition(".")[0]) for k, v in checkpoint["channel_versions"].items()}
        assert one.checkpoint["channel_versions"] == numbers
        assert one.metadata == metadata
        assert one.pending_writes == writes


def test_a_sqlite_savers_database_reads_the_same_and_its_run_goes_on(path: Path, tmp_path: Path) -> None:
    source = tmp_path / "theirs.db"
    recording = Recording(source)
    before = play(recording, source)
    with SqliteCheckpointer(path, allow=[Draft]) as saver:
        assert import_sqlite_saver(saver, source) == len(list(recording.list(None)))
        assert import_sqlite_saver(saver, source) > 0  # again: no harm
        assert_taken_over(saver, before)
        assert maintenance.check(saver.database) == []
        statistics = maintenance.statistics(saver.database)
        assert statistics.stored < source.stat().st_size
        result = build(saver).invoke(Command(resume="so"), THREAD, durability="sync")
        assert result["log"][-1] == "so"
        assert result == build(recording).invoke(Command(resume="so"), THREAD, durability="sync")


def test_who_opens_a_sqlite_savers_database_is_told_how_to_take_it_over(tmp_path: Path) -> None:
    source = tmp_path / "theirs.db"
    recording = Recording(source)
    play(recording, source)
    recording.connection.close()
    before = source.read_bytes()
    with (
        SqliteCheckpointer(source) as saver,
        pytest.raises(DatabaseInvalid, match=r"`dalsegno db import .*theirs"),
    ):
        saver.get_tuple(THREAD)
    assert source.read_bytes() == before


def test_the_packages_own_database_is_taken_over(path: Path, tmp_path: Path) -> None:
    theirs = pytest.importorskip("langgraph.checkpoint.sqlite")
    source = tmp_path / "theirs.db"
    connection = standard_sqlite3.connect(source, check_same_thread=False)
    before = play(theirs.SqliteSaver(connection), source)
    connection.close()
    with SqliteCheckpointer(path, allow=[Draft]) as saver:
        import_sqlite_saver(saver, source)
        assert_taken_over(saver, before)
        assert build(saver).invoke(Command(resume="so"), THREAD, durability="sync")["log"][-1] == "so"


def test_what_is_taken_over_is_encrypted_where_everything_is(path: Path, tmp_path: Path) -> None:
    before = play(Recording(tmp_path / "theirs.db"), tmp_path)
    serde = EncryptedSerializer(Reversed(), StrictSerializer([Draft]))
    with SqliteCheckpointer(path, serde=serde) as saver:
        import_sqlite_saver(saver, tmp_path / "theirs.db")
        assert_taken_over(saver, before)
    assert b"said said" not in b"".join(each.read_bytes() for each in path.parent.glob("runs.db*"))


@pytest.mark.parametrize(
    ("sql", "key"),
    [
        ("UPDATE checkpoints SET checkpoint = x'ff00'", "checkpoint"),
        ("UPDATE checkpoints SET checkpoint = NULL", "checkpoint"),
        ("UPDATE checkpoints SET checkpoint = x'80'", "checkpoint"),
        ("UPDATE checkpoints SET checkpoint_id = CAST('x' || rowid AS TEXT)", "checkpoint"),
        ("UPDATE checkpoints SET thread_id = x'00ff'", "checkpoint"),
        ("UPDATE checkpoints SET metadata = '{'", "metadata"),
        ("UPDATE checkpoints SET metadata = '[1]'", "metadata"),
        ("UPDATE writes SET value = NULL", "writes"),
        ("UPDATE writes SET channel = x'01'", "writes"),
        ("UPDATE OR IGNORE writes SET idx = 'a'", "writes"),
    ],
)
def test_what_is_damaged_there_is_named_and_nothing_of_its_thread_is_taken_over(
    path: Path, tmp_path: Path, sql: str, key: str
) -> None:
    recording = Recording(tmp_path / "theirs.db")
    play(recording, tmp_path)
    recording.connection.execute(sql)
    recording.connection.close()
    with SqliteCheckpointer(path, allow=[Draft]) as saver:
        with pytest.raises(
            DatabaseInvalid, match=rf"`{key}` in thread .* of `.*theirs.db` is not as a SqliteSaver"
        ):
            import_sqlite_saver(saver, tmp_path / "theirs.db")
        assert list(saver.list(None)) == []


class Reversed(CipherProtocol):
    """Nothing but another notation; what encrypting takes is tested elsewhere."""

    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        return "reversed", plaintext[::-1]

    def decrypt(self, ciphername: str, ciphertext: bytes) -> bytes:
        return ciphertext[::-1]


def test_a_type_that_is_not_allowed_is_moved_but_not_built(path: Path, tmp_path: Path) -> None:
    play(Recording(tmp_path / "theirs.db"), tmp_path)
    with SqliteCheckpointer(path) as saver:
        import_sqlite_saver(saver, tmp_path / "theirs.db")
        with pytest.raises(TypeNotAllowed, match="Draft"):
            saver.get_tuple(THREAD)


def test_what_cannot_be_imported_is_named(saver: SqliteCheckpointer, tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailable, match="no file"):
        import_sqlite_saver(saver, tmp_path / "nothing.db")
    (tmp_path / "notes.db").write_text("notes " * 100)
    with pytest.raises(DatabaseInvalid, match="notes"):
        import_sqlite_saver(saver, tmp_path / "notes.db")
    with contextlib.closing(standard_sqlite3.connect(tmp_path / "empty.db")) as empty:
        empty.execute("CREATE TABLE customers (name)")
    with pytest.raises(DatabaseInvalid, match="SqliteSaver"):
        import_sqlite_saver(saver, tmp_path / "empty.db")
    recording = Recording(tmp_path / "theirs.db")
    play(recording, tmp_path)
    recording.connection.execute("UPDATE checkpoints SET type = 'msgpack+aes'")
    with pytest.raises(DatabaseInvalid, match="serde="):
        import_sqlite_saver(saver, tmp_path / "theirs.db")
    assert list(saver.list(None)) == []


def test_a_database_that_may_not_be_read_is_named(child: Any) -> None:
    folder = Path(tempfile.mkdtemp())
    source = folder / "theirs.db"
    try:
        play(Recording(source), folder)
        source.chmod(0)
        folder.chmod(0o755)

        def body(tell: Any) -> None:
            become_nobody()
            with SqliteCheckpointer(":memory:") as saver:
                try:
                    import_sqlite_saver(saver, source)
                except DatabaseUnavailable as error:
                    tell(str(error))

        process = child(body)
        assert "theirs.db" in process.line()
        assert process.wait() == 0
    finally:
        shutil.rmtree(folder)


def test_a_database_by_way_of_a_link_is_imported_with_its_log(child: Any) -> None:
    """The link is in a folder that may not be written to; the log is beside the file itself."""
    folder = Path(tempfile.mkdtemp())
    source, used, links = folder / "official.db", folder / "used.db", folder / "links"
    try:
        play(Recording(source), source)
        Recording.opened.pop().close()
        with contextlib.closing(standard_sqlite3.connect(source)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
        with contextlib.closing(standard_sqlite3.connect(source)) as connection:
            connection.execute("DELETE FROM checkpoints")
            connection.commit()
            for end in ("", "-wal"):
                shutil.copy(f"{source}{end}", f"{used}{end}")
        links.mkdir()
        (links / "used.db").symlink_to(used)
        links.chmod(0o555)
        folder.chmod(0o777)
        for file in (used, Path(f"{used}-wal")):
            file.chmod(0o666)

        def body(tell: Any) -> None:
            become_nobody()
            with SqliteCheckpointer(":memory:") as saver:
                tell(str(import_sqlite_saver(saver, links / "used.db")))

        process = child(body)
        assert process.line().strip() == "0"
        assert process.wait() == 0
    finally:
        links.chmod(0o755)
        shutil.rmtree(folder)


def test_a_database_in_a_folder_that_may_not_be_written_to_is_imported(child: Any) -> None:
    """As one on a medium that is mounted to be read only; SqliteSaver writes with a write-ahead log."""
    folder = Path(tempfile.mkdtemp())
    source, beside = folder / "official.db", folder / "used.db"
    try:
        before = play(Recording(source), source)
        Recording.opened.pop().close()
        with contextlib.closing(standard_sqlite3.connect(source)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
        with contextlib.closing(standard_sqlite3.connect(source)) as connection:
            connection.execute("CREATE TABLE more (n)")
            for end in ("", "-wal"):
                shutil.copy(f"{source}{end}", f"{beside}{end}")
        for file in folder.iterdir():
            file.chmod(0o444)
        folder.chmod(0o555)

        def body(tell: Any) -> None:
            become_nobody()
            with SqliteCheckpointer(":memory:") as saver:
                tell(str(import_sqlite_saver(saver, source)))
                try:
                    import_sqlite_saver(saver, beside)
                except DatabaseInvalid as error:
                    tell(str(error))

        process = child(body)
        assert int(process.line()) == len(before)
        assert "Copy it" in process.line()
        assert process.wait() == 0
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)
