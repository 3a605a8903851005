"""What a certificate says of supersteps, executions, model calls and seconds, and when it says nothing."""

from __future__ import annotations

from itertools import pairwise

import pytest
from generated_workflows import Builder, longest_run

from dalsegno.graphs.model import END, START, EdgeSpec, NodeSpec, WorkflowSpec
from dalsegno.graphs.validation import check
from dalsegno.nodes.policies import RateLimit, RetryPolicy


def write_and_review(rounds: int) -> WorkflowSpec:
    made = Builder("write", "review", "escalate").edge(START, "write").edge("write", "review")
    return made.choice("review", END, ("write", rounds, "escalate")).edge("escalate", END).spec()


@pytest.mark.parametrize("rounds", [0, 1, 2, 3, 4])
def test_a_loop_of_k_rounds_adds_its_body_k_times(rounds):
    certificate = check(write_and_review(rounds), ignore="S206").certificate
    assert certificate.supersteps == 2 * (rounds + 1) + 1 == longest_run(write_and_review(rounds))
    assert certificate.witness == ("write", "review") * (rounds + 1) + ("escalate",)
    assert certificate.exact
    assert certificate.executions_by_node == {"write": rounds + 1, "review": rounds + 1, "escalate": 1}


def test_nested_loops_add():
    made = Builder("a", "b", "c").edge(START, "a").edge("a", "b")
    spec = made.choice("b", "c", ("b", 3, "c")).choice("c", END, ("a", 2, END)).spec()
    certificate = check(spec).certificate
    assert certificate.supersteps == 3 * 3 + 3 == longest_run(spec)
    assert certificate.exact


def test_a_loop_whose_way_out_is_another_loop_takes_both():
    made = Builder("a", "b", "c").edge(START, "a").edge("a", "b")
    spec = made.choice("b", END, ("b", 2, ("a", 1, "c"))).edge("c", END).spec()
    certificate = check(spec).certificate
    assert certificate.supersteps == longest_run(spec) == 7
    assert certificate.witness == ("a", "b", "b", "b", "a", "b", "c")


@pytest.mark.parametrize("sources", [("a", "c"), ("c", "a")])
def test_a_join_of_what_a_loop_repeats_and_what_it_does_not_is_checked_in_any_order(sources):
    """Where nothing runs side by side the check ended in a KeyError, by the order of the sources."""
    made = Builder("a", "b", "c").choice(START, "a", "c").join(sources, "b")
    report = check(made.choice("b", END, ("c", 2, END)).spec())
    assert {finding.code for finding in report.findings} == {"S201", "S205"}
    assert report.certificate.executions_by_node == {"a": 1, "b": 3, "c": 3}


def subworkflow(name: str, child: WorkflowSpec, **more) -> NodeSpec:
    return NodeSpec(name, kind="subworkflow", child=child, **more)


def test_loops_inside_a_subworkflow_multiply():
    inner = (
        Builder(NodeSpec("try", calls=1)).edge(START, "try").choice("try", ("try", 2, END), END).spec("inner")
    )
    made = (
        Builder(NodeSpec("plan", calls=1), subworkflow("solve", inner))
        .edge(START, "plan")
        .edge("plan", "solve")
    )
    certificate = check(made.choice("solve", ("plan", 4, END), END).spec()).certificate
    assert certificate.supersteps == 5 * (1 + 1 + 3)
    assert certificate.level_supersteps == 5 * 2
    assert certificate.executions == 5 * (1 + 1 + 3)
    assert certificate.model_calls == 5 * (1 + 3)
    assert certificate.executions_by_node == {"plan": 5, "solve": 5, "solve/try": 15}
    assert certificate.witness[:6] == ("plan", "solve", "solve/try", "solve/try", "solve/try", "plan")
    assert len(certificate.witness) == certificate.supersteps
    assert certificate.exact


def test_the_same_subworkflow_may_stand_twice():
    inner = Builder("x").edge(START, "x").edge("x", END).spec("inner")
    made = Builder(subworkflow("one", inner), subworkflow("two", inner)).edge(START, "one").edge("one", "two")
    certificate = check(made.edge("two", END).spec()).certificate
    assert certificate.supersteps == 4
    assert certificate.witness == ("one", "one/x", "two", "two/x")


def map_reduce(each: int | None, **worker) -> WorkflowSpec:
    nodes = (NodeSpec("split", calls=0), NodeSpec("worker", **worker), NodeSpec("reduce", calls=1))
    made = Builder(*nodes).edge(START, "split").edge("worker", "reduce").edge("reduce", END)
    made.edges.append(EdgeSpec("split", "worker", kind="choice", router="send", each=each, fans_out=True))
    return made.spec()


def test_a_fan_out_multiplies_executions_and_not_supersteps():
    certificate = check(map_reduce(200, calls=2, attempts=3, interrupts=1)).certificate
    assert certificate.supersteps == 3
    assert certificate.executions == 1 + 200 + 1
    assert certificate.model_calls == 200 * 3 * 2 * 2 + 1


def test_a_fan_out_without_maximum_leaves_supersteps_bounded_and_executions_not():
    certificate = check(map_reduce(None, calls=1)).certificate
    assert certificate.supersteps == 3
    assert certificate.executions is None
    assert certificate.bounds["executions"].reason == "T104: the fan-out to `worker` has no maximum."
    assert certificate.model_calls is None


def test_model_calls_are_not_guessed():
    made = (
        Builder(NodeSpec("a", calls=1), "b", "c")
        .edge(START, "a")
        .edge("a", "b")
        .edge("b", "c")
        .edge("c", END)
    )
    certificate = check(made.spec()).certificate
    assert certificate.model_calls is None
    reason = "`b`, `c` do not declare model calls. Use `calls=`, 0 for none."
    assert certificate.bounds["model_calls"].reason == reason


def test_exclusive_branches_do_not_add_up():
    nodes = (NodeSpec("r", calls=1), NodeSpec("cheap", calls=1), NodeSpec("dear", calls=5))
    made = Builder(*nodes).edge(START, "r").choice("r", "cheap", "dear").edge("cheap", END).edge("dear", END)
    certificate = check(made.spec()).certificate
    assert (certificate.supersteps, certificate.executions, certificate.model_calls) == (2, 2, 6)


def test_parallel_branches_add_up_in_executions():
    made = Builder("a", "b", "c").edge(START, "a", "b").join(("a", "b"), "c").edge("c", END)
    certificate = check(made.spec()).certificate
    assert (certificate.supersteps, certificate.executions) == (2, 3)
    assert certificate.exact


def test_a_node_that_many_branches_lead_to_runs_once_a_superstep():
    names = [f"n{i}" for i in range(40)]
    made = Builder("start", *names, "last").edge(START, "start").edge("last", END)
    for name in names:
        made.edge("start", name).edge(name, "last")
    certificate = check(made.spec()).certificate
    assert certificate.executions_by_node["last"] == 1


class Retry:
    initial_interval, backoff_factor, max_interval, jitter = 1.0, 2.0, 3.0, False


def timed(name: str, seconds: float, **more) -> NodeSpec:
    return NodeSpec(name, timeout=seconds, is_async=True, **more)


def test_seconds_count_every_attempt_and_the_pauses_between_them():
    made = Builder(timed("a", 10, attempts=4, policies={"retry": Retry()})).edge(START, "a").edge("a", END)
    assert check(made.spec(exact_choices=False)).certificate.seconds == 4 * 10 + (1 + 2 + 3)
    # In a Workflow each pause may be the `Retry-After` of a server.
    assert check(made.spec()).certificate.seconds == 4 * 10 + 3 * 3


def test_a_server_may_ask_for_the_longest_pause_each_time_however_they_shrink_by_themselves():
    class Shrinking(Retry):
        backoff_factor = 0.5

    made = Builder(timed("a", 1, attempts=4, policies={"retry": [Retry(), Shrinking()]}))
    made.edge(START, "a").edge("a", END)
    assert check(made.spec()).certificate.seconds == 4 * 1 + 3 * 3


def test_a_node_that_asks_takes_its_time_again_with_each_answer():
    made = Builder(timed("a", 10, interrupts=2, attempts=2, policies={"retry": Retry()}))
    made.edge(START, "a").edge("a", END)
    assert check(made.spec()).certificate.seconds == 3 * (2 * 10 + 3)


@pytest.mark.parametrize(("asks", "seconds"), [(0, 60), (1, 120), (2, 180)])
def test_the_timeout_of_a_subworkflow_begins_again_with_each_answer_to_what_is_in_it(asks: int, seconds: int):
    ask = Builder(NodeSpec("ask", is_async=True, interrupts=asks)).edge(START, "ask").edge("ask", END)
    inner = ask.spec("inner")
    outer = Builder(timed("sub", 60, kind="subworkflow", child=inner)).edge(START, "sub").edge("sub", END)
    assert check(outer.spec()).certificate.seconds == seconds


def test_seconds_wait_at_every_superstep_for_the_slowest():
    """The longest weighted path is 1 + 9 = 10: wrong, for each superstep has a barrier."""
    made = Builder(timed("a", 9), timed("b", 1), timed("c", 1), timed("d", 9))
    made.edge(START, "a", "b").edge("a", "c").edge("b", "d").edge("c", END).edge("d", END)
    certificate = check(made.spec()).certificate
    assert certificate.seconds == 18
    assert "Waiting for people is excluded." in certificate.bounds["seconds"].assumptions


def test_seconds_are_unknown_without_timeouts_and_no_warning_is_given_where_none_are_budgeted():
    report = check(write_and_review(1))
    assert report.certificate.seconds is None
    assert (
        report.certificate.bounds["seconds"].reason
        == "T107: `write` and 2 more have no timeout. Use `timeout=`."
    )
    assert report.findings == ()


def test_a_deferred_node_waits_for_the_longest_branch():
    made = Builder("a", "b", "b2", "b3", NodeSpec("last", defer=True)).edge(START, "a", "b")
    made.edge("a", "last").edge("b", "b2").edge("b2", "b3").edge("b3", END).edge("last", END)
    assert check(made.spec()).certificate.supersteps == 4


def test_an_error_handler_is_a_way_of_its_own():
    made = Builder(NodeSpec("pay", error_handler="sorry"), NodeSpec("sorry", kind="handler"), "call")
    made.edge(START, "pay").edge("pay", END).edge("sorry", "call").edge("call", END)
    assert check(made.spec()).certificate.supersteps == 3


def test_a_subworkflow_that_is_not_known_leaves_supersteps_unknown():
    made = Builder(NodeSpec("far", kind="subworkflow")).edge(START, "far").edge("far", END)
    certificate = check(made.spec()).certificate
    assert certificate.supersteps is None
    assert certificate.level_supersteps == 1
    reason = "T111: what `far` runs is not known."
    assert {bound.reason for bound in certificate.bounds.values()} == {reason}
    assert not check(made.spec()).ok


def test_what_a_subworkflow_does_not_know_its_parent_does_not_know_either():
    inner = Builder(NodeSpec("far", kind="subworkflow")).edge(START, "far").edge("far", END).spec("inner")
    made = Builder(NodeSpec("sub", kind="subworkflow", child=inner)).edge(START, "sub").edge("sub", END)
    certificate = check(made.spec()).certificate
    assert {bound.value for bound in certificate.bounds.values()} == {None}
    assert certificate.bounds["supersteps"].reason == "in `sub`: T111: what `far` runs is not known."


def test_the_pauses_of_langgraphs_own_retry_policy_are_counted():
    from langgraph.types import RetryPolicy

    policy = RetryPolicy(initial_interval=1.0, backoff_factor=2.0, jitter=False, max_attempts=3)
    for retry in (policy, [policy]):
        fetch = NodeSpec("fetch", is_async=True, timeout=10.0, attempts=3, policies={"retry": retry})
        made = Builder(fetch).edge(START, "fetch").edge("fetch", END)
        assert check(made.spec(exact_choices=False)).certificate.seconds == 3 * 10 + 1 + 2
        assert check(made.spec()).certificate.seconds == 3 * 10 + 2 * 128


def test_an_error_handler_has_no_timeout_so_seconds_are_not_known():
    pay = NodeSpec("pay", is_async=True, timeout=10.0, error_handler="sorry")
    made = Builder(pay).edge(START, "pay").edge("pay", END)
    certificate = check(made.spec()).certificate
    assert certificate.seconds is None
    assert certificate.bounds["seconds"].reason == "T107: the error handler of `pay` has no timeout."


def test_supersteps_of_a_handled_node_are_those_of_the_node_alone():
    pay = NodeSpec("pay", error_handler="sorry")
    made = Builder(pay, "ship").edge(START, "pay").edge("pay", "ship").edge("ship", END)
    made.edges.append(EdgeSpec("pay", END, kind="handler"))
    report = check(made.spec())
    assert report.findings == ()
    assert report.certificate.supersteps == 2


def test_huge_counts_are_counted_and_their_witness_is_cut():
    certificate = check(write_and_review(10**12)).certificate
    assert certificate.supersteps == 2 * 10**12 + 3
    assert certificate.exact
    assert len(certificate.witness) == 1001
    assert certificate.witness[-1] == "…"


def test_long_graphs_need_no_deep_stack():
    names = [f"n{i}" for i in range(20_000)]
    made = Builder(*names).edge(START, names[0])
    for here, there in pairwise(names):
        made.edge(here, there)
    certificate = check(made.edge(names[-1], END).spec()).certificate
    assert certificate.supersteps == 20_000
    assert certificate.exact


@pytest.mark.parametrize("name", ['"quoted"', "two\nlines", "<b>&amp;</b>", "שלום", "a->b", "", "…", "%s{}"])
def test_names_may_be_any_text(name):
    made = Builder(name, "other").edge(START, name)
    certificate = check(
        made.choice(name, (name, 2, END), END).edge("other", END).spec(), ignore="G003"
    ).certificate
    assert certificate.witness == (name,) * 3


def test_an_empty_workflow_has_nothing_to_run():
    report = check(WorkflowSpec("empty"))
    assert [f.message for f in report.findings] == [
        "START leads nowhere: no node can run. Use add_edge(START, ...)."
    ]


def test_workflows_that_contain_each_other_are_a_finding():
    inside: dict[str, NodeSpec] = {}
    ping = WorkflowSpec("ping", nodes=inside, edges=(EdgeSpec(START, "pong"), EdgeSpec("pong", END)))
    pong = Builder(subworkflow("ping", ping)).edge(START, "ping").edge("ping", END).spec("pong")
    inside["pong"] = subworkflow("pong", pong)
    report = check(ping)
    assert [f.code for f in report.findings] == ["T108"]
    assert report.certificate is None


def test_a_spent_loop_that_leads_to_the_same_node_counts_on_to_the_higher_maximum():
    made = Builder("a", "b").edge(START, "a").edge("a", "b").choice("b", ("a", 1, ("a", 2, END)), END)
    certificate = check(made.spec()).certificate
    assert (certificate.supersteps, certificate.executions) == (6, 6)
    assert dict(certificate.executions_by_node) == {"a": 3, "b": 3}


@pytest.mark.parametrize(
    ("policies", "seconds"),
    [
        ({"retry": RetryPolicy(max_attempts=2, max_interval=30, jitter=False)}, 2 * 10 + 30),
        ({"rate_limit": RateLimit(calls=1, max_wait=5)}, 2 * 10 + 2 * 5),
        ({"rate_limit": RateLimit(calls=1)}, None),
    ],
)
def test_a_servers_retry_after_and_the_turn_in_a_rate_limit_are_in_the_seconds(policies, seconds):
    ask = NodeSpec("ask", is_async=True, timeout=10.0, attempts=2, policies=policies)
    made = Builder(ask).edge(START, "ask").edge("ask", END)
    assert check(made.spec()).certificate.seconds == seconds


def test_the_longest_run_that_was_found_goes_through_the_longest_of_a_subworkflow():
    ways = ("b", "c", "d")
    made = Builder("r", *ways, "end").edge(START, "r").choice("r", *ways)
    for way in ways:
        made.choice(way, (way, 4, "end"), "end")
    inner = made.choice("end", ("r", 1, END), END).spec("inner")
    outer = Builder("a", NodeSpec("sub", kind="subworkflow", child=inner)).edge(START, "a").edge("a", "sub")
    report = check(outer.choice("sub", ("sub", 1, END), END).spec())
    assert report.certificate.supersteps == 1 + 2 * (1 + 18)
    assert report.certificate.longest_found == 1 + 2 * (1 + 10) == len(report.certificate.witness)
    assert [f.code for f in report.findings] == ["T106"]
