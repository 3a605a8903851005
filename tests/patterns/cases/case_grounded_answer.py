"""Nothing bears the answer out, however wide it looks: the longest way there is."""

from __future__ import annotations

from typing import Any

from pattern_case import Case, Failing

from dalsegno.graphs.patterns import grounded_answer

PASSAGES = ["rain falls", "snow lies", "the sun shines on rain"]


def retrieve(state: Any) -> list[str]:
    return PASSAGES[: state.get("attempt", 0) + 1]


def grade(state: Any) -> float:
    return 0.1


def rerank(state: Any) -> list[str]:
    return sorted(state["passages"])


def generate(state: Any) -> str:
    return "; ".join(state["passages"])


def critic(state: Any) -> dict[str, Any]:
    grounded = state["question"] in state["answer"]
    return {"grounded": grounded, "reason": "" if grounded else f"no passage has `{state['question']}` in it"}


def unsure(state: Any) -> float:
    return float("nan")


CASE = Case(
    pattern=grounded_answer,
    args=(retrieve, grade, generate, critic),
    options={"rerank": rerank, "retries": 1},
    given={"question": "hail"},
    expect={"outcome": "cannot", "passages": ["rain falls", "snow lies"]},
    gives="answer",
    failing=Failing(
        args=(retrieve, unsure, generate, critic),
        given={"question": "rain"},
        error=("WrongAnswer", "`grade` of the pattern `grounded_answer` answered nan"),
    ),
    slot=lambda node, state: grounded_answer(
        retrieve, grade, node, lambda s: {"grounded": True, "reason": ""}, rerank=rerank, state=state
    ),
    slot_key="answer",
    slot_given={"question": "rain"},
)
