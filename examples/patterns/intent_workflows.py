"""intent_workflows: a small assistant for Python's library, which routes among four workflows.

Each workflow is a pattern: `fallback_chain` defines a name, `parallel` measures a module, `function_calls` compares
two, and `generate_critique_revise` sums up a chapter. All read what Python carries with it, each result is validated,
and the conversation is kept on one thread. Functions play all roles; with ``--model`` a model classifies and responds.

    $ python examples/patterns/intent_workflows.py
    Proved: … supersteps and … executions at most.
    The longest way: begin → classifier → … → validator → classifier → … → validator → builder → record
    assistant: every turn ends within … supersteps.
    > define sqlite3
    define: …
    > measure queue
    measure: … lines, … classes
    > compare json.decoder and json.encoder
    compare: json.… is longer, by … lines
    > sum up assert
    sum up: …
    4 turns are kept: define, measure, compare, sum up
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterable, Mapping
from pydoc_data.topics import topics
from typing import Any

import dialogue

from dalsegno import Workflow
from dalsegno.graphs.patterns import (
    Node,
    fallback_chain,
    function_calls,
    generate_critique_revise,
    intent_workflows,
    parallel,
)

MESSAGES = ("define sqlite3", "measure queue", "compare json.decoder and json.encoder", "sum up assert")
SHORT = 160
"""Characters of a good summary."""


def last(message: str) -> str:
    return message.split()[-1]


def source(module: str) -> str:
    return inspect.getsource(importlib.import_module(module))


# -- define -------------------------------------------------------------------------------------------------


def from_builtins(state: Any) -> str:
    import builtins

    return str(inspect.getdoc(vars(builtins)[last(state["request"])])).partition("\n")[0]


def from_library(state: Any) -> str:
    return str(inspect.getdoc(pkgutil.resolve_name(last(state["request"])))).partition("\n")[0]


# -- measure ------------------------------------------------------------------------------------------------


def lines(state: Any) -> int:
    return len(source(last(state["value"])).splitlines())


def classes(state: Any) -> int:
    return len(re.findall(r"^class ", source(last(state["value"])), re.MULTILINE))


def together(state: Any) -> str:
    return ", ".join(f"{count} {what}" for what, count in state["results"].items())


# -- compare ------------------------------------------------------------------------------------------------


def count_lines(module: str) -> int:
    """How many lines a module's source has."""
    return len(source(module).splitlines())


def longer(first: str, second: str, a: int, b: int) -> str:
    """Which of two modules is longer."""
    return f"{first if a > b else second} is longer, by {abs(a - b)} lines"


def plan(state: Any) -> dict[str, Any]:
    first, second = re.findall(r"[\w.]+", state["request"])[1::2]
    both = {"first": first, "second": second, "a": "$one", "b": "$two"}
    return {
        "calls": [
            {"id": "one", "function": "count_lines", "arguments": {"module": first}},
            {"id": "two", "function": "count_lines", "arguments": {"module": second}},
            {"id": "longer", "function": "longer", "arguments": both},
        ]
    }


def compared(state: Any) -> str:
    return str(state["results"]["longer"])


# -- sum up -------------------------------------------------------------------------------------------------


def chapter(state: Any) -> str:
    paragraphs = topics[last(state["request"])].split("\n\n")[1:3]
    return " ".join(" ".join(paragraphs).split())


def judge(state: Any) -> dict[str, Any]:
    length = len(state["draft"])
    return {"score": min(1.0, SHORT / length), "comments": f"{length} characters"}


def shorten(state: Any) -> str:
    return " ".join(state["draft"].split()[:-4])


# -- the assistant ------------------------------------------------------------------------------------------


def classify(state: Any) -> str:
    return next(
        (intent for intent in ("measure", "compare", "sum up") if intent in state["message"]), "define"
    )


def check(state: Any) -> dict[str, Any]:
    valid = bool(state["result"]) and len(str(state["result"])) < 400
    return {"valid": valid, "problem": "" if valid else "nothing, or too much"}


def respond(state: Any) -> str:
    return f"{state['intent']}: {state['result']}"


def flow(model: str | None = None) -> Workflow:
    asked, told = {"request": "message"}, {"value": "message"}
    workflows = {
        "define": Node(
            fallback_chain([from_builtins, from_library]), inputs=asked, outputs={"result": "value"}
        ),
        "measure": Node(
            parallel([lines, classes], combine=together), inputs=told, outputs={"result": "value"}
        ),
        "compare": Node(
            function_calls(plan, [count_lines, longer], compared, max_depth=2),
            inputs=asked,
            outputs={"result": "response"},
        ),
        "sum up": Node(
            generate_critique_revise(chapter, judge, shorten, good_enough=0.95, revisions=3),
            inputs=asked,
            outputs={"result": "draft"},
        ),
    }
    return intent_workflows(
        model or classify, workflows, model or respond, validator=check, default="define", name="assistant"
    )


def show(output: Mapping[str, Any]) -> Iterable[str]:
    yield f"> {output['message']}"
    yield str(output["response"])
    if output["message"] == MESSAGES[-1]:
        intents = ", ".join(turn["intent"] for turn in output["turns"])
        yield f"{len(output['turns'])} turns are kept: {intents}"


if __name__ == "__main__":
    certificate = flow().validate().certificate
    assert certificate is not None
    print(f"Proved: {certificate.supersteps} supersteps and {certificate.executions} executions at most.")
    print(f"The longest way: {' → '.join(certificate.witness)}")
    dialogue.play(flow, MESSAGES, show)
