"""Steps that are workflows of their own: each strategy as the pattern that it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from typing_extensions import TypedDict  # as those of the patterns, which are joined with it

from dalsegno.errors import WrongAnswer
from dalsegno.graphs.definition import Step
from dalsegno.graphs.documents.calls import OWN, Place, Settings, own_nodes, played
from dalsegno.graphs.documents.conditions import Condition, parse_condition
from dalsegno.graphs.documents.kinds import described, kind_of, size
from dalsegno.graphs.documents.parts import parts_of_call, references_in
from dalsegno.graphs.documents.references import parse_value
from dalsegno.graphs.documents.scopes import Needs, View, context_only, key
from dalsegno.graphs.patterns import (
    MapReduce,
    Node,
    Parallel,
    Routed,
    Saga,
    SagaStep,
    map_reduce,
    parallel,
    router,
    saga,
)
from dalsegno.graphs.patterns.states import Failure
from dalsegno.graphs.workflow import Workflow
from dalsegno.nodes.player import Player

Update = Callable[[Mapping[str, Any], dict[str, Any]], "Outcome"]


@dataclass(frozen=True)
class Outcome:
    """What came of a step: its result, or `failed`; `skipped` where nothing was for it.

    `answers` are those of its calls by name, for what takes them back; `failures` those of calls; `undone` and
    `not_undone` what a saga took back, and what it could not.
    """

    result: Any = None
    failed: Failure | None = None
    skipped: bool = False
    answers: Mapping[str, Any] = field(default_factory=dict)
    results: Mapping[str, Any] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()
    undone: tuple[str, ...] = ()
    not_undone: tuple[Failure, ...] = ()


@dataclass(frozen=True)
class Composite:
    """A step as a workflow: the keys it gives (ours: its), what they mean, what it is handed, and whether it can fail
    without raising."""

    flow: Workflow
    outputs: Mapping[str, str]
    read: Update
    into: Callable[[Any], Any]
    soft: bool = False


class _Inside(TypedDict, total=False):
    input: dict[str, Any]
    current: Any
    context: dict[str, Any]


class _Parallel(Parallel, _Inside, total=False):
    """The state of a parallel step."""


class _Routed(Routed, _Inside, total=False):
    """The state of a conditional step."""


class _MapReduce(MapReduce, _Inside, total=False):
    """The state of a map_reduce step."""


class _Saga(Saga, _Inside, total=False):
    """The state of a saga."""


def view_inside(settings: Settings) -> View:
    """How the nodes of a step that is a pattern see the state."""
    return View(settings.definition.name, results=context_only)


def parallel_step(step: Step, needs: Needs, settings: Settings) -> Composite:
    """All calls at once; the result is the list of their answers, null where one failed and that was let pass."""
    view, names = view_inside(settings), step.call_names()
    branches = {}
    for name, call in zip(names, step.agent_calls, strict=True):
        player, options = played(call, name=name, view=view, place=Place("results", name), settings=settings)
        branches[name] = Node(player, **options)
    collects = step.on_failure != "fail"
    flow = parallel(
        branches,
        on_error="collect" if collects else "fail",
        max_concurrency=step.max_concurrency,
        state=_Parallel,
        name=step.name,
        options=own_nodes("begin", "join"),
    )

    def read(state: Mapping[str, Any], given: dict[str, Any]) -> Outcome:
        answers = given.get("results") or {}
        failures = within(step.name, given.get("failures") or [])
        failed = failures[0] if failures and step.on_failure != "skip" else None
        return Outcome([answers.get(name) for name in names], failed, answers=answers, failures=failures)

    outputs = {"results": "results", "failures": "failures"} if collects else {"results": "results"}
    return Composite(flow, outputs, read, needs.handed, soft=collects and step.on_failure != "skip")


def conditional_step(step: Step, needs: Needs, settings: Settings) -> Composite:
    """The first call whose condition holds; where none does and there is no other, the step is skipped."""
    view, names = view_inside(settings), step.call_names()
    routes: dict[str, Any] = {}
    rules = []
    default = "none of them"
    for name, call in zip(names, step.agent_calls, strict=True):
        place = Place("value", label=name)
        player, options = played(call, name=name, view=view, place=place, settings=settings)
        routes[name] = Node(player, **options)
        if call.when is None:
            default = name
        else:
            rules.append((_Holds(parse_condition(call.when), view), name))
    if default not in routes:
        routes[default] = Node(_Nothing(), timeout=OWN)
    flow = router(
        routes, rules=rules, default=default, state=_Routed, name=step.name, options=own_nodes("match")
    )

    def read(state: Mapping[str, Any], given: dict[str, Any]) -> Outcome:
        name, answer = given["current"]
        return Outcome(skipped=True) if name is None else Outcome(answer, answers={name: answer})

    return Composite(flow, {"current": "value"}, read, needs.handed)


class _Nothing(Player):
    kind = "tool"
    name = "none of them"

    def declares(self) -> Mapping[str, Any]:
        return {"calls": 0, "writes": ("value",)}

    def invoke(self, input: Any, config: Any = None, **kwargs: Any) -> dict[str, Any]:
        return {"value": [None, None]}

    async def ainvoke(self, input: Any, config: Any = None, **kwargs: Any) -> dict[str, Any]:
        return {"value": [None, None]}


class _Holds:
    """A condition of a document as a rule of a router."""

    def __init__(self, condition: Condition, view: View) -> None:
        self._condition, self._view = condition, view

    def __call__(self, state: Any) -> bool:
        return self._condition.holds(self._view.scope(state))


def map_reduce_step(step: Step, needs: Needs, settings: Settings) -> Composite:
    """The first call for every item, the second of all their answers; null for an item that failed and was let pass."""
    view, names = view_inside(settings), step.call_names()
    over = parse_value(step.over if step.over is not None else "$current")
    outside = View(settings.definition.name)
    mapping = Needs.of(references_in(parts_of_call(step.agent_calls[0])))
    skips = step.on_failure == "skip"
    of_item = view.seeing(current=key("item"))
    mapper, of_mapper = played(
        step.agent_calls[0], name=names[0], view=of_item, place=Place("mapped"), settings=settings
    )
    reducer = None
    if len(step.agent_calls) > 1:
        of_all = view.seeing(current=_without_failures)
        player, options = played(
            step.agent_calls[1], name=names[1], view=of_all, place=Place("value"), settings=settings
        )
        reducer = Node(player, **options)
    flow = map_reduce(
        Node(mapper, **of_mapper),
        reducer=reducer,
        on_error="collect" if skips else "fail",
        max_items=step.max or 1,
        max_concurrency=step.max_concurrency,
        also=[
            k for k, wanted in (("input", mapping.input), ("context", mapping.steps != frozenset())) if wanted
        ],
        state=_MapReduce,
        name=step.name,
        options=own_nodes("begin", "gather"),
    )

    def into(state: Any) -> dict[str, Any]:
        items = over.resolve(outside.scope(state))
        _check_items(step, items)
        return {**needs.handed(state), "items": items}

    def read(state: Mapping[str, Any], given: dict[str, Any]) -> Outcome:
        failures = within(step.name, given.get("failures") or [])
        if reducer is not None:
            return Outcome(given["current"], failures=failures)
        return Outcome(_without_failures(given), failures=failures)

    outputs = {"current": "value"} if reducer is not None else {"results": "results"}
    return Composite(flow, {**outputs, "failures": "failures"} if skips else outputs, read, into)


def _check_items(step: Step, items: Any) -> None:
    """What a map goes over is a list of no more than `max`: told in the words of the document."""
    wanted, got = f"an array of {step.max} elements at most", described(items)
    if kind_of(items) != "array":
        said = f"is {got}, and a list is needed"
    elif step.max is not None and size(items) > step.max:
        said, got = f"has {size(items):,} elements, and `max` is {step.max:,}", f"an array of {size(items):,}"
    else:
        return
    raise WrongAnswer(
        f"What step `{step.name}` goes over (`over`) {said}.",
        pattern="map_reduce",
        role="split",
        expected=wanted,
        got=got,
    )


def _without_failures(state: Mapping[str, Any]) -> list[Any]:
    """The answers of the items in their order, null for those that failed."""
    answers = list(state.get("results") or [])
    for failed in state.get("failures") or []:
        answers[int(failed["name"].removeprefix("item ")) - 1] = None
    return answers


def saga_step(step: Step, needs: Needs, settings: Settings) -> Composite:
    """Call after call; where one fails, those before it are taken back."""
    view, names = view_inside(settings), step.call_names()
    steps = []
    for place, (name, call) in enumerate(zip(names, step.agent_calls, strict=True)):
        seen = view if place == 0 else view.seeing(previous=_answer_of(names[place - 1]))
        player, options = played(call, name=name, view=seen, place=Place("results", name), settings=settings)
        undo = None
        if call.compensation is not None:
            taking_back, of_it = played(
                call.compensation,
                name=call.compensation.name or call.compensation.target,
                view=seen.seeing(result=_answer_of(name)),
                place=Place(None),
                settings=settings,
            )
            undo = Node(taking_back, **of_it)
        steps.append(SagaStep(player, name=name, compensate=undo, **options))
    flow = saga(steps, state=_Saga, name=step.name, options=own_nodes("begin", "rollback", "finish"))

    def read(state: Mapping[str, Any], given: dict[str, Any]) -> Outcome:
        answers = given.get("results") or {}
        failures = within(step.name, given.get("failures") or [])
        if not failures:
            return Outcome([answers.get(name) for name in names], answers=answers)
        return Outcome(
            failed=failures[0],
            failures=failures,
            undone=tuple(f"{step.name}.{name}" for name in given.get("undone") or []),
            not_undone=within(step.name, given.get("not_undone") or []),
        )

    return Composite(
        flow,
        {name: name for name in ("results", "failures", "undone", "not_undone")},
        read,
        needs.handed,
        soft=True,
    )


def _answer_of(name: str) -> Callable[[Mapping[str, Any]], Any]:
    return lambda state: (state.get("results") or {}).get(name)


def within(step: str, failures: Any) -> tuple[Failure, ...]:
    """The failures of what is in a step, by the names that they have in the whole document."""
    return tuple({**failed, "name": f"{step}.{failed['name']}"} for failed in failures)  # type: ignore[typeddict-item]
