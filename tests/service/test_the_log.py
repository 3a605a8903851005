"""What the service's log has no lines for: clients and drivers that would fill it with what nobody can act on."""

from __future__ import annotations

import time

import httpx

from tests.databases import Postgres
from tests.service.conftest import LIMIT, Serve, until


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
    assert len(service.log.read_text().splitlines()) == 1
