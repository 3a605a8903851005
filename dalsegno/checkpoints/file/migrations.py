"""The tables, as numbered migrations, and whose database a file is.

A database of ours carries `APPLICATION_ID`, and the number of its last migration as `user_version`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dalsegno.checkpoints.file.driver import sqlite3
from dalsegno.errors import DatabaseInvalid, DatabaseUnavailable, quoted

if TYPE_CHECKING:
    from sqlite_utils import Migrations

APPLICATION_ID = 0x44534547  # "DSEG", https://www.sqlite.org/pragma.html#pragma_application_id

_CHECKPOINTS = (
    # `blobs` says which row of the table `blobs` holds the value of each channel. It is not found by
    # version: two branches of a thread count the same versions for different values.
    """CREATE TABLE checkpoints (
        id INTEGER PRIMARY KEY,
        thread_id TEXT NOT NULL, checkpoint_ns TEXT NOT NULL, checkpoint_id TEXT NOT NULL,
        parent_id TEXT,
        channel_versions TEXT NOT NULL, blobs TEXT NOT NULL,
        type TEXT NOT NULL, checkpoint BLOB NOT NULL,
        metadata TEXT NOT NULL, metadata_type TEXT, metadata_blob BLOB)""",
    "CREATE UNIQUE INDEX checkpoints_key ON checkpoints (thread_id, checkpoint_ns, checkpoint_id)",
    """CREATE TABLE blobs (
        id INTEGER PRIMARY KEY,
        thread_id TEXT NOT NULL, checkpoint_ns TEXT NOT NULL, channel TEXT NOT NULL, version,
        type TEXT NOT NULL, blob BLOB NOT NULL)""",
    "CREATE INDEX blobs_key ON blobs (thread_id, checkpoint_ns, channel, version)",
    """CREATE TABLE writes (
        thread_id TEXT NOT NULL, checkpoint_ns TEXT NOT NULL, checkpoint_id TEXT NOT NULL,
        task_id TEXT NOT NULL, idx INTEGER NOT NULL, task_path TEXT NOT NULL,
        channel TEXT NOT NULL, type TEXT NOT NULL, blob BLOB NOT NULL)""",
    "CREATE UNIQUE INDEX writes_key ON writes (thread_id, checkpoint_ns, checkpoint_id, task_id, idx)",
)

_LEDGER = (
    """CREATE TABLE runs (
        id INTEGER PRIMARY KEY,
        run_id TEXT NOT NULL UNIQUE, thread_id TEXT NOT NULL,
        workflow TEXT NOT NULL, version TEXT NOT NULL, fingerprint TEXT NOT NULL, target TEXT,
        status TEXT NOT NULL,
        created_at REAL NOT NULL, started_at REAL NOT NULL, updated_at REAL NOT NULL, finished_at REAL,
        input_type TEXT NOT NULL, input BLOB NOT NULL,
        interrupts_type TEXT, interrupts BLOB,
        error TEXT, supersteps INTEGER NOT NULL DEFAULT 0, usage TEXT, resumes INTEGER NOT NULL DEFAULT 0,
        certificate TEXT, shape TEXT, code TEXT, process TEXT)""",
    "CREATE INDEX runs_thread ON runs (thread_id)",
    """CREATE TABLE leases (
        thread_id TEXT NOT NULL PRIMARY KEY, run_id TEXT NOT NULL, token TEXT NOT NULL,
        host TEXT NOT NULL, boot TEXT NOT NULL, namespace TEXT NOT NULL,
        pid INTEGER NOT NULL, started TEXT NOT NULL,
        since REAL NOT NULL, expires_at REAL NOT NULL)""",
    """CREATE TABLE effects (
        key TEXT NOT NULL, name TEXT NOT NULL, run_id TEXT NOT NULL, thread_id TEXT NOT NULL,
        type TEXT NOT NULL, value BLOB NOT NULL, recorded_at REAL NOT NULL,
        PRIMARY KEY (key, name))""",
    "CREATE INDEX effects_thread ON effects (thread_id)",
    """CREATE TABLE executions (
        id INTEGER PRIMARY KEY,
        run_id TEXT NOT NULL, superstep INTEGER NOT NULL, node TEXT NOT NULL,
        occurrence INTEGER NOT NULL, idx INTEGER, attempt INTEGER NOT NULL, status TEXT NOT NULL,
        started_at REAL NOT NULL, seconds REAL NOT NULL, targets TEXT NOT NULL, error TEXT)""",
    "CREATE INDEX executions_run ON executions (run_id)",
)


def _convert(connection: sqlite3.Connection) -> None:
    from dalsegno.checkpoints.file import conversion  # which needs langgraph: only where there is something

    conversion.convert(connection)


_DIFFERENCES = (
    "ALTER TABLE checkpoints RENAME TO old_checkpoints",
    "ALTER TABLE writes RENAME TO old_writes",
    "DROP INDEX checkpoints_key",
    "DROP INDEX writes_key",
    # Places are numbers: a thread's name is stored once. A number that was used is never used again, since
    # another process may still have it in mind.
    """CREATE TABLE places (
        id INTEGER PRIMARY KEY AUTOINCREMENT, thread_id TEXT NOT NULL, checkpoint_ns TEXT NOT NULL)""",
    "CREATE UNIQUE INDEX places_key ON places (thread_id, checkpoint_ns)",
    """CREATE TABLE checkpoints (
        id INTEGER PRIMARY KEY,
        place INTEGER NOT NULL, checkpoint_id NOT NULL, parent_id, body BLOB NOT NULL,
        metadata TEXT NOT NULL, metadata_type TEXT, metadata_blob BLOB)""",
    "CREATE UNIQUE INDEX checkpoints_key ON checkpoints (place, checkpoint_id)",
    """CREATE TABLE segments (
        id INTEGER PRIMARY KEY,
        place INTEGER NOT NULL, base INTEGER, base_length INTEGER NOT NULL, splices BLOB,
        data BLOB NOT NULL, count INTEGER, used INTEGER)""",
    """CREATE TABLE writes (
        place INTEGER NOT NULL, checkpoint_id NOT NULL, task_id NOT NULL, body BLOB NOT NULL,
        PRIMARY KEY (place, checkpoint_id, task_id)) WITHOUT ROWID""",
    _convert,
    "DROP TABLE old_checkpoints",
    "DROP TABLE old_writes",
    "DROP TABLE blobs",
)


def _add_room(connection: sqlite3.Connection) -> None:
    # Migration 3 fills `segments` with today's code, so where it has just run the column is there.
    if "used" not in {row[1] for row in connection.execute("PRAGMA table_info(segments)")}:
        connection.execute("ALTER TABLE segments ADD COLUMN used INTEGER")


_CANCEL = (
    # Who asked the process that runs it to cancel a run; it was an effect before, of a key that no node has.
    "ALTER TABLE runs ADD COLUMN cancel_by TEXT",
    "UPDATE runs SET cancel_by = 'another process' "
    "WHERE run_id IN (SELECT run_id FROM effects WHERE name = 'cancel' AND key = 'cancel ' || run_id)",
    "DELETE FROM effects WHERE name = 'cancel' AND key = 'cancel ' || run_id",
)

_REQUESTS = (
    # What services were asked for: which run, who asked, and when to look at it next (`due`; NULL: never).
    """CREATE TABLE requests (
        id INTEGER PRIMARY KEY,
        run_id TEXT NOT NULL UNIQUE, thread_id TEXT NOT NULL, workflow TEXT NOT NULL,
        service TEXT NOT NULL, client TEXT NOT NULL, key TEXT, digest TEXT NOT NULL,
        due REAL, stamp INTEGER NOT NULL DEFAULT 0, deaths INTEGER NOT NULL DEFAULT 0,
        context_type TEXT, context BLOB, wanted_type TEXT, wanted BLOB, problem TEXT)""",
    "CREATE UNIQUE INDEX requests_key ON requests (service, client, key) WHERE key IS NOT NULL",
    "CREATE INDEX requests_due ON requests (service, due) WHERE due IS NOT NULL",
    "CREATE INDEX requests_thread ON requests (thread_id)",
)

_BREAKERS = (
    # Circuit breakers that have opened once: since when (NULL: closed again), and when that came about, both in unix
    # seconds.
    "CREATE TABLE breakers (key TEXT NOT NULL PRIMARY KEY, opened_at REAL, changed_at REAL NOT NULL)",
)

_CLAIMS = (
    # The last claim to each thread that an engine has put in order, and for whom a lease is held.
    "CREATE TABLE claims (thread_id TEXT NOT NULL PRIMARY KEY, owner TEXT NOT NULL, begun REAL NOT NULL, "
    "attempt INTEGER NOT NULL)",
    "ALTER TABLE leases ADD COLUMN owner TEXT",
)

# When a run was resumed, as a JSON list of unix seconds.
_RESUMED = ("ALTER TABLE runs ADD COLUMN resumed TEXT",)

_Steps = tuple[str | Callable[[sqlite3.Connection], None], ...]

_STEPS: tuple[tuple[str, _Steps], ...] = (
    ("0001_checkpoints", _CHECKPOINTS),
    ("0002_ledger", _LEDGER),
    ("0003_differences", _DIFFERENCES),
    ("0004_room_to_grow", (_add_room,)),
    ("0005_cancel", _CANCEL),
    ("0006_requests", _REQUESTS),
    ("0007_breakers", _BREAKERS),
    ("0008_claims", _CLAIMS),
    ("0009_resumed", _RESUMED),
)

VERSION = len(_STEPS)
"""The `user_version` of a database that this release reads and writes."""


def _migrations() -> Migrations:
    from sqlite_utils import Migrations

    migrations = Migrations("dalsegno")
    for name, statements in _STEPS:

        def step(db: Any, /, statements: _Steps = statements) -> None:
            for statement in statements:
                if isinstance(statement, str):
                    db.execute(statement)
                else:
                    statement(db.conn)

        migrations(name=name)(step)
    return migrations


def prepare(connection: sqlite3.Connection, path: str, timeout: float) -> None:
    """Make `connection` lead to a database of ours of this version, in WAL mode.

    A file that is not ours or is newer is left exactly as it is. Two processes may do this at once.

    Raises
    ------
    DatabaseInvalid
        The file holds other tables, carries another application's id, or comes from a newer version.
    DatabaseUnavailable
        The file system cannot do write-ahead logging.
    """
    version = _version(connection, path)
    _write_ahead(connection, path, timeout)
    if version == VERSION:
        return
    from sqlite_utils import Database

    # One transaction over everything, so that of two processes the second finds all or nothing.
    connection.execute("BEGIN IMMEDIATE")
    try:
        if _version(connection, path) < VERSION:
            _migrations().apply(Database(connection, recursive_triggers=False, execute_plugins=False))
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection, path: str) -> int:
    if not connection.in_transaction:
        # One view, or the id is read before another process makes the tables, and the tables after.
        connection.execute("BEGIN")
        try:
            return _version(connection, path)
        finally:
            connection.execute("COMMIT")
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application == 0 and not tables:
        return 0
    if application != APPLICATION_ID:
        whose, instead = "another application", "name another file with `--db`"
        if application == 0 and _holds_langgraph(connection):
            whose = "LangGraph's SqliteSaver"
            instead = f"take it over into a new one with `dalsegno db import {quoted(path)} --db NEW.db`"
        raise DatabaseInvalid(
            f"`{path}` is a SQLite database of {whose}. It was left as it is; {instead}.", path=path
        )
    if version > VERSION:
        raise DatabaseInvalid(
            f"`{path}` has version {version}, written by a newer Dalsegno; this one reads up to version "
            f"{VERSION}. It was left as it is: upgrade with `pip install -U dalsegno`, or name another file.",
            path=path,
        )
    return int(version)


def _holds_langgraph(connection: sqlite3.Connection) -> bool:
    columns = {row[1] for row in connection.execute("PRAGMA table_info(checkpoints)")}
    return {"thread_id", "checkpoint_ns", "checkpoint", "metadata"} <= columns


def _write_ahead(connection: sqlite3.Connection, path: str, timeout: float) -> None:
    # SQLite does not call its busy handler for this switch: two processes that create a database at
    # once get "locked" at once, however long the busy timeout is.
    deadline = time.monotonic() + timeout
    while True:
        try:
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
            break
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() >= deadline:
                raise
            time.sleep(0.005)
    if mode not in ("wal", "memory"):
        raise DatabaseUnavailable(
            f"`{path}` is on a file system without write-ahead logging (journal mode `{mode}`), for example "
            "a network share. Put the database on a local disk.",
            path=path,
        )
