"""What annotations say of a node, and what they do not say."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

import pytest
from langgraph.types import Command

from dalsegno import END, START, Loop, Workflow
from dalsegno.errors import DefinitionError


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


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"error_handler": "sorry"}, "`error_handler='sorry'`: a function is needed"),
        ({"compensate": len}, "the name of a node is needed"),
        ({"metadata": "fast"}, "a mapping is needed"),
        ({"budget": 3}, r"a Budget\(...\) is needed"),
        ({"reads": 3}, "a state key, or several, is needed"),
        ({"writes": [3]}, "a state key, or several, is needed"),
        ({"destinations": 3}, "3 is no target, and no list of targets"),
        ({"destinations": [3]}, "3 is no target"),
        (
            {"destinations": {"again": Loop("n", max=1, on_exhausted=END)}},
            r"are the wrong way round: first the target, then its label, \{Loop\(target='n', .*\): 'again'\}",
        ),
    ],
)
def test_what_is_given_for_a_node_in_another_kind_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        Workflow("kinds", State).add_node("n", lambda state: None, **given)


def test_a_router_leaves_one_node_and_has_targets() -> None:
    flow = Workflow("kinds", State).add_node("n", lambda state: None)
    for source, targets, said in ((["n"], ["n"], "leaves one node"), ("n", 3, "no list of targets")):
        with pytest.raises(DefinitionError, match=said):
            flow.add_conditional_edges(source, lambda state: "n", targets)


def test_one_key_and_one_destination_may_stand_alone() -> None:
    flow = Workflow("alone", State).add_node("first", lambda state: None, reads="topic", writes="topic")
    flow.add_node("second", lambda state: None, destinations="first")
    node = flow.spec.nodes["first"]
    assert node.reads == frozenset({"topic"})
    assert (node.writes or frozenset()) | set(node.unknown_writes) == {"topic"}
    assert [e.target for e in flow.spec.edges] == ["first"]
