"""What a builder is given is looked at where it is given, and what is wrong with it is told in a sentence."""

from __future__ import annotations

from typing import Any, TypedDict

import pytest

from dalsegno import END, START, Each, Loop, Workflow
from dalsegno.errors import DefinitionError, WorkflowInvalid


class Article(TypedDict, total=False):
    topic: str


def write(state: Article):
    return {"topic": "rain"}


@pytest.fixture
def flow() -> Workflow:
    return Workflow("article", Article).add_node(write).add_edge(START, "write")


def test_a_workflow_without_a_name_is_told_as_that() -> None:
    """So begins who replaces `StateGraph(Article)`."""
    with pytest.raises(
        DefinitionError, match=r'the first argument is a name, like Workflow\("article", State\)'
    ):
        Workflow(Article)  # type: ignore[arg-type]  # the mistake itself
    with pytest.raises(DefinitionError, match=r"Workflow 'article': the state is a TypedDict, .*, not None"):
        Workflow("article")


def test_a_version_in_the_place_of_the_context_is_told() -> None:
    with pytest.raises(DefinitionError, match=r"Workflow 'article': `context_schema='1'`: a class is needed"):
        Workflow("article", Article, "1")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"budget": 5}, r"`budget=5`: a Budget\(...\) is needed"),
        ({"input_schema": "topic"}, "`input_schema='topic'`: a TypedDict, a dataclass or a pydantic class"),
        ({"output_schema": dict}, "`output_schema=<class 'dict'>`: a TypedDict"),
        ({"version": ["1"]}, r"`version=\['1'\]`: a text is needed"),
    ],
)
def test_what_a_workflow_is_given(given: dict[str, Any], words: str) -> None:
    with pytest.raises(DefinitionError, match=f"Workflow 'article': {words}"):
        Workflow("article", Article, **given)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"effect": write}, "`effect=<function write at .*>`: True or False is needed"),
        ({"idempotent": "no"}, "`idempotent='no'`: True or False"),
        ({"defer": 1}, "`defer=1`: True or False"),
        ({"input_schema": "Article"}, "`input_schema='Article'`: a class"),
        ({"compensate": write}, "the name of a node is needed"),
    ],
)
def test_what_a_node_is_given(flow: Workflow, given: dict[str, Any], words: str) -> None:
    with pytest.raises(DefinitionError, match=f"`publish` at .*: .*{words}"):
        flow.add_node("publish", write, **given)


def test_the_keys_of_a_subworkflow_are_mapped_by_names(flow: Workflow) -> None:
    with pytest.raises(
        DefinitionError, match=r"`part` at .*: `outputs={'topic': 1}`: a mapping of names to names"
    ):
        Workflow("whole", Article).add_node("part", flow, outputs={"topic": 1})  # type: ignore[dict-item]


@pytest.mark.parametrize("start", [None, 3, write, [None], []])
def test_edges_go_between_names(flow: Workflow, start: Any) -> None:
    with pytest.raises(DefinitionError, match="edges go between names of nodes"):
        flow.add_edge(start, END)


@pytest.mark.parametrize("nodes", [None, 3, write, "write"])
def test_a_sequence_is_of_nodes(flow: Workflow, nodes: Any) -> None:
    with pytest.raises(DefinitionError, match="a list of nodes is needed"):
        flow.add_sequence(nodes)


def test_a_sequence_may_be_read_once(flow: Workflow) -> None:
    flow.add_sequence((name, write) for name in ("one", "two"))
    assert [edge.target for edge in flow.edges if edge.source == "one"] == ["two"]


@pytest.mark.parametrize(
    "said", [(None, "write", "so"), ("T101", write, "so"), ("T101", "write", None), ("T101", "write", " ")]
)
def test_a_waiver_says_what_where_and_why(flow: Workflow, said: Any) -> None:
    with pytest.raises(DefinitionError, match="a waiver needs three texts: a code, a place and a reason"):
        flow.waive(*said)


def test_a_migration_is_a_function(flow: Workflow) -> None:
    with pytest.raises(DefinitionError, match=r"`function={'topic': 'rain'}`: a function is needed"):
        flow.add_migration("0.5", {"topic": "rain"})  # type: ignore[arg-type]


def test_many_is_yes_or_no(flow: Workflow) -> None:
    with pytest.raises(DefinitionError, match="`many=5`: True or False"):
        flow.add_conditional_edges("write", lambda state: END, [END, Each("write", max=2)], many=5)  # type: ignore[call-overload]


def test_a_spent_loop_leads_to_a_name() -> None:
    with pytest.raises(
        DefinitionError, match=r"Loop.*on_exhausted=5.*the name of a node, END or another Loop"
    ):
        Loop("write", max=1, on_exhausted=5)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["invoke", "astream", "get_state", "run"])
def test_what_only_a_compiled_graph_or_a_runner_can_do_is_told(flow: Workflow, name: str) -> None:
    assert not hasattr(flow, name)
    with pytest.raises(
        AttributeError, match=r"no attribute '\w+'\. .*`flow\.compile\(\)\.invoke.*`Runner\(flow\)\.run"
    ):
        getattr(flow, name)
    with pytest.raises(AttributeError) as raised:
        _ = flow.add_nod  # type: ignore[attr-defined]  # as somebody types it
    assert (str(raised.value), raised.value.name) == (
        "'Workflow' object has no attribute 'add_nod'",
        "add_nod",
    )


def test_start_and_end_in_quotes_are_told_as_that() -> None:
    flow = Workflow("article", Article).add_node(write).add_edge("START", "write").add_edge("write", "END")
    messages = [finding.message for finding in flow.validate().findings]
    assert "edge START → write: no node `START`. Write START without quotes: it is a constant." in messages
    assert "edge write → END: no node `END`. Write END without quotes: it is a constant." in messages


@pytest.mark.parametrize("target", [Loop("write", max=1, on_exhausted=END), Each("write", max=1)])
def test_a_loop_by_itself_is_told_where_it_stands(flow: Workflow, target: Any) -> None:
    with pytest.raises(DefinitionError, match="A Loop or an Each is a target of add_conditional_edges"):
        flow.add_edge("write", target)


def test_a_report_reads_as_text() -> None:
    flow = Workflow("article", Article).add_node(write).add_edge(START, "write")
    report = flow.validate()
    (warning,) = report.findings
    assert str(report) == f"workflow `article`: every run ends within 1 superstep\n  {warning}"
    assert (
        str(warning)
        == f'G004 `write` ends the run without an edge to END. Use add_edge("write", END). ({warning.where})'
    )
    report = flow.add_edge("write", "writ").validate()
    assert str(report).startswith(
        "workflow `article` has 1 error:\n  G001 edge write → writ: no node `writ`; did you mean"
    )
    with pytest.raises(WorkflowInvalid) as raised:
        report.raise_for_errors()
    assert str(raised.value) == str(report)
    flow = Workflow("round", Article).add_node(write).add_edge(START, "write").add_edge("write", "write")
    flow.add_edge("write", END).waive("T101", "write->write", "a person watches it")
    assert str(flow.validate()) == "workflow `round` has no errors, and no bound is proved"


def test_keys_that_can_be_read_once_are_still_known_when_defaults_are_set_later() -> None:
    flow = Workflow("article", Article).add_node(
        "write", write, reads=iter(["topic"]), writes=iter(["topic"])
    )
    for _ in range(2):
        flow.set_node_defaults(timeout=5)
        node = flow.spec.nodes["write"]
        assert (node.reads, node.writes) == ({"topic"}, {"topic"})
