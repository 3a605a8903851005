"""Whatever becomes of a graph, a resume of its run goes on, or is refused by name: it never silently does nothing."""

from __future__ import annotations

import itertools
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from worlds import State, World

from dalsegno import END, START, Runner, Workflow
from dalsegno.errors import IncompatibleGraph

Plan = tuple[dict[str, str], list[tuple[str, str]], list[tuple[tuple[str, ...], str]]]
"""Names and what they do, static edges, joins."""


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """A graph without cycles: a few layers of nodes, edges from layer to layer, some of them joins."""
    layers = [
        [f"n{depth}{letter}" for letter in "abc"[: draw(st.integers(1, 3))]]
        for depth in range(draw(st.integers(2, 4)))
    ]
    nodes = {name: name for layer in layers for name in layer}
    edges = [(START, name) for name in layers[0]]
    joins: list[tuple[tuple[str, ...], str]] = []
    for above, below in itertools.pairwise(layers):
        for name in below:
            sources = draw(st.lists(st.sampled_from(above), min_size=1, unique=True))
            if len(sources) > 1 and draw(st.booleans()):
                joins.append((tuple(sources), name))
            else:
                edges += [(source, name) for source in sources]
    return nodes, edges, joins


@st.composite
def edits(draw: st.DrawFn, plan: Plan) -> Plan:
    """The graph after one to three edits: nodes renamed, removed, inserted, added; edges added."""
    nodes, edges, joins = dict(plan[0]), list(plan[1]), list(plan[2])
    for number in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(("rename", "remove", "insert", "append", "edge")))
        name = draw(st.sampled_from(sorted(nodes)))
        if kind == "rename":
            new = f"{name}x"
            nodes[new] = nodes.pop(name)
            edges = [(new if s == name else s, new if t == name else t) for s, t in edges]
            joins = [(tuple(new if s == name else s for s in ss), new if t == name else t) for ss, t in joins]
        elif kind == "remove" and len(nodes) > 1:
            del nodes[name]
            before = [s for s, t in edges if t == name] + [s for ss, t in joins if t == name for s in ss]
            after = [t for s, t in edges if s == name] + [t for ss, t in joins if name in ss]
            edges = [e for e in edges if name not in e] + [(s, t) for s in before for t in after]
            joins = [(ss, t) for ss, t in joins if t != name and name not in ss]
        elif kind == "insert":
            new = f"new{number}"
            nodes[new] = new
            edges = [(s, new if t == name else t) for s, t in edges] + [(new, name)]
            if not any(t == new for _, t in edges):
                edges.append((START, new))
        elif kind == "append":
            new = f"new{number}"
            nodes[new] = new
            edges.append((name, new))
        elif kind == "edge":
            other = draw(st.sampled_from(sorted(nodes)))
            if name < other:
                edges.append((name, other))
    return nodes, list(dict.fromkeys(edges)), joins


def built(plan: Plan, world: World) -> Workflow:
    nodes, edges, joins = plan
    flow = Workflow("any", State)
    for name, does in nodes.items():
        flow.add_node(name, world.node(does))
    for source, target in edges:
        flow.add_edge(source, target)
    for sources, target in joins:
        if len(sources) > 1:
            flow.add_edge(list(sources), target)
        else:
            flow.add_edge(sources[0], target)
    sources = {s for s, _ in edges} | {s for ss, _ in joins for s in ss}
    for name in nodes.keys() - sources:
        flow.add_edge(name, END)
    return flow


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_resume_goes_on_with_every_committed_node_executed_once_or_says_what_differs(data: Any) -> None:
    plan = data.draw(plans())
    edited = data.draw(edits(plan))
    broken = data.draw(st.sampled_from(sorted(plan[0])))
    world = World()
    before, after = built(plan, world), built(edited, world)
    if before.validate().findings or not after.validate().ok:
        return
    with tempfile.TemporaryDirectory() as folder:
        db = Path(folder) / "runs.db"
        world.broken.add(broken)
        with Runner(before, db=db) as runner:
            failed = runner.run({"topic": "x"}, thread="t1")
            if failed.status != "failed":
                return
            pending = list(runner.pending("t1").tasks)
            done = Counter(e.node for e in runner.ledger.executions(failed.run_id) if e.status == "done")
        world.broken.clear()
        world.seen.clear()
        with Runner(after, db=db) as runner:
            difference = runner.difference("t1")
            rename: dict[str, str] = {}
            if difference.refused():
                with pytest.raises(IncompatibleGraph) as refusal:
                    runner.resume("t1")
                assert refusal.value.difference == difference
                assert all(change.where and change.words for change in difference.changes)
                assert world.seen == []
                event(f"refused: {difference.verdict}")
                rename = dict(difference.rename)
                # What is suggested is a guess: only a human knows whether a new node is what became of an old one.
                right = all(edited[0][new] == plan[0][old] for old, new in rename.items())
                if not right or not rename or runner.difference("t1", rename=rename).refused():
                    return
            result = runner.resume("t1", rename=rename)
            event("went on" if not rename else "went on, renamed")
            assert result.status == "completed", result.error
            played = {old: edited[0][new] for old, new in rename.items()}
            assert played.get(broken, broken) in world.seen
            seen = Counter(world.seen)
            committed = [name for name, count in done.items() if name not in pending or count]
            repeated = [name for name in committed if seen[name] > _times(edited, world, name) - done[name]]
            assert not repeated, f"{repeated} of {done} were executed again: {world.seen}"
            waiting = [name for name in pending if not done[name]]
            assert all(seen[played.get(name, name)] for name in waiting), (
                f"{waiting} are pending, and only {world.seen} ran"
            )


def _times(plan: Plan, world: World, name: str) -> int:
    """How often a node is executed in an undisturbed run of a graph: ways of different lengths lead to it."""
    alone = World()
    with (
        tempfile.TemporaryDirectory() as folder,
        Runner(built(plan, alone), db=Path(folder) / "runs.db") as runner,
    ):
        assert runner.run({"topic": "x"}).status == "completed"
    return max(alone.seen.count(name), 1)
