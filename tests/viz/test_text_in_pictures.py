"""Text as a picture can carry it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dalsegno.viz.text import duration, limit, plain, short, wrapped


@settings(deadline=None)
@given(st.text(st.characters(codec=None)))
def test_any_text_becomes_one_line_that_xml_allows(text: str) -> None:
    line = plain(text)
    assert line
    assert line.encode()  # no lone surrogates
    assert not [c for c in line if ord(c) < 0x20 or 0x7F <= ord(c) <= 0x9F or c in "\ufffe\uffff\u202e"]


@settings(deadline=None)
@given(st.text(), st.integers(2, 60))
def test_a_shortened_text_is_no_longer_than_asked(text: str, width: int) -> None:
    assert len(short(text, width)) <= width


@settings(deadline=None)
@given(st.text(), st.integers(4, 40), st.integers(1, 4))
def test_a_wrapped_text_keeps_to_its_lines(text: str, width: int, lines: int) -> None:
    rows = wrapped(text, width, lines)
    assert 1 <= len(rows) <= lines
    assert all(len(row) <= width for row in rows)


def test_a_text_is_cut_between_words_where_it_can_be() -> None:
    assert short("the model did not answer", 22) == "the model did not…"


def test_an_overriding_direction_is_shown_and_not_obeyed() -> None:
    assert plain("evil\u202egnp.exe") == "evil\ufffdgnp.exe"


@pytest.mark.parametrize("name", ["", "  ", "\u200b", "\ufeff \u2060", "\u00ad"])
def test_a_name_that_cannot_be_seen_is_shown_as_a_space(name: str) -> None:
    assert plain(name) == "\u2423"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 ms"), (0.0123, "12 ms"), (0.9996, "1.0 s"), (1.24, "1.2 s"), (59.94, "59.9 s"),
     (59.96, "1 min 00 s"), (125, "2 min 05 s"), (3599.7, "1 h 00 min"), (3725, "1 h 02 min")],
)  # fmt: skip
def test_a_duration_is_said_as_people_say_it(seconds: float, said: str) -> None:
    assert duration(seconds) == said


@pytest.mark.parametrize(("seconds", "said"), [(30, "30 s"), (0.5, "0.5 s"), (90, "90 s"), (600, "10 min")])
def test_a_limit_has_no_false_precision(seconds: float, said: str) -> None:
    assert limit(seconds) == said
