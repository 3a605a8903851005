"""What the tests of runs share: nodes that fail when told to, and a database of each kind."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from worlds import World  # found there

ONE = {"test_any_change_of_a_graph", "test_states_for_pictures"}
"""What is tried on a file only: it is about the graph."""

SLOW = {"test_two_resumers"}
"""What is tried on a server with `make torture`: it starts many processes."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    file = Path(str(metafunc.module.__file__)).stem
    if "db" in metafunc.fixturenames and file not in ONE:
        marks = [pytest.mark.torture] if file in SLOW else []
        metafunc.parametrize("db", ["sqlite", pytest.param("postgresql", marks=marks)], indirect=True)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """A new database, for `Runner(db=...)` and for `--db`."""
    if getattr(request, "param", "sqlite") == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    return tmp_path / "runs.db"
