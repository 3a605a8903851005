"""Roles of one pattern are played by different models; what stands between them is structured."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "two_models.py"


def test_the_example_with_two_servers_prints_what_it_says() -> None:
    said = ast.get_docstring(ast.parse(EXAMPLE.read_text())) or ""
    wanted = textwrap.dedent(said.partition("$ python examples/two_models.py\n")[2]).strip()
    done = subprocess.run(
        [sys.executable, str(EXAMPLE)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == wanted
