"""tool_selection: what is ``with``? Asked of Python's builtins first, and when that fails of its help topics.

Both tools read what Python carries with it. A function selects: first what seems likely, and after a failure the other
way, where one tool finds the name of a topic and another one reads it. With ``--model`` a model selects and answers.

    $ python examples/patterns/tool_selection.py
    what_is: every run ends within 16 supersteps.
    This one took 13.
    The "with" statement is used to wrap the execution of a block …
    builtin: LookupError: no builtin is called with
"""

from __future__ import annotations

import builtins
import inspect
import pydoc
from collections.abc import Iterable, Mapping
from pydoc_data.topics import topics
from typing import Any

import stage

from dalsegno import Workflow
from dalsegno.graphs.patterns import tool_selection

GIVEN: dict[str, Any] = {"request": "with"}


def describe_builtin(name: str) -> str:
    """The first line of a builtin function's or class's documentation."""
    if not hasattr(builtins, name):
        raise LookupError(f"no builtin is called {name}")
    return str(inspect.getdoc(getattr(builtins, name))).partition("\n")[0]


def topic_of(keyword: str) -> str:
    """The help topic that a keyword of the language belongs to."""
    topic = pydoc.Helper.keywords[keyword]
    return str(topic[0] if isinstance(topic, tuple) else topic)


def read_topic(topic: str) -> str:
    """The first sentences of a help topic."""
    paragraphs = topics[topic].split("\n\n")[1:]  # without the title
    return " ".join(paragraphs[0].split())


def select(state: Any) -> dict[str, Any]:
    asked = state["request"]
    if not state["failures"]:
        name = {"name": asked}
        return {"steps": [{"id": "builtin", "tool": "describe_builtin", "arguments": name, "why": "likely"}]}
    find = {"id": "topic", "tool": "topic_of", "arguments": {"keyword": asked}, "why": "it is a keyword"}
    look = {"id": "text", "tool": "read_topic", "arguments": {"topic": "$topic"}, "why": "that explains it"}
    return {"steps": [find, look]}


def answer(state: Any) -> str:
    return list(state["results"].values())[-1] if state["results"] else "Nobody knows."


def flow(model: str | None = None) -> Workflow:
    tools = [describe_builtin, topic_of, read_topic]
    return tool_selection(
        model or select, tools, model or answer, max_steps=2, reselections=1, name="what_is"
    )


def show(output: Mapping[str, Any]) -> Iterable[str]:
    yield output["response"]
    for failed in output["failures"]:
        yield f"{failed['name']}: {failed['error']}: {failed['message']}"


if __name__ == "__main__":
    stage.play(flow, GIVEN, show)
