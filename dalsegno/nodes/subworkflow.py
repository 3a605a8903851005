"""What goes into a subworkflow, and which keys come out of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langgraph.errors import GraphInterrupt

from dalsegno.errors import KernelError

_DURABILITY = "__pregel_durability"  # langgraph._internal._constants.CONFIG_KEY_DURABILITY


def keeps(config: Any) -> bool:
    """Whether the graph that a task's config is of keeps checkpoints; every graph of a run but those below does."""
    return _DURABILITY in config["configurable"]


def keeping_nothing(config: Any) -> Any:
    """The config for a graph that keeps no checkpoints, in one that does.

    LangGraph 1.2 fails in a graph without a checkpointer that is told to keep them synchronously.
    """
    given = config.get("configurable", {})
    own = {key: value for key, value in given.items() if key != _DURABILITY}
    return {**config, "configurable": own}


def unanswerable(interrupt: GraphInterrupt, name: str) -> KernelError:
    """What a question is in a graph that keeps no checkpoints: asked again at each resume, whatever was answered."""
    asked = "; ".join(repr(getattr(i, "value", i)) for i in (interrupt.args[0] if interrupt.args else ()))
    return KernelError(
        f"The graph of `{name}` waits for a human ({asked}) and is compiled with `checkpointer=False`: it keeps "
        "nothing that an answer could go on from. Compile it without that."
    )


def mapped(values: Mapping[str, Any], keys: Mapping[str, str]) -> dict[str, Any]:
    """The values under their new names.

    `keys` maps new name to old name; a value that is not there is left out.

    >>> mapped({"text": "rain", "n": 1}, {"draft": "text", "missing": "x"})
    {'draft': 'rain'}
    """
    return {new: values[old] for new, old in keys.items() if old in values}
