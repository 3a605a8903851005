"""An agent with the real client of an OpenAI API, and a server that plays what providers do."""

from __future__ import annotations

import operator
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypedDict

import httpx
import openai
import pytest
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from dalsegno import END, START, Budget, RetryPolicy, Runner, Timeout, Workflow, agent
from dalsegno.errors import AnswerInvalid
from dalsegno.testing import Cut, HttpError, Malformed, Reply, ScriptedServer

Play = Callable[[Any, Any], dict[str, Any]]


class Verdict(BaseModel):
    """What a critic says."""

    good: bool
    score: int


class State(TypedDict, total=False):
    draft: str
    good: bool
    score: int
    notes: Annotated[list[str], operator.add]


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@contextmanager
def provider(*script: Any, **options: Any) -> Iterator[tuple[ScriptedServer, ChatOpenAI]]:
    """A server with that script, and a client of it that is closed at the end."""
    plain: Any = {"verify": False, "trust_env": False, "limits": httpx.Limits(max_keepalive_connections=0)}
    given = {"max_retries": 0, "timeout": 10, "api_key": "none", **options}
    with ScriptedServer(script) as server, openai.DefaultHttpxClient(**plain) as client:
        aclient = openai.DefaultAsyncHttpxClient(**plain)
        yield (
            server,
            ChatOpenAI(
                model="any", base_url=server.url, http_client=client, http_async_client=aclient, **given
            ),
        )


def one(player: Any, **options: Any) -> Workflow:
    flow = Workflow("one", State).add_node("ask", player, **options)
    return flow.add_edge(START, "ask").add_edge("ask", END)


def test_structured_output_is_asked_for_by_schema_and_validated(play: Play) -> None:
    with provider({"good": True, "score": 7}) as (server, model):
        assert play(agent(model, "Judge: {draft}", output=Verdict), {"draft": "x"}) == {
            "good": True,
            "score": 7,
        }
    wanted = server.requests[0].body["response_format"]["json_schema"]
    assert (wanted["name"], set(wanted["schema"]["properties"])) == ("Verdict", {"good", "score"})


@pytest.mark.parametrize("said", ['{"good": true', '{"good": "perhaps", "score": 7}', "It is good.", "[]"])
def test_output_that_is_malformed_goes_back_over_the_wire(play: Play, said: str) -> None:
    again = Reply({"good": True, "score": 7}, expect="Your answer does not fit:")
    with provider(Reply(said, check=False), again) as (_, model):
        assert play(agent(model, "Judge: {draft}", output=Verdict), {"draft": "x"}) == {
            "good": True,
            "score": 7,
        }


def test_output_that_stays_malformed_is_an_error_with_what_was_said(play: Play) -> None:
    said = Reply('{"good": "perhaps"}', check=False)
    with provider(said, said) as (_, model), pytest.raises(AnswerInvalid) as raised:
        play(agent(model, "Judge", output=Verdict, corrections=1), {})
    assert raised.value.said == '{"good": "perhaps"}'


def test_tools_and_a_shape_go_over_the_wire_together(play: Play) -> None:
    script = [
        [{"name": "add", "args": {"a": 2, "b": 3}}, {"name": "add", "args": {"a": 1, "b": 1}}],
        Reply({"name": "ad", "args": {}}, expect=["5", "2"], check=False),
        Reply({"name": "Verdict", "args": {"good": True, "score": 5}}, expect="did you mean `add`?"),
    ]
    with provider(*script) as (server, model):
        assert play(agent(model, "2+3?", tools=[add], output=Verdict), {}) == {"good": True, "score": 5}
    assert server.requests[0].body["tool_choice"] == "required"


def test_in_the_last_turn_the_tools_stay_named_and_none_may_be_called(play: Play) -> None:
    with provider({"name": "add", "args": {"a": 2, "b": 3}}, "5") as (server, model):
        assert play(agent(model, "2+3?", tools=[add], writes="draft", max_turns=2), {}) == {"draft": "5"}
    last = server.requests[1].body
    assert (last["tool_choice"], [t["function"]["name"] for t in last["tools"]]) == ("none", ["add"])


def test_tokens_and_usage_come_through_the_runners_stream(tmp_path: Path) -> None:
    served = provider(Reply("Rain falls softly.", usage=(7, 3)), stream_usage=True)
    with (
        served as (_, model),
        Runner(one(agent(model, "Write", writes="draft")), db=tmp_path / "r.db") as runner,
    ):
        stream = runner.stream({}, stream_mode="messages")
        assert [chunk.text for chunk, _ in stream if chunk.text] == ["Rain ", "falls ", "softly."]
    assert stream.result
    assert (stream.result.usage["tokens"], stream.result.output["draft"]) == (10, "Rain falls softly.")


@pytest.mark.parametrize(
    "failure", [HttpError(500), Cut("never the whole", after=2), Malformed("never", after=0)]
)
def test_what_breaks_on_the_wire_is_for_the_nodes_policies(
    tmp_path: Path, drive: Callable[..., Any], failure: Any
) -> None:
    again = RetryPolicy(max_attempts=2, initial_interval=0, jitter=False)
    with provider(failure, "Rain.") as (_, model):
        flow = one(agent(model, "Write", writes="draft"), retry=again)
        with Runner(flow, db=tmp_path / "r.db") as runner:
            assert drive(runner, "run", {}, thread="t").output["draft"] == "Rain."


@pytest.mark.parametrize("streaming", [False, True])
def test_an_answer_that_never_ends_is_ended_by_the_nodes_timeout(
    tmp_path: Path, drive: Callable[..., Any], streaming: bool
) -> None:
    endless = Reply("word " * 1000, pause=0.05)
    with provider(endless, streaming=streaming, timeout=None) as (_, model):
        flow = one(agent(model, "Write", writes="draft"), timeout=Timeout(attempt=0.3))
        with Runner(flow, db=tmp_path / "r.db") as runner:
            began = time.monotonic()
            result = drive(runner, "run", {}, thread="t")
    assert result.error["type"] == "NodeTimeout"
    assert time.monotonic() - began < 30  # it would go on for 50


def test_a_budget_ends_a_model_that_calls_tools_for_ever(tmp_path: Path, drive: Callable[..., Any]) -> None:
    forever = [Reply({"name": "add", "args": {"a": n, "b": 1}}, usage=(100, 10)) for n in range(3)]
    with provider(*forever) as (_, model):
        flow = one(agent(model, "Write", tools=[add], writes="draft", max_turns=50))
        with Runner(flow, db=tmp_path / "r.db") as runner:
            result = drive(runner, "run", {}, thread="t", budget=Budget(tokens=300))
    assert (result.error["type"], result.usage["tokens"]) == ("BudgetExceeded", 330)
