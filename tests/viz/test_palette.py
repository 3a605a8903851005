"""The colours can be read: contrast is computed, not judged (WCAG 2.2, 1.4.3 and 1.4.11)."""

from __future__ import annotations

import re

import pytest

from dalsegno.viz import palette as p
from dalsegno.viz.style import asset, sheet


def _luminance(color: str) -> float:
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("ink", [p.INK, p.MUTED, p.FAINT, p.ACCENT, p.ALARM])
@pytest.mark.parametrize("ground", [p.PAPER, p.FRAME])
def test_text_on_paper_and_frames_can_be_read(ink: str, ground: str) -> None:
    assert _contrast(ink, ground) >= 4.5


@pytest.mark.parametrize("paint", [*p.STATUSES.values(), *p.KINDS.values(), p.FADED])
def test_text_in_a_box_can_be_read(paint: p.Paint) -> None:
    assert _contrast(paint.ink, paint.fill) >= 4.5
    assert _contrast(p.INK, paint.fill) >= 4.5
    assert _contrast(p.MUTED if paint is not p.FADED else p.FAINT, paint.fill) >= 4.5
    assert _contrast(paint.ink, p.FRAME) >= 4.5


@pytest.mark.parametrize("line", [p.LINE, p.TAKEN, p.ACCENT, p.ALARM])
def test_lines_can_be_seen(line: str) -> None:
    assert _contrast(line, p.PAPER) >= 3
    assert _contrast(line, p.FRAME) >= 3


@pytest.mark.parametrize("status", p.STATUSES)
def test_a_status_is_never_only_a_colour(status: str) -> None:
    assert p.SIGNS[status]
    assert _contrast(p.STATUSES[status].border, p.PAPER) >= 3


def test_signs_differ() -> None:
    assert len(set(p.SIGNS.values())) == len(p.STATUSES)


DARK, LIGHT = p.colors("dark"), p.colors("light")


def test_both_grounds_have_the_same_colours() -> None:
    assert DARK.keys() == LIGHT.keys()


@pytest.mark.parametrize("ink", ["ink", "muted", "faint", "accent", "alarm"])
@pytest.mark.parametrize("ground", ["paper", "frame"])
def test_text_on_a_dark_ground_can_be_read(ink: str, ground: str) -> None:
    assert _contrast(DARK[ink], DARK[ground]) >= 4.5


@pytest.mark.parametrize("box", [*p.KINDS, *p.STATUSES])
def test_text_in_a_box_on_a_dark_ground_can_be_read(box: str) -> None:
    fill = DARK[f"{box}-fill"]
    assert _contrast(DARK["ink"], fill) >= 4.5
    assert _contrast(DARK["muted"], fill) >= 4.5
    if box in p.STATUSES:
        assert _contrast(DARK[f"{box}-ink"], fill) >= 4.5
        assert _contrast(DARK[f"{box}-border"], DARK["paper"]) >= 3


@pytest.mark.parametrize("line", ["line", "taken", "accent", "alarm"])
def test_lines_on_a_dark_ground_can_be_seen(line: str) -> None:
    assert _contrast(DARK[line], DARK["paper"]) >= 3
    assert _contrast(DARK[line], DARK["frame"]) >= 3


def test_the_style_sheet_uses_only_colours_that_there_are() -> None:
    used = set(re.findall(r"var\(--([a-z-]+)\)", asset("picture.css") + asset("page.css")))
    assert used <= LIGHT.keys()
    assert "var(" not in sheet()
