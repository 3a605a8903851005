"""What is told of a run that goes on elsewhere: each execution once, in whatever order their commits end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dalsegno.checkpoints import Ledger, open_database
from dalsegno.distributed.following import Following
from dalsegno.runtime.events import Event, NodeFinished, RunFinished, RunStarted


@pytest.fixture
def ledger_of(postgres_url: str) -> Iterator[Callable[[], Ledger]]:
    """Makes ledgers, each with connections of its own."""
    made: list[Ledger] = []

    def make() -> Ledger:
        made.append(Ledger(open_database(postgres_url)))
        return made[-1]

    yield make
    for ledger in made:
        ledger.database.close()


def executed(session: Any, node: str, started: float = 5.0) -> None:
    """Have a node executed, as a worker's transaction says it."""
    session.execute(
        "INSERT INTO executions (run_id, superstep, node, occurrence, attempt, status, started_at, seconds, "
        "targets) VALUES ('r', 1, ?, '1', 1, 'done', ?, 1.0, '[]')",
        (node, started),
    )
    session.sync()


def nodes(events: list[Event]) -> list[str]:
    return [event.node for event in events if isinstance(event, NodeFinished)]


def test_an_execution_whose_commit_ends_after_a_younger_ones_is_told_and_no_other_one_twice(
    ledger_of: Callable[[], Ledger],
) -> None:
    ledger, other = ledger_of(), ledger_of()
    lease = ledger.begin(run_id="r", thread="t", workflow="w")
    following = Following(ledger, "r")
    assert [type(event) for event in following.look()] == [RunStarted]
    with other.database.transaction() as slower:
        executed(slower, "first")
        with ledger.database.transaction() as session:
            executed(session, "second")
        assert nodes(following.look()) == ["second"]
    assert nodes(following.look()) == ["first"]
    with ledger.database.transaction() as session:
        executed(session, "second", started=7.0)  # again, after a crash
    assert nodes(following.look()) == ["second"]
    ledger.finish(lease, "completed")
    assert [type(event) for event in following.look()] == [RunFinished]
    assert following.over


def test_a_run_that_was_given_up_is_followed_no_further(ledger_of: Callable[[], Ledger]) -> None:
    ledger = ledger_of()
    lease = ledger.begin(run_id="r", thread="t", workflow="w")
    following = Following(ledger, "r")
    following.look()
    ledger.finish(lease, "stopped")  # as a worker does that hands it over
    assert following.look() == []
    assert not following.over
    ledger.begin(run_id="next", thread="t", workflow="w")
    (end,) = following.look()
    assert isinstance(end, RunFinished)
    assert end.status == "stopped"
    assert following.over
