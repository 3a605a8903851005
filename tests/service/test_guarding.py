"""Requests that are refused: without a token, from elsewhere, too many, too large, too slow, or no JSON."""

from __future__ import annotations

import base64
import gzip
import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.service.conftest import OTHER, TOKEN, Serve, Served

ASKED = {"workflow": "article", "input": {"topic": "rain"}}


def problem(response: httpx.Response, status: int) -> dict[str, Any]:
    """A response as RFC 9457 has it."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = response.json()
    assert set(found) == {"type", "title", "status", "detail", "errors"}
    assert found["status"] == status
    return found


@pytest.mark.parametrize(
    "given", [None, "Bearer", "Bearer wrong", f"Bearer {TOKEN}x", f"Token {TOKEN}", "Basic Og=="], ids=str
)
def test_nothing_of_value_is_told_without_a_token(service: Served, given: str | None) -> None:
    headers = {"authorization": given} if given else {}
    with httpx.Client(base_url=service.address, headers=headers, trust_env=False) as client:
        for path in ("/v1/workflows", "/v1/runs", "/metrics", "/v1/runs/" + "0" * 32 + "/page"):
            got = client.get(path)
            assert problem(got, 401)["type"] == "urn:dalsegno:no-token"
            assert got.headers["www-authenticate"].startswith("Bearer ")
        problem(client.post("/v1/runs", json=ASKED), 401)
        for path in ("/health", "/ready", "/openapi.json"):
            assert client.get(path).status_code == 200


def test_wrong_tokens_hold_up_nobody_who_has_the_right_one(serve: Serve) -> None:
    service = serve("--rate", "0.5")
    wrong = {"authorization": "Bearer wrong"}
    for _ in range(30):
        problem(service.client.get("/v1/workflows", headers=wrong), 401)
    assert service.client.get("/v1/workflows").status_code == 200


def test_a_browser_reads_with_a_password_and_starts_nothing(service: Served) -> None:
    basic = base64.b64encode(f"me:{TOKEN}".encode()).decode()
    headers = {"authorization": f"Basic {basic}"}
    with httpx.Client(base_url=service.address, headers=headers, trust_env=False) as client:
        assert client.get("/v1/runs").status_code == 200
        problem(client.post("/v1/runs", json=ASKED), 401)


def test_a_page_of_another_origin_starts_nothing(service: Served) -> None:
    foreign = ("https://evil.example", "null", "http://[", "", service.address.removeprefix("http:"))
    for headers in (*({"origin": origin} for origin in foreign), {"sec-fetch-site": "cross-site"}):
        got = service.client.post("/v1/runs", json=ASKED, headers=headers)
        assert problem(got, 403)["type"] == "urn:dalsegno:other-origin"
    own = service.client.post("/v1/runs", json=ASKED, headers={"origin": service.address})
    assert own.status_code == 202


def test_without_tokens_only_this_machine_may_ask_and_only_by_its_names(serve: Serve) -> None:
    service = serve(token=None)
    assert service.client.get("/v1/runs").status_code == 200
    got = service.client.get("/v1/runs", headers={"host": "evil.example"})
    assert problem(got, 403)["type"] == "urn:dalsegno:other-host"


def test_answers_keep_browsers_careful(service: Served) -> None:
    headers = service.client.get("/v1/runs").headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers


MANY = b"".join(b'"n%d":0,' % number for number in range(80_000))
BODIES = {
    "no JSON": (b"{bad", 400, "body"),
    "not a number": (b'{"workflow": "article", "input": {"topic": NaN}}', 400, "body"),
    "infinite": (b'{"workflow": "article", "input": {"topic": 1e999}}', 400, "body"),
    "more digits than anybody reads": (b"[" + b"9" * 5000 + b"]", 400, "body"),
    "a name twice": (b'{"workflow": "article", "workflow": "asking"}', 400, "body"),
    "a name twice, after many": (b'{"input": {' + MANY + b'"n79999":0}}', 400, "body"),
    "half a pair": (b'{"workflow": "\\ud800"}', 400, "body"),
    "no UTF-8": (b'{"workflow": "\xff"}', 400, "body"),
    "too deep": (b'{"workflow": "article", "input": ' + b'{"a": ' * 200 + b"1" + b"}" * 201, 400, "body"),
    "far too deep": (b"[" * 400_000, 400, "body"),
    "no object": (b"[]", 422, "body"),
    "an unknown field": (b'{"workflow": "article", "inputs": {}}', 422, "body.inputs"),
    "a wrong type": (b'{"workflow": 5}', 422, "body.workflow"),
    "nothing": (b"", 400, "body"),
    "an unknown key": (b'{"workflow": "article", "input": {"topik": "a"}}', 422, "body.input.topik"),
    "a value of a wrong type": (b'{"workflow": "article", "input": {"topic": 5}}', 422, "body.input.topic"),
    "an unknown workflow": (b'{"workflow": "articel"}', 404, "body.workflow"),
    "a NUL in a name": (b'{"workflow": "article", "thread": "a\\u0000b"}', 422, "body.thread"),
    "a budget below 0": (b'{"workflow": "article", "budget": {"tokens": -1}}', 422, "body.budget.tokens"),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_does_not_fit_is_refused_with_its_field(service: Served, name: str) -> None:
    body, status, field = BODIES[name]
    got = service.client.post("/v1/runs", content=body, headers={"content-type": "application/json"})
    found = problem(got, status)
    assert found["errors"][0]["field"] == field
    assert not re.search("Traceback|StartRun|dictionary|sys[.]set", got.text)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"workflow": "article", "inputs": {}}, "did you mean `input`?"),
        ({"workflow": "article", "queue": 1}, "there is `workflow`, `input`, `thread`, `context`,"),
        ({"workflow": "article", "budget": {"model_cals": 1}}, "did you mean `model_calls`?"),
    ],
)
def test_who_asks_for_what_is_not_known_is_told_what_is(service: Served, body: Any, words: str) -> None:
    assert words in problem(service.client.post("/v1/runs", json=body), 422)["errors"][0]["message"]
    (parameter,) = problem(service.client.get("/v1/runs?threads=t"), 422)["errors"]
    assert "did you mean `thread`?" in parameter["message"]


def test_a_body_that_is_compressed_is_refused_as_such(service: Served) -> None:
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    got = service.client.post("/v1/runs", content=gzip.compress(json.dumps(ASKED).encode()), headers=headers)
    assert problem(got, 415)["errors"][0]["field"] == "header.Content-Encoding"


def test_a_body_of_another_type_is_refused(service: Served) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        got = service.client.post("/v1/runs", content=json.dumps(ASKED), headers={"content-type": kind})
        problem(got, 415)


def test_a_body_that_is_too_large_is_refused_before_it_is_read(service: Served) -> None:
    with _connected(service) as line:
        line.sendall(_head(service, "POST", "/v1/runs", "Content-Length: 52428800"))
        assert _status(line) == 413


def test_a_body_that_grows_too_large_is_refused(service: Served) -> None:
    def parts() -> Iterator[bytes]:
        yield b'{"workflow": "'
        for _ in range(200):
            yield b"a" * 10_000

    try:
        got = service.client.post("/v1/runs", content=parts(), headers={"content-type": "application/json"})
    except httpx.WriteError:
        return  # it hung up while we were still sending
    problem(got, 413)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": "0"}, "query.limit"),
        ({"limit": "many"}, "query.limit"),
        ({"status": "lost"}, "query.status"),
        ({"before": "../.."}, "query.before"),
        ({"thread": "a\x00"}, "query.thread"),
        ({"unknown": "1"}, "query.unknown"),
        ([("limit", "1"), ("limit", "2")], "query.limit"),
    ],
)
def test_a_parameter_that_does_not_fit_is_refused_with_its_name(
    service: Served, query: Any, field: str
) -> None:
    assert problem(service.client.get("/v1/runs", params=query), 422)["errors"][0]["field"] == field


@pytest.mark.parametrize(
    "path",
    [
        "/v1/runs/../../etc/passwd", "/v1/runs/%2e%2e%2f%2e%2e", "/v1/runs/' OR 1=1", "/v1/runs/%00", "/v1/nothing",
        "/v1/workflows/..%2f..%2fetc%2fpasswd", "/v1/workflows/%ff", "/v1/runs/" + "a" * 32, "//", "/static/../app.py",
    ],
)  # fmt: skip
def test_a_path_in_a_name_leads_nowhere(service: Served, path: str) -> None:
    with _connected(service) as line:
        line.sendall(_head(service, "GET", path.replace(" ", "%20")))
        assert _status(line) == 404


def test_a_method_that_is_not_known_says_which_are(service: Served) -> None:
    got = service.client.request("DELETE", "/v1/runs")
    problem(got, 405)
    assert set(got.headers["allow"].split(", ")) == {"GET", "HEAD", "POST"}


def test_a_client_that_asks_too_often_is_told_when_to_come_back(serve: Serve) -> None:
    service = serve("--rate", "0.5")
    got = [service.client.get("/v1/workflows") for _ in range(30)]
    refused = [each for each in got if each.status_code == 429]
    assert refused
    assert int(refused[0].headers["retry-after"]) >= 1
    other = {"authorization": f"Bearer {OTHER}"}
    assert service.client.get("/v1/workflows", headers=other).status_code == 200


def test_a_client_has_so_many_runs_and_no_more(serve: Serve) -> None:
    service = serve("--client-runs", "2", "--queue", "3", "--runs", "1")
    (service.folder / "hold full").touch()
    for number in range(2):
        service.start(topic=f"full {number}")
    got = service.client.post("/v1/runs", json={**ASKED, "input": {"topic": "full"}})
    assert problem(got, 429)["type"] == "urn:dalsegno:too-many-runs"
    assert got.headers["retry-after"] == "5"
    other = {"authorization": f"Bearer {OTHER}"}
    assert service.client.post("/v1/runs", json=ASKED, headers=other).status_code == 202
    (service.folder / "hold full").unlink()


def test_a_queue_that_is_full_is_told(serve: Serve) -> None:
    service = serve("--queue", "2", "--runs", "1")
    (service.folder / "hold queue").touch()
    service.ended(service.start(topic="queue 0")["run_id"], "running")
    for number in (1, 2):
        service.start(topic=f"queue {number}")
    got = service.client.post("/v1/runs", json={**ASKED, "input": {"topic": "queue"}})
    assert problem(got, 503)["type"] == "urn:dalsegno:queue-full"
    assert got.headers["retry-after"] == "10"
    (service.folder / "hold queue").unlink()


def test_clients_that_do_not_go_on_are_let_go_and_hold_nobody_up(serve: Serve) -> None:
    service = serve("--patience", "2")
    with _connected(service) as silent, _connected(service) as slow, _connected(service) as half:
        slow.sendall(b"GET /health HTTP/1.1\r\nHost: ")
        half.sendall(_head(service, "POST", "/v1/runs", "Content-Length: 1000") + b'{"workflow"')
        assert service.client.get("/health").status_code == 200
        assert _status(half) == 408
        assert silent.recv(100) == b""
        assert b"200" not in slow.recv(100)


def test_a_client_that_takes_nothing_of_a_stream_holds_nobody_up(service: Served) -> None:
    run_id = service.start("asking", "slow reader")["run_id"]
    with _connected(service) as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        line.sendall(_head(service, "GET", f"/v1/runs/{run_id}/events"))
        began = time.monotonic()
        for number in range(3):
            service.ended(service.start(topic=f"beside {number}")["run_id"])
        assert time.monotonic() - began < 60


def test_a_service_that_others_reach_needs_a_token(tmp_path: Path, serve: Serve) -> None:
    service = serve("--host", "0.0.0.0", token=None, up=False)
    assert service.process.wait() == 2
    assert "there is no token" in service.log.read_text()


def _head(service: Served, method: str, path: str, *more: str) -> bytes:
    host = urlsplit(service.address).netloc
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", f"Authorization: Bearer {TOKEN}", *more]
    return "\r\n".join([*lines, "Content-Type: application/json", "", ""]).encode()


@contextmanager
def _connected(service: Served) -> Iterator[socket.socket]:
    where = urlsplit(service.address)
    with socket.create_connection((where.hostname, where.port), timeout=60) as line:
        yield line


def _status(line: socket.socket) -> int:
    got = b""
    while b"\r\n" not in got:
        part = line.recv(1000)
        assert part, "the connection ended without an answer"
        got += part
    return int(got.split(b" ")[1])
