"""What players have in common: they read the state, return an update, and say what they know of themselves."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from langchain_core.runnables import Runnable, RunnableConfig

from dalsegno.nodes.execution import current_execution

PlayerKind = Literal["agent", "tool", "remote", "human"]


class Player(Runnable[Any, Any], ABC):
    """Somebody who does a node's work: what `agent`, `tool`, `remote` and `human` return.

    A runnable in both colours: `invoke(state)` and `ainvoke(state)` take the state, a mapping or an object, and
    return an update of it, a dictionary. `Workflow.add_node(player)` takes its `name`, its `kind` (what it is drawn
    as) and what it `declares()`.
    """

    kind: ClassVar[PlayerKind]
    name: str
    spares: frozenset[str] = frozenset()
    """Keys of its `reads` that a state need not have at all."""

    @property
    def optional(self) -> frozenset[str]:
        """Keys of its `reads` that may have nothing in them."""
        return frozenset()

    @abstractmethod
    def declares(self) -> Mapping[str, Any]:
        """Keywords of `Workflow.add_node` that it knows of itself; what is given to `add_node` wins."""

    @abstractmethod
    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> dict[str, Any]:
        """Read the state, do the work, return the update."""

    @abstractmethod
    async def ainvoke(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """`invoke` in the running event loop."""

    def functions(self) -> tuple[Any, ...]:
        """The functions of others that it calls, for the check to look into."""
        return ()

    def answers(self) -> tuple[Any, ...]:
        """The types of what it writes, where they were given to it: the state's schema may say less of its keys."""
        return ()

    def words(self) -> str:
        """What it was given in words: a run that goes on notices when they changed."""
        return ""

    @property
    def place(self) -> str:
        """The node that it plays in now, by its path; its own name outside of a workflow."""
        execution = current_execution()
        return execution.node if execution is not None else self.name

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name!r}>"
