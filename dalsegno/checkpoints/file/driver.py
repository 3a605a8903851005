"""The one SQLite library of this process.

Chosen by the rule of sqlite-utils: pysqlite3 where it can be imported, else the standard library.
Two SQLite libraries in one process that open the same file drop each other's POSIX locks
(https://www.sqlite.org/howtocorrupt.html#_multiple_copies_of_sqlite_linked_into_the_same_application),
so everybody imports `sqlite3` from here. sqlite-utils itself is not imported: it takes ten times as long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
else:
    try:
        from pysqlite3 import dbapi2 as sqlite3
    except ImportError:
        from sqlite3 import dbapi2 as sqlite3

__all__ = ["sqlite3"]
