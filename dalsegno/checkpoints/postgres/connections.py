"""The connections of one process to one schema: a pool, opened at the first use."""

from __future__ import annotations

import contextlib
import logging
import select
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from psycopg.adapt import Dumper
from psycopg_pool import ConnectionPool

from dalsegno.checkpoints.postgres import migrations
from dalsegno.nodes.forking import in_forked_child
from dalsegno.nodes.living import Living

if TYPE_CHECKING:
    from dalsegno.checkpoints.postgres.address import Address

    Connection = psycopg.Connection[Any]

_IDLE = 60.0  # seconds before a connection that nobody needs is closed
_STALLED = 10  # seconds that a transaction may stand still: its process does, and others wait for its locks
_CONNECT = 10  # seconds to wait for a server that does not answer
_SILENT = 30_000  # milliseconds without a sign from the server's machine before it counts as gone
# What psycopg warns of is raised by us, or over; without a handler Python prints it between a command's own lines.
logging.getLogger("psycopg").addHandler(logging.NullHandler())

_DURABILITY = {"durable": "on", "fast": "off"}


class _Number(Dumper):
    """A whole number without a type of its own: the column says which it is, as in SQLite."""

    oid = 0

    def dump(self, obj: Any) -> bytes:
        return b"%d" % obj


class Connections:
    """At most `most` connections, and those only while they are needed.

    `timeout` are the seconds to wait for a free one, for the server, and for a lock.
    """

    def __init__(self, address: Address, *, most: int, timeout: float, profile: str) -> None:
        self._address = address
        self._most = most
        self._timeout = timeout
        self._profile = profile
        self._pool: ConnectionPool[Connection] | None = None
        self._lock = threading.Lock()
        _all.add(self)

    @contextlib.contextmanager
    def one(self) -> Iterator[Connection]:
        """A connection in no transaction, for as long as this lasts."""
        pool = self._pool or self._opened()
        connection = self._whole(pool)
        try:
            with connection:
                yield connection
        finally:
            pool.putconn(connection)

    def _whole(self, pool: ConnectionPool[Connection]) -> Connection:
        """One that the server has not ended. The pool's own check pauses behind each that it has, a second and then
        twice as long each time: a restart would cost the first who come then half a minute, and an error."""
        until = time.monotonic() + self._timeout
        while True:
            connection = pool.getconn(until - time.monotonic())
            try:
                _check(connection)
            except psycopg.Error:
                connection.close()
                pool.putconn(connection)  # which replaces it
            except BaseException:
                pool.putconn(connection)
                raise
            else:
                return connection

    def close(self) -> None:
        """Close them; the next use opens the pool again."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    def _opened(self) -> ConnectionPool[Connection]:
        with self._lock:
            if self._pool is None:
                # One connection first: where the server does not let us in, the pool would only say that it waited.
                with psycopg.connect(self._address.conninfo, **self._options()) as connection:
                    self._configure(connection)
                    migrations.prepare(connection, self._address)
                pool: ConnectionPool[Connection] = ConnectionPool(
                    self._address.conninfo,
                    kwargs=self._options(),
                    min_size=1,
                    max_size=self._most,
                    open=False,
                    configure=self._configure,
                    timeout=self._timeout,
                    max_idle=_IDLE,
                    reconnect_timeout=self._timeout,
                    num_workers=1,
                    name=f"dalsegno {self._address.shown}",
                )
                pool.open()
                self._pool = pool
            return self._pool

    def _options(self) -> dict[str, Any]:
        options: dict[str, Any] = {"autocommit": True}
        defaults = {
            "application_name": "dalsegno",
            "connect_timeout": _CONNECT,
            "keepalives_idle": _SILENT // 1000,
            "tcp_user_timeout": _SILENT,
        }
        said = psycopg.conninfo.conninfo_to_dict(self._address.conninfo)
        return options | {name: value for name, value in defaults.items() if name not in said}

    def _configure(self, connection: Connection) -> None:
        connection.adapters.register_dumper(int, _Number)
        settings = {
            "search_path": sql.Identifier(self._address.schema),
            "synchronous_commit": sql.Literal(_DURABILITY[self._profile]),
            "client_min_messages": sql.Literal("warning"),
            "idle_in_transaction_session_timeout": sql.Literal(f"{_STALLED}s"),
            "lock_timeout": sql.Literal(f"{int(self._timeout * 1000)}ms"),
        }
        each = (
            sql.SQL("SET {} TO {}").format(sql.Identifier(name), value) for name, value in settings.items()
        )
        connection.execute(sql.SQL("; ").join(each))

    def _leave_to_parent(self) -> None:
        """Forked: the sockets are the parent's, and so are the threads of the pool."""
        if self._pool is not None:
            _left.append(self._pool)
        self._pool, self._lock = None, threading.Lock()


def _check(connection: Connection) -> None:
    """Raise where the server has ended the connection meanwhile, as a restart does: an idle one has nothing to say."""
    if connection.closed or _speaks(connection.fileno()):
        ConnectionPool.check_connection(connection)


def _speaks(socket: int) -> bool:
    if not hasattr(select, "poll"):
        return True
    poll = select.poll()
    poll.register(socket, select.POLLIN)
    return bool(poll.poll(0))


_all: Living[Connections] = Living()
_left: list[Any] = []


@in_forked_child
def _forked() -> None:
    for one in _all:
        one._leave_to_parent()
