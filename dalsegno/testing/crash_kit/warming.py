"""Loading all that a run needs before the first fork, so that no child does it again."""

from __future__ import annotations

import operator
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

from dalsegno.checkpoints import SqliteCheckpointer
from dalsegno.graphs.model import END, START
from dalsegno.graphs.workflow import Workflow
from dalsegno.nodes.beside_nodes import end_threads
from dalsegno.testing.crash_kit.playing import Play, Stage

if TYPE_CHECKING:
    from dalsegno.checkpoints.file.database import Profile


class _Notes(TypedDict, total=False):
    notes: Annotated[list[str], operator.add]


def warm(profile: Profile, folder: Path) -> None:
    """Run two small workflows of our own, sync and async, once, in this process; nothing of the user's runs.

    Most of what LangGraph, pydantic and SQLite need is imported and compiled at first use.
    """
    for target in (_sync(), _async()):
        ours = Play(target, {"notes": []}, {"ask": "yes"}, None, profile, SqliteCheckpointer)
        stage = Stage(ours, folder / f"{target.name}.db")
        stage.witness.open(folder / "notes", None)
        stage.perform()
        stage.check()
        stage.close()
    end_threads()
    limit = time.monotonic() + 5
    while threading.active_count() > 1 and time.monotonic() < limit:
        time.sleep(0.001)  # what they started ends by itself; a fork would take its locks along


def _sync() -> Workflow:
    from langgraph.types import interrupt

    def note(state: _Notes) -> dict[str, Any]:
        return {"notes": ["noted"]}

    def ask(state: _Notes) -> dict[str, Any]:
        return {"notes": [interrupt("Ready?")]}

    flow = Workflow("warming", _Notes)
    flow.add_node("left", note).add_node("right", note).add_node("ask", ask, interrupts=1)
    flow.add_edge(START, "left").add_edge(START, "right").add_edge(["left", "right"], "ask").add_edge(
        "ask", END
    )
    return flow


def _async() -> Workflow:
    async def note(state: _Notes) -> dict[str, Any]:
        return {"notes": ["noted"]}

    return (
        Workflow("warming-async", _Notes).add_node("note", note).add_edge(START, "note").add_edge("note", END)
    )
