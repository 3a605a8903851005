"""Nodes that fail when told to, for the tests of runs."""

from __future__ import annotations

import operator
import time
from collections.abc import Callable
from typing import Annotated, Any, TypedDict

from dalsegno import END, START, Workflow
from dalsegno.nodes import current_execution


class State(TypedDict, total=False):
    topic: str
    path: Annotated[list[str], operator.add]
    count: int


class World:
    """What the nodes do: fail when told to. `seen` are their names, `keys` their idempotency keys, in order.

    `beside` names a node that has begun before one fails: LangGraph does not begin what waits for a thread then.
    """

    def __init__(self) -> None:
        self.broken: set[str] = set()
        self.beside: dict[str, str] = {}
        self.seen: list[str] = []
        self.keys: list[tuple[str, str]] = []

    def node(self, name: str) -> Callable[[Any], dict[str, Any]]:
        def run(state: Any) -> dict[str, Any]:
            self.seen.append(name)
            execution = current_execution()
            self.keys.append((name, execution.idempotency_key if execution else ""))
            if name in self.broken:
                limit = time.monotonic() + 20
                while name in self.beside and self.beside[name] not in self.seen:
                    assert time.monotonic() < limit, f"{self.beside[name]} did not begin"
                    time.sleep(0.001)
                raise ValueError(f"{name} is broken")
            return {"path": [name]}

        return run

    def chain(self, *names: str, schema: Any = State, name: str = "chain", **options: Any) -> Workflow:
        """A workflow of these nodes in a row; ``"new:old"`` is a node called new that does what old did."""
        flow = Workflow(name, schema, **options)
        parts = [part.partition(":") for part in names]
        flow.add_sequence([(new, self.node(old or new)) for new, _, old in parts])
        return flow.add_edge(START, parts[0][0]).add_edge(parts[-1][0], END)
