"""approval: a note on a chapter of Python's documentation is written to a file, once a human has said yes.

The chapter is a help topic that Python carries with it (`pydoc_data.topics`). Functions write, revise and publish the
note; the human is played too, and says no first. With ``--model`` a model writes and revises.

    $ python examples/patterns/approval.py
    note: every run ends within 6 supersteps.
    ask: Publish this (… characters)? The "assert" statement Assert statements are …
    the human: no, one sentence will do
    ask: Publish this (… characters)? Assert statements are a convenient way to …
    the human: yes
    approved: assert.txt has … bytes
"""

from __future__ import annotations

import argparse
from pathlib import Path
from pydoc_data.topics import topics
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

from dalsegno import Runner, Workflow
from dalsegno.graphs.patterns import approval
from dalsegno.runtime import RunResult

TOPIC = "assert"
GIVEN: dict[str, Any] = {"request": f"Say in a few sentences what this is about:\n\n{topics[TOPIC]}"}
ANSWERS = ({"approved": False, "comment": "one sentence will do"}, {"approved": True})
folder = Path(gettempdir())
"""Where the note goes; `play` takes one that is gone afterwards."""


def paragraphs() -> list[str]:
    return [" ".join(p.replace("*", "").split()) for p in topics[TOPIC].split("\n\n") if p.strip()]


def write(state: Any) -> str:
    return " ".join(paragraphs()[:2])


def shorten(state: Any) -> str:
    """The first sentence after the title."""
    return paragraphs()[1].partition(":")[0]


def publish(state: Any) -> str:
    file = folder / f"{TOPIC}.txt"
    size = file.write_text(state["proposal"], encoding="utf-8")
    return f"{file.name} has {size} bytes"


def question(state: Any) -> str:
    return f"Publish this ({len(state['proposal'])} characters)? {state['proposal']}"


def flow(model: str | None = None) -> Workflow:
    return approval(
        model or write, publish, reviser=model or shorten, revisions=1, question=question, name="note"
    )


def asked(result: RunResult) -> str:
    one = result.interrupts[0]
    return f"{one['node']}: {one['value']['question']}"


def play() -> None:
    """Run it, and answer each question as somebody would later, with `Runner.resume`."""
    global folder
    options = argparse.ArgumentParser()
    options.add_argument("--model", metavar="PROVIDER:NAME", help="a chat model (the extra `models`)")
    made = flow(options.parse_args().model)
    certificate = made.validate().certificate
    assert certificate is not None
    print(f"{made.name}: every run ends within {certificate.supersteps} supersteps.", flush=True)
    with TemporaryDirectory() as place, Runner(made, db=Path(place) / "runs.db") as runner:
        folder = Path(place)
        result = runner.run(GIVEN, thread="note")
        for answer in ANSWERS:
            print(asked(result))
            print(f"the human: {'yes' if answer['approved'] else 'no, ' + str(answer['comment'])}")
            result = runner.resume("note", answer)
        output = result.raise_for_status().output
        print(f"{output['outcome']}: {output['result']}")


if __name__ == "__main__":
    play()
