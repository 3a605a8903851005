"""A type of `typing.TypedDict`s is taken wherever pydantic looks at it: in one another, and where it holds itself."""

from __future__ import annotations

import typing
from typing import Annotated, Any

import pytest
import typing_extensions
from langgraph.prebuilt import InjectedState
from pydantic import TypeAdapter

from dalsegno import agent, tool
from dalsegno.errors import ToolFailed
from dalsegno.graphs.patterns import react
from dalsegno.graphs.patterns.catalog import find
from dalsegno.nodes.structured import modern
from dalsegno.testing import Reply, ScriptedChatModel


class Leaf(typing.TypedDict, total=False):
    """The end of a branch."""

    size: int


class Tree(typing.TypedDict):
    branches: list[Tree]
    leaf: typing.NotRequired[Leaf]


class Wood(typing_extensions.TypedDict):
    trees: Annotated[list[Tree], "old ones"]
    oldest: typing_extensions.NotRequired[Tree]


class Endless(typing_extensions.TypedDict):
    more: list[Endless]


def test_what_holds_itself_and_what_lies_deep_is_validated() -> None:
    tree = {"branches": [{"branches": [], "leaf": {"size": "3"}}]}
    found = TypeAdapter(modern(Wood)).validate_python({"trees": [tree]})
    assert found == {"trees": [{"branches": [{"branches": [], "leaf": {"size": 3}}]}]}
    with pytest.raises(ValueError, match=r"trees\.0\.branches"):
        TypeAdapter(modern(Wood)).validate_python({"trees": [{}]})
    assert TypeAdapter(modern(Leaf)).json_schema()["description"] == "The end of a branch."


def test_what_pydantic_takes_as_it_is_stays_as_it_is() -> None:
    assert modern(Endless) is Endless
    assert TypeAdapter(modern(Endless)).validate_python({"more": [{"more": []}]}) == {"more": [{"more": []}]}


def test_a_model_answers_with_a_tree() -> None:
    told = {"branches": [{"branches": []}]}
    with ScriptedChatModel([Reply(told)]) as model:
        answer: Any = agent(model, "Plant one.", output=Tree, writes="tree").invoke({})
    assert answer == {"tree": told}


def test_a_function_that_takes_a_tree_is_a_tool_and_a_node() -> None:
    def count(tree: Tree, state: Annotated[Leaf, InjectedState], times: int = 1) -> int:
        """Count the branches.

        Args:
            tree: what has them
        """
        return len(tree["branches"]) * times + state["size"]

    async def counted(trees: list[Tree] | None = None) -> int:
        return len(trees or [])

    grown = {"branches": [{"branches": []}]}
    calls = [
        {"name": "count", "args": {"tree": grown}},
        {"name": "counted", "args": {"trees": [grown, grown]}},
    ]
    with ScriptedChatModel([calls, Reply("Done.", expect=["4", "2"])]) as model:
        gardener = agent(model, "Count.", tools=[count, counted], writes="said")
        assert gardener.invoke({"size": 3}) == {"said": "Done."}
    told = gardener.toolbox.tools["count"]
    assert told.description == "Count the branches."
    assert set(told.args) == {"tree", "times"}
    assert told.args["tree"]["description"] == "what has them"
    assert tool(count, writes="n").invoke({"tree": grown, "size": 1, "times": 2}) == {"n": 3}
    with pytest.raises(ToolFailed, match=r"`tree\.branches`: Field required"):
        tool(count, writes="n").invoke({"tree": {}, "size": 1})


@pytest.mark.parametrize("name", ["choreography", "ensemble", "tool_selection"])
def test_a_pattern_whose_state_holds_others_is_a_tool_for_a_reasoner(name: str) -> None:
    flow = find(name).example().run()["flow"]
    assert "reason" in react(lambda state: "done", [flow]).nodes
