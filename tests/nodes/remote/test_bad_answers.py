"""Agents that misbehave: each comes out as a typed error that says who, what came, and what to do."""

from __future__ import annotations

import gzip
import json
import pickle
import socket
import struct
import time
from typing import Any

import pytest

from dalsegno.errors import RemoteAnswerInvalid, RemoteError, RemoteStatus, RemoteTimeout, RemoteUnreachable
from dalsegno.nodes.remote import remote


def failure(ask: Any, server: Any, kind: type[RemoteError], **options: Any) -> Any:
    with pytest.raises(kind) as caught:
        ask(server, **options)
    error = caught.value
    assert type(error) is kind
    assert error.agent == f"`answer` at {server.url}"
    assert server.url in str(error)
    assert pickle.loads(pickle.dumps(error)).data == error.data
    return error


@pytest.mark.parametrize(
    ("body", "reason", "says"),
    [
        ('{"jsonrpc": "2.0", "id": 1, "result": ', "not JSON", 'begins: {"jsonrpc"'),
        ("", "not JSON", "answered with nothing"),
        ('{"result": NaN}', "not JSON", "NaN"),
        (b"\xff\xfe\xfa", "not JSON", "not JSON"),
        ("[" * 100_000, "not JSON", "nests too deeply"),
        ('{"id": ' + "9" * 5000 + "}", "not JSON", "digits"),
        ("[]", "not JSON-RPC", "no JSON-RPC 2.0 object"),
        ('"yes"', "not JSON-RPC", "no JSON-RPC 2.0 object"),
        ('{"id": 1, "result": 2}', "not JSON-RPC", "no JSON-RPC 2.0 object"),
        ('{"jsonrpc": "1.0", "id": 1, "result": 2}', "not JSON-RPC", "no JSON-RPC 2.0 object"),
        ('{"jsonrpc": "2.0", "id": 1}', "not JSON-RPC", "no single one"),
        ('{"jsonrpc": "2.0", "id": 1, "result": 2, "error": {}}', "not JSON-RPC", "no single one"),
        ('{"jsonrpc": "2.0", "id": null, "error": {"code": "7"}}', "not JSON-RPC", "error object"),
        ('{"jsonrpc": "2.0", "id": null, "error": "no"}', "not JSON-RPC", "error object"),
    ],
)
def test_what_is_no_answer_is_told_as_it_came(
    agent: Any, ask: Any, say: Any, body: Any, reason: str, says: str
) -> None:
    error = failure(ask, agent(lambda *_: say.http(body)), RemoteAnswerInvalid)
    assert error.reason == reason
    assert says in str(error)
    assert not error.retryable
    assert len(str(error)) < 700


@pytest.mark.parametrize("number", [0, -1, "same", None, True, 1.5, [1]])
def test_an_answer_to_another_request_is_refused(agent: Any, ask: Any, say: Any, number: Any) -> None:
    def answer(request: Any, _: Any) -> bytes:
        given = str(request.rpc["id"]) if number == "same" else number
        return say.result(request, "for another", id=given)

    assert failure(ask, agent(answer), RemoteAnswerInvalid).reason == "wrong id"


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "text/plain", "application/octet-stream"])
def test_another_content_type_is_refused(agent: Any, ask: Any, say: Any, kind: str) -> None:
    page = "<html><body>Welcome, please log in</body></html>"
    error = failure(ask, agent(lambda *_: say.http(page, kind=kind)), RemoteAnswerInvalid)
    assert error.reason == "content type"
    assert "Welcome, please log in" in error.excerpt
    assert ("a page for people" in str(error)) == ("html" in kind)


@pytest.mark.parametrize(
    "kind", ["application/json; charset=utf-8", "application/vnd.api+json", "application/json-rpc"]
)
def test_json_by_another_name_is_taken(agent: Any, ask: Any, say: Any, kind: str) -> None:
    def answer(request: Any, _: Any) -> bytes:
        return say.http(json.dumps({"jsonrpc": "2.0", "id": request.rpc["id"], "result": 1}), kind=kind)

    assert ask(agent(answer)) == {"answer": 1}


def test_10_mb_that_are_announced_are_not_read(agent: Any, ask: Any, say: Any) -> None:
    server = agent(lambda *_: say.http(b"[" + b"1," * 5_000_000 + b"1]"))
    error = failure(ask, server, RemoteAnswerInvalid)
    assert error.reason == "too large"
    assert "max_bytes=" in str(error)


def chunks(connection: socket.socket, part: bytes, pause: float, closing: Any) -> None:
    """A chunked answer without an end."""
    connection.sendall(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    while not closing.wait(pause):
        connection.sendall(b"%x\r\n%s\r\n" % (len(part), part))


def test_an_answer_that_never_ends_is_cut_off_at_its_most_bytes(agent: Any, ask: Any) -> None:
    sent = []

    def answer(_: Any, connection: socket.socket) -> None:
        part = b" " * 65536
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        while True:
            connection.sendall(part)
            sent.append(len(part))

    error = failure(ask, agent(answer), RemoteAnswerInvalid, max_bytes=10**6)
    assert error.reason == "too large"
    assert sum(sent) < 10**8


def test_an_answer_may_be_as_large_as_is_allowed(agent: Any, ask: Any, say: Any) -> None:
    server = agent(lambda request, _: say.result(request, "x" * 10_000_000))
    assert len(ask(server, max_bytes=11_000_000)["answer"]) == 10_000_000


def test_a_decompression_bomb_is_not_opened(agent: Any, ask: Any, say: Any) -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    server = agent(lambda *_: say.http(bomb, Content_Encoding="gzip"))
    error = failure(ask, server, RemoteAnswerInvalid)
    assert error.reason == "compressed"
    assert server.requests[0].headers["accept-encoding"] == "identity"


def test_a_slow_drip_ends_with_the_calls_time(agent: Any, ask: Any) -> None:
    server = agent()
    server.answer = lambda _, connection: chunks(connection, b" ", 0.01, server.closing)
    began = time.monotonic()
    error = failure(ask, server, RemoteTimeout, timeout=1.5)
    assert 1.25 < time.monotonic() - began < 30
    assert error.seconds == 1.5
    assert error.received > 0
    assert error.retryable
    assert "no end" in str(error)


def test_a_slow_drip_of_headers_ends_with_the_calls_time(agent: Any, ask: Any) -> None:
    server = agent()

    def answer(_: Any, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while not server.closing.wait(0.01):
            connection.sendall(b"X-More: 1\r\n")

    server.answer = answer
    assert failure(ask, server, RemoteTimeout, timeout=0.3).received == 0


def test_an_agent_that_says_nothing_ends_with_the_calls_time(agent: Any, ask: Any) -> None:
    server = agent()
    server.answer = lambda *_: server.closing.wait()
    assert "nothing had come" in str(failure(ask, server, RemoteTimeout, timeout=0.2))


def reset(connection: socket.socket) -> None:
    """End a connection without a farewell."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@pytest.mark.parametrize(
    "begun", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"]
)
@pytest.mark.parametrize("end", [reset, lambda connection: connection.shutdown(socket.SHUT_RDWR)])
def test_a_connection_that_breaks_in_the_middle_may_be_tried_again(
    agent: Any, ask: Any, begun: bytes, end: Any
) -> None:
    def answer(_: Any, connection: socket.socket) -> None:
        connection.sendall(begun)
        end(connection)

    error = failure(ask, agent(answer), RemoteUnreachable)
    assert error.reason == "cut"
    assert error.retryable


def test_what_speaks_no_http_is_told(agent: Any, ask: Any) -> None:
    error = failure(ask, agent(lambda *_: b"220 mail.example.org ESMTP\r\n\r\n"), RemoteUnreachable)
    assert error.reason == "not HTTP"


def test_an_agent_that_is_not_there_is_told(agent: Any, ask: Any) -> None:
    server = agent()
    url = server.url
    server.close()
    with pytest.raises(RemoteUnreachable, match="cannot be reached") as caught:
        ask(url)
    assert (caught.value.reason, caught.value.retryable) == ("no connection", True)


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary Redirect"])
@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://localhost:1/",
        "//127.0.0.1:1/rpc",
        "file:///etc/passwd",
    ],
)
def test_a_redirect_elsewhere_is_not_followed(
    agent: Any, ask: Any, say: Any, status: str, target: str
) -> None:
    server = agent(lambda *_: say.http("", status=status, Location=target))
    error = failure(ask, server, RemoteAnswerInvalid, headers={"X-Key": "sesame"})
    assert error.reason == "redirect"
    assert "not led on" in str(error)
    assert len(server.requests) == 1


def test_a_redirect_to_another_path_of_the_same_agent_is_followed(agent: Any, ask: Any, say: Any) -> None:
    def answer(request: Any, _: Any) -> bytes:
        if request.path == "/rpc":
            return say.http("", status="308 Permanent Redirect", Location="/rpc/")
        return say.result(request, [request.path, request.headers["x-key"]])

    assert ask(agent(answer), headers={"X-Key": "sesame"}) == {"answer": ["/rpc/", "sesame"]}


@pytest.mark.parametrize(
    ("status", "location"),
    [("307 Temporary Redirect", "/rpc"), ("302 Found", "/rpc"), ("307 Temporary Redirect", "http://[")],
)
def test_a_redirect_that_leads_nowhere_is_told(
    agent: Any, ask: Any, say: Any, status: str, location: str
) -> None:
    server = agent(lambda *_: say.http("", status=status, Location=location))
    assert failure(ask, server, RemoteAnswerInvalid).reason == "redirect"
    assert len(server.requests) <= 4


def test_credentials_that_an_agent_repeats_are_in_no_error(agent: Any, ask: Any, say: Any) -> None:
    def answer(request: Any, _: Any) -> bytes:
        return say.fault(
            request, 7, f"who is {request.headers['authorization']}?", data=dict(request.headers)
        )

    server = agent(answer)
    with pytest.raises(RemoteError) as caught:
        ask(server, headers={"Authorization": "Bearer sesame-sesame"})
    assert "sesame" not in str(caught.value) + repr(caught.value.data)
    server.answer = lambda request, _: say.http(request.headers["authorization"], kind="text/html")
    error = failure(ask, server, RemoteAnswerInvalid, headers={"Authorization": "Bearer sesame-sesame"})
    assert "sesame" not in str(error) + repr(error.data)
    server.answer = lambda request, _: say.http(
        "", status="302 Found", Location=f"http://elsewhere.example/{request.headers['authorization'][7:]}"
    )
    error = failure(ask, server, RemoteAnswerInvalid, headers={"Authorization": "Bearer sesame-sesame"})
    assert error.reason == "redirect"
    assert "sesame" not in str(error) + repr(error.data)


def test_a_credential_in_an_address_that_an_agent_repeats_is_in_no_error(
    agent: Any, ask: Any, say: Any
) -> None:
    """As many web servers say what they do not have."""
    server = agent(lambda request, _: say.http(f"Cannot POST {request.path}", status="404 Not Found"))
    player = remote(f"{server.url}?key=open-sesame-open", "answer", writes="answer", allow_private=True)
    with pytest.raises(RemoteStatus, match="Cannot POST /rpc") as caught:
        player.invoke({})
    assert "sesame" not in str(caught.value) + repr(caught.value.data)


def test_an_error_object_that_nests_too_deeply_is_told(agent: Any, ask: Any, say: Any) -> None:
    def answer(request: Any, _: Any) -> bytes:
        error = f'{{"code": 7, "message": "no", "data": {"[" * 100_000}{"]" * 100_000}}}'
        return say.http(f'{{"jsonrpc": "2.0", "id": {request.rpc["id"]}, "error": {error}}}')

    assert failure(ask, agent(answer), RemoteAnswerInvalid).reason in ("not JSON", "not JSON-RPC")


@pytest.mark.parametrize(
    "told",
    [
        lambda token: f'{{"headers": "{token}", "raw": "{token}", "again": "{token}"}}',
        lambda token: f"{token[:60]}... is no good, and {token[:40]}… neither; it ends with ...{token[-20:]}",
    ],
)
def test_what_is_left_of_a_credential_that_was_cut_is_in_no_error(
    agent: Any, ask: Any, say: Any, told: Any
) -> None:
    token = "".join(f"{number:03}" for number in range(300))
    server = agent(lambda *_: say.http(told(f"Bearer {token}"), status="400 Bad Request"))
    error = failure(ask, server, RemoteStatus, headers={"Authorization": f"Bearer {token}"})
    for piece in (token[:9], token[-9:]):
        assert piece not in f"{error} {error.data}"
