"""Odd, large and hostile workflows: a clear error or a finding, never a traceback."""

from __future__ import annotations

import json
import math
from typing import Any, TypedDict

import pytest
from generated_workflows import Builder

from dalsegno import END, START, Each, Loop, RetryPolicy, Workflow, validate
from dalsegno.errors import DefinitionError, WorkflowInvalid
from dalsegno.graphs.model import EdgeSpec, NodeSpec
from dalsegno.graphs.validation import check
from dalsegno.graphs.validation.checking import MOST_LEVELS

NAMES = [
    'say "hi"',
    "it's",
    "two\nlines",
    "tab\tbed",
    "<b>bold</b> & <script>",
    "`code` $HOME %s {x} \\n",
    "מימין לשמאל",
    "\u202eabc\u202c",
    "a->b",
    "a/b",
    "…",
    " ",
    "é\u0301🧵",
    "nul\0byte",
    "x" * 10_000,
    "\ud800",
]


class State(TypedDict, total=False):
    x: int


def step(state: State) -> dict[str, Any]:
    return {"x": 1}


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_name_may_be_anything(name: str) -> None:
    made = Builder("a", name).edge(START, "a").edge("a", name).edge(name, "a").edge(name, name + "?")
    report = check(made.spec(waivers=(("S203", name, "known"),)))
    assert {"G001", "T101"} <= {f.code for f in report.findings}
    json.dumps(report.to_dict())
    sound = Builder("a", name).edge(START, "a").edge("a", name).choice(name, ("a", 2, END), END).spec(name)
    certificate = check(sound).certificate
    assert certificate is not None
    assert certificate.witness == ("a", name) * 3
    json.dumps(certificate.to_dict())


def test_a_workflow_cannot_be_a_node_of_itself_at_any_depth() -> None:
    a, b, c = (Workflow(name, State) for name in "abc")
    a.add_node("b", b)
    b.add_node("c", c)
    with pytest.raises(DefinitionError, match=r"T108 add_node\('a'\).*workflow 'a' contains 'c'"):
        c.add_node("a", a)
    with pytest.raises(DefinitionError, match=r"T108 add_node\('again'\).*workflow 'a' is this one"):
        a.add_node("again", a)


def test_a_subworkflow_is_checked_as_it_is_now_not_as_it_was_added() -> None:
    inner = Workflow("inner", State)
    outer = Workflow("outer", State).add_node("sub", inner).add_edge(START, "sub").add_edge("sub", END)
    inner.add_node("a", step).add_edge(START, "a")
    inner.add_conditional_edges("a", lambda s: "more", {"more": "a", "done": END})
    assert [f.code for f in validate(outer).findings] == ["T101"]
    with pytest.raises(WorkflowInvalid, match="T101 in subworkflow `sub`"):
        outer.compile()


def test_a_workflow_that_stands_in_another_very_often_is_described_once() -> None:
    part = Workflow("part", State).add_node("a", step).add_edge(START, "a").add_edge("a", END)
    for depth in range(8):  # 2 to the power of 8 times
        level = Workflow(f"level {depth}", State).add_node("one", part).add_node("two", part)
        part = level.add_edge(START, "one").add_edge("one", "two").add_edge("two", END)
    certificate = validate(part).certificate
    assert certificate is not None
    assert certificate.supersteps == 3 * 2**8 - 2
    spec = part.spec
    assert spec.nodes["one"].child is spec.nodes["two"].child


@pytest.mark.parametrize("count", [-1, 1.5, True, None, "3", 10**30])
def test_a_count_that_is_none_is_refused_by_name(count: Any) -> None:
    with pytest.raises(DefinitionError, match=r'Loop\("a", max='):
        Loop("a", max=count)
    if count is not None:
        with pytest.raises(DefinitionError, match=r'Each\("a", max='):
            Each("a", max=count)


def test_a_loop_is_not_spent_into_itself() -> None:
    with pytest.raises(DefinitionError, match="is spent into another loop to `a`"):
        Loop("a", max=1, on_exhausted=Loop("b", max=1, on_exhausted=Loop("a", max=2, on_exhausted=END)))


@pytest.mark.parametrize("count", [0, 1, 10**15])
def test_zero_one_and_huge_counts_are_counted(count: int) -> None:
    made = Builder("a", "w").edge(START, "a").choice("a", ("a", count, END), END).spec()
    certificate = check(made).certificate
    assert certificate is not None
    assert certificate.supersteps == certificate.executions == count + 1
    fan = Builder("a", "w").edge(START, "a").edge("w", END)
    fan.edges.append(EdgeSpec("a", "w", kind="choice", router="r", label="w", each=count, fans_out=True))
    fan.edges.append(EdgeSpec("a", END, kind="choice", router="r", label="none"))
    certificate = check(fan.spec()).certificate
    assert certificate is not None
    assert certificate.executions == count + 1
    assert ("S206" in {f.code for f in check(fan.spec()).findings}) == (count == 0)


def test_loops_that_multiply_beyond_all_numbers_have_a_bound_or_say_why_not() -> None:
    inner = None
    for _ in range(30):
        node = NodeSpec(
            "a",
            is_async=True,
            timeout=None if inner else 1.0,
            calls=1,
            child=inner,
            kind="subworkflow" if inner else "function",
        )
        made = Builder(node).edge(START, "a").choice("a", ("a", 10**15, END), END)
        inner = made.spec()
    report = check(inner)
    certificate = report.certificate
    assert certificate is not None
    assert certificate.supersteps > 10**400
    assert certificate.seconds is None
    assert "more than a number can say" in certificate.bounds["seconds"].reason
    json.dumps(report.to_dict())


def test_a_bound_of_more_digits_than_python_writes_is_not_given() -> None:
    inner = None
    for _ in range(99):
        last = NodeSpec("d", child=inner, kind="subworkflow" if inner else "function")
        made = Builder("a", "b", "c", last).edge(START, "a").edge("d", END)
        made.edges += [
            EdgeSpec(s, t, kind="choice", router="send", each=10**15, fans_out=True)
            for s, t in ("ab", "bc", "cd")
        ]
        inner = made.spec()
    report = check(inner)
    assert report.certificate is not None
    assert report.certificate.executions is None
    assert "more than a number can say" in report.certificate.bounds["executions"].reason
    json.dumps(report.to_dict())


def test_workflows_are_nested_at_most_a_hundred_levels_deep() -> None:
    def nested(levels: int) -> Any:
        made = Builder("a").edge(START, "a").edge("a", END).spec()
        for _ in range(levels):
            node = NodeSpec("a", child=made, kind="subworkflow")
            made = Builder(node).edge(START, "a").edge("a", END).spec("deep")
        return made

    certificate = check(nested(MOST_LEVELS)).certificate
    assert certificate is not None
    assert certificate.supersteps == MOST_LEVELS + 1
    for levels in (MOST_LEVELS + 1, 5_000):
        with pytest.raises(DefinitionError, match=r"nested more than 100 levels deep, at `a/a/a/…`"):
            check(nested(levels))


@pytest.mark.parametrize("count", [-1, 1.5, True, "3"])
@pytest.mark.parametrize("name", ["calls", "interrupts"])
def test_a_count_of_a_node_that_is_none_is_refused_by_name(name: str, count: Any) -> None:
    with pytest.raises(DefinitionError, match=rf"`a` at .*: `{name}={count!r}` is a whole number, 0 or more"):
        Workflow("w", State).add_node("a", step, **{name: count})


def test_tasks_are_not_sent_to_the_end() -> None:
    with pytest.raises(DefinitionError, match=r"Each\(END\): tasks are sent to nodes"):
        Each(END, max=2)


@pytest.mark.parametrize(
    "known",
    [
        {"timeout": math.inf, "is_async": True},
        {"timeout": 5.0, "attempts": 3, "policies": {"retry": RetryPolicy(max_interval=math.inf)}},
    ],
)
def test_a_time_without_end_is_no_bound(known: dict[str, Any]) -> None:
    made = Builder(NodeSpec("a", **known)).edge(START, "a").edge("a", END)
    certificate = check(made.spec(budget={"seconds": 60})).certificate
    assert certificate is not None
    assert certificate.seconds is None
    assert certificate.bounds["seconds"].reason


def test_an_empty_workflow_leads_nowhere() -> None:
    assert [f.code for f in validate(Workflow("empty", State)).findings] == ["G003"]


@pytest.mark.parametrize("thing", [None, 3, "app.py:flow", dict, Workflow])
def test_what_is_no_graph_is_refused(thing: Any) -> None:
    with pytest.raises(DefinitionError, match="is no graph"):
        validate(thing)


def test_100_000_nodes_in_one_circle_are_one_short_message() -> None:
    names = [f"n{i}" for i in range(100_000)]
    made = Builder(*names).edge(START, names[0])
    made.edges += [EdgeSpec(a, b) for a, b in zip(names, [*names[1:], names[0]], strict=True)]
    report = check(made.spec())
    assert {f.code for f in report.findings} == {"T101", "S203"}
    assert all(len(f.message) < 2_000 for f in report.findings)
