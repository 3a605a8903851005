"""Text as a picture can carry it: one line, printable, not too long.

Names come from users and from files; what XML forbids, and what would turn the text around it, is
shown as U+FFFD instead of being trusted or silently lost.
"""

from __future__ import annotations

import re
from unicodedata import category

# Controls, surrogates and non-characters (XML 1.0, section 2.2), and the bidirectional overrides
# and isolates, which would reorder the text beside them (https://trojansource.codes).
_UNSAFE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)
_SPACE = re.compile(r"\s+")


def plain(text: object) -> str:
    """The text in one line, with nothing in it that XML or a reader could trip over."""
    line = _SPACE.sub(" ", _UNSAFE.sub("\ufffd", str(text))).strip()
    return line if any(category(character) not in ("Cf", "Zs") for character in line) else "\u2423"


def short(text: object, width: int = 44) -> str:
    """`plain` text of at most `width` characters; what is cut off ends in an ellipsis."""
    line = plain(text)
    if len(line) <= width:
        return line
    cut = line.rfind(" ", 0, width)
    return line[: cut if cut > width * 2 // 3 else width - 1].rstrip() + "…"


def wrapped(text: object, width: int = 34, lines: int = 2) -> tuple[str, ...]:
    """`plain` text over at most `lines` lines of `width` characters."""
    rest = plain(text)
    out: list[str] = []
    while rest and len(out) < lines - 1 and len(rest) > width:
        cut = rest.rfind(" ", 0, width + 1)
        cut = cut if cut > width // 2 else width
        out.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return (*out, short(rest, width)) if rest else tuple(out)


def duration(seconds: float) -> str:
    """Seconds as people say them: ``120 ms``, ``1.2 s``, ``2 min 05 s``, ``1 h 02 min``."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def limit(seconds: float) -> str:
    """A declared number of seconds, without false precision: ``30 s``, ``0.5 s``, ``10 min``."""
    if seconds >= 60 and seconds % 60 == 0:
        return f"{seconds / 60:g} min"
    return f"{seconds:g} s"
