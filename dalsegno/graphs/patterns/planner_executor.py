"""Pattern 12: a plan of subtasks that need each other; what needs nothing more is done side by side."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Literal, NotRequired

from langgraph.types import Overwrite, Send
from typing_extensions import TypedDict

from dalsegno.errors import did_you_mean
from dalsegno.graphs.model import END, START, Each, Loop
from dalsegno.graphs.patterns.catalog import pattern
from dalsegno.graphs.patterns.counting import whole
from dalsegno.graphs.patterns.filing import filed
from dalsegno.graphs.patterns.roles import Cast, Role, apart, named
from dalsegno.graphs.patterns.states import merged, read
from dalsegno.graphs.patterns.working import Worker, roster
from dalsegno.graphs.workflow import Workflow
from dalsegno.nodes.execution import masked_here
from dalsegno.nodes.policies.words import in_words

_PLANNER = """Divide this into at most {most} subtasks. Each has an `id`, a `kind`, the `task` in words, the ids of the
subtasks whose results it `needs`, and says in `success` how one sees that it was done. Let those that do not need each
other be done side by side. The kinds are:

{kinds}

To be done: {{request}}

What is wrong with the last plan: {{problems?}}"""
_EXECUTE = """Do this, and answer with the result alone. It is done well if: {success?}

{task}

What you need for it: {inputs}"""
_VERIFY = """Look at what came of these subtasks, and name each whose result does not meet its `success`: its id, and
why not.

Subtasks: {plan}

Results: {results}"""
_CONCLUDE = """Answer what is asked for from the results of its subtasks. Say what is missing, where one failed.

Asked for: {request}

Results: {results}"""


class Subtask(TypedDict):
    """A part of the plan: which kind of executor does it, whose results it `needs`, and when it is a success."""

    id: str
    kind: str
    task: Any
    needs: NotRequired[list[str]]
    success: NotRequired[str]


class Outcome(TypedDict):
    """What came of a subtask: its `result`, or the `error` that it failed with."""

    result: NotRequired[Any]
    error: NotRequired[str]


class Unmet(TypedDict):
    """A subtask whose result does not meet its success criterion, and why not."""

    id: str
    why: str


class SubtaskPlan(TypedDict, total=False):
    """The state: extend it for a planner that needs more.

    - `request`: what is asked for
    - `plan`: the subtasks
    - `problems`: what is wrong with the plan
    - `results`: what came of each subtask, by its id
    - `id`, `task`, `success`, `inputs`: what an executor is sent: its subtask, and in `inputs` the results that it
      needs
    - `answer`: set at the end
    - `skipped`: set at the end: the subtasks that needed a failed one
    - `outcome`: set at the end: ``"done"``, ``"in part"``, or ``"impossible"`` if the last plan could not be carried
      out
    """

    request: Any
    plan: list[Subtask]
    problems: list[str]
    results: Annotated[dict[str, Outcome], merged]
    id: str
    task: Any
    success: str
    inputs: dict[str, Any]
    answer: Any
    skipped: list[str]
    outcome: Literal["done", "in part", "impossible"]


@pattern(
    12,
    bound="2 * replans + (repairs + 1) * (max_subtasks * (4 if verify else 3) + 1) + repairs + 2 "
    "+ (1 if conclude else 0)",
)
def planner_executor(
    planner: Any,
    executors: Sequence[Any] | Mapping[str, Any],
    *,
    verify: Any = None,
    conclude: Any = None,
    max_subtasks: int = 8,
    replans: int = 2,
    repairs: int = 0,
    state: Any = SubtaskPlan,
    name: str = "planner_executor",
    version: str = "1",
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Workflow:
    """Divide the work into subtasks, some of which need others, and do what is ready side by side.

    When
    ----
    The work falls into parts of different kinds, and only some of them need the results of others.

    When not
    --------
    - Each step needs the last one: `plan_and_execute`.
    - None needs another: `map_reduce`.
    - The result of the last step decides the next one: `supervisor`.

    Parameters
    ----------
    planner
        ``state -> subtasks``, a list of ``{"id", "kind", "task", "needs", "success"}``. Reads ``state["request"]``
        and, after a plan that was impossible or failed in part, ``state["problems"]``.
    executors
        ``state -> result``, by kind. Each reads ``state["task"]``, ``state["success"]`` and ``state["inputs"]``, the
        results that it needs by their ids. A `Worker` says what it is good at, for a planner that is a model.
    verify
        ``state -> [{"id", "why"}]``, called after subtasks were done side by side. It returns the subtasks in
        ``state["plan"]`` whose ``state["results"]`` do not meet their `success`; they count as failed. None: nothing
        is verified.
    conclude
        ``state -> answer``. Reads ``state["results"]``. None: the answer is the results by id.
    max_subtasks
        The most subtasks of one plan.
    replans
        How often an impossible plan goes back to the planner.
    repairs
        How often failed subtasks go back to the planner, once all else is done. The new plan may refer to finished
        subtasks by their ids; whatever has a result is not done again.
    state
        `SubtaskPlan` or a schema with its keys.
    options
        Keywords of `Workflow.add_node` by node: ``{"planner": {"timeout": 60}}``.

    Bound
    -----
    `begin`; the planner and `schedule`, which checks the plan, and both again for each of `replans`. In the longest
    case each subtask needs the one before: an executor, `collect` (and `verify`) and `schedule` for each. `mend`, the
    planner and all of that again for each of `repairs`; `conclude`, if there is one; and the end. After the last
    subtask there is no further `schedule`.

    Failure
    -------
    A plan cannot be carried out if it has a cycle, an unknown need or kind, an id twice, too many subtasks or none.
    It goes back to the planner with what is wrong. After the last try `outcome` is ``"impossible"``, and nothing was
    done.

    If a subtask fails, those that need it are skipped, all others are done, and `outcome` is ``"in part"``. With
    `repairs`, the planner is first told what failed and why, and plans anew for what is left. If it has no plan for
    that which can be carried out, what was done stands.

    Source
    ------
    Kim et al., "An LLM Compiler for Parallel Function Calling" (2023).

    Example
    -------
    >>> from dalsegno.graphs.patterns import planner_executor
    >>> def planner(state) -> list:
    ...     words = [{"id": w, "kind": "measure", "task": w} for w in state["request"].split()]
    ...     return [*words, {"id": "all", "kind": "total", "task": None, "needs": [w["id"] for w in words]}]
    >>> def measure(state) -> int:
    ...     return len(state["task"])
    >>> def total(state) -> int:
    ...     return sum(state["inputs"].values())
    >>> flow = planner_executor(planner, [measure, total])
    >>> given = {"request": "from the sign"}
    >>> flow.compile().invoke(given)["answer"]["all"]
    {'result': 11}
    """
    whole("planner_executor", 1, max_subtasks=max_subtasks)
    whole("planner_executor", 0, replans=replans, repairs=repairs)
    flow = Workflow(name, state, version=version)
    cast = Cast("planner_executor", flow, options)
    played: dict[str, Worker] = named("planner_executor", executors, kind=Worker, what="executor")
    cast.own("begin", lambda state: {"results": Overwrite({}), "problems": []}, reads=())
    prompt = _PLANNER.format(most=max_subtasks, kinds=roster(played))
    cast.add(Role(name="planner", key="plan", type=list[Subtask], prompt=prompt), planner)
    for kind, worker in played.items():
        cast.add(
            Role(name=kind, key="results", prompt=_EXECUTE),
            worker,
            on_failure=lambda _, error: {"results": masked_here(in_words(error))},
            around=filed("results", partial(_did, "result"), fell=partial(_did, "error"), actor=worker),
            writes=("results",),
        )
        flow.add_edge(kind, "collect")

    def schedule(state: Any) -> dict[str, Any]:
        results = read(state, "results", {})
        good = {name: result for name, result in results.items() if "error" not in result}
        is_new = bool(read(state, "problems"))  # the plan is an answer to these; what failed is planned anew
        problems = problems_of(read(state, "plan"), played, max_subtasks, good if is_new else results)
        forgotten = {"results": Overwrite(good)} if is_new and not problems else {}
        return {"problems": problems, **forgotten}

    impossible = apart("impossible", played)

    def route(state: Any) -> Any:
        return impossible if read(state, "problems") else [_sent(state, s) for s in _ready(state)]

    def respond(state: Any) -> dict[str, Any]:
        results, plan = read(state, "results", {}), read(state, "plan")
        skipped = [subtask["id"] for subtask in plan if subtask["id"] not in results]
        if read(state, "problems") and not results:
            return {"answer": None, "skipped": skipped, "outcome": "impossible"}
        failed = read(state, "problems") or _failed(state)
        said = {"skipped": skipped, "outcome": "in part" if failed else "done"}
        return said if conclude is not None else {**said, "answer": results}

    cast.own("schedule", schedule)
    cast.own("collect", lambda state: None, reads=(), writes=())
    cast.own("respond", respond)
    after, last = "collect", "respond"
    if verify is not None:
        after = cast.add(
            Role(name="verify", key="results", type=list[Unmet], prompt=_VERIFY),
            verify,
            around=filed("results", _unmet),
        )
        flow.add_edge("collect", "verify")
    if conclude is not None:
        last = cast.add(Role(name="conclude", key="answer", prompt=_CONCLUDE), conclude)
        flow.add_edge("conclude", "respond")
    flow.add_edge(START, "begin").add_edge("begin", "planner").add_edge("planner", "schedule").add_edge(
        "respond", END
    )
    given_up = "respond"
    if repairs and conclude is not None:  # some of it may be done when no further plan can be carried out
        given_up = cast.own("given up", lambda state: None, reads=(), writes=())
        flow.add_conditional_edges("given up", _whether_any, {"some": "conclude", "none": "respond"})
    back: str | Loop = Loop("planner", max=replans, on_exhausted=given_up) if replans else given_up
    most = {kind: Each(kind, max=max_subtasks) for kind in played}
    flow.add_conditional_edges("schedule", route, {impossible: back, **most})
    ways: dict[str, str | Loop] = {"more": last, "done": last}
    if max_subtasks > 1:
        ways["more"] = Loop("schedule", max=(repairs + 1) * (max_subtasks - 1), on_exhausted=last)
    if not repairs:
        return flow.add_conditional_edges(after, _goes_on, ways)
    cast.own("mend", _mend)
    flow.add_edge("mend", "planner")
    ways["failed"] = Loop("mend", max=repairs, on_exhausted=last)
    return flow.add_conditional_edges(after, _goes_on_or_back, ways)


def problems_of(
    plan: Sequence[Subtask], kinds: Mapping[str, Any], most: int, done: Collection[str] = ()
) -> list[str]:
    """What makes a plan impossible, in sentences; none where it can be carried out. What was `done` is there to be
    needed."""
    wrong: list[str] = []
    plan = [subtask for subtask in plan if subtask["id"] not in done]
    needs = {
        subtask["id"]: [need for need in subtask.get("needs", []) if need not in done] for subtask in plan
    }
    if not plan:
        wrong.append("There are no subtasks.")
    if len(plan) > most:
        wrong.append(f"There are {len(plan)} subtasks, and at most {most} may be.")
    ids = [subtask["id"] for subtask in plan]
    wrong += [f"Several subtasks are called `{name}`." for name in needs if ids.count(name) > 1]
    for subtask in plan:
        if (kind := subtask["kind"]) not in kinds:
            near = did_you_mean(kind, kinds) or f"; there is {', '.join(f'`{k}`' for k in kinds)}."
            wrong.append(f"`{subtask['id']}` is of the kind `{kind}`, which is not there{near}")
        for need in needs[subtask["id"]]:
            if need not in needs:
                near = did_you_mean(need, needs) or "."
                wrong.append(f"`{subtask['id']}` needs `{need}`, which is no subtask{near}")
    left = {name: {need for need in found if need in needs} for name, found in needs.items()}
    while free := {name for name, found in left.items() if not found}:
        left = {name: found - free for name, found in left.items() if name not in free}
    if left:
        wrong.append(f"These need each other in a circle: {', '.join(f'`{name}`' for name in left)}.")
    return wrong


def _ready(state: Any) -> list[Subtask]:
    """The subtasks that were not done, and whose needs all have a result."""
    results = read(state, "results", {})
    good = {name for name, result in results.items() if "error" not in result}
    return [
        subtask
        for subtask in read(state, "plan")
        if subtask["id"] not in results and good.issuperset(subtask.get("needs", []))
    ]


def _sent(state: Any, subtask: Subtask) -> Send:
    results = read(state, "results", {})
    inputs = {need: results[need].get("result") for need in subtask.get("needs", [])}
    asked = {"success": "", **subtask, "inputs": inputs, "request": read(state, "request")}
    return Send(subtask["kind"], asked)


def _goes_on(state: Any) -> Literal["more", "done"]:
    return "more" if _ready(state) else "done"


def _goes_on_or_back(state: Any) -> Literal["more", "done", "failed"]:
    return "failed" if (way := _goes_on(state)) == "done" and _failed(state) else way


def _failed(state: Any) -> dict[str, str]:
    """Why each subtask failed that did."""
    results: Mapping[str, Any] = read(state, "results", {})
    return {name: result["error"] for name, result in results.items() if "error" in result}


def _whether_any(state: Any) -> Literal["some", "none"]:
    return "some" if read(state, "results") else "none"


def _mend(state: Any) -> dict[str, Any]:
    """Tell the planner what failed."""
    failed = _failed(state)
    kept = [f"`{name}`" for name in read(state, "results") if name not in failed]
    told = [f"`{name}` failed: {why}" for name, why in failed.items()]
    if kept:
        told.append(f"Done, and there to be needed, not to be planned again: {', '.join(kept)}.")
    return {"problems": told}


def _did(what: str, subtask: Any, value: Any) -> dict[str, Any]:
    return {"results": {subtask["id"]: {what: value}}}


def _unmet(state: Any, unmet: Sequence[Unmet]) -> dict[str, Any]:
    known = read(state, "results", {})
    return {"results": {u["id"]: {"error": f"no success: {u['why']}"} for u in unmet if u["id"] in known}}
