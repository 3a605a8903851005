"""Pattern 21: many turns on one thread, in sessions that are reset, time out or are finished."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage

from dalsegno import Runner
from dalsegno.errors import DefinitionError, ThreadUnfinished
from dalsegno.graphs.patterns import conversation
from dalsegno.nodes.policies.clock import ManualClock
from dalsegno.testing import ScriptedChatModel


def track(state: Any) -> dict[str, Any]:
    heard = [*state["known"]["facts"].get("heard", []), state["message"]]
    if state["message"] == "fail":
        raise OSError("no line")
    phase = "recommendation" if state["message"] == "enough" else "discovery"
    return {"goal": heard[0], "facts": {"heard": heard}, "open": [], "phase": phase}


def answer(state: Any) -> str:
    return " ".join(state["known"]["facts"].get("heard", ["hello"]))


class Talk:
    """A conversation on one thread, and a clock."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.clock = ManualClock(1000.0)
        self.runner = Runner(conversation(track, answer, clock=self.clock, **options), db=path)

    def say(self, message: str, after: float = 1.0) -> dict[str, Any]:
        self.clock.advance(after)
        output: dict[str, Any] = self.runner.run({"message": message}, thread="t").raise_for_status().output
        return output


@pytest.fixture
def talk(tmp_path: Path) -> Iterator[Talk]:
    talk = Talk(tmp_path / "r.db", final="recommendation", session_timeout=60, keep=2)
    with talk.runner:
        yield talk


def test_what_is_known_grows_from_turn_to_turn(talk: Talk) -> None:
    assert (talk.say("a")["began"], talk.say("b")["began"]) == ("first", "on")
    output = talk.say("c")
    assert (output["response"], output["turn"], output["known"]["goal"]) == ("a b c", 3, "a")
    assert [turn["message"] for turn in output["turns"]] == ["b", "c"], "only so many are kept"


def test_reset_forgets_and_is_no_message_to_the_manager(talk: Talk) -> None:
    talk.say("a")
    output = talk.say(" Reset ")
    assert (output["began"], output["response"], output["turn"]) == ("reset", "hello", 1)
    assert talk.say("b")["response"] == "b"


def test_a_session_times_out(talk: Talk) -> None:
    talk.say("a")
    assert talk.say("b", after=60)["response"] == "a b"
    output = talk.say("c", after=61)
    assert (output["began"], output["response"], len(output["turns"])) == ("timed out", "c", 1)


def test_after_the_final_phase_another_session_begins(talk: Talk) -> None:
    talk.say("a")
    assert talk.say("enough")["response"] == "a enough"
    output = talk.say("b")
    assert (output["began"], output["response"]) == ("finished", "b")


def test_a_failed_turn_leaves_the_earlier_ones(talk: Talk) -> None:
    talk.say("a")
    result = talk.runner.run({"message": "fail"}, thread="t")
    assert result.status == "failed"
    with pytest.raises(ThreadUnfinished):
        talk.runner.run({"message": "b"}, thread="t")
    output = talk.runner.run({"message": "b"}, thread="t", abandon=True).raise_for_status().output
    assert output["response"] == "a b"


def test_a_turn_that_is_given_up_is_not_counted(talk: Talk) -> None:
    assert talk.runner.run({"message": "fail"}, thread="t").status == "failed"
    first = talk.runner.run({"message": "a"}, thread="t", abandon=True).raise_for_status().output
    assert (first["began"], first["turn"]) == ("first", 1)
    assert talk.runner.run({"message": "fail"}, thread="t").status == "failed"
    second = talk.runner.run({"message": "b"}, thread="t", abandon=True).raise_for_status().output
    assert (second["began"], [turn["turn"] for turn in second["turns"]]) == ("on", [1, 2])


def test_models_play_both_roles() -> None:
    def known(phase: str) -> AIMessage:
        args = {"goal": "tea", "facts": {"colour": "green"}, "open": [], "phase": phase}
        return AIMessage("", tool_calls=[{"name": "Known", "args": args, "id": "1"}])

    model = ScriptedChatModel([known("analysis"), AIMessage("Green it is.")])
    output = conversation(model, model).compile().invoke({"message": "green tea"})
    assert (output["response"], output["known"]["phase"]) == ("Green it is.", "analysis")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"phases": ()}, "names of phases"),
        ({"phases": ("a", "a")}, "each once"),
        ({"final": "end"}, "one of the phases discovery, analysis, recommendation"),
        ({"session_timeout": 0}, "more than 0"),
        ({"keep": 0}, "1 or more"),
    ],
)
def test_what_cannot_be_meant_is_refused(options: Any, said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        conversation(track, answer, **options)
