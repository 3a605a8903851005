"""Pattern 28: retrieve, grade, rerank if poor, generate, check, retry wider, answer or say that it cannot."""

from __future__ import annotations

from typing import Any

import pytest

from dalsegno.errors import DefinitionError
from dalsegno.graphs.patterns import GroundedAnswer, grounded_answer


class Roles:
    """Roles that answer as they are told, and remember how wide they retrieved."""

    def __init__(self, *, quality: float, grounded_at: int | None) -> None:
        self.quality = quality
        self.grounded_at = grounded_at
        self.ran: list[str] = []

    def retrieve(self, state: GroundedAnswer) -> dict[str, Any]:
        self.ran.append(f"retrieve {state.get('attempt', 0)}")
        return {"passages": [state["question"]]}

    def grade(self, state: GroundedAnswer) -> dict[str, Any]:
        return {"quality": self.quality}

    def rerank(self, state: GroundedAnswer) -> dict[str, Any]:
        self.ran.append("rerank")
        return {"passages": state["passages"]}

    def generate(self, state: GroundedAnswer) -> dict[str, Any]:
        return {"answer": state["passages"][0]}

    def critic(self, state: GroundedAnswer) -> dict[str, Any]:
        grounded = self.grounded_at is not None and state.get("attempt", 0) >= self.grounded_at
        return {"judgement": {"grounded": grounded, "reason": "" if grounded else "not found"}}


def run(retries: int, **roles: Any) -> tuple[dict[str, Any], Roles, Any]:
    made = Roles(**roles)
    flow = grounded_answer(
        made.retrieve, made.grade, made.generate, made.critic, rerank=made.rerank, retries=retries
    )
    return flow.compile().invoke({"question": "why?"}), made, flow


def test_a_good_retrieval_is_answered_at_once_without_reranking() -> None:
    result, roles, _ = run(2, quality=1.0, grounded_at=0)
    assert result["outcome"] == "answered"
    assert roles.ran == ["retrieve 0"]


def test_a_poor_retrieval_is_reranked() -> None:
    _, roles, _ = run(2, quality=0.1, grounded_at=0)
    assert roles.ran == ["retrieve 0", "rerank"]


def test_an_answer_that_is_not_grounded_is_tried_again_wider() -> None:
    result, roles, _ = run(2, quality=1.0, grounded_at=2)
    assert result["outcome"] == "answered"
    assert roles.ran == ["retrieve 0", "retrieve 1", "retrieve 2"]


@pytest.mark.parametrize("retries", [0, 1, 2, 5])
def test_it_says_that_it_cannot_and_reaches_its_bound_exactly(retries: int) -> None:
    from langgraph.checkpoint.memory import InMemorySaver

    from dalsegno.graphs.views import KERNEL

    result, roles, flow = run(retries, quality=0.1, grounded_at=None)
    assert result["outcome"] == "cannot"
    assert result["judgement"]["reason"] == "not found"
    assert len([r for r in roles.ran if r.startswith("retrieve")]) == retries + 1
    certificate = flow.validate().certificate
    assert certificate.supersteps == 6 * retries + 6
    graph = flow.compile(InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    graph.invoke({"question": "why?"}, config)
    assert graph.get_state(config).values[KERNEL]["walk"] == certificate.supersteps


def test_options_reach_the_roles() -> None:
    roles = Roles(quality=1.0, grounded_at=0)
    flow = grounded_answer(
        roles.retrieve,
        roles.grade,
        roles.generate,
        roles.critic,
        rerank=roles.rerank,
        options={role: {"calls": 0} for role in ("retrieve", "grade", "rerank", "critic")}
        | {"generate": {"calls": 1}},
    )
    assert flow.validate().certificate.model_calls == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"retries": -1}, r"grounded_answer\(retries=-1\): a whole number, 0 or more"),
        ({"retries": True}, r"grounded_answer\(retries=True\): a whole number"),
        ({"good_enough": float("nan")}, r"grounded_answer\(good_enough=nan\): a number from 0 to 1"),
        ({"good_enough": 75}, r"grounded_answer\(good_enough=75\): a number from 0 to 1"),
    ],
)
def test_what_cannot_be_meant_is_refused(options: dict[str, Any], message: str) -> None:
    roles = Roles(quality=1.0, grounded_at=0)
    with pytest.raises(DefinitionError, match=message):
        grounded_answer(
            roles.retrieve, roles.grade, roles.generate, roles.critic, rerank=roles.rerank, **options
        )
