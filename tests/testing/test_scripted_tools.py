"""Scripted tool calls are checked against the tools that are bound, as a test's reader would check them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage
from langchain_core.messages.tool import invalid_tool_call, tool_call
from langchain_core.tools import InjectedToolArg, tool
from pydantic import BaseModel, Field, TypeAdapter

from dalsegno.errors import DefinitionError, ScriptNotFollowed
from dalsegno.testing import Reply, ScriptedChatModel
from dalsegno.testing.scripted.schemas import misfit


@tool
def add(a: int, b: int = 0, secret: Annotated[str, InjectedToolArg] = "") -> int:
    """Add."""
    return a + b


class Item(BaseModel):
    name: str
    price: float = Field(ge=0)
    kind: Literal["book", "pen"] = "pen"


class Order(BaseModel):
    """Order things."""

    items: list[Item] = Field(min_length=1)
    note: str | None = None


class Search(TypedDict):
    """Search."""

    query: str


def multiply(a: float, b: float) -> float:
    """Multiply.

    Args:
        a: One.
        b: Another.
    """
    return a * b


def ping() -> str:
    """Ping."""
    return "pong"


OPENAI = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
TOOLS: list[Any] = [add, Order, Search, multiply, ping, OPENAI]


def calling(*calls: tuple[str, dict[str, Any]], check: bool = True, **choice: Any) -> AIMessage:
    """What a model with all the tools answers, when its script makes these calls."""
    script = Reply([{"name": name, "args": args} for name, args in calls], check=check)
    answer: AIMessage = ScriptedChatModel([script]).bind_tools(TOOLS, **choice).invoke("?")
    return answer


def test_every_kind_of_tool_can_be_bound_and_called() -> None:
    answer = calling(
        ("add", {"a": 1}),
        ("Order", {"items": [{"name": "ink", "price": 2}], "note": None}),
        ("Search", {"query": "q"}),
        ("multiply", {"a": 1, "b": 2.5}),
        ("ping", {}),
        ("weather", {"city": "Bern"}),
    )
    assert [call["name"] for call in answer.tool_calls] == [
        "add",
        "Order",
        "Search",
        "multiply",
        "ping",
        "weather",
    ]
    assert [call["id"] for call in answer.tool_calls] == [f"call_1_{number}" for number in range(1, 7)]
    assert answer.response_metadata["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(
    ("name", "args", "argument", "expected", "found"),
    [
        ("add", {"a": "one"}, "a", "integer", '"one"'),
        ("add", {"a": True}, "a", "integer", "true"),
        ("add", {"b": 1}, "a", "integer", "missing"),
        ("add", {"a": 1, "c": 2}, "c", "one of: a, b", "unknown"),
        ("add", {"a": 1, "secret": "x"}, "secret", "one of: a, b", "unknown"),
        ("Order", {"items": []}, "items", "at least 1 items", "[]"),
        ("Order", {"items": [{"name": "ink", "price": -1}]}, "items[0].price", "at least 0", "-1"),
        ("Order", {"items": [{"name": "ink"}]}, "items[0].price", "number", "missing"),
        (
            "Order",
            {"items": [{"name": "x", "price": 1, "kind": "pin"}]},
            "items[0].kind",
            'one of "book", "pen"',
            '"pin"',
        ),
        ("Order", {"items": [{"name": "x", "price": 1}], "note": 7}, "note", "string or null", "7"),
        ("Search", {}, "query", "string", "missing"),
        ("ping", {"loud": True}, "loud", "one of: no arguments", "unknown"),
        ("weather", {"city": None}, "city", "string", "null"),
    ],
)
def test_arguments_that_do_not_fit_name_the_tool_the_argument_and_what_is_expected(
    name: str, args: dict[str, Any], argument: str, expected: str, found: str
) -> None:
    with pytest.raises(ScriptNotFollowed) as raised:
        calling((name, args))
    error = raised.value
    assert (error.reason, error.tool, error.argument) == ("bad tool call", name, argument)
    assert error.expected is not None
    assert error.expected.startswith(expected)
    assert f"calls tool `{name}`, and its argument `{argument}` is {found}, expected {expected}" in str(error)


@pytest.mark.parametrize(
    ("schema", "fits", "wrong"),
    [
        ({"type": "string", "pattern": r"^\p{L}+$"}, "Öl", "7"),  # the notation of pydantic's own engine
        ({"type": "integer", "minimum": 0}, 10**400, -(10**400)),
    ],
)
def test_what_no_float_is_and_what_python_cannot_read_is_checked_too(
    schema: dict[str, Any], fits: Any, wrong: Any
) -> None:
    assert misfit(fits, schema) is None
    assert misfit(wrong, schema) is not None


def test_an_argument_of_true_is_none_of_one() -> None:
    @tool
    def rate(stars: Literal[1, 2, "none"]) -> str:
        """Rate."""
        return str(stars)

    def called(stars: Any) -> None:
        ScriptedChatModel([{"name": "rate", "args": {"stars": stars}}]).bind_tools([rate]).invoke("?")

    called(1)
    with pytest.raises(ScriptNotFollowed, match="its argument `stars` is true, expected one of 1, 2"):
        called(True)


def test_a_tool_that_is_not_bound_is_an_error_with_a_suggestion() -> None:
    with pytest.raises(
        ScriptNotFollowed, match=r"calls tool `ad`, and bound are add, .*; did you mean `add`\? Correct"
    ):
        calling(("ad", {"a": 1}))


def test_a_tool_call_without_any_tools_bound_is_an_error() -> None:
    with pytest.raises(ScriptNotFollowed, match="calls tool `add`, and no tools are bound"):
        ScriptedChatModel([{"name": "add", "args": {"a": 1}}]).invoke("?")


def test_a_bad_call_can_be_played_when_it_is_meant() -> None:
    assert calling(("ad", {"a": "one"}), check=False).tool_calls[0]["args"] == {"a": "one"}


def test_a_call_that_is_no_json_is_passed_on() -> None:
    written = AIMessage("", invalid_tool_calls=[invalid_tool_call(name="add", args="a = 1", id="7")])
    bound = ScriptedChatModel([written] * 2).bind_tools(TOOLS)
    first, *rest = bound.stream("?")
    for answer in (bound.invoke("?"), sum(rest, first)):
        assert [(call["name"], call["args"], call["id"]) for call in answer.invalid_tool_calls] == [
            ("add", "a = 1", "7")
        ]


def test_a_call_keeps_the_id_that_the_script_gives() -> None:
    script = [tool_call(name="add", args={"a": 1}, id="mine")]
    answer = ScriptedChatModel([script]).bind_tools(TOOLS).invoke("?")
    assert answer.tool_calls[0]["id"] == "mine"


@pytest.mark.parametrize(
    "choice", ["any", "required", True, "add", {"type": "function", "function": {"name": "add"}}]
)
def test_a_call_that_is_demanded_has_to_be_in_the_script(choice: Any) -> None:
    assert calling(("add", {"a": 1}), tool_choice=choice).tool_calls
    with pytest.raises(ScriptNotFollowed, match=r"demands a tool call .* and the script answers .*'no'"):
        ScriptedChatModel(["no"]).bind_tools(TOOLS, tool_choice=choice).invoke("?")


@pytest.mark.parametrize("choice", ["ad", {"type": "function", "function": {"name": "ad"}}])
def test_a_demanded_tool_that_is_not_bound_is_refused_as_a_provider_would(choice: Any) -> None:
    with pytest.raises(DefinitionError, match=r"tool_choice='ad'.*did you mean `add`"):
        ScriptedChatModel(["no"]).bind_tools(TOOLS, tool_choice=choice)


def test_other_calls_than_the_demanded_or_allowed_ones_are_errors() -> None:
    with pytest.raises(ScriptNotFollowed, match="demands a call of add, and the script calls ping"):
        calling(("ping", {}), tool_choice="add")
    with pytest.raises(ScriptNotFollowed, match="forbids tools"):
        calling(("ping", {}), tool_choice="none")
    with pytest.raises(ScriptNotFollowed, match=r"one tool call \(parallel_tool_calls=False\), .* makes 2"):
        calling(("ping", {}), ("ping", {}), parallel_tool_calls=False)


def test_a_built_in_tool_is_bound_and_its_arguments_are_its_own_affair() -> None:
    bound = ScriptedChatModel([{"name": "web_search", "args": {"anything": 1}}]).bind_tools(
        [{"type": "web_search"}]
    )
    assert bound.invoke("?").tool_calls[0]["args"] == {"anything": 1}


class Node(BaseModel):
    value: Annotated[str, Field(pattern="^[a-z]+$", max_length=3)]
    children: list[Node] = []
    pair: tuple[int, str] | None = None
    extra: dict[str, int] = {}


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"value": "a", "children": [{"value": "b", "pair": [1, "x"]}], "extra": {"k": 1}}, None),
        ({"value": "A"}, "value"),
        ({"value": "abcd"}, "value"),
        ({"value": "a", "children": [{"value": "b"}, {"value": 1}]}, "children[1].value"),
        ({"value": "a", "pair": ["x", 1]}, "pair[0]"),
        ({"value": "a", "extra": {"k": "v"}}, "extra.k"),
        ({"value": "a", "children": {}}, "children"),
        ([], ""),
    ],
)
def test_schemas_with_references_to_themselves_are_followed(value: Any, path: str | None) -> None:
    found = misfit(value, Node.model_json_schema())
    assert (found and found.path) == path


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | st.text("ab", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=8,
)


class Anything(BaseModel, extra="forbid", strict=True):
    a: int | list[int] | None = None
    b: Literal["a", "b"] = "a"
    c: dict[str, float] | bool = True
    d: Annotated[str, Field(min_length=1)] | Annotated[list[str], Field(max_length=2)] = "x"


@given(JSON)
def test_a_value_fits_exactly_when_pydantic_takes_it(value: Any) -> None:
    import json

    try:
        TypeAdapter(Anything).validate_json(json.dumps(value))
        taken = True
    except ValueError:
        taken = False
    found = misfit(value, Anything.model_json_schema())
    # JSON schema calls 1.0 an integer, pydantic does not.
    if taken or not _has_whole_float(value):
        assert (found is None) == taken


def _has_whole_float(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_whole_float, value.values()))
    if isinstance(value, list):
        return any(map(_has_whole_float, value))
    return isinstance(value, float) and value.is_integer()
