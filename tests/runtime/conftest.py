"""What the tests of runs share: nodes that fail when told to, and a database file."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from worlds import World  # found there


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "runs.db"
