"""What a remote agent costs against bare httpx: 1,000 concurrent calls on one pooled client, to a server on loopback in
a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx

from benchmarks.pairing import HEADER, Pair, paired
from dalsegno.nodes.remote import remote
from dalsegno.nodes.remote.connections import CONNECTIONS

CALLS = 1000
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


def pair(rounds: int = 21) -> Pair:
    """1,000 calls with `remote`, and the same requests with httpx as it comes, in turns on one event loop."""
    with server() as url, asyncio.Runner() as runner:
        player = remote(url, "answer", params={"q": "question"}, writes="answer", allow_private=True)
        limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
        client = httpx.AsyncClient(limits=limits, timeout=60, trust_env=False)

        async def bare(number: int) -> Any:
            body = {"jsonrpc": "2.0", "id": number, "method": "answer", "params": {"q": "why?"}}
            response = await client.post(url, json=body)
            return response.raise_for_status().json()["result"]

        async def theirs() -> None:
            answers = await asyncio.gather(*(bare(number) for number in range(CALLS)))
            assert answers == ["why?"] * CALLS

        async def ours() -> None:
            state = {"question": "why?"}
            answers = await asyncio.gather(*(player.ainvoke(state) for _ in range(CALLS)))
            assert answers == [{"answer": "why?"}] * CALLS

        name = f"{CALLS:,} concurrent calls, each"
        try:
            return paired(
                name,
                lambda: runner.run(ours()),
                lambda: runner.run(theirs()),
                per=CALLS,
                rounds=rounds,
                gate=GATE,
            )
        finally:
            runner.run(client.aclose())


def rows() -> list[str]:
    """The table of the docs."""
    return [HEADER.replace("plain", "httpx"), pair().row()]


if __name__ == "__main__":
    print(*rows(), sep="\n")
