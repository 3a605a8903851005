"""Servers for pages that show some: the page's commands find them by their environment variables."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, postgres_url: str) -> None:
    """A PostgreSQL."""
    monkeypatch.setenv("DALSEGNO_DB", postgres_url)


@pytest.fixture
def orchestra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgres_url: str) -> Iterator[None]:
    """An engine and a PostgreSQL; a worker that the page started is ended with them."""
    from dalsegno.distributed import DevEngine

    with DevEngine() as engine:
        monkeypatch.setenv("DALSEGNO_ENGINE", engine.address)
        monkeypatch.setenv("DALSEGNO_DB", postgres_url)
        yield
        with contextlib.suppress(OSError, ValueError):
            os.kill(int((tmp_path / "worker.pid").read_text()), signal.SIGKILL)
