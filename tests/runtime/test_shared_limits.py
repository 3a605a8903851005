"""A rate limit with a name, and a breaker, are one for all processes on one server."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from worlds import State

from dalsegno import END, START, CircuitBreaker, RateLimit, Runner, Workflow
from dalsegno.checkpoints import Ledger, open_database
from dalsegno.checkpoints.turns import KeptTurns


@pytest.fixture
def processes(postgres_url: str) -> Iterator[list[Any]]:
    """Databases as two processes have them."""
    opened = [open_database(postgres_url) for _ in range(2)]
    yield opened
    for database in opened:
        database.close()


def test_the_turns_of_two_processes_keep_to_one_limit(processes: list[Any]) -> None:
    turns = [KeptTurns(Ledger(database)) for database in processes]

    def take(number: int) -> Any:
        return turns[number % 2].take("model", calls=3, per=10.0, now=1000.0, most=None)

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(take, range(9))) == [1000.0] * 3 + [1010.0] * 3 + [1020.0] * 3
    assert turns[0].take("model", calls=3, per=10.0, now=1000.0, most=29.0) is not None
    assert turns[1].take("another", calls=3, per=10.0, now=1000.0, most=0.0) == 1000.0


def test_a_turn_that_would_come_too_late_is_not_taken(processes: list[Any]) -> None:
    first, second = (KeptTurns(Ledger(database)) for database in processes)
    assert first.take("model", calls=1, per=10.0, now=1000.0, most=0.0) == 1000.0
    for _ in range(3):
        assert second.take("model", calls=1, per=10.0, now=1004.0, most=5.0) == 1010.0
    assert second.take("model", calls=1, per=10.0, now=1010.0, most=0.0) == 1010.0


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_a_node_waits_for_the_calls_of_other_processes(postgres_url: str, colour: str) -> None:
    limit = RateLimit(calls=2, per=1000, max_wait=0, name=f"calls of test_shared_limits {colour}")

    async def acall(state: State) -> State:
        return {"topic": "called"}

    def call(state: State) -> State:
        return {"topic": "called"}

    flow = Workflow("limited", State)
    flow.add_node("call", acall if colour == "async" else call, rate_limit=limit)
    flow.add_edge(START, "call").add_edge("call", END)
    with Runner(flow, db=postgres_url) as runner:
        assert [runner.run({}).status for _ in range(2)] == ["completed"] * 2
        limit.turns.begun.clear()  # what another process knows of them
        refused = runner.run({})
    assert refused.error is not None
    assert (refused.status, refused.error["type"]) == ("failed", "RateLimited")


def test_a_breaker_that_has_opened_is_open_elsewhere(postgres_url: str) -> None:
    def broken(state: State) -> State:
        raise ValueError("broken")

    def flow() -> Workflow:
        made = Workflow("breaking", State)
        made.add_node("call", broken, breaker=CircuitBreaker(failures=1, recovery=1000))
        return made.add_edge(START, "call").add_edge("call", END)

    with Runner(flow(), db=postgres_url) as one, Runner(flow(), db=postgres_url) as another:
        assert (one.run({}).error or {})["type"] == "ValueError"
        assert (another.run({}).error or {})["type"] == "CircuitOpen"
