"""An attempt at a run, without the engine: what is wrong with a run ends its turn, and is not tried for ever."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.types import interrupt

from dalsegno import END, START, Runner, Secret, Workflow, effect, human
from dalsegno.checkpoints import Claim, open_checkpointer, open_database
from dalsegno.distributed.advancing import advance, withdraw
from dalsegno.distributed.orders import Letter, Order, Place, Turn, keep
from dalsegno.distributed.playing import LAST
from dalsegno.errors import DatabaseUnavailable, ThreadBusy
from dalsegno.runtime.queueing import enqueue


@dataclass
class Draft:
    text: str


class State(TypedDict, total=False):
    n: int
    draft: Any
    verdict: str


class Typed(State):
    draft: Draft


def asking(schema: Any) -> Workflow:
    flow = Workflow("asks", schema).add_node("write", lambda state: {"draft": Draft("some words")})
    flow.add_node("ask", human("Publish?", answer=str, writes="verdict")).add_edge(START, "write")
    return flow.add_edge("write", "ask").add_edge("ask", END)


def test_a_run_of_thousands_of_turns_can_be_withdrawn(url: str) -> None:
    flow: Any = Workflow("talks", State).add_node("say", lambda state: {"n": 1})
    order = Order("r", "t", "talks")
    with Runner(flow.add_edge(START, "say").add_edge("say", END), db=url) as runner:
        late = Claim("worker 1", Turn(order, 5_000_000, 100.0).token(7))
        lease = runner.ledger.begin(run_id="r", thread="t", workflow="talks", claim=late)
        runner.ledger.finish(lease, "interrupted")
        assert withdraw(runner, Turn(order, LAST, 100.0), 1).status == "cancelled"
        assert runner.ledger.get("r").status == "cancelled"
        assert withdraw(runner, Turn(order, LAST, 100.0), 2).status == "cancelled"


def test_an_attempt_that_has_lost_its_run_records_no_effect(url: str) -> None:
    charged: list[str] = []
    taken: list[Any] = []

    def charge(state: State) -> Any:
        """Stands still at the first attempt, and meanwhile another worker has the run."""
        if not taken:
            later = Claim("worker 2", Turn(order, 1, 100.0).token(2))
            taken.append(second.ledger.acquire("t", run_id, claim=later))
        return {"n": effect("charge", lambda: charged.append(f"attempt {len(charged) + 1}") or len(charged))}

    flow = (
        Workflow("charges", State)
        .add_node(charge, effect=True)
        .add_edge(START, "charge")
        .add_edge("charge", END)
    )
    with Runner(flow, db=url) as first, Runner(flow, db=url) as second:
        run_id = enqueue(first, {"n": 0}, "t")
        order = Order(run_id, "t", "charges")
        with pytest.raises(ThreadBusy, match="taken over"):
            advance(first, Turn(order, 1, 100.0), 1)
        assert charged == ["attempt 1"]  # what it did to the world it did
        with second.ledger.database.read() as connection:
            assert connection.execute("SELECT count(*) FROM effects").fetchone() == (0,)
        second.ledger.finish(taken[0], "stopped")
        assert advance(second, Turn(order, 1, 100.0), 3).status == "completed"
        assert second.pending("t").values["n"] == 2


def test_a_database_that_an_effect_finds_away_ends_the_attempt_and_not_the_run(
    postgres_server: Any, postgres_url: str
) -> None:
    name = postgres_url.partition("?")[0].rpartition("/")[2]
    charged: list[str] = []

    def switch(on: bool) -> None:
        with postgres_server.connected() as connection:
            connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS {on}")
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
            )

    def charge(state: State) -> Any:
        """Finds the database away at the first attempt; it is back when the attempt ends."""
        if charged:
            return {"n": effect("charge", len, "four")}
        charged.append("tried")
        switch(on=False)
        try:
            return {"n": effect("charge", len, "four")}
        finally:
            switch(on=True)

    flow = Workflow("charges", State).add_node("charge", charge).add_edge(START, "charge")
    with open_checkpointer(open_database(postgres_url, timeout=1.0)) as saver:
        runner = Runner(flow.add_edge("charge", END), saver)
        run_id = enqueue(runner, {"n": 1}, "t")
        turn = Turn(Order(run_id, "t", "charges"), 1, 100.0)
        with pytest.raises(DatabaseUnavailable):
            advance(runner, turn, 1)
        assert advance(runner, turn, 2).status == "completed"
        assert runner.pending("t").values["n"] == 4


@pytest.mark.parametrize("more", [{}, {"default": "no"}])
def test_a_question_of_somebodys_own_that_calls_something_a_deadline_has_none(
    url: str, more: dict[str, str]
) -> None:
    """Or a worker would execute its node again each second, from that day on."""
    asked = {"question": "Publish?", "deadline": "2020-01-01", **more}
    flow = Workflow("asks", State).add_node("ask", lambda state: {"verdict": interrupt(asked)}, interrupts=1)
    with Runner(flow.add_edge(START, "ask").add_edge("ask", END), db=url) as runner:
        order = Order(enqueue(runner, {}, "t"), "t", "asks")
        outcome = advance(runner, Turn(order, 1, 100.0), 1)
    assert (outcome.status, outcome.deadline) == ("interrupted", None)


def test_a_value_that_cannot_be_kept_fails_its_run_at_once(url: str) -> None:
    with Runner(asking(State), db=url) as runner:
        run_id = enqueue(runner, {"n": 1}, "t")
        assert advance(runner, Turn(Order(run_id, "t", "asks"), 1, 100.0), 1).status == "failed"
        run = runner.ledger.get(run_id)
        assert run.error is not None
        assert (run.error["type"], run.resumes) == ("TypeNotAllowed", 0)


def test_a_type_that_a_newer_worker_does_not_know_fails_its_run_until_one_does(url: str) -> None:
    with Runner(asking(Typed), db=url) as runner:
        run_id = runner.run({"n": 1}, thread="t").run_id
        name = keep(runner.ledger, run_id, "t", Letter(Place("", "", "default")))
    turn = Turn(Order(run_id, "t", "asks", waits=True, resumes=0), 1, 100.0, 0, name)
    with Runner(asking(State), db=url) as newer:
        assert advance(newer, turn, 1).status == "failed"
        run = newer.ledger.get(run_id)
        assert run.error is not None
        assert run.error["type"] == "TypeNotAllowed"
        assert "Draft" in run.error["message"]
        assert advance(newer, turn, 2).status == "failed"  # the engine was not told of the first one
        assert newer.ledger.get(run_id).resumes == run.resumes
    with Runner(asking(Typed), db=url) as runner:
        assert runner.resume("t").status == "interrupted"
        assert runner.resume("t", "yes").output == {"n": 1, "draft": Draft("some words"), "verdict": "yes"}


@pytest.mark.parametrize("is_withdrawn", [True, False], ids=["withdrawn", "refused"])
def test_what_a_killed_worker_committed_is_counted_where_the_run_ends_without_another_turn(
    url: str, is_withdrawn: bool
) -> None:
    with Runner(asking(Typed), db=url) as runner:
        run_id = runner.run({"n": 1}, thread="t").run_id
        with runner.ledger.database.transaction() as session:  # as the kill has left it
            session.execute("UPDATE runs SET status = 'running', supersteps = 0, finished_at = NULL")
    turn = Turn(Order(run_id, "t", "asks"), 1, 100.0)
    renamed = Workflow("asks", Typed).add_node("write", lambda state: {"draft": Draft("some words")})
    renamed.add_node("question", human("Publish?", answer=str, writes="verdict")).add_edge(START, "write")
    with Runner(renamed.add_edge("write", "question").add_edge("question", END), db=url) as newer:
        outcome = withdraw(newer, turn, 2) if is_withdrawn else advance(newer, turn, 2)
        assert outcome.status == ("cancelled" if is_withdrawn else "failed")
        assert newer.ledger.get(run_id).supersteps == 1


class Keyed(State):
    key: Annotated[str, Secret]


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_a_node_that_ends_the_program_fails_its_run_and_is_not_executed_for_ever(
    url: str, error: type[BaseException]
) -> None:
    executed: list[str] = []

    def leave(state: Keyed) -> Any:
        executed.append("leave")
        raise error(f"enough of {state['key']}")

    flow = Workflow("leaves", Keyed).add_node("leave", leave).add_edge(START, "leave").add_edge("leave", END)
    with Runner(flow, db=url) as runner:
        turn = Turn(Order(enqueue(runner, {"key": "s3cr3t-value"}, "t"), "t", "leaves"), 1, 100.0)
        for attempt in (1, 2):  # the engine was not told of the first one
            assert advance(runner, turn, attempt).status == "failed"
        run = runner.ledger.get(turn.order.run_id)
        assert executed == ["leave"]
        assert run.error is not None
        assert (run.error["type"], run.error["message"]) == (error.__name__, "enough of **********")
        assert "s3cr3t" not in str(run.error)
        with pytest.raises(error):
            runner.resume("t")
        assert executed == ["leave", "leave"]  # a resume has it tried again
