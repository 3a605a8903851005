"""Pattern 19: choose tools, run them, choose again where one failed, and answer."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from langgraph.types import Send
from pydantic import AfterValidator
from typing_extensions import TypedDict  # pydantic validates these on Python 3.11 too

from dalsegno.graphs.model import END, Each, Loop, Target
from dalsegno.graphs.patterns.catalog import pattern
from dalsegno.graphs.patterns.counting import whole
from dalsegno.graphs.patterns.filing import filed
from dalsegno.graphs.patterns.roles import Cast, Role
from dalsegno.graphs.patterns.states import Failure, failure, merged, read
from dalsegno.graphs.patterns.toolset import Toolset, misread
from dalsegno.graphs.workflow import Workflow

_SELECTOR = """Which of these tools are used for what is asked, with what, and in which order? Give each step an `id`
of its own, and say why. Where a step needs the result of an earlier one, write "$id" in the place of an argument
("$id.key" for a part of the result). Where tools have failed, find another way: their results so far need not be asked
for again.

Asked for: {request}

Results so far: {results?}
Failed: {failures?}

The tools:
"""
_INTEGRATOR = """Answer what is asked from the results of the tools, and say what could not be found out.

Asked for: {request}

The results: {results}

Failed: {failures}"""


class ToolStep(TypedDict):
    """One use of a tool: its `id`, which tool, its arguments, where ``"$id"`` is an earlier result, and why."""

    id: str
    tool: str
    arguments: dict[str, Any]
    why: str


class Selection(TypedDict):
    """Which tools are used, in their order."""

    steps: list[ToolStep]


class ToolSelection(TypedDict, total=False):
    """The state: extend it for roles that need more.

    - `request`: what is asked
    - `selection`: the newest choice of tools
    - `at`: how many of its steps are done
    - `results`: what the steps gave, by id, those of earlier selections included
    - `response`: the answer
    - `failures`: the failures of tools
    - `outcome`: ``"failed"`` if a tool of the last selection failed too, else ``"done"``
    """

    request: Any
    selection: Selection
    at: int
    results: Annotated[dict[str, Any], merged]
    response: Any
    failures: Annotated[list[Failure], operator.add]
    outcome: Literal["done", "failed"]


@pattern(19, bound="(1 + reselections) * (3 * max_steps + 1) + 2")
def tool_selection(
    selector: Any,
    tools: Sequence[Any] | Mapping[str, Any],
    integrator: Any,
    *,
    max_steps: int = 4,
    reselections: int = 2,
    state: Any = ToolSelection,
    name: str = "tool_selection",
    version: str = "1",
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Workflow:
    """Select tools, run them one by one, and make an answer of their results; a failed tool goes back to the selector.

    When
    ----
    The request decides which tools are needed, and whoever chooses shall not see any results before the choice is
    made. So you can look at the choice, and no tool's result can talk anybody into calling another tool.

    When not
    --------
    - Each step depends on the result of the one before it: `react`.
    - The calls do not need each other and should be made at once: `function_calls`.
    - There is one way, and another if it fails: `fallback_chain`.

    Parameters
    ----------
    selector
        ``state -> {"steps": [{"id", "tool", "arguments", "why"}]}``. Reads ``state["request"]``; when asked again,
        also ``state["failures"]`` and ``state["results"]``. An argument ``"$id"`` is an earlier result.
    tools
        Typed functions, LangChain tools, players, workflows; a sequence, or a mapping by name. A model that selects
        is told their names, arguments and docstrings.
    integrator
        ``state -> response``. Reads ``state["results"]`` and ``state["failures"]``.
    max_steps
        The most steps of a selection.
    reselections
        How often a failed tool goes back to the selector.
    state
        `ToolSelection` or a schema with its keys.
    options
        Keywords of `Workflow.add_node` by node: ``{"search": {"timeout": 5}}``.

    Bound
    -----
    `begin`. A selection and `execute`, then the tool and `observe` for each of its `max_steps`; this once, and again
    for each of `reselections`. The integrator.

    Failure
    -------
    A tool that fails is in ``failures``, the other steps of the selection are dropped, and the selector is asked
    again. If `reselections` are used up, the integrator answers with what there is, and ``outcome`` is ``"failed"``.
    A selection with an unknown tool or argument is refused: a model is told why and asked again; from any other
    selector it is a `WrongAnswer`.

    Source
    ------
    Plans apart from their execution: Xu et al., "ReWOO: Decoupling Reasoning from Observations for Efficient Augmented
    Language Models" (2023).

    Example
    -------
    >>> from dalsegno.graphs.patterns import tool_selection
    >>> def whole(text: str) -> int:
    ...     return int(text)
    >>> def real(text: str) -> float:
    ...     return float(text)
    >>> def select(state) -> dict:
    ...     tool = "real" if state.get("failures") else "whole"
    ...     arguments = {"text": state["request"]}
    ...     return {"steps": [{"id": "number", "tool": tool, "arguments": arguments, "why": "it may be one"}]}
    >>> def answer(state) -> str:
    ...     return f"twice {state['request']} is {2 * state['results']['number']}"
    >>> flow = tool_selection(select, [whole, real], answer)
    >>> given = {"request": "2.5"}
    >>> flow.compile().invoke(given)["response"]
    'twice 2.5 is 5.0'
    """
    whole("tool_selection", 1, max_steps=max_steps)
    whole("tool_selection", 0, reselections=reselections)
    box = Toolset("tool_selection", tools)
    flow = Workflow(name, state, version=version)
    cast = Cast("tool_selection", flow, options)

    def possible(steps: list[ToolStep]) -> list[ToolStep]:
        _check(steps, box, max_steps)
        return steps

    typed: Any = TypedDict  # made here, for it knows the tools
    selection = typed("Selection", {"steps": Annotated[list[ToolStep], AfterValidator(possible)]})
    cast.begin(results={}, failures=[], at=0, outcome="done")
    prompt = _SELECTOR + box.describe()
    cast.add(
        Role(name="selector", key="selection", type=selection, prompt=prompt),
        selector,
        around=filed("selection", lambda state, made: {"selection": made, "outcome": "done"}),
        writes=("selection", "outcome"),
    )
    cast.own("execute", lambda state: {"outcome": "done"})
    cast.add(Role(name="integrator", key="response", prompt=_INTEGRATOR), integrator)

    def chosen(state: Any) -> Literal["tools", "no tool"]:
        return "tools" if read(state, "selection")["steps"] else "no tool"

    def send(state: Any) -> Send:
        step = read(state, "selection")["steps"][read(state, "at", 0)]
        return Send(step["tool"], box.sent(step, read(state, "results", {})))

    def observe(state: Any) -> dict[str, Any]:
        return {"at": 0 if read(state, "outcome") == "failed" else read(state, "at", 0) + 1}

    def went(state: Any) -> Literal["next", "done", "failed"]:
        if read(state, "outcome") == "failed":
            return "failed"
        return "next" if read(state, "at") < len(read(state, "selection")["steps"]) else "done"

    cast.own("observe", observe)
    flow.add_edge("begin", "selector")
    flow.add_conditional_edges("selector", chosen, {"tools": "execute", "no tool": "integrator"})
    flow.add_conditional_edges("execute", send, {tool: Each(tool, max=1) for tool in box.nodes})
    for tool in box.nodes:
        box.add(cast, tool, on_failure=_caught)
        flow.add_edge(tool, "observe")
    further = (max_steps - 1) * (reselections + 1)
    ways: dict[str, Target] = {"next": "integrator", "done": "integrator", "failed": "integrator"}
    if further:
        ways["next"] = Loop("execute", max=further, on_exhausted="integrator")
    if reselections:
        ways["failed"] = Loop("selector", max=reselections, on_exhausted="integrator")
    flow.add_conditional_edges("observe", went, ways)
    return flow.add_edge("integrator", END)


def _caught(sent: Any, error: Exception) -> dict[str, Any]:
    return {"failures": [failure(sent["id"], error)], "outcome": "failed"}


def _check(steps: Sequence[ToolStep], box: Toolset, max_steps: int) -> None:
    """Refuse a selection that cannot be carried out; the sentence is for whoever selected."""
    if len(steps) > max_steps:
        raise ValueError(f"these are {len(steps)} steps, and at most {max_steps} are allowed")
    ids = [step["id"] for step in steps]
    for place, step in enumerate(steps):
        if step["id"] in ids[:place]:
            raise ValueError(f"two steps have the id `{step['id']}`; give each one of its own")
        problem = box.problem(step["tool"], step["arguments"]) or misread(step["arguments"], ids)
        if problem is not None:
            raise ValueError(f"the step `{step['id']}`: {problem}")
