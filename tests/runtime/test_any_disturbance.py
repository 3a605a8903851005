"""Whatever a run goes through, it comes to where it comes undisturbed, and does nothing twice that was handed over."""

from __future__ import annotations

import asyncio
import logging
import operator
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, TypedDict

from hypothesis import given, settings
from hypothesis import strategies as st
from langgraph.graph import StateGraph
from langgraph.types import Send, interrupt

from dalsegno import END, START, Each, Runner, Workflow


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]


behaviour = st.fixed_dictionaries({
    "fails": st.sampled_from([0, 0, 1, 2]),
    "asks": st.sampled_from([False, False, False, True]),
    "takes": st.sampled_from([0, 0, 0.001, 0.004]),
    "is_async": st.booleans(),
})  # fmt: skip
layer = st.fixed_dictionaries({
    "sent": st.booleans(),
    "routed": st.booleans(),
    "router": behaviour,
    "nodes": st.lists(st.one_of(behaviour, st.just("inner")), min_size=1, max_size=3),
})  # fmt: skip
inner_layers = st.lists(behaviour, min_size=1, max_size=3)
MANNERS = ("run", "stream", "left", "arun", "astream", "aleft")


class Play:
    """A graph of layers, which are nodes side by side or what one node sends, with graphs in it.

    `returned` is how often each node came to its end, `disturbs` says whether anything fails or asks.
    """

    def __init__(self, said: dict[str, Any], disturbs: bool) -> None:
        self.disturbs = disturbs
        self.is_ours = said["is_ours"]
        self.mixes = said["mixes"]
        self.returned: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()
        self._inner = said["inner"]
        self.graph = self._made("flow")
        before: list[str] = []
        for depth, each in enumerate(said["layers"]):
            before = (self._sending if each["sent"] else self._side_by_side)(depth, each, before)
        for name in before:
            self.graph.add_edge(name, END)

    def _made(self, name: str) -> Any:
        return Workflow(name, State) if self.is_ours else StateGraph(State)

    def _side_by_side(self, depth: int, said: dict[str, Any], before: list[str]) -> list[str]:
        names = [f"n{depth}{place}" for place in range(len(said["nodes"]))]
        for name, each in zip(names, said["nodes"], strict=True):
            self.graph.add_node(name, self._inside(name) if each == "inner" else self._node(name, each))
            self._link(before, name)
        return names

    def _sending(self, depth: int, said: dict[str, Any], before: list[str]) -> list[str]:
        each = [node for node in said["nodes"] if node != "inner"] or [said["router"]]
        hub, worker, after = f"hub{depth}", f"work{depth}", f"after{depth}"
        self.graph.add_node(hub, lambda _: {})
        self.graph.add_node(worker, self._worker(worker, each))
        self._link(before, hub)

        def sends(_: State) -> list[Send]:
            return [Send(worker, number) for number in range(2 * len(each))]

        self.graph.add_conditional_edges(hub, sends, [Each(worker, max=6)] if self.is_ours else [worker])
        if not said["routed"]:
            return [worker]
        self.graph.add_node(after, self._node(after, said["router"]))

        async def aroute(_: State) -> str:
            await asyncio.sleep(said["router"]["takes"])
            return after

        is_async = self.mixes and said["router"]["is_async"]
        self.graph.add_conditional_edges(worker, aroute if is_async else lambda _: after, [after, END])
        return [after]

    def _inside(self, name: str) -> Any:
        inner = self._made(f"in {name}")
        for place, each in enumerate(self._inner):
            inner.add_node(f"i{place}", self._node(f"{name}/i{place}", each))
            inner.add_edge(START, f"i{place}").add_edge(f"i{place}", END)
        return inner if self.is_ours else inner.compile()

    def _link(self, before: list[str], name: str) -> None:
        self.graph.add_edge(before if len(before) > 1 else before[0] if before else START, name)

    def _node(self, name: str, said: dict[str, Any]) -> Any:
        async def arun(state: Any) -> Any:
            await asyncio.sleep(said["takes"])
            return self._end(name, said)

        def run(state: Any) -> Any:
            time.sleep(said["takes"])
            return self._end(name, said)

        return arun if self.mixes and said["is_async"] else run

    def _worker(self, name: str, each: list[dict[str, Any]]) -> Any:
        async def arun(number: int) -> Any:
            return self._end(f"{name}[{number}]", each[number % len(each)])

        def run(number: int) -> Any:
            time.sleep(each[number % len(each)]["takes"])
            return self._end(f"{name}[{number}]", each[number % len(each)])

        return arun if self.mixes and each[0]["is_async"] else run

    def _end(self, name: str, said: dict[str, Any]) -> Any:
        if self.disturbs:
            if self._failed[name] < said["fails"]:
                self._failed[name] += 1
                raise ConnectionError(name)
            if said["asks"]:
                assert interrupt(name) == name
        self.returned[name] += 1
        return {"log": [name]}


def _turn(runner: Runner, manner: str, answers: dict[str, Any] | None, is_first: bool, chunks: int) -> None:
    """One turn at the run in thread t, in that manner; `left` is a stream of which so many chunks are read."""

    def stream() -> Any:
        return runner.stream({"log": []}, "t") if is_first else runner.stream_resume("t", answers)

    async def read() -> None:
        async with stream() as given:
            seen = 0
            async for _ in given:
                seen += 1
                if manner == "aleft" and seen > chunks:
                    break

    if manner == "run":
        runner.run({"log": []}, "t") if is_first else runner.resume("t", answers)
    elif manner == "arun":
        asyncio.run(runner.arun({"log": []}, "t") if is_first else runner.aresume("t", answers))
    elif manner in ("astream", "aleft"):
        asyncio.run(read())
    else:
        with stream() as given:
            for seen, _ in enumerate(given):
                if manner == "left" and seen >= chunks:
                    break


@settings(max_examples=10, deadline=None)
@given(
    said=st.fixed_dictionaries({
        "is_ours": st.booleans(),
        "mixes": st.booleans(),
        "inner": inner_layers,
        "layers": st.lists(layer, min_size=1, max_size=3),
    }),
    manners=st.lists(st.tuples(st.sampled_from(MANNERS), st.integers(0, 3), st.booleans()), max_size=12),
)  # fmt: skip
def test_it_comes_to_the_same_end(said: dict[str, Any], manners: list[tuple[str, int, bool]]) -> None:
    heard: list[str] = []
    handler = logging.Handler()
    handler.addFilter(lambda record: not record.name.startswith("psycopg"))  # of another test's pool
    handler.emit = lambda record: heard.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    try:
        with tempfile.TemporaryDirectory() as folder:
            _compare(said, manners, Path(folder))
    finally:
        logging.getLogger().removeHandler(handler)
    assert heard == []


def _compare(said: dict[str, Any], manners: list[tuple[str, int, bool]], folder: Path) -> None:
    with Runner(Play(said, disturbs=False).graph, db=folder / "undisturbed.db") as runner:
        wanted = runner.run({"log": []}, "t")
    assert wanted.status == "completed"

    play = Play(said, disturbs=True)
    if (
        not play.mixes
    ):  # in an event loop, what is in flight beside a failure is cancelled, and is in flight again
        manners = [(manner.removeprefix("a"), *rest) for manner, *rest in manners]  # type: ignore[misc]
    runner = Runner(play.graph, db=folder / "runs.db")
    run: Any = None
    for manner, chunks, anew in [*manners, *[("run", 0, False)] * 60]:
        answers = {each["id"]: each["value"] for each in run.interrupts} if run else None
        _turn(runner, manner, answers or None, run is None, chunks)
        run = runner.ledger.last("t")
        done = Counter(
            (e.place, e.occurrence, e.index)
            for e in runner.ledger.executions(run.run_id)
            if e.status == "done" and e.occurrence != 0
        )
        assert set(done.values()) <= {1}
        assert run.usage.get("executions", 0) == len(done)
        if run.error is not None:
            assert run.error["type"] == "ConnectionError"
            assert run.error["message"].partition("[")[0] == run.error["node"]
        if run.status == "completed":
            break
        if anew:  # as in another process
            runner.close()
            runner = Runner(play.graph, db=folder / "runs.db")
    values = runner.pending("t").values
    runner.close()
    assert run.status == "completed"
    assert values["log"] == wanted.output["log"]
    assert (run.supersteps, run.usage["executions"]) == (wanted.supersteps, wanted.usage["executions"])
    if not play.mixes:
        assert set(play.returned.values()) == {1}
