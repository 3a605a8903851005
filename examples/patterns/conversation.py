"""conversation: find a chapter of Python's documentation in a few messages, and read it piece by piece.

The chapters are the help topics that Python carries with it (`pydoc_data.topics`). Functions play both roles: one keeps
which chapters still fit and how far it was read, one answers. Each message is a run of its own, on one thread.

    $ python examples/patterns/conversation.py
    reader: every turn ends within 4 supersteps.
    > something about strings
    [searching] 2 chapters fit: string-methods, strings. Which one?
    > strings
    [reading] String and Bytes literals
    > more
    [reading] …
    > reset
    [searching] What would you like to read about?
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pydoc_data.topics import topics
from typing import Any

import dialogue

from dalsegno import Workflow
from dalsegno.graphs.patterns import conversation

MESSAGES = ("something about strings", "strings", "more", "reset")


def words(text: str) -> set[str]:
    return {word.rstrip("s") for word in text.lower().replace("-", " ").split() if len(word) > 4}


def manage(state: Any) -> dict[str, Any]:
    known, message = state["known"], state["message"]
    facts = dict(known["facts"])
    if known["phase"] == "reading":
        facts["piece"] += 1
    elif message in topics:
        facts = {"chapter": message, "piece": 0}
    else:
        facts["fit"] = sorted(title for title in topics if words(title) & words(message))
    reading = "chapter" in facts
    return {
        "goal": "to read",
        "facts": facts,
        "open": [] if reading else ["Which one?"],
        "phase": "reading" if reading else "searching",
    }


def answer(state: Any) -> str:
    facts = state["known"]["facts"]
    if "chapter" in facts:
        pieces = [piece for piece in topics[facts["chapter"]].split("\n\n") if piece.strip()]
        return pieces[min(facts["piece"], len(pieces) - 1)].splitlines()[0]
    if "fit" in facts:
        return f"{len(facts['fit'])} chapters fit: {', '.join(facts['fit'])}. {state['known']['open'][0]}"
    return "What would you like to read about?"


def flow(model: str | None = None) -> Workflow:
    return conversation(manage, model or answer, phases=("searching", "reading"), name="reader")


def show(output: Mapping[str, Any]) -> Iterable[str]:
    yield f"> {output['message']}"
    yield f"[{output['known']['phase']}] {output['response']}"


if __name__ == "__main__":
    dialogue.play(flow, MESSAGES, show)
