"""The third turn: the first is summarized, the second stays as it was, and a fact is remembered."""

from __future__ import annotations

from typing import Any

from langgraph.store.memory import InMemoryStore
from pattern_case import Case, Failing

from dalsegno.graphs.patterns import summarizing_memory


def summarize(state: Any) -> dict[str, Any]:
    said = [turn["message"] for turn in state["older"]]
    return {"goal": "to talk", "facts": said, "decisions": [], "status": "going on"}


def answer(state: Any) -> str:
    return f"{state['summary']['facts']} and {[turn['message'] for turn in state['turns']]}"


def remember(state: Any) -> list[str]:
    return [f"asked for {state['message']}"]


def plain(state: Any) -> str:
    return str(state["message"])


CASE = Case(
    pattern=summarizing_memory,
    args=(answer, summarize),
    options={"remembrancer": remember, "every": 2, "keep": 1, "store": InMemoryStore()},
    given={
        "message": "hail",
        "turns": [{"message": "rain", "response": "yes"}, {"message": "snow", "response": "no"}],
    },
    expect={"response": "['rain'] and ['snow']", "learned": ["asked for hail"], "older": []},
    gives="response",
    failing=Failing(
        args=(plain, summarize),
        options={"remembrancer": remember},
        given={"message": "rain"},
        error=("DefinitionError", "there is no store to remember in"),
    ),
    slot=lambda node, state: summarizing_memory(node, summarize, state=state),
    slot_key="response",
    slot_given={"message": "rain"},
)
