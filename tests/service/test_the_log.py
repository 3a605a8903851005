"""What the service's log has no lines for: clients and drivers that would fill it with what nobody can act on."""

from __future__ import annotations

import contextlib
import itertools
import time
from pathlib import Path
from typing import TypedDict

import httpx
import pytest

from dalsegno import END, START, Workflow
from dalsegno.checkpoints import Database, Ledger
from dalsegno.checkpoints.requests import is_due
from dalsegno.errors import DatabaseUnavailable
from dalsegno.graphs.loading import LoadedTarget
from dalsegno.service import Service, Settings
from dalsegno.service.models import StartRun
from tests.databases import Postgres
from tests.service.conftest import LIMIT, Serve, until


class State(TypedDict, total=False):
    n: int


def test_a_client_that_would_rather_speak_another_protocol_is_answered_without_a_word(serve: Serve) -> None:
    service = serve("--db", "runs.db")
    for other in ("h2c", "websocket"):
        got = httpx.get(
            f"{service.address}/health",
            headers={"connection": "Upgrade", "upgrade": other},
            timeout=LIMIT,
            trust_env=False,
        )
        assert got.status_code == 200
    assert len(service.log.read_text().splitlines()) == 1


def test_a_database_that_is_away_for_a_moment_leaves_no_line_for_each_attempt_to_reach_it(
    serve: Serve, postgres_server: Postgres, postgres_url: str
) -> None:
    service = serve("--db", postgres_url)
    run_id = service.start()["run_id"]
    service.ended(run_id)

    def asked() -> None:
        end = time.monotonic() + 3
        while time.monotonic() < end:
            assert service.client.get("/ready").status_code == 503

    postgres_server.restart(asked)
    until(lambda: service.client.get("/ready").status_code == 200, "it is ready again")
    assert service.run(run_id)["status"] == "completed"
    _, *more = service.log.read_text().splitlines()
    assert len(more) <= 1  # where the service itself has just looked at what is due
    assert all("What is due cannot be looked at, and is tried again" in line for line in more)


def test_a_database_that_cannot_be_looked_at_is_told_once_each_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rounds = itertools.count()
    latest = 0

    def clock() -> float:
        nonlocal latest
        latest = next(rounds)
        return time.time()

    def told() -> list[str]:
        """What the service has logged; beside it another test's connections may end."""
        return [record.getMessage() for record in caplog.records if record.name == "dalsegno.service"]

    def started() -> str | None:
        with contextlib.suppress(DatabaseUnavailable):  # it was another file a moment ago
            return service.start(StartRun(workflow="work"), client="ci")[0]
        return None

    flow = Workflow("work", State).add_node("work", lambda state: {}).add_edge(START, "work")
    target = LoadedTarget(flow.add_edge("work", END), "app.py:flow")
    database, aside = tmp_path / "runs.db", tmp_path / "aside"
    service = Service([target], database, Settings(poll=0.01), clock=clock)
    service.open()
    ledger = Ledger(Database(database))
    for times in (1, 2):
        database.rename(aside)
        database.write_text("this is none")
        until(lambda times=times: len(told()) == times, "it is told")
        before = latest
        until(lambda before=before: latest > before + 20, "it is tried again and again")
        aside.replace(database)
        run_id = until(started, "it is found again")
        until(lambda run_id=run_id: service.run(run_id).status == "completed", "it runs again")
        until(lambda run_id=run_id: not is_due(ledger, run_id), "it is done with the run, too")
        assert len(told()) == times
    assert all("What is due cannot be looked at" in line for line in told())
    service.drain()
    service.close()
    ledger.database.close()
