"""Steps one after the other in one graph: those of a document, or those in a loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dalsegno.errors import DefinitionError, StepFailed
from dalsegno.graphs.definition import AgentCall, CallOfAgent, Goto, Step
from dalsegno.graphs.definitions import written_at
from dalsegno.graphs.documents.calls import OWN, Place, Settings, played
from dalsegno.graphs.documents.composites import Composite, Outcome
from dalsegno.graphs.documents.conditions import parse_condition
from dalsegno.graphs.documents.filing import filed
from dalsegno.graphs.documents.parts import parts_of_call, references_in
from dalsegno.graphs.documents.problems import FieldPath
from dalsegno.graphs.documents.references import Reference
from dalsegno.graphs.documents.scopes import View, key
from dalsegno.graphs.model import END, Loop, Target
from dalsegno.graphs.patterns.around import Fell
from dalsegno.graphs.patterns.roles import Cast, Node, Role
from dalsegno.graphs.patterns.states import failure
from dalsegno.graphs.workflow import Workflow
from dalsegno.nodes.execution import note_caught
from dalsegno.nodes.policies import Fallback
from dalsegno.nodes.policies.fallback import FromError

Make = Callable[[Step, FieldPath], Composite]
"""Makes a step a workflow of its own."""


@dataclass(frozen=True)
class Undo:
    """What takes a call back: its step and the place of that, its name, and what is to be kept beside its answer.

    `times`: so often it may have been made, for other steps go back to its own or to one before it.
    """

    step: str
    place: int
    call: str
    compensation: CallOfAgent
    keeps: frozenset[str]
    times: int = 1

    @property
    def name(self) -> str:
        """What was done, as the output tells it."""
        return f"{self.step}.{self.call}"


@dataclass
class Level:
    """A list of steps that becomes nodes of `flow`.

    `rollback` is where a failure goes that has to be taken back; `undoes` are the calls that may be, by their names
    in the document; `make` makes a workflow of a step that is none by itself.
    """

    flow: Workflow
    settings: Settings
    make: Make
    rollback: str
    undoes: dict[str, Undo] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.cast = Cast("document", self.flow)
        self.view = View(self.settings.definition.name)
        self._entries: dict[str, str] = {}

    def build(self, steps: Sequence[Step], at: FieldPath, *, source: str, end: str) -> None:
        """Add the steps, from `source` to `end`."""
        self._entries = {step.name: self._first(step) for step in steps}
        entries = [*self._entries.values(), end]
        self.flow.add_edge(source, entries[0])
        places = {step.name: place for place, step in enumerate(steps)}
        for place, step in enumerate(steps):
            with written_at(self.settings.place((*at, place))):
                try:
                    self._gate(step, entries[place + 1])
                    self._add(step, (*at, place), entries[place + 1], places)
                except DefinitionError as error:
                    raise self.settings.refused(error, (*at, place)) from error

    def calls(
        self,
        name: str,
        names: Sequence[str],
        calls: Sequence[AgentCall],
        at: FieldPath,
        *,
        source: str,
        end: str,
    ) -> None:
        """Add calls one after the other, without a step around them: the body of a loop."""
        step = Step.model_construct(name=name, agent_calls=list(calls))
        self.flow.add_edge(source, names[0])
        self._in_a_row(step, names, names, at, end, {})

    # -- a step -------------------------------------------------------------------------------------

    def _first(self, step: Step) -> str:
        if step.condition is not None:
            return f"if {step.name}"
        return self._node(step)

    def _node(self, step: Step) -> str:
        inline = step.strategy == "sequential" and step.budget is None and len(step.agent_calls) > 1
        return f"{step.name}.{step.call_names()[0]}" if inline else step.name

    def _gate(self, step: Step, following: str) -> None:
        if step.condition is None:
            return
        condition, view = parse_condition(step.condition), self.view

        def condition_of(state: Any) -> str:
            return "holds" if condition.holds(view.scope(state)) else "skipped"

        gate = self.cast.own(f"if {step.name}", _nothing, writes=(), timeout=OWN)
        ways = {"holds": self._node(step), "skipped": following}
        self.flow.add_conditional_edges(gate, condition_of, ways)

    def _add(self, step: Step, at: FieldPath, following: str, places: Mapping[str, int]) -> None:
        if step.strategy == "sequential" and (step.budget is None or len(step.agent_calls) == 1):
            calls = step.call_names()
            nodes = [f"{step.name}.{call}" for call in calls] if len(calls) > 1 else [step.name]
            self._in_a_row(step, nodes, calls, at, following, places)
            return
        composite = self.make(step, at)
        self._place_calls(step, at, composite.flow)
        if step.budget is not None:
            composite.flow.budget = step.budget.policy()
        careful = step.on_failure != "fail"
        failed = _failed(step.name)
        caught = Fallback(FromError(lambda argument, error: Fell(failed(argument, error))))
        self.flow.add_node(
            step.name,
            composite.flow,
            inputs={},  # it is handed what it needs
            outputs=composite.outputs,
            writes=self._writes(step, composite),
            fallback=caught if careful else None,
            metadata={"pattern": "document"},
        )
        node = self.flow.nodes[step.name]
        node.around = filed(self._outcome(step, composite), into=composite.into)
        self._lead(step, step.name, following, following, places, soft=composite.soft)

    def _place_calls(self, step: Step, at: FieldPath, flow: Workflow) -> None:
        """Each node of a pattern that is a call stands in the line of that call."""
        names = ["map", "reduce"] if step.strategy == "map_reduce" else step.call_names()
        for name, number in zip(names, range(len(step.agent_calls)), strict=False):
            call = (*at, "agent_calls", number)
            for node, path in ((name, call), (f"undo {name}", (*call, "compensation"))):
                place = self.settings.place(path)
                if node in flow.nodes and place is not None:
                    flow.nodes[node].where = place

    def _in_a_row(
        self,
        step: Step,
        nodes: Sequence[str],
        calls: Sequence[str],
        at: FieldPath,
        following: str,
        places: Mapping[str, int],
    ) -> None:
        for place, (node, call) in enumerate(zip(nodes, step.agent_calls, strict=True)):
            view = self.view if place == 0 else self.view.seeing(previous=key("_previous"))
            last = place == len(nodes) - 1
            with written_at(self.settings.place((*at, "agent_calls", place))):
                player, options = played(
                    call, name=node, view=view, place=Place("current"), settings=self.settings
                )
                undo = self.undoes.get(f"{step.name}.{calls[place]}")
                if undo is not None:
                    options = {"effect": True, **options, "compensate": f"undo {undo.name}"}
                careful = step.on_failure != "fail"
                writes = ["results", "current"] if last else ["_previous"]
                writes += ["failed", "failures"] if careful else []
                writes += ["undoable"] if undo is not None else []
                self.cast.add(
                    Role(name=node),
                    Node(player, **options, **_budget(step)),
                    on_failure=_failed(node) if careful else None,
                    around=filed(self._answer(step, view, undo, last=last)),
                    writes=writes,
                )
                self._lead(step, node, following if last else nodes[place + 1], following, places)

    def _lead(
        self,
        step: Step,
        node: str,
        following: str,
        after: str,
        places: Mapping[str, int],
        *,
        soft: bool = False,
    ) -> None:
        """The edges behind a node; `soft`: it may have failed without raising."""
        word = step.on_failure
        if word == "fail" and not soft:
            self.flow.add_edge(node, following)
            return
        target: Target
        if word == "skip":
            if following == after:
                self.flow.add_edge(node, following)
                return
            target = after
        elif word == "compensate":
            target = self.rollback
        elif isinstance(word, Goto):
            target = self._entries[word.goto]
            if word.max is not None and places[word.goto] <= places[step.name]:
                target = Loop(target, max=word.max, on_exhausted=self._give_up(step.name))
                if node != step.name:  # a call in a row: they go back as often as the step says, all together
                    target = self._way_back(step.name, target)
        else:
            target = self._give_up(step.name)
        self.flow.add_conditional_edges(node, _went, {"went": following, "failed": target})

    def _way_back(self, name: str, back: Loop) -> str:
        """The one place from which the calls of a step go back."""
        node = f"back from {name}"
        if node not in self.flow.nodes:
            self.cast.own(node, _nothing, writes=(), timeout=OWN)
            self.flow.add_conditional_edges(node, _back, {"back": back})
        return node

    def _give_up(self, name: str) -> str:
        node = f"fail {name}"
        if node not in self.flow.nodes:

            def give_up(state: Any) -> dict[str, Any]:
                failed = state.get("failed") or {}
                left = "".join(
                    f" `{f['name']}` could not be taken back: {f['error']}: {f['message']}."
                    for f in state.get("not_undone") or []
                )
                raise StepFailed(
                    f"Step `{name}` failed, and no way on is left: `{failed.get('name')}`: {failed.get('error')}: "
                    f"{failed.get('message')}.{left} Start a new run when the cause is mended.",
                    step=name,
                    failed=failed,
                )

            self.cast.own(node, give_up, writes=(), timeout=OWN)
            self.flow.add_edge(node, END)
        return node

    # -- what comes of it ---------------------------------------------------------------------------

    def _answer(self, step: Step, view: View, undo: Undo | None, *, last: bool) -> Any:
        careful = {"failed": None} if step.on_failure != "fail" else {}

        def answered(state: Mapping[str, Any], given: dict[str, Any]) -> dict[str, Any]:
            answer = given["current"]
            update = {"results": {step.name: answer}, "current": answer} if last else {"_previous": answer}
            return {**update, **careful, **self._kept(undo, view, state, answer)}

        return answered

    def _outcome(self, step: Step, composite: Composite) -> Any:
        careful = step.on_failure != "fail" or composite.soft

        def came(state: Mapping[str, Any], given: dict[str, Any]) -> dict[str, Any]:
            outcome: Outcome = composite.read(state, given)
            if outcome.failed is not None:
                why = "`{name}`: {error}: {message}".format_map(outcome.failed)
                note_caught(StepFailed(why, step=step.name, failed=outcome.failed))
            update: dict[str, Any] = {}
            if outcome.failed is None and not outcome.skipped:
                update |= {
                    "results": {**outcome.results, step.name: outcome.result},
                    "current": outcome.result,
                }
            elif outcome.results:
                update["results"] = dict(outcome.results)
            if careful:
                update["failed"] = outcome.failed
            for name in ("failures", "undone", "not_undone"):
                found = getattr(outcome, name)
                if found:
                    update[name] = list(found)
            if outcome.failed is None or step.strategy != "saga":
                kept: list[dict[str, Any]] = []
                for call, answer in outcome.answers.items():
                    undo = self.undoes.get(f"{step.name}.{call}")
                    kept += self._kept(undo, self.view, state, answer).get("undoable", [])
                if kept:
                    update["undoable"] = kept
            return update

        return came

    def _writes(self, step: Step, composite: Composite) -> list[str]:
        writes = {"results", "current", *composite.outputs}
        if step.on_failure != "fail" or composite.soft:
            writes |= {"failed", "failures"}
        if any(undo.step == step.name for undo in self.undoes.values()):
            writes.add("undoable")
        return sorted(writes)

    def _kept(self, undo: Undo | None, view: View, state: Mapping[str, Any], answer: Any) -> dict[str, Any]:
        """What taking a call back needs to know of it."""
        if undo is None:
            return {}
        scope = view.scope(state)
        kept = {"call": undo.name, "result": answer}
        for name in sorted(undo.keeps):
            kept[name] = getattr(scope, name)
        return {"undoable": [kept]}


def undo_of(step: Step, place: int, name: str, call: AgentCall) -> Undo | None:
    """What takes a call back; None where nothing does."""
    if call.compensation is None:
        return None
    references: list[Reference] = list(references_in(parts_of_call(call.compensation)))
    keeps = frozenset(r.root for r in references if r.root in ("current", "previous"))
    return Undo(step.name, place, name, call.compensation, keeps)


def _failed(name: str) -> Any:
    def failed(argument: Any, error: BaseException) -> dict[str, Any]:
        return {"failed": failure(name, error), "failures": [failure(name, error)]}

    return failed


def _went(state: Any) -> str:
    return "failed" if state.get("failed") else "went"


def _back(state: Any) -> str:
    return "back"


def _nothing(state: Any) -> dict[str, Any]:
    return {}


def _budget(step: Step) -> dict[str, Any]:
    if step.budget is None:
        return {}
    budget = step.budget.policy().of_a_node()
    return {} if budget is None else {"budget": budget}
