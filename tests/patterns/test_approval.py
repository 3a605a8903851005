"""Pattern 30: nothing is done before a human said yes, or the deadline's default did."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dalsegno import Runner
from dalsegno.errors import DefinitionError, InputInvalid
from dalsegno.graphs.patterns import Node, approval, sequential
from dalsegno.nodes.policies.clock import ManualClock


def write(state: Any) -> str:
    return f"Dear {state['request']}"


def revise(state: Any) -> str:
    return f"{state['decision']['comment']} {state['request']}"


class Sent:
    """What was done."""

    def __init__(self) -> None:
        self.all: list[str] = []

    def __call__(self, state: Any) -> str:
        self.all.append(state["proposal"])
        return f"sent: {state['proposal']}"


def test_nothing_is_done_before_the_answer(tmp_path: Path) -> None:
    sent = Sent()
    with Runner(approval(write, sent), db=tmp_path / "r.db") as runner:
        waits = runner.run({"request": "Ada"}, thread="t")
        assert (waits.status, sent.all) == ("interrupted", [])
        assert waits.interrupts[0]["value"] == {"question": "May this be done?\n\nDear Ada"}
    with Runner(approval(write, sent), db=tmp_path / "r.db") as another:
        output = another.resume("t", {"approved": True}).raise_for_status().output
    assert (output["result"], output["outcome"], sent.all) == ("sent: Dear Ada", "approved", ["Dear Ada"])


def test_a_no_ends_it_and_nothing_is_done(tmp_path: Path) -> None:
    sent = Sent()
    with Runner(approval(write, sent), db=tmp_path / "r.db") as runner:
        runner.run({"request": "Ada"}, thread="t")
        output = runner.resume("t", {"approved": False, "comment": "never"}).raise_for_status().output
    assert (output["outcome"], sent.all, "result" in output) == ("rejected", [], False)


def test_after_a_no_there_is_no_result_of_an_earlier_turn_of_the_thread(tmp_path: Path) -> None:
    with Runner(approval(write, Sent()), db=tmp_path / "r.db") as runner:
        runner.run({"request": "Ada"}, thread="t")
        runner.resume("t", {"approved": True}).raise_for_status()
        runner.run({"request": "Bob"}, thread="t")
        output = runner.resume("t", {"approved": False}).raise_for_status().output
    assert (output["proposal"], output["outcome"], output["result"]) == ("Dear Bob", "rejected", None)


def test_a_no_with_a_comment_is_revised_and_asked_again_so_many_times(tmp_path: Path) -> None:
    sent = Sent()
    flow = approval(write, sent, reviser=revise, revisions=2)
    certificate = flow.validate().certificate
    assert certificate is not None
    assert certificate.supersteps == 8
    with Runner(flow, db=tmp_path / "r.db") as runner:
        runner.run({"request": "Ada"}, thread="t")
        runner.resume("t", {"approved": False, "comment": "Hello"})
        asked = runner.resume("t", {"approved": False, "comment": "Hi"})
        assert asked.interrupts[0]["value"]["question"].endswith("Hi Ada")
        result = runner.resume("t", {"approved": True}).raise_for_status()
        assert (result.output["result"], sent.all) == ("sent: Hi Ada", ["Hi Ada"])

        runner.run({"request": "Ada"}, thread="never")
        for comment in ("Hello", "Hi", "Ho"):
            result = runner.resume("never", {"approved": False, "comment": comment})
    assert (result.status, result.output["outcome"], len(sent.all)) == ("completed", "rejected", 1)


def test_the_next_resume_after_the_deadline_applies_the_default(tmp_path: Path) -> None:
    clock, sent = ManualClock(1000.0), Sent()
    flow = approval(write, sent, deadline=3600, default={"approved": False}, clock=clock)
    with Runner(flow, db=tmp_path / "r.db") as runner:
        runner.run({"request": "Ada"}, thread="t")
        clock.advance(3599)
        assert runner.resume("t").status == "interrupted"
        clock.advance(2)
        output = runner.resume("t").raise_for_status().output
    assert (output["outcome"], sent.all) == ("rejected", [])


def test_an_answer_of_another_shape_is_refused_and_the_question_still_waits(tmp_path: Path) -> None:
    with Runner(approval(write, Sent()), db=tmp_path / "r.db") as runner:
        runner.run({"request": "Ada"}, thread="t")
        with pytest.raises(InputInvalid):
            runner.resume("t", {"approval": True})
        assert runner.resume("t", {"approved": True}).status == "completed"


def test_it_waits_inside_another_pattern_too(tmp_path: Path) -> None:
    def start(state: Any) -> str:
        return "Ada"

    inner = Node(
        approval(write, Sent()), name="letter", inputs={"request": "value"}, outputs={"value": "result"}
    )
    with Runner(sequential([start, inner]), db=tmp_path / "r.db") as runner:
        assert runner.run({"value": ""}, thread="t").status == "interrupted"
        assert runner.resume("t", {"approved": True}).output["value"] == "sent: Dear Ada"


def test_what_cannot_be_meant_is_refused() -> None:
    with pytest.raises(DefinitionError, match="a deadline needs a default"):
        approval(write, Sent(), deadline=3)
    with pytest.raises(DefinitionError, match="1 or more"):
        approval(write, Sent(), reviser=revise, revisions=0)
