"""The looks, in one place: colours, type and signs that every renderer shares.

Text on its ground has a contrast of at least 4.5 to 1, taken lines 3 to 1 (WCAG 2.2, 1.4.3 and
1.4.11; `tests/viz/test_palette.py` computes both, for the light and the dark ground). No colour stands
alone: each status has a sign and a word, each kind of node its own shape, each kind of edge its own
stroke.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

FONT = "Helvetica,Arial,sans-serif"

PAPER = "#ffffff"
INK = "#1c2530"
MUTED = "#56616e"
FAINT = "#68737f"
TAKEN = "#37424e"
LINE = "#7a8592"
HAIR = "#d5dae0"
FRAME = "#f7f8fa"
ACCENT = "#5546c8"
ALARM = "#b3261e"

Ground = Literal["light", "dark"]


@dataclass(frozen=True, slots=True)
class Paint:
    """Ground, border and ink of one box."""

    fill: str
    border: str
    ink: str = INK


PLAIN = Paint("#ffffff", "#aab3bd")
FADED = Paint("#ffffff", HAIR, FAINT)
UNKNOWN = Paint("#ffffff", ALARM, ALARM)

KINDS = {
    "function": PLAIN,
    "agent": Paint("#f3f1fd", "#a59de0"),
    "tool": Paint("#eef4f8", "#8fb0c6"),
    "remote": Paint("#eef6f4", "#88b8ab"),
    "human": Paint("#fdf5e6", "#cfab62"),
    "handler": Paint("#fbf1f0", "#d0a09b"),
    "unknown": UNKNOWN,
}

STATUSES = {
    "done": Paint("#eaf6ef", "#2a8656", "#1b6740"),
    "caught": Paint("#fdf1e7", "#bd5b14", "#8f430d"),
    "failed": Paint("#fdeceb", "#c5352b", "#a3231b"),
    "running": Paint("#e9f1fd", "#2f6fc4", "#1d559f"),
    "interrupted": Paint("#fef4dc", "#a87400", "#7d5600"),
    "pending": Paint("#ffffff", "#6a5ad6", "#4b3cbb"),
}

SIGNS = {"done": "✓", "caught": "↷", "failed": "✕", "running": "▶", "interrupted": "‖", "pending": "○"}

WORDS = {
    "done": "done",
    "caught": "failed, caught",
    "failed": "failed",
    "running": "running",
    "interrupted": "waits for a human",
    "pending": "pending",
}
"""What each sign means."""

RUN_STATUSES = {
    "completed": "done",
    "failed": "failed",
    "running": "running",
    "interrupted": "interrupted",
    "stopped": "pending",
    "queued": "pending",
    "cancelled": "failed",
}
"""The look of a whole run's status."""

CHANGES = {"added": "+", "removed": "−", "changed": "≠"}
"""The signs of a difference picture; its looks are those of done, failed and interrupted."""

_DARK_BASE = {
    "paper": "#12161c",
    "ink": "#e8ecf1",
    "muted": "#a3adb9",
    "faint": "#8c97a4",
    "taken": "#c9d1da",
    "line": "#8792a0",
    "hair": "#363f4a",
    "frame": "#191f27",
    "accent": "#a99ff5",
    "alarm": "#ff9289",
}

_DARK_KINDS = {
    "function": Paint("#1d242d", "#566270"),
    "agent": Paint("#272344", "#7d72cf"),
    "tool": Paint("#1b2a35", "#54809c"),
    "remote": Paint("#19302b", "#4f8d7d"),
    "human": Paint("#33291a", "#a17f3c"),
    "handler": Paint("#352122", "#a56b66"),
    "unknown": Paint("#12161c", "#ff9289", "#ff9289"),
}

_DARK_STATUSES = {
    "done": Paint("#14301f", "#4cb07d", "#86dcae"),
    "caught": Paint("#36220f", "#e08a45", "#f7b27a"),
    "failed": Paint("#3a1917", "#f0736a", "#ff9c94"),
    "running": Paint("#14273f", "#5c9bec", "#93c1ff"),
    "interrupted": Paint("#35290d", "#d6a12e", "#f3c765"),
    "pending": Paint("#12161c", "#a99ff5", "#b9b1f8"),
}


def colors(ground: Ground = "light") -> Mapping[str, str]:
    """Every colour by its name, on a light or a dark ground: ``ink``, ``agent-fill``, ``done-border``."""
    if ground == "dark":
        found, kinds, statuses = dict(_DARK_BASE), _DARK_KINDS, _DARK_STATUSES
    else:
        found = {
            "paper": PAPER, "ink": INK, "muted": MUTED, "faint": FAINT, "taken": TAKEN, "line": LINE,
            "hair": HAIR, "frame": FRAME, "accent": ACCENT, "alarm": ALARM,
        }  # fmt: skip
        kinds, statuses = KINDS, STATUSES
    for name, paint in (kinds | statuses).items():
        found |= {f"{name}-fill": paint.fill, f"{name}-border": paint.border}
    for name, paint in statuses.items():
        found[f"{name}-ink"] = paint.ink
    return found
