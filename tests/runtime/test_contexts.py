"""A context that does not fit is refused before the run: a mistyped one left a failed run, and its thread taken."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Callable
from dataclasses import InitVar, dataclass
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.graph import StateGraph
from langgraph.runtime import Runtime
from langgraph.types import interrupt
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from dalsegno import END, START, Runner, Workflow
from dalsegno.errors import InputInvalid, UnknownThread
from dalsegno.runtime.queueing import enqueue


class State(TypedDict, total=False):
    seen: Annotated[list[Any], operator.add]


@dataclass
class Plain:
    user: str
    most: int = 3


@dataclass
class Checked:
    user: InitVar[str]
    seen: str = ""

    def __post_init__(self, user: str) -> None:
        if user == "nobody":
            raise LookupError("nobody is no user")
        self.seen = user


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid")
    user: str = Field(alias="who")
    key: SecretStr = SecretStr("")

    @field_validator("key")
    @classmethod
    def known(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value().startswith("bad"):
            raise ValueError(f"no such key: {value.get_secret_value()}")
        return value


class Typed(TypedDict, total=False):
    user: str


def asking(schema: Any, *, ours: bool = True) -> Any:
    def ask(state: State, runtime: Runtime[Any]) -> State:
        return {"seen": [type(runtime.context).__name__, interrupt("?")]}

    graph = Workflow("asking", State, schema) if ours else StateGraph(State, schema)
    more: dict[str, Any] = {"interrupts": 1} if ours else {}
    graph.add_node("ask", ask, **more).add_edge(START, "ask").add_edge("ask", END)
    return graph


def by_run(runner: Runner, *words: Any, **more: Any) -> Any:
    return runner.run(*words, **more)


def by_arun(runner: Runner, *words: Any, **more: Any) -> Any:
    return asyncio.run(runner.arun(*words, **more))


def by_stream(runner: Runner, *words: Any, **more: Any) -> Any:
    stream = runner.stream(*words, **more)
    list(stream)
    return stream.result


@pytest.mark.parametrize("ours", [True, False])
@pytest.mark.parametrize(
    ("schema", "context", "said"),
    [
        (Plain, {"usr": "ada"}, "key `usr`, which `Plain` does not have; did you mean `user`"),
        (Plain, {}, "lacks the key `user`"),
        (Plain, ["ada"], "is list, and a mapping is expected: `user`, `most`"),
        (Typed, "ada", "is str, and a mapping is expected: `user`"),
        (Checked, {"user": "nobody"}, "LookupError: nobody is no user"),
        (Model, {"user": "ada"}, "`who` does not fit: Field required"),
        (Model, {"who": "ada", "keys": 1}, "`keys` does not fit: Extra inputs"),
        (Model, {"who": 5}, "`who` does not fit: Input should be a valid string"),
    ],
)
def test_a_context_that_does_not_fit_is_refused_before_the_run(
    tmp_path: Path, schema: Any, context: Any, said: str, ours: bool
) -> None:
    with Runner(asking(schema, ours=ours), db=tmp_path / "runs.db") as runner:
        for begin in (by_run, by_arun, by_stream):
            with pytest.raises(InputInvalid, match=said.replace("(", r"\(")):
                begin(runner, {}, "t", context=context)
        with pytest.raises(InputInvalid):
            enqueue(runner, {}, "t", context=context)
        with pytest.raises(UnknownThread):
            runner.resume("t")


@pytest.mark.parametrize("ours", [True, False])
@pytest.mark.parametrize(
    ("schema", "context", "becomes"),
    [
        (Plain, {"user": "ada"}, "Plain"),
        (Plain, Plain("ada"), "Plain"),
        (Plain, None, "NoneType"),
        (Checked, {"user": "ada"}, "Checked"),
        (Model, {"who": "ada"}, "Model"),
        (Typed, {"user": "ada", "more": 1}, "dict"),
        (None, "ada", "str"),
    ],
)
def test_a_context_that_fits_reaches_the_node(
    tmp_path: Path, schema: Any, context: Any, becomes: str, ours: bool
) -> None:
    with Runner(asking(schema, ours=ours), db=tmp_path / "runs.db") as runner:
        assert runner.run({}, "t", context=context).status == "interrupted"
        assert runner.resume("t", "yes", context=context).output["seen"] == [becomes, "yes"]


RESUMES: list[Callable[[Runner], Any]] = [
    lambda runner: runner.resume("t", "yes", context={"usr": "ada"}),
    lambda runner: asyncio.run(runner.aresume("t", "yes", context={"usr": "ada"})),
    lambda runner: list(runner.stream_resume("t", "yes", context={"usr": "ada"})),
]


@pytest.mark.parametrize("resume", RESUMES)
def test_a_question_waits_on_where_the_answer_came_with_a_wrong_context(
    tmp_path: Path, resume: Callable[[Runner], Any]
) -> None:
    with Runner(asking(Plain), db=tmp_path / "runs.db") as runner:
        asked = runner.run({}, "t", context={"user": "ada"})
        with pytest.raises(InputInvalid, match="usr"):
            resume(runner)
        run = runner.ledger.last("t")
        assert (run.status, [i["id"] for i in run.interrupts]) == (
            "interrupted",
            [i["id"] for i in asked.interrupts],
        )
        assert runner.resume("t", "yes", context={"user": "ada"}).status == "completed"


def test_what_a_context_says_of_its_secret_is_masked(tmp_path: Path) -> None:
    with (
        Runner(asking(Model), db=tmp_path / "runs.db") as runner,
        pytest.raises(InputInvalid) as refused,
    ):
        runner.run({}, "t", context={"who": "ada", "key": "bad-key-12345"})
    assert "no such key" in str(refused.value)
    assert "bad-key-12345" not in str(refused.value)
