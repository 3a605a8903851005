"""Every rule on workflows as users write them: some it finds, with the line to look at, and some it must not blame."""

from __future__ import annotations

import operator
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

import pytest
from langgraph.graph import StateGraph
from langgraph.types import Command, Send, interrupt

from dalsegno import END, START, Budget, Each, Loop, RetryPolicy, Workflow, validate

Add = Annotated[list[str], operator.add]


class State(TypedDict, total=False):
    a: str
    b: str
    log: Add


class A(TypedDict, total=False):
    a: str


class B(TypedDict, total=False):
    b: str


class Log(TypedDict, total=False):
    log: Add


class Misspelt(TypedDict, total=False):
    aa: str


def write_aa(state: State) -> Misspelt:
    return {"aa": "1"}


def noop(state: State) -> State:
    return {}


async def anoop(state: State) -> State:
    return {}


def write_a(state: State) -> A:
    return {"a": "1"}


def write_b(state: State) -> B:
    return {"b": "1"}


def write_log(state: State) -> Log:
    return {"log": ["1"]}


def read_a(state: A) -> B:
    return {"b": state["a"]}


def route(state: State) -> str:
    return "x"


def send(state: State) -> list[Send]:
    return []


def ask(state: State) -> State:
    interrupt("?")
    return {}


def new(name: str = "flow", schema: Any = State, **options: Any) -> Workflow:
    return Workflow(name, schema, **options)


def nodes(*names: str, **options: Any) -> Workflow:
    """Nodes that do nothing, the first after START."""
    made = new(**options)
    for name in names:
        made.add_node(name, noop)
    return made.add_edge(START, names[0])


def row(*names: str, **options: Any) -> Workflow:
    """Nodes that do nothing, one after the other."""
    made = nodes(*names, **options)
    for one, other in zip(names, (*names[1:], END), strict=True):
        made.add_edge(one, other)
    return made


Make = Callable[[], Any]
SICK: list[tuple[str, str, Make]] = []
HEALTHY: list[tuple[str, str, Make]] = []


def sick(code: str) -> Callable[[Make], Make]:
    return lambda make: SICK.append((code, make.__name__, make)) or make


def healthy(code: str) -> Callable[[Make], Make]:
    return lambda make: HEALTHY.append((code, make.__name__, make)) or make


# -- G: the graph ---------------------------------------------------------------------------------------


@sick("G001")
def a_loop_is_spent_into_no_node() -> Workflow:
    made = nodes("write", "review").add_edge("write", "review")
    return made.add_conditional_edges(
        "review", route, {"again": Loop("write", max=2, on_exhausted="escalat"), "ok": END}
    )


@sick("G001")
def a_join_waits_for_no_node() -> Workflow:
    return row("a", "b", "c").add_edge(["a", "bb"], "c")


@sick("G001")
def a_command_goes_to_no_node() -> Workflow:
    return new().add_node("a", noop, destinations=("b", END)).add_edge(START, "a")


@healthy("G001")
def a_node_of_an_odd_name() -> Workflow:
    return row('"quoted" <b>', "line\nbreak", "‮right to left")


@healthy("G001")
def a_fan_out_and_a_loop_to_nodes_that_are_added_later() -> Workflow:
    made = new().add_edge(START, "split")
    made.add_conditional_edges("split", send, {"w": Each("work", max=3), "none": END})
    return made.add_node("split", noop).add_node("work", noop).add_edge("work", END)


@sick("G002")
def a_router_of_which_nothing_is_declared() -> Any:
    made = StateGraph(State).add_node("a", noop).add_edge(START, "a")
    return made.add_conditional_edges("a", lambda s: END)


@sick("G002")
def a_command_without_destinations() -> Any:
    def jump(state: State) -> Any:
        return Command(goto=END)

    return StateGraph(State).add_node("a", jump).add_edge(START, "a")


@sick("G002")
def sends_without_destinations() -> Any:
    made = StateGraph(State).add_node("a", noop).add_node("b", noop).add_edge(START, "a").add_edge("b", END)
    return made.add_conditional_edges("a", send)


@healthy("G002")
def a_router_that_says_where_it_goes_in_its_return_type() -> Any:
    def decide(state: State) -> Literal["b", "__end__"]:
        return "b"

    made = nodes("a", "b").add_edge("b", END)
    return made.add_conditional_edges("a", decide)


@healthy("G002")
def a_start_that_decides() -> Any:
    made = new().add_node("a", noop).add_node("b", noop).add_edge("a", END).add_edge("b", END)
    return made.add_conditional_edges(START, route, ["a", "b"])


@sick("G003")
def a_node_behind_a_loop_of_no_rounds() -> Workflow:
    made = nodes("a", "b").add_edge("b", END)
    return made.add_conditional_edges("a", route, {"never": Loop("b", max=0, on_exhausted=END), "ok": END})


@sick("G003")
def two_nodes_that_lead_to_each_other_only() -> Workflow:
    made = row("a").add_node("b", noop).add_node("c", noop).add_edge("b", "c")
    return made.add_conditional_edges("c", route, {"b": Loop("b", max=1, on_exhausted=END)})


@sick("G003")
def nothing_after_start() -> Workflow:
    return new().add_node("a", noop).add_edge("a", END)


@healthy("G003")
def a_node_that_only_a_failure_leads_to() -> Workflow:
    def sorry(state: State) -> Command[Literal["repair"]]:
        return Command(goto="repair")

    made = new().add_node("pay", noop, error_handler=sorry).add_node("repair", noop)
    return made.add_edge(START, "pay").add_edge("pay", END).add_edge("repair", END)


@healthy("G003")
def a_node_that_only_compensates() -> Workflow:
    made = new().add_node("charge", noop, effect=True, compensate="refund").add_node("refund", noop)
    return made.add_edge(START, "charge").add_edge("charge", END)


@healthy("G003")
def a_node_that_only_a_spent_loop_leads_to() -> Workflow:
    made = nodes("try", "escalate").add_edge("escalate", END)
    return made.add_conditional_edges(
        "try", route, {"again": Loop("try", max=2, on_exhausted="escalate"), "ok": END}
    )


@sick("G004")
def a_branch_that_was_forgotten() -> Workflow:
    return nodes("a", "b", "c").add_edge("a", "b").add_edge("a", "c").add_edge("b", END)


@sick("G004")
def a_target_of_a_fan_out_that_leads_nowhere() -> Workflow:
    return nodes("split", "work").add_conditional_edges("split", send, [Each("work", max=3)])


@healthy("G004")
def a_command_to_the_end() -> Workflow:
    return new().add_node("a", noop, destinations=(END,)).add_edge(START, "a")


@healthy("G004")
def a_node_that_a_join_waits_for() -> Workflow:
    made = nodes("go", "a", "b", "c").add_edge("go", "a").add_edge("go", "b")
    return made.add_edge(["a", "b"], "c").add_edge("c", END)


@sick("G005")
def a_command_beside_a_static_edge_to_the_end() -> Workflow:
    made = new().add_node("a", noop, destinations=("b",)).add_node("b", noop).add_edge(START, "a")
    return made.add_edge("a", END).add_edge("b", END)


@sick("G005")
def a_typed_command_beside_a_static_edge() -> Workflow:
    def jump(state: State) -> Command[Literal["c"]]:
        return Command(goto="c")

    made = new().add_node("a", jump).add_node("b", noop).add_node("c", noop).add_edge(START, "a")
    return made.add_edge("a", "b").add_edge("b", END).add_edge("c", END)


@healthy("G005")
def two_static_edges() -> Workflow:
    return nodes("a", "b", "c").add_edge("a", "b").add_edge("a", "c").add_edge("b", END).add_edge("c", END)


@healthy("G005")
def a_handoff_among_commands_only() -> Workflow:
    made = new().add_node("a", noop, destinations=("b", END)).add_node("b", noop, destinations=(END,))
    return made.add_edge(START, "a")


@sick("G006")
def a_handler_that_stops_a_chain() -> Workflow:
    made = new().add_node("pay", noop, error_handler=noop).add_node("ship", noop).add_edge(START, "pay")
    return made.add_edge("pay", "ship").add_edge("ship", END)


@sick("G006")
def a_handler_that_starves_a_join() -> Workflow:
    made = new().add_node("a", noop, error_handler=noop).add_node("b", noop).add_node("c", noop)
    made.add_edge(START, "a").add_edge(START, "b").add_edge(["a", "b"], "c")
    return made.add_edge("c", END)


@healthy("G006")
def a_handler_of_the_last_node() -> Workflow:
    return new().add_node("pay", noop, error_handler=noop).add_edge(START, "pay").add_edge("pay", END)


@healthy("G006")
def a_handler_that_goes_on() -> Workflow:
    def sorry(state: State) -> Command[Literal["ship"]]:
        return Command(goto="ship")

    made = new().add_node("pay", noop, error_handler=sorry).add_node("ship", noop).add_edge(START, "pay")
    return made.add_edge("pay", "ship").add_edge("ship", END)


# -- T: the end -----------------------------------------------------------------------------------------


@sick("T101")
def a_supervisor_without_a_bound() -> Workflow:
    made = nodes("lead", "ann", "bob").add_edge("ann", "lead").add_edge("bob", "lead")
    return made.add_conditional_edges("lead", route, {"ann": "ann", "bob": "bob", "done": END})


@sick("T101")
def a_bounded_and_an_unbounded_way_back() -> Workflow:
    made = nodes("a", "b").add_edge("a", "b")
    made.add_conditional_edges("b", route, {"again": Loop("a", max=2, on_exhausted=END), "ok": END})
    return made.add_conditional_edges("b", lambda s: "x", {"also": "a", "no": END})


@sick("T101")
def two_agents_that_hand_over_without_a_bound() -> Workflow:
    made = new().add_node("a", noop, destinations=("b", END)).add_node("b", noop, destinations=("a", END))
    return made.add_edge(START, "a")


@sick("T101")
def a_spent_loop_that_leads_back() -> Workflow:
    made = nodes("a", "b").add_edge("a", "b")
    return made.add_conditional_edges("b", route, {"again": Loop("b", max=2, on_exhausted="a"), "ok": END})


@healthy("T101")
def a_supervisor_with_a_bound_for_each_worker() -> Workflow:
    made = nodes("lead", "ann", "bob").add_edge("ann", "lead").add_edge("bob", "lead")
    return made.add_conditional_edges(
        "lead",
        route,
        {n: Loop(n, max=4, on_exhausted=END) for n in ("ann", "bob")} | {"done": END},
    )


@healthy("T101")
def a_loop_in_a_loop_with_a_join_inside() -> Workflow:
    made = nodes("plan", "x", "y", "merge", "check").add_edge("plan", "x").add_edge("plan", "y")
    made.add_edge(["x", "y"], "merge").add_edge("merge", "check")
    return made.add_conditional_edges(
        "check",
        route,
        {
            "merge": Loop("check", max=2, on_exhausted=END),
            "replan": Loop("plan", max=2, on_exhausted=END),
            "ok": END,
        },
    )


@sick("T102")
def a_loop_without_a_way_out() -> Workflow:
    return nodes("a").add_conditional_edges("a", route, {"again": Loop("a", max=3), "ok": END})


@sick("T102")
def a_command_that_goes_back_without_a_way_out() -> Workflow:
    made = new().add_node("a", noop, destinations=(Loop("a", max=3), END))
    return made.add_edge(START, "a")


@healthy("T102")
def a_loop_that_is_spent_into_another() -> Workflow:
    made = nodes("a", "b").add_edge("a", "b")
    back = Loop("b", max=2, on_exhausted=Loop("a", max=1, on_exhausted=END))
    return made.add_conditional_edges("b", route, {"again": back, "ok": END})


@healthy("T102")
def a_bounded_handoff() -> Workflow:
    made = new().add_node("a", noop, destinations=("b", END))
    made.add_node("b", noop, destinations=(Loop("a", max=3, on_exhausted=END), END))
    return made.add_edge(START, "a")


@sick("T103")
def a_sent_to_node_that_goes_back_by_a_command() -> Workflow:
    made = nodes("split").add_conditional_edges("split", send, [Each("work", max=3)])
    return made.add_node("work", noop, destinations=(Loop("work", max=2, on_exhausted=END), END))


@sick("T103")
def a_sent_to_node_that_sends_the_whole_back() -> Workflow:
    made = nodes("split", "work").add_conditional_edges("split", send, [Each("work", max=3)])
    return made.add_conditional_edges(
        "work", route, {"again": Loop("split", max=2, on_exhausted=END), "ok": END}
    )


@healthy("T103")
def a_loop_around_the_fan_out() -> Workflow:
    made = nodes("split", "work", "merge").add_conditional_edges("split", send, [Each("work", max=3)])
    made.add_edge("work", "merge")
    return made.add_conditional_edges(
        "merge", route, {"again": Loop("split", max=2, on_exhausted=END), "ok": END}
    )


@healthy("T103")
def a_loop_in_a_subworkflow_that_is_sent_to() -> Workflow:
    inner = nodes("try", name="inner").add_conditional_edges(
        "try", route, {"again": Loop("try", max=2, on_exhausted=END), "ok": END}
    )
    made = (
        nodes("split")
        .add_node("work", inner, outputs={"log": "log"})
        .add_conditional_edges("split", send, [Each("work", max=3)])
    )
    return made.add_edge("work", END)


@sick("T104")
def a_fan_out_without_a_maximum() -> Workflow:
    made = nodes("split", "work").add_conditional_edges("split", send, [Each("work"), END])
    return made.add_edge("work", END)


@sick("T104")
def a_fan_out_in_a_subworkflow_without_a_maximum() -> Workflow:
    inner = nodes("split", "work", name="inner").add_conditional_edges("split", send, [Each("work")])
    return new().add_node("sub", inner.add_edge("work", END)).add_edge(START, "sub").add_edge("sub", END)


@healthy("T104")
def a_fan_out_of_one() -> Workflow:
    made = nodes("split", "work").add_conditional_edges("split", send, [Each("work", max=1)])
    return made.add_edge("work", END)


@healthy("T104")
def two_fan_outs_of_one_router() -> Workflow:
    made = nodes("split", "x", "y")
    made.add_conditional_edges("split", send, [Each("x", max=2), Each("y", max=9)])
    return made.add_edge("x", END).add_edge("y", END)


@sick("T105")
def more_model_calls_than_budgeted() -> Workflow:
    made = new(budget=Budget(model_calls=3)).add_node("a", noop, calls=2).add_edge(START, "a")
    return made.add_conditional_edges("a", route, {"again": Loop("a", max=1, on_exhausted=END), "ok": END})


@sick("T105")
def more_seconds_than_budgeted() -> Workflow:
    made = new(budget=Budget(seconds=10)).add_node("a", noop, timeout=6).add_node("b", anoop, timeout=6)
    return made.add_edge(START, "a").add_edge("a", "b").add_edge("b", END)


@healthy("T105")
def exactly_as_many_supersteps_as_budgeted() -> Workflow:
    return row("a", "b", "c", budget=Budget(supersteps=3))


@healthy("T105")
def branches_that_run_at_the_same_time() -> Workflow:
    made = new(budget=Budget(seconds=6))
    for name in ("a", "b"):
        made.add_node(name, noop, timeout=6).add_edge(START, name).add_edge(name, END)
    return made


@sick("T106")
def loops_of_which_a_run_can_walk_one_only() -> Workflow:
    made = nodes("r", "b", "c", "d", "end").add_conditional_edges("r", route, ["b", "c", "d"])
    for name in ("b", "c", "d"):
        made.add_conditional_edges(name, route, {"more": Loop(name, max=4, on_exhausted="end"), "ok": "end"})
    return made.add_conditional_edges("end", route, {"again": Loop("r", max=1, on_exhausted=END), "ok": END})


@healthy("T106")
def loops_in_a_row() -> Workflow:
    made = nodes("a", "b")
    made.add_conditional_edges("a", route, {"more": Loop("a", max=4, on_exhausted="b"), "ok": "b"})
    return made.add_conditional_edges("b", route, {"more": Loop("b", max=4, on_exhausted=END), "ok": END})


@healthy("T106")
def a_loop_around_a_loop() -> Workflow:
    made = nodes("a", "b").add_edge("a", "b")
    targets = {"inner": Loop("b", max=3, on_exhausted=END), "outer": Loop("a", max=3, on_exhausted=END)}
    return made.add_conditional_edges("b", route, targets | {"ok": END})


@sick("T107")
def one_node_without_a_timeout() -> Workflow:
    made = new(budget=Budget(seconds=10)).add_node("a", noop, timeout=6).add_node("b", anoop)
    return made.add_edge(START, "a").add_edge("a", "b").add_edge("b", END)


@sick("T107")
def a_node_in_a_subworkflow_without_a_timeout() -> Workflow:
    made = new(budget=Budget(seconds=10)).add_node("sub", row("x", name="inner"))
    return made.add_edge(START, "sub").add_edge("sub", END)


@healthy("T107")
def nobody_budgets_seconds() -> Workflow:
    return row("a", "b", budget=Budget(supersteps=9))


@healthy("T107")
def retries_within_the_budget() -> Workflow:
    retry = RetryPolicy(max_attempts=2, initial_interval=1, max_interval=1, jitter=False)
    made = new(budget=Budget(seconds=11)).add_node("a", noop, timeout=5, retry=retry)
    return made.add_edge(START, "a").add_edge("a", END)


@sick("T110")
def a_timed_subworkflow_with_a_synchronous_node() -> Workflow:
    made = new(budget=Budget(seconds=10)).add_node("sub", row("x", name="inner"), timeout=5)
    return made.add_edge(START, "sub").add_edge("sub", END)


@sick("T110")
def a_timed_subworkflow_with_one_further_in() -> Workflow:
    inner = (
        new("middle").add_node("deep", row("x", name="inner")).add_edge(START, "deep").add_edge("deep", END)
    )
    made = new(budget=Budget(seconds=10)).add_node("sub", inner, timeout=5)
    return made.add_edge(START, "sub").add_edge("sub", END)


@healthy("T110")
def a_synchronous_node_with_a_timeout() -> Workflow:
    made = new(budget=Budget(seconds=5)).add_node("a", noop, timeout=5)
    return made.add_edge(START, "a").add_edge("a", END)


@healthy("T110")
def a_timed_subworkflow_of_coroutines() -> Workflow:
    inner = new("inner").add_node("x", anoop).add_edge(START, "x").add_edge("x", END)
    made = new(budget=Budget(seconds=5)).add_node("sub", inner, timeout=5)
    return made.add_edge(START, "sub").add_edge("sub", END)


# -- S: branches, joins and ends ------------------------------------------------------------------------


@sick("S201")
def a_join_after_a_decision_two_steps_before() -> Workflow:
    made = nodes("r", "a", "b", "a2", "c").add_conditional_edges("r", route, {"a": "a", "b": "b"})
    return made.add_edge("a", "a2").add_edge(["a2", "b"], "c").add_edge("c", END)


@sick("S201")
def a_join_of_some_of_a_supervisors_workers() -> Workflow:
    made = nodes("lead", "a", "b", "sum").add_conditional_edges(
        "lead", route, {"a": "a", "b": "b"}, many=True
    )
    return made.add_edge(["a", "b"], "sum").add_edge("sum", END)


@healthy("S201")
def a_join_of_branches_that_both_decide() -> Workflow:
    made = nodes("go", "a", "b", "a1", "a2", "merge", "c").add_edge("go", "a").add_edge("go", "b")
    made.add_conditional_edges("a", route, {"1": "a1", "2": "a2"}).add_edge("a1", "merge").add_edge(
        "a2", "merge"
    )
    return made.add_edge(["merge", "b"], "c").add_edge("c", END)


@healthy("S201")
def a_join_with_what_all_choices_of_several_lead_to() -> Workflow:
    made = nodes("go", "web", "docs", "found", "c").add_edge("web", "found").add_edge("docs", "found")
    made.add_conditional_edges("go", route, {"web": "web", "docs": "docs"}, many=True)
    return made.add_edge(["go", "found"], "c").add_edge("c", END)


@sick("S201")
def a_join_with_what_all_but_one_choice_of_several_lead_to() -> Workflow:
    made = nodes("go", "web", "docs", "found", "c").add_edge("web", "found").add_edge("docs", "found")
    made.add_conditional_edges("go", route, {"web": "web", "docs": "docs", "none": END}, many=True)
    return made.add_edge(["go", "found"], "c").add_edge("c", END)


@sick("S201")
def a_join_of_two_that_a_choice_of_several_leads_to_apart() -> Workflow:
    made = nodes("go", "web", "docs", "found", "c").add_edge("web", "found").add_edge("docs", "found")
    made.add_conditional_edges("go", route, {"web": "web", "docs": "docs"}, many=True)
    return made.add_edge(["web", "found"], "c").add_edge("c", END)


@healthy("S201")
def a_join_after_a_loop_in_one_branch() -> Workflow:
    made = nodes("go", "try", "tried", "other", "c").add_edge("go", "try").add_edge("go", "other")
    made.add_conditional_edges(
        "try", route, {"again": Loop("try", max=2, on_exhausted="tried"), "ok": "tried"}
    )
    return made.add_edge(["tried", "other"], "c").add_edge("c", END)


@sick("S202")
def a_short_cut_beside_a_chain() -> Workflow:
    made = (
        nodes("a", "b", "c", "d").add_edge("a", "b").add_edge("b", "c").add_edge("c", "d").add_edge("d", END)
    )
    return made.add_edge("a", "d")


@sick("S202")
def a_fan_in_of_branches_of_unequal_length() -> Workflow:
    made = nodes("go", "x", "y", "y2", "sum").add_edge("go", "x").add_edge("go", "y").add_edge("y", "y2")
    return made.add_edge("x", "sum").add_edge("y2", "sum").add_edge("sum", END)


@healthy("S202")
def a_bypass_by_decision() -> Workflow:
    made = nodes("a", "b", "c").add_conditional_edges("a", route, {"long": "b", "short": "c"})
    return made.add_edge("b", "c").add_edge("c", END)


@healthy("S202")
def a_fan_out_or_one_way_on() -> Workflow:
    made = nodes("lead", "left", "right", "sum", "end").add_edge("left", "sum").add_edge("right", "sum")
    made.add_conditional_edges(
        "lead", route, {"done": "end", "l": Each("left", max=3), "r": Each("right", max=3)}
    )
    return made.add_edge("sum", "end").add_edge("end", END)


@healthy("S202")
def a_deferred_sum_of_branches_of_unequal_length() -> Workflow:
    made = (
        nodes("go", "x", "y", "y2").add_node("sum", noop, defer=True).add_edge("go", "x").add_edge("go", "y")
    )
    return made.add_edge("y", "y2").add_edge("x", "sum").add_edge("y2", "sum").add_edge("sum", END)


@sick("S203")
def a_waiting_room() -> Workflow:
    made = nodes("a", "b", "c").add_edge("b", "c").add_edge("c", "b")
    return made.add_conditional_edges("a", route, {"wait": "b", "ok": END})


@sick("S203")
def a_loop_that_is_its_own_way_out() -> Workflow:
    return nodes("a").add_conditional_edges("a", route, {"again": Loop("a", max=2, on_exhausted="a")})


@healthy("S203")
def a_loop_of_which_the_end_is_the_only_way_out() -> Workflow:
    made = nodes("a").add_conditional_edges("a", route, {"again": Loop("a", max=2, on_exhausted=END)})
    return made.waive("T112", "a", "three times, always")


@healthy("S203")
def an_end_behind_a_join() -> Workflow:
    return nodes("go", "a", "b").add_edge("go", "a").add_edge("go", "b").add_edge(["a", "b"], END)


@sick("S204")
def a_guard_beside_the_work() -> Workflow:
    made = (
        nodes("guard", "work", "more").add_edge(START, "work").add_edge("work", "more").add_edge("more", END)
    )
    return made.add_conditional_edges("guard", route, {"stop": END, "go": "more"})


@sick("S204")
def a_guard_by_command_beside_the_work() -> Workflow:
    made = nodes("work", "more", "then").add_node("guard", noop, destinations=("then", END))
    made.add_edge(START, "guard").add_edge("work", "more").add_edge("more", END)
    return made.add_edge("then", END)


@healthy("S204")
def a_guard_before_the_work() -> Workflow:
    made = nodes("guard", "x", "y", "sum").add_conditional_edges("guard", route, {"stop": END, "go": "x"})
    return made.add_edge("x", "y").add_edge("y", "sum").add_edge("sum", END)


@healthy("S204")
def a_decision_after_the_join() -> Workflow:
    made = nodes("go", "a", "b", "c", "d").add_edge("go", "a").add_edge("go", "b").add_edge(["a", "b"], "c")
    return made.add_conditional_edges("c", route, {"stop": END, "go": "d"}).add_edge("d", END)


@sick("S205")
def a_join_of_a_node_that_repeats_itself() -> Workflow:
    made = nodes("go", "poll", "other", "c").add_edge("go", "poll").add_edge("go", "other")
    made.add_conditional_edges("poll", route, {"again": Loop("poll", max=3, on_exhausted=END), "ok": END})
    return made.add_edge(["poll", "other"], "c").add_edge("c", END)


@sick("S205")
def a_join_with_a_node_inside_a_longer_loop() -> Workflow:
    made = nodes("go", "a", "check", "other", "c").add_edge("go", "a").add_edge("go", "other")
    made.add_edge("a", "check")
    made.add_conditional_edges("check", route, {"again": Loop("a", max=3, on_exhausted=END), "ok": END})
    return made.add_edge(["check", "other"], "c").add_edge("c", END)


@sick("S205")
def a_join_with_what_follows_every_round_of_a_loop() -> Workflow:
    made = nodes("go", "poll", "note", "other", "c").add_edge("go", "poll").add_edge("go", "other")
    made.add_conditional_edges("poll", route, {"again": Loop("poll", max=3, on_exhausted=END), "ok": END})
    return made.add_edge("poll", "note").add_edge(["note", "other"], "c").add_edge("c", END)


@healthy("S205")
def a_join_of_two_that_follow_every_round_of_a_loop() -> Workflow:
    made = nodes("go", "a", "note", "check", "tell", "c", "d").add_edge("go", "a").add_edge("a", "check")
    made.add_conditional_edges("check", route, {"again": Loop("a", max=3, on_exhausted="d"), "ok": "d"})
    made.add_edge("a", "note").add_edge("note", "tell")
    return made.add_edge(["tell", "check"], "c").add_edge("c", END).add_edge("d", END)


@healthy("S205")
def a_join_inside_a_loop() -> Workflow:
    made = nodes("go", "a", "b", "c").add_edge("go", "a").add_edge("go", "b").add_edge(["a", "b"], "c")
    return made.add_conditional_edges("c", route, {"again": Loop("go", max=3, on_exhausted=END), "ok": END})


@healthy("S205")
def a_join_after_two_loops() -> Workflow:
    made = nodes("go", "a", "a2", "b", "b2", "c").add_edge("go", "a").add_edge("go", "b")
    for name in ("a", "b"):
        done = f"{name}2"
        made.add_conditional_edges(name, route, {"more": Loop(name, max=2, on_exhausted=done), "ok": done})
    return made.add_edge(["a2", "b2"], "c").add_edge("c", END)


@healthy("S205")
def a_loop_that_ends_before_the_join() -> Workflow:
    made = nodes("a", "a_done", "c").add_node("b", noop).add_edge(START, "b").add_edge("c", END)
    targets = {"more": Loop("a", max=2, on_exhausted="a_done"), "ok": "a_done"}
    return made.add_conditional_edges("a", route, targets).add_edge(["a_done", "b"], "c")


@sick("S206")
def a_fan_out_to_nobody() -> Workflow:
    made = nodes("split", "work", "x").add_edge("work", END).add_edge("x", "work")
    return made.add_conditional_edges("split", send, [Each("work", max=0), "x"])


@sick("S206")
def the_way_out_of_a_loop_that_does_not_lead_back() -> Workflow:
    made = nodes("a", "b", "c").add_edge("b", END).add_edge("c", END)
    return made.add_conditional_edges("a", route, {"on": Loop("b", max=2, on_exhausted="c"), "ok": END})


@healthy("S206")
def two_answers_that_lead_to_the_same_node() -> Workflow:
    made = nodes("a", "b").add_edge("b", END)
    return made.add_conditional_edges("a", route, {"yes": "b", "sure": "b", "no": END})


@healthy("S206")
def two_loops_of_one_router_to_the_same_node() -> Workflow:
    made = nodes("a", "b").add_edge("a", "b")
    targets = {n: Loop("a", max=m, on_exhausted=END) for n, m in (("fix", 2), ("redo", 1))}
    return made.add_conditional_edges("b", route, targets | {"ok": END})


# -- D: the state ---------------------------------------------------------------------------------------


@sick("D301")
def two_branches_that_write_the_same_key() -> Workflow:
    made = nodes("go").add_node("x", write_a).add_node("y", write_a)
    return made.add_edge("go", "x").add_edge("go", "y").add_edge("x", END).add_edge("y", END)


@sick("D301")
def the_tasks_of_a_fan_out_that_write_the_same_key() -> Workflow:
    made = nodes("split").add_node("work", write_a).add_edge("work", END)
    return made.add_conditional_edges("split", send, [Each("work", max=2)])


@sick("D301")
def subworkflows_that_are_sent_to_and_hand_every_key_back() -> Workflow:
    made = nodes("split").add_node("work", row("x", name="inner")).add_edge("work", END)
    return made.add_conditional_edges("split", send, [Each("work", max=2)])


@healthy("D301")
def one_of_two_writers_is_chosen() -> Workflow:
    made = nodes("r").add_node("x", write_a).add_node("y", write_a)
    return made.add_conditional_edges("r", route, ["x", "y"]).add_edge("x", END).add_edge("y", END)


@healthy("D301")
def a_key_is_written_before_and_after_a_join() -> Workflow:
    made = nodes("go").add_node("x", write_a).add_node("y", write_b).add_node("z", write_a)
    made.add_edge("go", "x").add_edge("go", "y").add_edge(["x", "y"], "z")
    return made.add_edge("z", END)


@healthy("D301")
def subworkflows_side_by_side_that_hand_nothing_back() -> Workflow:
    made = nodes("go")
    for name in ("x", "y"):
        made.add_node(name, row("a", name="inner"), outputs={}).add_edge("go", name).add_edge(name, END)
    return made


@sick("D302")
def a_subworkflow_that_hands_nothing_back_before_a_reader() -> Workflow:
    made = new(input_schema=B).add_node("sub", row("a", name="inner"), outputs={}).add_node("use", read_a)
    return made.add_edge(START, "sub").add_edge("sub", "use").add_edge("use", END)


@sick("D302")
def a_decision_that_passes_the_writer_by() -> Workflow:
    made = (
        new()
        .add_node("r", noop, reads=(), writes=())
        .add_edge(START, "r")
        .add_node("write", write_a, reads=())
        .add_node("use", read_a)
        .add_edge("write", "use")
    )
    return made.add_conditional_edges("r", route, ["write", "use"]).add_edge("use", END)


@sick("D302")
def a_key_of_no_input_schema() -> Workflow:
    made = new(input_schema=B).add_node("use", read_a).add_edge(START, "use").add_edge("use", END)
    return made


@healthy("D302")
def a_key_that_every_branch_writes() -> Workflow:
    made = nodes("r", input_schema=B).add_node("x", write_a).add_node("y", write_a).add_node("use", read_a)
    made.add_conditional_edges("r", route, ["x", "y"]).add_edge("x", "use").add_edge("y", "use")
    return made.add_edge("use", END)


@healthy("D302")
def a_key_that_comes_with_the_input() -> Workflow:
    return new(input_schema=A).add_node("use", read_a).add_edge(START, "use").add_edge("use", END)


@healthy("D302")
def a_worker_with_a_state_of_its_own_that_is_sent_what_it_reads() -> Workflow:
    made = new(input_schema=B).add_node("plan", write_b).add_node("work", read_a)
    made.add_edge(START, "plan").add_edge("work", END)
    return made.add_conditional_edges("plan", route, [Each("work", max=5), END])


@sick("D303")
def a_scratch_key() -> Workflow:
    made = new(output_schema=B).add_node("x", write_a, reads=()).add_node("y", write_b, reads=())
    return made.add_edge(START, "x").add_edge("x", "y").add_edge("y", END)


@sick("D303")
def a_log_that_nobody_asks_for() -> Workflow:
    made = new(output_schema=B).add_node("x", write_log, reads=()).add_node("y", write_b, reads=())
    return made.add_edge(START, "x").add_edge("x", "y").add_edge("y", END)


@healthy("D303")
def a_scratch_key_that_is_read() -> Workflow:
    made = new(output_schema=B).add_node("x", write_a, reads=()).add_node("y", read_a)
    return made.add_edge(START, "x").add_edge("x", "y").add_edge("y", END)


@healthy("D303")
def a_node_that_may_read_anything() -> Workflow:
    made = new(output_schema=B).add_node("x", write_a).add_node("y", noop)
    return made.add_edge(START, "x").add_edge("x", "y").add_edge("y", END)


@sick("D304")
def branches_that_append_to_one_list() -> Workflow:
    made = nodes("go").add_node("x", write_log).add_node("y", write_log)
    return made.add_edge("go", "x").add_edge("go", "y").add_edge("x", END).add_edge("y", END)


@sick("D304")
def deferred_nodes_that_append_to_one_list() -> Workflow:
    made = nodes("go").add_node("x", write_log, defer=True).add_node("y", write_log, defer=True)
    return made.add_edge("go", "x").add_edge("go", "y").add_edge("x", END).add_edge("y", END)


@healthy("D304")
def the_tasks_of_a_fan_out_append_in_the_order_they_were_sent() -> Workflow:
    made = nodes("split").add_node("work", write_log).add_edge("work", END)
    return made.add_conditional_edges("split", send, [Each("work", max=2)])


@healthy("D304")
def a_sum_that_does_not_depend_on_order() -> Workflow:
    class Count(TypedDict, total=False):
        n: Annotated[int, operator.add]

    made = new(schema=Count)
    for name in ("x", "y"):
        made.add_node(name, lambda s: {"n": 1}, writes=["n"]).add_edge(START, name).add_edge(name, END)
    return made


@sick("D305")
def a_subworkflow_that_shares_nothing() -> Workflow:
    class Other(TypedDict, total=False):
        z: str

    inner = Workflow("inner", Other).add_node("x", lambda s: {}).add_edge(START, "x").add_edge("x", END)
    return new().add_node("sub", inner).add_edge(START, "sub").add_edge("sub", END)


@sick("D305")
def a_map_to_a_key_that_is_none() -> Workflow:
    made = new().add_node("sub", row("x", name="inner"), inputs={"a": "aa"}, outputs={"b": "b"})
    return made.add_edge(START, "sub").add_edge("sub", END)


@healthy("D305")
def keys_of_the_same_name() -> Workflow:
    return new().add_node("sub", row("x", name="inner")).add_edge(START, "sub").add_edge("sub", END)


@healthy("D305")
def keys_that_are_mapped_crosswise() -> Workflow:
    made = new().add_node("sub", row("x", name="inner"), inputs={"a": "b"}, outputs={"a": "b"})
    return made.add_edge(START, "sub").add_edge("sub", END)


@sick("D306")
def a_misspelt_return_type() -> Workflow:
    return new().add_node("n", write_aa).add_edge(START, "n").add_edge("n", END)


@sick("D306")
def a_misspelt_declaration() -> Workflow:
    return new().add_node("n", noop, writes=["logg"]).add_edge(START, "n").add_edge("n", END)


@healthy("D306")
def a_part_of_the_state() -> Workflow:
    return new().add_node("n", write_log).add_edge(START, "n").add_edge("n", END)


@healthy("D306")
def a_plain_dictionary() -> Workflow:
    def node(state: State) -> dict[str, Any]:
        return {"a": "1"}

    return new().add_node("n", node).add_edge(START, "n").add_edge("n", END)


# -- R: resilience --------------------------------------------------------------------------------------


@sick("R401")
def an_order_that_is_paid_and_then_shipped() -> Workflow:
    made = new().add_node("pay", noop, effect=True).add_node("pack", noop).add_node("ship", noop, effect=True)
    return made.add_edge(START, "pay").add_edge("pay", "pack").add_edge("pack", "ship").add_edge("ship", END)


@sick("R401")
def one_of_two_effects_that_is_undone() -> Workflow:
    made = new().add_node("pay", noop, effect=True, compensate="refund").add_node("book", noop, effect=True)
    made.add_node("ship", noop, effect=True).add_node("refund", noop)
    return made.add_edge(START, "pay").add_edge("pay", "book").add_edge("book", "ship").add_edge("ship", END)


@healthy("R401")
def an_effect_at_the_end() -> Workflow:
    made = nodes("draft").add_node("send", noop, effect=True).add_edge("draft", "send")
    return made.add_edge("send", END)


@healthy("R401")
def effects_of_which_one_is_chosen() -> Workflow:
    made = nodes("r").add_node("x", noop, effect=True).add_node("y", noop, effect=True)
    return made.add_conditional_edges("r", route, ["x", "y"]).add_edge("x", END).add_edge("y", END)


@sick("R402")
def an_effect_before_a_question() -> Workflow:
    return new().add_node("n", ask, effect=True, interrupts=1).add_edge(START, "n").add_edge("n", END)


@sick("R402")
def an_effect_between_two_questions() -> Workflow:
    return new().add_node("n", ask, effect=True, interrupts=2).add_edge(START, "n").add_edge("n", END)


@healthy("R402")
def a_question_and_then_an_effect() -> Workflow:
    made = new().add_node("ask", ask, interrupts=1).add_node("send", noop, effect=True)
    return made.add_edge(START, "ask").add_edge("ask", "send").add_edge("send", END)


@healthy("R402")
def an_idempotent_effect_before_a_question() -> Workflow:
    made = new().add_node("n", ask, effect=True, idempotent=True, interrupts=1)
    return made.add_edge(START, "n").add_edge("n", END)


@sick("R403")
def an_effect_that_is_retried() -> Workflow:
    made = new().add_node("n", noop, effect=True, retry=RetryPolicy(max_attempts=2))
    return made.add_edge(START, "n").add_edge("n", END)


@sick("R403")
def an_effect_that_the_defaults_retry() -> Workflow:
    made = new().set_node_defaults(retry_policy=RetryPolicy(max_attempts=4)).add_node("n", noop, effect=True)
    return made.add_edge(START, "n").add_edge("n", END)


@healthy("R403")
def an_idempotent_effect_that_is_retried() -> Workflow:
    made = new().add_node("n", noop, effect=True, idempotent=True, retry=RetryPolicy(max_attempts=2))
    return made.add_edge(START, "n").add_edge("n", END)


@healthy("R403")
def an_effect_that_is_tried_once() -> Workflow:
    made = new().add_node("n", noop, effect=True, retry=RetryPolicy(max_attempts=1))
    return made.add_edge(START, "n").add_edge("n", END)


@sick("W001")
def a_waiver_of_what_was_repaired() -> Workflow:
    return row("a").waive("G004", "a", "it is the last")


@sick("W001")
def a_waiver_at_another_place() -> Workflow:
    return nodes("a", "b").add_edge("a", "b").waive("G004", "a", "it is the last")


@sick("W001")
def a_waiver_of_a_loop_that_nobody_could_count() -> Workflow:
    return a_sent_to_node_that_sends_the_whole_back().waive("T103", "work->split", "they may race")


@sick("W001")
def a_waiver_of_a_loop_without_a_way_out() -> Workflow:
    made = row("a")
    made.add_conditional_edges("a", route, {"again": Loop("a", max=2), "ok": END})
    return made.waive("T102", "a->a", "it ends before")


@healthy("W001")
def a_waiver_of_what_is_found() -> Workflow:
    return nodes("a", "b").add_edge("a", "b").waive("G004", "b", "it is the last")


@healthy("W001")
def a_waiver_of_an_edge() -> Workflow:
    made = nodes("a", "b").add_edge("a", "b")
    made.add_conditional_edges("b", route, {"again": "a", "ok": END})
    return made.waive("T101", "b->a", "a person stops it")


def ids(cases: list[tuple[str, str, Make]]) -> list[str]:
    return [f"{code}-{name}" for code, name, _ in cases]


@pytest.mark.parametrize(
    "make", [a_waiver_of_a_loop_that_nobody_could_count, a_waiver_of_a_loop_without_a_way_out]
)
def test_what_cannot_be_run_cannot_be_excused(make: Make) -> None:
    report = validate(make())
    assert not report.ok
    assert not report.waived
    assert report.certificate is None
    assert "cannot be run, and so it cannot be excused" in report.findings[-1].message


@pytest.mark.parametrize(("code", "name", "make"), SICK, ids=ids(SICK))
def test_it_is_found_with_words_a_place_and_a_fix(code: str, name: str, make: Make) -> None:
    found = [f for f in validate(make()).findings if f.code == code]
    assert found
    for finding in found:
        assert finding.message
        assert finding.fix
        assert finding.where is not None
        file, _, line = finding.where.rpartition(":")
        assert Path(file) == Path(__file__)
        assert int(line) > 0


@pytest.mark.parametrize(("code", "name", "make"), HEALTHY, ids=ids(HEALTHY))
def test_it_is_not_blamed(code: str, name: str, make: Make) -> None:
    report = validate(make())
    assert [f for f in report.findings if f.code == code or f.severity == "error"] == []
    assert report.findings == (), "nor for anything else"
    assert report.certificate is not None or name == "a_waiver_of_an_edge"


def test_an_edge_to_no_node_is_one_finding_and_names_all_that_a_join_waits_for() -> None:
    (finding,) = [f for f in validate(a_join_waits_for_no_node()).findings if f.code == "G001"]
    assert finding.message == "edge [a, bb] → c: no node `bb`; did you mean `b`?"
    misspelt = nodes("plan", "search").add_edge("plan", "serch").add_edge("search", END)
    codes = [f.code for f in validate(misspelt).findings]
    assert "G004" not in codes, "`plan` does go on"


def test_destinations_the_wrong_way_round_are_told_the_right_one() -> None:
    flow = nodes("plan").add_node("act", noop, destinations={"again": "plan", "done": END})
    found = [f for f in validate(flow.add_edge("plan", "act")).findings if f.code == "G001"]
    assert [f.message for f in found] == [
        'edge act → again: no node `again`. Destinations are {node: label}; did you mean {"plan": "again"}?',
        'edge act → done: no node `done`. Destinations are {node: label}; did you mean {END: "done"}?',
    ]


def test_what_is_advised_for_two_writers_is_not_blamed_itself() -> None:
    class Notes(TypedDict):
        notes: Annotated[dict[str, str], operator.or_]

    def write(state: Any) -> dict[str, Any]:
        return {"notes": {"one": "it rains"}}

    flow = Workflow("advised", Notes).add_node("x", write, writes=["notes"])
    flow.add_node("y", write, writes=["notes"])
    for node in ("x", "y"):
        flow.add_edge(START, node).add_edge(node, END)
    assert validate(flow).findings == ()
    assert flow.compile().invoke({"notes": {}})["notes"] == {"one": "it rains"}
