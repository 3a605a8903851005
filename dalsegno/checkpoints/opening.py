"""A database by its name: a path, ``sqlite:///path``, or ``postgresql://…``."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, cast
from urllib.parse import unquote, urlsplit

from dalsegno.errors import CheckpointError, did_you_mean

if TYPE_CHECKING:
    from langgraph.checkpoint.serde.base import SerializerProtocol

    from dalsegno.checkpoints.checkpointer import Checkpointer
    from dalsegno.checkpoints.interface import AnyDatabase
    from dalsegno.checkpoints.strict import Allowed

Named = str | os.PathLike[str]
"""How a database is named."""

CONNECTIONS = 10
"""Connections to a server that one process has at most, where nothing else is said."""

_LINGER = 0.002
_SERVERS = ("postgresql", "postgres")
_SCHEMES = ("sqlite", *_SERVERS)
_PLACE = re.compile(r"([^:]*|\[[^]]*\])(:\d*)?(/.*)?")
_PAIR = re.compile(r"[a-z_]+=")
_SCHEME = re.compile(r"[a-z0-9][a-z0-9+.-]*", re.IGNORECASE)


def is_server(db: Named) -> bool:
    """Whether that names a database on a server, which other machines reach too.

    >>> is_server("postgresql://localhost/runs"), is_server("sqlite:///runs.db"), is_server("runs.db")
    (True, False, False)
    """
    return _scheme(db) in _SERVERS


def file_of(db: Named) -> str:
    """The path of a SQLite database, from ``sqlite:///path`` (``sqlite:////absolute/path``) or from itself.

    >>> file_of("sqlite:///runs.db"), file_of("sqlite:////var/runs.db"), file_of("runs.db")
    ('runs.db', '/var/runs.db', 'runs.db')

    ``~/`` at its beginning is the home folder.

    Raises
    ------
    CheckpointError
        It is the URL of something else.
    """
    scheme = _scheme(db)
    named = os.fspath(db)
    if scheme is None:
        if named.startswith("file:"):  # SQLite's own way, of which it would be the name of a file
            raise _no_file(named)
        return _at_home(named)
    if scheme in _SERVERS:
        raise CheckpointError(
            f"`{without_password(db)}` is no file of SQLite. Use open_checkpointer(…) of dalsegno.checkpoints "
            "for it, or a path.",
            path=without_password(db),
        )
    if scheme != "sqlite":
        raise CheckpointError(
            f"`{scheme}://…` names no database we know{did_you_mean(scheme, _SCHEMES) or '.'} "
            "It is a path, sqlite:///path, or postgresql://user@host/database.",
            path=without_password(db),
        )
    parts = urlsplit(named)
    path = unquote(parts.path, errors="surrogateescape").removeprefix("/")
    if parts.netloc or not path or parts.query:
        raise _no_file(named)
    return _at_home(path)


def _no_file(named: str) -> CheckpointError:
    return CheckpointError(
        f"`{named}` is not how a SQLite file is named: sqlite:///runs.db is one in this folder, "
        "sqlite:////var/lib/runs.db one by its full path.",
        path=named,
    )


def _at_home(path: str) -> str:
    """A path in which ``~/`` is the home folder: a shell leaves it there behind ``--db=`` and in a ``.env`` file."""
    return os.path.expanduser(path) if path.startswith("~/") else path


def without_password(db: Named) -> str:
    """The name of a database for people to see.

    >>> without_password("postgresql://me:secret@[::1]:5432/runs?password=secret&sslmode=require")
    'postgresql://me@[::1]:5432/runs?sslmode=require'
    >>> without_password("postgresql://me:see?ret@db.example/runs")  # it should have been %3F
    'postgresql://me@db.example/runs'
    """
    if _scheme(db) in (None, "sqlite"):
        return os.fspath(db)
    scheme, _, rest = os.fspath(db).partition("://")
    place, _, query = rest.partition("?")
    is_place = _PLACE.fullmatch(place) and all(map(_PAIR.match, query.split("&")))
    if "@" in query and "@" not in place and not is_place:
        place, _, query = f"{place.partition(':')[0]}@{query.rpartition('@')[2]}".partition("?")
    user, at, host = place.rpartition("@")
    kept = [
        one for one in query.split("&") if one and one.partition("=")[0] not in ("password", "sslpassword")
    ]
    return f"{scheme}://{user.partition(':')[0]}{at}{host}" + ("?" + "&".join(kept) if kept else "")


def open_database(
    db: Named | AnyDatabase,
    *,
    profile: Literal["durable", "fast"] = "durable",
    timeout: float = 30.0,
    linger: float = 0.0,
    connections: int = CONNECTIONS,
) -> AnyDatabase:
    """The database of that name; nothing is opened before its first use.

    Parameters
    ----------
    db
        A path, ``sqlite:///path``, ``postgresql://user:password@host/database``, or a database, which is given back.
    profile
        ``"durable"`` (a commit survives power loss), or ``"fast"`` (it survives a kill).
    timeout
        Seconds to wait for others, and for a server to be there, before `DatabaseUnavailable`.
    linger
        Seconds that the writes of a task may wait for company in one commit.
    connections
        How many connections to a server this process has at most.

    Raises
    ------
    CheckpointError
        It is the URL of something else.
    MissingExtra
        It is on PostgreSQL, and what speaks to that is not installed.
    """
    if not isinstance(db, (str, os.PathLike)):
        return _a_database(db)
    if is_server(db):
        from dalsegno.checkpoints.postgres import PostgresDatabase

        return PostgresDatabase(os.fspath(db), profile=profile, timeout=timeout, connections=connections)
    from dalsegno.checkpoints.file.database import Database

    return Database(file_of(db), profile=profile, timeout=timeout, linger=linger)


def open_checkpointer(
    db: Named | AnyDatabase | Checkpointer,
    *,
    allow: Iterable[Allowed] = (),
    serde: SerializerProtocol | None = None,
    connections: int = CONNECTIONS,
) -> Checkpointer:
    """The checkpointer of the database of that name; a checkpointer is given back as it is.

    `allow` and `serde` are those of `SqliteCheckpointer`; the other parameters and what is raised as in
    `open_database`.
    """
    from dalsegno.checkpoints.checkpointer import Checkpointer
    from dalsegno.checkpoints.file.database import Database

    if isinstance(db, Checkpointer):
        return db
    database: Any = open_database(db, linger=_LINGER, connections=connections)
    if isinstance(database, Database):
        from dalsegno.checkpoints.sqlite import SqliteCheckpointer

        return SqliteCheckpointer(database, allow=allow, serde=serde)
    from dalsegno.checkpoints.postgres import PostgresCheckpointer

    return PostgresCheckpointer(database, allow=allow, serde=serde)


def _scheme(db: Named) -> str | None:
    """What stands before ``://``; None where it is a path."""
    if not isinstance(db, (str, os.PathLike)) or not os.fspath(db):
        raise _no_name(db)
    scheme, found, _ = os.fspath(db).partition("://")
    return scheme.lower() if found and _SCHEME.fullmatch(scheme) else None


def _a_database(db: Any) -> AnyDatabase:
    if hasattr(db, "transaction"):
        return cast("AnyDatabase", db)
    raise _no_name(db)


def _no_name(db: Any) -> CheckpointError:
    return CheckpointError(
        f"db={db!r} names no database. A path, sqlite:///path or postgresql://user@host/database is needed, or a "
        "SqliteCheckpointer."
    )
