"""Verdicts and bounds against an exhaustive search that knows nothing of how they are found."""

from __future__ import annotations

import random

import pytest
from generated_workflows import Builder, all_states, longest_run, random_tangle, random_workflow
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dalsegno.graphs.model import END, START
from dalsegno.graphs.validation import check
from dalsegno.graphs.validation.facts import Facts

SEEDS = st.integers(min_value=0, max_value=2**32)


def ends(spec) -> bool:
    return not any(f.code == "T101" for f in check(spec, select="T101").findings)


@settings(max_examples=600, deadline=None)
@given(SEEDS)
def test_the_verdict_agrees_both_ways_without_joins_and_ways_out(seed):
    spec = random_tangle(random.Random(seed), exits=False)
    try:
        longest = longest_run(spec)
    except OverflowError:
        return
    assert ends(spec) == (longest is not None)


@settings(max_examples=300, deadline=None)
@given(SEEDS, st.booleans())
def test_an_end_is_never_wrongly_granted(seed, joins):
    spec = random_tangle(random.Random(seed), joins=joins)
    try:
        longest = longest_run(spec)
    except OverflowError:
        return
    if ends(spec):
        assert longest is not None


@settings(max_examples=400, deadline=None)
@given(SEEDS, st.integers(0, 4), st.booleans(), st.booleans(), st.booleans(), st.booleans())
@example(25, 0, False, False, True, True)  # sent to a deferred node
@example(333, 0, False, False, True, True)  # sent beside deferred nodes
def test_no_run_is_longer_than_the_bound(seed, loops, forks, joins, defer, sends):
    spec = random_workflow(
        random.Random(seed), nodes=6, loops=loops, forks=forks, joins=joins, defer=defer, sends=sends
    )
    certificate = check(spec).certificate
    if certificate is None:  # a loop leaves what is sent to
        return
    try:
        longest = longest_run(spec)
    except OverflowError:
        return
    assert certificate.supersteps >= longest
    assert certificate.longest_found <= certificate.supersteps
    if certificate.exact:
        assert certificate.supersteps == longest


@settings(max_examples=250, deadline=None)
@given(SEEDS, st.integers(0, 3), st.booleans(), st.booleans(), st.booleans(), st.booleans())
def test_no_run_executes_more_nodes_than_the_bound(seed, loops, forks, joins, defer, sends):
    spec = random_workflow(
        random.Random(seed), nodes=5, loops=loops, forks=forks, joins=joins, defer=defer, sends=sends
    )
    certificate = check(spec).certificate
    if certificate is None:
        return
    try:
        assert certificate.executions >= longest_run(spec, weigh=len)
        for name, times in certificate.executions_by_node.items():
            assert times >= longest_run(spec, weigh=lambda active, name=name: name in active)
    except OverflowError:
        return


@pytest.mark.parametrize("loops", [0, 1])
@settings(max_examples=300, deadline=None)
@given(seed=SEEDS)
def test_the_linear_bound_is_reached_without_loops_and_with_one(loops, seed):
    spec = random_workflow(random.Random(seed), nodes=6, loops=loops)
    certificate = check(spec).certificate
    assert certificate.supersteps == longest_run(spec)
    assert certificate.exact
    assert len(certificate.witness) == certificate.supersteps


@settings(max_examples=300, deadline=None)
@given(SEEDS)
def test_a_join_that_is_said_to_starve_does_in_some_run(seed):
    spec = random_workflow(random.Random(seed), nodes=6, forks=True, joins=True)
    (join,) = (e for e in spec.edges if e.kind == "join")
    if not set(join.origins) <= Facts(spec).reachable:
        return
    left_over = any(len(barrier) == 1 for running, barrier, *_ in all_states(spec) if not running)
    if check(spec, select="S201").findings:
        assert left_over
    elif left_over:
        # Then a source ran once more than the other: what S202 and S205 warn of.
        assert check(spec, select=["S202", "S205"]).findings


@settings(max_examples=400, deadline=None)
@given(SEEDS, st.booleans(), st.booleans(), st.integers(0, 2), st.booleans())
@example(1637, True, False, 0, False)  # behind a join of exclusive sources
@example(2648, True, False, 0, False)
@example(4, True, True, 0, False)  # a deferred node waits for the other
@example(31, False, True, 0, True)  # a deferred node is sent to
@example(49, False, True, 0, True)  # what is sent does not hold it back
def test_nodes_that_are_said_to_run_together_do_in_some_run(seed, joins, defer, loops, sends):
    spec = random_workflow(
        random.Random(seed), nodes=6, loops=loops, forks=True, joins=joins, defer=defer, sends=sends
    )
    if check(spec).certificate is None:  # a loop leaves what is sent to
        return
    try:
        seen = _together(spec)
    except OverflowError:
        return
    found = Facts(spec).settled().together
    assert found.sure <= seen
    if not joins:
        assert seen <= set(found.steps)
    if not joins and not loops and not (defer and sends):
        assert seen == set(found.steps) == found.sure


@settings(max_examples=300, deadline=None)
@given(SEEDS, st.booleans())
@example(267, True)  # the way out of a loop that is never spent
def test_in_a_tangle_too(seed, joins):
    spec = random_tangle(random.Random(seed), nodes=5, joins=joins)
    try:
        assert Facts(spec).settled().together.sure <= _together(spec)
    except OverflowError:
        return


def _together(spec):
    states = all_states(spec)
    pairs = {(a, b) for running, *_ in states for a in running for b in running if a < b}
    return pairs | {(name, name) for *_, times in states for name, _ in times}


@settings(max_examples=300, deadline=None)
@given(SEEDS)
def test_loops_that_are_spent_into_loops_stay_within_the_bounds(seed):
    rng = random.Random(seed)
    names = [f"n{i}" for i in range(4)]
    made = Builder(*names).edge(START, "n0")
    for i, name in enumerate(names):
        later = [*names[i + 1 :], END]
        if rng.random() < 0.3:
            made.edge(name, rng.choice(later))
            continue
        back = rng.choice(later)
        for target in rng.sample(names[: i + 1], k=rng.randint(1, min(3, i + 1))):
            back = (target, rng.randrange(3), back)
        made.choice(name, back, rng.choice(later))
    spec = made.spec()
    certificate = check(spec).certificate
    assert certificate.supersteps >= longest_run(spec)
    if certificate.exact:
        assert certificate.supersteps == longest_run(spec)
    for name, times in certificate.executions_by_node.items():
        assert times >= longest_run(spec, weigh=lambda active, name=name: name in active)


def test_a_way_out_behind_a_loop_of_no_rounds_is_open_when_the_loop_before_it_is_spent():
    made = Builder("a", "b", "c").edge(START, "a").edge("b", END).edge("c", "b")
    spec = made.choice("a", END, ("b", 2, ("a", 0, "c"))).spec()
    assert check(spec).certificate.supersteps == longest_run(spec) == 2


def test_a_walk_through_a_join_of_exclusive_branches_is_no_exact_bound():
    made = Builder("a", "b", "c", "d").edge(START, "a").choice("a", "b", "c").edge("b", END).edge("c", END)
    spec = made.join(("b", "c"), "d").edge("d", END).spec()
    certificate = check(spec).certificate
    assert certificate.supersteps >= longest_run(spec) == 2
    assert certificate.exact == (certificate.supersteps == 2)
