"""Pattern 20: a plan of function calls, of which some need what others give."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NotRequired

from langgraph.types import Send
from pydantic import AfterValidator
from typing_extensions import TypedDict  # pydantic validates these on Python 3.11 too

from dalsegno.errors import DefinitionError
from dalsegno.graphs.model import END, Each, Loop, Target
from dalsegno.graphs.patterns.catalog import pattern
from dalsegno.graphs.patterns.counting import whole
from dalsegno.graphs.patterns.roles import Cast, Role
from dalsegno.graphs.patterns.states import Failure, failure, merged, read
from dalsegno.graphs.patterns.toolset import Toolset, misread, references
from dalsegno.graphs.workflow import Workflow

_PLANNER = """Which of these functions must be called to do what is asked, and with what? Give every call an `id` of its
own. Where a call needs the result of another one, write "$id" in the place of an argument ("$id.key" for a part of
the result); name in `depends_on` the calls that must be done before it though it takes nothing from them. Calls that do
not need each other are made at the same time.

Asked for: {request}

The functions:
"""
_RESPONDER = """Answer what is asked from the results of the calls, and say what could not be found out.

Asked for: {request}

The calls: {plan.calls}

Their results: {results}

Failed: {failures?}
Not called, for they needed what failed: {skipped}"""


class FunctionCall(TypedDict):
    """One call: its `id`, which function, its arguments, where ``"$id"`` stands for the result of another call."""

    id: str
    function: str
    arguments: dict[str, Any]
    depends_on: NotRequired[list[str]]


class CallGraph(TypedDict):
    """The calls that do what is asked; what needs what makes a graph of them."""

    calls: list[FunctionCall]


class FunctionCalls(TypedDict, total=False):
    """The state: extend it for roles that need more.

    - `request`: what is asked
    - `plan`: the calls
    - `results`: what they gave, by id
    - `response`: the answer
    - `failures`: the calls that failed
    - `skipped`: the calls that needed a failed one
    """

    request: Any
    plan: CallGraph
    results: Annotated[dict[str, Any], merged]
    response: Any
    failures: Annotated[list[Failure], operator.add]
    skipped: list[str]


@pattern(20, bound="3 * max_depth + 3")
def function_calls(
    planner: Any,
    functions: Sequence[Any] | Mapping[str, Any],
    responder: Any,
    *,
    max_calls: int = 12,
    max_depth: int = 4,
    on_error: Literal["fail", "collect"] = "fail",
    state: Any = FunctionCalls,
    name: str = "function_calls",
    version: str = "1",
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Workflow:
    """Plan function calls that refer to each other's results, make those that are ready at once, and answer.

    When
    ----
    The request takes several calls, some of which need the results of others, and the plan can be made before the
    first call. A model is asked twice, however many calls there are.

    When not
    --------
    - The next call depends on what came back: `react`.
    - A failed call needs another plan: `tool_selection`.

    Parameters
    ----------
    planner
        ``state -> {"calls": [{"id", "function", "arguments", "depends_on"}]}``. Reads ``state["request"]``. An
        argument ``"$id"`` is the result of that call, ``"$id.key.0"`` a part of it, ``"$$id"`` the text itself.
    functions
        What may be called: typed functions, LangChain tools, players, workflows; a sequence, or a mapping by name. A
        model that plans is told their names, arguments and docstrings.
    responder
        ``state -> response``. Reads ``state["results"]``, ``state["failures"]`` and ``state["skipped"]``.
    max_calls
        The most calls of a plan.
    max_depth
        The most calls of a plan that wait for each other in a row.
    on_error
        ``"fail"``: a failed call fails the run. ``"collect"``: its failure is kept, calls that need it are skipped,
        and the responder says what is missing.
    state
        `FunctionCalls` or a schema with its keys.
    options
        Keywords of `Workflow.add_node` by node: ``{"weather": {"timeout": 5}}``.

    Bound
    -----
    `begin` and the planner; for each of `max_depth`: `dispatch`, the calls that are ready, and `collect`; the
    responder.

    Failure
    -------
    A plan with a cycle, with an unknown dependency, function or argument, or with too many calls is refused: a model
    is told why and asked again; from any other planner it is a `WrongAnswer`. If a call fails, the run fails. It is
    resumed there, and the results of the other calls stand. With ``"collect"``, the failure is in ``failures``.

    Source
    ------
    Kim et al., "An LLM Compiler for Parallel Function Calling" (2023).

    Example
    -------
    >>> from dalsegno.graphs.patterns import function_calls
    >>> def length(text: str) -> int:
    ...     return len(text)
    >>> def add(a: int, b: int) -> int:
    ...     return a + b
    >>> def plan(state) -> dict:
    ...     first, second = state["request"].split()
    ...     calls = [
    ...         {"id": "one", "function": "length", "arguments": {"text": first}},
    ...         {"id": "two", "function": "length", "arguments": {"text": second}},
    ...         {"id": "sum", "function": "add", "arguments": {"a": "$one", "b": "$two"}},
    ...     ]
    ...     return {"calls": calls}
    >>> def respond(state) -> str:
    ...     return f"{state['results']['sum']} letters"
    >>> flow = function_calls(plan, [length, add], respond)
    >>> given = {"request": "al fine"}
    >>> flow.compile().invoke(given)["response"]
    '6 letters'
    """
    whole("function_calls", 1, max_calls=max_calls, max_depth=max_depth)
    if on_error not in ("fail", "collect"):
        raise DefinitionError(f'function_calls(on_error={on_error!r}): it is "fail" or "collect".')
    tools = Toolset("function_calls", functions)
    flow = Workflow(name, state, version=version)
    cast = Cast("function_calls", flow, options)

    def possible(calls: list[FunctionCall]) -> list[FunctionCall]:
        _check(calls, tools, max_calls, max_depth)
        return calls

    cast.begin(results={}, failures=[], skipped=[])
    planned: Any = TypedDict  # made here, for it knows the functions
    graph = planned("CallGraph", {"calls": Annotated[list[FunctionCall], AfterValidator(possible)]})
    role = Role(name="planner", key="plan", type=graph, prompt=_PLANNER + tools.describe())
    cast.add(role, planner)

    def planned_any(state: Any) -> Literal["to call", "nothing to call"]:
        return "to call" if read(state, "plan")["calls"] else "nothing to call"

    def send(state: Any) -> list[Send]:
        results = read(state, "results", {})
        return [Send(call["function"], tools.sent(call, results)) for call in _ready(state)]

    def collect(state: Any) -> dict[str, Any]:
        settled = {*read(state, "results", {}), *(failed["name"] for failed in read(state, "failures", []))}
        left = [call["id"] for call in read(state, "plan")["calls"] if call["id"] not in settled]
        return {"skipped": [] if _ready(state) else left}

    def more(state: Any) -> Literal["more", "done"]:
        return "more" if _ready(state) else "done"

    cast.own("dispatch", lambda state: {}, reads=(), writes=())
    cast.own("collect", collect)
    ways: dict[str, Target] = {tool: Each(tool, max=max_calls) for tool in tools.nodes}
    for tool in tools.nodes:
        tools.add(cast, tool, on_failure=_caught if on_error == "collect" else None)
        flow.add_edge(tool, "collect")
    cast.add(Role(name="responder", key="response", prompt=_RESPONDER), responder)
    again: str | Loop = "responder"
    if max_depth > 1:
        again = Loop("dispatch", max=max_depth - 1, on_exhausted="responder")
    flow.add_edge("begin", "planner")
    flow.add_conditional_edges(
        "planner", planned_any, {"to call": "dispatch", "nothing to call": "responder"}
    )
    flow.add_conditional_edges("dispatch", send, ways)
    flow.add_conditional_edges("collect", more, {"more": again, "done": "responder"})
    return flow.add_edge("responder", END)


def _caught(sent: Any, error: Exception) -> dict[str, list[Failure]]:
    return {"failures": [failure(sent["id"], error)]}


def _needs(call: FunctionCall) -> set[str]:
    return {*call.get("depends_on", ()), *references(call["arguments"])}


def _ready(state: Any) -> list[FunctionCall]:
    """The calls that are not made yet, and whose dependencies all are."""
    results = read(state, "results", {})
    settled = {*results, *(failed["name"] for failed in read(state, "failures", []))}
    calls: list[FunctionCall] = read(state, "plan")["calls"]
    return [call for call in calls if call["id"] not in settled and _needs(call) <= results.keys()]


def _check(calls: Sequence[FunctionCall], tools: Toolset, max_calls: int, max_depth: int) -> None:
    """Refuse a plan that cannot be carried out; the sentence is for whoever planned."""
    if len(calls) > max_calls:
        raise ValueError(f"these are {len(calls)} calls, and at most {max_calls} are allowed")
    ids = [call["id"] for call in calls]
    for place, call in enumerate(calls):
        if call["id"] in ids[:place]:
            raise ValueError(f"two calls have the id `{call['id']}`; give each one of its own")
        problem = tools.problem(call["function"], call["arguments"]) or misread(call["arguments"], ids)
        if problem is not None:
            raise ValueError(f"the call `{call['id']}`: {problem}")
        for needed in sorted(_needs(call) - set(ids)):
            raise ValueError(f"`{call['id']}` depends on `{needed}`, and there is no such call")
    depth: dict[str, int] = {}
    while len(depth) < len(calls):
        level = [c for c in calls if c["id"] not in depth and _needs(c) <= depth.keys()]
        if not level:
            raise ValueError(f"the calls {_cycle(calls, depth)} wait for each other in a cycle")
        for call in level:
            depth[call["id"]] = 1 + max((depth[needed] for needed in _needs(call)), default=0)
    if max(depth.values(), default=0) > max_depth:
        raise ValueError(
            f"{max(depth.values())} calls wait for each other, and at most {max_depth} are allowed to"
        )


def _cycle(calls: Sequence[FunctionCall], settled: Mapping[str, int]) -> str:
    waiting = {
        call["id"]: sorted(_needs(call) - settled.keys()) for call in calls if call["id"] not in settled
    }
    way = [next(iter(waiting))]
    while way.count(way[-1]) < 2:
        way.append(waiting[way[-1]][0])
    return " → ".join(way[way.index(way[-1]) :])
