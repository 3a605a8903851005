"""Pattern 11: plan, then one step after the other; the rest of the plan may change on the way."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NotRequired

from typing_extensions import TypedDict

from dalsegno.graphs.model import END, Loop
from dalsegno.graphs.patterns.catalog import pattern
from dalsegno.graphs.patterns.counting import whole
from dalsegno.graphs.patterns.filing import filed
from dalsegno.graphs.patterns.roles import Cast, Role
from dalsegno.graphs.patterns.states import read
from dalsegno.graphs.workflow import Workflow
from dalsegno.nodes.execution import masked_here
from dalsegno.nodes.policies.words import in_words

_PLANNER = """Plan how to do this: a list of steps in their order, each of which can be done by itself.

{request}"""
_EXECUTE = """Do this step of a plan, and answer with its result alone.

The step: {step}

The plan is for this: {request}

What was done before: {done}"""
_REPLAN = """A step of a plan was done. Give the steps that are to be done from here on: the same, where nothing speaks
against them, others where what was found out does, none where nothing is left to do.

The plan is for this: {request}

What was done: {done}

The steps that were to come: {plan}"""
_CONCLUDE = """Answer what is asked for from what was done.

Asked for: {request}

What was done: {done}"""


class StepDone(TypedDict):
    """What came of a step: its `result`, or the `error` that it failed with."""

    step: Any
    result: NotRequired[Any]
    error: NotRequired[str]


class Planned(TypedDict, total=False):
    """The state: extend it for an executor that needs more.

    - `request`: what is asked for
    - `plan`: the steps that are still to be done
    - `step`: the first of them, which is done now
    - `done`: what came of the steps before
    - `answer`: set at the end
    - `outcome`: set at the end: ``"done"``, or ``"out of steps"`` if the plan was too long, or the last step that there
      could be failed
    """

    request: Any
    plan: list[str]
    step: Any
    done: Annotated[list[StepDone], operator.add]
    answer: Any
    outcome: Literal["done", "out of steps"]


@pattern(11, bound="max_steps * (2 if replan else 1) + (2 if replan else 3) + (1 if conclude else 0)")
def plan_and_execute(
    planner: Any,
    executor: Any,
    *,
    replan: Any = None,
    conclude: Any = None,
    max_steps: int = 8,
    state: Any = Planned,
    name: str = "plan_and_execute",
    version: str = "1",
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Workflow:
    """Plan all steps before the first, do them one after the other, and change the rest of the plan where needed.

    When
    ----
    The steps depend on the request, and their order matters. You can look at the plan before anything is done, and a
    model that plans once is cheaper than one that thinks before each step.

    When not
    --------
    - The steps are always the same: `sequential`.
    - Some steps could go side by side: `planner_executor`.
    - Nobody can tell the next step until the last one is done: `react`.

    Parameters
    ----------
    planner
        ``state -> steps``, a list. Reads ``state["request"]``.
    executor
        ``state -> result``. Reads ``state["step"]`` and ``state["done"]``.
    replan
        ``state -> steps``, after each step: what is still to be done, in place of ``state["plan"]``. A step that
        failed is in ``state["done"]`` with its error. None: the plan stands, and a failed step fails the run.
    conclude
        ``state -> answer``. Reads ``state["done"]``. None: the answer is the last step's result.
    max_steps
        The most steps that are done, of all plans together.
    state
        `Planned` or a schema with its keys.
    options
        Keywords of `Workflow.add_node` by node: ``{"execute": {"timeout": 60}}``.

    Bound
    -----
    `begin` and the planner; each of `max_steps` steps, with `replan` between two of them; `conclude`, if there is
    one; and the end.

    Failure
    -------
    If the steps are used up, `outcome` is ``"out of steps"``, and ``plan`` has those that were not done. If a step
    fails, the run fails, and is resumed there; with `replan`, it is planned around. If it was the last that there could
    be, `outcome` is ``"out of steps"`` too.

    Source
    ------
    Wang et al., "Plan-and-Solve Prompting" (2023).

    Example
    -------
    >>> from dalsegno.graphs.patterns import plan_and_execute
    >>> def plan(state) -> list[str]:
    ...     return state["request"].split(", then ")
    >>> def execute(state) -> str:
    ...     return f"{state['step']}: done"
    >>> flow = plan_and_execute(plan, execute)
    >>> given = {"request": "sow, then reap"}
    >>> flow.compile().invoke(given)["answer"]
    'reap: done'
    """
    whole("plan_and_execute", 1, max_steps=max_steps)
    flow = Workflow(name, state, version=version)
    cast = Cast("plan_and_execute", flow, options)
    changes = replan is not None and max_steps > 1
    begin = cast.begin(done=[])

    def planned(state: Any, plan: Sequence[str]) -> dict[str, Any]:
        return _ahead(plan)

    steps = Role(name="planner", key="plan", type=list[str], prompt=_PLANNER)
    cast.add(steps, planner, around=filed("plan", planned), writes=("plan", "step"))
    cast.add(
        Role(name="execute", key="done", prompt=_EXECUTE),
        executor,
        on_failure=(lambda _, error: {"done": masked_here(in_words(error))}) if changes else None,
        around=filed("done", _did("result"), fell=_did("error")),
        writes=("done", "plan", "step"),
    )

    def respond(state: Any) -> dict[str, Any]:
        done = read(state, "done", [])
        failed = len(done) == max_steps and "error" in done[-1]  # and nobody was asked to plan around it
        outcome = {"outcome": "out of steps" if read(state, "plan") or failed else "done"}
        if conclude is not None:
            return outcome
        return {**outcome, "answer": done[-1].get("result") if done else None}

    cast.own("respond", respond)
    last = "respond"
    if conclude is not None:
        last = cast.add(Role(name="conclude", key="answer", prompt=_CONCLUDE), conclude)
        flow.add_edge("conclude", "respond")
    flow.add_edge(begin, "planner").add_edge("respond", END)
    flow.add_conditional_edges("planner", _left, {"to do": "execute", "done": last})
    if changes:
        again = Role(name="replan", key="plan", type=list[str], prompt=_REPLAN)
        cast.add(again, replan, around=filed("plan", planned), writes=("plan", "step"))
        flow.add_conditional_edges("replan", _left, {"to do": "execute", "done": last})
        way = Loop("replan", max=max_steps - 1, on_exhausted=last)
        return flow.add_conditional_edges("execute", _on, {"on": way})
    back: str | Loop = Loop("execute", max=max_steps - 1, on_exhausted=last) if max_steps > 1 else last
    return flow.add_conditional_edges("execute", _left, {"to do": back, "done": last})


def _did(what: str) -> Any:
    def did(state: Any, value: Any) -> dict[str, Any]:
        return {"done": [{"step": read(state, "step"), what: value}], **_ahead(read(state, "plan")[1:])}

    return did


def _ahead(plan: Sequence[str]) -> dict[str, Any]:
    return {"plan": list(plan), "step": plan[0] if plan else None}


def _left(state: Any) -> Literal["to do", "done"]:
    return "to do" if read(state, "plan") else "done"


def _on(state: Any) -> Literal["on"]:
    return "on"
