"""Nodes see the state as their schema says, and write only keys that the state has."""

from __future__ import annotations

import functools
import operator
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, Required, TypedDict, TypeVar

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langgraph.graph import StateGraph
from langgraph.graph.message import add_messages
from langgraph.managed import RemainingSteps
from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command, Send
from pydantic import BaseModel, Field

from dalsegno import END, START, Each, Loop, Workflow
from dalsegno.errors import DefinitionError, UnknownStateKey
from dalsegno.graphs.names import KEPT


class Typed(TypedDict, total=False):
    x: int
    log: Annotated[list[str], operator.add]


@dataclass
class Data:
    x: int = 0
    log: Annotated[list[str], operator.add] = field(default_factory=list)


class Model(BaseModel):
    x: int = 0
    log: Annotated[list[str], operator.add] = []


def single(state: Any, node: Any, **options: Any) -> Workflow:
    flow = Workflow("single", state)
    flow.add_node("node", node, **options)
    return flow.add_edge(START, "node").add_edge("node", END)


@pytest.mark.parametrize("schema", [Data, Model])
def test_a_node_gets_an_object_of_the_states_class(schema: Any) -> None:
    seen: list[Any] = []

    def node(state: Any) -> dict[str, Any]:
        seen.append(state)
        return {"x": state.x + 1, "log": ["n"]}

    result = single(schema, node).compile().invoke({"x": 1})
    assert seen == [schema(x=1)]
    assert result == {"x": 2, "log": ["n"]}


@pytest.mark.parametrize("schema", [Data, Model])
def test_a_node_may_return_an_object_of_the_states_class(schema: Any) -> None:
    result = single(schema, lambda s: schema(x=5, log=["n"])).compile().invoke({"x": 1})
    assert result == {"x": 5, "log": ["n"]}


@pytest.mark.parametrize("schema", [Data, Model])
def test_routers_see_objects_with_the_update_applied(schema: Any) -> None:
    seen: list[Any] = []

    def router(state: Any) -> str:
        seen.append((state.x, list(state.log)))
        return "again" if state.x < 3 else "done"

    flow = Workflow("loop", schema)
    flow.add_node("node", lambda s: {"x": s.x + 1, "log": [str(s.x)]})
    flow.add_edge(START, "node")
    flow.add_conditional_edges("node", router, {"done": END, "again": Loop("node", max=9, on_exhausted=END)})
    flow.compile().invoke({"x": 0})
    assert seen == [(1, ["0"]), (2, ["0", "1"]), (3, ["0", "1", "2"])]


def test_a_node_is_given_only_the_keys_of_its_own_schema() -> None:
    class Part(TypedDict):
        x: int

    seen: list[Any] = []

    def node(state: Part) -> dict[str, Any]:
        seen.append(dict(state))
        return {}

    single(Typed, node, input_schema=Part).compile().invoke({"x": 1, "log": ["a"]})
    assert seen == [{"x": 1}]


def test_a_key_that_the_state_does_not_have_is_refused() -> None:
    with pytest.raises(UnknownStateKey) as raised:
        single(Typed, lambda s: {"lgo": ["a"]}).compile().invoke({"x": 1})
    assert raised.value.key == "lgo"
    assert raised.value.node == "node"
    assert "did you mean `log`?" in str(raised.value)
    with pytest.raises(UnknownStateKey, match=r"no key of the state\. The state has `log`"):
        single(Typed, lambda s: {"another": 1}).compile().invoke({"x": 1})


@pytest.mark.parametrize(
    "output",
    [Command(update={"y": 1}), [Command(update={"x": 1}), {"y": 1}], [("y", 1)], {"__dalsegno__": {}}],
)
def test_an_unknown_key_is_refused_in_whatever_a_node_returns(output: Any) -> None:
    with pytest.raises(UnknownStateKey):
        single(Typed, lambda s: output).compile().invoke({"x": 1})


def test_a_node_that_returns_no_update_at_all_is_refused() -> None:
    with pytest.raises(UnknownStateKey, match="returned 'text'"):
        single(Typed, lambda s: "text").compile().invoke({"x": 1})


def test_messages_are_reduced_for_routers_as_langgraph_reduces_them() -> None:
    class Chat(TypedDict):
        messages: Annotated[list[Any], add_messages]

    seen: list[Any] = []

    def router(state: Chat) -> str:
        seen.append([m.content for m in state["messages"]])
        return "end"

    flow = Workflow("chat", Chat)
    flow.add_node("say", lambda s: {"messages": [AIMessage("two", id="2")]})
    flow.add_edge(START, "say")
    flow.add_conditional_edges("say", router, {"end": END, "again": Loop("say", max=1, on_exhausted=END)})
    flow.compile().invoke({"messages": [HumanMessage("one", id="1"), AIMessage("old", id="2")]})
    assert seen == [["one", "two"]]


def test_langgraph_injects_into_nodes_and_routers_what_they_ask_for() -> None:
    class Context(TypedDict):
        user: str

    seen: dict[str, Any] = {}

    def node(
        state: Typed, config: RunnableConfig, runtime: Runtime[Context], *, store: BaseStore
    ) -> dict[str, Any]:
        seen["thread"] = config["configurable"]["thread_id"]
        seen["user"] = runtime.context["user"]
        seen["store"] = store
        return {"x": 1}

    def router(state: Typed, config: RunnableConfig) -> str:
        seen["router"] = config["configurable"]["thread_id"]
        return "end"

    store = InMemoryStore()
    flow = Workflow("injected", Typed, Context)
    flow.add_node("node", node)
    flow.add_edge(START, "node")
    flow.add_conditional_edges("node", router, {"end": END, "again": Loop("node", max=1, on_exhausted=END)})
    flow.compile(store=store).invoke({"x": 0}, {"configurable": {"thread_id": "t"}}, context={"user": "ann"})
    assert seen == {"thread": "t", "user": "ann", "store": store, "router": "t"}


def test_managed_values_reach_the_node() -> None:
    class Managed(TypedDict, total=False):
        x: int
        remaining: RemainingSteps

    result = single(Managed, lambda s: {"x": s["remaining"]}).compile().invoke({"x": 0})
    assert result["x"] >= 0


def test_a_runnable_is_a_node() -> None:
    doubled = RunnableLambda(lambda s: {"x": s["x"] * 2})
    assert single(Typed, doubled).compile().invoke({"x": 2})["x"] == 4


async def _double(state: Typed) -> dict[str, Any]:
    return {"x": state["x"] * 2}


def test_coroutine_nodes_and_routers_run_in_an_event_loop() -> None:
    import asyncio

    async def router(state: Typed) -> str:
        return "again" if state["x"] < 8 else "end"

    flow = Workflow("async", Typed)
    flow.add_node("double", _double)
    flow.add_edge(START, "double")
    flow.add_conditional_edges(
        "double", router, {"end": END, "again": Loop("double", max=9, on_exhausted=END)}
    )
    assert asyncio.run(flow.compile().ainvoke({"x": 1}))["x"] == 8
    assert flow.spec.nodes["double"].is_async


def test_sync_invoke_of_a_coroutine_node_says_what_to_do() -> None:
    with pytest.raises(TypeError, match=r"ainvoke|async"):
        single(Typed, _double).compile().invoke({"x": 1})


def test_input_and_output_schemas_are_kept() -> None:
    class In(TypedDict):
        x: int

    class Out(TypedDict):
        y: int

    flow = Workflow("typed", Typed, input_schema=In, output_schema=Out)
    flow.add_node("node", lambda s: {"y": s["x"] + 1})
    flow.add_edge(START, "node").add_edge("node", END)
    assert flow.compile().invoke({"x": 1}) == {"y": 2}


class Merging:
    """A reducer without a name, as a `functools.partial` is one."""

    def __call__(self, old: dict[str, int], new: dict[str, int]) -> dict[str, int]:
        return {**old, **new}


class MergedByObject(TypedDict, total=False):
    found: Annotated[dict[str, int], Merging()]


class MergedByPartial(TypedDict, total=False):
    found: Required[Annotated[dict[str, int], "of any kind", functools.partial(operator.or_)]]


class MergedInModel(BaseModel):
    found: Annotated[dict[str, int], Merging()] = {}


@pytest.mark.parametrize("schema", [MergedByObject, MergedByPartial, MergedInModel])
def test_a_reducer_needs_no_name(schema: Any) -> None:
    flow = Workflow("merged", schema)
    for name in ("a", "b"):
        flow.add_node(name, lambda state, name=name: {"found": {name: 1}}).add_edge(START, name).add_edge(
            name, END
        )
    assert flow.compile().invoke({"found": {"given": 0}}) == {"found": {"given": 0, "a": 1, "b": 1}}


class Outside(BaseModel):
    user_id: int = Field(0, alias="userId")
    log: Annotated[list[str], operator.add] = Field([], validation_alias="theLog")


def test_a_field_of_the_state_that_has_an_alias_is_a_key_by_its_own_name() -> None:
    def node(state: Outside) -> dict[str, Any]:
        return {"user_id": state.user_id + 1, "log": [f"{state.user_id} {state.log}"]}

    graph = single(Outside, node).compile()
    assert graph.invoke({"user_id": 7, "log": ["a"]}) == {"user_id": 8, "log": ["a", "7 ['a']"]}
    assert graph.invoke(Outside(userId=7)) == {"user_id": 8, "log": ["7 []"]}


@pytest.mark.parametrize("key", ["user_id", "userId"])
def test_what_is_sent_to_a_class_with_aliases_is_taken_by_either_name(key: str) -> None:
    def node(sent: Outside) -> dict[str, Any]:
        return {"log": [str(sent.user_id)]}

    flow = Workflow("sent", Typed).add_node("node", node).add_edge("node", END)
    flow.add_conditional_edges(START, lambda state: Send("node", {key: 7}), [Each("node", max=1)])
    assert flow.compile().invoke({})["log"] == ["7"]


Content = TypeVar("Content")


class Box(BaseModel, Generic[Content]):
    content: Content
    log: Annotated[list[Content], operator.add] = []


class Shelf(TypedDict, Generic[Content]):
    content: Content


def test_a_generic_class_with_its_parameters_is_a_state() -> None:
    state = single(Box[int], lambda state: {}).spec.state
    assert (state["content"].type, state["log"].type) == ("int", "list[int]")


def test_a_state_without_named_keys_is_refused() -> None:
    with pytest.raises(DefinitionError, match="named keys"):
        Workflow("list", list)
    with pytest.raises(DefinitionError, match=r"Fill in .*: `class Named\(Shelf\[\.\.\.\]\): \.\.\.`"):
        Workflow("shelf", Shelf[int])


def test_a_reserved_key_is_refused() -> None:
    with pytest.raises(DefinitionError, match="reserved"):
        Workflow("reserved", TypedDict("S", {"__dalsegno__": dict}))
    with pytest.raises(DefinitionError, match=r"'k\\ud83d' of `S` has half of a surrogate pair"):
        Workflow("reserved", TypedDict("S", {"k\ud83d": int}))


@pytest.mark.parametrize("name", ["__start__", "__pregel_tasks", "branch:to:node", "join:a+b:c"])
def test_a_key_that_would_be_a_channel_of_langgraph_is_refused(name: str) -> None:
    """It was proved, and what was written to it started nodes, or failed."""
    with pytest.raises(DefinitionError, match="LangGraph keeps the name"):
        Workflow("kept", TypedDict("Kept", {name: int}, total=False))


@pytest.mark.parametrize("name", sorted(KEPT))
def test_a_name_that_langgraph_keeps_for_itself_is_refused_before_it_does(name: str) -> None:
    graph = StateGraph(TypedDict("Kept", {name: int}, total=False))
    with pytest.raises(ValueError, match="reserved"):
        graph.add_node("node", lambda state: {}).add_edge(START, "node").compile()
    with pytest.raises(DefinitionError, match="LangGraph keeps the name"):
        Workflow("kept", TypedDict("Kept", {name: int}, total=False))
    with pytest.raises(DefinitionError):
        Workflow("kept", Typed).add_node(name, lambda state: {})
