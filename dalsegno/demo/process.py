"""One process of the demo: runs or resumes the workflow, tells each node, and waits where it is to die.

``python -m dalsegno.demo.process DB THREAD STOP_AT [QUESTION]``: with a question it starts a run, without
one it resumes. It writes a JSON object a line. When the execution with number `STOP_AT` starts (0: never),
it says so and waits; the demo then kills it, in the middle of that node.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from dalsegno.demo.workflow import flow
from dalsegno.runtime.events import Event, NodeFinished, NodeStarted
from dalsegno.runtime.runner import Runner


def main(arguments: list[str]) -> int:
    """Run or resume; the exit code is 0 when the run is completed."""
    db, thread, stop_at = arguments[0], arguments[1], int(arguments[2])
    starts = 0

    def listen(event: Event) -> None:
        nonlocal starts
        if isinstance(event, NodeFinished):
            _say(event="finished", node=event.node, superstep=event.superstep, seconds=event.seconds)
        elif isinstance(event, NodeStarted):
            starts += 1
            if starts == stop_at:
                _say(event="waiting", node=event.node, superstep=event.superstep)
                sys.stdin.read()

    with Runner(flow(), db, on_event=listen, target="dalsegno.demo.workflow:flow") as runner:
        question = arguments[3:]
        result = runner.run({"question": question[0]}, thread=thread) if question else runner.resume(thread)
    _say(event="ended", **result.to_dict())
    return 0 if result.status == "completed" else 1


def _say(**line: Any) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
