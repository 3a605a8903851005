"""A thread whose pending work was given up is the next run's alone."""

from __future__ import annotations

import json
from typing import Any


def test_history_shows_nothing_of_what_was_given_up(dalsegno: Any) -> None:
    assert dalsegno("run", "app.py:asking", "--thread", "t").code == 3
    boom = ["--input", '{"topic": "boom"}']
    assert dalsegno("run", "app.py:flow", *boom, "--thread", "t", "--abandon").code == 1
    coming = [entry["next"] for entry in json.loads(dalsegno("history", "t", "--json").out)]
    assert coming == [["review"], ["write"], [], ["ask"], []]
    assert dalsegno("diff", "app.py:flow", "t").code == 0
    assert "`review` pending" in dalsegno("run", "app.py:flow", *boom, "--thread", "t").err
    assert dalsegno("resume", "t").code == 1  # it fails again, and is not refused
