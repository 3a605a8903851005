"""What a node and a key of the state may be called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from dalsegno.errors import DefinitionError
from dalsegno.graphs.model import END, START, Place

if TYPE_CHECKING:
    from dalsegno.graphs.definitions import NodeDefinition

_RESERVED = (":", "|")
KEPT = frozenset(
    {"configurable", "checkpoint_id", "checkpoint_ns", "checkpoint_map", "langsmith:hidden", ":", "|"}
    | {f"__{name}__" for name in ("input", "interrupt", "resume", "error", "error_source_node", "no_writes")}
    | {"__snapshot_bumps__"}
    | {
        f"__pregel_{name}"
        for name in (
            "checkpointer", "pull", "push", "read", "replay_state", "resume_map", "resuming", "send", "stream",
            "stream_messages_v2", "strict_resume", "task_id", "timed_attempt_observer",
        )
    }
)  # fmt: skip
"""Names that LangGraph keeps for itself (``langgraph._internal._constants.RESERVED``): it compiles no graph with a node
or a key of the state that is called so."""

CHANNELS = ("__start__", "__pregel_", "branch:to:", "join:")
"""How the names of LangGraph's own channels begin, which stand among the keys of a state."""


def is_text(name: str) -> bool:
    """Whether a name can be written to a file: half of a surrogate pair cannot."""
    return not any("\ud800" <= character <= "\udfff" for character in name)


def check_name(name: str, taken: Mapping[str, NodeDefinition], where: Place) -> None:
    """Refuse the name of a node that is added at `where`, beside those that are there.

    Raises
    ------
    DefinitionError
        It is taken, empty, reserved, or no text.
    """
    if not name or name in (START, END) or any(c in name for c in _RESERVED):
        raise DefinitionError(
            f"add_node({name!r}) at {where}: a name is not empty, not START or END, and has no `:` or `|` in it."
        )
    if not is_text(name):
        raise DefinitionError(
            f"add_node({name!r}) at {where}: that name has half of a surrogate pair in it, and cannot be stored."
        )
    if name in KEPT:
        raise DefinitionError(
            f"add_node({name!r}) at {where}: LangGraph keeps that name for itself. Choose another."
        )
    if name in taken:
        raise DefinitionError(
            f"add_node({name!r}) at {where}: that name was added at {taken[name].where}. "
            "Give one of them another."
        )
