"""What is read back equals what was put, whatever was changed between two checkpoints, and however."""

from __future__ import annotations

import copy
import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.base.id import uuid6
from pydantic import BaseModel, field_serializer

from dalsegno.checkpoints import SqliteCheckpointer, maintenance
from dalsegno.checkpoints.file.streams import align, apply, compare


@dataclasses.dataclass
class Note:
    text: str
    tags: list[str]


@dataclasses.dataclass(slots=True)
class Slim:
    text: str


def texts(size: int) -> st.SearchStrategy[str]:
    return st.integers(0, 10**6).map(lambda number: f"{number:06}" * size)


ELEMENTS = st.one_of(
    texts(1),
    texts(30),
    texts(700),
    st.integers(-5, 5),
    st.none(),
    st.builds(lambda text: {"text": text, "tags": []}, texts(10)),
    st.builds(lambda text: [text], texts(10)),
    st.builds(lambda text: AIMessage(text, id=text[:6]), texts(40)),
    st.builds(lambda text: HumanMessage(text, id=text[:6], extra={"seen": []}), texts(40)),
    st.builds(lambda text: Note(text, []), texts(20)),
    st.builds(Slim, texts(20)),
    st.builds(lambda text: {text}, texts(20)),
)


def mutate(element: Any, text: str) -> bool:
    """Change an element in place; whether it can be."""
    if isinstance(element, dict):
        element.setdefault("tags", []).append(text)
    elif isinstance(element, list):
        element.append(text)
    elif isinstance(element, HumanMessage):
        element.extra["seen"].append(text)
    elif isinstance(element, AIMessage):
        element.additional_kwargs[text] = text
    elif isinstance(element, Note):
        element.tags.append(text)
    elif isinstance(element, Slim):
        element.text = text
    elif isinstance(element, set):
        element.add(text)
    else:
        return False
    return True


class Values:
    """The values of one run, and what a superstep may do to them."""

    list: list[Any]
    dict: dict[str, Any]
    nested: dict[str, Any]

    def append(self, at: int, elements: list[Any], text: str) -> None:
        self.list = [*self.list, *elements]

    def append_in_place(self, at: int, elements: list[Any], text: str) -> None:
        self.list.extend(elements)

    def replace(self, at: int, elements: list[Any], text: str) -> None:
        self.list = [*self.list[:at], elements[0], *self.list[at + 1 :]]

    def remove(self, at: int, elements: list[Any], text: str) -> None:
        self.list = self.list[:at] + self.list[at + len(elements) :]

    def swap(self, at: int, elements: list[Any], text: str) -> None:
        if at + 1 < len(self.list):
            self.list[at], self.list[at + 1] = self.list[at + 1], self.list[at]

    def change_an_element_in_place(self, at: int, elements: list[Any], text: str) -> None:
        if self.list:
            mutate(self.list[at % len(self.list)], text)

    def set_a_key(self, at: int, elements: list[Any], text: str) -> None:
        self.dict = {**self.dict, "abcdefgh"[at % 8]: elements[0]}

    def delete_a_key(self, at: int, elements: list[Any], text: str) -> None:
        self.dict.pop("abcdefgh"[at % 8], None)

    def change_a_key_in_place(self, at: int, elements: list[Any], text: str) -> None:
        mutate(self.dict.get("abcdefgh"[at % 8]), text)

    def grow_deep_inside(self, at: int, elements: list[Any], text: str) -> None:
        self.nested["inner"]["items"] += elements

    def build_everything_anew(self, at: int, elements: list[Any], text: str) -> None:
        self.list, self.dict, self.nested = copy.deepcopy((self.list, self.dict, self.nested))


Change = Callable[[Values, int, list[Any], str], None]
CHANGES = st.tuples(
    st.sampled_from([change for name, change in vars(Values).items() if callable(change)]),
    st.integers(0, 40),
    st.lists(ELEMENTS, min_size=1, max_size=12),
    texts(1),
)


class ValuesAreReadAsTheyWerePut(Values, RuleBasedStateMachine):
    """One run that goes on in this process: its objects stay, as in LangGraph, and change between puts."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "runs.db"
        self.open()
        self.list: list[Any] = []
        self.dict: dict[str, Any] = {}
        self.nested: dict[str, Any] = {"inner": {"items": []}, "text": "x" * 300}
        self.version = 0
        self.step = 0
        self.parent: str | None = None
        self.put_values: dict[str, Any] = {}

    def open(self) -> None:
        self.saver = SqliteCheckpointer(self.path, profile="fast", allow=[Note, Slim])

    def teardown(self) -> None:
        if hasattr(self, "saver"):
            self.check()
            assert maintenance.check(self.saver.database) == []
            self.saver.close()
            self.folder.cleanup()

    # --- checkpoints ---

    @rule(changes=st.lists(CHANGES, min_size=1, max_size=4), writes=st.booleans())
    def superstep(self, changes: list[tuple[Change, int, list[Any], str]], writes: bool) -> None:
        for change, at, elements, text in changes:
            change(self, at, elements, text)
        self.put(writes)

    def put(self, writes: bool) -> None:
        self.version += 1
        values = {"list": self.list, "dict": self.dict, "nested": self.nested, "n": self.version}
        values["whole"] = {"message": AIMessage("y" * 300 + str(self.version), id="1"), 1: list(self.list)}
        versions = dict.fromkeys(values, self.version)
        identity = str(uuid6(clock_seq=self.version))
        checkpoint: Any = {
            "v": 4,
            "id": identity,
            "ts": "2026-01-01T00:00:00+00:00",
            "channel_values": values,
            "channel_versions": {**versions, **{f"unused{n}": 1 for n in range(self.step % 2 * 200)}},
            "versions_seen": {f"node{n}": {"list": self.version} for n in range(self.version % 60)},
            "updated_channels": None,
        }
        place = {"thread_id": "t", "checkpoint_ns": ""}
        if self.parent is not None:
            place["checkpoint_id"] = self.parent
        expected = copy.deepcopy(checkpoint)
        config = self.saver.put({"configurable": place}, checkpoint, {}, versions)
        if writes:
            self.saver.put_writes(config, [("list", self.list[-2:]), ("n", 1)], "task")
        self.put_values[identity] = expected
        self.parent = identity

    @precondition(lambda self: self.put_values)
    @rule(back=st.integers(1, 5))
    def fork(self, back: int) -> None:
        """Go on from an earlier checkpoint, with what is read back, as LangGraph does."""
        self.parent = sorted(self.put_values)[max(-back, -len(self.put_values))]
        self.resume()

    @rule(fork=st.booleans())
    def reopen(self, fork: bool) -> None:
        self.saver.close()
        self.open()
        if self.parent in self.put_values and fork:  # it may have been pruned
            self.resume()

    def resume(self) -> None:
        found = self.saver.get_tuple({"configurable": {"thread_id": "t", "checkpoint_id": self.parent}})
        assert found is not None
        values = found.checkpoint["channel_values"]
        self.list, self.dict, self.nested = values["list"], values["dict"], values["nested"]

    @rule(keep=st.integers(1, 4))
    def prune(self, keep: int) -> None:
        maintenance.prune(self.saver.database, keep=keep)
        kept = sorted(self.put_values)[-keep:]
        self.put_values = {identity: self.put_values[identity] for identity in kept}

    @rule()
    def copy_there_and_back(self) -> None:
        self.saver.copy_thread("t", "u")
        self.saver.delete_thread("t")
        self.saver.copy_thread("u", "t")
        self.saver.delete_thread("u")

    @rule()
    def change_what_was_read(self) -> None:
        """What is given out is nobody else's."""
        latest = self.saver.get_tuple({"configurable": {"thread_id": "t"}})
        for found in [*self.saver.list(None), *([latest] if latest else [])]:
            values = found.checkpoint["channel_values"]
            values["list"].append("changed")
            for element in [*values["list"], *values["dict"].values()]:
                mutate(element, "changed")
            values["nested"].clear()

    @rule()
    def check(self) -> None:
        found = {one.checkpoint["id"]: one.checkpoint for one in self.saver.list(None)}
        assert list(found) == sorted(self.put_values, reverse=True)
        for identity, expected in self.put_values.items():
            assert found[identity] == expected
        for identity in list(self.put_values)[-2:]:
            one = self.saver.get_tuple({"configurable": {"thread_id": "t", "checkpoint_id": identity}})
            assert one is not None
            assert one.checkpoint == self.put_values[identity]


TestValuesAreReadAsTheyWerePut = ValuesAreReadAsTheyWerePut.TestCase
TestValuesAreReadAsTheyWerePut.settings = settings(
    max_examples=80,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


PIECES = st.lists(st.sampled_from([b"a", b"b" * 70, b"c" * 200, b"\x91", b"\xdc\x00\x11"]), max_size=12)


@dataclasses.dataclass
class Link:
    text: str
    next: Link | None = None
    looked_into: ClassVar[int] = 0

    def __getattribute__(self, name: str) -> Any:
        if name in ("next", "__dict__"):
            Link.looked_into += 1
        return super().__getattribute__(name)


def test_a_dataclass_in_a_dataclass_is_looked_into_once() -> None:
    """And not twice on each level: a chain of sixty would take for ever."""
    chain = None
    for _ in range(12):
        chain = Link("long " * 30, chain)
    Link.looked_into = 0
    with SqliteCheckpointer(":memory:", allow=[Link]) as saver:
        checkpoint = {**empty_checkpoint(), "channel_values": {"k": [chain]}, "channel_versions": {"k": 1}}
        config: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
        saver.put(config, checkpoint, {}, {"k": 1})  # type: ignore[arg-type]
    assert Link.looked_into < 200


class Signal(BaseModel):
    """Tells when it is serialised."""

    n: int
    heard: ClassVar[list[Callable[[], None]]] = []

    @field_serializer("n")
    def tell(self, n: int) -> int:
        while Signal.heard:
            Signal.heard.pop()()
        return n


@pytest.mark.parametrize("how", ["begun", "grown", "rearranged", "read"])
def test_an_element_that_a_node_changes_while_it_is_stored_is_right_in_the_next_checkpoint(how: str) -> None:
    """As with LangGraph's durability "async": the next superstep's nodes run while a checkpoint is stored."""
    place: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    with SqliteCheckpointer(":memory:", allow=[Signal]) as saver:

        def put(value: list[Any], version: int) -> None:
            nonlocal place
            values = {"k": value}
            checkpoint = {
                **empty_checkpoint(), "id": str(uuid6()), "channel_values": values, "channel_versions": {"k": version},
            }  # fmt: skip
            place = saver.put(place, checkpoint, {}, {"k": version})  # type: ignore[arg-type]

        value: list[Any] = [{"seen": ["long " * 60]}, "second"]
        if how != "begun":
            put(value, 1)
        if how == "read":
            saver._cache.clear()
            read = saver.get_tuple(place)
            assert read is not None
            value = read.checkpoint["channel_values"]["k"]
        if how == "rearranged":
            del value[1]
            value[0]["seen"].append("changed")
        value = [*value, Signal(n=1)]
        Signal.heard.append(lambda: value[0]["seen"].append("changed meanwhile"))
        put(value, 2)
        put([*value, "more"], 3)
        found = saver.get_tuple(place)
        assert found is not None
        assert found.checkpoint["channel_values"]["k"] == [*value, "more"]
        assert value[0]["seen"][-1] == "changed meanwhile"


@given(PIECES, PIECES)
def test_a_comparison_says_how_one_becomes_the_other(old: list[bytes], new: list[bytes]) -> None:
    stream = bytearray(b"".join(old))
    apply(stream, compare(bytes(stream), b"".join(new)))
    assert bytes(stream) == b"".join(new)


@given(st.lists(st.integers(0, 5)), st.lists(st.integers(0, 5)))
def test_an_alignment_names_the_regions_that_differ(old: list[int], new: list[int]) -> None:
    made, done, done_new = [], 0, 0
    for i, i_end, j, j_end in align(old, new):
        assert old[done:i] == new[done_new:j]
        made += old[done:i] + new[j:j_end]
        done, done_new = i_end, j_end
    assert made + old[done:] == new
