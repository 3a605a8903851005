"""A node asks an agent over JSON-RPC 2.0: what is sent, what is made of the answer, and which errors come of it."""

from __future__ import annotations

import math
import pickle
from dataclasses import dataclass
from typing import Any, TypedDict

import pytest
from pydantic import BaseModel, Field, SecretStr

from dalsegno import END, START, RetryPolicy, Runner, Workflow, validate
from dalsegno.errors import (
    DefinitionError,
    FieldMissing,
    PlayerError,
    RemoteAnswerInvalid,
    RemoteFault,
    RemoteStatus,
)
from dalsegno.nodes.remote import remote


class State(TypedDict, total=False):
    question: str
    order: dict[str, Any]
    answer: Any


@dataclass
class Verdict:
    good: bool
    why: str = ""


class Rating(TypedDict):
    answer: str
    score: int


class Review(BaseModel):
    answer: str
    score: int


def test_a_call_is_a_request_of_json_rpc_2(agent: Any, ask: Any, say: Any) -> None:
    server = agent(lambda request, _: say.result(request, {"text": "because"}))
    assert ask(server, params={"q": "question", "city": "order.city", "tone": "tone?"}, state={
        "question": "why?", "order": {"city": "Łódź"}, "secret": "not asked for",
    }) == {"answer": {"text": "because"}}  # fmt: skip
    [request] = server.requests
    assert (request.method, request.path) == ("POST", "/rpc")
    assert request.headers["content-type"] == "application/json"
    number = request.rpc["id"]
    assert isinstance(number, int)
    expected = {"jsonrpc": "2.0", "id": number, "method": "answer", "params": {"q": "why?", "city": "Łódź"}}
    assert request.rpc == expected


def test_every_request_has_an_id_of_its_own(agent: Any, ask: Any) -> None:
    server = agent()
    for _ in range(3):
        ask(server)
    assert len({request.rpc["id"] for request in server.requests}) == 3


def test_without_params_none_are_sent(agent: Any, ask: Any) -> None:
    server = agent()
    ask(server)
    assert "params" not in server.requests[0].rpc


def test_params_can_be_a_function_of_the_state(agent: Any, ask: Any) -> None:
    server = agent()
    ask(server, params=lambda state: [state["question"], Verdict(True)])
    assert server.requests[0].rpc["params"] == ["why?", {"good": True, "why": ""}]


def test_a_state_key_that_is_needed_and_not_there_is_named(agent: Any, ask: Any) -> None:
    with pytest.raises(
        FieldMissing, match=r"needs `qestion` for its parameter `q`.*did you mean `question`\?"
    ):
        ask(agent(), params={"q": "qestion"})


class Account(BaseModel):
    name: str
    key: SecretStr


class Kept(Account):
    key: SecretStr = Field(exclude=True)


@pytest.mark.parametrize(
    "value",
    [
        SecretStr("hidden"), {"key": SecretStr("hidden")}, [Account(name="a", key=SecretStr("hidden"))], object(),
        math.nan,
    ],
    ids=["secret", "in a mapping", "in a model", "object", "nan"],
)  # fmt: skip
def test_what_cannot_or_must_not_be_sent_is_refused(agent: Any, ask: Any, value: Any) -> None:
    server = agent()
    with pytest.raises(PlayerError) as caught:
        ask(server, params={"q": "value"}, state={"value": value})
    assert "hidden" not in str(caught.value)
    assert not server.requests


def test_a_secret_in_what_a_function_makes_is_not_sent_as_its_mask(agent: Any, ask: Any) -> None:
    server = agent()
    with pytest.raises(PlayerError, match="would send `params`, which holds a secret"):
        ask(server, params=lambda state: {"q": state["value"]}, state={"value": SecretStr("hidden")})
    assert not server.requests
    ask(server, params={"q": "value"}, state={"value": Kept(name="a", key=SecretStr("hidden"))})
    ask(server, params={"q": "value"}, state={"value": "**********"})
    assert [request.rpc["params"] for request in server.requests] == [
        {"q": {"name": "a"}},
        {"q": "**********"},
    ]


def test_an_answer_goes_to_one_key_or_is_spread_by_its_fields(agent: Any, ask: Any, say: Any) -> None:
    server = agent(lambda request, _: say.result(request, {"text": "because", "usage": {"tokens": 3}}))
    assert ask(server, writes="reply") == {"reply": {"text": "because", "usage": {"tokens": 3}}}
    assert ask(server, writes={"reply": "text", "spent": "usage.tokens"}) == {"reply": "because", "spent": 3}
    assert ask(server, writes=None) == {"text": "because", "usage": {"tokens": 3}}


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (Review, {"answer": "yes", "score": 3}),
        (Rating, {"answer": "yes", "score": 3}),
        (dict[str, Any], {"answer": "yes", "score": "3"}),
    ],
)
def test_an_answer_is_held_to_its_output(agent: Any, ask: Any, say: Any, output: Any, expected: Any) -> None:
    server = agent(lambda request, _: say.result(request, {"answer": "yes", "score": "3"}))
    assert ask(server, writes=None, output=output) == expected


def test_an_answer_that_is_not_as_its_output_says_is_an_error(agent: Any, ask: Any, say: Any) -> None:
    server = agent(lambda request, _: say.result(request, {"answer": "yes", "score": "many"}))
    with pytest.raises(RemoteAnswerInvalid, match="score: Input should be a valid integer") as caught:
        ask(server, output=Review)
    assert caught.value.reason == "does not fit"
    assert '"score": "many"' in caught.value.excerpt


def test_a_field_that_the_answer_lacks_is_an_error(agent: Any, ask: Any, say: Any) -> None:
    server = agent(lambda request, _: say.result(request, {"text": "because"}))
    with pytest.raises(RemoteAnswerInvalid, match=r"without `txet`; did you mean `text`\? It begins"):
        ask(server, writes={"reply": "txet"})
    with pytest.raises(RemoteAnswerInvalid, match="writes=KEY"):
        ask(agent(), writes=None)


@pytest.mark.parametrize(
    ("code", "meaning", "retryable"),
    [
        (-32700, "parse error", False),
        (-32600, "invalid request", False),
        (-32601, "method not found", False),
        (-32602, "invalid params", False),
        (-32603, "internal error", True),
        (-32050, None, False),
        (7, None, False),
    ],
)
def test_an_error_object_is_a_typed_error(
    agent: Any, ask: Any, say: Any, code: int, meaning: str | None, retryable: bool
) -> None:
    server = agent(lambda request, _: say.fault(request, code, "no such thing", data={"hint": [1]}))
    with pytest.raises(RemoteFault) as caught:
        ask(server)
    error = caught.value
    assert (error.code, error.meaning, error.said) == (code, meaning, "no such thing")
    assert error.details == {"hint": [1]}
    assert error.retryable is retryable
    assert str(error).startswith(f"The remote agent `answer` at {server.url} answered with error {code}")


def test_an_error_object_in_an_http_error_is_what_the_agent_says(agent: Any, ask: Any, say: Any) -> None:
    def answer(request: Any, _: Any) -> bytes:
        return say.fault(request, -32601, "no").replace(b"200 OK", b"404 Not Found")

    with pytest.raises(RemoteFault, match="Look at `method`"):
        ask(agent(answer))


def test_an_agent_that_could_not_read_the_request_has_no_id_to_repeat(agent: Any, ask: Any, say: Any) -> None:
    body = '{"jsonrpc": "2.0", "id": null, "error": {"code": -32700, "message": "unreadable"}}'
    with pytest.raises(RemoteFault, match="parse error"):
        ask(agent(lambda *_: say.http(body)))


@pytest.mark.parametrize(
    ("status", "retryable", "hint"),
    [
        ("400 Bad Request", False, "look at what is sent"),
        ("401 Unauthorized", False, "credentials"),
        ("404 Not Found", False, "path of its URL"),
        ("429 Too Many Requests", True, "retry"),
        ("500 Internal Server Error", True, "retry"),
        ("503 Service Unavailable", True, "retry"),
    ],
)
def test_an_http_error_says_whether_to_ask_again(
    agent: Any, ask: Any, say: Any, status: str, retryable: bool, hint: str
) -> None:
    server = agent(
        lambda *_: say.http("<p>broken  here</p>", status=status, kind="text/html", Retry_After="7")
    )
    with pytest.raises(RemoteStatus, match=hint) as caught:
        ask(server)
    error = caught.value
    assert (error.status, error.retry_after, error.retryable) == (int(status[:3]), 7.0, retryable)
    assert "<p>broken here</p>" in str(error)


def test_every_error_survives_pickling(agent: Any, ask: Any, say: Any) -> None:
    server = agent(lambda request, _: say.fault(request, 7, "no", data={"a": 1}))
    with pytest.raises(RemoteFault) as caught:
        ask(server)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.code, again.details, again.agent, again.node, str(again)) == (
        7, {"a": 1}, f"`answer` at {server.url}", "answer", str(caught.value),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "options", "why"),
    [
        (("ftp://a.example.org", "m"), {}, "begins with https"),
        (("https://me:secret@a.example.org", "m"), {}, "shows a password"),
        (("https://a.example.org@evil.example.org/", "m"), {}, "another"),
        (("https://a.example.org\\@evil.example.org/", "m"), {}, "backslashes"),
        (("https://a.example.org/ x", "m"), {}, "no spaces"),
        (("https://a.example.org/#x", "m"), {}, "#fragment"),
        (("https://", "m"), {}, "host is needed"),
        (("https://a.example.org:99999", "m"), {}, "Port out of range"),
        (("https://ä.example.org", "m"), {}, "ASCII"),
        (("https://a.example.org",), {}, "which method"),
        (("https://a.example.org", "m"), {"prompt": "?"}, "JSON-RPC is asked with `params`"),
        (("https://a.example.org", "m"), {"protocol": "a2a"}, "A2A has no methods"),
        (("https://a.example.org",), {"protocol": "a2a"}, "what is it asked"),
        (("https://a.example.org", "m"), {"protocol": "a2aa"}, "did you mean `a2a`"),
        (("https://a.example.org", "m"), {"timeout": 0}, "timeout"),
        (("https://a.example.org", "m"), {"max_bytes": 1.5}, "max_bytes"),
        (("https://a.example.org", "m"), {"params": {"q": 3}}, "both are names"),
        (("https://a.example.org", "m"), {"params": 3}, "parameters and state keys"),
        (("https://a.example.org", "m"), {"writes": 3}, "a state key"),
        (("https://a.example.org", "m"), {"output": 3}, "pydantic cannot hold an answer to it"),
        (("https://a.example.org", "m"), {"headers": {"x": "a\r\nb: c"}}, "one line"),
        (("https://a.example.org", "m"), {"headers": {"Idempotency-Key": "x"}}, "sent by the call itself"),
        (("https://a.example.org", "m"), {"allow_private": ["10.0.0/8"]}, "a network"),
        (("skill:x",), {}, "looked up in a registry"),
        (("https://a.example.org", "m"), {"registry": "x.yaml"}, "registry is for a skill"),
    ],
)
def test_what_cannot_be_meant_is_refused_where_it_is_written(
    arguments: Any, options: dict[str, Any], why: str
) -> None:
    with pytest.raises(DefinitionError, match=why) as caught:
        remote(*arguments, **options)
    assert "secret" not in str(caught.value)


def test_a_remote_says_what_it_knows_of_itself() -> None:
    player = remote(
        "https://a.example.org",
        "answer",
        params={"q": "question", "c": "order.city", "t": "tone?"},
        writes="answer",
    )
    assert (player.name, player.kind) == ("answer", "remote")
    assert player.declares() == {"calls": 0, "reads": ("question", "order", "tone"), "writes": ("answer",)}
    declared = remote(
        "https://a.example.org", "m", params=str, output=Review, effect=True, idempotent=True
    ).declares()
    assert declared == {"calls": 0, "writes": ("answer", "score"), "effect": True, "idempotent": True}


def test_a_remote_writes_the_fields_of_its_outputs_bases_too(agent: Any, ask: Any, say: Any) -> None:
    @dataclass
    class Reasoned(Verdict):
        sources: tuple[str, ...] = ()

    class Same(Verdict):
        """Nothing of its own."""

    for output, written in ((Reasoned, ("good", "why", "sources")), (Same, ("good", "why"))):
        declared = remote("https://a.example.org", "m", output=output).declares()
        assert declared["writes"] == written
        server = agent(lambda request, _: say.result(request, {"good": True}))
        assert tuple(ask(server, writes=None, output=output)) == written


def test_a_remote_is_a_node_that_is_drawn_checked_and_run(agent: Any, say: Any, tmp_path: Any) -> None:
    server = agent(lambda request, _: say.result(request, request.rpc["params"]["q"].upper()))
    player = remote(server.url, "answer", params={"q": "question"}, writes="answer", allow_private=True)
    flow = Workflow("asking", State).add_node("ask", player).add_edge(START, "ask").add_edge("ask", END)
    report = validate(flow)
    assert [finding.code for finding in report.findings] == ["R405"]
    assert report.certificate is not None
    assert report.certificate.model_calls == 0
    with Runner(flow, db=str(tmp_path / "runs.db")) as runner:
        assert runner.run({"question": "why?"}).output["answer"] == "WHY?"
    handled = Workflow("asking", State).add_node("ask", player, retry=RetryPolicy())
    assert handled.add_edge(START, "ask").add_edge("ask", END).validate().findings == ()


def test_the_traceback_of_a_failure_begins_with_the_failure(agent: Any, say: Any, tmp_path: Any) -> None:
    server = agent(lambda request, _: say.fault(request, 7, "no"))
    node = remote(server.url, "answer", writes="answer", allow_private=True)
    flow = Workflow("one", State).add_node("ask", node).add_edge(START, "ask").add_edge("ask", END)
    with Runner(flow, db=str(tmp_path / "runs.db")) as runner:
        error = runner.run({}).error
    assert "RemoteFault" in error["traceback"]
    assert "no running event loop" not in error["traceback"]
