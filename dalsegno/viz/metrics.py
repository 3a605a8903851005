"""How wide a text is, without a font: enough to size the boxes the same on every machine.

The advance widths are those of Helvetica (Adobe's published font metrics), in thousandths of the size.
Fonts that stand in for it are up to a seventh wider (DejaVu Sans), so that much is added.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

_ROOM = 1.13
_BOLD = 1.07
_WIDE = 1000
_OTHER = 640

_WIDTHS: dict[str, int] = {}
for _width, _characters in (
    (222, "ijl"),
    (260, "|"),
    (191, "'"),
    (278, " !,./:;I[\\]ft"),
    (333, "()-`r·"),
    (334, "{}"),
    (355, '"'),
    (389, "*"),
    (469, "^"),
    (500, "Jckmsvxyz"),
    (556, "#$?0123456789L_abdeghnopqu"),
    (584, "+<=>~≤≥×"),
    (611, "FTZ"),
    (667, "&ABEKPSVXY"),
    (722, "CDHNRUw"),
    (778, "GOQ"),
    (833, "Mm"),
    (889, "%"),
    (944, "W"),
    (1015, "@"),
):
    _WIDTHS.update(dict.fromkeys(_characters, _width))


@lru_cache(maxsize=1024)
def _advance(character: str) -> int:
    known = _WIDTHS.get(character)
    if known is not None:
        return known
    if unicodedata.combining(character):
        return 0
    return _WIDE if unicodedata.east_asian_width(character) in "WF" else _OTHER


def width(text: str, size: float, *, bold: bool = False) -> float:
    """The width of a line of text in points, at a font size in points; rather too wide than too narrow."""
    return sum(map(_advance, text)) * size * _ROOM * (_BOLD if bold else 1) / 1000


def fitted(text: str, room: float, size: float, *, bold: bool = False) -> str:
    """The text, cut with an ellipsis where it is wider than `room` points."""
    if width(text, size, bold=bold) <= room:
        return text
    while text and width(text + "…", size, bold=bold) > room:
        # A long name is cut in halves first, so that a thousand characters cost ten steps.
        text = text[: min(len(text) - 1, max(8, len(text) // 2))] if len(text) > 160 else text[:-1]
    return text.rstrip() + "…"
