"""What is asked of one thread at the same moment: one comes first, and the others are told so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict

import httpx
import pytest

from dalsegno import END, START, Workflow
from dalsegno.checkpoints import Ledger, open_database
from dalsegno.checkpoints.queueing import enqueue
from dalsegno.errors import ThreadUnfinished
from dalsegno.graphs.loading import LoadedTarget
from dalsegno.service import Service
from dalsegno.service.models import StartRun
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


class State(TypedDict, total=False):
    topic: str


def test_a_run_that_was_killed_before_its_end_was_recorded_ends_before_the_next_one_begins(
    tmp_path: Path,
) -> None:
    flow = Workflow("article", State)
    flow.add_node("write", lambda state: {}).add_edge(START, "write").add_edge("write", END)
    service = Service([LoadedTarget(flow, "app.py:flow")], tmp_path / "runs.db")
    try:
        first, _ = service.start(StartRun(workflow="article", input={"topic": "a"}, thread="t"), client="c")
        service.runners["article"].resume("t")
        with service.checkpointer.database.transaction() as session:  # as the kill has left it
            session.execute("UPDATE runs SET status = 'running', finished_at = NULL")
        assert service.run(first).status == "stopped"
        another = StartRun(workflow="article", input={"topic": "b"}, thread="t")
        with pytest.raises(ThreadUnfinished, match="about to go on"):
            service.start(another, client="c")
        service.open()
        until(lambda: service.run(first).status == "completed", "its end is recorded")
        second, _ = service.start(another, client="c")
        until(lambda: service.run(second).status == "completed", "the next one ends")
    finally:
        service.drain()
        service.close()
