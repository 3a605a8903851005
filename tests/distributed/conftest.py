"""Servers for the tests of many workers: one PostgreSQL, one engine a file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fleets import Databases, Fleet, made_fleet

from dalsegno.distributed import DevEngine


@pytest.fixture(scope="module")
def databases(postgres_server: Any) -> Iterator[Databases]:
    taken = Databases(postgres_server)
    yield taken
    taken.close()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevEngine]:
    """An engine that keeps its state, so that it can be killed."""
    with DevEngine(file=tmp_path_factory.mktemp("engine") / "engine.db") as started:
        yield started


@pytest.fixture(scope="module")
def fleet(
    tmp_path_factory: pytest.TempPathFactory, engine: DevEngine, databases: Databases
) -> Iterator[Fleet]:
    with made_fleet(tmp_path_factory.mktemp("fleet"), engine, databases) as fleet:
        yield fleet
