"""What references see: the state of a node, read as the scope of a document's references."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from dalsegno.graphs.documents.references import Reference, Scope
from dalsegno.nodes.execution import current_execution

Read = Callable[[Mapping[str, Any]], Any]


def key(name: str) -> Read:
    """Reads a key of the state; None where it is not there."""
    return lambda state: state.get(name)


_current = key("current")


def context_only(state: Mapping[str, Any]) -> dict[str, Any]:
    """The results of the steps before, in a workflow that is one step."""
    return state.get("context") or {}


def with_own(state: Mapping[str, Any]) -> dict[str, Any]:
    """The results of the steps before, outside and in this list of steps."""
    return {**(state.get("context") or {}), **(state.get("results") or {})}


@dataclass(frozen=True, slots=True)
class View:
    """How a node reads its state: `current` and `previous` and `result` as the references of that name mean them."""

    workflow: str
    results: Read = with_own
    current: Read = _current
    previous: Read | None = None
    result: Read | None = None

    def scope(self, state: Mapping[str, Any]) -> Scope:
        """What references see in that state."""
        execution = current_execution()
        current = self.current(state)
        return Scope(
            input=state.get("input") or {},
            current=current,
            previous=current if self.previous is None else self.previous(state),
            result=None if self.result is None else self.result(state),
            results=self.results(state),
            workflow=self.workflow,
            execution_id=execution.run_id if execution is not None else None,
        )

    def seeing(self, **read: Any) -> Self:
        """The same, with something read elsewhere."""
        return replace(self, **read)


@dataclass(frozen=True, slots=True)
class Needs:
    """What references need of the state: the input, `$current`, and the results of which steps (None: all)."""

    input: bool = False
    current: bool = False
    steps: frozenset[str] | None = frozenset()

    @classmethod
    def of(cls, references: Iterable[Reference]) -> Needs:
        """What these need."""
        given = current = False
        steps: set[str] | None = set()
        for reference in references:
            path = reference.path
            if reference.root == "input" or (reference.root == "context" and path[:1] in ((), ("input",))):
                given = True
            if reference.root in ("current", "previous"):
                current = True
            if reference.root == "context" and path[:1] in ((), ("results",)) and steps is not None:
                if len(path) < 2:
                    steps = None
                else:
                    steps.add(str(path[1]))
        return cls(given, current, None if steps is None else frozenset(steps))

    def handed(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """The part of the state that is needed, as the state of a workflow that is one step."""
        found: dict[str, Any] = {}
        if self.input:
            found["input"] = state.get("input") or {}
        if self.current:
            found["current"] = state.get("current")
        results = with_own(state)
        wanted = results if self.steps is None else {n: results[n] for n in self.steps if n in results}
        if wanted:
            found["context"] = wanted
        return found
