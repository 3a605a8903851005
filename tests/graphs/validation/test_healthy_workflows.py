"""Workflows as people write them: certified, and without a word of blame."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
from generated_workflows import Builder

from dalsegno.graphs.model import END, START, EdgeSpec, KeySpec, NodeSpec, WorkflowSpec
from dalsegno.graphs.validation import check

HEALTHY: list[Callable[[], WorkflowSpec]] = []


def healthy(make: Callable[[], WorkflowSpec]) -> Callable[[], WorkflowSpec]:
    HEALTHY.append(make)
    return make


@healthy
def react() -> WorkflowSpec:
    made = (
        Builder(NodeSpec("agent", kind="agent", calls=1), "tools").edge(START, "agent").edge("tools", "agent")
    )
    return made.choice("agent", ("tools", 8, END), END).spec()


@healthy
def generate_critique_revise() -> WorkflowSpec:
    made = (
        Builder("generate", "critique", "revise", "give_up")
        .edge(START, "generate")
        .edge("generate", "critique")
    )
    made.choice("critique", ("revise", 3, "give_up"), END).edge("revise", "critique").edge("give_up", END)
    return made.spec()


@healthy
def map_reduce_with_an_empty_case() -> WorkflowSpec:
    keys = {"items": KeySpec("items"), "results": KeySpec("results", reducer="add", ordered=True)}
    worker = NodeSpec("worker", writes=frozenset({"results"}))
    made = Builder("split", worker, "reduce", "nothing").edge(START, "split").edge("worker", "reduce")
    made.edges.append(EdgeSpec("split", "worker", kind="choice", router="send", each=50, fans_out=True))
    made.edges.append(EdgeSpec("split", "nothing", kind="choice", router="send"))
    return made.edge("reduce", END).edge("nothing", END).spec(state=keys)


@healthy
def parallel_specialists_and_a_join() -> WorkflowSpec:
    names = ("law", "tax", "risk")
    made = Builder("plan", *names, "answer").edge(START, "plan").edge("plan", *names)
    return made.join(names, "answer").edge("answer", END).spec()


@healthy
def supervisor_that_picks_several() -> WorkflowSpec:
    made = Builder("lead", "a", "b", "sum").edge(START, "lead").choice("lead", "a", "b", many=True)
    return made.edge("a", "sum").edge("b", "sum").edge("sum", END).spec()


@healthy
def branches_of_unequal_length_that_are_joined() -> WorkflowSpec:
    made = Builder("a", "b", "c", "d").edge(START, "a", "b").edge("b", "c")
    return made.join(("a", "c"), "d").edge("d", END).spec()


@healthy
def a_deferred_node_that_writes_what_branches_of_any_length_wrote() -> WorkflowSpec:
    names = [NodeSpec(n, writes=frozenset({w})) for n, w in (("a", "x"), ("b", "y"), ("c", "y"))]
    sums = NodeSpec("sum", writes=frozenset({"x", "y"}), defer=True)
    made = Builder("go", *names, sums).edge(START, "go").edge("go", "a", "b").edge("b", "c")
    made.edge("a", "sum").edge("c", "sum").edge("sum", END)
    return made.spec(state={"x": KeySpec("x"), "y": KeySpec("y")})


@healthy
def handoffs_with_commands() -> WorkflowSpec:
    made = Builder("sales", "support").edge(START, "sales")
    for source, other in (("sales", "support"), ("support", "sales")):
        loop = EdgeSpec(source, other, kind="command", many=True, loop=4)
        made.edges += [loop, EdgeSpec(source, END, kind="command", many=True, exhausted_of=loop.counter)]
    return made.spec()


@healthy
def human_approval() -> WorkflowSpec:
    ask = NodeSpec("ask", kind="human", interrupts=1, calls=0)
    made = Builder("draft", ask, NodeSpec("send", effect=True)).edge(START, "draft").edge("draft", "ask")
    return made.choice("ask", "send", ("draft", 2, END), END).edge("send", END).spec()


@pytest.mark.parametrize("make", HEALTHY, ids=lambda make: make.__name__)
def test_a_healthy_workflow_is_certified_without_findings(make):
    report = check(make())
    assert report.findings == ()
    assert report.certificate.supersteps is not None


def test_importing_the_rules_imports_no_engine_and_no_networkx():
    code = (
        "import sys, dalsegno.graphs.validation; "
        "print([m for m in ('networkx', 'langgraph', 'sqlite3', 'graphviz', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
