"""The looks, in one place: colours, type and signs that every renderer shares.

Text on its ground has a contrast of at least 4.5 to 1, taken lines 3 to 1 (WCAG 2.2, 1.4.3 and
1.4.11; `tests/viz/test_palette.py` computes both). No colour stands alone: each status has a sign
and a word, each kind of edge its own stroke.
"""

from __future__ import annotations

from dataclasses import dataclass

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
    "failed": Paint("#fdeceb", "#c5352b", "#a3231b"),
    "running": Paint("#e9f1fd", "#2f6fc4", "#1d559f"),
    "interrupted": Paint("#fef4dc", "#a87400", "#7d5600"),
    "pending": Paint("#ffffff", "#6a5ad6", "#4b3cbb"),
}

SIGNS = {"done": "✓", "failed": "✕", "running": "▶", "interrupted": "‖", "pending": "○"}

RUN_STATUSES = {
    "completed": "done",
    "failed": "failed",
    "running": "running",
    "interrupted": "interrupted",
    "stopped": "pending",
    "cancelled": "failed",
}
"""The look of a whole run's status."""
