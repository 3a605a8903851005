"""While somebody else has the database locked: who only reads waits for nobody, and the service can be stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict

import httpx
import psycopg
import pytest

from dalsegno import END, START, Runner, Workflow
from dalsegno.checkpoints import open_database
from dalsegno.graphs.loading import LoadedTarget
from dalsegno.service import Service, application, asgi
from tests.service.conftest import LIMIT, Serve, until

THREADS = min(32, (os.cpu_count() or 1) + 4)
"""Of an event loop, where nothing else is said."""


class Article(TypedDict, total=False):
    topic: str
    draft: str


def article() -> Workflow[Any]:
    flow = Workflow("article", Article, version="1")
    flow.add_node("write", lambda state: {"draft": f"All about {state['topic']}."})
    return flow.add_edge(START, "write").add_edge("write", END)


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Nobody writes to it meanwhile."""
    database = open_database(file)
    with database.transaction():
        yield
    database.close()


async def is_writable(client: httpx.AsyncClient) -> bool:
    return bool((await client.get("/ready")).json()["checks"].get("database") == "ok")


def asking(folder: Path, ask: Callable[[httpx.AsyncClient, str], Awaitable[None]]) -> None:
    """Ask a service whose event loop has one thread, with the id of a run that has ended."""
    file = folder / "runs.db"
    with Runner(article(), db=file) as runner:
        run_id = runner.run({"topic": "rain"}, thread="t").run_id
    service = Service([LoadedTarget(article(), "app.py:flow")], file)

    async def asked() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        transport = httpx.ASGITransport(asgi(service))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            async with asyncio.timeout(
                LIMIT
            ):  # a look that took too long goes on, and is the next one's answer
                while not await is_writable(client):
                    pass
            assert (await client.get("/ready")).status_code == 503  # it takes no runs; the tables are there
            await ask(client, run_id)

    asyncio.run(asked())
    service.close()


def test_who_reads_does_not_wait_for_those_who_change_something(tmp_path: Path) -> None:
    async def ask(client: httpx.AsyncClient, run_id: str) -> None:
        with locked(tmp_path / "runs.db"):
            body = {"workflow": "article", "input": {"topic": "snow"}}
            changes = [asyncio.create_task(client.post("/v1/runs", json=body)) for _ in range(3)]
            changes.append(asyncio.create_task(client.post(f"/v1/runs/{run_id}/cancel")))
            await asyncio.sleep(0)
            async with asyncio.timeout(10):
                found = (await client.get(f"/v1/runs/{run_id}")).json()
                listed = (await client.get("/v1/runs")).json()["runs"]
            assert not any(change.done() for change in changes)
        assert found["output"] == {"topic": "rain", "draft": "All about rain."}
        assert [run["run_id"] for run in listed] == [run_id]
        assert [(await change).status_code for change in changes] == [202, 202, 202, 409]

    asking(tmp_path, ask)


def test_who_asks_again_and_again_whether_it_is_ready_keeps_one_thread_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(application, "_LONGEST", 0.05)
    monkeypatch.setattr(application, "_FRESH", 0.0)

    async def ask(client: httpx.AsyncClient, run_id: str) -> None:
        with locked(tmp_path / "runs.db"):
            before = threading.active_count()
            for _ in range(5):
                got = await client.get("/ready")
                assert got.status_code == 503
                assert "longer than 0.05 s" in got.json()["checks"]["database"]
            async with asyncio.timeout(10):
                found = (await client.get(f"/v1/runs/{run_id}")).json()
            assert threading.active_count() <= before + 1
        assert found["output"]["draft"] == "All about rain."

        async with asyncio.timeout(LIMIT):
            while not await is_writable(client):
                pass

    asking(tmp_path, ask)


def test_a_service_that_is_told_to_stop_stops_also_where_every_thread_waits_for_the_database(
    serve: Serve, postgres_url: str
) -> None:
    service = serve("--db", postgres_url, "--rate", "10000")
    run_id = service.start()["run_id"]
    service.ended(run_id)
    with ThreadPoolExecutor(THREADS + 2) as pool, psycopg.connect(postgres_url) as other:
        other.execute("LOCK TABLE dalsegno.runs IN ACCESS EXCLUSIVE MODE")
        for _ in range(THREADS + 2):
            pool.submit(service.client.get, f"/v1/runs/{run_id}")
        waits = ("SELECT count(*) FROM pg_locks WHERE relation = 'dalsegno.runs'::regclass AND NOT granted",)
        until(lambda: other.execute(*waits).fetchone() >= (THREADS,), "every thread waits")
        service.process.send_signal(signal.SIGTERM)

        def is_closed() -> bool:
            try:
                httpx.get(f"{service.address}/health", timeout=LIMIT, trust_env=False)
            except httpx.ConnectError:
                return True
            return False

        until(is_closed, "it is stopped")
        assert other.execute(*waits).fetchone() >= (THREADS,)  # and they wait still
        other.rollback()
    assert service.process.wait(LIMIT) == 0
