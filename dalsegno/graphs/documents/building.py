"""From a document to the workflow that it means."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from langgraph.types import Overwrite

from dalsegno.graphs.definition import Goto, Step, WorkflowDefinition, walk
from dalsegno.graphs.definitions import written_at
from dalsegno.graphs.documents import states
from dalsegno.graphs.documents.calls import OWN, Child, Place, Settings, played
from dalsegno.graphs.documents.checks import check
from dalsegno.graphs.documents.composites import (
    Composite,
    conditional_step,
    map_reduce_step,
    parallel_step,
    saga_step,
)
from dalsegno.graphs.documents.filing import filed
from dalsegno.graphs.documents.levels import Level, Undo, undo_of
from dalsegno.graphs.documents.loops import loop_step, row_step
from dalsegno.graphs.documents.parts import parts_of_step, references_in
from dalsegno.graphs.documents.problems import FieldPath
from dalsegno.graphs.documents.references import parse_value
from dalsegno.graphs.documents.scopes import Needs
from dalsegno.graphs.documents.source import LARGE
from dalsegno.graphs.documents.subworkflows import secret_results, subworkflow_step
from dalsegno.graphs.garbage import garbage_kept
from dalsegno.graphs.model import END, START, Loop
from dalsegno.graphs.patterns.roles import Node, Role
from dalsegno.graphs.patterns.states import failure
from dalsegno.graphs.workflow import Workflow

_STRATEGIES = {
    "parallel": parallel_step,
    "conditional": conditional_step,
    "map_reduce": map_reduce_step,
    "saga": saga_step,
}


def build(
    definition: WorkflowDefinition,
    *,
    folder: str | Path | None = None,
    within: tuple[str, ...] = (),
    documents: dict[str, Child] | None = None,
) -> Workflow:
    """The workflow that a document means; see `WorkflowDefinition.workflow`.

    It is a part of the documents `within`; `documents` are those that were built before, by their paths.
    """
    settings = Settings.of(definition, folder, within, documents)
    source = definition.source
    with garbage_kept(large=source is not None and len(source.text) > LARGE):
        check(definition, settings)
        with written_at(settings.place(("name",))):
            flow = _Document(definition, settings).flow
    flow.definition = definition
    return flow


class _Document:
    def __init__(self, definition: WorkflowDefinition, settings: Settings) -> None:
        self.definition, self.settings = definition, settings
        self.undoes = _undoes(definition)
        self.says_output = "output" in definition.model_fields_set
        self.keys = states.input_keys(definition)
        steps = definition.steps
        told = {key for child in settings.children.values() if child.is_document for key in child.outputs}
        rolls = any(step.on_failure == "compensate" for step in steps)
        undoes = rolls or "undone" in told or any(_takes_back(step) for step, _ in walk(steps))
        tells = undoes or "failures" in told or any(step.on_failure != "fail" for step, _ in walk(steps))
        state = states.state_schema(secret_results(definition, settings))
        self.flow = Workflow(
            definition.name,
            state,
            input_schema=states.input_schema("Input", self.keys),
            output_schema=states.output_schema(
                state, results=not self.says_output, tells=tells, undoes=undoes, rolls=rolls
            ),
            version=definition.version,
            budget=None if definition.budget is None else definition.budget.policy(),
        )
        self.level = Level(self.flow, settings, self.make, "roll back", self.undoes)
        self.cast = self.level.cast
        self._begin(undoes=undoes, tells=tells)
        self.level.build(steps, ("steps",), source="take input", end="give output")
        self._end(rolls=rolls)
        if rolls:
            with written_at(settings.place(("steps",))):
                self._roll_back()

    def make(self, step: Step, at: FieldPath) -> Composite:
        """A step as a workflow of its own."""
        needs = Needs.of(references_in(parts_of_step(step, gate=False)))
        if step.strategy == "loop":
            if step.steps:  # where they are skipped, what the loop was given passes through
                needs = replace(needs, current=True)
            return loop_step(step, at, needs, self.settings, self.make)
        if step.strategy == "subworkflow":
            return subworkflow_step(step, at, self.settings)
        if step.strategy == "sequential":
            return row_step(step, at, needs, self.settings, self.make)
        return _STRATEGIES[step.strategy](step, needs, self.settings)

    def _begin(self, *, undoes: bool, tells: bool) -> None:
        """The first node: the input with its defaults, and nothing that an earlier turn of the thread left."""
        defaults = {name: given.default for name, given in self.keys.items() if given.has_default}
        names = list(self.keys)
        nullable = {
            name for name, given in self.keys.items() if given.type == "any" and not given.has_default
        }
        # What may be missing is empty once it is taken: a later turn without it finds nothing of this one.
        fresh: dict[str, Any] = {name: None for name, given in self.keys.items() if given.optional}
        fresh |= {"output": None, "results": Overwrite({})}
        if tells:
            fresh |= {"failures": Overwrite([]), "failed": None}
        if undoes:
            fresh |= {"undone": Overwrite([]), "not_undone": Overwrite([]), "undoable": Overwrite([])}

        def take(state: Any) -> dict[str, Any]:
            given = {
                name: state[name]
                for name in names
                if name in state and (state[name] is not None or name in nullable)
            }
            for name, value in defaults.items():
                if name not in given:
                    given[name] = copy.deepcopy(value)
            return {**fresh, "input": given, "current": given}

        writes = ("input", "current", *fresh)
        taken = states.typed("Taken", dict.fromkeys(names, Any))
        self.cast.own("take input", take, input_schema=taken, reads=tuple(names), writes=writes, timeout=OWN)
        self.flow.add_edge(START, "take input")

    def _end(self, *, rolls: bool) -> None:
        """The last node: what the document gives."""
        said = self.definition.output
        value = parse_value(said if self.says_output else "$current")
        view = self.level.view

        def give(state: Any) -> dict[str, Any]:
            found = {"output": value.resolve(view.scope(state))}
            return {**found, "outcome": "done"} if rolls else found

        place = ("output",) if said is not None else ("steps",)
        with written_at(self.settings.place(place)):
            self.cast.own(
                "give output", give, writes=("output", "outcome") if rolls else ("output",), timeout=OWN
            )
            self.flow.add_edge("give output", END)

    def _roll_back(self) -> None:
        """What was done is taken back, the last first: from `roll back` to one after the other, each once."""

        def roll_back(state: Any) -> dict[str, Any]:
            return {"outcome": "partly undone" if state.get("not_undone") else "undone", "output": None}

        self.cast.own("roll back", roll_back, writes=("outcome", "output"), timeout=OWN)

        def following(state: Any) -> str:
            done = state.get("undoable")
            return f"undo {done[-1]['call']}" if done else "nothing is left"

        ways: dict[str, Any] = {"nothing is left": END}
        for name, undo in self.undoes.items():
            with written_at(self.settings.place(("steps", undo.place))):
                node = self._undo(name, undo)
            ways[node] = Loop(node, max=undo.times, on_exhausted=END)
        if self.undoes:
            self.flow.add_conditional_edges("roll back", following, ways)
        else:
            self.flow.add_edge("roll back", END)

    def _undo(self, name: str, undo: Undo) -> str:
        """The node that takes back one call."""

        def kept(what: str) -> Any:
            return lambda state: state["undoable"][-1].get(what)

        seen = {what: kept(what) for what in ("result", *undo.keeps)}
        player, options = played(
            undo.compensation,
            name=f"undo {name}",
            view=self.level.view.seeing(**seen),
            place=Place(None),
            settings=self.settings,
        )

        def not_undone(state: Any, error: BaseException) -> dict[str, Any]:
            return {"not_undone": [failure(name, error)], "undoable": Overwrite(state["undoable"][:-1])}

        def undone(state: Mapping[str, Any], given: dict[str, Any]) -> dict[str, Any]:
            return {"undone": [name], "undoable": Overwrite(state["undoable"][:-1])}

        node = self.cast.add(
            Role(name=f"undo {name}"),
            Node(player, **options),
            on_failure=not_undone,
            around=filed(undone),
            effect=True,
            idempotent=True,
            writes=("undone", "not_undone", "undoable"),
            metadata={"compensates": name},
        )
        self.flow.add_edge(node, "roll back")
        return node


def _undoes(definition: WorkflowDefinition) -> dict[str, Undo]:
    """The calls that may be taken back because a step after them, or their own, says so; in their order."""
    places = [place for place, step in enumerate(definition.steps) if step.on_failure == "compensate"]
    last = max(places, default=-1)
    found: dict[str, Undo] = {}
    for place, step in enumerate(definition.steps[: last + 1]):
        if step.strategy in ("loop", "map_reduce", "subworkflow"):
            continue
        if step.strategy == "saga" and place == last:
            continue  # it takes its own calls back
        for name, call in zip(step.call_names(), step.agent_calls, strict=True):
            undo = undo_of(step, place, name, call)
            if undo is not None:
                found[undo.name] = replace(undo, times=1 + _ways_back(definition.steps, place))
    return found


def _ways_back(steps: Sequence[Step], place: int) -> int:
    """How often steps behind one may go back to it, or to one before it; a saga that does has taken itself back."""
    names = [step.name for step in steps]
    return sum(
        step.on_failure.max or 0
        for step in steps[place + 1 :]
        if isinstance(step.on_failure, Goto) and names.index(step.on_failure.goto) <= place
    )


def _takes_back(step: Step) -> bool:
    return step.strategy == "saga" and any(call.compensation is not None for call in step.agent_calls)
