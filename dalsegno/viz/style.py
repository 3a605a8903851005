"""The style sheets: the files in `viz/assets`, with the colours of the palette in them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from dalsegno.viz import palette as p

ASSETS = Path(__file__).parent / "assets"


@cache
def asset(name: str) -> str:
    """The text of a file in `viz/assets`."""
    return (ASSETS / name).read_text(encoding="utf-8")


@cache
def rules() -> str:
    """The rules of a picture, one a line, with colours by their names (``var(--ink)``)."""
    return packed(asset("picture.css"))


def packed(css: str) -> str:
    """A style sheet without comments and white space, one rule a line."""
    css = re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL)
    css = re.sub(r"\s+", " ", css)
    return (
        re.sub(r" ?([{};,]) ?", r"\1", css).replace(": ", ":").replace(";}", "}").replace("}", "}\n").strip()
    )


@cache
def sheet() -> str:
    """The whole sheet of a picture that stands alone: light, and dark where the reader prefers it."""
    light, night = _filled(p.colors()), _filled(p.colors("dark"))
    dark = "".join(_colored(line) for line in night.splitlines())
    return f"{light}\n@media (prefers-color-scheme:dark){{{dark}}}\n"


def variables(colors: Mapping[str, str]) -> str:
    """The colours as declarations of a page: ``--ink:#1c2530;…``."""
    return "".join(f"--{name}:{color};" for name, color in colors.items())


def _filled(colors: Mapping[str, str]) -> str:
    return re.sub(r"var\(--([a-z-]+)\)", lambda m: colors[m[1]], rules())


def _colored(rule: str) -> str:
    """A rule with only those of its declarations that a ground changes."""
    selector, brace, body = rule.partition("{")
    kept = [d for d in body.rstrip("}").split(";") if "#" in d]
    return f"{selector}{brace}{';'.join(kept)}}}" if kept else ""
