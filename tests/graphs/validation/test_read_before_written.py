"""D302 beside other branches, behind joins and behind spent loops, against what a search of all runs finds."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise

import pytest
from generated_workflows import NOTHING, Builder, _after, _successors, random_workflow
from test_rules import node, state

from dalsegno.graphs.model import END, START, WorkflowSpec
from dalsegno.graphs.validation import check

SILENT = {"reads": (), "writes": ()}
WRITE = node("write", reads=["topic"], writes=["draft"])
REVIEW = node("review", reads=["draft"], writes=())


def missed(made: Builder) -> list[tuple[str, ...]]:
    """The paths on which `draft` is missed; the input has a `topic` alone."""
    spec = made.spec(state=state("draft", "topic"), inputs=frozenset({"topic"}), declared_inputs=True)
    return [f.path for f in check(spec).findings if f.code == "D302"]


def test_what_is_written_in_the_same_superstep_is_missed() -> None:
    made = Builder(WRITE, REVIEW).edge(START, "write", "review").edge("write", END).edge("review", END)
    assert missed(made) == [(START, "review")]


def test_what_a_longer_branch_writes_is_missed_and_what_a_shorter_one_does_is_there() -> None:
    for before, found in ((["plan"], [(START, "show", "review")]), ([], [])):
        made = Builder(WRITE, REVIEW, *(node(name, **SILENT) for name in [*before, "show"]))
        for source, target in pairwise([START, *before, "write", END]):
            made.edge(source, target)
        made.edge(START, "show").edge("show", "review").edge("review", END)
        assert missed(made) == found


def test_what_is_sent_reads_what_it_was_sent() -> None:
    """And what is not sent to that node, or follows it, reads the state."""
    plan, after = node("plan", **SILENT), node("after", **SILENT)
    made = Builder(plan, REVIEW, after).edge(START, "plan").fan_out("plan", ("review", 3), "after")
    made.edge("review", "after").edge("after", END)
    assert missed(made) == []
    made = Builder(plan, REVIEW, after).edge(START, "plan").fan_out("plan", ("review", 3), "after")
    made.edge("review", END).edge("after", "review")
    assert missed(made) == [(START, "plan", "after", "review")]
    made = Builder(plan, after, REVIEW).edge(START, "plan").fan_out("plan", ("after", 3), END)
    made.edge("after", "review").edge("review", END)
    assert missed(made) == [(START, "plan", "after", "review")]


def test_behind_a_join_and_in_a_deferred_node_what_any_branch_wrote_is_there() -> None:
    made = Builder(WRITE, node("plan", **SILENT), REVIEW).edge(START, "plan", "write")
    made.join(("plan", "write"), "review").edge("review", END)
    assert missed(made) == []
    late = Builder(WRITE, node("plan", **SILENT), replace(REVIEW, defer=True)).edge(START, "plan", "review")
    late.edge("plan", "write").edge("write", END).edge("review", END)
    assert missed(late) == []


@pytest.mark.parametrize(("most", "found"), [(2, []), (0, [(START, "judge", "review")])])
def test_what_follows_a_spent_loop_follows_its_rounds(most: int, found: list[tuple[str, ...]]) -> None:
    made = Builder(node("judge", **SILENT), WRITE, REVIEW).edge(START, "judge")
    made.choice("judge", ("write", most, "review"), END).edge("write", "judge").edge("review", END)
    assert missed(made) == found


def test_a_path_through_a_spent_loop_is_told_with_a_round() -> None:
    made = Builder(node("judge", **SILENT), node("again", **SILENT), REVIEW, WRITE).edge(START, "judge")
    made.choice("judge", ("again", 2, "review"), END).edge("again", "judge")
    made.edge("review", "write").edge("write", END)
    assert missed(made) == [(START, "judge", "again", "judge", "review")]


@pytest.mark.parametrize("seed", range(10))
def test_no_key_is_missed_that_is_there_in_every_run(seed: int) -> None:
    rng = random.Random(seed)
    said = silent = 0
    for _ in range(40):
        made = random_workflow(
            rng,
            nodes=rng.randint(3, 6),
            loops=rng.randrange(3),
            forks=True,
            joins=rng.random() < 0.3,
            defer=rng.random() < 0.2,
        )
        writer, reader = rng.sample(list(made.nodes), k=2)
        nodes = {name: replace(n, reads=frozenset(), writes=frozenset()) for name, n in made.nodes.items()}
        nodes[writer] = replace(nodes[writer], writes=frozenset({"draft"}))
        nodes[reader] = replace(nodes[reader], reads=frozenset({"draft"}))
        spec = replace(made, nodes=nodes, state=state("draft", "topic"), declared_inputs=True)
        wrong = any(f.code == "D302" for f in check(spec).findings)
        real = _may_run_unwritten(spec, reader, writer)
        assert real or not wrong, (made.edges, writer, reader)
        said, silent = said + wrong, silent + (real and not wrong)
    assert said > 4 * silent  # it says what it can


def _may_run_unwritten(spec: WorkflowSpec, reader: str, writer: str) -> bool:
    """Whether some run comes to `reader` before `writer` has run."""
    ahead = list(_after(spec, NOTHING, {START: None}))
    known = set()
    while ahead:
        now = ahead.pop()
        if now in known:
            continue
        known.add(now)
        if reader in now[0]:
            return True
        if writer not in now[0]:
            ahead.extend(_successors(spec, now))
    return False
