"""saga: the help topics of Python are published in three places, and taken back when one of them is full.

A table is made in a database, an archive is written, and the topics are copied to a disk with room for 200 kB: they do
not fit. So the archive is deleted and the table is dropped, the last one first. No model is used.

    $ python examples/patterns/saga.py
    publish: every run ends within 13 supersteps.
    This one took 10.
    undone: archive, table
    why: copy: OSError: 200,000 bytes are too few for …
    left over: nothing
"""

from __future__ import annotations

import sqlite3
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import stage

from dalsegno import Workflow
from dalsegno.graphs.patterns import SagaStep, saga

ROOM = 200_000
GIVEN: dict[str, Any] = {"request": None}


def flow(model: str | None = None) -> Workflow:
    return saga(
        [
            SagaStep(table, compensate=drop_table),
            SagaStep(archive, compensate=delete_archive),
            SagaStep(copy, compensate=delete_copies),
            SagaStep(announce),
        ],
        name="publish",
    )


def folder() -> Path:
    return Path(tempfile.gettempdir()) / "published-topics"


def table(state: Any) -> int:
    """A table with every topic; its rows."""
    folder().mkdir(exist_ok=True)
    with closing(sqlite3.connect(folder() / "topics.db")) as connection, connection:
        connection.execute("CREATE TABLE IF NOT EXISTS topics (name TEXT PRIMARY KEY, text TEXT)")
        connection.executemany("INSERT OR REPLACE INTO topics VALUES (?, ?)", topics.items())
        return int(connection.execute("SELECT count(*) FROM topics").fetchone()[0])


def drop_table(state: Any) -> None:
    (folder() / "topics.db").unlink(missing_ok=True)


def archive(state: Any) -> int:
    """An archive of every topic; its bytes."""
    with zipfile.ZipFile(folder() / "topics.zip", "w", zipfile.ZIP_DEFLATED) as written:
        for name, text in topics.items():
            written.writestr(f"{name}.txt", text)
    return (folder() / "topics.zip").stat().st_size


def delete_archive(state: Any) -> None:
    (folder() / "topics.zip").unlink(missing_ok=True)


def copy(state: Any) -> int:
    """The topics as files, as long as there is room."""
    needed = sum(len(text.encode()) for text in topics.values())
    if needed > ROOM:
        raise OSError(f"{ROOM:,} bytes are too few for {needed:,}")
    return needed


def delete_copies(state: Any) -> None:
    """Nothing was copied."""


def announce(state: Any) -> str:
    return f"{state['results']['table']} topics are published"


def show(output: Mapping[str, Any]) -> Iterable[str]:
    yield f"{output['outcome']}: {', '.join(output['undone'])}"
    for failed in output["failures"]:
        yield f"why: {failed['name']}: {failed['error']}: {failed['message']}"
    yield f"left over: {', '.join(sorted(file.name for file in folder().iterdir())) or 'nothing'}"


if __name__ == "__main__":
    stage.play(flow, GIVEN, show)
