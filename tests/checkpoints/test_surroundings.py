"""Where a database is, and who else has it open."""

from __future__ import annotations

import sqlite3 as standard_sqlite3
import sys
from pathlib import Path

import pytest

from dalsegno.checkpoints import Database
from dalsegno.checkpoints.file import surroundings
from dalsegno.checkpoints.file.surroundings import network_file_system

MOUNTS = """\
21 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 21 0:26 / /home rw shared:12 master:3 - nfs4 server:/home rw
31 30 254:1 / /home/local rw - xfs /dev/vdb rw
32 21 0:40 / /mnt/my\\040share rw - cifs //server/share rw
33 21 0:41 / /over rw - nfs server:/x rw
34 21 0:42 / /over rw - tmpfs tmpfs rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/runs.db", None),
        ("/home/me/runs.db", "nfs4"),
        ("/homes/runs.db", None),
        ("/home/local/runs.db", None),
        ("/mnt/my share/a/runs.db", "cifs"),
        ("/over/runs.db", None),
    ],
)
def test_a_network_file_system_is_known_by_its_mount(path: str, kind: str | None) -> None:
    assert network_file_system(path, MOUNTS) == kind


def test_a_local_file_system_is_none(tmp_path: Path) -> None:
    assert network_file_system(str(tmp_path)) is None


@pytest.mark.skipif("pysqlite3" not in sys.modules, reason="there is one SQLite library only")
@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are seen on Linux only")
def test_a_file_that_another_library_has_open_is_warned_of(path: Path) -> None:
    Database(path).flush()
    with Database(path).read():
        pass
    connection = standard_sqlite3.connect(path)
    connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    database = Database(path)
    with pytest.warns(RuntimeWarning, match="two libraries"), database.read():
        pass
    database.close()
    connection.close()


def test_an_old_sqlite_is_warned_of_where_several_processes_write(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surroundings, "SAFE_WITH_OTHERS", (99,))
    one, other = Database(path), Database(path)
    for _ in range(3):
        with one.transaction() as connection:
            connection.execute("INSERT INTO places (thread_id, checkpoint_ns) VALUES (random(), '')")
    with other.transaction() as connection:
        connection.execute("INSERT INTO places (thread_id, checkpoint_ns) VALUES (random(), '')")
    with pytest.warns(RuntimeWarning, match="Several processes write"), one.transaction():
        pass
    with other.transaction(), one.read():
        pass
