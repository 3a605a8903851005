"""Answers to questions fit what was asked for, before anything runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langgraph.graph import StateGraph
from langgraph.types import interrupt
from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict
from worlds import State

from dalsegno import END, START, Runner, Workflow
from dalsegno.errors import InputInvalid
from dalsegno.runtime.answering import answers, misfits


class Approval(BaseModel):
    approved: bool
    amount: int = Field(ge=0, le=100)
    reasons: list[str] = []
    grade: Literal["a", "b"] | None = None


def asking(schema: Any, ran: list[str], plain: bool = False) -> Any:
    def ask(state: State) -> dict[str, Any]:
        ran.append("ask")
        answer: Any = interrupt("Pay?", response_schema=schema)
        return {"path": [repr(answer)]}

    flow: Any = StateGraph(State) if plain else Workflow("asking", State)
    flow.add_node("ask", ask, **({} if plain else {"interrupts": 1}))
    return flow.add_edge(START, "ask").add_edge("ask", END)


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize(
    ("answer", "place", "expected"),
    [
        ("yes", None, "object"),
        ({"approved": True}, "amount", "a value (integer)"),
        ({"approved": True, "amount": "5"}, "amount", "integer"),
        ({"approved": True, "amount": 101}, "amount", "at most 100"),
        ({"approved": "yes", "amount": 5}, "approved", "boolean"),
        ({"approved": True, "amount": 5, "reasons": ["x", 3]}, "reasons[1]", "string"),
        ({"approved": True, "amount": 5, "grade": "c"}, "grade", "one of 'a', 'b' or null"),
    ],
)
def test_an_answer_that_does_not_fit_is_refused_by_its_place_and_nothing_runs(
    db: Path, answer: Any, place: str | None, expected: str, plain: bool
) -> None:
    ran: list[str] = []
    with Runner(asking(Approval, ran, plain), db=db) as runner:
        waiting = runner.run({"topic": "x"}, thread="t1")
        ran.clear()
        with pytest.raises(InputInvalid) as raised:
            runner.resume("t1", answer)
        assert (raised.value.key, raised.value.expected) == (place, expected)
        assert "`ask`" in str(raised.value)
        assert ran == []
        record = runner.ledger.latest("t1")
        assert record is not None
        assert (record.status, len(record.interrupts), record.resumes) == ("interrupted", 1, 0)
        assert json.loads(json.dumps(waiting.to_dict()))["interrupts"][0]["schema"]["type"] == "object"
        assert runner.resume("t1", {"approved": True, "amount": 5}).status == "completed"


def test_a_schema_written_by_hand_is_checked_too(db: Path) -> None:
    ran: list[str] = []
    with Runner(asking({"type": "string", "enum": ["yes", "no"]}, ran), db=db) as runner:
        runner.run({"topic": "x"}, thread="t1")
        with pytest.raises(InputInvalid, match="one of 'yes', 'no'"):
            runner.resume("t1", "maybe")
        assert runner.resume("t1", "yes").output["path"] == ["'yes'"]


@pytest.mark.parametrize(
    ("schema", "wrong", "right"),
    [
        (Literal[1, "all"], True, 1),
        ({"enum": [0, 1, "all"]}, False, 0),
        ({"const": True}, 1, True),
        ({"enum": [[1, 2], [3]]}, [True, 2], [1, 2]),
        ({"type": "array", "uniqueItems": True}, [1, 1.0], [1, True]),
    ],
)
def test_yes_and_one_are_different_answers(db: Path, schema: Any, wrong: Any, right: Any) -> None:
    with Runner(asking(schema, []), db=db) as runner:
        runner.run({"topic": "x"}, thread="t1")
        with pytest.raises(InputInvalid, match="does not fit"):
            runner.resume("t1", wrong)
        assert runner.resume("t1", right).output["path"] == [repr(right)]


def test_an_object_of_the_asked_class_is_an_answer(db: Path) -> None:
    with Runner(asking(Approval, []), db=db) as runner:
        runner.checkpointer.allow_types([Approval])
        runner.run({"topic": "x"}, thread="t1")
        done = runner.resume("t1", Approval(approved=True, amount=3))
        assert "amount=3" in done.output["path"][0]


class Inner(BaseModel):
    n: int
    tags: list[str]


class Outer(BaseModel):
    inner: Inner
    either: int | str
    maybe: float | None = None


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-5, 5) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["inner", "n", "tags", "either", "maybe"]), inner, max_size=5)
    ),
)


@given(anything | st.fixed_dictionaries({"inner": anything, "either": anything}))
def test_what_a_strict_model_takes_fits_its_schema_and_what_does_not_fit_it_refuses(value: Any) -> None:
    adapter = TypeAdapter(Outer)
    try:
        adapter.validate_json(json.dumps(value), strict=True)
        fits = True
    except ValidationError:
        fits = False
    found = list(misfits(value, adapter.json_schema()))
    assert fits or found
    if fits and not _has_whole_floats(value):
        assert not found


def _has_whole_floats(value: Any) -> bool:
    """JSON Schema takes 1.0 for an integer, pydantic does not."""
    if isinstance(value, float):
        return value.is_integer()
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(map(_has_whole_floats, parts))


@given(st.decimals(-10_000, 10_000, places=3, allow_nan=False).map(float))
def test_a_sum_of_money_fits_where_pydantic_takes_it(value: float) -> None:
    adapter = TypeAdapter(Annotated[float, Field(multiple_of=0.01)])
    try:
        adapter.validate_python(value)
        fits = True
    except ValidationError:
        fits = False
    assert fits is not bool(list(misfits(value, adapter.json_schema())))


@pytest.mark.parametrize("value", [19.99, 0.07, -4.35, 1e15, 0, 10**400])
def test_what_is_a_multiple_of_a_cent_is_not_refused(value: float) -> None:
    assert not list(misfits(value, {"type": "number", "multipleOf": 0.01}))


@pytest.mark.parametrize("value", [19.995, float("inf"), float("nan")])
def test_what_is_no_multiple_of_a_cent_is_refused(value: float) -> None:
    assert [expected for _, expected in misfits(value, {"multipleOf": 0.01})] == ["a multiple of 0.01"]


@pytest.mark.parametrize(
    ("pattern", "fits", "wrong"),
    [
        (r"^\p{Lu}\p{L}+$", "Österreich", "österreich"),  # the notation of pydantic's own engine
        (r"^[[:digit:]]{2}$", "42", "4a"),
        (r"^(?!0)\d+$", "42", "042"),  # look-around, which only Python's has
    ],
)
def test_a_pattern_is_read_as_pydantic_reads_it(db: Path, pattern: str, fits: str, wrong: str) -> None:
    ran: list[str] = []
    with Runner(asking({"type": "string", "pattern": pattern}, ran), db=db) as runner:
        runner.run({"topic": "x"}, thread="t1")
        with pytest.raises(InputInvalid, match="text that matches"):
            runner.resume("t1", wrong)
        assert runner.resume("t1", fits).output["path"] == [repr(fits)]


def test_a_pattern_that_nobody_can_read_refuses_nothing() -> None:
    assert not list(misfits("x", {"type": "string", "pattern": "("}))


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("beside", [False, True])
def test_the_answer_to_a_question_that_was_answered_meanwhile_is_not_that_to_the_next_one(
    db: Path, plain: bool, beside: bool
) -> None:
    flow: Any = StateGraph(State) if plain else Workflow("asking", State)
    for name in ("first", "second"):
        flow.add_node(
            name,
            lambda state, name=name: {"path": [f"{name}: {interrupt(name)}"]},
            **({} if plain else {"interrupts": 1}),
        )
    flow.add_edge(START, "first").add_edge(START if beside else "first", "second")
    with Runner(flow.add_edge("first", END).add_edge("second", END), db=db) as runner:
        asked = {i["node"]: i["id"] for i in runner.run({"topic": "x"}, thread="t1").interrupts}
        once = {asked["first"]: "yes"}
        waiting = runner.resume("t1", once)
        assert [i["node"] for i in waiting.interrupts] == ["second"]
        (left,) = (i["id"] for i in waiting.interrupts)
        for again in (once, {**once, left: "no"}, {left: "no", "sceond": "no"}):
            with pytest.raises(InputInvalid, match="No question with the id") as raised:
                runner.resume("t1", again)
            assert raised.value.key in (asked["first"], "sceond")
        assert runner.ledger.last("t1").status == "interrupted"
        done = runner.resume("t1", {left: {asked["first"]: "such keys are said by id"}})
        assert done.output["path"] == [
            "first: yes",
            f"second: {{'{asked['first']}': 'such keys are said by id'}}",
        ]


def test_who_gives_no_object_is_told_its_keys() -> None:
    class Word(TypedDict):
        approved: bool
        comment: NotRequired[str]

    schema = TypeAdapter(Word).json_schema()
    question = {"id": "1", "node": "ask", "value": {"question": "Publish?" * 100}, "schema": schema}
    with pytest.raises(InputInvalid) as caught:
        answers([question], "yes")
    said = str(caught.value)
    assert 'expected object, in JSON {"approved": boolean, "comment": string (may be left out)}.' in said
    assert len(said) < 400


def test_who_gives_a_number_for_a_text_is_told_how_a_text_is_written() -> None:
    asked = {"id": "q", "node": "ask", "value": "Which house?", "schema": {"type": "string", "minLength": 2}}
    with pytest.raises(
        InputInvalid, match=r"expected string, in JSON with double quotes around it\. Nothing was run"
    ):
        answers([asked], 7)
    with pytest.raises(InputInvalid, match=r"expected at least 2 characters\. Nothing was run"):
        answers([asked], "7")
