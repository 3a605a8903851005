"""Pattern 28: answer from what was found, and say that it cannot where nothing bears the answer out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from typing_extensions import TypedDict  # pydantic validates these on Python 3.11 too

from dalsegno.graphs.model import END, START, Loop
from dalsegno.graphs.patterns.catalog import pattern
from dalsegno.graphs.patterns.counting import share, whole
from dalsegno.graphs.patterns.roles import Cast, Role
from dalsegno.graphs.patterns.states import Score, read
from dalsegno.graphs.workflow import Workflow


class Judgement(TypedDict):
    """What the critic says of an answer: whether its sentences are borne out, and why not."""

    grounded: bool
    reason: str


class GroundedAnswer(TypedDict, total=False):
    """The state: extend it for roles that need more.

    - `question`: what is asked
    - `attempt`: counts wider retrievals from 1; at the end it is 0, for the thread's next turn
    - `passages`, `answer`: what the roles make of them
    - `quality`: the grade of the retrieval, 0 to 1
    - `judgement`: what the critic says about the last answer
    - `outcome`: set at the end: ``"answered"`` or ``"cannot"``
    """

    question: str
    attempt: int
    passages: list[Any]
    quality: float
    answer: Any
    judgement: Judgement
    outcome: Literal["answered", "cannot"]


@pattern(28, bound="6 * retries + 6")
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
    """Answer from what was found: retrieve, grade, rerank if poor, generate, check, retry wider, or say that it cannot.

    When
    ----
    Questions must be answered from a source, and the answer names the source.

    When not
    --------
    The answer may come from the model alone: the critic would refuse it.

    Parameters
    ----------
    retrieve
        ``state -> passages``, a list. It searches wider with each ``state.get("attempt", 0)``: nothing has been
        counted at first.
    grade
        ``state -> quality``, 0 to 1.
    generate
        ``state -> answer``.
    critic
        ``state -> judgement``, ``{"grounded": bool, "reason": str}``.
    rerank
        ``state -> passages``, for a retrieval with a quality below `good_enough`.
    good_enough
        From this quality on, a retrieval is not reranked.
    retries
        Wider retrievals after the first one.
    state
        `GroundedAnswer` or a schema with its keys.
    options
        Keywords of `Workflow.add_node` by node: ``{"generate": {"calls": 1, "timeout": 30}}``.

    Bound
    -----
    Five supersteps for the first attempt, six for each wider one, and the end.

    Failure
    -------
    If no answer is supported by the source, ``outcome`` is ``"cannot"``, and ``judgement`` says why the last answer
    was not.

    Source
    ------
    Retrieval with self-checking, as in Asai et al., "Self-RAG" (2023), and Yan et al., "Corrective Retrieval
    Augmented Generation" (2024).

    Example
    -------
    >>> from dalsegno.graphs.patterns import grounded_answer
    >>> def retrieve(state) -> list[str]:
    ...     return [line for line in ("rain falls", "snow lies") if state["question"] in line]
    >>> def grade(state) -> float:
    ...     return 1.0 if state["passages"] else 0.0
    >>> def generate(state) -> str:
    ...     return " ".join(state["passages"])
    >>> def critic(state) -> dict:
    ...     return {"grounded": bool(state["answer"]), "reason": "there is no such passage"}
    >>> def rerank(state) -> list[str]:
    ...     return state["passages"]
    >>> flow = grounded_answer(retrieve, grade, generate, critic, rerank=rerank)
    >>> given = {"question": "rain"}
    >>> flow.compile().invoke(given)["answer"]
    'rain falls'
    """
    whole("grounded_answer", 0, retries=retries)
    share("grounded_answer", good_enough=good_enough)
    flow = Workflow(name, state, version=version)
    cast = Cast("grounded_answer", flow, options)
    cast.add(Role(name="retrieve", key="passages", type=list[Any]), retrieve)
    cast.add(Role(name="grade", key="quality", type=Score, prompt=_GRADE), grade)
    cast.add(Role(name="rerank", key="passages", type=list[Any]), rerank)
    cast.add(Role(name="generate", key="answer", prompt=_GENERATE), generate)
    cast.add(Role(name="critic", key="judgement", type=Judgement, prompt=_CRITIC), critic)
    cast.own("respond", lambda state: {"outcome": "answered", "attempt": 0})
    cast.own("cannot", lambda state: {"outcome": "cannot", "attempt": 0})

    def quality(state: Any) -> Literal["good", "poor"]:
        return "good" if read(state, "quality") >= good_enough else "poor"

    flow.add_edge(START, "retrieve").add_edge("retrieve", "grade")
    flow.add_conditional_edges("grade", quality, {"good": "generate", "poor": "rerank"})
    flow.add_edge("rerank", "generate").add_edge("generate", "critic")
    wider: str | Loop = "cannot"
    if retries:
        cast.own("widen", lambda state: {"attempt": read(state, "attempt", 0) + 1})
        flow.add_edge("widen", "retrieve")
        wider = Loop("widen", max=retries, on_exhausted="cannot")
    flow.add_conditional_edges("critic", _grounded, {"grounded": "respond", "not grounded": wider})
    flow.add_edge("respond", END).add_edge("cannot", END)
    return flow


def _grounded(state: Any) -> Literal["grounded", "not grounded"]:
    return "grounded" if read(read(state, "judgement"), "grounded") else "not grounded"


_GRADE = """How well do these passages bear on the question? From 0, not at all, to 1, they answer it.

Question: {question}

{passages}"""

_GENERATE = """Answer the question in one to four sentences, from the passages alone. If they do not answer it, say so.

Question: {question}

{passages}"""

_CRITIC = """Is every sentence of this answer borne out by the passages? Say why not.

Question: {question}
Answer: {answer}

{passages}"""
