"""Whatever way our serializer takes to an object's bytes, they are those that LangGraph's writes."""

from __future__ import annotations

import enum
from abc import ABC
from collections.abc import Callable
from dataclasses import dataclass, field, make_dataclass
from pathlib import PurePosixPath
from typing import Any, ClassVar, Generic, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.types import Send, TimeoutPolicy

from dalsegno.checkpoints.shortcuts import stored_fields
from dalsegno.checkpoints.strict import StrictSerializer
from dalsegno.errors import NotSerializable

T = TypeVar("T")


@dataclass
class Plain:
    n: Any = 1
    text: str = "x"
    CLASS: ClassVar[int] = 3


@dataclass(frozen=True, slots=True)
class Frozen:
    parts: Any = ()


@dataclass
class Child(Plain, Generic[T], ABC):
    more: Any = None


@dataclass
class LikeASend:
    """LangGraph takes it for a `Send`, and writes it without its other field."""

    node: str = "a"
    arg: Any = None
    more: int = 5


@dataclass
class WithDict:
    n: int = 1

    def dict(self) -> dict[str, int]:
        return {"m": self.n}


@dataclass
class WithADictIn:
    dict: Any = None


@dataclass
class Asked:
    """Whatever is asked for is there."""

    n: int = 1

    def __getattr__(self, name: str) -> Any:
        if name != "model_dump":
            raise AttributeError(name)
        return lambda: {"n": self.n}


class Level(Plain, enum.Enum):
    LOW = 1


class Mixed:
    pass


@dataclass
class WithABase(Mixed):
    n: int = 1


@dataclass
class Located(PurePosixPath):
    pass


NUMBERS = st.integers(-(2**63), 2**64 - 1)
ANY = st.recursive(
    st.none() | NUMBERS | st.text() | st.floats(allow_nan=False) | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
INSIDE = ANY | st.builds(Plain, ANY) | st.builds(Frozen, ANY) | st.builds(Send, st.text(), ANY)


@given(
    st.builds(Plain, INSIDE, st.text())
    | st.builds(Frozen, INSIDE)
    | st.builds(Child, INSIDE, st.text(), INSIDE)
    | st.builds(Send, st.text(), INSIDE)
    | st.builds(Send, st.text(), INSIDE, timeout=st.floats(0.1, 100))
    | st.builds(WithABase, NUMBERS)
)
def test_dataclasses_and_sends_have_langgraphs_bytes_and_are_read_as_they_were(value: Any) -> None:
    ours = StrictSerializer([Plain, Frozen, Child, WithABase, TimeoutPolicy])
    for _ in range(2):  # the first of a type is written in another way than the next ones
        written = ours.dumps_typed([value])
        assert written == JsonPlusSerializer().dumps_typed([value])
    assert ours.loads_typed(written) == [value]


@pytest.mark.parametrize("make", [WithADictIn, Asked, lambda: Level.LOW, lambda: WithABase(2)])
def test_what_langgraph_may_write_in_another_way_is_written_so_each_time(make: Callable[[], Any]) -> None:
    ours = StrictSerializer([type(make()), Plain])
    for _ in range(2):
        assert ours.dumps_typed([make()]) == JsonPlusSerializer().dumps_typed([make()])


@pytest.mark.parametrize("make", [WithDict, lambda: WithADictIn(lambda: {"n": 2})])
def test_what_would_not_come_back_as_it_was_is_refused_each_time(make: Callable[[], Any]) -> None:
    ours = StrictSerializer([type(make())])
    for _ in range(2):
        with pytest.raises(NotSerializable, match="could not be read again"):
            ours.dumps_typed([make()])


def test_a_dataclass_that_looks_like_a_send_keeps_all_of_its_fields() -> None:
    ours = StrictSerializer([LikeASend])
    for value in (LikeASend("a", 1, 7), LikeASend("b", {}, 8)):
        assert ours.loads_typed(ours.dumps_typed([value])) == [value]


def test_only_classes_that_can_be_written_in_one_way_are_written_the_short_way() -> None:
    assert stored_fields(Plain) == ("n", "text")
    assert stored_fields(Frozen) == ("parts",)
    assert stored_fields(Child) == ("n", "text", "more")
    for kind in (Send, WithDict, WithADictIn, Asked, Level, WithABase, Located):
        assert stored_fields(kind) is None


def test_a_field_that_was_never_set_is_told_the_second_time_as_well() -> None:
    late = make_dataclass("late", [("n", int, field(init=False, default=1)), ("m", int, field(init=False))])
    globals()["late"] = late
    late.__module__ = __name__
    ours = StrictSerializer([late])
    whole = late()
    whole.m = 2
    ours.dumps_typed([whole])
    for _ in range(2):
        with pytest.raises(NotSerializable, match="'m'"):
            ours.dumps_typed([late()])
