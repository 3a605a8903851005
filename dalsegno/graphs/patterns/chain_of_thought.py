"""Pattern 10: think step by step, and answer then."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from typing_extensions import TypedDict

from dalsegno.graphs.model import END, Loop
from dalsegno.graphs.patterns.catalog import pattern
from dalsegno.graphs.patterns.counting import whole
from dalsegno.graphs.patterns.roles import Cast, Role
from dalsegno.graphs.patterns.states import read
from dalsegno.graphs.workflow import Workflow

_THINK = """Think about this step by step. Write the next steps of the reasoning, as many as you are sure of, each of
which follows from what is known; do not repeat those that are there. Set `enough` when the answer follows from them.

{request}

The steps until now: {steps}"""
_ANSWER = """Answer from these steps of reasoning, with the answer alone.

{request}

The steps: {steps}"""


class Thought(TypedDict):
    """The next steps of the reasoning, and whether they are enough for the answer."""

    steps: list[str]
    enough: bool


class Thoughts(TypedDict, total=False):
    """The state: extend it for roles that need more.

    - `request`: what is asked
    - `steps`: the reasoning so far
    - `thought`: what was added last
    - `answer`: the answer, apart from the steps
    - `outcome`: set at the end: ``"thought through"``, ``"stuck"`` if no new step came, or ``"out of rounds"``
    """

    request: Any
    thought: Thought
    steps: Annotated[list[str], operator.add]
    answer: Any
    outcome: Literal["thought through", "stuck", "out of rounds"]


@pattern(10, bound="2 * rounds + 2")
def chain_of_thought(
    think: Any,
    answer: Any,
    *,
    rounds: int = 4,
    state: Any = Thoughts,
    name: str = "chain_of_thought",
    version: str = "1",
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Workflow:
    """Write down the steps of a reasoning, and answer from them.

    When
    ----
    The answer needs several steps of thought, and you want to see them: sums, puzzles, rules that apply one after the
    other. Thinking and answering may use different models.

    When not
    --------
    - Something has to be found out: `react`.
    - The model reasons by itself before it answers.

    Parameters
    ----------
    think
        ``state -> {"steps": [...], "enough": bool}``: the next steps. Reads ``state["request"]`` and
        ``state["steps"]``.
    answer
        ``state -> answer``. Reads ``state["steps"]``.
    rounds
        How often it thinks.
    state
        `Thoughts` or a schema with its keys.
    options
        Keywords of `Workflow.add_node` by node: ``{"think": {"timeout": 60}}``.

    Bound
    -----
    `begin`; for each of `rounds`: `think`, and `note`, which adds the new steps to the others; and the answer.

    Failure
    -------
    If no new step comes, `outcome` is ``"stuck"``; if the rounds are used up, ``"out of rounds"``. In both cases the
    answer is made from the steps so far. If a role fails, the run fails, and is resumed there.

    Source
    ------
    Wei et al., "Chain-of-Thought Prompting Elicits Reasoning in Large Language Models" (2022).

    Example
    -------
    >>> from dalsegno.graphs.patterns import chain_of_thought
    >>> def think(state) -> dict:
    ...     last = int(state["steps"][-1]) if state["steps"] else state["request"]
    ...     return {"steps": [str(last // 2)], "enough": last < 4}
    >>> def answer(state) -> int:
    ...     return len(state["steps"])
    >>> flow = chain_of_thought(think, answer)
    >>> given = {"request": 9}
    >>> flow.compile().invoke(given)["answer"]
    3
    """
    whole("chain_of_thought", 1, rounds=rounds)
    flow = Workflow(name, state, version=version)
    cast = Cast("chain_of_thought", flow, options)
    begin = cast.begin(steps=[])
    cast.add(Role(name="think", key="thought", type=Thought, prompt=_THINK), think)
    cast.own("note", _noted)
    cast.add(Role(name="answer", key="answer", prompt=_ANSWER), answer)
    flow.add_edge(begin, "think").add_edge("think", "note").add_edge("answer", END)
    more: str | Loop = Loop("think", max=rounds - 1, on_exhausted="answer") if rounds > 1 else "answer"
    return flow.add_conditional_edges("note", _goes_on, {"more": more, "enough": "answer"})


def _noted(state: Any) -> dict[str, Any]:
    thought = read(state, "thought")
    known = set(read(state, "steps", []))
    new = [step for step in dict.fromkeys(thought["steps"]) if step not in known]
    if thought["enough"]:
        return {"steps": new, "outcome": "thought through"}
    return {"steps": new, "outcome": "out of rounds" if new else "stuck"}


def _goes_on(state: Any) -> Literal["more", "enough"]:
    return "more" if read(state, "outcome") == "out of rounds" else "enough"
