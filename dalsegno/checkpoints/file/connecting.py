"""A new connection to a SQLite file, as all of ours are."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from dalsegno.checkpoints.file import migrations
from dalsegno.checkpoints.file.driver import sqlite3
from dalsegno.checkpoints.file.log_room import AUTOCHECKPOINT

if TYPE_CHECKING:
    from dalsegno.checkpoints.file.database import Profile

_STATEMENTS = 1000
"""Statements that stay prepared: more than there are. A full cache of pysqlite3's, of 100, gives up the newest for the
next one: what came after the many of opening a file was prepared anew each time."""

_SYNCHRONOUS: dict[str, str] = {"durable": "FULL", "fast": "NORMAL"}


def connected(file: str, path: str, profile: Profile, timeout: float) -> sqlite3.Connection:
    """A connection to a database of ours of this version, which is made where there is none.

    `path` is what the user calls the file, `timeout` the seconds to wait for another process that writes.

    Raises
    ------
    DatabaseInvalid, DatabaseUnavailable
        See `migrations.prepare`.
    """
    connection = sqlite3.connect(
        file, timeout=timeout, isolation_level=None, check_same_thread=False, cached_statements=_STATEMENTS
    )
    try:
        # A crafted file may carry views and triggers: they may call no function with side effects.
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute(f"PRAGMA wal_autocheckpoint = {AUTOCHECKPOINT}")
        connection.execute(f"PRAGMA synchronous = {_SYNCHRONOUS[profile]}")
        if sys.platform == "darwin" and profile == "durable":
            # fsync on macOS does not reach the disk's platter, https://www.sqlite.org/pragma.html#pragma_fullfsync
            connection.execute("PRAGMA fullfsync = ON")
            connection.execute("PRAGMA checkpoint_fullfsync = ON")
        migrations.prepare(connection, path, timeout)
    except BaseException:
        connection.close()
        raise
    return connection
