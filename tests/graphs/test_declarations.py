"""What annotations say of a node, and what they do not say."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

import pytest
from langgraph.types import Command

from dalsegno import END, START, Workflow


class State(TypedDict, total=False):
    topic: str
    draft: str


class Draft(TypedDict):
    draft: str


class Misspelt(TypedDict):
    darft: str


def narrow(state: Draft) -> Draft:
    return {"draft": "x"}


def wide(state: State) -> State:
    return {"draft": "x"}


def silent(state):
    return {"draft": "x"}


def commanding(state: State) -> Command:  # type: ignore[type-arg]
    return Command(update={"draft": "x"})


def either(state: State) -> Draft | Command[Literal["__end__"]] | None:
    return None


def misspelt(state: State) -> Misspelt:
    return {"darft": "x"}


def spec_of(action: Any, **said: Any) -> Any:
    flow = Workflow("w", State)
    flow.add_node("node", action, **said)
    flow.add_edge(START, "node").add_edge("node", END)
    return flow.spec.nodes["node"]


@pytest.mark.parametrize(
    ("action", "reads", "writes"),
    [
        (narrow, {"draft"}, {"draft"}),
        (wide, None, None),
        (silent, None, None),
        (commanding, None, None),
        (either, None, {"draft"}),
        (lambda state: {}, None, None),
    ],
)
def test_only_annotations_narrower_than_the_state_say_something(action: Any, reads: Any, writes: Any) -> None:
    spec = spec_of(action)
    assert spec.reads == reads
    assert spec.writes == writes


def test_what_is_declared_wins_over_annotations() -> None:
    spec = spec_of(narrow, reads=["topic"], writes=["topic"])
    assert (spec.reads, spec.writes) == ({"topic"}, {"topic"})


def test_a_key_that_is_no_state_key_is_found_at_check_time() -> None:
    flow = Workflow("w", State).add_node(misspelt).add_edge(START, "misspelt").add_edge("misspelt", END)
    (finding,) = flow.validate().findings
    assert finding.code == "D306"
    assert "`darft`" in finding.message
    assert "did you mean `draft`?" in finding.message


def test_the_fingerprint_is_of_structure_and_schema_not_of_code() -> None:
    def made(action: Any, *, bound: str = "node") -> Workflow:
        flow = Workflow("w", State).add_node("node", action).add_edge(START, "node")
        return flow.add_edge(bound, END)

    first, second = made(narrow).spec, made(lambda state: {}).spec
    assert first.fingerprint() == second.fingerprint()
    assert first.nodes["node"].code != second.nodes["node"].code
    other = Workflow("w", Draft).add_node("node", narrow).add_edge(START, "node").add_edge("node", END)
    assert other.spec.fingerprint() != first.fingerprint()
