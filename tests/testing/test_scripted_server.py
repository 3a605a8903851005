"""The real OpenAI client talks to a scripted server as it talks to the provider."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import openai
import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.messages.tool import invalid_tool_call
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from dalsegno.errors import DefinitionError, ScriptNotFollowed
from dalsegno.testing import Cut, HttpError, Malformed, Reply, ScriptedServer


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


class Verdict(BaseModel):
    """A verdict."""

    good: bool
    score: int


def client(server: ScriptedServer, **options: Any) -> ChatOpenAI:
    """LangChain's client; it repeats nothing unless told to."""
    # The client's own defaults, less the certificates: reading them takes longer than the rest of a test. No connection
    # is kept for later, as nobody closes these clients: it would be left to whichever test collects it.
    plain: Any = {"verify": False, "trust_env": False, "limits": httpx.Limits(max_keepalive_connections=0)}
    options["http_client"] = openai.DefaultHttpxClient(**plain)
    options["http_async_client"] = openai.DefaultAsyncHttpxClient(**plain)
    given = {"base_url": server.url, "api_key": "none", "max_retries": 0, "timeout": 10, **options}
    return ChatOpenAI(model="scripted-1", **given)


def invoke(model: Any, prompt: Any = "?") -> AIMessage:
    answer: AIMessage = model.invoke(prompt)
    return answer


def ainvoke(model: Any, prompt: Any = "?") -> AIMessage:
    answer: AIMessage = asyncio.run(model.ainvoke(prompt))
    return answer


def stream(model: Any, prompt: Any = "?") -> AIMessage:
    first, *rest = model.stream(prompt)
    return sum(rest, first)  # type: ignore[no-any-return]


def astream(model: Any, prompt: Any = "?") -> AIMessage:
    async def chunks() -> list[Any]:
        return [chunk async for chunk in model.astream(prompt)]

    first, *rest = asyncio.run(chunks())
    return sum(rest, first)  # type: ignore[no-any-return]


Ask = Callable[..., AIMessage]
WAYS = [invoke, ainvoke, stream, astream]


@pytest.fixture(params=WAYS, ids=lambda way: way.__name__)
def ask(request: pytest.FixtureRequest) -> Ask:
    """Each of the four ways to call a model."""
    way: Ask = request.param
    return way


def test_the_client_gets_the_text_the_usage_and_the_models_name(ask: Ask) -> None:
    handler = UsageMetadataCallbackHandler()
    with ScriptedServer([Reply("Rain falls.", usage=(7, 3))]) as server:
        model = client(server, stream_usage=True).with_config(callbacks=[handler])
        answer = ask(model, [SystemMessage("Be brief."), HumanMessage("What does rain do?")])
    assert answer.text == "Rain falls."
    assert answer.usage_metadata
    assert answer.usage_metadata["total_tokens"] == 10
    assert answer.response_metadata["finish_reason"] == "stop"
    assert handler.usage_metadata["scripted-1"]["input_tokens"] == 7


def test_usage_is_counted_as_a_scripted_model_counts_it() -> None:
    details: Any = {
        "input_tokens": 9,
        "output_tokens": 4,
        "total_tokens": 13,
        "input_token_details": {"cache_read": 8},
        "output_token_details": {"reasoning": 2},
    }
    with ScriptedServer(["one two", Reply("a", usage=details)]) as server:
        counted, given = (invoke(client(server), "a b c").usage_metadata for _ in range(2))
    assert counted
    assert (counted["input_tokens"], counted["output_tokens"]) == (3, 2)
    assert given == details


def test_a_stream_comes_word_by_word() -> None:
    with ScriptedServer(["Rain falls on us."]) as server:
        contents = [chunk.content for chunk in client(server).stream("?")]
    assert [content for content in contents if content] == ["Rain ", "falls ", "on ", "us."]


def test_tool_calls_arrive_whole(ask: Ask) -> None:
    calls = [{"name": "add", "args": {"a": 1, "b": 20}}, {"name": "add", "args": {"a": 300, "b": 4000}}]
    with ScriptedServer([calls]) as server:
        answer = ask(client(server).bind_tools([add]))
    assert [(call["name"], call["args"]) for call in answer.tool_calls] == [
        ("add", call["args"]) for call in calls
    ]
    assert answer.response_metadata["finish_reason"] == "tool_calls"


def test_arguments_that_are_no_json_reach_the_clients_parser(ask: Ask) -> None:
    bad = AIMessage("", invalid_tool_calls=[invalid_tool_call(name="add", args="a = 1", id="7")])
    with ScriptedServer([bad]) as server:
        answer = ask(client(server).bind_tools([add]))
    assert [(call["name"], call["args"]) for call in answer.invalid_tool_calls] == [("add", "a = 1")]


@pytest.mark.parametrize("method", ["function_calling", "json_schema", "json_mode"])
def test_structured_output_is_data_in_the_script(method: Any) -> None:
    with ScriptedServer([Verdict(good=True, score=7), {"good": False, "score": 1}]) as server:
        structured = client(server).with_structured_output(Verdict, method=method)
        assert structured.invoke("?") == Verdict(good=True, score=7)
        assert asyncio.run(structured.ainvoke("?")) == Verdict(good=False, score=1)


def test_a_refusal_is_one() -> None:
    refused = AIMessage("", additional_kwargs={"refusal": "No."})
    with ScriptedServer([refused]) as server:
        both = client(server).with_structured_output(Verdict, include_raw=True).invoke("?")
    assert "No." in str(both["parsing_error"])


def test_an_agent_runs_over_the_wire() -> None:
    script = [
        Reply({"name": "add", "args": {"a": 2, "b": 3}}, expect="2 + 3"),
        Reply("It is 5.", expect=lambda messages: messages[-1].text == "5"),
    ]
    with ScriptedServer(script) as server:
        result = create_agent(client(server), [add]).invoke({"messages": [HumanMessage("2 + 3?")]})
    assert result["messages"][-1].text == "It is 5."
    assert [request.tool_names for request in server.requests] == [("add",)] * 2


def test_requests_are_kept_as_they_came() -> None:
    with ScriptedServer(["a", "b"]) as server:
        client(server, temperature=0.5).invoke([SystemMessage("Be brief."), HumanMessage("?")])
        stream(client(server), "again")
    first, second = server.requests
    assert [(message.type, message.text) for message in first.messages] == [
        ("system", "Be brief."),
        ("human", "?"),
    ]
    assert (first.body["model"], first.body["temperature"], first.stream) == ("scripted-1", 0.5, False)
    assert first.headers["authorization"] == "Bearer none"
    assert (second.number, second.text, second.stream) == (2, "again", True)


# Failures


def test_a_client_waits_as_long_as_retry_after_says_and_tries_again(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    with ScriptedServer([HttpError(429, "Slow down.", retry_after=7), "Now."]) as server:
        # The client's own clock, so that nobody waits seven seconds.
        monkeypatch.setattr(time, "sleep", waited.append)
        assert invoke(client(server, max_retries=2)).text == "Now."
    assert waited == [7.0]
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ],
)
def test_a_status_is_the_clients_error(ask: Ask, status: int, error: type[openai.APIStatusError]) -> None:
    failing = HttpError(status, "as told", retry_after=0.5, code="because", headers={"x-request-id": "r1"})
    with ScriptedServer([failing, "after"]) as server:
        with pytest.raises(error, match="as told") as raised:
            ask(client(server))
        assert raised.value.code == "because"
        assert raised.value.response.headers["retry-after"] == "0.5"
        assert raised.value.request_id == "r1"
        assert invoke(client(server)).text == "after"


@pytest.mark.parametrize(
    ("seconds", "sent"), [(7, "7"), (0.5, "0.5"), (1_000_000, "1000000"), (90.125, "90.125")]
)
def test_retry_after_is_sent_in_digits(seconds: float, sent: str) -> None:
    with ScriptedServer([HttpError(429, retry_after=seconds)]) as server:
        with pytest.raises(openai.RateLimitError) as raised:
            invoke(client(server))
        assert raised.value.response.headers["retry-after"] == sent


@pytest.mark.parametrize("slow", [Reply("late", latency=3600), Reply("late", pause=3600)])
def test_a_slow_body_is_the_clients_timeout_and_does_not_hold_up_the_end(ask: Ask, slow: Reply) -> None:
    before = time.monotonic()
    with ScriptedServer([slow]) as server:
        with pytest.raises(openai.APITimeoutError):
            ask(client(server, timeout=0.1))
        while (
            not server.requests and time.monotonic() - before < 60
        ):  # it may be asked later than the client waits
            time.sleep(0.001)
    assert time.monotonic() - before < 60


def test_a_connection_is_cut_in_the_middle_of_a_stream() -> None:
    seen: list[str] = []

    def collect(model: ChatOpenAI) -> None:
        for chunk in model.stream("?"):
            seen.append(str(chunk.content))

    with (
        ScriptedServer([Cut("one two three four", after=2)]) as server,
        pytest.raises(openai.APIConnectionError),
    ):
        collect(client(server))
    assert "".join(seen) == "one two "


@pytest.mark.parametrize("after", [0, 1])
def test_a_cut_connection_is_the_clients_connection_error(ask: Ask, after: int) -> None:
    with ScriptedServer([Cut("one two", after=after)]) as server, pytest.raises(openai.APIConnectionError):
        ask(client(server))


@pytest.mark.parametrize("after", [0, 1])
def test_a_malformed_body_is_the_clients_decoding_error(ask: Ask, after: int) -> None:
    with ScriptedServer([Malformed("one two", after=after)]) as server, pytest.raises(json.JSONDecodeError):
        ask(client(server))


# What is not as the script says


def test_a_request_too_many_is_refused_and_reported_at_the_end() -> None:
    server = ScriptedServer(["one"])
    try:
        invoke(client(server))
        with pytest.raises(openai.BadRequestError, match="Call 2 of the model: the script is exhausted"):
            invoke(client(server, max_retries=2), "once more")
        with pytest.raises(ScriptNotFollowed, match="once more") as raised:
            server.assert_done()
        assert raised.value.reason == "exhausted"
        assert len(server.requests) == 2
    finally:
        server.close()


def test_a_tool_call_that_does_not_fit_the_requests_tools_is_refused() -> None:
    server = ScriptedServer([{"name": "add", "args": {"a": "one", "b": 2}}])
    with pytest.raises(openai.BadRequestError, match="expected integer"):
        invoke(client(server).bind_tools([add]))
    with pytest.raises(ScriptNotFollowed, match='argument `a` is "one", expected integer'):
        server.__exit__(None, None, None)


def test_what_the_script_raises_is_reported_at_the_end() -> None:
    def asserts(messages: Any) -> str:
        raise KeyError("lost")

    for entry in (asserts, Reply("a", expect=asserts), lambda messages: ValueError("lost")):
        server = ScriptedServer([entry])
        with pytest.raises(openai.BadRequestError, match="lost"):
            invoke(client(server))
        server.close()
        with pytest.raises(ScriptNotFollowed, match=r"Call 1 of the model: the script raised .*lost"):
            server.assert_done()


def test_answers_that_are_left_over_are_reported_at_the_end() -> None:
    with pytest.raises(ScriptNotFollowed, match="1 of 1 answers of the script are left over"):  # noqa: SIM117
        with ScriptedServer(["one"]):
            pass


def test_an_exception_in_a_servers_script_is_refused() -> None:
    with pytest.raises(DefinitionError, match=r"Use HttpError\(500\), Cut\(\) or Malformed\(\)"):
        ScriptedServer([ValueError("no")])


@pytest.mark.parametrize("options", [{"status": 200}, {"status": "500"}])
def test_a_status_that_is_no_failure_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError, match="a status from 400 to 599"):
        HttpError(**options)


# The server itself


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer([]) as server:
        yield server


def test_another_api_is_not_spoken_and_says_so(server: ScriptedServer) -> None:
    with pytest.raises(openai.NotFoundError, match="use_responses_api=False"):
        invoke(client(server, use_responses_api=True))
    assert httpx.get(f"{server.url}/models", trust_env=False).status_code == 404


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"model": "m"}', b'{"model": "m", "messages": [{"role": "x"}]}']
)
def test_a_request_that_is_none_is_refused_and_takes_no_answer(server: ScriptedServer, body: bytes) -> None:
    answer = httpx.post(f"{server.url}/chat/completions", content=body, trust_env=False)
    assert answer.status_code == 400
    assert "no request for a chat completion" in answer.json()["error"]["message"]
    assert server.requests == ()


def test_many_clients_at_once_get_every_answer_once() -> None:
    with ScriptedServer([str(number) for number in range(40)]) as server:
        model = client(server)

        async def all_of_them() -> list[str]:
            return [str(answer.text) for answer in await model.abatch(["?"] * 40)]

        answers = asyncio.run(all_of_them())
    assert sorted(answers, key=int) == [str(number) for number in range(40)]


def test_it_listens_on_the_loopback_only_and_not_after_its_end() -> None:
    with ScriptedServer([]) as server:
        address = httpx.URL(server.url)
        assert address.host == "127.0.0.1"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address.host, address.port or 0))


def test_its_end_does_not_wait_for_clients_that_keep_their_connections() -> None:
    before = time.monotonic()
    with httpx.Client(trust_env=False) as keeping:
        with ScriptedServer(["a"]) as server:
            body = {"model": "m", "messages": [{"role": "user", "content": "?"}]}
            assert keeping.post(f"{server.url}/chat/completions", json=body).status_code == 200
        assert time.monotonic() - before < 30
    assert "scripted server" not in {thread.name for thread in threading.enumerate()}
