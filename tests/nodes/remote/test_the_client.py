"""One client a process and event loop: its connections, what goes with each request, and how it ends."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypedDict

import pytest
from pydantic import SecretStr

from dalsegno import END, START, Fallback, RetryPolicy, Runner, Workflow
from dalsegno.errors import DefinitionError, RemoteStatus, RemoteTimeout, RemoteUnreachable
from dalsegno.nodes import current_execution
from dalsegno.nodes.policies import ManualClock
from dalsegno.nodes.remote import remote
from dalsegno.nodes.remote.clients import clients

ROOT = Path(__file__).parents[3]
UNTIMED = """
import logging  # with -X dev asyncio also tells of each step that took long, as the first import does here and there
logging.getLogger("asyncio").addFilter(lambda record: not record.msg.startswith("Executing "))"""


class State(TypedDict, total=False):
    question: str
    answer: Any
    more: Any


def player(server: Any, **options: Any) -> Any:
    url = server if isinstance(server, str) else server.url
    return remote(url, "answer", **{"writes": "answer", "allow_private": True, "timeout": 10, **options})


def one_node(node: Any, **options: Any) -> Workflow:
    return (
        Workflow("asking", State).add_node("ask", node, **options).add_edge(START, "ask").add_edge("ask", END)
    )


def test_calls_one_after_the_other_share_a_connection(agent: Any) -> None:
    server = agent()
    for _ in range(3):
        player(server).invoke({})

    async def three() -> None:
        for _ in range(3):
            await player(server).ainvoke({})

    asyncio.run(three())
    assert (len(server.requests), server.connections) == (6, 2)


def test_calls_from_many_threads_share_the_connections(agent: Any) -> None:
    server = agent()
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: player(server).invoke({}), range(40)))
    assert answers == [{"answer": "an answer"}] * 40
    assert server.connections <= 8


def test_event_loops_of_other_threads_may_begin_meanwhile() -> None:
    came: list[asyncio.AbstractEventLoop] = []

    def come() -> None:
        came.append(asyncio.new_event_loop())
        came[-1].run_until_complete(clients())

    class Asked(asyncio.SelectorEventLoop):
        """While somebody asks whether it is closed, another one comes."""

        is_alone = False

        def is_closed(self) -> bool:
            if self.is_alone:
                self.is_alone = False
                with ThreadPoolExecutor(1) as threads:
                    threads.submit(come).result()
            return super().is_closed()

    there = [Asked() for _ in range(3)]
    for loop in there:
        loop.run_until_complete(clients())
    for loop in there:
        loop.is_alone = True
    assert asyncio.run(clients()) is not None
    assert len(came) == 3
    for loop in there + came:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def test_no_more_connections_than_are_allowed_and_every_call_has_its_turn(
    agent: Any, say: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dalsegno.nodes.remote.connections.CONNECTIONS", 3)
    lock, now, most = threading.Lock(), 0, 0

    def answer(request: Any, _: Any) -> bytes:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        threading.Event().wait(0.002)
        with lock:
            now -= 1
        return say.result(request, 1)

    server = agent(answer)

    async def many() -> None:
        await asyncio.gather(*(player(server).ainvoke({}) for _ in range(30)))

    asyncio.run(many())
    assert (len(server.requests), server.connections, most) == (30, 3, most)
    assert most <= 3


def test_waiting_for_a_connection_counts_as_the_calls_time(
    agent: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dalsegno.nodes.remote.connections.CONNECTIONS", 1)
    server = agent()
    server.answer = lambda *_: server.closing.wait()

    async def two() -> list[Any]:
        calls = (player(server, timeout=0.2).ainvoke({}) for _ in range(2))
        return await asyncio.gather(*calls, return_exceptions=True)

    assert [type(error) for error in asyncio.run(two())] == [RemoteTimeout] * 2


def test_a_call_that_is_cancelled_gives_its_turn_back(
    agent: Any, say: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dalsegno.nodes.remote.connections.CONNECTIONS", 1)
    came = threading.Event()
    server = agent()

    def answer(request: Any, _: Any) -> Any:
        if came.is_set():
            return say.result(request, "the second")
        came.set()
        server.closing.wait()
        return None

    server.answer = answer

    async def cancelled() -> Any:
        first = asyncio.ensure_future(player(server).ainvoke({}))
        assert await asyncio.to_thread(came.wait, 10)
        first.cancel()
        return await player(server).ainvoke({})

    assert asyncio.run(cancelled()) == {"answer": "the second"}


def test_a_connection_that_the_agent_has_closed_meanwhile_is_not_used(agent: Any, ask: Any, say: Any) -> None:
    server = agent(lambda request, _: say.http("{}", Connection="close"))
    for _ in range(2):
        with pytest.raises(Exception, match="JSON-RPC"):
            ask(server)
    assert server.connections == 2


def test_sync_callers_may_have_a_running_loop(agent: Any) -> None:
    server = agent()

    async def inside() -> Any:
        return player(server).invoke({})

    assert asyncio.run(inside()) == {"answer": "an answer"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_has_connections_of_its_own(agent: Any) -> None:
    server = agent()
    player(server).invoke({})
    heard, told = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.write(told, player(server).invoke({})["answer"].encode())
        finally:
            os._exit(0)
    os.close(told)
    with os.fdopen(heard, "rb") as stream:
        assert stream.read() == b"an answer"
    os.waitpid(pid, 0)
    assert player(server).invoke({}) == {"answer": "an answer"}
    assert (len(server.requests), server.connections) == (3, 2)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_the_end_of_a_forked_child_leaves_its_parents_event_loop_alone(agent: Any) -> None:
    server = agent(lambda request, _: result_and_close(request))
    program = f"""{UNTIMED}
import os, sys
from dalsegno.nodes.remote import remote
url = {server.url.replace("127.0.0.1", "localhost")!r}
player = remote(url, "answer", writes="answer", allow_private=True, timeout=10)
player.invoke({{}})
pid = os.fork()
if not pid:
    sys.exit()
os.waitpid(pid, 0)
print(player.invoke({{}}))
"""
    # Python 3.12 and newer warn of every fork beside a thread; this one is meant.
    command = [sys.executable, "-X", "dev", "-W", "ignore:This process:DeprecationWarning", "-c", program]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert (done.stdout, done.stderr) == ("{'answer': 1}\n", "")


def result_and_close(request: Any) -> bytes:
    """An answer after which a new connection is needed, and so another look at the name's addresses."""
    body = json.dumps({"jsonrpc": "2.0", "id": request.rpc["id"], "result": 1}).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
    return head + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


def test_a_process_ends_without_a_word_about_what_is_open(agent: Any) -> None:
    server = agent()
    program = f"""{UNTIMED}
import asyncio, threading
from dalsegno.nodes.remote import remote
player = remote({server.url!r}, "answer", writes="answer", allow_private=True)
print(player.invoke({{}}), asyncio.run(player.ainvoke({{}})), player.invoke({{}}))
"""
    command = [sys.executable, "-X", "dev", "-W", "error::ResourceWarning", "-c", program]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert (done.stdout, done.stderr) == (" ".join(["{'answer': 'an answer'}"] * 3) + "\n", "")


def test_a_process_ends_while_an_agent_keeps_it_waiting(agent: Any) -> None:
    server = agent()
    server.answer = lambda *_: server.closing.wait()
    program = f"""
import threading, time
from dalsegno.nodes.remote import remote
player = remote({server.url!r}, "answer", writes="answer", allow_private=True)
threading.Thread(target=player.invoke, args=({{}},), daemon=True).start()
time.sleep(0.3)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0


def test_headers_go_with_every_call_and_can_be_renewed(agent: Any, ask: Any) -> None:
    tokens = iter(["one", "two"])
    server = agent()
    ask(server, headers={"Authorization": SecretStr("Bearer x"), "X-Team": "music"})
    assert server.requests[0].headers["authorization"] == "Bearer x"
    assert server.requests[0].headers["x-team"] == "music"
    node = player(server, headers=lambda: {"Authorization": f"Bearer {next(tokens)}"})
    node.invoke({})
    node.invoke({})
    assert [r.headers["authorization"] for r in server.requests[1:]] == ["Bearer one", "Bearer two"]
    assert "Bearer" not in repr(node) + repr(vars(node)["_access"])


def test_cookies_are_not_kept(agent: Any, say: Any) -> None:
    server = agent(lambda request, _: say.http("{}", Set_Cookie="session=1; Path=/"))
    for _ in range(2):
        with pytest.raises(Exception, match="JSON-RPC"):
            player(server).invoke({})
    assert all("cookie" not in request.headers for request in server.requests)


def test_the_environments_proxy_is_not_asked(agent: Any, ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert ask(agent()) == {"answer": "an answer"}


def test_outside_of_a_run_there_is_no_idempotency_key(agent: Any, ask: Any) -> None:
    server = agent()
    ask(server)
    one_node(player(server)).compile().invoke({})
    assert all("idempotency-key" not in request.headers for request in server.requests)


@pytest.mark.parametrize("way", ["run", "arun"])
def test_every_attempt_of_an_execution_sends_the_same_key_and_no_other_execution_does(
    agent: Any, say: Any, tmp_path: Path, way: str
) -> None:
    def answer(request: Any, _: Any) -> bytes:
        if len(server.requests) % 2:
            return say.http("busy", status="503 Service Unavailable", kind="text/plain", Retry_After="3")
        return say.result(request, "late")

    server = agent(answer)
    clock = ManualClock()
    flow = one_node(player(server), retry=RetryPolicy(max_attempts=2, jitter=False, clock=clock))
    with Runner(flow, db=str(tmp_path / "runs.db")) as runner:
        for thread in ("one", "two"):
            result = (
                runner.run({}, thread=thread) if way == "run" else asyncio.run(runner.arun({}, thread=thread))
            )
            assert result.output["answer"] == "late"
    keys = [request.headers["idempotency-key"] for request in server.requests]
    assert keys[0] == keys[1] != keys[2] == keys[3]
    assert clock.slept == [3, 3]


def test_the_key_is_that_of_the_execution_and_further_requests_in_it_are_numbered(
    agent: Any, tmp_path: Path
) -> None:
    server = agent()
    asked = player(server)
    expected = []

    def twice(state: State) -> Any:
        execution = current_execution()
        assert execution is not None
        expected.append(execution.idempotency_key)
        return {**asked.invoke(state), "more": asked.invoke(state)["answer"]}

    with Runner(one_node(twice), db=str(tmp_path / "runs.db")) as runner:
        runner.run({})
    assert [r.headers["idempotency-key"] for r in server.requests] == [expected[0], f"{expected[0]}-2"]


@pytest.mark.parametrize("policy", [RetryPolicy, None])
def test_what_will_not_help_is_not_tried_again(agent: Any, say: Any, tmp_path: Path, policy: Any) -> None:
    from langgraph.types import RetryPolicy as Native

    server = agent(lambda *_: say.http("no", status="403 Forbidden", kind="text/plain"))
    retry = (policy or Native)(max_attempts=3, initial_interval=0.001, jitter=False)
    with Runner(one_node(player(server), retry=retry), db=str(tmp_path / "runs.db")) as runner:
        assert runner.run({}).error["type"] == "RemoteStatus"
    assert len(server.requests) == 1


def test_a_policy_that_names_the_error_tries_it_again_all_the_same(
    agent: Any, say: Any, tmp_path: Path
) -> None:
    server = agent(lambda *_: say.http("no", status="403 Forbidden", kind="text/plain"))
    retry = RetryPolicy(max_attempts=3, retry_on=RemoteStatus, clock=ManualClock())
    with Runner(one_node(player(server), retry=retry), db=str(tmp_path / "runs.db")) as runner:
        runner.run({})
    assert len(server.requests) == 3


def test_an_agent_can_stand_in_for_another(agent: Any, say: Any, tmp_path: Path) -> None:
    broken, other = agent(lambda *_: say.http("no", status="500 Oh", kind="text/plain")), agent()
    flow = one_node(player(broken), fallback=Fallback(player(other)))
    with Runner(flow, db=str(tmp_path / "runs.db")) as runner:
        assert runner.run({}).output["answer"] == "an answer"


def test_the_current_span_goes_with_the_request(agent: Any, ask: Any) -> None:
    from opentelemetry import baggage, context, trace
    from opentelemetry.sdk.trace import TracerProvider

    server = agent()
    ask(server)
    with TracerProvider().get_tracer("test").start_as_current_span("asking") as span:
        token = context.attach(baggage.set_baggage("customer", "4711"))
        ask(server)
        context.detach(token)
    without, within = (request.headers for request in server.requests)
    assert "traceparent" not in without
    assert (
        f"{span.get_span_context().trace_id:032x}-{span.get_span_context().span_id:016x}"
        in within["traceparent"]
    )
    assert "baggage" not in within
    assert trace is not None


def certificate(folder: Path, host: str, *, days: int = 1) -> tuple[str, str]:
    """A self-signed certificate and its key."""
    import datetime
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    now = datetime.datetime.now(datetime.UTC)
    ends = now + datetime.timedelta(days=days)
    try:
        alternative: Any = x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        alternative = x509.DNSName(host)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(now, ends) - datetime.timedelta(days=1))
        .not_valid_after(ends)
        .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / f"{host}.pem", folder / f"{host}.key"
    paths[0].write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    )
    return str(paths[0]), str(paths[1])


def secured(agent: Any, cert: tuple[str, str]) -> Any:
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*cert)
    return agent(tls=context)


def test_a_certificate_that_nobody_vouches_for_is_an_error_that_is_not_retried(
    agent: Any, ask: Any, tmp_path: Path
) -> None:
    server = secured(agent, certificate(tmp_path, "127.0.0.1"))
    with pytest.raises(RemoteUnreachable, match=r"not trusted \(self-signed certificate\)") as caught:
        ask(server)
    assert (caught.value.reason, caught.value.retryable) == ("certificate", False)
    assert not server.requests


@pytest.mark.parametrize(
    ("host", "days", "why"), [("other.example.org", 1, "IP address mismatch"), ("127.0.0.1", -1, "expired")]
)
def test_a_certificate_of_another_host_or_time_is_an_error(
    agent: Any, ask: Any, tmp_path: Path, host: str, days: int, why: str
) -> None:
    cert = certificate(tmp_path, host, days=days)
    with pytest.raises(RemoteUnreachable, match=why):
        ask(secured(agent, cert), ca=cert[0])


def test_an_authority_of_ones_own_can_be_named(agent: Any, ask: Any, tmp_path: Path) -> None:
    cert = certificate(tmp_path, "127.0.0.1")
    assert ask(secured(agent, cert), ca=cert[0]) == {"answer": "an answer"}
    with pytest.raises(Exception, match="no certificates to be read"):
        ask(secured(agent, cert), ca=str(tmp_path / "none.pem"))


def test_what_speaks_no_tls_is_told(agent: Any, ask: Any) -> None:
    with pytest.raises(RemoteUnreachable, match="SSL"):
        ask(agent().url.replace("http:", "https:"))


def test_a_name_without_an_address_is_told(ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nothing)
    with pytest.raises(RemoteUnreachable, match=r"agents\.example\.org has no address") as caught:
        ask("http://agents.example.org/rpc")
    assert caught.value.reason == "no such name"


@pytest.mark.parametrize(
    "url", ["http://xn--a/rpc", "http://256.256.256.256/rpc", "http://[v1.a]/rpc", f"http://a/{'x' * 70_000}"]
)
def test_an_address_that_nobody_can_read_is_told(ask: Any, url: str) -> None:
    with pytest.raises(DefinitionError, match="is no address that can be asked") as caught:
        ask(url)
    assert len(str(caught.value)) < 400


def test_what_is_secret_in_an_address_is_not_in_the_clients_log(
    agent: Any, ask: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    server = agent()
    assert ask(f"{server.url}?key=sesame")["answer"] == "an answer"
    assert server.requests[0].path == "/rpc?key=sesame"
    assert f"POST {server.url} " in caplog.text
    assert "sesame" not in caplog.text
