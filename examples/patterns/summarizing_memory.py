"""summarizing_memory: the Zen of Python, told line by line to somebody who keeps only the last two lines as they were.

The lines are those that ``import this`` prints. Functions play all roles: the summary counts and keeps the longest
word of each line that is dropped, and lines with "never" are remembered for good, in a store, beyond the thread.

    $ python examples/patterns/summarizing_memory.py
    zen: every turn ends within 5 supersteps.
    1: 0 lines kept, 0 in short, 0 for ever
    5: 2 lines kept, 2 in short, 0 for ever
    9: 2 lines kept, 6 in short, 0 for ever
    13: 2 lines kept, 10 in short, 1 for ever
    17: 2 lines kept, 14 in short, 3 for ever
    In short: Beautiful, implicit, …
"""

from __future__ import annotations

import codecs
import contextlib
import io
from collections.abc import Iterable, Mapping
from typing import Any

import dialogue
from langgraph.store.memory import InMemoryStore

from dalsegno import Workflow
from dalsegno.graphs.patterns import summarizing_memory

with contextlib.redirect_stdout(io.StringIO()):
    import this

MESSAGES = [line for line in codecs.decode(this.s, "rot13").splitlines()[2:] if line]


def summarize(state: Any) -> dict[str, Any]:
    before = state.get("summary") or {"facts": []}
    facts = before["facts"] + [max(turn["message"].split(), key=len).strip(".,!") for turn in state["older"]]
    return {
        "goal": "to be told",
        "facts": facts,
        "decisions": [],
        "status": f"{len(facts)} lines are dropped",
    }


def answer(state: Any) -> str:
    facts = (state.get("summary") or {"facts": []})["facts"]
    return f"{len(state['turns'])} lines kept, {len(facts)} in short, {len(state['known'])} for ever"


def remember(state: Any) -> list[str]:
    return [state["message"]] if "never" in state["message"] else []


def flow(model: str | None = None) -> Workflow:
    return summarizing_memory(
        model or answer, model or summarize, remembrancer=model or remember, every=4, keep=2, name="zen"
    )


def show(output: Mapping[str, Any]) -> Iterable[str]:
    place = MESSAGES.index(output["message"]) + 1
    if place % 4 == 1:
        yield f"{place}: {output['response']}"
    if place == len(MESSAGES):
        yield f"In short: {', '.join(output['summary']['facts'])}"


if __name__ == "__main__":
    dialogue.play(flow, MESSAGES, show, store=InMemoryStore())
