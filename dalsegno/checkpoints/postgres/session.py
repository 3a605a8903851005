"""One transaction on one connection, its statements sent one behind the other."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import psycopg
from psycopg import Pipeline, RawCursor

Connection = psycopg.Connection[Any]

_PARAMETER = re.compile(r"\?(\d*)")
_HAS_PIPELINE = psycopg.capabilities.has_pipeline()


@lru_cache(maxsize=500)
def numbered(sql: str) -> str:
    """A statement with ``$1`` where SQLite has ``?`` or ``?1``.

    >>> numbered("SELECT ?, ? WHERE a = ?1")
    'SELECT $1, $2 WHERE a = $1'
    """
    count = 0

    def name(found: re.Match[str]) -> str:
        nonlocal count
        if not found[1]:
            count += 1
        return f"${found[1] or count}"

    return _PARAMETER.sub(name, sql)


class PostgresRows:
    """What a statement gave; asking waits for the server."""

    __slots__ = ("_cursor", "_session")

    def __init__(self, cursor: RawCursor[Any], session: Session) -> None:
        self._cursor = cursor
        self._session = session

    @property
    def rowcount(self) -> int:
        self._session.sync()
        return self._cursor.rowcount

    def fetchone(self) -> Any:
        row = self._cursor.fetchone()
        self._session.pause()
        return row

    def fetchall(self) -> list[Any]:
        rows = self._cursor.fetchall()
        self._session.pause()
        return rows


class Session:
    """One transaction under way, in a pipeline: statements are sent as they come, and nobody waits for their results
    before they are asked for."""

    __slots__ = ("_pipeline", "connection", "depth", "doomed", "is_view")

    def __init__(self, connection: Connection, pipeline: Pipeline | None, is_view: bool) -> None:
        self.connection = connection
        self.is_view = is_view
        self.depth = 1
        self.doomed: BaseException | None = None
        self._pipeline = pipeline

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> PostgresRows:
        """Send a statement that SQLite understands as well."""
        return PostgresRows(self.send(numbered(sql), parameters), self)

    def send(self, sql: str, parameters: Sequence[Any] = (), *, binary: bool = False) -> RawCursor[Any]:
        """Send a statement of PostgreSQL's, with ``$1`` where a parameter stands; long bytes come faster `binary`."""
        cursor = RawCursor(self.connection)
        cursor.execute(sql, parameters, binary=binary)
        return cursor

    def sync(self) -> None:
        """Wait for the results of what was sent.

        Not with `Pipeline.sync`: that waits for an answer also where only a part of a long statement has gone out, and
        the server waits for the rest of it. Fetching sends all of it (https://github.com/psycopg/psycopg/issues/685).
        """
        if self._pipeline is not None:
            self.send("SELECT 1").fetchone()
            self.pause()

    def pause(self) -> None:
        """Say that it is our turn, where all has its result: only then the server counts for how long we stand still
        (``idle_in_transaction_session_timeout``). Nobody waits for an answer."""
        if self._pipeline is not None:
            self._pipeline.sync()


@contextlib.contextmanager
def piped(connection: Connection, *, is_view: bool) -> Iterator[Session]:
    """A session on a connection; all that was sent has its result, or raises, when it ends."""
    if not _HAS_PIPELINE:  # libpq before 14
        yield Session(connection, None, is_view)
        return
    with connection.pipeline() as pipeline:
        yield Session(connection, pipeline, is_view)


def roll_back(connection: Connection, error: BaseException) -> None:
    """Leave the connection in no transaction, or closed."""
    if isinstance(error, psycopg.Error):
        # What came behind the failed statement was never prepared, and psycopg takes it for prepared from now on.
        connection.close()
        return
    with contextlib.suppress(psycopg.Error):
        if not connection.closed:
            connection.execute("ROLLBACK")
