"""A plain LangGraph graph is read into the model: what is declared is there, what is not is unknown."""

from __future__ import annotations

import functools
import inspect
import operator
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypedDict

import pytest
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langgraph import types as langgraph_types
from langgraph.func import entrypoint
from langgraph.graph import END, START, StateGraph
from langgraph.managed import RemainingSteps
from langgraph.prebuilt import ToolNode
from langgraph.pregel.remote import RemoteGraph
from langgraph.types import Command, RetryPolicy, Send, TimeoutPolicy

from dalsegno import Loop, Workflow, validate
from dalsegno.errors import DefinitionError
from dalsegno.graphs.model import EdgeSpec, WorkflowSpec
from dalsegno.graphs.reading import read_graph, recursion_limit_of

if TYPE_CHECKING:
    from langgraph.types import Command as HiddenCommand


class State(TypedDict, total=False):
    x: int
    log: Annotated[list[str], operator.add]


class Part(TypedDict, total=False):
    x: int


def step(state: State) -> State:
    return {"x": 1}


def line(*names: str, state: Any = State, **actions: Any) -> Any:
    """A builder of nodes one after the other; `actions` say what runs in some of them."""
    builder = StateGraph(state)
    for name in names:
        builder.add_node(name, actions.get(name, step))
    for source, target in zip((START, *names), (*names, END), strict=True):
        builder.add_edge(source, target)
    return builder


def leaving(spec: WorkflowSpec, name: str) -> list[tuple[str, str]]:
    return [(e.kind, e.target) for e in spec.edges if e.source == name]


def edge(spec: WorkflowSpec, source: str, target: str, kind: str | None = None) -> EdgeSpec:
    (found,) = [e for e in spec.edges if (e.source, e.target) == (source, target) and kind in (None, e.kind)]
    return found


def codes(graph: Any) -> list[str]:
    return [f.code for f in validate(graph).findings]


# -- edges ----------------------------------------------------------------------------------------


def test_edges_are_static_and_lists_of_sources_are_joins() -> None:
    builder = line("a", "b").add_node("c", step).add_edge(["a", "b"], "c").add_edge(["c"], END)
    spec = read_graph(builder)
    assert leaving(spec, START) == [("static", "a")]
    (join,) = [e for e in spec.edges if e.kind == "join"]
    assert (join.sources, join.target) == (("a", "b"), "c")
    assert leaving(spec, "c") == [("static", END)]


def test_a_router_with_a_mapping_may_take_several_of_its_targets() -> None:
    builder = line("a", "b").add_conditional_edges("a", lambda s: ["on"], {"on": "b", "off": END})
    found = edge(read_graph(builder), "a", "b", "choice")
    assert (found.kind, found.label, found.many, found.fans_out) == ("choice", "on", True, False)
    assert read_graph(builder).exact_choices is False


def test_a_router_without_targets_is_unknown() -> None:
    def anywhere(state: State) -> str:
        return "b"

    builder = line("a", "b").add_conditional_edges("a", anywhere)
    unknown = edge(read_graph(builder), "a", "", "unknown")
    assert (unknown.router, unknown.fans_out) == ("anywhere", False)
    report = validate(builder)
    assert [f.code for f in report.findings] == ["G002"]
    assert report.certificate is None
    assert "mapping" in report.findings[0].message
    assert str(report.findings[0].where).startswith(__file__)


def test_literals_in_lists_and_unions_declare_targets_that_langgraph_does_not_read() -> None:
    def several(state: State) -> list[Literal["b", "__end__"]]:
        return ["b"]

    def perhaps(state: State) -> Literal["b"] | Literal["__end__"]:
        return "b"

    for router in (several, perhaps):
        builder = line("a", "b")
        builder.edges.discard(("a", "b"))
        builder.add_conditional_edges("a", router)
        assert leaving(read_graph(builder), "a") == [("choice", "b"), ("choice", END)]
        assert validate(builder).ok


# -- sends ----------------------------------------------------------------------------------------


def fan_out(router: Any, targets: Any = None) -> Any:
    builder = line("plan", "work")
    builder.edges.discard(("plan", "work"))
    return builder.add_conditional_edges("plan", router, targets)


def typed(state: State) -> list[Send]:
    return [Send("work", {"x": i}) for i in range(state["x"])]


def typed_or_end(state: State) -> list[Send] | Literal["__end__"]:
    return typed(state) or END


def untyped(state):  # type: ignore[no-untyped-def]
    return [Send("work", {"x": i}) for i in range(state["x"])]


def qualified(state):  # type: ignore[no-untyped-def]
    return [langgraph_types.Send("work", {"x": i}) for i in range(state["x"])]


@pytest.mark.parametrize("router", [typed, typed_or_end, untyped, qualified, functools.partial(typed)])
def test_a_router_that_sends_fans_out_without_a_maximum(router: Any) -> None:
    builder = fan_out(router, ["work", END])
    spec = read_graph(builder)
    assert edge(spec, "plan", "work").fans_out
    assert not edge(spec, "plan", END).fans_out
    report = validate(builder)
    assert [f.code for f in report.findings] == ["T104"]
    assert not report.ok
    assert report.certificate is not None
    assert (report.certificate.supersteps, report.certificate.executions) == (2, None)


def test_where_a_router_sends_is_unknown_without_a_path_map() -> None:
    for router in (typed, untyped):
        spec = read_graph(fan_out(router))
        assert leaving(spec, "plan") == [("unknown", "")]
        assert edge(spec, "plan", "").fans_out
    assert leaving(read_graph(fan_out(typed_or_end)), "plan") == [("unknown", ""), ("choice", END)]
    assert codes(fan_out(typed_or_end)) == ["G002"]


def test_a_target_that_is_named_beside_the_sends_is_a_plain_choice() -> None:
    def route(state: State) -> list[Send] | Literal["other"]:
        return "other"

    builder = fan_out(route, ["work", "other"]).add_node("other", step).add_edge("other", END)
    spec = read_graph(builder)
    assert edge(spec, "plan", "work").fans_out
    assert not edge(spec, "plan", "other").fans_out


# -- commands -------------------------------------------------------------------------------------


def goes(state: State) -> Command[Literal["b", "__end__"]]:
    return Command(goto="b")


def goes_perhaps(state: State) -> Command[Literal["b", "__end__"]] | State:
    return {}


def goes_untyped(state):  # type: ignore[no-untyped-def]
    return Command(goto="b")


def goes_undeclared(state: State) -> Command[Any]:
    return Command(goto="b")


def goes_nowhere_known(state: State) -> Command:  # type: ignore[type-arg]
    return Command(goto="b")


def goes_unresolved(state: State) -> HiddenCommand[Literal["b"]]:
    return make_command()


def make_command() -> Any:
    return Command(goto="b")


async def goes_async(state):  # type: ignore[no-untyped-def]
    return langgraph_types.Command(update={}, goto="b")


class Callable:
    def __call__(self, state: State) -> Any:
        return Command(goto="b")


def by_itself(action: Any, **options: Any) -> Any:
    builder = line("a", "b")
    builder.edges.discard(("a", "b"))
    del builder.nodes["a"]
    return builder.add_node("a", action, **options)


@pytest.mark.parametrize("action", [goes, goes_perhaps, functools.partial(goes), RunnableLambda(goes)])
def test_the_literal_of_a_command_declares_where_a_node_goes(action: Any) -> None:
    builder = by_itself(action)
    assert leaving(read_graph(builder), "a") == [("command", END), ("command", "b")]
    assert validate(builder).ok


def test_destinations_declare_where_a_node_goes_and_may_have_labels() -> None:
    assert leaving(read_graph(by_itself(goes_untyped, destinations=("b",))), "a") == [("command", "b")]
    spec = read_graph(by_itself(goes_untyped, destinations={"b": "more", END: "done"}))
    assert (edge(spec, "a", "b").label, edge(spec, "a", END).label) == ("more", "done")
    assert all(e.many for e in spec.edges if e.kind == "command")


class Back(Command[Any]):
    """A kind of command."""


def goes_by_another_class(state):  # type: ignore[no-untyped-def]
    return Back(goto="b")


def goes_by_position(state):  # type: ignore[no-untyped-def]
    return Command(None, None, None, "b")


def goes_by_what_is_given(state):  # type: ignore[no-untyped-def]
    return Command(**{"goto": "b"})


def goes_by_a_helper(state):  # type: ignore[no-untyped-def]
    return goes_untyped(state)


def goes_by_its_closure(kind: Any) -> Any:
    def pick() -> Any:
        return kind(goto="b")

    def goes(state):  # type: ignore[no-untyped-def]
        return pick()

    return goes


@pytest.mark.parametrize(
    "action",
    [
        goes_untyped,
        goes_undeclared,
        goes_nowhere_known,
        goes_unresolved,
        goes_async,
        Callable(),
        functools.partial(goes_untyped),
        RunnableLambda(goes_untyped),
        RunnableLambda(step) | RunnableLambda(goes_untyped),
        goes_by_another_class,
        goes_by_a_helper,
        goes_by_its_closure(Command),
        goes_by_position,
        goes_by_what_is_given,
    ],
    ids=[
        *("code", "any", "bare", "unresolved", "async", "instance", "partial", "runnable"),
        *("sequence", "class", "helper", "closure", "position", "given"),
    ],
)
def test_a_node_that_goes_on_by_itself_without_a_declaration_is_unknown(action: Any) -> None:
    builder = by_itself(action)
    assert leaving(read_graph(builder), "a") == [("unknown", "")]
    report = validate(builder)
    assert [f.code for f in report.findings if f.severity == "error"] == ["G002"]
    assert report.certificate is None
    assert "destinations" in report.findings[0].message


def test_a_command_that_only_updates_goes_nowhere() -> None:
    def updates(state):  # type: ignore[no-untyped-def]
        return Command(update={"x": 1})

    def asks(state):  # type: ignore[no-untyped-def]
        return None if isinstance(state, Command) else {"x": 1}

    assert validate(line("a", "b", a=updates)).ok
    assert validate(line("a", "b", a=asks)).ok


def test_a_node_that_commands_sends_fans_out() -> None:
    def sends(state: State) -> Command[Literal["b"]]:
        return Command(goto=[Send("b", {"x": i}) for i in range(3)])

    assert edge(read_graph(by_itself(sends)), "a", "b").fans_out
    assert codes(by_itself(sends)) == ["T104"]


def to_parent(state):  # type: ignore[no-untyped-def]
    return Command(goto="b", graph=Command.PARENT)


def test_a_command_to_the_parent_graph_is_an_edge_of_the_node_that_runs_the_child() -> None:
    child = line("leave", leave=to_parent).compile()
    assert leaving(read_graph(child), "leave") == [("static", END)]
    assert leaving(read_graph(by_itself(child)), "a") == [("unknown", "")]
    assert codes(by_itself(child)) == ["G002"]
    declared = by_itself(child, destinations=("b",))
    assert leaving(read_graph(declared), "a") == [("command", "b"), ("command", END)]
    assert validate(declared).ok


# -- error handlers -------------------------------------------------------------------------------


def repairs(state: State) -> Command[Literal["repair"]]:
    return Command(goto="repair")


async def repairs_async(state: State) -> Command[Literal["repair"]]:
    return Command(goto="repair")


def repairs_somehow(state: State) -> Command:  # type: ignore[type-arg]
    return Command(goto="repair")


def shrugs(state: State) -> State:
    return {}


def with_handler(handler: Any) -> Any:
    builder = StateGraph(State)
    builder.add_node("pay", step, error_handler=handler).add_node("ship", step).add_node("repair", step)
    builder.add_edge(START, "pay").add_edge("pay", "ship").add_edge("pay", "repair")
    return builder.add_edge("ship", END).add_edge("repair", END)


def test_an_error_handler_is_no_node_and_its_targets_are_edges_of_the_node_that_fails() -> None:
    spec = read_graph(with_handler(repairs))
    assert list(spec.nodes) == ["pay", "ship", "repair"]
    assert spec.nodes["pay"].error_handler == "__error_handler__pay"
    assert edge(spec, "pay", "repair", "handler").many
    assert validate(with_handler(repairs)).ok


def test_an_error_handler_that_goes_on_without_a_declaration_is_unknown() -> None:
    unknown = edge(read_graph(with_handler(repairs_somehow)), "pay", "", "unknown")
    assert unknown.label == "on error"
    assert codes(with_handler(repairs_somehow)) == ["G002"]


def test_an_error_handler_that_leads_nowhere_is_found() -> None:
    assert "G006" in codes(with_handler(shrugs))


def test_edges_that_were_added_to_an_error_handler_are_taken_when_its_node_fails() -> None:
    builder = with_handler(shrugs)
    builder.add_edge("__error_handler__pay", "repair")
    assert edge(read_graph(builder), "pay", "repair", "handler").kind == "handler"
    assert validate(builder).ok
    routed = with_handler(shrugs)
    routed.add_conditional_edges("__error_handler__pay", lambda s: "repair", {"again": "repair"})
    assert edge(read_graph(routed), "pay", "repair", "handler").label == "again"


def test_the_defaults_of_nodes_are_the_same_before_and_after_compiling() -> None:
    def builder() -> Any:
        made = StateGraph(State).set_node_defaults(
            error_handler=repairs_async, retry_policy=RetryPolicy(max_attempts=4), timeout=2
        )
        made.add_node("pay", async_step).add_node("repair", async_step)
        return made.add_edge(START, "pay").add_edge("pay", END).add_edge("repair", END)

    before = read_graph(builder())
    after = read_graph(builder().compile())
    assert before.nodes == after.nodes
    assert {e for e in before.edges if e.kind == "handler"} == {e for e in after.edges if e.kind == "handler"}
    pay = after.nodes["pay"]
    assert (pay.error_handler, pay.attempts, pay.timeout) == ("__default_error_handler__", 4, 2.0)
    assert "__default_error_handler__" not in after.nodes


# -- what is said of a node -----------------------------------------------------------------------


async def async_step(state: State) -> State:
    return {}


def test_a_node_has_its_place_policies_and_colour() -> None:
    retry = [RetryPolicy(max_attempts=2), RetryPolicy(max_attempts=5)]
    builder = StateGraph(State)
    builder.add_node(
        "a", async_step, retry_policy=retry, timeout=timedelta(seconds=3), metadata={"team": "x"}
    )
    builder.add_node("b", step, defer=True)
    builder.add_node("c", async_step, timeout=TimeoutPolicy(run_timeout=4, idle_timeout=1))
    builder.add_node("d", async_step, timeout=TimeoutPolicy(idle_timeout=1))
    nodes = read_graph(builder).nodes
    a, b = nodes["a"], nodes["b"]
    assert (a.attempts, a.timeout, a.is_async, dict(a.metadata)) == (5, 3.0, True, {"team": "x"})
    assert a.policies["retry"] == retry
    assert (b.attempts, b.timeout, b.is_async, b.defer) == (1, None, False, True)
    assert (nodes["c"].timeout, nodes["d"].timeout) == (4, None)
    assert a.where is not None
    assert a.where.file == __file__
    assert a.where.line == async_step.__code__.co_firstlineno


def test_a_node_beside_an_async_router_needs_a_loop_too() -> None:
    async def route(state: State) -> Literal["b"]:
        return "b"

    spec = read_graph(line("a", "b").add_conditional_edges("a", route))
    assert (spec.nodes["a"].is_async, spec.nodes["b"].is_async) == (True, False)


def test_a_compiled_graph_waits_for_people_where_it_was_told_to() -> None:
    graph = line("a", "b", "c").compile(interrupt_before=["a", "b"], interrupt_after=["b"])
    assert [n.interrupts for n in read_graph(graph).nodes.values()] == [1, 2, 0]
    everywhere = line("a", "b").compile(interrupt_before="*")
    assert [n.interrupts for n in read_graph(everywhere).nodes.values()] == [1, 1]


def test_the_recursion_limit_of_a_compiled_graph_is_read() -> None:
    graph = line("a").compile()
    assert recursion_limit_of(graph) is None
    assert recursion_limit_of(graph.with_config({"recursion_limit": 7})) == 7
    assert recursion_limit_of(line("a")) is None
    assert read_graph(graph.with_config({"recursion_limit": 7})).nodes["a"].name == "a"


# -- subgraphs ------------------------------------------------------------------------------------

CHILD = line("inside").compile(name="child")
HELD = {"agents": [CHILD]}


def runs_global(state: State) -> Any:
    return CHILD.invoke(state)


def runs_held(state: State) -> Any:
    return HELD["agents"][0].invoke(state)


def runs_by_another_function(state: State) -> Any:
    return runs_global(state)


def runs_default(state: State, graph: Any = CHILD) -> Any:
    return graph.invoke(state)


async def runs_async(state: State) -> Any:
    return await CHILD.ainvoke(state)


def runs_in_closure() -> Any:
    graph = line("inside").compile()
    return lambda state: graph.invoke(state)


class Team:
    def __init__(self) -> None:
        self.graph = CHILD
        self.title = "team"

    def run(self, state: State) -> Any:
        return self.start(state)

    def start(self, state: State) -> Any:
        return self.graph.invoke(state)

    def other(self, state: State) -> Any:
        return {"log": [self.title]}


class Agent:
    """As many are written: the nodes are methods, and the graph that they make is an attribute."""

    def __init__(self) -> None:
        self.model = RunnableLambda(step)
        self.graph = line("think", think=self.think).compile()

    def invoke(self, state: State) -> Any:
        return self.graph.invoke(state)

    def think(self, state: State) -> Any:
        return self.model.invoke(state)

    def asks(self, state: State) -> Any:
        return {"x": self.graph.get_state({"configurable": {}}) is None}

    def again(self, state: State) -> Any:
        return self.invoke(state)


def builds_its_own(state: State) -> Any:
    return StateGraph(State).add_node("a", step).add_edge(START, "a").compile().invoke(state)


@tool
def asks_the_child(x: int) -> str:
    """Ask the child."""
    return str(CHILD.invoke({"x": x}))


@entrypoint()
def functional(state: dict[str, Any]) -> dict[str, Any]:
    return state


def test_a_compiled_graph_as_a_node_is_a_subworkflow_with_its_own_nodes() -> None:
    node = read_graph(line("a", "sub", sub=CHILD)).nodes["sub"]
    assert node.kind == "subworkflow"
    assert node.child is not None
    assert (node.child.name, list(node.child.nodes)) == ("child", ["inside"])


@pytest.mark.parametrize(
    "action",
    [
        runs_global,
        runs_held,
        runs_by_another_function,
        runs_default,
        runs_async,
        runs_in_closure(),
        Team().run,
        Agent().again,
        functools.partial(lambda state, graph: graph.invoke(state), graph=CHILD),
        builds_its_own,
        RunnableLambda(runs_global),
        RunnableLambda(step) | CHILD,
        CHILD.with_retry(),
        ToolNode([asks_the_child]),
        functional,
    ],
    ids=[
        "global",
        "held",
        "another function",
        "default",
        "async",
        "closure",
        "method",
        "method of an agent",
        "partial",
        "built",
        "runnable",
        "sequence",
        "retried",
        "tool",
        "functional",
    ],
)
def test_a_graph_that_runs_out_of_sight_has_no_bound(action: Any) -> None:
    builder = line("a", "hidden", hidden=action)
    node = read_graph(builder).nodes["hidden"]
    assert (node.kind, node.child) == ("subworkflow", None)
    certificate = validate(builder).certificate
    assert certificate is None or certificate.supersteps is None


@pytest.mark.parametrize("action", [Team().other, Agent().think, Agent().asks, make_command, step])
def test_a_function_that_refers_to_no_graph_is_none(action: Any) -> None:
    assert read_graph(line("a", a=action)).nodes["a"].kind == "function"


def test_a_remote_graph_is_a_remote_node() -> None:
    remote = RemoteGraph("assistant", url="http://127.0.0.1:1", api_key="none")
    builder = line("ask", ask=remote)
    assert read_graph(builder).nodes["ask"].kind == "remote"
    assert codes(builder) == ["R405"]


def test_the_same_graph_twice_is_read_once() -> None:
    nodes = read_graph(line("one", "two", one=CHILD, two=CHILD)).nodes
    assert nodes["one"].child is nodes["two"].child


def test_findings_of_a_graph_three_levels_down_name_their_path() -> None:
    deepest = line("a", "b").add_edge("b", "a").compile()
    middle = line("deepest", deepest=deepest).compile()
    found = validate(line("middle", middle=middle)).findings
    assert [f.code for f in found] == ["T101"]
    assert found[0].path[:2] == ("middle", "deepest")


def test_a_graph_that_runs_itself_in_a_node_is_never_fine() -> None:
    def again(state: State) -> Any:
        return graph.invoke(state)

    graph = line("again", again=again).compile()
    assert read_graph(graph).nodes["again"].kind == "subworkflow"
    certificate = validate(graph).certificate
    assert certificate is None or certificate.supersteps is None


def test_what_is_added_to_a_builder_after_compiling_is_no_part_of_the_compiled_graph() -> None:
    builder = line("a")
    graph = builder.compile()
    builder.add_node("itself", graph).add_edge("a", "itself").add_edge("itself", END)
    assert list(read_graph(graph).nodes) == ["a"]
    assert leaving(read_graph(graph), "a") == [("static", END)]
    outer = read_graph(builder)
    assert list(outer.nodes) == ["a", "itself"]
    assert outer.nodes["itself"].child is not None
    certificate = validate(builder).certificate
    assert certificate is not None
    assert certificate.supersteps == 3


# -- state ----------------------------------------------------------------------------------------


class Question(TypedDict):
    text: str


class Typo(TypedDict):
    titel: str


class Answer(TypedDict):
    answer: str


class Dialogue(Question, Answer, total=False):
    notes: Annotated[list[str], operator.add]
    remaining: RemainingSteps


def test_keys_reducers_and_declared_schemas_are_read_and_managed_values_are_no_keys() -> None:
    builder = StateGraph(Dialogue, input_schema=Question, output_schema=Answer)
    builder.add_node("a", lambda s: {}).add_edge(START, "a").add_edge("a", END)
    spec = read_graph(builder)
    assert sorted(spec.state) == ["answer", "notes", "text"]
    assert (spec.state["notes"].reducer, spec.state["text"].reducer) == ("add", None)
    assert (spec.inputs, spec.outputs) == ({"text"}, {"answer"})
    assert (spec.declared_inputs, spec.declared_outputs) == (True, True)


def test_annotations_narrower_than_the_state_say_what_a_node_reads_and_writes() -> None:
    def reads(state: Part) -> Typo:
        return {"titel": ""}

    builder = line("a", a=reads)
    node = read_graph(builder).nodes["a"]
    assert (node.reads, node.writes, node.unknown_writes) == ({"x"}, frozenset(), ("titel",))
    assert codes(builder) == ["D306"]
    assert read_graph(line("a")).nodes["a"].reads is None


def test_a_state_without_keys_has_none() -> None:
    for schema in (list, Annotated[list[str], operator.add]):
        builder = line("a", "b", state=schema, a=lambda s: [], b=lambda s: [])
        spec = read_graph(builder)
        assert (spec.state, spec.inputs, spec.outputs) == ({}, frozenset(), frozenset())
        report = validate(builder)
        assert report.ok
        assert report.certificate is not None
        assert report.certificate.supersteps == 2


# -- what is no graph of nodes --------------------------------------------------------------------


def test_the_functional_api_is_refused_with_a_reason() -> None:
    with pytest.raises(DefinitionError, match="entrypoint"):
        validate(functional)


def test_what_is_no_graph_is_refused() -> None:
    for value in (None, 5, "graph", step):
        with pytest.raises(DefinitionError, match="no graph"):
            validate(value)


def test_a_builder_that_langgraph_would_refuse_gives_findings() -> None:
    assert codes(StateGraph(State)) == ["G003"]
    lost = line("a").add_edge("a", "nowhere")
    assert "G001" in codes(lost)
    odd = line("a").add_edge("a", 5)
    assert "G001" in codes(odd)


def test_a_compiled_workflow_is_read_as_what_it_was_made_from() -> None:
    flow = Workflow("flow", State).add_node("a", step).add_edge(START, "a")
    flow.add_conditional_edges(
        "a", lambda s: "done", {"again": Loop("a", max=2, on_exhausted=END), "done": END}
    )
    spec = read_graph(flow.compile())
    assert spec == flow.spec
    assert edge(spec, "a", "a").loop == 2


def test_reading_runs_nothing() -> None:
    def never(state: State) -> Any:
        raise AssertionError("a node was run")

    builder = line("a", a=never).add_conditional_edges("a", never, [END])
    assert validate(builder.compile()).ok
    assert inspect.iscoroutinefunction(async_step)
