"""What a graph gives in a `Runner` is what it gives with LangGraph alone."""

from __future__ import annotations

import operator
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.graph import StateGraph
from langgraph.types import Send

from dalsegno import END, START, Each, Runner, Workflow


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]


def fan_out(graph: Any, *targets: Any) -> Any:
    graph.add_node("work", lambda sent: {"log": [sent["topic"]]})
    graph.add_conditional_edges(
        START, lambda state: [Send("work", {"topic": "rain"}), Send("work", {"topic": "sun"})], list(targets)
    )
    return graph.add_edge("work", END)


@pytest.mark.parametrize("mode", ["tasks", "debug"])
def test_what_was_sent_is_shown_as_it_was_sent(db: Path, mode: str) -> None:
    def sent(chunks: Any) -> list[Any]:
        told = [chunk.get("payload", chunk) for chunk in chunks]
        return [payload["input"] for payload in told if "input" in payload]

    alone = sent(fan_out(StateGraph(State), "work").compile().stream({}, stream_mode=mode))
    with Runner(fan_out(Workflow("w", State), Each("work", max=2)), db=db) as runner:
        assert sent(runner.stream({}, stream_mode=mode)) == alone == [{"topic": "rain"}, {"topic": "sun"}]
