"""Every one of the 43 patterns has a row in docs/validation.md and a case here."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "validation.md"


def test_every_pattern_has_a_row_and_a_case() -> None:
    rows = re.findall(r"^\| (\d+) \| [^|]+ \| (supported|composition|refused) \|", PAGE.read_text(), re.M)
    cases = {
        int(n)
        for file in HERE.glob("test_*.py")
        for n in re.findall(r"def test_wcp(\d\d)_", file.read_text())
    }
    assert [int(number) for number, _ in rows] == list(range(1, 44))
    assert cases == set(range(1, 44))
