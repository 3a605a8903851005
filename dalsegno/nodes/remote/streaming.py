"""What an agent says while it works, for whoever streams the run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

Tell = Callable[[str, str], None]
"""Takes the state of a task and the text that came with it."""


def teller(agent: str) -> Tell:
    """Writes to the run's stream (`stream_mode="custom"`): ``{"agent": …, "state": "working", "text": …}``."""
    config = sys.modules.get("langgraph.config")
    try:
        write = config.get_stream_writer() if config is not None else None
    except (RuntimeError, LookupError):  # nobody runs a graph
        write = None

    def tell(state: str, text: str) -> None:
        if write is not None:
            write({"agent": agent, "state": state, "text": text})

    return tell


def text_of(event: Any) -> str:
    """The text in an event of a task: of its status, or of a piece of its answer."""
    kind = event.WhichOneof("payload")
    parts = {
        "status_update": lambda: event.status_update.status.message.parts,
        "artifact_update": lambda: event.artifact_update.artifact.parts,
        "task": lambda: event.task.status.message.parts,
        "message": lambda: event.message.parts,
    }
    found = parts[kind]() if kind in parts else ()
    return "\n".join(part.text for part in found if part.HasField("text"))
