"""What an error of PostgreSQL means for the person who sees it."""

from __future__ import annotations

import psycopg
from psycopg import errors
from psycopg_pool import PoolTimeout

from dalsegno.errors import CheckpointError, DatabaseInvalid, DatabaseUnavailable

FENCED = "DS001"
"""The SQLSTATE that our function `guard` raises; classes that begin with D are nobody's."""

AGAIN = (errors.SerializationFailure, errors.DeadlockDetected)
"""The server has undone a transaction that is as good as any: the same again goes through."""

_ENDED = ("57P01", "57P02", "57P03")  # the server is shut down, has crashed, is starting


def has_ended(error: psycopg.Error) -> bool:
    """Whether the connection is no more, and with it the answer to what was asked last."""
    if not isinstance(error, psycopg.OperationalError):
        return False
    state = error.sqlstate or "08"
    return (state.startswith("08") and state != "08P01") or state in _ENDED


_UNAVAILABLE: tuple[tuple[type[psycopg.Error], str], ...] = (
    (
        errors.LockNotAvailable,
        "is locked by another transaction. Find it in pg_stat_activity, wait for it or end it.",
    ),
    (
        errors.InsufficientPrivilege,
        "may not be used so by this user. Give it the rights to the schema (GRANT).",
    ),
    (errors.ReadOnlySqlTransaction, "is read-only: a standby? Name the primary server."),
    (
        errors.DiskFull,
        "has no room: the server's disk is full. Free some space and resume; what was committed is safe.",
    ),
    (
        errors.TooManyConnections,
        "has no connection left. Raise max_connections, or give fewer to each process.",
    ),
    (errors.InvalidPassword, "does not take this password."),
    (errors.InvalidAuthorizationSpecification, "does not let this user in."),
    (errors.InvalidCatalogName, "does not exist. Make it (`createdb`), or name another one."),
    (
        errors.QueryCanceled,
        "took too long over a statement. Look at the server's load and its statement_timeout.",
    ),
)


def meaning(error: psycopg.Error, path: str) -> CheckpointError:
    """The error to raise for `error` in the database that people know as `path`."""
    text = " ".join(str(error).split())
    for kind, what in _UNAVAILABLE:
        if isinstance(error, kind):
            return DatabaseUnavailable(f"`{path}` {what} (PostgreSQL: {text})", path=path)
    if isinstance(error, PoolTimeout):
        return DatabaseUnavailable(
            f"`{path}` gave no connection in time: the server is away, or all connections of this process are in use "
            f"({text}). What was committed is safe: resume when it is back.",
            path=path,
        )
    if isinstance(error, (errors.UndefinedTable, errors.UndefinedColumn, errors.UndefinedFunction)):
        return DatabaseInvalid(
            f"`{path}` lacks something that it had: {text}. Restore it from a backup, or name another schema "
            "(`?schema=…`).",
            path=path,
        )
    if isinstance(error, psycopg.DataError):
        return CheckpointError(
            f"Something cannot be stored in `{path}`, as a text with a NUL character: {text}.", path=path
        )
    if isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)):
        return DatabaseUnavailable(
            f"`{path}` cannot be reached, or went away ({text}). What was committed is safe: resume when it is back.",
            path=path,
        )
    return CheckpointError(f"`{path}`: PostgreSQL refused a statement ({text}).", path=path)
