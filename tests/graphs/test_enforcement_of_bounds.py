"""An adversary decides: workflows of every construct, whose routers prefer to go back, stay within their certificates.

The workflows are made by chance of blocks one after the other: a step, a choice, a choice of several, a fork with
its join, a fan-out, a subworkflow (of blocks again), a node that commands. Any block may lead back to any earlier
one by a loop. What a run commits is counted from its state, its longest causal walk from the kernel's record.
"""

from __future__ import annotations

import operator
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, Send, interrupt

from dalsegno import END, START, Each, Loop, Runner, Workflow
from dalsegno.graphs.views import KERNEL


class State(TypedDict, total=False):
    ran: Annotated[list[str], operator.add]


BLOCKS = ("step", "choice", "several", "join", "each", "sub", "command")


@dataclass
class Made:
    """A workflow, what decides in it, what it is made of, and what is proved of it."""

    flow: Workflow
    chance: random.Random
    blocks: Counter[str] = field(default_factory=Counter)
    certificate: Any = None


class Maker:
    """Writes one workflow; `place` is where it stands in the ones around it."""

    def __init__(self, made: Made, place: str, depth: int, asking: float) -> None:
        self.made, self.flow, self.chance = made, made.flow, made.chance
        self.place, self.depth, self.asking = place, depth, asking

    def node(self, name: str, *, goes: Any = None, **known: Any) -> str:
        said, chance, asking = f"{self.place}{name}", self.chance, self.asking

        def run(state: Any) -> Any:
            if asking and chance.random() < asking:
                interrupt(said)
            update = {"ran": [said]}
            return update if goes is None else Command(update=update, goto=goes())

        self.flow.add_node(name, run, interrupts=int(asking > 0), calls=1, **known)
        return name

    def blocks(self, size: int) -> None:
        heads = [f"n{i}" for i in range(size)]
        self.flow.add_edge(START, heads[0])
        for i, head in enumerate(heads):
            after = heads[i + 1] if i + 1 < size else END
            kind = self.chance.choice(BLOCKS if self.depth else [b for b in BLOCKS if b != "sub"])
            self.made.blocks[kind] += 1
            getattr(self, kind)(head, after, heads[: i + 1], heads[i + 1 :])

    def back(self, earlier: list[str], after: str) -> dict[str, Loop]:
        """Loops to earlier blocks; a spent one leads on, or to another loop."""
        loops = {}
        for target in self.chance.sample(earlier, self.chance.randint(0, min(2, len(earlier)))):
            self.made.blocks["loop"] += 1
            spent: str | Loop = after
            others = [name for name in earlier if name != target]
            if others and self.chance.random() < 0.2:
                spent = Loop(self.chance.choice(others), max=self.chance.randint(0, 2), on_exhausted=after)
            loops[f"back to {target}"] = Loop(target, max=self.chance.randint(0, 3), on_exhausted=spent)
        return loops

    def pick(self, answers: list[str]) -> str:
        eager = [a for a in answers if a.startswith("back")]
        return self.chance.choice(eager if eager and self.chance.random() < 0.8 else answers)

    def step(self, head: str, after: str, earlier: list[str], later: list[str]) -> None:
        self.flow.add_edge(self.node(head), after)

    def choice(self, head: str, after: str, earlier: list[str], later: list[str]) -> None:
        self.node(head)
        answers: dict[Any, Any] = {"on": after, "far": self.chance.choice([*later, END])}
        answers |= self.back(earlier, after)
        self.flow.add_conditional_edges(head, lambda state: self.pick(list(answers)), answers)

    def several(self, head: str, after: str, earlier: list[str], later: list[str]) -> None:
        self.node(head)
        answers: dict[Any, Any] = {"on": after} | self.back(earlier, after)
        names = list(answers)

        def some(state: State) -> list[str]:
            return names if self.chance.random() < 0.5 else [self.pick(names)]

        self.flow.add_conditional_edges(head, some, answers, many=True)

    def join(self, head: str, after: str, earlier: list[str], later: list[str]) -> None:
        self.node(head)
        sides = [self.node(f"{head}_{side}") for side in "ab"]
        for side in sides:
            self.flow.add_edge(head, side)
        self.flow.add_edge(sides, self.node(f"{head}_joined"))
        self.choose_after(f"{head}_joined", after, earlier)

    def each(self, head: str, after: str, earlier: list[str], later: list[str]) -> None:
        self.node(head)
        self.flow.add_edge(self.node(f"{head}_worker"), after)
        most = self.chance.randint(1, 4)

        def send(state: State) -> Any:
            count = most if self.chance.random() < 0.7 else self.chance.randint(0, most)
            return [Send(f"{head}_worker", i) for i in range(count)] or after

        self.flow.add_conditional_edges(head, send, [Each(f"{head}_worker", max=most), after])

    def sub(self, head: str, after: str, earlier: list[str], later: list[str]) -> None:
        made = Made(Workflow(f"{self.flow.name}_{head}", State), self.chance, self.made.blocks)
        Maker(made, f"{self.place}{head}/", self.depth - 1, self.asking).blocks(self.chance.randint(1, 3))
        self.flow.add_node(head, made.flow, inputs={}, outputs={"ran": "ran"})
        self.choose_after(head, after, earlier)

    def command(self, head: str, after: str, earlier: list[str], later: list[str]) -> None:
        most: dict[str, int] = {}
        loops = [counted_once(loop, most) for loop in self.back(earlier, after).values()]
        targets = [after, *(loop.target for loop in loops)]
        self.node(
            head,
            goes=lambda: targets[0 if self.chance.random() < 0.3 else -1],
            destinations=(after, *loops),
        )

    def choose_after(self, head: str, after: str, earlier: list[str]) -> None:
        answers: dict[Any, Any] = {"on": after} | self.back(earlier, after)
        self.flow.add_conditional_edges(head, lambda state: self.pick(list(answers)), answers)


def counted_once(loop: Loop, most: dict[str, int]) -> Loop:
    """The same loop, and those after it, with the `max` that was said before of the node they go back to."""
    spent = loop.on_exhausted
    return Loop(
        loop.target,
        max=most.setdefault(loop.target, loop.max),
        on_exhausted=counted_once(spent, most) if isinstance(spent, Loop) else spent,
    )


def made_by_chance(seed: int, asking: float = 0.0) -> Made | None:
    """A workflow without errors; None where this seed gives none."""
    chance = random.Random(seed)
    made = Made(Workflow("random", State), chance)
    Maker(made, "", 2, asking).blocks(chance.randint(2, 5))
    report = made.flow.validate()
    made.certificate = report.certificate
    if not report.ok or made.certificate is None or made.certificate.executions > 250:
        return None
    return made


def hold(made: Made, ran: list[str], walk: int) -> None:
    """One run's committed executions and its longest walk are within what was proved."""
    certificate = made.certificate
    assert walk <= certificate.supersteps
    counted = Counter(ran)
    inside = sum(counted.values())
    entered = {name.rpartition("/")[0] for name in counted if "/" in name}
    assert inside + len(entered) <= certificate.executions
    assert inside <= certificate.model_calls
    for name, times in counted.items():
        assert times <= certificate.executions_by_node[name]


def test_no_run_of_any_workflow_goes_beyond_its_certificate(record_property: Any) -> None:
    seen: Counter[str] = Counter()
    for seed in range(300):
        made = made_by_chance(seed)
        if made is None:
            continue
        seen["workflows"] += 1
        seen.update({kind for kind in made.blocks if made.blocks[kind]})
        graph = made.flow.compile()
        for _ in range(3):
            result = graph.invoke({"ran": []}, output_keys=["ran", KERNEL])
            hold(made, result["ran"], result[KERNEL]["walk"])
            seen["runs"] += 1
            seen["executions"] += len(result["ran"])
            seen["reached"] += result[KERNEL]["walk"] == made.certificate.supersteps
    for what, count in seen.items():
        record_property(what, count)
    assert seen["workflows"] >= 150, seen
    assert min(seen[kind] for kind in (*BLOCKS, "loop")) >= 50, seen
    assert seen["reached"] >= 50, seen  # the adversary is worth its name


def test_interrupts_and_second_turns_change_nothing_of_that(record_property: Any) -> None:
    seen: Counter[str] = Counter()
    for seed in range(80):
        made = made_by_chance(seed, asking=0.15)
        if made is None:
            continue
        seen["workflows"] += 1
        graph = made.flow.compile(InMemorySaver())
        config: Any = {"configurable": {"thread_id": "t"}}
        before = 0
        for _ in range(2):
            result = graph.invoke({"ran": []}, config)
            while "__interrupt__" in result:
                answers = {i.id: "go on" for i in result["__interrupt__"]}
                result = graph.invoke(Command(resume=answers), config)
                seen["resumes"] += 1
            hold(
                made, result["ran"][before:], graph.checkpointer.get(config)["channel_values"][KERNEL]["walk"]
            )
            before = len(result["ran"])
            seen["runs"] += 1
    for what, count in seen.items():
        record_property(what, count)
    assert seen["runs"] >= 60, seen
    assert seen["resumes"] >= 150, seen


@pytest.mark.parametrize("seed", range(8))
def test_a_runner_that_is_closed_at_every_interrupt_goes_on_counting(seed: int, tmp_path: Path) -> None:
    made = next(m for s in range(seed * 50, seed * 50 + 50) if (m := made_by_chance(s, asking=0.15)))
    before = 0
    for _ in range(2):
        with Runner(made.flow, db=tmp_path / "runs.db") as runner:
            result = runner.run({"ran": []}, thread="t")
        while result.status == "interrupted":
            with Runner(made.flow, db=tmp_path / "runs.db") as runner:
                result = runner.resume("t", {i["id"]: "go on" for i in result.interrupts})
        assert result.status == "completed", result.error
        assert result.supersteps <= made.certificate.supersteps
        hold(made, result.output["ran"][before:], result.supersteps)
        before = len(result.output["ran"])
