"""Lets the tests of this folder share `generated_workflows`, which the benchmark publishes too."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
