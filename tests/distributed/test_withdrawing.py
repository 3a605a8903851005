"""A run that was cancelled in the engine is withdrawn from whoever had it last."""

from __future__ import annotations

from typing import Any, TypedDict

from dalsegno import END, START, Runner, Workflow
from dalsegno.checkpoints import Claim
from dalsegno.distributed.advancing import withdraw
from dalsegno.distributed.orders import Order, Turn
from dalsegno.distributed.playing import LAST


class State(TypedDict, total=False):
    n: int


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
