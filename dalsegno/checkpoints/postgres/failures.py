"""What an error of PostgreSQL means for the person who sees it."""

from __future__ import annotations

import re

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


_UNAVAILABLE: tuple[tuple[type[psycopg.Error] | tuple[type[psycopg.Error], ...], str], ...] = (
    (
        errors.LockNotAvailable,
        "is locked by another transaction. Find it in pg_stat_activity, wait for it or end it.",
    ),
    (
        # The other: the schema is there, and this user may not look into it.
        (errors.InsufficientPrivilege, errors.InvalidSchemaName),
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
    (
        errors.InvalidAuthorizationSpecification,
        "does not let this user in. See the server's pg_hba.conf and its roles.",
    ),
    (errors.InvalidCatalogName, "does not exist. Make it (`createdb`), or name another one."),
    (
        errors.QueryCanceled,
        "took too long over a statement. Look at the server's load and its statement_timeout.",
    ),
)

_NOT_LET_IN: tuple[tuple[str, type[psycopg.Error]], ...] = (
    # Of a connection that was never made libpq tells the server's words, and no SQLSTATE.
    ("password authentication failed|no password supplied", errors.InvalidPassword),
    (
        r"role \".*\" (does not exist|is not permitted)|pg_hba\.conf|authentication failed",
        errors.InvalidAuthorizationSpecification,
    ),
    (r"database \".*\" does not exist", errors.InvalidCatalogName),
    (r"permission denied for database", errors.InsufficientPrivilege),
    ("too many (clients|connections)|connection slots", errors.TooManyConnections),
)


def _kind(error: psycopg.Error, text: str) -> type[psycopg.Error]:
    """What kind of error it is, also of one by which there is no connection."""
    if type(error) is psycopg.OperationalError and error.sqlstate is None:
        return next((kind for words, kind in _NOT_LET_IN if re.search(words, text)), type(error))
    return type(error)


def meaning(error: psycopg.Error, path: str) -> CheckpointError:
    """The error to raise for `error` in the database that people know as `path`."""
    text = " ".join(str(error).split())
    found = _kind(error, text)
    for kind, what in _UNAVAILABLE:
        if issubclass(found, kind):
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
    if isinstance(error, errors.ProgramLimitExceeded):
        return CheckpointError(
            f"Something is too large for `{path}`: {text}. Make the name shorter (of a thread, a node), or keep the "
            "value in a file and its name in the state. The last checkpoint stands.",
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
