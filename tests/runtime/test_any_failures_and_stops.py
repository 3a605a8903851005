"""Whatever fails, stops or is given up in a run, and in whatever order: of each execution one is journalled as done."""

from __future__ import annotations

import asyncio
import operator
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, TypedDict

from hypothesis import given, settings
from hypothesis import strategies as st

from dalsegno import END, START, Runner, Workflow
from dalsegno.runtime.events import Event


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]


node = st.fixed_dictionaries({
    "is_async": st.booleans(),
    "fails": st.integers(0, 2),
    "takes": st.sampled_from([0, 0, 0.002, 0.006]),
    "drains": st.booleans(),
})  # fmt: skip
layers = st.lists(st.lists(node, min_size=1, max_size=3), min_size=1, max_size=3)


class Play:
    """A graph of layers, all nodes of one in parallel; each fails as often as it is said to, before it is done."""

    def __init__(self, layers: list[list[dict[str, Any]]]) -> None:
        self.left: dict[str, int] = {}
        self.stops: set[str] = set()
        self.ask: list[str] = []
        self.flow = Workflow("layers", State)
        before: list[str] = []
        for depth, layer in enumerate(layers):
            names = [f"n{depth}{place}" for place in range(len(layer))]
            for name, said in zip(names, layer, strict=True):
                self.left[name] = said["fails"]
                if said["drains"]:
                    self.stops.add(name)
                self.flow.add_node(
                    name, self.coroutine(name, said) if said["is_async"] else self.function(name, said)
                )
                if len(before) > 1:
                    self.flow.add_edge(before, name)
                else:
                    self.flow.add_edge(before[0] if before else START, name)
            before = names
        for name in before:
            self.flow.add_edge(name, END)

    def end(self, name: str) -> State:
        if name in self.stops:
            self.stops.discard(name)
            self.ask.append(name)
        if self.left[name]:
            self.left[name] -= 1
            raise ConnectionError(name)
        return {"log": [name]}

    def function(self, name: str, given: dict[str, Any]) -> Any:
        def run(state: State) -> State:
            time.sleep(given["takes"])
            return self.end(name)

        return run

    def coroutine(self, name: str, given: dict[str, Any]) -> Any:
        async def run(state: State) -> State:
            await asyncio.sleep(given["takes"])
            return self.end(name)

        return run


@settings(max_examples=20, deadline=None)
@given(layers=layers, anew=st.booleans())
def test_each_execution_is_done_once(layers: list[list[dict[str, Any]]], anew: bool) -> None:
    play = Play(layers)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "runs.db"

        def hear(
            event: Event,
        ) -> None:  # the listener stops the run: a node that held its runner would hold a graph
            if play.ask:
                play.ask.clear()
                runner.drain()

        runner = Runner(play.flow, db=path, on_event=hear)
        result = runner.run({"log": []}, thread="t")
        for _ in range(40):
            if result.status == "completed":
                break
            if anew:  # as in another process
                runner.close()
                runner = Runner(play.flow, db=path, on_event=hear)
            result = runner.resume("t")
        executions = runner.ledger.executions(result.run_id)
        database: Any = runner.ledger.database
        waiting = len(database._queue)
        runner.close()
    assert result.status == "completed"
    assert Counter(e.node for e in executions if e.status == "done") == Counter(dict.fromkeys(play.left, 1))
    assert result.output is not None
    assert Counter(result.output["log"]) == Counter(dict.fromkeys(play.left, 1))
    failed = Counter(e.node for e in executions if e.error and e.error["type"] == "ConnectionError")
    assert all(count <= 2 for count in failed.values())
    assert waiting == 0
