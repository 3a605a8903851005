"""What a remote agent costs against bare httpx: 1,000 concurrent calls on one pooled client, to a server on loopback in
a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import httpx

from benchmarks.pairing import HEADER, Pair, paired
from dalsegno.nodes.remote import remote
from dalsegno.nodes.remote.connections import CONNECTIONS

CALLS = 1000
IN_TURN = 200
GATE = 1.3
"""How often the time of bare httpx that many remote calls may take."""

_SERVER = r"""
import asyncio, json

class Agent(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.data = transport, b""

    def data_received(self, data):
        self.data += data
        while True:
            head, end, rest = self.data.partition(b"\r\n\r\n")
            size = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
            if not end or len(rest) < size:
                return
            asked, self.data = json.loads(rest[:size]), rest[size:]
            answer = {"jsonrpc": "2.0", "id": asked["id"], "result": asked["params"]["q"]}
            body = json.dumps(answer).encode()
            self.transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            )

async def main():
    server = await asyncio.get_running_loop().create_server(Agent, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"""


@contextlib.contextmanager
def server() -> Iterator[str]:
    """An agent that repeats what it is asked, in a process of its own; its URL."""
    with subprocess.Popen([sys.executable, "-c", _SERVER], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/rpc"
        finally:
            process.kill()


def pairs(rounds: int = 21) -> Iterator[Pair]:
    """Calls with `remote`, and the same requests with httpx as it comes, in turns: at once on one event loop, one after
    the other, and one after the other from sync code."""
    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    with server() as url, asyncio.Runner() as runner, httpx.Client(trust_env=False) as sync:
        player = remote(url, "answer", params={"q": "question"}, writes="answer", allow_private=True)
        client = httpx.AsyncClient(limits=limits, timeout=60, trust_env=False)
        state, expected = {"question": "why?"}, {"answer": "why?"}

        def body(number: int) -> dict[str, Any]:
            return {"jsonrpc": "2.0", "id": number, "method": "answer", "params": {"q": "why?"}}

        async def bare(number: int) -> Any:
            response = await client.post(url, json=body(number))
            return response.raise_for_status().json()["result"]

        async def theirs() -> None:
            answers = await asyncio.gather(*(bare(number) for number in range(CALLS)))
            assert answers == ["why?"] * CALLS

        async def ours() -> None:
            answers = await asyncio.gather(*(player.ainvoke(state) for _ in range(CALLS)))
            assert answers == [expected] * CALLS

        async def theirs_in_turn() -> None:
            for number in range(IN_TURN):
                assert await bare(number) == "why?"

        async def ours_in_turn() -> None:
            for _ in range(IN_TURN):
                assert await player.ainvoke(state) == expected

        def theirs_sync() -> None:
            for number in range(IN_TURN):
                assert sync.post(url, json=body(number)).raise_for_status().json()["result"] == "why?"

        def ours_sync() -> None:
            for _ in range(IN_TURN):
                assert player.invoke(state) == expected

        def run(work: Callable[[], Any]) -> Callable[[], Any]:
            return lambda: runner.run(work())

        try:
            yield paired(
                f"{CALLS:,} calls at once, each", run(ours), run(theirs), per=CALLS, rounds=rounds, gate=GATE
            )
            yield paired(
                "a call after the other", run(ours_in_turn), run(theirs_in_turn), per=IN_TURN, rounds=rounds
            )
            yield paired("the same, sync", ours_sync, theirs_sync, per=IN_TURN, rounds=rounds)
        finally:
            runner.run(client.aclose())


def rows() -> list[str]:
    """The table of the docs."""
    return [HEADER.replace("plain", "httpx"), *(pair.row() for pair in pairs())]


if __name__ == "__main__":
    print(*rows(), sep="\n")
