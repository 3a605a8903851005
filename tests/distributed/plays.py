"""Workflows for workers. Each execution is logged beside this file, also one that is never committed."""

import operator
import os
import time
from pathlib import Path
from typing import Annotated, Literal, TypedDict

from langgraph.config import get_config
from langgraph.runtime import Runtime

from dalsegno import END, START, Workflow, human
from dalsegno.nodes.secrets import Secret

FOLDER = Path(__file__).parent


class Score(TypedDict, total=False):
    gate: str  # "n4 name": node n4 waits until the file gate-name is there
    pause: float
    fails: str
    trail: Annotated[list, operator.add]
    verdict: str


def note(node):
    thread = get_config()["configurable"]["thread_id"]
    line = f"{thread} {node} {os.getpid()}\n".encode()
    log = os.open(FOLDER / "log.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(log, line)
    os.close(log)


def wait_at(node, state):
    at, _, gate = state.get("gate", "").partition(" ")
    while at == node and not (FOLDER / f"gate-{gate}").exists():
        time.sleep(0.01)
    time.sleep(state.get("pause", 0.0))


def step(name):
    def play(state: Score):
        note(name)
        wait_at(name, state)
        if state.get("fails") == name:
            raise ValueError(f"{name} cannot go on")
        return {"trail": [name]}

    play.__name__ = name
    return play


async def hold(state: Score):
    return step("hold")(state)  # and nothing else goes on in the event loop


def chained(workflow, first, names):
    for before, name in zip((first, *names), names, strict=False):
        workflow.add_node(name, step(name)).add_edge(before, name)
    return workflow.add_edge(names[-1], END)


def heeding(name):
    """A node that does as the run's context says."""

    def play(state: Score, runtime: Runtime):
        note(name)
        return {"trail": [f"{name} {runtime.context['tone']}"]}

    play.__name__ = name
    return play


def asking(name, after):
    """before, then a question in a node of that name, then the others."""
    question = human("Publish?", answer=Literal["yes", "no"], writes="verdict")
    made = Workflow("asks", Score).add_node("before", step("before")).add_edge(START, "before")
    return chained(made.add_node(name, question).add_edge("before", name), name, after)


NODES = [f"n{i}" for i in range(10)]
ten = chained(Workflow("ten", Score), START, NODES)

asks = asking("ask", ["after"])


class Shown(TypedDict, total=False):
    trail: list


class Guarded(Score):
    token: Annotated[str, Secret]


guarded = chained(Workflow("guarded", Guarded), START, ["only"])
brief = chained(Workflow("brief", Score, output_schema=Shown), START, ["only"])

waits = Workflow("waits", Score)
waits.add_node(
    "ask", human("Publish?", answer=Literal["yes", "no"], writes="verdict", deadline=1, default="no")
).add_edge(START, "ask")
waits.add_node("after", step("after")).add_edge("ask", "after").add_edge("after", END)

heeds = (
    Workflow("heeds", Score, context_schema=dict)
    .add_node("before", heeding("before"))
    .add_edge(START, "before")
)
heeds.add_node("ask", human("Publish?", answer=Literal["yes", "no"], writes="verdict")).add_edge(
    "before", "ask"
)
heeds.add_node("after", heeding("after")).add_edge("ask", "after").add_edge("after", END)

holds = Workflow("holds", Score).add_node(hold).add_edge(START, "hold").add_edge("hold", END)
