"""What an error of SQLite means for the person who sees it."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from types import TracebackType

from dalsegno.checkpoints.file.driver import sqlite3
from dalsegno.errors import CheckpointError, DatabaseInvalid, DatabaseUnavailable

# Primary result codes, https://www.sqlite.org/rescode.html.
_ERROR, _PERM, _BUSY, _LOCKED, _READONLY, _IOERR = 1, 3, 5, 6, 8, 10
_CORRUPT, _FULL, _CANTOPEN, _TOOBIG, _AUTH, _NOTADB = 11, 13, 14, 18, 23, 26

_UNAVAILABLE = {
    _PERM: "may not be read or written by this user. Check the permissions of the file and its folder.",
    _BUSY: "is locked by another process. Wait for it to finish, or end it, and try again.",
    _LOCKED: "is locked by another connection. Wait for it to finish and try again.",
    _READONLY: "is read-only. Give this user write permission on the file and on its folder.",
    _IOERR: "could not be read or written. Check the disk and its free space; what was committed is safe.",
    _FULL: "has no room: the disk is full. Free some space and resume; what was committed is safe.",
    _CANTOPEN: "could not be opened. Check that the folder exists and that this user may write to it.",
    _AUTH: "may not be used. Check the permissions of the file and its folder.",
}


# Of the last one SQLite knows nothing: Python makes texts of what it gives, and finds that they are none.
_DAMAGED = re.compile(
    "^no such|malformed JSON|has no column named|^unsupported file format|^Could not decode to UTF-8"
)


def meaning(error: sqlite3.Error, path: str) -> CheckpointError | None:
    """The error to raise for `error` at `path`, or None where SQLite was asked something wrong."""
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    if code in (_NOTADB, _CORRUPT):
        what = "is not a SQLite database" if code == _NOTADB else "is damaged"
        return DatabaseInvalid(
            f"`{path}` {what} ({error}). Name another file with `--db`, or restore this one from a backup.",
            path=path,
        )
    if code in (0, _ERROR) and _DAMAGED.search(str(error)):
        return DatabaseInvalid(
            f"`{path}` is damaged: {error}. Restore it from a backup, or name another file with `--db`.",
            path=path,
        )
    if code == _TOOBIG:
        return CheckpointError(
            f"What was to be kept in `{path}` is larger than SQLite's limit for one value, a gigabyte. Keep it in a "
            "file and its name in the state. The last checkpoint stands.",
            path=path,
        )
    if code == _CANTOPEN and os.path.isdir(path):
        return DatabaseUnavailable(
            f"`{path}` could not be opened: it is a folder. Name a file in it: `{os.path.join(path, 'runs.db')}`.",
            path=path,
        )
    if code in (_CANTOPEN, _READONLY) and os.path.exists(path) and not _may_write_beside(path):
        return DatabaseUnavailable(
            f"`{path}` is in a folder without permission to write for this user, and SQLite writes beside a database "
            f"even to read it. Give it, or copy the database, and `{path}-wal` where there is one, to another folder, "
            "and name the copy with `--db`.",
            path=path,
        )
    withheld = _withheld(path) if code in (_CANTOPEN, _READONLY, _PERM) else ""
    if withheld:
        return DatabaseUnavailable(
            f"`{path}` cannot be written by this user, who has no permission to write {withheld}. Give it. "
            f"(SQLite: {error})",
            path=path,
        )
    if code in _UNAVAILABLE:
        return DatabaseUnavailable(f"`{path}` {_UNAVAILABLE[code]} (SQLite: {error})", path=path)
    return None


class Translated:
    """Inside a ``with`` statement an error of SQLite is raised as what it means; it keeps nothing: all may use one."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        return

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        meant: CheckpointError | None = None
        if isinstance(error, UnicodeEncodeError):
            meant = no_text(error, self._path)
        elif isinstance(error, UnicodeDecodeError):
            meant = no_schema(error, self._path)
        elif isinstance(error, sqlite3.Error):
            meant = meaning(error, self._path)
        if meant is not None:
            raise meant from error


def _may_write_beside(path: str) -> bool:
    return os.access(os.path.dirname(path) or ".", os.W_OK)


def _withheld(path: str) -> str:
    """Which of a database's files this user may not write: those beside it may be somebody else's, who was killed."""
    files = (path, f"{path}-wal", f"{path}-shm")
    return " and ".join(
        f"`{file}`" for file in files if os.path.exists(file) and not os.access(file, os.W_OK)
    )


def no_text(error: UnicodeEncodeError, path: str) -> CheckpointError:
    """The error for a name that is no text."""
    return CheckpointError(
        f"A name cannot be stored: {error.object!r} is no valid Unicode text (a lone surrogate).", path=path
    )


def no_schema(error: UnicodeDecodeError, path: str) -> CheckpointError:
    """The error for a file whose schema is so damaged that what SQLite says of it is no text."""
    return DatabaseInvalid(
        f"`{path}` is damaged: {error}. Restore it from a backup, or name another file with `--db`.",
        path=path,
    )


DAMAGE = (LookupError, ValueError, TypeError, AttributeError, OverflowError, RecursionError)
"""What our own code makes of rows that are not as it has written them."""


def damaged(thread: str, key: str, what: str = "is missing") -> DatabaseInvalid:
    """The error for a stored value that is not what it was."""
    return DatabaseInvalid(
        f"`{key}` in thread {thread!r} {what}: the database is damaged. Restore it from a backup.",
        path="",
        thread=thread,
        key=key,
    )


@contextlib.contextmanager
def damage_named(thread: str, key: str) -> Iterator[None]:
    """Says what is damaged where rows are not as they were written; only around code that calls nobody else's."""
    try:
        yield
    except UnicodeEncodeError:  # of a name that was given, not of a row
        raise
    except DAMAGE as error:
        raise damaged(thread, key, f"is not as it was written ({type(error).__name__}: {error})") from error


def check_names(names: object, what: str) -> None:
    """Raise CheckpointError where one name stands for several: its letters would be the names, and what they name be
    deleted."""
    if isinstance(names, (str, bytes)):
        raise CheckpointError(f"{what}={names!r}: a list of names is needed, as [{names!r}].")
