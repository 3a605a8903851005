"""Targets are always declared: everything else is an error with a name, where LangGraph says nothing."""

from __future__ import annotations

import linecache
import operator
from typing import Annotated, Any, Literal, TypedDict

import pytest
from langgraph.types import Command, Send

from dalsegno import END, START, Each, Loop, Workflow
from dalsegno.errors import DefinitionError, UndeclaredTarget, WorkflowInvalid


class State(TypedDict, total=False):
    path: Annotated[list[str], operator.add]
    items: list[int]
    done: Annotated[list[int], operator.add]


def step(name: str) -> Any:
    def node(state: State) -> dict[str, Any]:
        return {"path": [name]}

    node.__name__ = name
    return node


def branching(router: Any, targets: Any = ("b", "c"), **options: Any) -> Workflow:
    flow = Workflow("branching", State)
    for name in "abc":
        flow.add_node(name, step(name))
    flow.add_edge(START, "a").add_edge("b", END).add_edge("c", END)
    flow.add_conditional_edges("a", router, targets, **options)
    return flow


def ran(flow: Workflow, **given: Any) -> list[str]:
    return flow.compile().invoke({"path": [], **given})["path"]


def test_a_declared_target_is_taken() -> None:
    assert ran(branching(lambda s: "b")) == ["a", "b"]


def test_a_mapping_translates_the_answer() -> None:
    assert ran(branching(lambda s: True, {True: "b", False: "c"})) == ["a", "b"]


def test_nothing_is_an_answer_where_the_mapping_names_it() -> None:
    targets = {"on": "b", None: "c"}
    assert ran(branching(lambda s: None, targets)) == ["a", "c"]
    assert ran(branching(lambda s: [None, "on"], targets, many=True)) == ["a", "b", "c"]

    again = {"on": "b", None: Loop("a", max=2, on_exhausted="c")}
    assert ran(branching(lambda s: None if len(s["path"]) < 3 else "on", again)) == ["a", "a", "a", "b"]
    assert ran(branching(lambda s: None, again)) == ["a", "a", "a", "c"]


def test_targets_are_taken_from_a_literal_return_type() -> None:
    def router(state: State) -> Literal["b", "c"]:
        return "c"

    assert ran(branching(router, None)) == ["a", "c"]


def test_several_targets_where_the_return_type_says_so() -> None:
    def router(state: State) -> list[Literal["b", "c"]]:
        return ["b", "c"]

    assert sorted(ran(branching(router, None))) == ["a", "b", "c"]


def test_several_targets_with_many() -> None:
    assert sorted(ran(branching(lambda s: ["b", "c"], many=True))) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("d", "chose `d`, which is not one of its declared targets"),
        ("B", "did you mean `b`?"),
        (None, "chose nothing"),
        ([], "chose nothing"),
        (["b", "c"], "exactly one was declared"),
        (Send("b", {}), 'declare `Each("b", max=...)`'),
        ([Send("zzz", {})], "which it does not declare"),
        ({"un": "hashable"}, "not one of its declared targets"),
    ],
)
def test_what_a_router_may_not_answer(answer: Any, words: str) -> None:
    with pytest.raises(UndeclaredTarget) as raised:
        ran(branching(lambda s: answer))
    assert words in str(raised.value)
    assert str(raised.value).endswith((".", "?"))
    assert "` Declare" not in str(raised.value)
    assert raised.value.node == "a"


def test_end_is_a_target_like_any_other() -> None:
    with pytest.raises(UndeclaredTarget, match="__end__"):
        ran(branching(lambda s: END))
    assert ran(branching(lambda s: END, ["b", "c", END])) == ["a"]


def test_a_router_that_declares_nothing_is_refused_at_check_time() -> None:
    with pytest.raises(WorkflowInvalid, match="G002"):
        branching(lambda s: "b", None).compile()


def test_a_command_goes_only_where_its_node_declares() -> None:
    def go(state: State) -> Command[Any]:
        return Command(update={"path": ["go"]}, goto=state["items"][0] and "b")

    def flow(destinations: Any) -> Workflow:
        flow = Workflow("commanding", State)
        flow.add_node("go", go, destinations=destinations)
        flow.add_node("b", step("b")).add_node("c", step("c"))
        flow.add_edge(START, "go").add_edge("b", END).add_edge("c", END)
        if destinations is None or "b" not in destinations:
            flow.add_edge("go", "b")
        if destinations is None or "c" not in destinations:
            flow.add_edge("go", "c")
        return flow

    assert ran(flow(("b", "c")), items=[1]) == ["go", "b"]
    with pytest.raises(UndeclaredTarget, match="not one of its declared targets: `c`"):
        ran(flow(("c",)), items=[1])
    with pytest.raises(UndeclaredTarget, match="declares no destinations"):
        ran(flow(None), items=[1])


def test_a_command_behind_another_part_of_an_output_goes_only_where_its_node_declares() -> None:
    def flow(target: str, **options: Any) -> Workflow:
        flow = Workflow("commanding", State)
        flow.add_node("go", lambda state: [{"path": ["go"]}, Command(goto=target)], **options)
        flow.add_node("b", step("b")).add_edge(START, "go").add_edge("b", END)
        return flow if options else flow.add_edge("go", "b")

    assert ran(flow("b", destinations=("b",))) == ["go", "b"]
    for undeclared in ("go", "nowhere"):
        with pytest.raises(UndeclaredTarget, match="declares no destinations"):
            ran(flow(undeclared))


def test_a_node_that_is_gone_to_and_sent_to_stands_twice_among_the_destinations() -> None:
    def go(state: State) -> Command[Any]:
        return Command(update={"path": ["go"]}, goto="b" if state["items"][0] else [Send("b", {})] * 2)

    flow = Workflow("both", State).add_node("go", go, destinations=("b", Each("b", max=2)))
    flow.add_node("b", step("b")).add_edge(START, "go").add_edge("b", END)
    assert ran(flow, items=[1]) == ["go", "b"]
    assert ran(flow, items=[0]) == ["go", "b", "b"]


@pytest.mark.parametrize(
    ("targets", "names"),
    [
        (["b", Loop("b", max=2, on_exhausted=END)], "b"),
        ([Loop("b", max=2, on_exhausted=END), Loop("b", max=3, on_exhausted=END)], "b"),
        ([Each("c", max=2), Each("c", max=3)], "c"),
    ],
)
def test_a_target_that_is_said_in_two_ways_is_refused(targets: list[Any], names: str) -> None:
    said = f"`{names}` stands twice among the targets"
    with pytest.raises(DefinitionError, match=said):
        branching(lambda s: "b", targets)
    with pytest.raises(DefinitionError, match=said):
        Workflow("twice", State).add_node("go", step("go"), destinations=targets)
    branching(lambda s: "b", [*targets[:1], *targets[:1]])
    branching(lambda s: "b", dict(enumerate(targets))) if not isinstance(targets[0], Each) else None


def test_loops_of_destinations_with_one_counter_have_one_max() -> None:
    back = Loop("b", max=2, on_exhausted=END)

    def flow(*loops: Loop) -> Workflow:
        return Workflow("back", State).add_node("go", step("go"), destinations=loops)

    flow(back, Loop("c", max=1, on_exhausted=Loop("b", max=2, on_exhausted="d")))
    with pytest.raises(DefinitionError, match="both would have one counter"):
        flow(back, Loop("c", max=1, on_exhausted=Loop("b", max=1, on_exhausted=END)))


def test_destinations_come_from_the_return_type() -> None:
    def go(state: State) -> Command[Literal["b", "c"]]:
        return Command(update={"path": ["go"]}, goto="c")

    flow = Workflow("typed", State)
    flow.add_node(go).add_node("b", step("b")).add_node("c", step("c"))
    flow.add_edge(START, "go").add_edge("b", END).add_edge("c", END)
    assert ran(flow) == ["go", "c"]


def test_a_command_without_goto_and_without_an_edge_is_an_error() -> None:
    flow = Workflow("silent", State)
    flow.add_node("go", lambda s: Command(update={"path": ["go"]}), destinations=("b",))
    flow.add_node("b", step("b"))
    flow.add_edge(START, "go").add_edge("b", END)
    with pytest.raises(UndeclaredTarget, match="returned no `Command"):
        ran(flow)


# -- fan-out --------------------------------------------------------------------------------------


def fanning(router: Any, targets: Any, *, start: bool = False) -> Workflow:
    def work(item: int) -> dict[str, Any]:
        return {"done": [item * 10]}

    flow = Workflow("fanning", State)
    flow.add_node("plan", step("plan")).add_node("work", work).add_node("join", step("join"))
    flow.add_edge("work", "join").add_edge("join", END)
    if start:
        flow.add_conditional_edges(START, router, targets)
        flow.add_edge("plan", "join")
    else:
        flow.add_edge(START, "plan").add_conditional_edges("plan", router, targets)
    return flow


def each(state: State) -> Any:
    return [Send("work", item) for item in state["items"]] or "join"


TARGETS = [Each("work", max=3), "join"]


def test_sends_reach_their_node_as_they_were_sent() -> None:
    result = fanning(each, TARGETS).compile().invoke({"path": [], "items": [1, 2, 3]})
    assert sorted(result["done"]) == [10, 20, 30]
    assert result["path"] == ["plan", "join"]


def test_sends_from_start() -> None:
    result = (
        fanning(each, [Each("work", max=3), "join", "plan"], start=True)
        .compile()
        .invoke({"path": [], "items": [1, 2]})
    )
    assert sorted(result["done"]) == [10, 20]


def test_an_empty_fan_out_takes_another_declared_target() -> None:
    assert ran(fanning(each, TARGETS), items=[]) == ["plan", "join"]


def test_an_empty_fan_out_without_another_target_is_an_error() -> None:
    with pytest.raises(UndeclaredTarget, match="for an empty fan-out declare a target that goes on"):
        ran(fanning(lambda s: [Send("work", i) for i in s["items"]], [Each("work", max=3)]), items=[])


@pytest.mark.parametrize(("count", "fits"), [(2, True), (3, True), (4, False)])
def test_a_fan_out_sends_at_most_its_maximum(count: int, fits: bool) -> None:
    flow = fanning(each, TARGETS)
    if fits:
        assert ran(flow, items=list(range(count))) == ["plan", "join"]
    else:
        with pytest.raises(UndeclaredTarget, match="4 times to `work`, more than the 3 it declares"):
            ran(flow, items=list(range(count)))


def test_sends_beside_another_target_need_many() -> None:
    def both(state: State) -> Any:
        return [Send("work", 1), "join"]

    with pytest.raises(UndeclaredTarget, match="exactly one"):
        ran(fanning(both, TARGETS))


def test_a_fan_out_without_a_maximum_is_refused_at_check_time() -> None:
    with pytest.raises(WorkflowInvalid, match="T104"):
        fanning(each, [Each("work"), "join"]).compile()


def test_sends_through_a_command() -> None:
    def plan(state: State) -> Command[Any]:
        return Command(update={"path": ["plan"]}, goto=[Send("work", i) for i in state["items"]])

    flow = Workflow("commanding", State)
    flow.add_node("plan", plan, destinations=(Each("work", max=2),))
    flow.add_node("work", lambda item: {"done": [item]})
    flow.add_edge(START, "plan").add_edge("work", END)
    assert flow.compile().invoke({"path": [], "items": [1, 2]})["done"] == [1, 2]
    with pytest.raises(UndeclaredTarget, match="more than the 2"):
        flow.compile().invoke({"path": [], "items": [1, 2, 3]})


def test_a_router_of_a_sent_to_node_sees_the_state() -> None:
    seen: list[Any] = []

    def after(state: State) -> str:
        seen.append(state["items"])
        return "join"

    flow = Workflow("after", State)
    flow.add_node("plan", step("plan")).add_node("work", lambda item: {"done": [item]}).add_node(
        "join", step("join")
    )
    flow.add_edge(START, "plan").add_conditional_edges("plan", each, TARGETS)
    flow.add_conditional_edges("work", after, ["join"]).add_edge("join", END)
    assert ran(flow, items=[1, 2]) == ["plan", "join"]
    assert seen == [[1, 2], [1, 2]]


# -- joins ----------------------------------------------------------------------------------------


def test_a_join_waits_for_all_of_its_sources() -> None:
    flow = Workflow("joining", State)
    for name in ("a", "b", "b2", "c"):
        flow.add_node(name, step(name))
    flow.add_edge(START, "a").add_edge(START, "b").add_edge("b", "b2")
    flow.add_edge(["a", "b2"], "c").add_edge("c", END)
    assert ran(flow).count("c") == 1
    assert ran(flow)[-1] == "c"


def test_add_sequence_chains_nodes() -> None:
    flow = Workflow("chain", State).add_sequence([step("a"), ("second", step("b")), step("c")])
    flow.add_edge(START, "a").add_edge("c", END)
    assert ran(flow) == ["a", "b", "c"]


# -- what cannot be meant -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda f: f.add_node("a", step("a")).add_node("a", step("a")), "was added at"),
        (lambda f: f.add_node("x:y", step("a")), "no `:` or `|`"),
        (lambda f: f.add_node("x\ud83d", step("a")), "half of a surrogate pair"),
        (lambda f: f.add_node("", step("a")), "not empty"),
        (lambda f: f.add_node(START, step("a")), "not START or END"),
        (lambda f: f.add_node("configurable", step("a")), "LangGraph keeps that name for itself"),
        (lambda f: f.add_node("a"), "says nothing that runs"),
        (lambda f: f.add_node(lambda s: s), "has no name of its own"),
        (lambda f: f.add_edge(END, "a"), "no edge leaves END"),
        (lambda f: f.add_edge("a", START), "leads to START"),
        (lambda f: f.add_edge([], "a"), "edges go between names"),
        (lambda f: f.add_edge([START, "a"], "b"), "a join waits for nodes, and START is none"),
        (lambda f: f.add_sequence([]), "no node in it"),
        (lambda f: f.add_conditional_edges("a", lambda s: 1, {1: 5}), "is no target"),
        (lambda f: f.waive("T107", "a", " "), "needs three texts"),
        (lambda f: f.add_node("a", step("a"), inputs={"x": "y"}), "this node is not one"),
        (lambda f: f.add_node("a", step("a"), timeout=0), "seconds above 0"),
    ],
)
def test_a_call_that_cannot_be_meant_says_why(build: Any, words: str) -> None:
    with pytest.raises(DefinitionError) as raised:
        build(Workflow("w", State))
    assert words in str(raised.value)


@pytest.mark.parametrize("count", [-1, 1.5, True, "3"])
def test_a_loop_counts_in_whole_numbers(count: Any) -> None:
    from dalsegno import Loop

    with pytest.raises(DefinitionError, match="whole number"):
        Loop("a", max=count)
    with pytest.raises(DefinitionError, match="whole number"):
        Each("a", max=count)


def test_a_loop_at_start_is_refused() -> None:
    from dalsegno import Loop

    with pytest.raises(DefinitionError, match="bounds nothing"):
        Workflow("w", State).add_conditional_edges(
            START, lambda s: "a", {"a": Loop("a", max=1, on_exhausted=END)}
        )


def test_every_declaration_knows_its_place() -> None:
    flow = Workflow("placed", State)
    flow.add_node("a", step("a"))
    here = flow.spec.nodes["a"].where
    assert here is not None
    assert here.file == __file__
    assert "add_node" in linecache.getline(here.file, here.line)
