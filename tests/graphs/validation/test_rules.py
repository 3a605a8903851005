"""Every rule by its code: one workflow it finds fault with, its message word for word, one it does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict

import pytest
from generated_workflows import Builder

from dalsegno.errors import DalsegnoError, WorkflowInvalid
from dalsegno.graphs.model import END, START, EdgeSpec, KeySpec, NodeSpec, Place, WorkflowSpec
from dalsegno.graphs.patterns import supervisor
from dalsegno.graphs.validation import RULES, check, explain, rules_page


@dataclass(frozen=True)
class Case:
    bad: Callable[[], WorkflowSpec]
    message: str
    good: Callable[[], WorkflowSpec]
    path: tuple[str, ...]
    severity: str = "error"


CASES: dict[str, Case] = {}


def case(code: str, message: str, *path: str, severity: str = "error"):
    """Decorates a function of one flag that gives the bad workflow for True, the good one for False."""

    def register(make: Callable[[bool], WorkflowSpec]):
        CASES[code] = Case(lambda: make(True), message, lambda: make(False), path, severity)
        return make

    return register


def state(*keys: str | KeySpec) -> dict[str, KeySpec]:
    made = [KeySpec(k) if isinstance(k, str) else k for k in keys]
    return {k.name: k for k in made}


def node(name: str, **known) -> NodeSpec:
    sets = {k: frozenset(v) for k, v in known.items() if k in ("reads", "writes")}
    return NodeSpec(name, **{**known, **sets})


@case("G001", "edge plan → serch: no node `serch`; did you mean `search`?", "plan", "serch")
def unknown_node(bad):
    made = Builder("plan", "search").edge(START, "plan").edge("search", END)
    return made.edge("plan", "serch" if bad else "search").spec()


@case(
    "G002",
    "the router of `plan` declares no targets. Use a mapping, a list, or a `Literal` as its return type.",
    "plan",
)
def undeclared_router(bad):
    made = Builder("plan", "act").edge(START, "plan").edge("act", END)
    if bad:
        made.edges.append(EdgeSpec("plan", "", kind="unknown", router="route"))
        return made.spec()
    return made.choice("plan", "act", END).spec()


@case("G003", "`audit` cannot be reached from START. Add an edge to it, or delete it.", "audit")
def unreachable(bad):
    made = Builder("pay", "audit").edge(START, "pay").edge("audit", END)
    return made.edge("pay", END if bad else "audit").spec()


@case(
    "G004",
    '`notify` ends the run without an edge to END. Use add_edge("notify", END).',
    "notify",
    severity="warning",
)
def no_edge_to_end(bad):
    made = Builder("notify").edge(START, "notify")
    return (made if bad else made.edge("notify", END)).spec()


@case(
    "G005",
    "`r` has a static edge to `b` and a goto to `a`: both run. Keep one.",
    "r",
    "b",
    severity="warning",
)
def static_and_goto(bad):
    made = Builder("r", "a", "b").edge(START, "r").edge("a", END).edge("b", END)
    made.edges.append(EdgeSpec("r", "a", kind="command"))
    made.edges.append(EdgeSpec("r", "b", kind="static" if bad else "command"))
    return made.spec()


@case(
    "G006",
    "the error handler `sorry` of `pay` leads nowhere: after a failure the successors of `pay` never run. "
    "Give `sorry` targets, END if that is meant.",
    "pay",
    "sorry",
)
def handler_without_targets(bad):
    pay = NodeSpec("pay", error_handler="sorry")
    made = Builder(pay, NodeSpec("sorry", kind="handler"), "ship").edge(START, "pay").edge("pay", "ship")
    made.edge("ship", END)
    return (made if bad else made.edge("sorry", "ship")).spec()


@case(
    "T101",
    "cycle plan → act → plan has no bound: START → plan → act → plan may repeat for ever. "
    'Use Loop("plan", max=...) for the way back.',
    START,
    "plan",
    "act",
    "plan",
)
def endless(bad):
    made = Builder("plan", "act").edge(START, "plan").edge("plan", "act")
    return made.choice("act", "plan" if bad else ("plan", 5, END), END).spec()


@case(
    "T102",
    'loop act → plan has no way out when spent. Use Loop("plan", max=5, on_exhausted=...).',
    "act",
    "plan",
)
def no_way_out(bad):
    made = Builder("plan", "act").edge(START, "plan").edge("plan", "act")
    return made.choice("act", ("plan", 5, None if bad else END), END).spec()


@case(
    "T103",
    "loop worker → worker leaves `worker`, which is sent to: parallel tasks would race on its counter. "
    "Put the loop in a subworkflow.",
    "worker",
    "worker",
)
def loop_of_a_sent_node(bad):
    made = Builder("split", "worker").edge(START, "split")
    made.edges.append(EdgeSpec("split", "worker", kind="choice", router="send", each=9, fans_out=True))
    return (made.choice("worker", ("worker", 2, END), END) if bad else made.edge("worker", END)).spec()


@case(
    "T104",
    'the fan-out split → worker has no maximum. Use Each("worker", max=...).',
    "split",
    "worker",
)
def endless_fan_out(bad):
    made = Builder("split", "worker").edge(START, "split").edge("worker", END)
    each = None if bad else 9
    made.edges.append(EdgeSpec("split", "worker", kind="choice", router="send", each=each, fans_out=True))
    return made.spec()


@case(
    "T105",
    "worst case 12 supersteps > budget 10. Witness: plan → act → plan → act → plan → act → plan → act → plan → "
    "act → plan → act. Lower the bounds of its loops and fan-outs, or raise the budget.",
    *("plan", "act") * 6,
)
def over_budget(bad):
    made = Builder("plan", "act").edge(START, "plan").edge("plan", "act").choice("act", ("plan", 5, END), END)
    return made.spec(budget={"supersteps": 10 if bad else 12})


@case(
    "T106",
    "bound 18 supersteps, longest path found 10. Use `--exact` for the least bound.",
    severity="warning",
)
def loose(bad):
    """Three ways with a loop each, of which one round of the outer loop lets a run walk two."""
    ways = ("b", "c", "d")
    made = Builder("r", *ways, "end").edge(START, "r").choice("r", *ways)
    for way in ways if bad else ():
        made.choice(way, (way, 4, "end"), "end")
    if not bad:
        for way in ways:
            made.edge(way, "end")
    return made.choice("end", ("r", 1, END), END).spec()


@case(
    "T107",
    "no bound in seconds: `fetch` and 1 more have no timeout. Use `timeout=`.",
    "fetch",
    "read",
    severity="warning",
)
def without_timeout(bad):
    known = {} if bad else {"timeout": 30.0, "is_async": True}
    made = Builder(NodeSpec("fetch", **known), NodeSpec("read", **known))
    return made.edge(START, "fetch").edge("fetch", "read").edge("read", END).spec(budget={"seconds": 60})


@case(
    "T109",
    "`recursion_limit` is 2, and a run of 2 supersteps needs 3. Leave it out, or raise it.",
    severity="warning",
)
def limit_below_the_bound(bad):
    made = Builder("a", "b").edge(START, "a").edge("a", "b").edge("b", END)
    return made.spec(recursion_limit=2 if bad else 3)


@case(
    "T111",
    "`research` runs a graph that the check cannot see. Add that graph itself as the node.",
    "research",
)
def unseen_graph(bad):
    child = None if bad else Builder("a").edge(START, "a").edge("a", END).spec("inner")
    research = NodeSpec("research", kind="subworkflow", child=child)
    return Builder(research).edge(START, "research").edge("research", END).spec()


@case(
    "T108",
    "`solve` runs its own graph: nothing bounds the depth. Use a copy for every level, as many as there may be.",
    "solve",
)
def contains_itself(bad):
    nodes: dict[str, NodeSpec] = {}
    edges = (EdgeSpec(START, "solve"), EdgeSpec("solve", END))
    inner = WorkflowSpec("inner", nodes=nodes, edges=edges)
    nodes["solve"] = NodeSpec(
        "solve", kind="subworkflow" if bad else "function", child=inner if bad else None
    )
    return inner


@case(
    "T110",
    "no bound in seconds: sync `inner/crunch` cannot be cancelled. "
    "Use async functions, or `timeout=` on a node of a Workflow.",
    "inner",
    severity="warning",
)
def sync_in_a_timed_subworkflow(bad):
    child = Builder(NodeSpec("crunch", is_async=not bad)).edge(START, "crunch").edge("crunch", END).spec("in")
    made = Builder(NodeSpec("inner", kind="subworkflow", child=child, timeout=30.0))
    return made.edge(START, "inner").edge("inner", END).spec(budget={"seconds": 60})


@case(
    "S201",
    "the join [a, b] → c starves: `r` may pick a way to `a` without `b`. "
    "Fork to all of them, or defer `c` and use plain edges.",
    "r",
    "a",
    "c",
)
def starving(bad):
    made = Builder("r", "a", "b", "c").edge(START, "r").join(("a", "b"), "c").edge("c", END)
    return (made.choice("r", "a", "b") if bad else made.edge("r", "a", "b")).spec()


@case(
    "S202",
    "`c` can run at supersteps 2 and 3: branches of unequal length meet in it, and `b` still runs the first "
    "time. Use a join, or `defer=True`.",
    "b",
    "c",
    severity="warning",
)
def unequal_branches(bad):
    made = Builder("a", "b", "c").edge(START, "a").edge("a", "b").edge("c", END)
    return (made.edge("a", "c").edge("b", "c") if bad else made.join(("a", "b"), "c")).spec()


@case(
    "S203",
    "from `ask` no end can be reached: START → ask leads to no END. Add a way out.",
    START,
    "ask",
)
def no_end(bad):
    made = Builder("ask", "wait").edge(START, "ask").edge("ask", "wait")
    return made.choice("wait", ("ask", 3, "ask" if bad else END), *(() if bad else (END,))).spec()


@case(
    "S204",
    "END in `check` does not stop `search`, which runs beside it. Join the branches first, and decide then.",
    "check",
    "search",
    severity="warning",
)
def end_beside(bad):
    made = Builder("check", "search", "write").edge(START, "check", "search").edge("search", "write")
    made.edge("write", END)
    return (made.choice("check", END, "write") if bad else made.edge("check", END)).spec()


@case(
    "S205",
    "the join [a, b] → c keeps a half-filled token at the end: a loop repeats `a` and not `b`. "
    "Align the branches: join after the loop.",
    "a",
    "c",
    severity="warning",
)
def half_filled(bad):
    made = Builder("a", "b", "c", "done").edge(START, "a", "b").edge("c", END)
    made.choice("a", ("a", 2, "done"), "done").edge("done", END)
    return made.join(("a" if bad else "done", "b"), "c").spec()


@case(
    "S206",
    "the choice r → z can never be taken: `max=0`. Delete it.",
    "r",
    "z",
    severity="warning",
)
def never_taken(bad):
    made = Builder("z", "r").edge(START, "z").edge("z", "r")
    return made.choice("r", ("z", 0 if bad else 1, END), END).spec()


@case(
    "D301",
    "`a` and `b` both write `x` in superstep 1, and `x` has no reducer. Give it one that takes them in any order, such "
    "as `operator.or_` of sets or mappings, or write different keys.",
    "a",
    "b",
)
def two_writers(bad):
    made = (
        Builder(node("a", writes="x"), node("b", writes="x"))
        .edge(START, "a", "b")
        .edge("a", END)
        .edge("b", END)
    )
    return made.spec(state=state(KeySpec("x", reducer=None if bad else "add")))


@case(
    "D302",
    "`review` reads `draft`, which on START → review is neither written nor defaulted, nor in the input schema. "
    "Write it before, or give it a default.",
    START,
    "review",
)
def read_too_early(bad):
    made = Builder(node("review", reads=["draft"], writes=()), node("write", writes=["draft"], reads=()))
    order = ("review", "write") if bad else ("write", "review")
    made.edge(START, order[0]).edge(order[0], order[1]).edge(order[1], END)
    return made.spec(state=state("draft", "topic"), inputs=frozenset({"topic"}), declared_inputs=True)


@case(
    "D303",
    "`tmp` is written by `write`, never read, and not in the output schema. Delete it.",
    "write",
    severity="warning",
)
def never_read(bad):
    made = Builder(
        node("write", writes=["tmp", "text"], reads=()), node("end", reads=["text"] if bad else ["tmp"])
    )
    made.edge(START, "write").edge("write", "end").edge("end", END)
    return made.spec(state=state("tmp", "text"), outputs=frozenset({"text"}), declared_outputs=True)


@case(
    "D304",
    "the reducer `add` of `log` depends on order, and `a` and `b` write it together in superstep 1. "
    "Use a merge that does not.",
    "a",
    "b",
    severity="warning",
)
def ordered_writers(bad):
    made = Builder(node("a", writes=["log"]), node("b", writes=["log"]))
    made.edge(START, "a", "b").edge("a", END).edge("b", END)
    return made.spec(state=state(KeySpec("log", reducer="add", ordered=bad)))


@case(
    "D305",
    "the key `msgs` of the subworkflow `sub` is not in the parent. Map it with `inputs=` and `outputs=`.",
    "sub",
)
def unmapped(bad):
    child = Builder("inner").edge(START, "inner").edge("inner", END)
    inner = child.spec(
        "child", state=state("msgs", "answer"), inputs=frozenset({"msgs"}), declared_inputs=True
    )
    maps = {} if bad else {"inputs": {"msgs": "talk"}, "outputs": {"answer": "answer"}}
    made = Builder(NodeSpec("sub", kind="subworkflow", child=inner, **maps))
    return made.edge(START, "sub").edge("sub", END).spec(state=state("talk", "answer"))


@case("D306", "`write` returns `titel`, which is no state key; did you mean `title`?", "write")
def unknown_key(bad):
    writes = NodeSpec("write", unknown_writes=("titel",) if bad else ())
    return Builder(writes).edge(START, "write").edge("write", END).spec(state=state("title"))


@case(
    "R401",
    "`charge` has an effect, `ship` after it can fail, and nothing compensates. "
    'Use compensate="..." on `charge`.',
    "charge",
    "ship",
    severity="warning",
)
def uncompensated(bad):
    charge = NodeSpec("charge", effect=True, compensate=None if bad else "refund")
    made = Builder(charge, NodeSpec("ship", effect=True), "refund")
    made.edge(START, "charge").edge("charge", "ship").edge("ship", END)
    if bad:
        del made.nodes["refund"]
    return made.spec()


@case(
    "R402",
    "`send` has an effect and an interrupt: the effect is repeated when the answer comes. "
    "Split the node, or record the effect with `effect(...)` and say `idempotent=True`.",
    "send",
)
def effect_and_interrupt(bad):
    send = NodeSpec("send", effect=True, interrupts=1, idempotent=not bad)
    return Builder(send).edge(START, "send").edge("send", END).spec()


@case(
    "R403",
    "`send_mail` is tried up to 3 times and has an effect that is not idempotent. "
    "Pass the idempotency key on, and say `idempotent=True`.",
    "send_mail",
    severity="warning",
)
def retried(bad):
    send = NodeSpec("send_mail", effect=True, attempts=3, idempotent=not bad)
    return Builder(send).edge(START, "send_mail").edge("send_mail", END).spec()


@case(
    "R405",
    "nothing deals with a failure of the remote `ask`. Use a retry, a fallback or an error handler.",
    "ask",
    severity="warning",
)
def bare_remote(bad):
    ask = NodeSpec("ask", kind="remote", attempts=1 if bad else 3)
    return Builder(ask).edge(START, "ask").edge("ask", END).spec()


@case(
    "G007",
    "`lead` gives tasks to `echo` alone, so that its decisions decide little. Let `echo` do the work itself "
    "(`react`), map it over the items (`map_reduce`), or add workers.",
    "lead",
    "echo",
    severity="warning",
)
def one_worker(bad):
    def work(state):
        return {}

    return supervisor(work, {"echo": work} if bad else {"echo": work, "count": work}).spec


@case(
    "T112",
    "nothing leaves the loop review → write (`write`, `review`) before it is spent: each run takes it 3 times. "
    "Add an answer that leads out, or do the rounds one after the other.",
    "review",
    "write",
    severity="warning",
)
def no_early_way_out(bad):
    made = Builder("write", "review", "publish").edge(START, "write").edge("write", "review")
    again = ("write", 3, "publish")
    return made.choice("review", *([again] if bad else [again, "publish"])).edge("publish", END).spec()


def test_a_loop_may_be_left_anywhere_in_it_and_from_a_loop_inside_it():
    made = Builder("lead", "work", "collect").edge(START, "lead").choice("lead", "work", END)
    assert check(made.edge("work", "collect").choice("collect", ("lead", 2, END)).spec()).findings == ()
    made = Builder("a", "b", "c").edge(START, "a").edge("a", "b").choice("b", "c", ("a", 2, "c"))
    assert check(made.choice("c", ("a", 3, END), ("b", 2, END)).spec()).findings[0].code == "T112"
    made = Builder("a", "b").edge(START, "a").choice("a", ("a", 2, "b"), "b").choice("b", ("a", 3, END), END)
    assert check(made.spec()).findings == ()


def test_a_spent_loop_may_open_another_one_to_a_node_that_nothing_else_leads_to():
    made = Builder("work", "notify").edge(START, "work")
    report = check(made.choice("work", END, ("work", 2, ("notify", 1, END))).spec())
    assert [f.code for f in report.findings] == ["G004", "S206"]
    assert report.certificate.supersteps == 4


@case(
    "W001",
    "the waiver of G004 at `notify` waives nothing: no G004 is found there. Delete or correct it.",
    "notify",
    severity="warning",
)
def unused_waiver(bad):
    made = Builder("notify").edge(START, "notify")
    if bad:
        made.edge("notify", END)
    return made.spec(waivers=(("G004", "notify", "it is the last one"),))


def test_a_key_that_is_declared_to_be_read_and_is_none_of_the_state_is_told_with_the_nearest():
    made = Builder(node("a", reads=["tilte"])).edge(START, "a").edge("a", END)
    (found,) = check(made.spec(state=state("title"))).findings
    assert (found.code, found.severity, found.path) == ("D302", "error", ("a",))
    assert found.message == "`a` reads `tilte`, which is no state key; did you mean `title`?"


def test_deferred_nodes_that_write_the_same_key_run_together_when_all_else_is_done():
    made = Builder("a", "b", "c", node("x", writes=["k"], defer=True), node("y", writes=["k"], defer=True))
    made.edge(START, "a", "b").edge("a", "x").edge("b", "c").edge("c", "y").edge("x", END).edge("y", END)
    (found,) = check(made.spec(state=state("k"))).findings
    assert found.message == (
        "`x` and `y` both write `k` once all else is done, and `k` has no reducer. "
        "Give it one that takes them in any order, such as `operator.or_` of sets or mappings, or write different keys."
    )


def test_writers_behind_a_join_that_may_starve_are_a_warning_beside_its_error():
    made = Builder("r", "a", "b", "c", node("x", writes=["k"]), node("y", writes=["k"])).edge(START, "r")
    made.choice("r", "a", "b", many=True).join(("a", "b"), "c").edge("c", "x", "y")
    made.edge("x", END).edge("y", END)
    found = check(made.spec(state=state("k"))).findings
    assert [(f.code, f.severity) for f in found] == [("S201", "error"), ("D301", "warning")]


RAISED_ELSEWHERE = {"R404"}


def test_every_rule_has_a_good_and_a_bad_example():
    assert set(RULES) == set(CASES) | RAISED_ELSEWHERE


@pytest.mark.parametrize("code", sorted(CASES))
def test_the_bad_example_is_found_and_told_word_for_word(code):
    wanted = CASES[code]
    found = [f for f in check(wanted.bad()).findings if f.code == code]
    assert [(f.message, f.severity, f.path) for f in found] == [
        (wanted.message, wanted.severity, wanted.path)
    ]
    assert found[0].fix


@pytest.mark.parametrize("code", sorted(CASES))
def test_the_good_example_has_no_finding_at_all(code):
    assert check(CASES[code].good()).findings == ()


@pytest.mark.parametrize("code", sorted(RULES))
def test_a_rule_explains_itself_under_the_four_headings(code):
    text = explain(code)
    assert text.startswith(f"{code} ({RULES[code].severity}): ")
    for heading in ("What it does", "Why is this bad", "Example", "Use instead"):
        assert f"\n## {heading}\n" in text


def test_an_unknown_rule_is_refused_with_the_nearest_one():
    with pytest.raises(DalsegnoError, match=r"`TT101` is no rule; did you mean `T101`\?"):
        explain("TT101")


def test_the_page_of_rules_is_what_the_rules_say():
    """Written by `python -c "from dalsegno.graphs.validation import *; print(rules_page(), end='')"`."""
    page = Path(__file__).parents[3] / "docs" / "rules.md"
    assert page.read_text(encoding="utf-8") == rules_page()


def test_select_and_ignore_take_codes_and_their_beginnings():
    spec = endless(True)
    assert {f.code for f in check(spec, select=["T"]).findings} == {"T101"}
    report = check(spec, ignore="T101")
    assert report.findings == ()
    assert report.certificate is None
    with pytest.raises(DalsegnoError, match="`X9` begins no rule"):
        check(spec, select="X9")


def test_what_is_not_shown_still_counts():
    report = check(endless(True), ignore="T")
    assert [f.code for f in report.hidden] == ["T101"]
    assert not report.ok
    with pytest.raises(WorkflowInvalid, match="T101"):
        report.raise_for_errors()
    assert report.to_dict()["hidden"] == [{"code": "T101", "severity": "error"}]


def test_what_is_waived_is_kept_with_its_reason():
    waivers = (("T101", "act->plan", "a person stops it"),)
    report = check(replace(endless(True), waivers=waivers))
    assert report.ok
    assert report.certificate is None
    assert [(w.finding.code, w.reason) for w in report.waived] == [("T101", "a person stops it")]
    assert report.to_dict()["waived"][0]["reason"] == "a person stops it"


def test_a_waiver_of_what_only_compile_can_see_is_not_called_idle():
    spec = replace(endless(False), waivers=(("R404", "act", "the outer graph has a checkpointer"),))
    assert check(spec).findings == ()


def test_a_waiver_waives_one_code_at_one_place():
    spec = no_edge_to_end(True)
    assert check(replace(spec, waivers=(("G004", "notify", "it is the last one"),))).findings == ()
    elsewhere = check(replace(spec, waivers=(("G004", "other", "it is the last one"),)))
    assert [f.code for f in elsewhere.findings] == ["G004", "W001"]
    assert elsewhere.findings[1].message.endswith("no G004 is found there. Delete or correct it.")
    nearly = check(replace(spec, waivers=(("G004", "notfy", "it is the last one"),)))
    assert nearly.findings[1].message == (
        "the waiver of G004 at `notfy` waives nothing: no G004 is found there; did you mean `notify`? "
        "Delete or correct it."
    )
    silent = check(replace(spec, waivers=(("G004", "notify", " "),)))
    assert "it gives no reason" in silent.findings[-1].message
    unknown = check(replace(spec, waivers=(("G04", "notify", "why not"),)))
    assert "`G04` is no rule; did you mean `G004`?" in unknown.findings[-1].message


def test_what_is_in_a_langgraph_graph_is_waived_where_the_graph_is_a_node():
    from langgraph.graph import StateGraph

    from dalsegno import Workflow

    class Text(TypedDict):
        text: str

    def turns(name):
        plain = StateGraph(Text).add_node("agent", lambda s: s).add_node("tools", lambda s: s)
        plain.add_edge(START, "agent").add_edge("tools", "agent")
        plain.add_conditional_edges("agent", lambda s: "end", {"end": END, "tools": "tools"})
        inner = plain.compile(name=name)
        return StateGraph(Text).add_node("in", inner).add_edge(START, "in").add_edge("in", END).compile()

    graph = turns("inner")
    flow = Workflow("outer", Text)
    flow.add_node("a/b", graph).add_node("c", graph)
    flow.add_edge(START, "a/b").add_edge("a/b", "c").add_edge("c", END)
    flow.waive("T101", "a/b/in/tools->agent", "it ends by itself").waive("T101", "a/b/in/agent->END", "no")
    report = flow.validate()
    assert [w.reason for w in report.waived] == ["it ends by itself"]
    assert [(f.code, f.path[:2]) for f in report.findings if f.code in ("T101", "W001")] == [
        ("T101", ("c", "in")),
        ("W001", ("a/b", "in")),
    ]
    assert flow.waive("T101", "c/in/agent", "too").validate().ok


def test_a_waiver_may_name_an_edge():
    spec = endless(True)
    assert check(replace(spec, waivers=(("T101", "act->plan", "people stop it"),))).ok


def test_a_finding_says_where_its_edge_was_written():
    made = Builder("plan").edge(START, "plan")
    made.edges.append(EdgeSpec("plan", "plan", kind="static", where=Place("app.py", 7)))
    found = check(made.spec(), select="T101").findings
    assert found[0].where == "app.py:7"


def test_errors_are_raised_all_at_once_and_carry_the_report():
    report = check(unknown_node(True))
    with pytest.raises(WorkflowInvalid) as raised:
        report.raise_for_errors()
    assert raised.value.report is report
    assert raised.value.findings == report.findings
    assert str(raised.value) == (
        "workflow `flow` has 2 errors:\n"
        "  G001 edge plan → serch: no node `serch`; did you mean `search`?\n"
        "  G003 `search` cannot be reached from START. Add an edge to it, or delete it."
    )
    check(unknown_node(False)).raise_for_errors()


def test_the_findings_of_a_subworkflow_are_told_once_with_the_way_to_it():
    child = endless(True)
    made = Builder(
        NodeSpec("one", child=child, kind="subworkflow"), NodeSpec("two", child=child, kind="subworkflow")
    )
    report = check(made.edge(START, "one").edge("one", "two").edge("two", END).spec("parent"))
    assert [f.code for f in report.findings] == ["T101"]
    assert report.findings[0].message.startswith("in subworkflow `one`: cycle plan → act → plan has no bound")
    assert report.findings[0].path == ("one", START, "plan", "act", "plan")
    assert report.certificate is None


def test_the_report_is_written_as_json_with_the_keys_of_the_contract():
    report = check(endless(False)).to_dict()
    assert list(report) == ["workflow", "ok", "findings", "certificate"]
    assert list(report["certificate"]) == [
        "supersteps", "executions", "model_calls", "seconds", "exact", "witness", "assumptions", "fingerprint",
    ]  # fmt: skip
    finding = check(endless(True)).to_dict()["findings"][0]
    assert list(finding) == ["code", "severity", "message", "path", "where", "fix"]


def read_from_langgraph(made: Builder) -> WorkflowSpec:
    return made.spec(exact_choices=False)


def test_a_graph_that_cannot_carry_bounds_is_told_which_can():
    made = Builder("a", "b").edge(START, "a").edge("a", "b").edge("b", "a")
    (found,) = (f for f in check(read_from_langgraph(made)).findings if f.code == "T101")
    assert found.message.endswith(
        'Use Loop("a", max=...) for the way back: a StateGraph cannot carry it, a dalsegno Workflow can.'
    )
    made = Builder("a", "b").edge(START, "a").edge("b", END)
    made.edges.append(EdgeSpec("a", "b", kind="choice", router="r", label="b", many=True, fans_out=True))
    (found,) = check(read_from_langgraph(made)).findings
    assert found.code == "T104"
    assert found.message.endswith(
        'Use Each("b", max=...): a StateGraph cannot carry it, a dalsegno Workflow can.'
    )


@pytest.mark.parametrize(
    ("edge", "message"),
    [
        (
            {"label": "on error"},
            "the error handler of `a` returns a `Command` but declares no targets. Use `-> Command[Literal[...]]`.",
        ),
        (
            {},
            "`a` returns a `Command` but declares no targets. Use `destinations=` or `-> Command[Literal[...]]`.",
        ),
        (
            {"router": "r", "fans_out": True},
            "the router of `a` sends to nodes that it does not declare. "
            "Use a list of the nodes it sends to as path_map.",
        ),
    ],
)
def test_what_is_not_declared_is_told_with_what_would_settle_it(edge, message):
    made = Builder(NodeSpec("a", error_handler="h")).edge(START, "a").edge("a", END)
    made.edges.append(EdgeSpec("a", "", kind="unknown", **edge))
    assert [f.message for f in check(made.spec()).findings if f.code == "G002"] == [message]


def test_a_recursion_limit_of_a_compiled_graph_is_compared_with_its_bound():
    from langgraph.graph import StateGraph

    builder = StateGraph(dict).add_node("a", lambda s: s).add_edge(START, "a").add_edge("a", END)
    from dalsegno import validate

    assert [f.code for f in validate(builder.compile().with_config(recursion_limit=1)).findings] == ["T109"]
    assert validate(builder.compile().with_config(recursion_limit=2)).findings == ()
