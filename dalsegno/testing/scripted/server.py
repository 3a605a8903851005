"""`ScriptedServer`: an HTTP server that speaks OpenAI's chat completions from a script, for tests of real clients."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from langchain_core.messages import BaseMessage, convert_to_messages

from dalsegno.testing.scripted.answers import Played, played, words
from dalsegno.testing.scripted.calls import Call, Script
from dalsegno.testing.scripted.entries import Cut, HttpError, Malformed, is_function
from dalsegno.testing.scripted.wire import completion, conversation, events, failure, server_sent

_PART = 64
"""Bytes of a slow plain body that are sent at once."""


@dataclass(frozen=True)
class Request(Call):
    """One request of a client: a `Call`, with the whole JSON body and the headers (names in lower case)."""

    body: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def stream(self) -> bool:
        """Whether the client asked for a stream."""
        return bool(self.body.get("stream"))


class ScriptedServer:
    """OpenAI's chat completions API on 127.0.0.1, answered from a script.

    Give a client `server.url` as its base URL and any key. The script is that of a `ScriptedChatModel`, with
    `HttpError(429, retry_after=1)`, `Cut(...)` and `Malformed(...)` where a model would raise.

    Parameters
    ----------
    script, then, ordered, count_tokens
        As of `ScriptedChatModel`. A request that a client repeats takes the next entry.

    A request that is not as the script says is answered with status 400 and the reason, which OpenAI's client does not
    repeat; `assert_done` and the end of the `with` raise it again. Latencies and pauses end when the server closes.

    Examples
    --------
    >>> import httpx
    >>> with ScriptedServer(["Hello."]) as server:
    ...     body = {"model": "any", "messages": [{"role": "user", "content": "Hi"}]}
    ...     answer = httpx.post(f"{server.url}/chat/completions", json=body, trust_env=False).json()
    >>> answer["choices"][0]["message"]["content"]
    'Hello.'
    """

    def __init__(
        self,
        script: Iterable[Any],
        *,
        then: Any = None,
        ordered: bool = True,
        count_tokens: Callable[[str], int] | None = words,
    ) -> None:
        self._script = Script(script, then=then, ordered=ordered, server=True)
        self._count = count_tokens
        self._closing = threading.Event()
        self._server = _Server(self)
        self._thread = threading.Thread(
            target=partial(self._server.serve_forever, poll_interval=0.01),
            name="scripted server",
            daemon=True,
        )
        self._thread.start()

    @property
    def url(self) -> str:
        """The base URL for clients."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    @property
    def requests(self) -> tuple[Request, ...]:
        """Every request until now that asked for a completion."""
        return tuple(call for call in self._script.calls if isinstance(call, Request))

    def assert_done(self) -> None:
        """Raise `ScriptNotFollowed` if answers are left over, or if a request was not as the script says."""
        self._script.assert_done()

    def close(self) -> None:
        """Stop at once: answers under way are cut."""
        self._closing.set()
        self._server.shutdown()
        self._server.cut()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self.close()
        if kind is None:
            self.assert_done()

    def _wait(self, seconds: float) -> None:
        """Wait as long as the script says; cut when the server closes meanwhile."""
        if seconds and self._closing.wait(seconds):
            raise _Closed

    def _answer(
        self, body: Mapping[str, Any], messages: tuple[BaseMessage, ...], headers: Mapping[str, str]
    ) -> tuple[Call, Played]:
        """What the script answers. Raises `ScriptNotFollowed`, or what an `expect` raises."""
        rest = {key: value for key, value in body.items() if key not in ("messages", "tools", "stream")}
        tools = tuple(body.get("tools") or ())
        call, reply = self._script.take(lambda number: Request(number, messages, tools, rest, body, headers))
        try:
            while True:
                self._wait(reply.latency)
                if not is_function(reply.answer):
                    break
                reply = self._script.follow(call, reply, reply.answer(list(call.messages)))  # type: ignore[operator]
            return call, played(self._script, call, reply, model_name=str(body["model"]), count=self._count)
        except _Closed:
            raise
        except Exception as error:
            raise self._script.failed(error, call) from error


class _Closed(Exception):
    """The server closes in the middle of an answer."""


class _Server(ThreadingHTTPServer):
    """The sockets: it knows its connections, so that closing does not wait for clients that keep them open."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, owner: ScriptedServer) -> None:
        self.owner = owner
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)

    def server_bind(self) -> None:
        # HTTPServer's own asks the name server who 127.0.0.1 is.
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that is gone is no error, nor is an answer that the end of the server cuts."""
        if not isinstance(sys.exception(), ConnectionError | _Closed):
            super().handle_error(request, client_address)

    def cut(self) -> None:
        with self._lock:
            for connection in self._open:
                _shut(connection)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is printed."""

    def do_GET(self) -> None:
        self._refuse(HttpError(404, f"{self.path} is not spoken here: POST /v1/chat/completions."))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.partition("?")[0] not in ("/v1/chat/completions", "/chat/completions"):
            hint = " Pass use_responses_api=False to ChatOpenAI." if self.path.endswith("/responses") else ""
            self._refuse(HttpError(404, f"{self.path} is not spoken here: POST /v1/chat/completions.{hint}"))
            return
        try:
            asked = json.loads(body)
            messages = tuple(convert_to_messages(conversation(asked)))
            str(asked["model"])
        except Exception as error:
            self._refuse(HttpError(400, f"This is no request for a chat completion: {error!r}"))
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            call, answer = self.server.owner._answer(asked, messages, headers)
        except _Closed:
            raise
        except Exception as error:
            self._refuse(HttpError(400, str(error), code="script_not_followed"))
        else:
            if isinstance(answer.broken, HttpError):
                self._refuse(answer.broken)
            elif asked.get("stream"):
                self._stream(call, answer, asked)
            else:
                self._plain(call, answer, asked)

    def _plain(self, call: Call, answer: Played, asked: Mapping[str, Any]) -> None:
        broken = answer.broken
        body = json.dumps(completion(answer.message, call.number, asked["model"])).encode()
        if isinstance(broken, Malformed):
            body = broken.text.encode()
        if isinstance(broken, Cut) and not broken.after:
            self._cut()
            return
        self._head(200, {"Content-Type": "application/json", "Content-Length": str(len(body))})
        if isinstance(broken, Cut):
            self.wfile.write(body[: len(body) // 2])
            self._cut()
        elif answer.pause:
            for start in range(0, len(body), _PART):
                self.server.owner._wait(answer.pause if start else 0.0)
                self.wfile.write(body[start : start + _PART])
        else:
            self.wfile.write(body)

    def _stream(self, call: Call, answer: Played, asked: Mapping[str, Any]) -> None:
        self._head(200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"})
        for number, event in enumerate(_events(call, answer, asked)):
            if number:
                self.server.owner._wait(answer.pause)
            if event is None:
                self._cut()
                return
            self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
        self.wfile.write(b"0\r\n\r\n")

    def _refuse(self, error: HttpError) -> None:
        body = json.dumps(failure(error)).encode()
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **error.headers}
        if error.retry_after is not None:
            headers["Retry-After"] = f"{error.retry_after:.15g}"
        self._head(error.status, headers)
        self.wfile.write(body)

    def _head(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _cut(self) -> None:
        self.close_connection = True
        _shut(self.connection)


def _events(call: Call, answer: Played, asked: Mapping[str, Any]) -> Iterator[bytes | None]:
    """The body of a stream, event by event; None is where the connection is cut."""
    usage = bool((asked.get("stream_options") or {}).get("include_usage"))
    broken = answer.broken
    left = broken.after if isinstance(broken, Cut | Malformed) else None
    left = left + 1 if left else left  # the first event, which says only who speaks, is not counted
    for number, event in enumerate(events(answer.message, call.number, asked["model"], usage=usage)):
        if number == left:
            break
        yield server_sent(event)
    if isinstance(broken, Cut):
        yield None
        return
    if isinstance(broken, Malformed):
        yield server_sent(broken.text)
    yield server_sent("[DONE]")


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the client was faster
        connection.shutdown(socket.SHUT_RDWR)
