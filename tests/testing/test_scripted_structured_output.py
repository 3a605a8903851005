"""Structured output goes through LangChain's own parsers, whichever way a model is asked for it."""

from __future__ import annotations

import asyncio
from typing import Any, TypedDict

import pytest
from langchain_core.exceptions import OutputParserException
from pydantic import BaseModel, Field, ValidationError

from dalsegno.errors import DefinitionError, ScriptNotFollowed
from dalsegno.testing import Reply, ScriptedChatModel


class Verdict(BaseModel):
    """A verdict."""

    good: bool
    score: int = Field(ge=0, le=10)


class VerdictDict(TypedDict):
    """A verdict."""

    good: bool
    score: int


SCHEMA = {
    "title": "Verdict",
    "description": "A verdict.",
    "type": "object",
    "properties": {"good": {"type": "boolean"}, "score": {"type": "integer"}},
    "required": ["good", "score"],
}
DATA = {"good": True, "score": 7}
METHODS = ["function_calling", "json_schema", "json_mode"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("answer", [DATA, Verdict(good=True, score=7)], ids=["mapping", "pydantic object"])
@pytest.mark.parametrize(
    ("schema", "parsed"), [(Verdict, Verdict(good=True, score=7)), (VerdictDict, DATA), (SCHEMA, DATA)]
)
def test_data_in_the_script_is_the_answer_to_each_way_of_asking(
    method: Any, answer: Any, schema: Any, parsed: Any
) -> None:
    with ScriptedChatModel([answer] * 3) as model:
        structured = model.with_structured_output(schema, method=method)
        assert structured.invoke("?") == parsed
        assert asyncio.run(structured.ainvoke("?")) == parsed
        assert list(structured.stream("?"))[-1] == parsed


def test_a_tool_call_and_json_are_what_a_provider_would_send() -> None:
    called = ScriptedChatModel([{"name": "Verdict", "args": DATA}])
    assert called.with_structured_output(Verdict).invoke("?") == Verdict(good=True, score=7)
    text = ScriptedChatModel(['```json\n{"good": true, "score": 7}\n```'])
    assert text.with_structured_output(Verdict, method="json_mode").invoke("?") == Verdict(good=True, score=7)


def test_the_answer_can_be_had_with_the_message() -> None:
    model = ScriptedChatModel([DATA, DATA])
    for method in ("function_calling", "json_schema"):
        both = model.with_structured_output(Verdict, include_raw=True, method=method).invoke("?")
        assert both["parsed"] == Verdict(good=True, score=7)
        assert both["parsing_error"] is None
        assert both["raw"].usage_metadata["total_tokens"] > 0


@pytest.mark.parametrize("method", METHODS[:2])
def test_data_that_does_not_fit_the_schema_is_an_error_of_the_script(method: Any) -> None:
    model = ScriptedChatModel([{"good": True, "score": 11}])
    with pytest.raises(ScriptNotFollowed, match="`score` is 11, expected at most 10"):
        model.with_structured_output(Verdict, method=method).invoke("?")


@pytest.mark.parametrize("method", METHODS)
def test_what_a_bad_model_answers_reaches_the_parser(method: Any) -> None:
    bad = Reply({"good": True, "score": 11}, check=False)
    model = ScriptedChatModel([bad, bad])
    with pytest.raises((OutputParserException, ValidationError)):
        model.with_structured_output(Verdict, method=method).invoke("?")
    both = model.with_structured_output(Verdict, method=method, include_raw=True).invoke("?")
    assert both["parsed"] is None
    assert isinstance(both["parsing_error"], OutputParserException | ValidationError)


def test_json_mode_lets_through_what_is_no_json() -> None:
    model = ScriptedChatModel(["I would rather not."] * 2)
    with pytest.raises(OutputParserException, match="Invalid json output"):
        model.with_structured_output(Verdict, method="json_mode").invoke("?")
    with pytest.raises(ScriptNotFollowed, match="script's content is not JSON"):
        model.with_structured_output(Verdict, method="json_schema").invoke("?")


def test_data_for_a_call_that_asks_for_none_is_an_error() -> None:
    with pytest.raises(ScriptNotFollowed, match="asks for none: its tools are none"):
        ScriptedChatModel([DATA]).invoke("?")


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(DefinitionError, match="method='telepathy'"):
        ScriptedChatModel([]).with_structured_output(Verdict, method="telepathy")  # type: ignore[arg-type]
