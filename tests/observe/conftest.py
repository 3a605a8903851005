"""A workflow with everything in it that is told of: an agent with a tool, a fan-out, a subworkflow, a retry."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.types import Send

from dalsegno import END, START, Each, RetryPolicy, Secret, Workflow
from dalsegno.nodes.agent import agent
from dalsegno.testing import Reply, ScriptedChatModel

PLANTED = "planted-secret-7"


class Part(TypedDict, total=False):
    word: str
    lengths: Annotated[list[int], operator.add]


class Given(TypedDict):
    topic: str
    key: Annotated[str, Secret]


class State(Given, total=False):
    answer: str
    lengths: Annotated[list[int], operator.add]
    tries: int


def look_up(word: str) -> str:
    """Look a word up."""
    return f"{word}: water from clouds"


def measure(part: Part) -> dict[str, Any]:
    return {"lengths": [len(part["word"])]}


def words(state: Mapping[str, Any]) -> list[Send]:
    return [Send("measure", {"word": word}) for word in ("rain", "falls")]


class Flaky:
    """Fails the first time, repeating a secret."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, state: State) -> dict[str, Any]:
        self.calls += 1
        if self.calls == 1:
            raise ConnectionError(f"refused {state['key']}")
        return {"tries": self.calls}


def observed_flow() -> Workflow:
    inner = Workflow("inner", State).add_node("measure", measure)
    inner.add_conditional_edges(START, words, [Each("measure", max=5)]).add_edge("measure", END)
    model = ScriptedChatModel(
        [
            Reply([{"name": "look_up", "args": {"word": "rain"}}], usage=(12, 3)),
            Reply("Rain is water from clouds.", usage=(20, 7)),
        ],
        model_name="scripted-1",
    )
    flow = Workflow("observed", State, input_schema=Given)
    flow.add_node("ask", agent(model, "What is {topic}?", tools=[look_up], writes="answer"))
    flow.add_node("sub", inner)
    flow.add_node("flaky", Flaky(), retry=RetryPolicy(max_attempts=2, initial_interval=0.001, jitter=False))
    return flow.add_edge(START, "ask").add_edge("ask", "sub").add_edge("sub", "flaky").add_edge("flaky", END)


@pytest.fixture
def flow() -> Workflow:
    """The workflow, with a new script."""
    return observed_flow()


@pytest.fixture
def planted() -> str:
    """A value that must not be seen anywhere."""
    return PLANTED


@pytest.fixture
def given(planted: str) -> dict[str, Any]:
    """The workflow's input."""
    return {"topic": "rain", "key": planted}
