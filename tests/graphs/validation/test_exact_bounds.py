"""`exact=True`: the least bound, by integer program and by explicit states."""

from __future__ import annotations

import importlib.util
import random

import pytest
from generated_workflows import Builder, longest_run, random_workflow
from hypothesis import given, settings
from hypothesis import strategies as st

from dalsegno.errors import MissingExtra
from dalsegno.graphs.model import END, START, NodeSpec, WorkflowSpec
from dalsegno.graphs.validation import check

HAS_SCIPY = importlib.util.find_spec("scipy") is not None
needs_scipy = pytest.mark.skipif(not HAS_SCIPY, reason="the extra `exact` is not installed")


def three_ways(rounds: int = 4) -> WorkflowSpec:
    """Three ways with a loop each, of which one round of the outer loop lets a run walk two."""
    ways = ("b", "c", "d")
    made = Builder("r", *ways, "end").edge(START, "r").choice("r", *ways)
    for way in ways:
        made.choice(way, (way, rounds, "end"), "end")
    return made.choice("end", ("r", 1, END), END).spec()


@pytest.mark.skipif(HAS_SCIPY, reason="the extra `exact` is installed")
def test_the_exact_bound_without_scipy_names_the_extra():
    with pytest.raises(MissingExtra, match="dalsegno\\[exact\\]") as raised:
        check(three_ways(), exact=True)
    assert raised.value.extra == "exact"


@needs_scipy
@pytest.mark.parametrize("rounds", [1, 4, 5])
def test_what_does_not_hang_together_is_cut_off(rounds):
    certificate = check(three_ways(rounds), exact=True).certificate
    assert certificate.supersteps == longest_run(three_ways(rounds)) == 2 * (rounds + 1) + 4
    assert certificate.bounds["supersteps"].tier == "exact walk"
    assert certificate.exact
    assert len(certificate.witness) == certificate.supersteps


@needs_scipy
def test_a_way_out_is_taken_only_when_its_loop_is_spent():
    made = Builder("a", "b", "c", "d").edge(START, "a").choice("a", "b", ("c", 2, "d")).edge("c", "a")
    spec = made.edge("b", END).edge("d", "b").spec()
    assert check(spec, exact=True).certificate.supersteps == longest_run(spec)


@needs_scipy
@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 5), st.integers(4, 7))
def test_the_exact_bound_is_the_longest_run_where_nothing_runs_in_parallel(seed, loops, nodes):
    spec = random_workflow(random.Random(seed), nodes=nodes, loops=loops)
    try:
        longest = longest_run(spec)
    except OverflowError:
        return
    certificate = check(spec, exact=True).certificate
    assert certificate.supersteps == longest
    assert certificate.exact


@needs_scipy
@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 3), st.booleans(), st.booleans(), st.booleans())
def test_explicit_states_are_exact_with_joins_deferred_nodes_and_fan_outs(seed, loops, joins, defer, sends):
    spec = random_workflow(
        random.Random(seed), nodes=6, loops=loops, forks=True, joins=joins, defer=defer, sends=sends
    )
    certificate = check(spec, exact=True).certificate
    if certificate is None:  # a loop leaves what is sent to
        return
    try:
        longest = longest_run(spec)
    except OverflowError:
        return
    assert certificate.supersteps == longest
    assert certificate.exact


def test_the_states_find_a_join_that_is_refilled_in_part():
    made = Builder("a", "b", "c", "d").edge(START, "a").edge("a", "b", "c").edge("c", "b")
    spec = made.join(("a", "b"), "d").edge("d", END).spec()
    assert [f.code for f in check(spec).findings] == ["S202"]
    found = check(spec, exact=True).findings
    assert [f.code for f in found] == ["S202", "S205"]
    assert found[1].message == (
        "the join [a, b] → d keeps a half-filled token at the end: some run ends so. Align the branches."
    )


def wide(branches: int) -> WorkflowSpec:
    """So many branches at once, each with a choice of two, and a join of two of them."""
    numbers = range(branches)
    made = Builder("fork", *(f"b{n}" for n in numbers), *(f"x{n}" for n in numbers), "end").edge(
        START, "fork"
    )
    for n in numbers:
        made.edge("fork", f"b{n}").choice(f"b{n}", f"x{n}", END).edge(f"x{n}", END)
    return made.join(("x0", "x1"), "end").edge("end", END).spec()


@needs_scipy
def test_past_its_limit_the_search_of_all_states_says_that_it_did_not_decide():
    certificate = check(wide(12), exact=True).certificate
    assert certificate.undecided.startswith("there are more than 50,000 states")
    assert certificate.to_dict()["undecided"] == certificate.undecided
    assert certificate.supersteps == 4


@needs_scipy
def test_what_is_undecided_inside_of_a_subworkflow_is_told_with_its_place():
    made = Builder(NodeSpec("a", "subworkflow", child=wide(12))).edge(START, "a").edge("a", END)
    assert check(made.spec(), exact=True).certificate.undecided.startswith("in `a`: there are more than")


@needs_scipy
@pytest.mark.parametrize("exact", [True, False])
def test_nothing_is_undecided_where_nothing_was_asked_or_all_was_found(exact):
    certificate = check(wide(2), exact=exact).certificate
    assert certificate.undecided is None
    assert "undecided" not in certificate.to_dict()
