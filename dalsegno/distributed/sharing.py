"""The database that workers share, and what cannot be one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dalsegno.errors import DefinitionError

if TYPE_CHECKING:
    from dalsegno.checkpoints import Checkpointer


def refuse_a_file(db: str) -> None:
    """Nothing where the database is a server.

    Raises
    ------
    DefinitionError
        It is a SQLite file.
    """
    from dalsegno.checkpoints.opening import is_server

    if not is_server(db):
        raise DefinitionError(
            f"db={str(db)!r} is a SQLite file, and workers need a PostgreSQL server: a worker on another machine "
            "cannot open the file (on a network file system SQLite's locks do not hold), and only a server can keep a "
            "stalled worker that wakes up from writing. Give postgresql://user:password@host/database, or "
            "use `dalsegno run` for one machine."
        )


def shared_checkpointer(db: str, connections: int) -> Checkpointer:
    """A checkpointer of the shared database, with at most so many connections."""
    from dalsegno.checkpoints import open_checkpointer

    refuse_a_file(db)
    return open_checkpointer(db, connections=connections)
