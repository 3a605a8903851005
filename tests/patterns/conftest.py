"""Lets the tests of the patterns share `pattern_case` and the modules of `cases`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent / "cases")]
