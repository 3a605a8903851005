"""Only allowed types are built, and what cannot be kept is named."""

from __future__ import annotations

import dataclasses
import enum
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, TypedDict, TypeVar

import ormsgpack
import pydantic
import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.serde.jsonplus import EXT_CONSTRUCTOR_POS_ARGS, JsonPlusSerializer
from langgraph.graph import START, StateGraph
from langgraph.types import Command, Interrupt, Send

from dalsegno.checkpoints import Checkpointer, Ledger, open_checkpointer
from dalsegno.checkpoints.schema_types import types_in
from dalsegno.checkpoints.strict import StrictSerializer
from dalsegno.errors import NotSerializable, TypeNotAllowed

THREAD: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Draft:
    text: str
    colour: Colour = Colour.RED


class Review(pydantic.BaseModel, extra="allow"):
    verdict: str
    draft: Draft | None = None


class Point(NamedTuple):
    x: int
    y: int


def put(saver: Checkpointer, key: str, value: Any, version: int = 1) -> Any:
    checkpoint = {**empty_checkpoint(), "channel_values": {key: value}, "channel_versions": {key: version}}
    return saver.put(THREAD, checkpoint, {}, {key: version})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "value",
    [
        Draft("a"),
        Colour.RED,
        Point(1, 2),
        Review(verdict="good", draft=Draft("b")),
        [Draft("a"), {"k": Colour.RED}],
        {"when": datetime(2026, 1, 1, tzinfo=UTC), "set": {1, 2}, "path": Path("/x")},
        [HumanMessage("hi", id="1"), AIMessage("ho", id="2")],
        Send("w", {"draft": Draft("c")}),
        Command(goto="b"),
        Interrupt("?", id="i"),
        b"bytes",
        None,
        2**63,
    ],
)
def test_an_allowed_value_is_read_as_it_was_put(saver: Checkpointer, value: Any) -> None:
    saver.allow_types([Draft, Colour, Point, (Review.__module__, "Review")])
    put(saver, "k", value)
    found = saver.get_tuple(THREAD)
    assert found is not None
    assert found.checkpoint["channel_values"] == {"k": value}


class Planet(enum.Enum):
    EARTH = (5.97e24, ("blue", 1))


@dataclasses.dataclass(frozen=True)
class Total:
    parts: list[int]
    total: int = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "total", sum(self.parts))


class Numbers(pydantic.RootModel[tuple[int, ...]], strict=True):
    pass


class Part(pydantic.BaseModel):
    words: list[str]


class Strict(pydantic.BaseModel, strict=True):
    part: Part
    parts: tuple[Part, ...]


class Renamed(pydantic.BaseModel, extra="forbid"):
    part: Part = pydantic.Field(alias="aPart")


class Lowered(pydantic.BaseModel):
    """Its validator refuses what it has made."""

    left: int
    parts: dict[str, Part]

    @pydantic.field_validator("left")
    def taken(cls, left: int) -> int:
        if left < 5:
            raise ValueError(left)
        return left - 3


def changed_total() -> Total:
    total = Total([1])
    total.parts.append(2)  # its field is not made again
    return total


@pytest.mark.parametrize(
    "value",
    [
        Planet.EARTH,
        Total([1, 2]),
        changed_total(),
        Numbers((1, 2)),
        Numbers(()),
        Strict(part=Part(words=["a"]), parts=(Part(words=[]),)),
        Renamed(aPart=Part(words=["a"])),
        Lowered(left=6, parts={"a": Part(words=["b"])}),
    ],
)
def test_a_type_whose_constructor_does_not_take_what_is_stored_is_read_as_it_was_put(value: Any) -> None:
    """Where LangGraph's own gives back a list, a dictionary, or a model with dictionaries in it."""
    serializer = StrictSerializer([type(value)])
    found = serializer.loads_typed(serializer.dumps_typed([value]))[0]
    assert found == value
    assert repr(found) == repr(value)


class Hidden(pydantic.BaseModel):
    secret: int = pydantic.Field(exclude=True)


class Other(pydantic.BaseModel):
    n: int

    @pydantic.model_serializer
    def as_text(self) -> str:
        return "other"


@dataclasses.dataclass
class Started:
    n: int
    since: dataclasses.InitVar[int]


@pytest.mark.parametrize("value", [Hidden(secret=1), Other(n=1), Started(1, 2)])
def test_a_type_that_what_is_stored_of_it_does_not_lead_back_to_is_refused_when_it_is_written(
    value: Any,
) -> None:
    """Or its thread could never be read again."""
    serializer = StrictSerializer([type(value)])
    for _ in range(2):
        with pytest.raises(NotSerializable, match="could not be read again") as raised:
            serializer.dumps_typed({"deep": [value]})
        assert raised.value.type == f"{__name__}.{type(value).__name__}"


def test_bytes_are_those_of_langgraph() -> None:
    value = [Draft("a"), HumanMessage("hi", id="1"), {"n": (1, 2.5, "ü")}, {3}]
    ours, theirs = StrictSerializer([Draft, Colour]), JsonPlusSerializer()
    assert ours.dumps_typed(value) == theirs.dumps_typed(value)


def test_a_type_that_is_not_allowed_is_refused_when_it_is_written(saver: Checkpointer) -> None:
    put(saver, "draft", "first")
    with pytest.raises(TypeNotAllowed) as raised:
        put(saver, "draft", {"inner": [Draft("a")]}, 2)
    assert (raised.value.thread, raised.value.key) == ("t", "draft")
    assert raised.value.type == f"{__name__}.Draft"
    assert "allow=" in str(raised.value)
    found = saver.get_tuple(THREAD)
    assert found is not None
    assert found.checkpoint["channel_values"] == {"draft": "first"}


@pytest.mark.parametrize(
    "value",
    [
        Review(verdict="good", draft=None, extra=Colour.RED),
        Send("w", {"point": Point(1, 2)}),
        HumanMessage("hi", additional_kwargs={"draft": Draft("a")}),
        {frozenset({Colour.RED})},
        [Interrupt([{"deep": (Draft("a"),)}], id="i")],
    ],
)
def test_a_type_that_is_not_allowed_is_refused_however_deep_it_is(saver: Checkpointer, value: Any) -> None:
    """It could be written, and from then on nobody could read the thread."""
    saver.allow_types([Review])
    config = put(saver, "k", "first")
    with pytest.raises(
        TypeNotAllowed, match=r"`k` in thread 't' cannot be kept: it holds `.*test_strict_types"
    ):
        put(saver, "k", value, 2)
    with pytest.raises(TypeNotAllowed, match="cannot be kept"):
        saver.put_writes(config, [("k", value)], "task")
    (found,) = saver.list(THREAD)
    assert (found.checkpoint["channel_values"], found.pending_writes) == ({"k": "first"}, [])


def test_an_array_of_objects_is_refused_since_its_bytes_are_addresses(saver: Checkpointer) -> None:
    numpy = pytest.importorskip("numpy")
    saver.allow_types([Draft])
    for array in (numpy.array([{}], dtype=object), numpy.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f4")])):
        for value in (array, [array], Draft(array)):
            with pytest.raises(NotSerializable, match=r"no numbers and no texts"):
                put(saver, "k", value)
    assert list(saver.list(THREAD)) == []


def test_a_type_that_is_not_allowed_is_refused_when_it_is_read(url: str) -> None:
    with open_checkpointer(url, allow=[Draft, Colour]) as saver:
        put(saver, "draft", Draft("a"))
    with open_checkpointer(url, allow=[Draft]) as saver:
        with pytest.raises(TypeNotAllowed) as raised:
            saver.get_tuple(THREAD)
        assert (raised.value.thread, raised.value.key) == ("t", "draft")
        assert raised.value.type == f"{__name__}.Colour"
        with pytest.raises(TypeNotAllowed):
            list(saver.list(THREAD))
        saver.allow_types([Colour])
        found = saver.get_tuple(THREAD)
        assert found is not None
        assert found.checkpoint["channel_values"] == {"draft": Draft("a")}


def test_a_type_of_a_script_is_built_as_the_one_allowed_type_that_it_can_be() -> None:
    """`__main__` here is pytest's own; `tests/runtime/test_scripts.py` runs scripts."""
    stored = {
        module: ("msgpack", ormsgpack.packb(ormsgpack.Ext(0, ormsgpack.packb([module, "Colour", "red"]))))
        for module in ("__main__", "__mp_main__", "other")
    }
    reader = StrictSerializer([Colour])
    assert reader.loads_typed(stored["__main__"]) is Colour.RED
    assert reader.loads_typed(stored["__mp_main__"]) is Colour.RED
    with pytest.raises(TypeNotAllowed, match=r"`other\.Colour`: it may not be read"):
        reader.loads_typed(stored["other"])
    for allow in ([Draft], [Colour, ("other", "Colour")]):
        with pytest.raises(TypeNotAllowed, match=r"`__main__\.Colour`: it may not be read"):
            StrictSerializer(allow).loads_typed(stored["__main__"])


def forge(saver: Checkpointer, table: str, forged: Callable[[Any], Any]) -> None:
    """Replace the unpacked body of the one row of a table."""
    with saver.database.transaction() as connection:
        (body,) = connection.execute(f"SELECT body FROM {table}").fetchone()
        changed = ormsgpack.packb(forged(ormsgpack.unpackb(body)))
        connection.execute(f"UPDATE {table} SET body = ?", (changed,))


def put_in_index(kind: Any, packed: bytes) -> Callable[[Any], Any]:
    return lambda body: [*body[:2], {"=k": [1, kind, packed]}]


@pytest.mark.parametrize("code", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("where", ["value", "segment", "write", "writes", "rest", "checkpoint"])
def test_a_crafted_row_runs_no_code(saver: Checkpointer, tmp_path: Path, code: int, where: str) -> None:
    target = tmp_path / "ran"
    argument: Any = {0: str(target), 1: [str(target)], 2: {"name": str(target)}, 3: str(target)}.get(
        code, {"name": str(target)}
    )
    harmful = ormsgpack.Ext(code, ormsgpack.packb(["os", "mkdir", argument, "__call__"]))
    crafted = ormsgpack.packb([harmful])
    saver.put_writes(put(saver, "k", "v" * (1000 if where == "segment" else 1)), [("k", "w")], "task")
    if where == "value":
        forge(saver, "checkpoints", put_in_index(0, crafted))
    elif where == "segment":
        with saver.database.transaction() as connection:
            connection.execute("UPDATE segments SET data = ?", (crafted,))
        forge(saver, "checkpoints", lambda body: [*body[:2], {"=k": [1, 0, 1, len(crafted), 0, 0]}])
    elif where == "write":
        forge(saver, "writes", lambda entries: [[*entries[0][:4], crafted]])
    elif where == "writes":
        forge(saver, "writes", lambda entries: [harmful])
    elif where == "rest":
        forge(saver, "checkpoints", lambda body: [2, ["msgpack", crafted], body[2]])
    else:
        forge(saver, "checkpoints", lambda body: [*body[:2], {"=k": harmful}])
    with pytest.raises(TypeNotAllowed, match=r"os\.mkdir") as raised:
        saver.get_tuple(THREAD)
    assert raised.value.thread == "t"
    assert raised.value.key == {"rest": "checkpoint", "checkpoint": "checkpoint", "writes": "writes"}.get(
        where, "k"
    )
    assert not target.exists()


@pytest.mark.parametrize("kind", ["pickle", "json", "anything"])
def test_a_row_of_another_notation_is_refused(saver: Checkpointer, kind: str) -> None:
    put(saver, "k", "v")
    forge(saver, "checkpoints", put_in_index(kind, b'{"lc": 2}'))
    with pytest.raises(TypeNotAllowed, match=kind):
        saver.get_tuple(THREAD)


def test_a_type_that_is_gone_is_an_error_and_not_its_raw_data(saver: Checkpointer) -> None:
    saver.allow_types([Draft, Colour, (__name__, "Gone")])
    put(saver, "k", Draft("a"))

    def forged(body: Any) -> Any:
        crafted = body[2]["=k"][2].replace(b"\xa5Draft", b"\xa4Gone")
        # The extension is one byte shorter now: its header says so.
        assert crafted[0] == 0xC7
        return put_in_index(0, crafted[:1] + bytes([crafted[1] - 1]) + crafted[2:])(body)

    forge(saver, "checkpoints", forged)
    with pytest.raises(TypeNotAllowed, match="Gone"):
        saver.get_tuple(THREAD)


def test_a_model_that_got_a_field_nothing_was_stored_for_is_an_error(
    saver: Checkpointer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a node would meet it half built."""

    class Grown(pydantic.BaseModel):
        verdict: str
        text: str

    Grown.__qualname__ = "Review"
    kind, stored = StrictSerializer(allow=[Review]).dumps_typed(Review(verdict="good"))
    monkeypatch.setattr(sys.modules[__name__], "Review", Grown)
    with pytest.raises(TypeNotAllowed, match="nothing was stored for its `text`"):
        StrictSerializer(allow=[(__name__, "Review")]).loads_typed((kind, stored))


@dataclasses.dataclass
class Holder_:
    lock: Any


@pytest.mark.parametrize(
    ("value", "where", "kind"),
    [
        (threading.Lock(), "`k`", "lock"),
        ({"a": [1, threading.Lock()]}, "`k['a'][1]`", "lock"),
        (Holder_(lock={"x": open}), "`k.lock['x']`", "builtin_function_or_method"),
        (ValueError("no"), "`k`", "ValueError"),
        ([2**70], "`k[0]`", "int"),
        (lambda: None, "`k`", "function"),
        ({"answer": Review}, "`k['answer']`", "ModelMetaclass"),
        (Review, "`k`", "ModelMetaclass"),
        (Draft, "`k`", "type"),
    ],
)
def test_a_value_that_cannot_be_kept_is_named_and_the_last_checkpoint_stands(
    saver: Checkpointer, value: Any, where: str, kind: str
) -> None:
    saver.allow_types([Holder_])
    put(saver, "k", "first")
    with pytest.raises(NotSerializable) as raised:
        put(saver, "k", value, 2)
    assert (raised.value.thread, raised.value.key) == ("t", "k")
    assert where in str(raised.value)
    assert kind in raised.value.type
    found = saver.get_tuple(THREAD)
    assert found is not None
    assert found.checkpoint["channel_values"] == {"k": "first"}


def test_a_local_class_cannot_be_kept_because_nobody_could_find_it_again(saver: Checkpointer) -> None:
    @dataclasses.dataclass
    class Local:
        x: int

    saver.allow_types([Local])
    with pytest.raises(NotSerializable, match="module level"):
        put(saver, "k", Local(1))


Content = TypeVar("Content")


class Crate(pydantic.BaseModel, Generic[Content]):
    content: Content


class NumberCrate(Crate[int]): ...


def test_a_generic_model_with_parameters_needs_a_class_to_be_found_by(saver: Checkpointer) -> None:
    saver.allow_types([Crate[str], NumberCrate])
    with pytest.raises(NotSerializable, match=r"at module level: `class Named\(Crate\[str\]\): \.\.\.`"):
        put(saver, "k", Crate[str](content="one"))
    put(saver, "k", NumberCrate(content=1))
    found = saver.get_tuple(THREAD)
    assert found is not None
    assert found.checkpoint["channel_values"] == {"k": NumberCrate(content=1)}


def test_a_node_that_writes_what_cannot_be_kept_fails_its_run_and_resumes(saver: Checkpointer) -> None:
    class Single(TypedDict):
        value: Any

    bad = [True]

    def node(state: Single) -> Single:
        return {"value": threading.Lock() if bad else "fine"}

    graph = StateGraph(Single)
    graph.add_node("n", node)
    graph.add_edge(START, "n")
    app = graph.compile(checkpointer=saver)
    thread: Any = {"configurable": {"thread_id": "t"}}
    with pytest.raises(NotSerializable) as raised:
        app.invoke({"value": 1}, thread, durability="sync")
    assert raised.value.key == "value"
    bad.clear()
    assert app.invoke(None, thread, durability="sync") == {"value": "fine"}


def test_an_error_is_kept_as_its_text(saver: Checkpointer) -> None:
    saver.put_writes(put(saver, "k", 1), [("__error__", ValueError("no"))], "task")
    found = saver.get_tuple(THREAD)
    assert found is not None
    assert found.pending_writes == [("task", "__error__", "ValueError('no')")]


def test_a_serializer_of_the_users_replaces_the_strict_one(url: str) -> None:
    with open_checkpointer(url, serde=JsonPlusSerializer(allowed_msgpack_modules=True)) as saver:
        saver.allow_types([int])
        put(saver, "k", Draft("a"))
        found = saver.get_tuple(THREAD)
    assert found is not None
    assert found.checkpoint["channel_values"] == {"k": Draft("a")}


def test_the_ledger_shows_plain_data_of_a_type_it_may_not_build(url: str) -> None:
    with open_checkpointer(url, allow=[Draft, Colour]) as saver:
        ledger = Ledger(saver.database, saver.serde)
        ledger.finish(ledger.begin(run_id="r1", thread="t", workflow="w", input=Draft("a")), "completed")
        assert ledger.get("r1").input == Draft("a")
        other = Ledger(saver.database)
        assert other.get("r1", plain=True).input == {"text": "a", "colour": "red"}
        assert other.runs()[0].input == {"text": "a", "colour": "red"}
        with pytest.raises(TypeNotAllowed, match="input"):
            other.get("r1")


T = TypeVar("T", bound=Draft)
Amount = NewType("Amount", Point)  # type: ignore[valid-newtype]


class Box(pydantic.BaseModel, Generic[T]):
    content: T


class Inner(TypedDict, total=False):
    point: Point
    missing: "NobodyKnowsThis"  # type: ignore[name-defined]  # noqa: F821, UP037


class State(TypedDict):
    drafts: Annotated[list[Draft], max]
    review: Review | None
    by_name: dict[str, tuple[Inner, ...]]
    mode: Literal[Colour.RED, "x"]
    amount: Amount
    recursive: "State"  # noqa: UP037


def test_the_types_of_a_schema_are_those_it_names_however_deep() -> None:
    assert types_in(State) == {Draft, Colour, Review, Point}
    assert types_in(Box[Draft]) >= {Draft, Colour}
    assert types_in(dict[str, int]) == set()
    assert types_in(dict[str, subprocess.Popen[str] | threading.Thread]) == set()
    assert types_in(None) == set()


Open = TypeVar("Open")


class Shelf(TypedDict, Generic[Open], total=False):
    goods: list[Open]


class ShelfOfDrafts(Shelf[Draft]): ...


@dataclasses.dataclass
class Rack(Generic[Open]):
    goods: list[Open]


class RackOfDrafts(Rack[Draft]): ...


class CrateOfDrafts(Crate[Draft]): ...


class RackOfCrates(Rack[CrateOfDrafts]): ...


def test_the_types_of_a_schema_are_those_too_that_fill_in_the_parameters_of_what_it_inherits_from() -> None:
    assert types_in(ShelfOfDrafts) == {Draft, Colour}
    assert types_in(RackOfDrafts) == {RackOfDrafts, Draft, Colour}
    assert types_in(CrateOfDrafts) == {CrateOfDrafts, Draft, Colour}
    assert types_in(RackOfCrates) == {RackOfCrates, CrateOfDrafts, Draft, Colour}


def test_a_schema_is_enough_to_keep_its_values(saver: Checkpointer) -> None:
    saver.allow_schema(State)
    put(saver, "k", Review(verdict="good", draft=Draft("a")))
    assert saver.get_tuple(THREAD) is not None


def test_langgraphs_strict_mode_passes_its_types_on(saver: Checkpointer) -> None:
    assert saver.with_allowlist({(__name__, "Draft"), (__name__, "Colour")}) is saver
    put(saver, "k", Draft("a"))
    assert saver.get_tuple(THREAD) is not None


def test_an_error_of_the_users_own_serializer_is_named(url: str) -> None:
    class Broken(JsonPlusSerializer):
        def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
            if obj == "bad":
                raise LookupError("no key")
            return super().dumps_typed(obj)

    with open_checkpointer(url, serde=Broken()) as saver, pytest.raises(NotSerializable, match="no key"):
        put(saver, "k", "bad")


@pytest.mark.parametrize("module", ["pathlib", "pathlib._local"])
def test_a_path_is_read_by_every_python_whichever_stored_it(module: str) -> None:
    inside = ormsgpack.packb((module, type(Path()).__name__, ("/", "a", "b")))
    stored = ormsgpack.packb({"at": ormsgpack.Ext(EXT_CONSTRUCTOR_POS_ARGS, inside)})
    assert StrictSerializer().loads_typed(("msgpack", stored)) == {"at": Path("/a/b")}
