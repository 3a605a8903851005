"""A workflow, an agent or a remote agent that is a tool gets what a call has, and nothing for what it leaves out."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.callbacks import CallbackManagerForToolRun
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import Tool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langgraph.graph import StateGraph
from langgraph.types import interrupt
from typing_extensions import TypedDict as ModernTypedDict

from dalsegno import END, START, Runner, Workflow, agent, human, remote, tool
from dalsegno.errors import DefinitionError
from dalsegno.nodes.tooling import as_tool
from dalsegno.testing import Reply, ScriptedChatModel

Play = Callable[[Any, Any], dict[str, Any]]


class Search(TypedDict, total=False):
    topic: str
    style: str | None
    notes: Annotated[list[str], operator.add]


@dataclass
class SearchObject:
    topic: str
    style: str | None = "plain"
    notes: Annotated[list[str], operator.add] = field(default_factory=list)


class Words(ModernTypedDict, total=False):
    words: str
    most: int


def one(node: Any, schema: Any = Search, name: str = "look", **options: Any) -> Workflow:
    return Workflow(name, schema).add_node("n", node, **options).add_edge(START, "n").add_edge("n", END)


def called(player_or_flow: Any, play: Play, **arguments: Any) -> str:
    script = [{"name": as_tool(player_or_flow).name, "args": arguments}, lambda messages: messages[-1].text]
    with ScriptedChatModel(script) as model:
        return str(play(agent(model, "?", tools=[player_or_flow], writes="said"), {})["said"])


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ({"topic": "rain"}, {"topic": "rain", "notes": []}),
        ({"topic": "rain", "style": None}, {"topic": "rain", "style": None, "notes": []}),
        ({"topic": "rain", "notes": ["wet"]}, {"topic": "rain", "notes": ["wet"]}),
    ],
)
def test_a_key_that_a_call_leaves_out_is_not_in_the_state_of_a_workflow(
    play: Play, given: dict[str, Any], seen: dict[str, Any]
) -> None:
    states: list[Any] = []
    flow = one(lambda state: states.append({**state}) or {"notes": ["looked"]}, calls=0)
    assert '"looked"]' in called(flow, play, **given)
    assert states == [seen]


def test_what_a_dataclass_has_by_itself_it_has_in_a_tool_too(play: Play) -> None:
    states: list[Any] = []
    flow = one(lambda state: states.append(state) or {"notes": ["looked"]}, SearchObject, calls=0)
    called(flow, play, topic="rain")
    assert states == [SearchObject("rain")]


def test_a_model_is_told_which_fields_may_be_left_out(play: Play) -> None:
    writer = agent(
        ScriptedChatModel([lambda messages: messages[-1].text]),
        "About {topic}{style?} and {topic?}",
        writes="notes",
        name="write",
    )
    schema: Any = as_tool(writer).tool_call_schema
    assert schema.model_json_schema()["required"] == ["topic"]
    assert called(writer, play, topic="rain") == "About rain and rain"
    asked: Any = as_tool(
        remote("https://a.example/", "answer", params={"q": "question", "lang": "language?"})
    )
    assert asked.tool_call_schema.model_json_schema()["required"] == ["question"]


def test_a_runnable_of_named_arguments_gets_what_a_call_has(play: Play) -> None:
    def look(given: Words) -> str:
        return str(sorted(given))

    assert called(RunnableLambda(look), play, words="rain") == "['words']"


def test_one_of_a_type_that_nobody_finds_is_told() -> None:
    class Local(ModernTypedDict):
        words: str

    def look(given: Local) -> str:
        return given["words"]

    with pytest.raises(DefinitionError, match="types of the tool `look` cannot be read: name 'Local'"):
        as_tool(RunnableLambda(look))


@pytest.mark.parametrize("name", ["callbacks", "class", "Config", "model_config", "run_manager", "_own"])
def test_a_field_that_no_call_could_fill_is_refused(name: str) -> None:
    asking = agent(ScriptedChatModel([]), f"{{{name}}}", writes="draft")
    flow = Workflow("asked", TypedDict("Asked", {name: str, "draft": str}, total=False))  # type: ignore[operator,misc]  # made here
    flow.add_node("ask", asking).add_edge(START, "ask").add_edge("ask", END)
    for given in (asking, flow):
        with pytest.raises(DefinitionError, match=f"takes an argument `{name}`, a name that LangChain keeps"):
            as_tool(given)


def test_so_is_a_parameter_and_what_langchain_gives_is_none() -> None:
    def lost(args: str) -> str:
        return args

    def watched(words: str, run_manager: CallbackManagerForToolRun | None = None) -> str:
        return words

    with pytest.raises(DefinitionError, match="takes an argument `args`"):
        as_tool(lost)
    assert set(as_tool(watched).args) == {"words"}


def test_a_workflow_that_waits_for_a_human_is_no_tool() -> None:
    asking = one(human("{topic}?", answer=str, writes="style"), name="ask")
    for flow, where in ((asking, "n"), (one(asking, name="outer"), "n/n")):
        with pytest.raises(DefinitionError, match=f"`{where}` in it waits for a human"):
            agent(ScriptedChatModel([]), "?", tools=[flow], writes="said")


def test_one_that_does_not_say_so_fails_and_asks_nobody(tmp_path: Path, drive: Callable[..., Any]) -> None:
    asking = one(lambda state: {"style": interrupt("which?")}, name="ask", calls=0)
    script = [{"name": "ask", "args": {"topic": "rain"}}, Reply("never")]
    desk = one(
        agent(ScriptedChatModel(script), "?", tools=[asking], writes="topic"), name="desk", interrupts=1
    )
    with Runner(desk, db=tmp_path / "r.db") as runner:
        result = drive(runner, "run", {})
    assert (result.status, result.error["type"]) == ("failed", "ToolFailed")
    assert "something in it waits for a human" in result.error["message"]


@pytest.mark.parametrize("checkpointer", [None, False])
def test_a_langgraph_graph_that_is_a_tool_has_as_many_supersteps_as_by_itself(
    tmp_path: Path, drive: Callable[..., Any], checkpointer: Any
) -> None:
    plain: Any = StateGraph(Search)
    names = ["a", "b", "c", "d"]
    for name in names:
        plain.add_node(name, lambda state: {"notes": [state["topic"]]})
    for before, after in zip([START, *names], [*names, END], strict=True):
        plain.add_edge(before, after)
    look = plain.compile(checkpointer=checkpointer, name="look")
    script = [
        {"name": "look", "args": {"topic": "rain"}},
        Reply("Done.", expect='["rain","rain","rain","rain"]'),
    ]
    desk = one(agent(ScriptedChatModel(script), "?", tools=[look], writes="topic"), name="desk")
    with Runner(desk.waive("T111", "n", "it ends by itself"), db=tmp_path / "r.db") as runner:
        assert drive(runner, "run", {}).output["topic"] == "Done."


def test_a_tool_of_langchain_that_takes_one_text_is_called_as_models_are_told(play: Play) -> None:
    shout = Tool("shout", lambda text: text.upper(), "Shouts.")
    assert convert_to_openai_tool(shout)["function"]["parameters"]["required"] == ["__arg1"]
    assert called(shout, play, __arg1="rain") == "RAIN"
    assert play(tool(shout, args={"__arg1": "topic"}, writes="said"), {"topic": "rain"}) == {"said": "RAIN"}
