"""peer_to_peer: what is `yield` in Python? Three guides, and none of them knows everything.

Each guide has a tool that looks into its own book: the keywords, the builtins, the help topics that Python carries with
it. Who does not find the word hands over to another. The guides are functions; with ``--model`` each is a model.

    $ python examples/patterns/peer_to_peer.py
    guides: every run ends within 25 supersteps.
    This one took 18.
    builtins -> keywords: `yield` is no builtin
    keywords -> topics: it is a keyword; what does it do?
    topics: The "yield" statement …
"""

from __future__ import annotations

import builtins
import inspect
import keyword
import re
from collections.abc import Iterable, Mapping
from pydoc_data.topics import topics
from typing import Any

import stage

from dalsegno import Workflow
from dalsegno.graphs.patterns import Peer, peer_to_peer

GIVEN: dict[str, Any] = {"request": "yield"}


def builtin(word: str) -> str:
    """The first line of a builtin's documentation."""
    return str(inspect.getdoc(getattr(builtins, word))).partition("\n")[0]


def is_keyword(word: str) -> bool:
    """Whether a word is a keyword."""
    return keyword.iskeyword(word)


def topic(word: str) -> str:
    """The sentence of a help topic that says what something is."""
    text = " ".join(topics[word].replace("*", "").split())
    found = re.search(rf"(?:A|The) [\"“]?{word}[^.]* (?:is|makes|may|causes)\b[^.]*\.", text)
    return found.group(0) if found else text[:120]


def call(name: str, **args: Any) -> dict[str, Any]:
    return {"name": name, "args": args}


def seen(state: Any, tool: str) -> Any:
    """What a tool gave, where it was called."""
    return next((m for m in reversed(state["messages"]) if m.type == "tool" and m.name == tool), None)


def of_builtins(state: Any) -> Any:
    found = seen(state, "builtin")
    if found is None:
        return call("builtin", word=state["request"])
    if found.status == "error":
        return call("hand_over_to_keywords", message=f"`{state['request']}` is no builtin")
    return found.text


def of_keywords(state: Any) -> Any:
    found = seen(state, "is_keyword")
    if found is None:
        return call("is_keyword", word=state["request"])
    if found.text == "true":
        return call("hand_over_to_topics", message="it is a keyword; what does it do?")
    return f"`{state['request']}` is nothing that Python knows by itself."


def of_topics(state: Any) -> Any:
    found = seen(state, "topic")
    return call("topic", word=state["request"]) if found is None else found.text


def flow(model: str | None = None) -> Workflow:
    return peer_to_peer(
        {
            "builtins": Peer(model or of_builtins, tools=[builtin], about="the builtins of Python"),
            "keywords": Peer(model or of_keywords, tools=[is_keyword], about="the keywords of Python"),
            "topics": Peer(model or of_topics, tools=[topic], about="what the keywords of Python do"),
        },
        max_turns=8,
        name="guides",
    )


def show(output: Mapping[str, Any]) -> Iterable[str]:
    for handed in output["handovers"]:
        yield f"{handed['by']} -> {handed['to']}: {handed['message']}"
    yield f"{output['answered_by']}: {output['answer']}"


if __name__ == "__main__":
    stage.play(flow, GIVEN, show)
