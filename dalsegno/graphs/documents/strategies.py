"""Which fields belong to which strategy, and what a step has to say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dalsegno.errors import did_you_mean
from dalsegno.graphs.definition import Goto, Step, Strategy, WorkflowDefinition
from dalsegno.graphs.documents.problems import FieldPath, Problem

_OWN: dict[str, tuple[Strategy, ...]] = {
    "over": ("map_reduce",),
    "max": ("map_reduce", "loop"),
    "max_concurrency": ("parallel", "map_reduce"),
    "until": ("loop",),
    "on_exhausted": ("loop",),
    "steps": ("loop",),
    "workflow": ("subworkflow",),
    "params": ("subworkflow",),
}
"""Fields that only these strategies have."""

_UNDOABLE = ("sequential", "parallel", "conditional", "saga")


def strategy_problems(definition: WorkflowDefinition) -> Iterator[Problem]:
    """What steps say that their strategy cannot mean, and what they do not say that it needs."""
    yield from _of_list(definition.steps, ("steps",), nested=False)


def _of_list(steps: Sequence[Step], at: FieldPath, *, nested: bool) -> Iterator[Problem]:
    last_undo = max((n for n, step in enumerate(steps) if step.on_failure == "compensate"), default=-1)
    for place, step in enumerate(steps):
        here = (*at, place)
        yield from _of_step(step, here)
        yield from _compensations(step, here, reached=place <= last_undo and not nested)
        if isinstance(step.on_error, Goto):
            yield from _goto(step.on_error, place, steps, here)
        yield from _of_list(step.steps, (*here, "steps"), nested=True)


def _of_step(step: Step, at: FieldPath) -> Iterator[Problem]:
    yield from _fields_of_others(step, at)
    where = (*at, "agent_calls") if "agent_calls" in step.model_fields_set else at
    if step.strategy == "subworkflow":
        yield from _subworkflow(step, at, where)
        return
    yield from _extent(step, at, where)
    yield from _conditions(step, where)
    budget = step.budget.supersteps if step.budget is not None else None
    if budget is not None and step.strategy == "sequential" and len(step.agent_calls) == 1:
        yield Problem(
            "A step of one call is one superstep: leave this out.", (*at, "budget", "supersteps"), key=True
        )


def _fields_of_others(step: Step, at: FieldPath) -> Iterator[Problem]:
    for name, owners in _OWN.items():
        if name in step.model_fields_set and getattr(step, name) is not None and step.strategy not in owners:
            yield Problem(
                f"`{name}` is a field of {' and '.join(f'`{o}`' for o in owners)}, and this step is "
                f"`{step.strategy}`.",
                (*at, name),
                key=True,
            )


def _subworkflow(step: Step, at: FieldPath, where: FieldPath) -> Iterator[Problem]:
    if step.workflow is None:
        yield Problem("Which workflow? `workflow: other.yaml`, or `file.py:name`.", at)
    if step.agent_calls:
        yield Problem("A subworkflow makes no calls of its own: its input is `params`.", where, key=True)
    if isinstance(step.params, list | int | float | bool):
        yield Problem("The input of a workflow is a mapping.", (*at, "params"))


def _extent(step: Step, at: FieldPath, where: FieldPath) -> Iterator[Problem]:
    """What is done, and how often at the most."""
    calls = len(step.agent_calls)
    if step.strategy == "loop":
        if bool(calls) == bool(step.steps):
            yield Problem("A loop has `agent_calls` or `steps`, one of them.", at)
        if step.max is None:
            yield Problem("A loop needs a bound: `max`, the most rounds.", at)
    elif not calls:
        yield Problem("A step needs `agent_calls`.", at)
    if step.strategy == "map_reduce":
        if calls > 2:
            yield Problem(
                "A map_reduce has two calls at most: one for every item, and one of all answers.", where
            )
        if step.max is None:
            yield Problem("A map_reduce needs a bound: `max`, the most items.", at)


def _conditions(step: Step, where: FieldPath) -> Iterator[Problem]:
    """Which calls have a `when`."""
    calls = step.agent_calls
    if step.strategy != "conditional":
        for place, call in enumerate(calls):
            if call.when is not None:
                yield Problem(
                    f"`when` is for `strategy: conditional`, and this step is `{step.strategy}`. The condition of a "
                    "step is `condition`.",
                    (*where, place, "when"),
                    key=True,
                )
        return
    for place, call in enumerate(calls[:-1]):
        if call.when is None:
            yield Problem("A call without `when` is for what is left, and stands last.", (*where, place))
    if calls and all(call.when is None for call in calls):
        yield Problem("A conditional step needs a call with `when`.", where)


def _compensations(step: Step, at: FieldPath, *, reached: bool) -> Iterator[Problem]:
    for place, call in enumerate(step.agent_calls):
        if call.compensation is None:
            continue
        where = (*at, "agent_calls", place, "compensation")
        if step.strategy not in _UNDOABLE:
            yield Problem(
                f"A call in a `{step.strategy}` may be made several times, and nobody knows which of them is taken "
                "back. Make it a call of a saga.",
                where,
                key=True,
            )
        elif step.strategy != "saga" and not reached:
            yield Problem(
                "This would never be called: neither this step nor one after it says `on_error: compensate`, and the "
                "step is no saga.",
                where,
                key=True,
            )


def _goto(goto: Goto, place: int, steps: Sequence[Step], at: FieldPath) -> Iterator[Problem]:
    where = (*at, "on_error", "goto")
    names = [step.name for step in steps]
    if goto.goto not in names:
        yield Problem(
            f"There is no step `{goto.goto}` beside this one{did_you_mean(goto.goto, names) or '.'} It goes to one of "
            f"the same list: {', '.join(f'`{name}`' for name in names)}.",
            where,
        )
        return
    target = names.index(goto.goto)
    if target > place:
        if goto.max is not None:
            yield Problem(
                "`max` bounds the way back, and this one goes forward.", (*at, "on_error", "max"), key=True
            )
        return
    if goto.max is None:
        yield Problem(
            f"`{goto.goto}` is not after this step, and going back needs a bound: `{{goto: {goto.goto}, max: 3}}`.",
            where,
        )
    for step in steps[target : place + 1]:
        if step.strategy != "saga" and any(call.compensation is not None for call in step.agent_calls):
            yield Problem(
                f"Going back to `{goto.goto}` would do `{step.name}` again, and only the last time could be taken "
                "back. Make that step a saga, or let the run fail.",
                where,
            )
