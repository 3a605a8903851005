"""LangGraph's own suite for checkpointers. A capability it does not detect counts as skipped there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.conformance.capabilities import ALL_CAPABILITIES

from dalsegno.checkpoints import SqliteCheckpointer, open_checkpointer


@pytest.mark.parametrize("profile", ["durable", "fast"])
def test_every_capability_is_detected_and_passed(tmp_path: Path, profile: str) -> None:
    number = iter(range(100))

    @checkpointer_test(name=f"SqliteCheckpointer-{profile}")
    async def make() -> AsyncGenerator[BaseCheckpointSaver[int], None]:
        async with SqliteCheckpointer(tmp_path / f"{next(number)}.db", profile=profile) as saver:  # type: ignore[arg-type]
            yield saver

    check(make)


def test_every_capability_is_detected_and_passed_on_postgresql(postgres_server: Any) -> None:
    @checkpointer_test(name="PostgresCheckpointer")
    async def make() -> AsyncGenerator[BaseCheckpointSaver[Any], None]:
        with postgres_server.database() as url:
            async with open_checkpointer(url) as saver:
                yield saver

    check(make)


def check(make: Any) -> None:
    report = asyncio.run(validate(make))
    assert set(report.results) == {capability.value for capability in ALL_CAPABILITIES}
    for name, result in report.results.items():
        assert result.detected, name
        assert result.passed, (name, result.failures)
        assert result.tests_passed > 0
