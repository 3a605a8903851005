"""How a database is named, and what is refused instead of becoming a folder of that name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dalsegno.checkpoints import SqliteCheckpointer, open_database
from dalsegno.errors import CheckpointError


def test_a_sqlite_checkpointer_takes_the_url_of_a_file(tmp_path: Path) -> None:
    with SqliteCheckpointer(f"sqlite:///{tmp_path}/runs.db") as saver:
        assert list(saver.list(None)) == []
    assert (tmp_path / "runs.db").is_file()


@pytest.mark.parametrize("name", [b"runs.db", b"a b%41?#.db", "\u00fc\u2192.db".encode(), b"r\xff.db"])
def test_the_url_of_a_database_leads_to_its_file_whatever_the_file_is_called(
    name: bytes, tmp_path: Path
) -> None:
    file = tmp_path / os.fsdecode(name)
    with SqliteCheckpointer(open_database(file).url) as saver:
        assert list(saver.list(None)) == []
    assert [one.name for one in tmp_path.glob("*.db")] == [file.name]


@pytest.mark.parametrize(
    "url", ["postgresql://me:secret@localhost/runs", "postgres://localhost/runs", "mysql://localhost/runs"]
)
def test_a_sqlite_checkpointer_makes_no_folder_of_the_url_of_a_server(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError) as refused:
        SqliteCheckpointer(url)
    assert "secret" not in str(refused.value)
    assert ("open_checkpointer" in str(refused.value)) == url.startswith("postgres")
    assert not list(tmp_path.iterdir())
