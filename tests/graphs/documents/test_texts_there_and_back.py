"""Any text of a document is written so that it is read as the same text again."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dalsegno.graphs.definition import WorkflowDefinition
from dalsegno.graphs.documents.source import parse_source

CALL = {"function": "builtins:str"}
WORDS = st.text("0123456789eExob+-._:~ ", max_size=6)
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=12) | WORDS


def back(value: Any) -> Any:
    made = {"name": "a", "metadata": {"is": value}, "steps": [{"name": "b", "agent_calls": [CALL]}]}
    definition = WorkflowDefinition.model_validate(made)
    again = WorkflowDefinition.model_validate(parse_source(definition.to_yaml()).data)
    assert again == definition
    return again.metadata["is"]


@pytest.mark.parametrize(
    "word",
    ["1e3", "0E0", "-.5e3", "1.e5", "0o17", "0x1F", "010", ".inf", "1_000", "no", "12:30", "\x85", "\u2028"],
)
def test_a_text_that_looks_like_something_else_stays_a_text(word: str) -> None:
    assert back(word) == word
    assert back({word: [word]}) == {word: [word]}


@given(TEXTS, TEXTS)
@example("0e0", "\ufeff")
@settings(max_examples=150, deadline=None)
def test_any_text_is_read_as_it_was_written(key: str, text: str) -> None:
    assert back({key: text}) == {key: text}
