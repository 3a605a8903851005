"""Verdicts and bounds against an exhaustive search that knows nothing of how they are found."""

from __future__ import annotations

import random

import pytest
from generated_workflows import longest_run, random_tangle, random_workflow
from hypothesis import given, settings
from hypothesis import strategies as st

from dalsegno.graphs.validation import check

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
@given(SEEDS, st.integers(0, 4), st.booleans(), st.booleans())
def test_no_run_is_longer_than_the_bound(seed, loops, forks, joins):
    spec = random_workflow(random.Random(seed), nodes=6, loops=loops, forks=forks, joins=joins)
    try:
        longest = longest_run(spec)
    except OverflowError:
        return
    certificate = check(spec).certificate
    assert certificate.supersteps >= longest
    assert certificate.longest_found <= certificate.supersteps
    if certificate.exact:
        assert certificate.supersteps == longest


@settings(max_examples=250, deadline=None)
@given(SEEDS, st.integers(0, 3), st.booleans(), st.booleans())
def test_no_run_executes_more_nodes_than_the_bound(seed, loops, forks, joins):
    spec = random_workflow(random.Random(seed), nodes=5, loops=loops, forks=forks, joins=joins)
    certificate = check(spec).certificate
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
