"""Every value, condition and call of a document, with where it stands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from dalsegno.errors import DocumentInvalid
from dalsegno.graphs.definition import (
    AgentCall,
    CallOfAgent,
    FallbackValue,
    Step,
    WorkflowDefinition,
    walk,
)
from dalsegno.graphs.documents.conditions import Condition, parse_condition
from dalsegno.graphs.documents.problems import FieldPath
from dalsegno.graphs.documents.references import Reference, Value, parse_value


@dataclass(frozen=True)
class Part:
    """A value with references in it, or a condition."""

    kind: Literal["value", "condition"]
    given: Any
    path: FieldPath

    def read(self) -> Value | Condition:
        """It, with the references in it.

        Raises
        ------
        DocumentInvalid
            It cannot be read.
        """
        return parse_value(self.given) if self.kind == "value" else parse_condition(self.given)

    @property
    def references(self) -> tuple[Reference, ...]:
        """The references in it; what cannot be read has none."""
        try:
            return tuple(self.read().references)
        except DocumentInvalid:
            return ()


def parts_of_call(call: CallOfAgent, at: FieldPath = ()) -> Iterator[Part]:
    """What is written in a call, and in the calls within it."""
    if call.params is not None:
        yield Part("value", call.params, (*at, "params"))
    if call.prompt is not None:
        yield Part("value", call.prompt, (*at, "prompt"))
    if isinstance(call.fallback, FallbackValue):
        yield Part("value", call.fallback.value, (*at, "fallback", "value"))
    elif call.fallback is not None:
        yield from parts_of_call(call.fallback, (*at, "fallback"))
    if isinstance(call, AgentCall):
        if call.when is not None:
            yield Part("condition", call.when, (*at, "when"))
        if call.compensation is not None:
            yield from parts_of_call(call.compensation, (*at, "compensation"))


def parts_of_step(step: Step, at: FieldPath = (), *, gate: bool = True) -> Iterator[Part]:
    """What is written in a step and in the steps in it; with its own condition, where `gate` says so."""
    if gate and step.condition is not None:
        yield Part("condition", step.condition, (*at, "condition"))
    for name in ("over", "params"):
        if getattr(step, name) is not None:
            yield Part("value", getattr(step, name), (*at, name))
    for place, call in enumerate(step.agent_calls):
        yield from parts_of_call(call, (*at, "agent_calls", place))
    for place, inner in enumerate(step.steps):
        yield from parts_of_step(inner, (*at, "steps", place))
    if step.until is not None:
        yield Part("condition", step.until, (*at, "until"))


def parts_of(definition: WorkflowDefinition) -> Iterator[Part]:
    """What is written in a document."""
    for place, step in enumerate(definition.steps):
        yield from parts_of_step(step, ("steps", place))
    if definition.output is not None:
        yield Part("value", definition.output, ("output",))


def references_in(parts: Iterable[Part]) -> Iterator[Reference]:
    """The references in them."""
    for part in parts:
        yield from part.references


def calls_of(definition: WorkflowDefinition) -> Iterator[tuple[CallOfAgent, FieldPath]]:
    """Every call, those that are compensations and fallbacks too, and where it stands."""
    for step, at in walk(definition.steps):
        for place, call in enumerate(step.agent_calls):
            yield from _calls_in(call, (*at, "agent_calls", place))


def _calls_in(call: CallOfAgent, at: FieldPath) -> Iterator[tuple[CallOfAgent, FieldPath]]:
    yield call, at
    if isinstance(call.fallback, CallOfAgent):
        yield from _calls_in(call.fallback, (*at, "fallback"))
    if isinstance(call, AgentCall) and call.compensation is not None:
        yield from _calls_in(call.compensation, (*at, "compensation"))
