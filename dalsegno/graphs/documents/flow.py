"""Every reference of a document is checked before the run: whether there can be what it leads to, and surely is.

A reference has to lead to a result that is there on every way to it. Where a step may have been skipped, may fail and
be let pass, or may be jumped over, the reference says so (``${context.results.check?}``, null where there is none), or
its step asks for it first (``condition: $context.results.check != null``), or has the same condition as the other step.
In a condition what is missing is null anyway. What is known of values, by the declared input and by the `output` of
calls, is checked as well. Only what is wrong for sure is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

from dalsegno.errors import DocumentInvalid, did_you_mean
from dalsegno.graphs.definition import AgentCall, CallOfAgent, Goto, Step, WorkflowDefinition, walk
from dalsegno.graphs.documents import shapes
from dalsegno.graphs.documents.arriving import ANYTHING, OF_INPUT, Arrivals, Here, Passing, arrivals
from dalsegno.graphs.documents.conditions import Condition, parse_condition
from dalsegno.graphs.documents.expecting import check_kinds
from dalsegno.graphs.documents.expressions import Constant, Length, Node
from dalsegno.graphs.documents.grammar import Unreadable
from dalsegno.graphs.documents.kinds import Kind, in_words
from dalsegno.graphs.documents.parts import Part, parts_of_call
from dalsegno.graphs.documents.presence import (
    Way,
    Ways,
    leads_through,
    parts_that_hold,
    way_of,
    ways_where,
)
from dalsegno.graphs.documents.problems import FieldPath, Problem
from dalsegno.graphs.documents.references import Reference
from dalsegno.graphs.documents.shapes import UNKNOWN, Schema, Wrong

_NONE: Ways = frozenset()


def flow_problems(definition: WorkflowDefinition) -> Iterator[Problem]:
    """What is wrong with the references of a document, each problem with its path and character.

    Conditions and values that cannot be read are passed over: they are told by whoever reads them.
    """
    yield from _Flow(definition).problems()


@dataclass(frozen=True)
class _Scene:
    """Where a reference stands: in or behind which step, what is there, and what is known of what it may say.

    `asked` are ways that lead to something, because a condition before asks for them; `holding` the conditions that
    hold. `result` is what is undone; None outside of a compensation.
    """

    here: Here
    step: Step | None = None
    within: tuple[str, ...] = ()
    asked: Ways = _NONE
    holding: frozenset[Node] = frozenset()
    current: Schema | None = None
    previous: Schema | None = None
    result: Schema | None = None


@dataclass
class _Flow:
    definition: WorkflowDefinition
    steps: dict[str, Step] = field(default_factory=dict)
    order: dict[str, int] = field(default_factory=dict)
    _asking: dict[tuple[str, str], frozenset[Node] | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.chains: dict[str, tuple[Step, ...]] = {}
        """Each step with the loops that it is in, from inside out."""
        self.places: dict[str, FieldPath] = {}
        names: dict[FieldPath, str] = {}
        for step, at in walk(self.definition.steps):
            names[at] = step.name
            self.order.setdefault(step.name, len(self.order))
            self.steps.setdefault(step.name, step)
            self.places.setdefault(step.name, at)
            around = self.chains[names[at[:-2]]] if len(at) > 2 else ()
            self.chains.setdefault(step.name, (step, *around))
        self.bits = {name: 1 << number for name, number in self.order.items()}

    @cached_property
    def arrivals(self) -> Arrivals:
        return arrivals(self.definition.steps, self.bits)

    @cached_property
    def passing(self) -> Passing:
        return Passing(self.definition.steps)

    @cached_property
    def input(self) -> Schema:
        return shapes.of_input(self.definition)

    @cached_property
    def goes_back(self) -> bool:
        goes = [
            (step.name, step.on_error.goto) for step in self.steps.values() if isinstance(step.on_error, Goto)
        ]
        return any(self.order.get(to, 0) <= self.order[name] for name, to in goes)

    def problems(self) -> Iterator[Problem]:
        yield from self._of_steps(self.definition.steps, ("steps",), _Scene(Here()))
        if self.definition.output is not None:
            end = Part("value", self.definition.output, ("output",))
            yield from self._of_part(end, _Scene(self.arrivals.end))

    # -- the parts of a document ---------------------------------------------------------------

    def _of_steps(self, steps: Iterable[Step], at: FieldPath, around: _Scene) -> Iterator[Problem]:
        for place, step in enumerate(steps):
            here = (*at, place)
            begin = replace(around, here=self.arrivals.before[here], step=step)
            inside = replace(begin, here=self.arrivals.inside[here])
            if step.condition is not None:
                yield from self._of_part(Part("condition", step.condition, (*here, "condition")), begin)
                tree = _tree(step.condition)
                holding = inside.holding | parts_that_hold(tree)
                inside = replace(inside, asked=inside.asked | ways_where(tree, True), holding=holding)
                begin = replace(begin, asked=inside.asked, holding=inside.holding)
            yield from self._of_fields(step, here, begin)
            yield from self._of_calls(step, here, inside)
            if step.steps:
                within = (*around.within, step.name)
                yield from self._of_steps(step.steps, (*here, "steps"), replace(inside, within=within))
            if step.until is not None and here in self.arrivals.after_round:
                after = replace(inside, here=self.arrivals.after_round[here])
                if step.agent_calls:
                    after = replace(after, current=shapes.of_call(step.agent_calls[-1]))
                yield from self._of_part(Part("condition", step.until, (*here, "until")), after)

    def _of_fields(self, step: Step, at: FieldPath, scene: _Scene) -> Iterator[Problem]:
        if step.params is not None:
            yield from self._of_part(Part("value", step.params, (*at, "params")), scene)
        if step.over is not None:
            part = Part("value", step.over, (*at, "over"))
            yield from self._of_part(part, scene)
            kind = shapes.kind_in(self._items_from(part, scene))
            if kind not in (None, "array"):
                yield Problem(f"`over` is a list, and this is {in_words(kind)}.", part.path)

    def _items_from(self, part: Part, scene: _Scene) -> Schema:
        """What is known of the list that a map goes over."""
        found = part.references
        if len(found) != 1 or found[0].where or part.given != found[0].text:
            return UNKNOWN
        try:
            return self._known(found[0], scene)
        except Wrong:  # told where the reference is
            return UNKNOWN

    def _of_calls(self, step: Step, at: FieldPath, scene: _Scene) -> Iterator[Problem]:
        in_a_row = step.strategy in ("sequential", "saga", "loop")
        for place, call in enumerate(step.agent_calls):
            seen = scene
            if in_a_row and place > 0:
                seen = replace(scene, previous=shapes.of_call(step.agent_calls[place - 1]))
            if step.strategy == "map_reduce":
                over = Part("value", "$current" if step.over is None else step.over, (*at, "over"))
                items = self._items_from(over, scene)
                answers: Schema = {"type": "array", "items": shapes.of_call(step.agent_calls[0])}
                seen = replace(scene, current=shapes.of_items(items) if place == 0 else answers)
            yield from self._of_call(call, (*at, "agent_calls", place), seen)

    def _of_call(self, call: CallOfAgent, at: FieldPath, scene: _Scene) -> Iterator[Problem]:
        if isinstance(call, AgentCall):
            if call.when is not None:
                yield from self._of_part(Part("condition", call.when, (*at, "when")), scene)
                scene = replace(scene, asked=scene.asked | ways_where(_tree(call.when), True))
            undoing = replace(scene, result=shapes.of_call(call))
            if call.compensation is not None:
                for part in parts_of_call(call.compensation, (*at, "compensation")):
                    yield from self._of_part(part, undoing)
        for part in parts_of_call(call, at):
            if part.path[len(at)] not in ("when", "compensation"):
                yield from self._of_part(part, scene)

    def _of_part(self, part: Part, scene: _Scene) -> Iterator[Problem]:
        try:
            read = part.read()
        except DocumentInvalid:
            return
        wrong = False
        for reference in read.references:
            said = self._wrong(reference, scene, asks=part.kind == "condition")
            if said is not None:
                wrong = True
                yield Problem(said, (*part.path, *reference.where), reference.offset)
        if isinstance(read, Condition) and not wrong:
            try:
                check_kinds(read.tree, lambda reference: self._kind(reference, scene))
            except Unreadable as error:
                yield Problem(error.message, part.path, error.offset)

    # -- a reference ---------------------------------------------------------------------------

    def _wrong(self, reference: Reference, scene: _Scene, *, asks: bool) -> str | None:
        """What is wrong with a reference, if anything is; `asks`: it may find nothing, for a condition asks for it."""
        root, path = way_of(reference)
        if root == "result" and scene.result is None:
            return (
                "`$result` is the answer that a compensation takes back, and this is none. `$current` is the result of "
                "the step before, `$previous` the answer of the call before."
            )
        if reference.step is not None:
            said = self._wrong_step(reference, reference.step, scene, asks=asks)
            if said is not None:
                return said
        may_miss = asks or reference.optional or leads_through(scene.asked, "input", path[:1])
        if root == "input" and path and not may_miss and self._is_optional(path[0]):
            return (
                f"`{path[0]}` may be missing in the input. Write `{_optional(reference)}`, which is null then; give "
                f"it a default; or let the step ask for it: `condition: $input.{path[0]} != null`."
            )
        try:
            self._known(reference, scene)
        except Wrong as error:
            return str(error)
        return None

    def _is_optional(self, name: str | int) -> bool:
        key = self.definition.input_keys().get(str(name)) if self.definition.input is not None else None
        return key is not None and key.type.endswith("?") and not key.has_default

    def _wrong_step(self, reference: Reference, name: str, scene: _Scene, *, asks: bool) -> str | None:
        if name not in self.steps:
            return f"There is no step `{name}`{did_you_mean(name, self.steps) or self._there_are()}"
        bit = self.bits[name]
        if not scene.here.may & bit:
            return self._never(name, scene)
        if (
            asks
            or reference.optional
            or scene.here.must & bit
            or leads_through(scene.asked, "context", ("results", name))
        ):
            return None
        if self._surely_if(name, scene):
            return None
        asking = (
            f", or let this step ask for it: `condition: $context.results.{name} != null`"
            if scene.step
            else ""
        )
        return (
            f"`{name}` may have no result here: {self._why(name)}. Write `{_optional(reference)}`, which is null "
            f"then{asking}."
        )

    def _there_are(self) -> str:
        names = [f"`{name}`" for name in list(self.steps)[:10]]
        return f". There are {', '.join(names)}{', …' if len(self.steps) > 10 else ''}."

    def _never(self, name: str, scene: _Scene) -> str:
        """Why a step's result is never there."""
        own = scene.step.name if scene.step is not None else None
        if name == own and scene.step is not None and scene.step.strategy != "loop":
            return (
                f"`{name}` is this step itself, which has no result before it is done. `$previous` is the answer of "
                "the call before."
            )
        if name == own or name in scene.within:
            return (
                f"`{name}` is the loop that this is in, and has no result before it is done. `$current` is the answer "
                "of the round before."
            )
        around = [
            loop
            for loop in scene.within
            if any(step.name == name for step, _ in walk(self.steps[loop].steps))
        ]
        if around:
            return (
                f"`{name}` comes later in a round of `{around[-1]}`, and each round begins without the results of the "
                "one before. `$current` in its first step is the answer of that."
            )
        return f"`{name}` comes later: its result is not there yet."

    def _why(self, name: str) -> str:
        """Why a step may have no result."""
        for step in self.chains[name]:
            called = "it" if step.name == name else f"`{step.name}`, which it is in,"
            if step.condition is not None:
                return f"{called} is skipped where `{_short(step.condition)}` does not hold"
            if step.strategy == "conditional" and all(call.when is not None for call in step.agent_calls):
                return f"{called} is skipped where the condition of no call holds"
            if step.on_failure == "skip":
                return f"{called} is skipped where it fails"
            if isinstance(step.on_failure, Goto):
                return f"{called} goes on to `{step.on_failure.goto}` where it fails"
        over = next(
            (s for s, _ in walk(self.definition.steps) if isinstance(s.on_error, Goto)
             and self.order[s.name] < self.order[name] < self.order.get(s.on_error.goto, -1)),
            None,
        )  # fmt: skip
        if over is not None and isinstance(over.on_error, Goto):
            return f"`{over.name}` goes on to `{over.on_error.goto}` where it fails, and leaves it out"
        return "not every way here leads through it"

    def _surely_if(self, name: str, scene: _Scene) -> bool:
        """Whether a step's result is there because the conditions hold that hold here: it is not skipped then.

        Only conditions about the input and about results of steps before both are the same at both, and only where
        nothing goes back.
        """
        if scene.step is None or self.goes_back or not scene.holding:
            return False
        way = self.places[name], self.places[scene.step.name]
        return self.passing.through(*way, lambda step: self._is_held(step, scene.holding))

    def _is_held(self, step: Step, holding: frozenset[Node]) -> bool:
        """Whether a step is not skipped where these conditions hold later on."""
        key = step.name, step.condition or ""
        if key not in self._asking:
            tree = _tree(key[1])
            settled = all(self._is_settled(way_of(r), step) for r in _references(tree))
            self._asking[key] = parts_that_hold(tree) if settled else None
        parts = self._asking[key]
        return parts is not None and parts <= holding

    def _is_settled(self, way: Way, step: Step) -> bool:
        """Whether a way leads to the same from where this step asks on."""
        root, path = way
        if root == "context" and len(path) > 1 and path[0] == "results":
            return self.order.get(str(path[1]), len(self.order)) < self.order[step.name]
        return root == "input" or (root == "context" and path[:1] != ("results",))

    # -- what is known of values ---------------------------------------------------------------

    def _kind(self, reference: Reference, scene: _Scene) -> Kind | None:
        try:
            return shapes.kind_in(self._known(reference, scene))
        except Wrong:
            return None

    def _known(self, reference: Reference, scene: _Scene) -> Schema:
        """What is known of what a reference leads to; `Wrong` where it cannot lead anywhere."""
        root, path = way_of(reference)
        if root == "context":
            if reference.step is None:
                if path[:1] in (("workflow",), ("execution_id",)):
                    return shapes.followed({"type": "string"}, path[1:], f"$context.{path[0]}")
                return UNKNOWN
            way = f"$context.results.{reference.step}"
            return shapes.followed(shapes.of_step(self.steps[reference.step]), path[2:], way)
        if root == "previous" and scene.previous is None:
            root = "current"
        if root == "input":
            return shapes.followed(self.input, path, "$input")
        found: Schema | None = {"previous": scene.previous, "result": scene.result, "current": scene.current}[
            root
        ]
        return shapes.followed(self._current(scene) if found is None else found, path, f"${reference.root}")

    def _current(self, scene: _Scene) -> Schema:
        names = scene.here.current
        if ANYTHING in names:
            return UNKNOWN
        return shapes.any_of(
            [self.input if n == OF_INPUT else shapes.of_step(self.steps[n]) for n in sorted(names)]
        )


def _tree(text: str) -> Node:
    """A condition; of one that cannot be read nothing is known, and it is nothing that another one is."""
    try:
        return parse_condition(text).tree
    except DocumentInvalid:
        return Length(Constant(text))


def _references(tree: Node) -> Iterator[Reference]:
    if isinstance(tree, Reference):
        yield tree
    for name in ("of", "left", "right"):
        if hasattr(tree, name):
            yield from _references(getattr(tree, name))
    for name in ("parts", "items"):
        for part in getattr(tree, name, ()):
            yield from _references(part)


def _optional(reference: Reference) -> str:
    return f"${{{replace(reference, optional=True).canonical}}}"


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 60 else f"{text[:59]}…"
