"""What clients are told of what went wrong, and what only the log is."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import httpx
import pytest

from dalsegno.service import Service, asgi


def asked(service: Service, path: str) -> httpx.Response:
    """What the service answers, without a server around it."""

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(asgi(service))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.get(path)

    return asyncio.run(ask())


def test_where_the_database_is_and_what_it_says_is_for_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "secret").write_text("no folder")
    service = Service([], tmp_path / "secret" / "runs.db")
    with caplog.at_level(logging.ERROR, "dalsegno.service"):
        got = asked(service, "/v1/runs")
    service.close()
    assert got.status_code == 503
    assert got.headers["retry-after"] == "1"
    assert got.json()["type"] == "urn:dalsegno:database-unavailable"
    assert "secret" not in got.text
    assert "secret" in caplog.text
