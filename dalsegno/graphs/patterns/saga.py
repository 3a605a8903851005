"""Pattern 6: steps that change the world in several places, and are all taken back when one of them fails."""

from __future__ import annotations

import operator
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

from typing_extensions import TypedDict  # pydantic validates these on Python 3.11 too

from dalsegno.errors import DefinitionError
from dalsegno.graphs.model import END, Loop
from dalsegno.graphs.patterns.catalog import pattern
from dalsegno.graphs.patterns.filing import added
from dalsegno.graphs.patterns.roles import Cast, Node, Role, named
from dalsegno.graphs.patterns.states import Failure, failure, merged, read
from dalsegno.graphs.workflow import Workflow
from dalsegno.nodes.human import Human


class Completed(TypedDict):
    """A step that is done: its name, and when, in unix seconds."""

    step: str
    at: float


def by_time(old: list[Completed] | None, new: list[Completed] | None) -> list[Completed]:
    """A reducer: what was done first stands first, however it came in.

    >>> [done["step"] for done in by_time([{"step": "b", "at": 2.0}], [{"step": "a", "at": 1.0}])]
    ['a', 'b']
    """
    return sorted([*(old or []), *(new or [])], key=lambda done: done["at"])


class Saga(TypedDict, total=False):
    """The state, which tells the outcome: extend it for steps that need more.

    - `request`: what the steps work on
    - `results`: what they gave, by step
    - `completed`: the steps that are done
    - `failures`: what made the saga go back
    - `undone`: the steps whose compensation was executed, in this order
    - `not_undone`: the steps whose compensation failed, and why
    - `outcome`: ``"done"``, ``"undone"`` or ``"partly undone"``
    """

    request: Any
    results: Annotated[dict[str, Any], merged]
    completed: Annotated[list[Completed], by_time]
    failures: Annotated[list[Failure], operator.add]
    undone: Annotated[list[str], operator.add]
    not_undone: Annotated[list[Failure], operator.add]
    outcome: Literal["done", "undone", "partly undone"]


class SagaStep(Node):
    """A step of a saga, and what takes it back.

    Parameters
    ----------
    compensate
        An actor, or a `Node` with a retry and a timeout of its own, that undoes the step. It reads what the step gave
        in ``state["results"]``; what it answers is dropped, if it is no update of the state. None: nothing is to be
        undone; declare ``effect=False`` then, unless it is the last.
    """

    def __init__(
        self, actor: Any, /, *, compensate: Any = None, name: str | None = None, **options: Any
    ) -> None:
        super().__init__(actor, name=name, **options)
        self.compensate = compensate


def _counts(given: Mapping[str, Any]) -> dict[str, int]:
    groups = _groups(given["steps"])
    return {
        "groups": len(groups),
        "joined": sum(1 + (place > 0) for place, group in enumerate(groups) if len(group) > 1),
        "compensations": len(_undone(groups)),
    }


@pattern(6, bound="groups + joined + 2 * compensations + 3", counts=_counts)
def saga(
    steps: Sequence[Any],
    *,
    clock: Callable[[], float] = time.time,
    state: Any = Saga,
    name: str = "saga",
    version: str = "1",
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Workflow:
    """Do several things in the world, and take back those that are done when one of them fails.

    When
    ----
    The things are in different places, so that no transaction spans them: charge a card, reserve a room, send a
    letter. Each one is committed by itself, and each can be undone by something that makes up for it.

    When not
    --------
    - Everything is in one database: use its transaction.
    - Nothing changes the world: `sequential`.

    Parameters
    ----------
    steps
        ``state -> value``. Each reads ``state["request"]`` and ``state["results"]``, which has the values of earlier
        steps by their names. A step is a `SagaStep`, or an actor with nothing to undo. A list among them is a group
        whose steps run at once.
    clock
        Unix seconds, which give the steps of a group an order: what was done last is undone first.
    state
        `Saga` or a schema with its keys.
    options
        Keywords of `Workflow.add_node` by node: ``{"undo charge": {"timeout": 10}}``.

    Bound
    -----
    `begin`; a superstep for each of `groups`; `rollback`; each of `compensations`, and `rollback` again after it;
    `finish`. `joined` counts what groups of several steps add: one superstep to join, and one to fork, except for the
    first group.

    Failure
    -------
    If a step fails for good, the steps completed before it are undone in reverse order of their completion. Each
    compensation has its own retry and timeout. A compensation that fails for good does not stop the others; then
    ``outcome`` is ``"partly undone"``, and ``not_undone`` says which one failed, and why.

    The run is completed in both cases. It fails, and can be resumed, only if a node breaks what its workflow
    declares. If the process is killed in the middle of the rollback, the resumed run continues with the rollback.

    Source
    ------
    Garcia-Molina and Salem, "Sagas" (1987).

    Example
    -------
    >>> from dalsegno.graphs.patterns import SagaStep, saga
    >>> rooms = []
    >>> def reserve(state) -> str:
    ...     rooms.append(state["request"])
    ...     return "room 7"
    >>> def release(state) -> None:
    ...     rooms.remove(state["request"])
    >>> def charge(state) -> str:
    ...     raise PermissionError("the card was refused")
    >>> flow = saga([SagaStep(reserve, compensate=release), charge])
    >>> given = {"request": "Ada"}
    >>> flow.compile().invoke(given)["outcome"]
    'undone'
    >>> rooms
    []
    """
    flow = Workflow(name, state, version=version)
    cast = Cast("saga", flow, options)
    groups = _groups(steps)
    undone = _undone(groups)
    cast.begin(results={}, completed=[], failures=[], undone=[], not_undone=[])
    for step, node in ((step, node) for group in groups for step, node in group.items()):
        cast.add(
            Role(name=step, key="results", item=step),
            node,
            on_failure=_failed(step),
            around=added(_completed(step, clock), flow.annotations),
            effect=not isinstance(node.actor, Human),  # a question changes nothing
            compensate=undone.get(step),
        )

    def rollback(state: Any) -> dict[str, Any]:
        return {"outcome": "partly undone" if read(state, "not_undone", []) else "undone"}

    def finish(state: Any) -> dict[str, Any]:
        return {} if read(state, "failures", []) else {"outcome": "done"}

    cast.own("rollback", rollback)
    cast.own("finish", finish, writes=("outcome",))
    _forward(flow, cast, groups)
    _back(flow, cast, groups, undone)
    return flow.add_edge("finish", END)


def _groups(steps: Any) -> list[dict[str, Any]]:
    """The steps by name, those that run at once together."""
    if isinstance(steps, Mapping):
        return [{name: node} for name, node in named("saga", steps, kind=SagaStep, what="step").items()]
    if not isinstance(steps, Sequence) or isinstance(steps, str):
        raise DefinitionError(f"saga: {steps!r} are no steps. Give a sequence; a list in it is a group.")
    groups = [
        named("saga", list(each) if isinstance(each, list | tuple) else [each], kind=SagaStep, what="step")
        for each in steps
    ]
    named(
        "saga",
        [SagaStep(node.actor, name=name) for group in groups for name, node in group.items()],
        what="step",
    )
    return groups


def _undone(groups: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The nodes that undo steps, by step. What comes last is never undone: nothing fails after it."""
    return {
        step: f"undo {step}"
        for place, group in enumerate(groups, 1)
        for step, node in group.items()
        if node.compensate is not None and (place < len(groups) or len(group) > 1)
    }


def _forward(flow: Workflow, cast: Cast, groups: Sequence[Mapping[str, Any]]) -> None:
    """Group after group; behind each it goes on, or back."""
    before = "begin"
    for number, group in enumerate(groups, 1):
        first = next(iter(group))
        if len(group) > 1 and number > 1:
            first = cast.own(f"fork {number}", _nothing, writes=())
        if number == 1:
            for step in group:
                flow.add_edge(before, step)
        else:
            flow.add_conditional_edges(before, _went, {"went": first, "failed": "rollback"})
            for step in group if len(group) > 1 else ():
                flow.add_edge(first, step)
        before = next(iter(group))
        if len(group) > 1:
            before = cast.own(f"join {number}", _nothing, writes=())
            flow.add_edge(list(group), before)
    flow.add_conditional_edges(before, _went, {"went": "finish", "failed": "rollback"})


def _back(flow: Workflow, cast: Cast, groups: Sequence[Mapping[str, Any]], undone: Mapping[str, str]) -> None:
    """From `rollback` to the compensation of the step that was completed last, and back to it, each once."""
    if not undone:
        flow.add_edge("rollback", "finish")
        return

    # A clock is asked only within a group: between groups it may have been set back, or be another machine's.
    place = {step: number for number, group in enumerate(groups) for step in group}

    def following(state: Any) -> str:
        tried = {*read(state, "undone", []), *(f["name"] for f in read(state, "not_undone", []))}
        left = [done for done in read(state, "completed", []) if done["step"] not in tried]
        left.sort(key=lambda done: place[done["step"]])
        return next((undone[d["step"]] for d in reversed(left) if d["step"] in undone), "nothing is left")

    ways: dict[str, Any] = {"nothing is left": "finish"}
    for step, undo in undone.items():
        compensate = next(group[step].compensate for group in groups if step in group)
        cast.add(
            Role(name=undo),
            compensate,
            on_failure=_not_undone(step),
            around=added(_undone_now(step), flow.annotations),
            effect=True,
            idempotent=True,
        )
        flow.add_edge(undo, "rollback")
        ways[undo] = Loop(undo, max=1, on_exhausted="finish")
    flow.add_conditional_edges("rollback", following, ways)


def _went(state: Any) -> Literal["went", "failed"]:
    return "failed" if read(state, "failures", []) else "went"


def _nothing(state: Any) -> dict[str, Any]:
    return {}


def _completed(step: str, clock: Callable[[], float]) -> Callable[[], dict[str, Any]]:
    return lambda: {"completed": [{"step": step, "at": clock()}]}


def _undone_now(step: str) -> Callable[[], dict[str, Any]]:
    return lambda: {"undone": [step]}


def _failed(step: str) -> Any:
    return lambda argument, error: {"failures": [failure(step, error)]}


def _not_undone(step: str) -> Any:
    return lambda argument, error: {"not_undone": [failure(step, error)]}
