"""Whose token it is, and how often its client may ask."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from dalsegno.errors import DefinitionError
from dalsegno.service.limits import MOST, Rates
from dalsegno.service.settings import Settings
from dalsegno.service.tokens import Tokens, read_tokens

TOKEN = "0123456789abcdef"


def test_a_token_is_its_clients_and_no_other_is_known() -> None:
    tokens = Tokens(["# clients", "", f"ci={TOKEN}", "fedcba9876543210=="])
    assert tokens.client(f"Bearer {TOKEN}") == "ci"
    assert tokens.client(f"bearer  {TOKEN}") == "ci"
    name = tokens.client("Bearer fedcba9876543210==")  # the sign of an equation in it divides nothing
    assert name is not None
    assert name.startswith("token-")
    for wrong in (
        None,
        "",
        "Bearer",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Basic {TOKEN}",
        "Bearer ä",
    ):
        assert tokens.client(wrong) is None


def test_a_browser_may_send_it_as_a_password_where_that_is_allowed() -> None:
    tokens = Tokens([f"ci={TOKEN}"])
    basic = "Basic " + base64.b64encode(f"anybody:{TOKEN}".encode()).decode()
    assert tokens.client(basic, basic=True) == "ci"
    assert tokens.client(basic) is None
    assert tokens.client("Basic ???", basic=True) is None


@pytest.mark.parametrize("line", ["short", "ci=short", "ci=has a space in it....", "ci=ümlaut-0123456789"])
def test_what_can_be_guessed_or_sent_by_nobody_is_no_token_and_is_not_repeated(line: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        Tokens([line])
    assert line.partition("=")[2] not in str(caught.value) or "=" not in line


@pytest.mark.parametrize("line", ["ci", "ci.example=" + TOKEN, "=" + TOKEN, "a client=" + TOKEN])
def test_a_line_that_is_no_token_is_told_with_its_place_and_its_form(line: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        Tokens(read_tokens(f"# clients\nci={TOKEN}\n{line}\n", {}, "--token-file tokens.txt"))
    assert str(caught.value).startswith("--token-file tokens.txt, line 3: ")
    assert "A line is NAME=TOKEN" in str(caught.value)
    assert TOKEN not in str(caught.value)
    with pytest.raises(DefinitionError, match=r"^DALSEGNO_TOKENS, token 2: "):
        Tokens(read_tokens("", {"DALSEGNO_TOKENS": f"ci={TOKEN},{line}"}))


def test_tokens_show_no_secret() -> None:
    tokens = Tokens([f"ci={TOKEN}"])
    assert TOKEN not in repr(tokens) + repr(vars(tokens))


def test_tokens_come_from_a_file_and_from_the_environment() -> None:
    lines = read_tokens(f"a={TOKEN}\n", {"DALSEGNO_TOKENS": f"b={TOKEN}1, c={TOKEN}2"})
    tokens = Tokens(lines)
    assert [tokens.client(f"Bearer {TOKEN}{more}") for more in ("", "1", "2")] == ["a", "b", "c"]


def test_a_client_may_ask_so_often_and_others_do_not_wait_for_it() -> None:
    now = [0.0]
    rates = Rates(rate=2, burst=3, clock=lambda: now[0])
    assert [rates.wait("a") for _ in range(4)] == [0, 0, 0, 0.5]
    assert rates.wait("b") == 0
    now[0] = 0.5
    assert rates.wait("a") == 0
    now[0] = 100
    assert [rates.wait("a") for _ in range(4)] == [0, 0, 0, 0.5]


def test_so_many_clients_are_remembered_and_no_more() -> None:
    rates = Rates(rate=1, burst=1, clock=lambda: 0.0)
    for number in range(MOST + 10):
        rates.wait(str(number))
    assert len(rates._buckets) == MOST


@pytest.mark.parametrize(
    "wrong",
    [
        {"runs": 2.5},
        {"runs": "8"},
        {"runs": True},
        {"queue": 0},
        {"rate": None},
        {"poll": float("nan")},
        {"name": 5},
    ],
)
def test_a_limit_that_is_none_is_refused_by_its_name(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(DefinitionError, match=rf"Settings\({name}"):
        Settings(**wrong)
    assert Settings(runs=3, rate=0.5, burst=1).rate == 0.5
