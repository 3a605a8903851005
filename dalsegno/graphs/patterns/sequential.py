"""Pattern 1: one step after the other, each fed with what the last one gave."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from typing_extensions import TypedDict  # pydantic validates these on Python 3.11 too

from dalsegno.errors import DefinitionError
from dalsegno.graphs.model import END, START
from dalsegno.graphs.patterns.catalog import pattern
from dalsegno.graphs.patterns.filing import added
from dalsegno.graphs.patterns.roles import Cast, Node, Role, failed_as, named
from dalsegno.graphs.patterns.states import Failure, read
from dalsegno.graphs.workflow import Workflow


class Sequential(TypedDict, total=False):
    """The state: extend it for steps that need more.

    - `value`: what the steps hand on, from the input to the last answer
    - `failures`: the failures of steps that were skipped, or that made the run go back
    """

    value: Any
    failures: Annotated[list[Failure], operator.add]


class Step(Node):
    """A step of a sequence: an actor, and what happens when it fails for good.

    Parameters
    ----------
    on_error
        ``"fail"``: the run fails, and can be resumed. ``"skip"``: the next step gets the same value.
        ``"compensate"``: the compensations of the steps before it run, the last one's first, and the run ends.
    compensate
        An actor, or a `Node`, that undoes the step. What it answers is dropped, if it is no update of the state.
    """

    def __init__(
        self,
        actor: Any,
        /,
        *,
        name: str | None = None,
        on_error: Literal["fail", "skip", "compensate"] = "fail",
        compensate: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(actor, name=name, **options)
        if on_error not in ("fail", "skip", "compensate"):
            raise DefinitionError(f'Step(on_error={on_error!r}): it is "fail", "skip" or "compensate".')
        self.on_error = on_error
        self.compensate = compensate


def _counts(given: Mapping[str, Any]) -> dict[str, int]:
    steps = list(named("sequential", given["steps"], kind=Step, what="step").values())
    undone = [
        sum(earlier.compensate is not None for earlier in steps[:place]) - (len(steps) - place - 1)
        for place, step in enumerate(steps)
        if step.on_error == "compensate"
    ]
    return {"careful": int(any(step.on_error != "fail" for step in steps)), "undone": max([0, *undone])}


@pattern(1, bound="len(steps) + careful + undone", counts=_counts)
def sequential(
    steps: Sequence[Any] | Mapping[str, Any],
    *,
    state: Any = Sequential,
    name: str = "sequential",
    version: str = "1",
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Workflow:
    """Run steps one after the other, each fed with what the last one gave.

    When
    ----
    The steps always come in the same order: extract, check, transform, load. This is the cheapest pattern and the
    easiest to follow, so begin with it.

    When not
    --------
    - The input decides what is done: `router`.
    - The steps do not need each other: `parallel`.
    - The steps change the world in several places and must be taken back together: `saga`, which also survives a
      compensation that fails.

    Parameters
    ----------
    steps
        ``state -> value``, or a function that returns an update of the state. Each reads ``state["value"]``. A
        sequence, or a mapping by name. A `Step` has more options. Wrap a chat model in `agent`, because it needs a
        prompt.
    state
        `Sequential` or a schema with its keys.
    options
        Keywords of `Workflow.add_node` by node: ``{"load": {"timeout": 30}}``.

    Bound
    -----
    Each step takes one superstep. `careful` is 1 if a step may be skipped or compensated, else 0. `undone` counts the
    compensations that make the way back longer than the rest of the way forward.

    Failure
    -------
    Each step decides for itself. Either the run fails there and is resumed there, or the step is skipped, or the
    steps before it are undone. ``failures`` says which step failed, and why. If a compensation fails, the run fails,
    and is resumed there.

    Source
    ------
    Pipes and Filters, in Buschmann et al., "Pattern-Oriented Software Architecture" 1 (1996).

    Example
    -------
    >>> from dalsegno.graphs.patterns import sequential
    >>> def words(state) -> list[str]:
    ...     return state["value"].split()
    >>> def count(state) -> int:
    ...     return len(state["value"])
    >>> flow = sequential([words, count])
    >>> given = {"value": "from the sign to the end"}
    >>> flow.compile().invoke(given)["value"]
    6
    """
    flow = Workflow(name, state, version=version)
    cast = Cast("sequential", flow, options)
    played: dict[str, Step] = named("sequential", steps, kind=Step, what="step")
    careful = any(step.on_error != "fail" for step in played.values())
    undone = _undone(played)
    before = cast.begin(failures=[]) if careful else START
    for node, step in played.items():
        caught = failed_as(node) if step.on_error != "fail" else None
        undo = f"undo {node}" if node in undone else None
        cast.add(Role(name=node, key="value"), step, on_failure=caught, compensate=undo)
    nodes = list(played)
    for node, following in zip([before, *nodes], [*nodes, END], strict=True):
        if node in played and played[node].on_error == "compensate":
            back = _way_back(played, node)
            flow.add_conditional_edges(node, _went_or_back(played, node), {"went": following, **back})
        else:
            flow.add_edge(node, following)
    for node in undone:
        cast.add(Role(name=f"undo {node}"), played[node].compensate, around=added(dict, flow.annotations))
        flow.add_conditional_edges(f"undo {node}", _back(played, node), _way_back(played, node))
    return flow


def _undone(played: Mapping[str, Step]) -> list[str]:
    """The steps whose compensation may run, the last one first."""
    names = list(played)
    last = max(
        (place for place, name in enumerate(names) if played[name].on_error == "compensate"), default=0
    )
    return [name for name in reversed(names[:last]) if played[name].compensate is not None]


def _way_back(played: Mapping[str, Step], before: str) -> dict[str, str]:
    """Where it may go back to from a step: to the nearest one with a compensation that was not skipped."""
    names = list(played)
    targets: dict[str, str] = {}
    for name in reversed(names[: names.index(before)]):
        if played[name].compensate is not None:
            targets[f"undo {name}"] = f"undo {name}"
            if played[name].on_error != "skip":
                return targets
    return {**targets, "nothing to undo": END}


def _back(played: Mapping[str, Step], before: str) -> Any:
    ways = _way_back(played, before)

    def back(state: Any) -> str:
        skipped = {f"undo {failed['name']}" for failed in read(state, "failures", [])}
        return next(way for way in ways if way not in skipped)

    return back


def _went_or_back(played: Mapping[str, Step], step: str) -> Any:
    back = _back(played, step)

    def went(state: Any) -> str:
        failed = any(failure["name"] == step for failure in read(state, "failures", []))
        return str(back(state)) if failed else "went"

    return went
