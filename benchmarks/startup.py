"""How long `dalsegno --help` takes, as a whole process, and what it imports."""

from __future__ import annotations

import ast
import statistics
import subprocess
import sys
import time

GATE = 0.2
FOREIGN = ("langgraph", "networkx", "rich", "pydantic")


def seconds(rounds: int = 15) -> float:
    """Median wall time of the process in seconds."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "dalsegno", "--help"], check=True, capture_output=True)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def imported() -> list[str]:
    """Which of the large packages `--help` imports."""
    code = (
        "import sys\nfrom dalsegno.cli import main\nmain(['--help'])\n"
        f"print([m for m in {FOREIGN!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found: list[str] = ast.literal_eval(done.stdout.splitlines()[-1])
    return found
