"""A run does the same, and is told alike, whatever its nodes are called: a name may have a ``/`` or a ``#``."""

from __future__ import annotations

import operator
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypedDict

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from langgraph.types import Send, interrupt

from dalsegno import END, START, Each, Loop, Runner, Workflow, viz
from dalsegno.nodes.paths import coded, shown
from dalsegno.runtime.events import Event, NodeStarted
from dalsegno.runtime.view import history_of, run_view
from dalsegno.viz.replay import frames

NAMES = (
    "a", "b", "a/b", "b/a", "a/b/a", "<b>x</b>", "</script>", "/", "//", "/a", "a/", "a#1", "#", "a/b#2.None",
    "1.None/a", "join/0", "é/ü",
)  # fmt: skip
"""Some are the path of another one, where that is in a subworkflow of the name."""

KINDS = ("plain", "fails", "asks", "fans", "splits", "sub")


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]
    item: int


@dataclass
class Step:
    """A node, how it is called plainly and oddly, whether a loop leads back from it to the first, and what is in it."""

    kind: str
    plain: str
    odd: str
    again: bool = False
    inside: list[Step] = field(default_factory=list)

    def name(self, odd: bool) -> str:
        return self.odd if odd else self.plain


@st.composite
def levels(draw: st.DrawFn, depth: int = 0, prefix: str = "n") -> list[Step]:
    """The steps of a workflow, one after the other; in two of its levels a name may be the same."""
    odd = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=2 if depth else 4, unique=True))
    found = []
    for number, name in enumerate(odd):
        kind = draw(st.sampled_from(KINDS if depth < 2 else KINDS[:-1]))
        plain = f"{prefix}{number}"
        inside = draw(levels(depth + 1, f"{plain}i")) if kind == "sub" else []
        if kind in ("fans", "splits"):  # one or two more nodes, of names that are free
            free = [n for n in NAMES if n not in odd and n not in {i.odd for s in found for i in s.inside}]
            inside = [Step("plain", f"{plain}{letter}", n) for letter, n in zip("xy", free[-2:], strict=True)]
        again = kind == "plain" and number == len(odd) - 1 and draw(st.booleans())  # one loop a level
        found.append(Step(kind, plain, name, again, inside))
    return found


def most(steps: list[Step], *kinds: str) -> int:
    """How often nodes of these kinds are executed at most: loops within each other multiply."""
    rounds = 2 if any(step.again for step in steps) else 1
    return rounds * sum((step.kind in kinds) + most(step.inside, *kinds) for step in steps)


class Maker:
    """Makes a workflow of steps; what `fails` does so once."""

    def __init__(self, odd: bool) -> None:
        self.odd, self.failed = odd, set[str]()
        self.places: dict[str, str] = {}
        """Each node's plain place, by the one it has."""

    def flow(self, steps: list[Step], name: str = "flow", at: str = "", plain: str = "") -> Workflow:
        flow = Workflow(name, State)
        for mark in (START, END):
            self.places[at + mark] = plain + mark
        ends = [self._add(flow, step, at, plain) for step in steps]
        first = steps[0].name(self.odd)
        flow.add_edge(START, first)
        for number, (step, end) in enumerate(zip(steps, ends, strict=True)):
            target = steps[number + 1].name(self.odd) if number + 1 < len(steps) else END
            if step.again:
                loop = Loop(first, max=1, on_exhausted=target)
                flow.add_conditional_edges(end, _again, {"again": loop, "on": target})
            elif step.kind != "fans":
                flow.add_edge(end, target)
            if step.kind == "fans":
                flow.add_edge(step.inside[0].name(self.odd), target)
        return flow

    def _add(self, flow: Workflow, step: Step, at: str, plain: str) -> Any:
        name = step.name(self.odd)
        here, there = at + coded(name), plain + step.plain
        self.places[here] = there
        if step.kind == "sub":
            flow.add_node(name, self.flow(step.inside, step.plain, f"{here}/", f"{there}/"))
            return name
        flow.add_node(name, self._function(step), interrupts=int(step.kind == "asks"))
        for inner in step.inside[: 1 if step.kind == "fans" else 2]:
            self._add(flow, inner, at, plain)
        names = [inner.name(self.odd) for inner in step.inside]
        if step.kind == "fans":
            worker = names[0]
            flow.add_conditional_edges(
                name, lambda s: [Send(worker, {"item": i}) for i in range(2)], [Each(worker, max=2)]
            )
        if step.kind == "splits":
            flow.add_edge(name, names[0])
            flow.add_edge(name, names[1])
            return names
        return name

    def _function(self, step: Step) -> Any:
        def act(state: State) -> State:
            if step.kind == "fails" and step.plain not in self.failed:
                self.failed.add(step.plain)
                raise ValueError("once")
            said = interrupt("go on?") if step.kind == "asks" else step.plain
            return {"log": [str(said)]}

        return act


def _again(state: State) -> str:
    return "again" if len(state["log"]) % 3 else "on"


def told(steps: list[Step], odd: bool) -> tuple[list[Any], list[set[str]]]:
    """All that is told of a run and its resumes, with nodes by their plain places; and those that paths may mean."""
    maker, heard = Maker(odd), list[Event]()
    flow = maker.flow(steps)
    plainly = Plainly(maker.places)
    found: list[Any] = []
    paths: list[set[str]] = []
    with tempfile.TemporaryDirectory() as folder:
        db = Path(folder) / "runs.db"
        with Runner(flow, db=db, on_event=heard.append) as runner:
            result = runner.run({"log": []}, thread="t")
        for _ in range(60):
            found += [
                result.status,
                result.supersteps,
                sorted((result.output or {}).get("log", ())),
                (result.error or {}).get("type"),
            ]
            found += [result.usage["executions"], len(result.interrupts)]
            paths += [plainly.of_path((result.error or {}).get("node", "flow"))]
            paths += sorted((plainly.of_path(i["node"]) for i in result.interrupts), key=sorted)
            with Runner(flow, db=db, on_event=heard.append) as runner:
                assert runner.difference("t").verdict == "same"
                found += [sorted(plainly(coded(name)) for name in runner.pending("t").tasks)]
                found += _seen(runner, result.run_id, plainly)
                if result.status == "completed":
                    break
                asked = {i["id"]: "yes" for i in result.interrupts}
                result = runner.resume("t", asked or None)
        assert result.status == "completed"
    assert all(event.node == shown(event.place) for event in heard if isinstance(event, NodeStarted))
    found += [sorted((type(e).__name__, plainly(e.place)) for e in heard if isinstance(e, NodeStarted))]
    return found, paths


def _seen(runner: Runner, run_id: str, plainly: Plainly) -> list[Any]:
    """The journal, the history and the picture of a run."""
    records, run = runner.ledger.executions(run_id), runner.ledger.get(run_id)
    assert all(record.node == shown(record.place) for record in records)
    history = history_of(records, runner.spec)
    view = run_view(runner.ledger, runner.spec, run, runner.pending("t"))
    drawn = viz.picture(runner.spec, run=view, fold=False)
    bare = viz.picture(runner.spec, fold=False)
    return [
        sorted((plainly(r.place), r.superstep, plainly.number(r.occurrence), str(r.index), r.status) for r in records),
        {plainly(place): (node.count, node.status) for place, node in history.nodes.items()},
        {(plainly(a), plainly(b)): count for (a, b, _), count in history.edges.items()},
        (history.supersteps, history.marks([run.started_at])[-1], view.supersteps, view.resumed_from),
        sorted(plainly(place) for place in view.pending),
        sorted(
            (plainly(e.node), e.superstep, e.status, plainly.entry(e.entry), [plainly(t) for t, _ in e.targets])
            for e in view.executions
        ),
        [(n.status, n.classes, n.mark) for n in drawn.nodes],
        [(c.status, c.classes, c.mark) for c in drawn.clusters],
        [(plainly(e.source), plainly(e.target), e.classes, _ways(e.label)) for e in drawn.edges],
        [(sorted(f["now"]), {box: s for box, (s, _) in f["n"].items()}, sorted(f["e"])) for f in frames(bare, view)],
    ]  # fmt: skip


def _ways(label: str) -> list[str]:
    return re.findall(r"\d+/\d+|×\d+", label)


class Plainly:
    """Tells of nodes by their plain places."""

    def __init__(self, places: Mapping[str, str]) -> None:
        self.places = places

    def __call__(self, place: str) -> str:
        if place.endswith("/"):
            return f"{self.places[place[:-1]]}/"
        return self.places.get(place, place)

    def of_path(self, path: str) -> set[str]:
        """Those that read so: more than one where a name is the path of another node."""
        return {plain for place, plain in self.places.items() if shown(place) == path}

    def entry(self, entry: str) -> tuple[str, str]:
        place, _, number = entry.partition("#")
        return self(place), self.number(number)

    @staticmethod
    def number(number: int | str) -> str:
        """An execution's number, without the name of what sent it."""
        return re.sub(r"[^/]*#", "#", str(number))


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=levels())
def test_a_run_is_told_alike_whatever_its_nodes_are_called(steps: list[Step]) -> None:
    assume(most(steps, "asks") <= 8 and most(steps, *KINDS) <= 40)
    found, paths = told(steps, odd=True)
    plainly, plain_paths = told(steps, odd=False)
    assert found == plainly
    assert all(one <= several for one, several in zip(plain_paths, paths, strict=True))
