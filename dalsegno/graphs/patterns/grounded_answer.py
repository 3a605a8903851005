"""Pattern 28: answer from what was found, and say that it cannot where nothing bears the answer out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypedDict

from dalsegno.graphs.model import END, START, Loop
from dalsegno.graphs.workflow import Workflow


class Judgement(TypedDict):
    """What the critic says of an answer: whether its sentences are borne out, and why not."""

    grounded: bool
    reason: str


class GroundedAnswer(TypedDict, total=False):
    """The state: extend it for roles that need more.

    `attempt` counts wider retrievals from 0; `passages` and `answer` are what the roles make of them;
    `quality` is the grade of the retrieval, 0 to 1; `outcome` is set at the end.
    """

    question: str
    attempt: int
    passages: list[Any]
    quality: float
    answer: Any
    judgement: Judgement
    outcome: Literal["answered", "cannot"]


def grounded_answer(
    retrieve: Any,
    grade: Any,
    generate: Any,
    critic: Any,
    *,
    rerank: Any,
    good_enough: float = 0.75,
    retries: int = 2,
    state: Any = GroundedAnswer,
    name: str = "grounded_answer",
    version: str = "1",
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Workflow:
    """Retrieve, grade, rerank if poor, generate, check groundedness, retry with a wider retrieval.

    For questions that must be answered from a source, with the source named. Not for questions whose
    answer may come from the model alone: the critic would refuse it.

    Parameters
    ----------
    retrieve
        ``state -> {"passages"}``; wider with each ``state["attempt"]``, which is 0 at first.
    grade
        ``state -> {"quality"}``, 0 to 1.
    generate
        ``state -> {"answer"}``.
    critic
        ``state -> {"judgement": {"grounded": bool, "reason": str}}``.
    rerank
        ``state -> {"passages"}``, for a retrieval below `good_enough`.
    good_enough
        The quality from which on a retrieval is not reranked.
    retries
        Wider retrievals after the first one.
    state
        `GroundedAnswer` or a schema with its keys.
    options
        Keywords of `Workflow.add_node` for each role: ``{"generate": {"calls": 1, "timeout": 30}}``.

    Bound
    -----
    ``6 * retries + 6`` supersteps: five for the first attempt, six for each wider one, and the end.

    Source: retrieval with self-checking, as in Asai et al., "Self-RAG" (2023), and Yan et al.,
    "Corrective Retrieval Augmented Generation" (2024).
    """
    said = options or {}
    flow = Workflow(name, state, version=version)
    roles = {"retrieve": retrieve, "grade": grade, "rerank": rerank, "generate": generate, "critic": critic}
    for role, action in roles.items():
        flow.add_node(role, action, **said.get(role, {}))
    flow.add_node("respond", _respond, calls=0, **said.get("respond", {}))
    flow.add_node("cannot", _cannot, calls=0, **said.get("cannot", {}))

    def quality(state: Any) -> Literal["good", "poor"]:
        return "good" if state["quality"] >= good_enough else "poor"

    flow.add_edge(START, "retrieve").add_edge("retrieve", "grade")
    flow.add_conditional_edges("grade", quality, {"good": "generate", "poor": "rerank"})
    flow.add_edge("rerank", "generate").add_edge("generate", "critic")
    wider: str | Loop = "cannot"
    if retries:
        flow.add_node("widen", _widen, calls=0, **said.get("widen", {})).add_edge("widen", "retrieve")
        wider = Loop("widen", max=retries, on_exhausted="cannot")
    flow.add_conditional_edges("critic", _grounded, {"grounded": "respond", "not grounded": wider})
    flow.add_edge("respond", END).add_edge("cannot", END)
    return flow


def _grounded(state: Any) -> Literal["grounded", "not grounded"]:
    return "grounded" if state["judgement"]["grounded"] else "not grounded"


def _widen(state: Any) -> dict[str, Any]:
    return {"attempt": state.get("attempt", 0) + 1}


def _respond(state: Any) -> dict[str, Any]:
    return {"outcome": "answered"}


def _cannot(state: Any) -> dict[str, Any]:
    return {"outcome": "cannot"}
