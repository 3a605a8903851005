"""Nobody leads a workflow to what is inside: by a number, a name, a name that changes, or a user in the URL."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from dalsegno.errors import AddressRefused, DefinitionError, RemoteUnreachable
from dalsegno.nodes.remote import remote
from dalsegno.nodes.remote.addresses import guard_of

INSIDE = [
    ("127.0.0.1", "loopback"),
    ("127.9.9.9", "loopback"),
    ("0.0.0.0", "loopback"),
    ("::1", "loopback"),
    ("::", "loopback"),
    ("10.1.2.3", "private"),
    ("172.16.0.1", "private"),
    ("192.168.1.1", "private"),
    ("100.64.0.1", "private"),
    ("198.18.0.1", "private"),
    ("fd12::1", "private"),
    ("fec0::1", "private"),
    ("2001:db8::1", "private"),
    ("169.254.7.7", "link-local"),
    ("fe80::1", "link-local"),
    ("fe80::1%eth0", "link-local"),
    ("::ffff:127.0.0.1", "loopback"),
    ("::ffff:10.0.0.1", "private"),
    ("::127.0.0.1", "loopback"),
    ("64:ff9b::7f00:1", "loopback"),
    ("64:ff9b:1::a00:1", "private"),
    ("2002:7f00:1::", "loopback"),
]
NEVER = [
    ("169.254.169.254", "metadata"),
    ("::ffff:169.254.169.254", "metadata"),
    ("fd00:ec2::254", "metadata"),
    ("100.100.100.200", "metadata"),
    ("168.63.129.16", "metadata"),
    ("224.0.0.1", "multicast"),
    ("ff02::1", "multicast"),
    ("240.0.0.1", "reserved"),
    ("255.255.255.255", "reserved"),
    ("5f00::1", "reserved"),
]
TEREDO = "2001:0:7f00:1::"


@pytest.mark.parametrize(("address", "what"), INSIDE)
def test_what_is_inside_is_refused_unless_it_is_allowed(address: str, what: str) -> None:
    assert guard_of(False).refuses("agents.example.org", address) == what
    assert guard_of(True).refuses("agents.example.org", address) is None
    assert guard_of(["agents.example.org"]).refuses("agents.example.org", address) is None
    assert guard_of(["other.example.org"]).refuses("agents.example.org", address) == what


@pytest.mark.parametrize(("address", "what"), NEVER)
def test_what_nobody_means_is_refused_unless_it_is_named_by_its_address(address: str, what: str) -> None:
    assert guard_of(True).refuses("agents.example.org", address) == what
    assert guard_of(["agents.example.org"]).refuses("agents.example.org", address) == what
    assert guard_of([address.removeprefix("::ffff:")]).refuses("agents.example.org", address) is None


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::"]
)
def test_public_addresses_are_allowed(address: str) -> None:
    assert guard_of(False).refuses("agents.example.org", address) is None


def test_networks_and_patterns_of_hosts_can_be_allowed() -> None:
    guard = guard_of(["10.0.0.0/8", "*.internal", "fd00::/8"])
    assert guard.refuses("anything", "10.255.0.1") is None
    assert guard.refuses("anything", "fd00::7") is None
    assert guard.refuses("anything", "192.168.0.1") == "private"
    assert guard.refuses("agents.internal", "192.168.0.1") is None
    assert guard.refuses("Agents.Internal.", "192.168.0.1") is None
    assert guard.refuses("internal", "192.168.0.1") == "private"
    assert guard.refuses("agentsinternal", "192.168.0.1") == "private"


@pytest.mark.parametrize("entry", ["10.0.0/8", "http://a", "a b", "", "10.0.0.0/99", "*", 7])
def test_what_is_no_host_and_no_network_cannot_be_allowed(entry: Any) -> None:
    with pytest.raises(DefinitionError, match="a host"):
        guard_of([entry])


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "[::1]",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "0",
        "0.0.0.0",
        "169.254.169.254",
        "[fe80::1]",
    ],
)
def test_a_private_address_in_the_url_is_refused_where_it_is_written(host: str) -> None:
    with pytest.raises(AddressRefused, match="refused") as caught:
        remote(f"http://{host}:8000/rpc", "answer", writes="answer")
    assert "allow_private=" in str(caught.value)


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """A name server that answers these, one a question; what it was asked."""
    asked: list[str] = []
    given = iter(answers)

    def getaddrinfo(host: Any, port: Any, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        kinds = [(socket.AF_INET6 if ":" in address else socket.AF_INET, address) for address in next(given)]
        return [(kind, socket.SOCK_STREAM, 6, "", (address, port)) for kind, address in kinds]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def test_a_name_that_means_what_is_inside_is_refused(agent: Any, ask: Any, monkeypatch: Any) -> None:
    server = agent()
    resolving(monkeypatch, ["127.0.0.1"])
    with pytest.raises(
        AddressRefused, match=r"agents\.example\.org \(127\.0\.0\.1\), a loopback address"
    ) as caught:
        ask(f"http://agents.example.org:{server.port}/rpc", allow_private=False)
    assert (caught.value.host, caught.value.address) == ("agents.example.org", "127.0.0.1")
    assert not caught.value.retryable
    assert server.connections == 0


def test_one_private_address_among_public_ones_is_enough_to_refuse(
    agent: Any, ask: Any, monkeypatch: Any
) -> None:
    server = agent()
    resolving(monkeypatch, ["93.184.216.34", "127.0.0.1"])
    with pytest.raises(AddressRefused):
        ask(f"http://agents.example.org:{server.port}/rpc", allow_private=False)
    assert server.connections == 0


def test_the_address_that_was_checked_is_the_one_that_is_connected_to(
    agent: Any, ask: Any, monkeypatch: Any
) -> None:
    """A name that changes between the check and the connection: it is asked for once."""
    server = agent()
    asked = resolving(monkeypatch, ["127.0.0.1"], ["127.0.0.66"])
    url = f"http://agents.example.org:{server.port}/rpc"
    assert ask(url, allow_private=["127.0.0.1"]) == {"answer": "an answer"}
    assert asked == ["agents.example.org"]
    assert server.requests[0].headers["host"] == f"agents.example.org:{server.port}"


def test_a_name_in_another_script_is_asked_as_it_is_written_in_ascii(
    agent: Any, ask: Any, monkeypatch: Any
) -> None:
    server = agent()
    asked = resolving(monkeypatch, ["127.0.0.1"])
    url = f"http://xn--bcher-kva.example:{server.port}/rpc"
    assert ask(url, headers={"Authorization": "Bearer of books"}) == {"answer": "an answer"}
    assert asked == ["xn--bcher-kva.example"]
    assert server.requests[0].headers["host"] == f"xn--bcher-kva.example:{server.port}"
    assert server.requests[0].headers["authorization"] == "Bearer of books"


def test_a_name_that_changes_between_two_connections_is_checked_again(
    agent: Any, say: Any, monkeypatch: Any
) -> None:
    server = agent(
        lambda request, _: say.result(request, 1).replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
    )
    resolving(monkeypatch, ["127.0.0.1"], ["127.0.0.66"])
    player = remote(
        f"http://agents.example.org:{server.port}/rpc", "answer", writes="answer", allow_private=["127.0.0.1"]
    )

    async def twice() -> None:
        await player.ainvoke({})
        with pytest.raises(AddressRefused):
            await player.ainvoke({})

    asyncio.run(twice())
    assert server.connections == 1


def test_an_address_that_does_not_answer_is_not_the_only_one_tried(
    agent: Any, ask: Any, monkeypatch: Any
) -> None:
    server = agent()
    resolving(monkeypatch, ["::1", "127.0.0.1"])  # nobody listens on the first
    url = f"http://agents.example.org:{server.port}/rpc"
    assert ask(url) == {"answer": "an answer"}
    server.close()
    resolving(monkeypatch, ["::1", "127.0.0.1"])
    with pytest.raises(RemoteUnreachable):
        ask(url)


def test_a_connection_that_one_agent_may_have_is_not_anothers(agent: Any) -> None:
    server = agent()
    url = server.url.replace("127.0.0.1", "localhost")
    allowed = remote(url, "answer", writes="answer", allow_private=True)
    refused = remote(url, "answer", writes="answer")

    async def both() -> None:
        await allowed.ainvoke({})
        with pytest.raises(AddressRefused):
            await refused.ainvoke({})

    asyncio.run(both())
    assert len(server.requests) == 1
