"""A definition is written and read as the same again, and a workflow knows its document."""

from __future__ import annotations

import json
import operator
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from dalsegno import END, START, Workflow
from dalsegno.errors import DefinitionError
from dalsegno.graphs.definition import WorkflowDefinition, read_definition
from dalsegno.graphs.documents.source import parse_source
from dalsegno.graphs.loading import load_target
from tests.graphs.documents.conftest import Flow, call, ran

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Co", "Cn")), max_size=20)
NUMBERS = st.integers(-(10**6), 10**6) | st.floats(-1e6, 1e6, allow_nan=False).filter(lambda x: x != int(x))
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | NUMBERS
    | TEXTS
    | st.sampled_from(["$input.n", "${current[0]?}", "5 $$", "yes", "1.10"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
SECONDS = st.integers(1, 900)
POLICIES: dict[str, Any] = {
    "timeout": SECONDS | st.fixed_dictionaries({"attempt": SECONDS, "total": st.just(1000)}),
    "retry": st.fixed_dictionaries({"max_attempts": st.integers(1, 5)}, optional={"jitter": st.booleans()}),
    "rate_limit": st.fixed_dictionaries({"concurrency": st.integers(1, 5)}),
    "cache": st.fixed_dictionaries({}, optional={"ttl": SECONDS}),
}
CALLED: dict[str, Any] = {
    "agent_url": st.just("https://agents.example.org/rpc"),
    "method": st.sampled_from("abc"),
}
ASKED: dict[str, Any] = {"params": st.dictionaries(TEXTS, VALUES, max_size=3), "description": TEXTS}
PLAIN = st.fixed_dictionaries(CALLED, optional={**ASKED, **POLICIES})
OTHER = st.fixed_dictionaries(CALLED, optional=ASKED)
CALLS = st.builds(
    lambda call, fallback: {**call, **fallback},
    PLAIN,
    st.just({}) | st.fixed_dictionaries({"fallback": OTHER | st.fixed_dictionaries({"value": VALUES})}),
)
ON_ERROR = st.sampled_from(["fail", "skip"]) | st.just({"goto": "last"})


def steps(depth: int) -> st.SearchStrategy[dict[str, Any]]:
    """A step of any strategy, with loops as deep."""
    common: dict[str, Any] = {
        "description": TEXTS,
        "condition": st.just("$input.n > 0"),
        "on_error": ON_ERROR,
    }
    calls = st.lists(CALLS, min_size=1, max_size=3)
    kinds = [
        st.fixed_dictionaries({"agent_calls": calls}, optional=common),
        st.fixed_dictionaries(
            {"strategy": st.sampled_from(["parallel", "saga"]), "agent_calls": calls}, optional=common
        ),
        st.fixed_dictionaries(
            {
                "strategy": st.just("map_reduce"),
                "max": st.integers(1, 9),
                "agent_calls": st.lists(CALLS, min_size=1, max_size=2),
            },
            optional={"over": VALUES},
        ),
        st.fixed_dictionaries({"strategy": st.just("loop"), "max": st.integers(1, 9), "agent_calls": calls}),
    ]
    if depth:
        inner = st.lists(steps(depth - 1), min_size=1, max_size=2)
        kinds.append(
            st.fixed_dictionaries({"strategy": st.just("loop"), "max": st.integers(1, 9), "steps": inner})
        )
    return st.one_of(kinds)


def named(given: list[dict[str, Any]], prefix: str = "s") -> list[dict[str, Any]]:
    """The same steps with names, and one at the end that can be gone to."""
    made = []
    for number, step in enumerate(given):
        name = f"{prefix}{number}"
        inner = {"steps": named(step["steps"], f"{name}_")} if "steps" in step else {}
        way = step.get("on_error")
        on = {"on_error": {"goto": f"{prefix}_last"}} if isinstance(way, dict) else {}
        made.append({"name": name, **step, **inner, **on})
    return [
        *made,
        {"name": f"{prefix}_last", "agent_calls": [{"agent_url": "https://x.example.org/", "method": "m"}]},
    ]


DOCUMENTS = st.builds(
    lambda head, body: {**head, "steps": named(body)},
    st.fixed_dictionaries(
        {
            "name": TEXTS.filter(str.strip),
            "input": st.just({"n": "number", "more": {"type": "any?", "default": None}}),
        },
        optional={
            "version": st.sampled_from(["1", "1.10", "2026-11-21"]),
            "metadata": st.dictionaries(TEXTS, VALUES, max_size=2),
            "budget": st.fixed_dictionaries({"supersteps": st.integers(1000, 2000)}),
            "defaults": st.fixed_dictionaries({}, optional=POLICIES),
            "output": VALUES,
        },
    ),
    st.lists(steps(2), min_size=1, max_size=4),
)


@settings(max_examples=40, deadline=None)
@given(DOCUMENTS)
def test_what_is_written_is_read_as_the_same(document: dict[str, Any]) -> None:
    definition = WorkflowDefinition.model_validate(document)
    assert definition.to_dict() == document
    assert WorkflowDefinition.model_validate(definition.to_dict()) == definition
    for text, file in [(definition.to_yaml(), "a.yaml"), (json.dumps(definition.to_dict()), "a.json")]:
        assert WorkflowDefinition.model_validate(parse_source(text, file=file).data) == definition


def test_a_workflow_knows_the_document_that_it_was_made_of(steps: Flow) -> None:
    flow = steps({"name": "a", "agent_calls": [call("inc", "$input.n")]})
    definition = WorkflowDefinition.of(flow)
    again = WorkflowDefinition.model_validate(definition.to_dict()).workflow()
    assert again.spec.shape() == flow.spec.shape()


def test_a_workflow_in_python_that_has_a_name_can_be_named(folder: Path) -> None:
    (folder / "app.py").write_text(
        "from typing import TypedDict\n"
        "from dalsegno import END, START, Workflow\n"
        "class S(TypedDict, total=False):\n    n: int\n    twice: int\n"
        "def double(state: S): return {'twice': 2 * state['n']}\n"
        "flow = Workflow('twice as much', S, version='3').add_node(double)\n"
        "flow.add_edge(START, 'double').add_edge('double', END)\n"
    )
    flow = load_target("app.py:flow").graph
    definition = WorkflowDefinition.of(flow)
    assert (definition.name, definition.version, definition.steps[0].workflow) == (
        "twice as much",
        "3",
        "app:flow",
    )
    (folder / "flow.yaml").write_text(definition.to_yaml())
    assert ran(read_definition("flow.yaml").workflow(), n=4)["output"]["twice"] == 8


class Logged(TypedDict, total=False):
    n: int
    log: Annotated[list[str], operator.add]


class Defaulted(BaseModel):
    n: int = 0
    times: int = 2


def made(name: str, schema: Any) -> Workflow:
    if schema is Logged:
        flow = Workflow(name, schema).add_node("a", lambda state: {"n": state.get("n", 0) + 1, "log": ["a"]})
    else:
        flow = Workflow(name, schema).add_node("a", lambda state: {"n": state.n * state.times})
    return flow.add_edge(START, "a").add_edge("a", END)


logged, defaulted, accented = made("logged", Logged), made("Prüfung 日本", Defaulted), made("日本", Defaulted)
long, longest = made("l" * 200, Defaulted), made("l" * 201, Defaulted)


class Accented(TypedDict):
    größe: int


odd_key = Workflow("odd", Accented).add_node("a", lambda state: {}).add_edge(START, "a").add_edge("a", END)


def test_what_a_workflow_in_python_is_not_given_its_document_does_not_give_it_either(folder: Path) -> None:
    def of(flow: Workflow, **given: Any) -> Any:
        return ran(WorkflowDefinition.of(flow).workflow(folder=folder), **given)["output"]

    assert of(logged, n=1) == {"n": 2, "log": ["a"]}
    assert of(logged) == {"n": 1, "log": ["a"]}
    assert of(defaulted, n=3) == {"n": 6}  # `times` is as the class has it


def test_a_workflow_in_python_may_have_any_name_that_a_document_has() -> None:
    assert [WorkflowDefinition.of(flow).steps[0].name for flow in (defaulted, accented, long)] == [
        "Pr_fung___",
        "run",
        "l" * 100,
    ]
    with pytest.raises(DefinitionError, match="a name of 201 characters"):
        WorkflowDefinition.of(longest)
    with pytest.raises(DefinitionError, match="takes `größe`, and a key of a document's input is made of"):
        WorkflowDefinition.of(odd_key)


class Numbers(TypedDict):
    n: int


def test_one_without_a_name_cannot_be_written_down() -> None:
    flow = Workflow("nameless", Numbers).add_node("a", lambda state: {})
    flow.add_edge(START, "a").add_edge("a", END)
    with pytest.raises(DefinitionError, match="no imported module has it under a public name"):
        WorkflowDefinition.of(flow)
