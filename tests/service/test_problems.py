"""What clients are told of what went wrong, and what only the log is."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import httpx
import pytest

from dalsegno import END, START, Workflow
from dalsegno.graphs.loading import LoadedTarget
from dalsegno.service import Service, asgi


class State(TypedDict, total=False):
    draft: str


@dataclass
class Context:
    user: str


def asked(service: Service, path: str, body: Any = None) -> httpx.Response:
    """What the service answers, without a server around it; a body is posted."""

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(asgi(service))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await (client.get(path) if body is None else client.post(path, json=body))

    return asyncio.run(ask())


@pytest.mark.parametrize("path", ["/v1/runs/", "/v1/workflows/", "/health/", "/"])
def test_an_address_with_a_slash_at_its_end_is_none_and_leads_nowhere(tmp_path: Path, path: str) -> None:
    service = Service([], tmp_path / "runs.db")
    got = asked(service, path)
    service.close()
    assert got.status_code == 404  # a redirect would lead away from a proxy's TLS
    assert got.headers["content-type"] == "application/problem+json"
    assert "ends with a slash" in got.json()["detail"]


def test_a_context_that_does_not_fit_is_refused_and_no_run_is_recorded(tmp_path: Path) -> None:
    flow = Workflow("greeting", State, Context).add_node("greet", lambda state: None)
    flow.add_edge(START, "greet").add_edge("greet", END)
    service = Service([LoadedTarget(flow, "app.py:flow")], tmp_path / "runs.db")
    got = asked(service, "/v1/runs", {"workflow": "greeting", "input": {}, "context": {"usr": "ada"}})
    runs = asked(service, "/v1/runs").json()
    service.close()
    assert (got.status_code, got.json()["type"]) == (422, "urn:dalsegno:input-invalid")
    assert [e["field"] for e in got.json()["errors"]] == ["body.context"]
    assert "did you mean `user`" in got.json()["detail"]
    assert "run_id" not in str(runs)


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
