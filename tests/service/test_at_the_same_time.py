"""What several ask of one thread at the same moment: one comes first, and the others are told so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx

from dalsegno.checkpoints import Ledger, open_database
from dalsegno.checkpoints.queueing import enqueue
from tests.service.conftest import LIMIT, OTHER, TOKEN, Serve, Served, until


@contextmanager
def held(url: str, thread: str, waiting: int) -> Iterator[Ledger]:
    """A transaction that has the thread; it goes on once so many wait for that, where that can be seen."""
    database = open_database(url)
    try:
        with database.transaction() as session:
            database.lock(thread)
            yield Ledger(database)
            if url.startswith("postgresql"):
                asked = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
                until(lambda: session.execute(asked).fetchone()[0] >= waiting, f"{waiting} wait")
    finally:
        database.close()


def asking(service: Served, token: str, path: str, **body: Any) -> httpx.Response:
    """Ask with that token."""
    return httpx.post(
        f"{service.address}{path}",
        json=body,
        headers={"authorization": f"Bearer {token}"},
        timeout=LIMIT,
        trust_env=False,
    )


def test_of_two_clients_who_begin_one_thread_one_has_a_run_and_the_other_is_told(
    serve: Serve, url: str
) -> None:
    service = serve("--db", url)
    with ThreadPoolExecutor(2) as pool:
        with held(url, "new", waiting=2):
            asked = [
                pool.submit(
                    asking,
                    service,
                    token,
                    "/v1/runs",
                    workflow="asking",
                    thread="new",
                    input={"topic": token},
                )
                for token in (TOKEN, OTHER)
            ]
        got = [each.result() for each in asked]
    assert Counter(each.status_code for each in got) == {202: 1, 409: 1}
    (accepted,) = (each.json()["run_id"] for each in got if each.status_code == 202)
    assert service.ended(accepted, "interrupted")["thread"] == "new"


def test_who_cancels_a_run_never_cancels_the_one_that_came_after_it(serve: Serve, postgres_url: str) -> None:
    service = serve("--db", postgres_url)
    before = service.start("asking", thread="t")["run_id"]
    service.ended(before, "interrupted")
    with ThreadPoolExecutor(1) as pool:
        with held(postgres_url, "t", waiting=1) as ledger:
            asked = pool.submit(asking, service, TOKEN, f"/v1/runs/{before}/cancel")
            enqueue(ledger, run_id="f" * 32, thread="t", workflow="asking")
        got = asked.result()
    assert (got.status_code, got.json()["type"]) == (409, "urn:dalsegno:nothing-to-resume")
    assert service.run("f" * 32)["status"] == "queued"
