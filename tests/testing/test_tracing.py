"""Whether processes can be watched is found out beside whatever else the caller has started."""

from __future__ import annotations

import subprocess
import sys

# In a process of its own: the answer is kept, and others have asked here.
ASKED = """
import subprocess, sys
server = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
ended = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
from dalsegno.testing.crash_kit.tracing import why_not
reason = why_not()
assert server.poll() is None, "the caller's other child was ended"
assert ended.wait() == 3, "the exit code of the caller's other child was taken"
server.communicate(b"\\n")
print(reason)
"""


def test_it_is_tried_without_waiting_for_the_callers_other_children() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ASKED], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip(), done.stderr
