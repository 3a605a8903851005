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


@pytest.mark.parametrize("path", ["/v1/runs/", "/v1/workflows/", "/health/", "/"])
def test_an_address_with_a_slash_at_its_end_is_none_and_leads_nowhere(tmp_path: Path, path: str) -> None:
    service = Service([], tmp_path / "runs.db")
    got = asked(service, path)
    service.close()
    assert got.status_code == 404  # a redirect would lead away from a proxy's TLS
    assert got.headers["content-type"] == "application/problem+json"
    assert "ends with a slash" in got.json()["detail"]


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
