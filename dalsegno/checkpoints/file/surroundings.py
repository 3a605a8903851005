"""What a database must not have around it: a network, other SQLite libraries, and the log of another file."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import warnings
from pathlib import Path

from dalsegno.checkpoints.file.driver import sqlite3
from dalsegno.errors import DatabaseUnavailable

SAFE_WITH_OTHERS = (3, 51, 3)
"""The SQLite from which on several processes may write a database with a log."""

_NETWORK = frozenset({
    "nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "afs", "ncpfs", "ceph", "glusterfs", "lustre", "beegfs",
    "fuse.ceph", "fuse.glusterfs", "fuse.sshfs", "fuse.s3fs", "fuse.rclone", "fuse.gcsfuse", "fuse.juicefs",
})  # fmt: skip

Identity = tuple[int, int]
"""Which file it is, whatever it is called: device and inode."""

_MOUNTS = Path("/proc/self/mountinfo")


def network_file_system(path: str, mounts: str | None = None) -> str | None:
    """The kind of network file system that `path` is on, None for a local one or where nobody can tell.

    Write-ahead logging needs memory that all processes share, and locks that hold
    (https://www.sqlite.org/wal.html#noshm). `mounts` is the text of ``/proc/self/mountinfo``, by default
    that of this process; there is none but on Linux.
    """
    if mounts is None:
        try:
            mounts = _MOUNTS.read_text(errors="surrogateescape")
        except OSError:
            return None
    place = os.path.realpath(path)
    longest, kind = "", None
    for line in mounts.splitlines():
        fields = line.split(" ")
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4])
        inside = place == point or place.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(longest):  # of several on one point the last one is seen
            longest, kind = point, fields[fields.index("-") + 1]
    return kind if kind in _NETWORK else None


def make_folder(folder: Path) -> None:
    """Make a folder and those above it that are missing, for good: a file in it that is synced is of no use after
    a power cut if the folder is not there. Whoever makes a folder syncs the one it is in; SQLite syncs only the
    one its files are in.
    """
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for made in reversed(missing):
        with contextlib.suppress(OSError):  # a folder cannot be opened on Windows, nor every one be read
            descriptor = os.open(made.parent, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def refuse_network(file: str, path: str) -> None:
    """Raise DatabaseUnavailable where `file` is on a network file system; `path` is what the user calls it."""
    kind = network_file_system(file)
    if kind is not None:
        raise DatabaseUnavailable(
            f"`{path}` is on a network file system ({kind}), where a commit may be lost and the file damaged. "
            "Put the database on a local disk.",
            path=path,
        )


def identity_of(file: str) -> Identity | None:
    """Which file is there; None where there is none, or none that can be reached."""
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def log_of(file: str) -> str:
    """SQLite's log of a file: beside the file itself, whatever link leads to it."""
    return f"{os.path.realpath(file)}-wal"


def refuse_log_of_another(file: str, path: str, log: Identity) -> None:
    """Raise DatabaseUnavailable where `log`, that of a file that was here, would be applied to the one that is now.

    SQLite leaves the log where the file was moved. It drops it only where the file in its place is empty.
    """
    holds_something = True
    with contextlib.suppress(OSError):
        holds_something = os.path.getsize(file) > 0
    if holds_something and identity_of(log_of(file)) == log:
        beside = log_of(file) if os.path.islink(file) else f"{path}-wal"
        raise DatabaseUnavailable(
            f"`{path}` was replaced while it was in use, and `{beside}` is still the log of the old file. It "
            "overwrites the new one once that is opened by a process that has not seen this: before you start anything "
            "again, put the old file back, or move its log away too.",
            path=path,
        )


def warn_of_another_library(identity: Identity, path: str) -> None:
    """Warn where somebody else in this process has the file open, by the standard library's SQLite it may be.

    Two libraries drop each other's locks when they close the file
    (https://www.sqlite.org/howtocorrupt.html#_multiple_copies_of_sqlite_linked_into_the_same_application).
    Seen on Linux only.
    """
    two = sqlite3.__name__.startswith("pysqlite3") and "_sqlite3" in sys.modules
    if two and identity in _open_files():
        warnings.warn(
            f"`{path}` is open in this process by something else too. If that is Python's own sqlite3, the two "
            "libraries drop each other's locks, and the database may be damaged: close it there first.",
            RuntimeWarning,
            stacklevel=2,
        )


def warn_of_other_writers(path: str) -> None:
    """Warn that this SQLite is too old for what is going on."""
    warnings.warn(
        f"Several processes write `{path}`, and SQLite {sqlite3.sqlite_version} can damage it then, rarely "
        "(https://www.sqlite.org/wal.html#walresetbug). Install pysqlite3, which brings a newer one.",
        RuntimeWarning,
        stacklevel=2,
    )


def _open_files() -> set[Identity]:
    found: set[Identity] = set()
    if not os.path.isdir("/proc/self/fd"):
        return found
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            file = os.stat(f"/proc/self/fd/{descriptor}")
            found.add((file.st_dev, file.st_ino))
    return found
