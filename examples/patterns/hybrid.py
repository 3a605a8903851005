"""hybrid: a help topic on one screen. It is looked up and cleaned; only a long one is cut to what it opens with.

The topics are those that Python carries with it. No model is used, unless ``--model`` names one: it shortens then.

    $ python examples/patterns/hybrid.py
    one_screen: every run ends within 5 supersteps.
    This one took 5.
    long, … lines now:
    …
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from pydoc_data.topics import topics
from typing import Any

import stage

from dalsegno import Workflow
from dalsegno.graphs.patterns import hybrid
from dalsegno.nodes.agent import agent

GIVEN: dict[str, Any] = {"value": "class"}
SCREEN = 900
"""Characters of a long topic's opening."""


def look_up(state: Any) -> str:
    """The topic's text."""
    return str(topics[state["value"]])


def clean(state: Any) -> str:
    """Without the lines that underline headings."""
    lines = state["value"].splitlines()
    return "\n".join(line for line in lines if not set(line) & set("*=") or line.strip("*="))


def length(state: Any) -> str:
    return "long" if len(state["value"]) > SCREEN else "short"


def shorten(state: Any) -> str:
    """Its opening, to the end of a sentence."""
    return state["value"][:SCREEN].rpartition(".")[0] + "."


def laid_out(state: Any) -> str:
    """In lines of a screen's width."""
    return textwrap.fill(" ".join(state["value"].split()), width=76)


def flow(model: str | None = None) -> Workflow:
    shortened = agent(model, "In at most six sentences: {value}") if model else shorten
    branches = {"long": shortened, "short": None}
    return hybrid([look_up, clean], length, branches, after=[laid_out], name="one_screen")


def show(output: Mapping[str, Any]) -> Iterable[str]:
    lines = output["value"].splitlines()
    yield f"{output['label']}, {len(lines)} lines now:"
    yield lines[0]


if __name__ == "__main__":
    stage.play(flow, GIVEN, show)
