"""The executions of a run for somebody who follows it: each once, whenever its commit ends, also after a pause."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dalsegno.checkpoints import ExecutionRecord, Ledger
from dalsegno.checkpoints.steps import SEEN, Seen, Steps


def executed(ledger: Ledger, node: str, occurrence: int = 1) -> None:
    """Journal an execution with the next commit."""
    ledger.journal(
        ExecutionRecord(
            run_id="r", superstep=1, node=node, occurrence=occurrence, index=None, attempt=1, status="done",
            started_at=1.0, seconds=0.5,
        )
    )  # fmt: skip


def names(found: list[tuple[Seen, Any]]) -> list[str]:
    return [step["node"] for _, step in found]


@pytest.fixture
def ledger(url: str, ledger_of: Callable[..., Ledger]) -> Ledger:
    made = ledger_of(url)
    made.begin(run_id="r", thread="t", workflow="w")
    return made


def test_each_execution_is_given_once_in_order(ledger: Ledger) -> None:
    steps = Steps(ledger, "r")
    assert steps.more() == []
    for node in ("a", "b", "c"):
        executed(ledger, node)
    ledger.database.flush()
    assert names(steps.more(limit=2)) == ["a", "b"]
    assert names(steps.more(limit=2)) == ["c"]
    assert steps.more() == []


def test_who_comes_back_goes_on_after_what_he_saw(ledger: Ledger) -> None:
    for node in ("a", "b", "c"):
        executed(ledger, node)
    ledger.database.flush()
    (seen, _), *_ = Steps(ledger, "r").more()
    assert SEEN.fullmatch(str(seen))
    back = Steps(ledger, "r", Seen.of(str(seen)))
    assert names(back.more()) == ["b", "c"]
    only_a_number = Steps(ledger, "r", Seen(seen.number))
    assert names(only_a_number.more()) == ["b", "c"]
    assert Steps(ledger, "r", back.seen).more() == []


def test_a_routers_decision_has_the_occurrence_0_on_every_database(ledger: Ledger) -> None:
    executed(ledger, "router", 0)
    executed(ledger, "a", 2)
    ledger.database.flush()
    assert [step["occurrence"] for _, step in Steps(ledger, "r").more()] == [0, 2]


def test_what_is_committed_after_a_younger_one_is_given_too_and_nothing_twice(
    postgres_url: str, ledger_of: Callable[..., Ledger]
) -> None:
    ledger, other = ledger_of(postgres_url), ledger_of(postgres_url)
    steps = Steps(ledger, "r")
    executed(ledger, "a")
    ledger.database.flush()
    assert names(steps.more()) == ["a"]
    with other.database.transaction() as slower:
        inserted(slower, "b")
        executed(ledger, "c")
        ledger.database.flush()
        ((seen, step),) = steps.more()
        assert step["node"] == "c"
    assert names(steps.more()) == ["b"]
    assert steps.more() == []
    # Who was cut off in between is told everything again: which one is new cannot be known.
    assert names(Steps(ledger, "r", seen).more()) == ["a", "b", "c"]
    assert Steps(ledger, "r", steps.seen).more() == []


def inserted(session: Any, node: str) -> None:
    session.execute(
        "INSERT INTO executions (run_id, superstep, node, occurrence, attempt, status, started_at, seconds, targets) "
        "VALUES ('r', 1, ?, '1', 1, 'done', 1.0, 0.5, '[]')",
        (node,),
    )
    session.sync()
