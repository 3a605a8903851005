"""Two calls at once, and one that needs both; a plan in which two wait for each other is refused."""

from __future__ import annotations

from typing import Any

from pattern_case import Case, Failing

from dalsegno.graphs.patterns import function_calls


def length(text: str) -> int:
    """How long a text is."""
    return len(text)


async def add(a: int, b: int) -> int:
    """The sum of two numbers."""
    return a + b


def plan(state: Any) -> dict[str, Any]:
    first, second = state["request"].split()
    return {
        "calls": [
            {"id": "sum", "function": "add", "arguments": {"a": "$one", "b": "$two"}},
            {"id": "one", "function": "length", "arguments": {"text": first}},
            {"id": "two", "function": "length", "arguments": {"text": second}},
        ]
    }


def in_a_circle(state: Any) -> dict[str, Any]:
    return {
        "calls": [
            {"id": "hen", "function": "length", "arguments": {"text": "$egg"}},
            {"id": "egg", "function": "length", "arguments": {"text": "x"}, "depends_on": ["hen"]},
        ]
    }


def nothing(state: Any) -> dict[str, Any]:
    return {"calls": []}


def respond(state: Any) -> str:
    return f"{state['results']['sum']} letters"


CASE = Case(
    pattern=function_calls,
    args=(plan, [length, add], respond),
    options={"max_depth": 2},
    given={"request": "al fine"},
    expect={"response": "6 letters", "results": {"one": 2, "two": 4, "sum": 6}, "skipped": []},
    gives="response",
    failing=Failing(
        args=(in_a_circle, [length, add], respond),
        given={"request": "al fine"},
        error=("WrongAnswer", "the calls hen → egg → hen wait for each other in a cycle"),
    ),
    slot=lambda node, state: function_calls(nothing, [length], node, state=state, max_depth=1),
    slot_key="response",
    slot_given={"request": "al fine"},
)
