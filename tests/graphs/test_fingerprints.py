"""A fingerprint is the hash of the shape's JSON, and takes no longer for what stands in many places."""

from __future__ import annotations

import hashlib
import json
from typing import Any, TypedDict

import pytest

from dalsegno import END, START, Loop, Workflow, validate
from dalsegno.errors import DefinitionError
from dalsegno.graphs import shaping


class State(TypedDict, total=False):
    text: str
    tries: int


def step(state: State) -> State:
    return {"text": "done"}


def verdict(state: State) -> str:
    return "good"


def child() -> Workflow:
    flow = Workflow("child", State).add_node("write", step).add_node("review", step)
    flow.add_edge(START, "write").add_edge("write", "review")
    ways: Any = {"good": END, "again": Loop("write", max=2, on_exhausted=END)}
    return flow.add_conditional_edges("review", verdict, ways)


def parent(inner: Workflow) -> Workflow:
    flow = Workflow("parent", State).add_node("one", inner, inputs={"text": "text"}, outputs={"text": "text"})
    flow.add_node("two", inner).add_node("é", step)
    return _in_order(flow, "one", "two", "é")


def _in_order(flow: Workflow, *names: str) -> Workflow:
    for source, target in zip((START, *names), (*names, END), strict=True):
        flow.add_edge(source, target)
    return flow


def tower(levels: int) -> Workflow:
    """A workflow that stands twice at each level."""
    flow = child()
    for level in range(levels):
        flow = _in_order(Workflow(f"level {level}", State).add_node("a", flow).add_node("b", flow), "a", "b")
    return flow


def hashed(shape: Any) -> str:
    text = json.dumps(shape, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def test_fingerprints_are_those_of_earlier_releases() -> None:
    assert child().spec.fingerprint() == "963d2376d6447bb6"
    assert parent(child()).spec.fingerprint() == "e2c0e82e00ba533a"


@pytest.mark.parametrize("flow", [child(), parent(child()), tower(6)], ids=lambda flow: str(flow.name))
def test_a_fingerprint_is_the_hash_of_the_shape(flow: Workflow) -> None:
    assert flow.spec.fingerprint() == hashed(flow.spec.shape())


def test_what_stands_in_a_million_places_is_checked_and_hashed_once() -> None:
    one, other = tower(20), tower(20)
    report = validate(one)
    assert report.certificate is not None
    assert report.certificate.fingerprint == other.spec.fingerprint()
    assert tower(19).spec.fingerprint() != other.spec.fingerprint()
    shape = one.spec.shape()
    assert shape["nodes"]["a"]["child"] is shape["nodes"]["b"]["child"]


def test_it_is_the_same_whether_equal_parts_are_one_object_or_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shaping, "MOST_TEXT", 1000)  # so that it is beyond it
    shared, twice = child(), Workflow("twice", State).add_node("a", child()).add_node("b", child())
    once = Workflow("twice", State).add_node("a", shared).add_node("b", shared)
    assert _in_order(once, "a", "b").spec.fingerprint() == _in_order(twice, "a", "b").spec.fingerprint()


def nested(levels: int) -> Workflow:
    flow = child()
    for _ in range(levels):
        flow = _in_order(Workflow("deep", State).add_node("in", flow), "in")
    return flow


def test_a_thousand_levels_are_refused_in_words() -> None:
    with pytest.raises(DefinitionError, match="more than 150 levels deep in others"):
        nested(1000)


def test_a_join_of_a_set_of_nodes_is_the_same_in_every_process() -> None:
    names = [f"n{number}" for number in range(12)]
    flow = Workflow("joined", State).add_node("end", step)
    for name in names:
        flow.add_node(name, step).add_edge(START, name)
    flow.add_edge(set(names), "end").add_edge("end", END)  # type: ignore[arg-type]  # as some write it
    assert [edge.sources for edge in flow.spec.edges if edge.kind == "join"] == [tuple(sorted(names))]
