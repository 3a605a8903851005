"""A question waits without a process, and goes on with an answer that fits."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypedDict

import pytest
from pydantic import BaseModel, SecretStr, field_validator

import dalsegno
from dalsegno import END, START, Loop, Runner, Workflow, human
from dalsegno.errors import DefinitionError, InputInvalid
from dalsegno.nodes.policies import ManualClock
from dalsegno.runtime.events import PolicyActed

Drive = Callable[..., Any]


class Approval(BaseModel):
    approved: bool
    reason: str = ""

    @field_validator("reason")
    @classmethod
    def polite(cls, reason: str) -> str:
        if "!" in reason:
            raise ValueError("no shouting, please")
        return reason


class Login(BaseModel):
    password: SecretStr

    @field_validator("password")
    @classmethod
    def uncommon(cls, password: SecretStr) -> SecretStr:
        if password.get_secret_value().startswith("sesame"):
            raise ValueError("too well known")
        return password


@dataclasses.dataclass
class Mark:
    points: int


class State(TypedDict, total=False):
    draft: str
    answer: Any
    approval: Approval
    mark: Mark
    rounds: int


def asking(player: Any) -> Workflow:
    return Workflow("asking", State).add_node("ask", player).add_edge(START, "ask").add_edge("ask", END)


@pytest.mark.parametrize(
    ("type", "good", "value", "bad"),
    [
        (bool, True, True, "yes"),
        (bool, False, False, 0),
        (Literal["good", "again"], "again", "again", "so so"),
        (int, 7, 7, "7"),
        (str, "a text", "a text", 7),
        (list[str], ["a"], ["a"], ["a", 3]),
    ],
)
def test_an_answer_of_any_type_is_validated_before_anything_runs(
    tmp_path: Path, drive: Drive, type: Any, good: Any, value: Any, bad: Any
) -> None:
    flow = asking(human("Publish {draft}?", answer=type, writes="answer"))
    with Runner(flow, db=tmp_path / "r.db") as runner:
        waiting = drive(runner, "run", {"draft": "it"}, thread="t")
        assert waiting.status == "interrupted"
        assert [(i["node"], i["value"]) for i in waiting.interrupts] == [("ask", {"question": "Publish it?"})]
        assert waiting.interrupts[0]["schema"]
        with pytest.raises(InputInvalid):
            drive(runner, "resume", "t", bad)
        result = drive(runner, "resume", "t", good)
    assert (result.status, result.output["answer"]) == ("completed", value)


def test_an_answer_becomes_an_object_of_its_type(tmp_path: Path, drive: Drive) -> None:
    with Runner(asking(human("?", answer=Approval, writes="approval")), db=tmp_path / "r.db") as runner:
        drive(runner, "run", {}, thread="t")
        assert drive(runner, "resume", "t", {"approved": True}).output["approval"] == Approval(approved=True)
    with Runner(asking(human("?", answer=Mark, writes="mark")), db=tmp_path / "r.db") as runner:
        drive(runner, "run", {}, thread="t2")
        assert drive(runner, "resume", "t2", {"points": 3}).output["mark"] == Mark(3)


def test_an_answer_is_kept_where_the_state_does_not_name_its_type(tmp_path: Path, drive: Drive) -> None:
    outer = Workflow("outer", State).add_node("inner", asking(human("?", answer=Mark, writes="answer")))
    outer.add_edge(START, "inner").add_edge("inner", END)
    with Runner(outer, db=tmp_path / "r.db") as runner:
        drive(runner, "run", {}, thread="t")
        assert drive(runner, "resume", "t", {"points": 3}).output["answer"] == Mark(3)
    with Runner(outer, db=tmp_path / "r.db") as runner:  # which reads it
        assert drive(runner, "run", {"draft": "it"}, thread="t").output == {"draft": "it", "answer": Mark(3)}


def test_an_answer_that_only_the_type_can_refuse_is_asked_for_again(tmp_path: Path, drive: Drive) -> None:
    with Runner(asking(human("?", answer=Approval, writes="approval")), db=tmp_path / "r.db") as runner:
        first = drive(runner, "run", {}, thread="t")
        for _ in range(2):
            again = drive(runner, "resume", "t", {"approved": True, "reason": "now!"})
            assert again.status == "interrupted"
            assert again.interrupts[0]["id"] == first.interrupts[0]["id"]
            assert "no shouting, please" in again.interrupts[0]["value"]["problem"]
        done = drive(runner, "resume", "t", {"approved": False, "reason": "no"})
    assert done.output["approval"] == Approval(approved=False, reason="no")


def test_an_answer_that_nests_too_deeply_is_refused_and_bytes_are_an_answer(
    tmp_path: Path, drive: Drive
) -> None:
    deep: list[Any] = []
    for _ in range(500):
        deep = [deep]
    with Runner(asking(human("?", answer=bytes, writes="answer")), db=tmp_path / "r.db") as runner:
        drive(runner, "run", {}, thread="t")
        with pytest.raises(InputInvalid, match=r"The answer to `ask`.*cannot be read"):
            drive(runner, "resume", "t", deep)
        assert drive(runner, "resume", "t", b"\xff").output["answer"] == b"\xff"


def test_an_answer_that_is_a_secret_is_refused_without_a_word_of_it(tmp_path: Path, drive: Drive) -> None:
    with Runner(asking(human("?", answer=Login, writes="answer")), db=tmp_path / "r.db") as runner:
        drive(runner, "run", {}, thread="t")
        again = drive(runner, "resume", "t", {"password": "sesame-sesame"})
    assert "too well known" in again.interrupts[0]["value"]["problem"]
    assert "sesame" not in repr(again)


def test_two_humans_are_asked_at_once_and_answered_by_id(tmp_path: Path, drive: Drive) -> None:
    flow = Workflow("two", State).add_node("a", human("A?", answer=bool, writes="answer"))
    flow.add_node("b", human("B?", answer=Approval, writes="approval"))
    flow.add_edge(START, "a").add_edge(START, "b").add_edge("a", END).add_edge("b", END)
    with Runner(flow, db=tmp_path / "r.db") as runner:
        asked = {i["node"]: i["id"] for i in drive(runner, "run", {}, thread="t").interrupts}
        left = drive(runner, "resume", "t", {asked["a"]: True})
        assert [i["node"] for i in left.interrupts] == ["b"]
        done = drive(runner, "resume", "t", {asked["b"]: {"approved": True}})
    assert (done.status, done.output["answer"]) == ("completed", True)


def test_a_question_in_a_subworkflow_waits_too_and_may_be_asked_again(tmp_path: Path, drive: Drive) -> None:
    parent = Workflow("outer", State)
    parent.add_node("inner", asking(human("?", answer=Approval, writes="approval")))
    parent.add_edge(START, "inner").add_edge("inner", END)
    with Runner(parent, db=tmp_path / "r.db") as runner:
        first = drive(runner, "run", {}, thread="t")
        again = drive(runner, "resume", "t", {"approved": True, "reason": "now!"})
        assert again.interrupts[0]["id"] == first.interrupts[0]["id"]
        assert drive(runner, "resume", "t", {"approved": True}).status == "completed"


def test_each_question_in_subworkflows_names_the_path_of_its_node(tmp_path: Path, drive: Drive) -> None:
    child, deep = asking(human("A?", answer=bool, writes="answer")), Workflow("deep", State)
    deep.add_node("mid", asking(human("B?", answer=Approval, writes="approval")))
    deep.add_edge(START, "mid").add_edge("mid", END)
    flow = Workflow("outer", State).add_node("one", child, outputs={"answer": "answer"})
    flow.add_node("two", deep, outputs={"approval": "approval"})
    flow.add_edge(START, "one").add_edge(START, "two").add_edge("one", END).add_edge("two", END)
    with Runner(flow, db=tmp_path / "r.db") as runner:
        asked = {i["node"]: i["id"] for i in drive(runner, "run", {}, thread="t").interrupts}
        assert sorted(asked) == ["one/ask", "two/mid/ask"]
        answers = {asked["one/ask"]: True, asked["two/mid/ask"]: {"approved": False}}
        assert drive(runner, "resume", "t", answers).output["answer"] is True


# -- deadlines ---------------------------------------------------------------------------------------


def deadlined(clock: ManualClock) -> Workflow:
    default = Approval(approved=False, reason="nobody answered")
    return asking(human("?", answer=Approval, writes="approval", deadline=60, default=default, clock=clock))


def test_after_the_deadline_the_next_resume_takes_the_default(tmp_path: Path, drive: Drive) -> None:
    clock = ManualClock(1_000_000_000)
    with Runner(deadlined(clock), db=tmp_path / "r.db") as runner:
        waiting = drive(runner, "run", {}, thread="t")
    value = waiting.interrupts[0]["value"]
    assert value["deadline"] == "2001-09-09T01:47:40+00:00"
    assert value["default"] == {"approved": False, "reason": "nobody answered"}

    clock.advance(59)
    with Runner(deadlined(clock), db=tmp_path / "r.db") as runner:
        early = drive(runner, "resume", "t")
    assert early.status == "interrupted"
    assert early.interrupts == waiting.interrupts

    clock.advance(1)
    told: list[Any] = []
    with Runner(deadlined(clock), db=tmp_path / "r.db", on_event=told.append) as runner:
        late = drive(runner, "resume", "t")
    assert late.output["approval"] == Approval(approved=False, reason="nobody answered")
    acted = [(e.policy, e.what) for e in told if isinstance(e, PolicyActed)]
    assert acted == [("human", "default")]


def test_what_a_node_does_to_a_default_is_not_the_default_of_the_next_run(
    tmp_path: Path, drive: Drive
) -> None:
    def change(state: State) -> State:
        state["answer"].append("changed")
        return {"answer": list(state["answer"])}

    flow = Workflow("lists", State)
    flow.add_node("ask", human("?", answer=list[str], writes="answer", deadline=0, default=["one"]))
    flow.add_node("change", change)
    flow.add_edge(START, "ask").add_edge("ask", "change").add_edge("change", END)
    with Runner(flow, db=tmp_path / "r.db") as runner:
        for thread in ("first", "second"):
            assert drive(runner, "run", {}, thread=thread).output["answer"] == ["one", "changed"]


def test_an_answer_counts_before_the_deadline_and_after_it_while_the_question_waits(
    tmp_path: Path, drive: Drive
) -> None:
    clock = ManualClock(1000)
    with Runner(deadlined(clock), db=tmp_path / "r.db") as runner:
        for thread, seconds in (("early", 1), ("late", 100)):
            drive(runner, "run", {}, thread=thread)
            clock.advance(seconds)
            assert drive(runner, "resume", thread, {"approved": True}).output["approval"].approved


def test_each_time_it_is_asked_has_a_deadline_of_its_own(tmp_path: Path, drive: Drive) -> None:
    clock = ManualClock(1000)
    flow = Workflow("again", State)
    flow.add_node("ask", human("?", answer=bool, writes="answer", deadline=60, default=True, clock=clock))
    flow.add_edge(START, "ask")
    back = {"good": END, "again": Loop("ask", max=2, on_exhausted=END)}
    flow.add_conditional_edges("ask", lambda s: "good" if s["answer"] else "again", back)
    with Runner(flow, db=tmp_path / "r.db") as runner:
        drive(runner, "run", {}, thread="t")
        clock.advance(50)
        second = drive(runner, "resume", "t", False)
        assert second.interrupts[0]["value"]["deadline"] == "1970-01-01T00:18:30+00:00"
        clock.advance(50)
        assert drive(runner, "resume", "t").status == "interrupted"
        clock.advance(10)
        assert drive(runner, "resume", "t").output["answer"] is True


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"deadline": 60}, "needs a default"),
        ({"default": True}, "needs a default"),
        ({"deadline": 60, "default": "perhaps"}, "does not fit `answer`"),
        ({"deadline": -1, "default": True}, "deadline=-1"),
        ({"deadline": "3600", "default": True}, "deadline='3600'"),
        ({"deadline": float("inf"), "default": True}, "deadline=inf"),
        ({"deadline": 1e20, "default": True}, "at most 10,000,000,000"),
        ({"writes": ""}, "writes=''"),
        ({"question": "{"}, "prompt"),
    ],
)
def test_a_question_that_cannot_be_meant_is_refused_at_once(options: dict[str, Any], message: str) -> None:
    given = {"question": "?", "answer": bool, "writes": "answer", **options}
    with pytest.raises(DefinitionError, match=message):
        human(given.pop("question"), **given)


def test_it_declares_one_interrupt_and_no_model_call(tmp_path: Path) -> None:
    flow = asking(human("Publish {draft}?", answer=bool, writes="answer"))
    spec = flow.spec.nodes["ask"]
    assert (spec.kind, spec.interrupts, spec.calls) == ("human", 1, 0)
    assert (spec.reads, spec.writes) == ({"draft"}, {"answer"})
    certificate = flow.validate().certificate
    assert certificate
    assert certificate.model_calls == 0


APP = """
from typing import Literal, TypedDict
from dalsegno import END, START, Workflow, human

class State(TypedDict, total=False):
    draft: str
    verdict: str

ask = human("Publish {draft}?", answer=Literal["yes", "no"], writes="verdict")
flow = Workflow("ask", State).add_node("ask", ask).add_edge(START, "ask").add_edge("ask", END)
"""


def test_the_command_line_shows_the_question_and_takes_the_answer(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)

    def command(*words: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "dalsegno", *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(Path(dalsegno.__file__).parents[1]), "COLUMNS": "120"},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    code, said = command("run", "app.py:flow", "--input", '{"draft": "it"}', "--thread", "t")
    assert code == 3
    assert "ask asks" in said
    assert "Publish it?  [yes / no]" in said
    assert '"question"' not in said
    code, said = command("resume", "t", "--value", "perhaps")
    assert code == 2
    assert "one of 'yes', 'no'" in said
    code, said = command("resume", "t", "--value", "yes")
    assert code == 0
