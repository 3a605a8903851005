"""Room in SQLite's log before it is needed: a commit that makes a file longer takes half as long again, since the file
system has to write the new length too."""

from __future__ import annotations

import contextlib
import os

AUTOCHECKPOINT = 800
"""Pages in the log before they are copied into the database, and it is written over again."""

_FRAME = 4096 + 24
_FIRST, _MOST = 200 * _FRAME, AUTOCHECKPOINT * _FRAME + 32
_SETTLED, _FIRST_LOOK = 8, 2
"""Transactions between two looks at whether the log is longer than it was made, and before the first one, since a
process may make no more."""


class LogRoom:
    """The room of one log, made by who writes to it: twice as much each time it is used up, to what it will be."""

    def __init__(self, log: str) -> None:
        self._log = log
        self._begun = 0
        self._length = 0

    def look(self) -> None:
        """At the start of a transaction: nobody else writes to the log now, and behind its last frame SQLite takes
        anything for an end."""
        is_due = self._begun % _SETTLED == _FIRST_LOOK and self._length < _MOST
        self._begun += 1
        if is_due:
            with contextlib.suppress(OSError):
                self._lengthen()

    def _lengthen(self) -> None:
        with open(self._log, "r+b") as log:
            length = log.seek(0, os.SEEK_END)
            if length <= self._length:
                return
            self._length = max(length, min(max(2 * length, _FIRST), _MOST))
            log.write(bytes(self._length - length))
            log.flush()
            os.fsync(log.fileno())
