"""A prompt is filled in from the state, and what is missing is named."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, trim_messages
from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel

from dalsegno import human
from dalsegno.errors import DefinitionError, FieldMissing, PlayerError
from dalsegno.nodes.prompts import Told


class Order(BaseModel):
    total: float
    lines: list[str] = []

    def taxed(self) -> float:
        return self.total * 1.2


@dataclass
class State:
    order: Order
    topic: str | None = None


def words(prompt: Any, state: Any, **options: Any) -> str:
    return "\n".join(m.text for m in Told(prompt, **options).to(state, node="write"))


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("Total {order.total}", "Total 12.5"),
        ("Total {order.total:.2f}", "Total 12.50"),
        ("First {order.lines.0}, last {order.lines[-1]}", "First tea, last cake"),
        ("All {order.lines}", 'All ["tea","cake"]'),
        ("As JSON {order}", 'As JSON {"total":12.5,"lines":["tea","cake"]}'),
        ("Topic <{topic?}>", "Topic <>"),
        ('Say {{"ok": true}}', 'Say {"ok": true}'),
    ],
)
def test_a_field_is_filled_in_from_an_object_and_from_a_mapping(prompt: str, expected: str) -> None:
    order = Order(total=12.5, lines=["tea", "cake"])
    assert words(prompt, State(order)) == expected
    assert words(prompt, {"order": order}) == expected


@pytest.mark.parametrize(
    ("prompt", "state", "message"),
    [
        (
            "{darft}",
            {"draft": "x", "topic": "y"},
            "`write` needs `darft`*; did you mean `draft`? It has `draft`, `topic`.",
        ),
        ("{order.tax}", {"order": Order(total=1)}, "`write` needs `order.tax`*is not there*"),
        (
            "{order.lines.²}",
            {"order": Order(total=1, lines=["x"])},
            "`write` needs `order.lines.²`*is not there*",
        ),
        (
            "{topic.title}",
            {"topic": "rain"},
            "`write` needs `topic.title`*is not there*given. It has `topic`.",
        ),
        ("{lines.count}", {"lines": ["x"]}, "`write` needs `lines.count`*is not there*"),
        ("{order.taxed}", {"order": Order(total=1)}, "`write` needs `order.taxed`*is not there*"),
        ("{lines.--1}", {"lines": ["x"]}, "`write` needs `lines.--1`*is not there*"),
        (
            "{topic}",
            {"topic": None},
            "`write` needs `topic` for its prompt (`{name?}` where it may be missing)*is None*",
        ),
        (ChatPromptTemplate([("user", "{draft}")]), {}, "`write` needs `draft`*It is empty."),
    ],
)
def test_a_missing_field_is_named_with_its_node_and_what_was_meant(
    prompt: Any, state: Any, message: str
) -> None:
    with pytest.raises(FieldMissing) as raised:
        words(prompt, state)
    first, *rest = message.split("*")
    assert str(raised.value).startswith(first)
    assert all(part in str(raised.value) for part in rest)
    again = pickle.loads(pickle.dumps(raised.value))
    assert (again.node, again.field) == ("write", raised.value.field)


@pytest.mark.parametrize("prompt", ["{", "{topic", "}", "{}", '{"ok": true}', "{a b}", "{topic!x}"])
def test_a_text_that_cannot_be_read_is_refused_at_once(prompt: str) -> None:
    with pytest.raises(DefinitionError, match="prompt"):
        Told(prompt)


def test_the_text_before_a_conversation_is_a_system_message_and_alone_it_is_the_humans() -> None:
    told = Told("Be brief, {name}.", messages="messages")
    history = [HumanMessage("Hi"), AIMessage("Hello")]
    assert told.to({"name": "Ann", "messages": history}, node="x") == [
        SystemMessage("Be brief, Ann."),
        *history,
    ]
    assert told.to({"name": "Ann"}, node="x") == [HumanMessage("Be brief, Ann.")]


def test_a_template_and_a_function_give_messages_of_their_own() -> None:
    template = ChatPromptTemplate([("system", "Be brief."), ("user", "{topic}"), ("placeholder", "{notes}")])
    assert [m.type for m in Told(template).to({"topic": "rain"}, node="x")] == ["system", "human"]
    told = Told(lambda state: [("system", "Be brief."), ("user", state["topic"])])
    assert told.to({"topic": "rain"}, node="x") == [SystemMessage("Be brief."), HumanMessage("rain")]
    assert words(lambda state: f"About {state['topic']}", {"topic": "rain"}) == "About rain"


def test_what_a_prompt_reads_is_known_unless_a_function_decides() -> None:
    assert Told("{order.total} {topic?} {order.lines}", messages="chat").reads == ("order", "topic", "chat")
    assert Told(ChatPromptTemplate([("user", "{topic}")])).reads == ("topic",)
    assert Told(lambda state: "x").reads is None


@pytest.mark.parametrize(
    ("prompt", "value", "message"),
    [
        (
            "{price:.2f}",
            "cheap",
            "`write` cannot put `price` into its prompt, for it is str and asked for as `.2f`",
        ),
        ("{price?:.2f}", "cheap", "for it is str and asked for as `.2f`"),
        ("{price}", b"\xff", "`write` cannot put `price` into its prompt, for it is bytes: .*invalid utf-8"),
    ],
)
def test_a_value_that_cannot_be_put_into_words_is_named(prompt: str, value: Any, message: str) -> None:
    with pytest.raises(PlayerError, match=message) as raised:
        words(prompt, {"price": value})
    assert raised.value.node == "write"


def test_messages_that_a_prompt_brings_itself_do_not_follow_it_again() -> None:
    state = {"messages": [HumanMessage("1"), AIMessage("2"), HumanMessage("3")]}

    def trimmed(state: Any) -> Any:
        kept = trim_messages(state["messages"], max_tokens=1, token_counter=len, strategy="last")
        return [SystemMessage("Be brief."), *kept]

    def greeting(state: Any) -> Any:
        return [SystemMessage("Be brief."), HumanMessage("Hello.")]

    placed = ChatPromptTemplate([("system", "Be brief."), ("placeholder", "{messages}")])
    assert words(trimmed, state, messages="messages") == "Be brief.\n3"
    assert words(placed, state, messages="messages") == "Be brief.\n1\n2\n3"
    assert words(placed, {"messages": []}, messages="messages") == "Be brief."
    assert words(greeting, state, messages="messages") == "Be brief.\nHello.\n1\n2\n3"


async def awaited(state: Any) -> str:
    return "Hello."


def test_a_function_that_gives_no_words_is_told() -> None:
    for given in (None, {"topic": "rain"}, 5):
        with pytest.raises(
            PlayerError, match=f"prompt of `write` is a function and gave {type(given).__name__}"
        ):
            Told(lambda state, given=given: given).to({}, node="write")
    with pytest.raises(DefinitionError, match="'awaited' is a coroutine function"):
        Told(awaited)
    with pytest.raises(DefinitionError, match="'awaited' is a coroutine function"):
        human(awaited, answer=str, writes="topic")  # type: ignore[arg-type]  # what is told
    with pytest.raises(PlayerError, match="question of `human` is a function and gave None"):
        human(lambda state: None, answer=str, writes="topic").invoke({})  # type: ignore[arg-type, return-value]  # as above
