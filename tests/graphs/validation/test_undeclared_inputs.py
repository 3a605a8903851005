"""D302 where no input schema is declared: any key may be in the input, so only products are missed."""

from __future__ import annotations

import itertools

import pytest
from generated_workflows import Builder
from test_rules import node, state

from dalsegno.graphs.model import END, START, WorkflowSpec
from dalsegno.graphs.validation import check


def codes(spec: WorkflowSpec) -> list[str]:
    return [f.code for f in check(spec).findings]


def chain(*nodes) -> WorkflowSpec:
    made = Builder(*nodes)
    names = [START, *(n.name for n in nodes), END]
    for source, target in itertools.pairwise(names):
        made.edge(source, target)
    return made.spec(state=state("draft", "topic"))


REVIEW = node("review", reads=["draft"], writes=())


def test_a_key_that_is_only_made_later_is_missed():
    assert codes(chain(REVIEW, node("write", writes=["draft"], reads=()))) == ["D302"]


def test_a_key_that_a_branch_leaves_out_is_missed():
    made = Builder(node("plan", writes=(), reads=()), node("write", writes=["draft"], reads=()), REVIEW)
    made.edge(START, "plan").choice("plan", "write", "review").edge("write", "review").edge("review", END)
    assert codes(made.spec(state=state("draft"))) == ["D302"]


@pytest.mark.parametrize(
    "spec",
    [
        chain(REVIEW),  # nobody makes it: it is an input
        chain(REVIEW, node("polish", reads=["draft"], writes=["draft"])),  # edited in place
        chain(node("edit", reads=["draft"], writes=["draft"])),
        chain(node("write", writes=["draft"], reads=()), REVIEW),
    ],
)
def test_a_key_that_may_be_an_input_is_not_missed(spec):
    assert codes(spec) == []


def test_what_comes_back_through_a_loop_is_not_missed():
    made = Builder(
        node("write", reads=["topic"], writes=["draft"]), node("criticise", reads=["draft"], writes=["topic"])
    )
    made.edge(START, "write").edge("write", "criticise").choice("criticise", ("write", 2, END), END)
    assert codes(made.spec(state=state("draft", "topic"))) == []
