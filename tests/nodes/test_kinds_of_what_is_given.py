"""What players and policies are given is looked at where it is given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dalsegno import RateLimit, agent, human, remote, tool
from dalsegno.errors import DefinitionError


def price(amount: int) -> int:
    return amount


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: agent("some:model", "Write.", writes=5),
            "agent: `writes=5`: a state key, or {state key: field}",
        ),
        (lambda: agent("some:model", "Write.", writes={"a": 5}), "agent: `writes={'a': 5}`: a state key"),
        (lambda: agent("some:model", "Write.", name=5), "agent: `name=5`: a text is needed"),
        (lambda: agent("some:model", "Write.", messages=[]), "agent: `messages=.*`: the name of a state key"),
        (lambda: agent("some:model", "Write.", tools=None), "tools=None: a list of tools is needed"),
        (
            lambda: agent("some:model", "Write.", tools=price),
            "tools=<function price .*: a list of tools is needed",
        ),
        (
            lambda: agent("some:model", "Write.", output={"a": 1}, writes="a"),
            "pydantic cannot tell its JSON schema",
        ),
        (lambda: human("Good?", writes="good", answer={"a": 1}), "pydantic has no JSON schema for it"),
        (lambda: human("Good?", writes="good", name=5), "human: `name=5`: a text"),
        (lambda: tool(price, writes=["price"]), "tool: `writes=.*`: a state key"),
        (lambda: tool(price, args=["amount"]), "tool: `args=.*`: {parameter: state key} is needed"),
        (lambda: tool(price, args={"amount": 5}), "tool: `args={'amount': 5}`"),
        (lambda: tool(price, name=5), "tool: `name=5`"),
        (lambda: tool(price, calls="one"), "tool: `calls='one'`: a whole number, 0 or more, is needed"),
        (lambda: tool(price, effect="charge"), "tool: `effect='charge'`: True or False"),
        (lambda: remote("https://a.example", 5), "remote: `method=5`: a text"),
        (lambda: remote("https://a.example", "ask", headers=["x"]), "remote: `headers=.*`: a mapping"),
        (
            lambda: remote("https://a.example", "ask", allow_private=None),
            "True, False, or hosts and networks",
        ),
        (lambda: RateLimit(calls=2, name=5), "RateLimit: `name=5`"),
    ],
)
def test_what_is_of_another_kind_is_refused(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(DefinitionError, match=words):
        make()
