"""What stands before every route: from where, whose token, how often; and headers that keep browsers careful."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dalsegno.service.limits import Rates, whole_seconds
from dalsegno.service.problems import answer, of_error, refused
from dalsegno.service.settings import Settings
from dalsegno.service.tokens import Tokens

LOOPBACK = ("localhost", "127.0.0.1", "::1")
_READING = ("GET", "HEAD", "OPTIONS")
_HEADERS = {
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cache-control": "no-store",
}

Counted = Callable[[str, str, int, float], None]
"""Called with the method, the route, the status and the seconds of each request."""


class Guard:
    """An ASGI application around another one.

    Parameters
    ----------
    app
        What is guarded.
    tokens
        Whose tokens are accepted; without any, everybody who reaches it may ask.
    settings
        How often each client may ask.
    public
        Paths that need no token.
    hosts
        Where there are no tokens, the names under which the service may be addressed: another name is a page of the
        web that has its own name lead here.
    counted
        Hears of every request.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        tokens: Tokens,
        settings: Settings,
        public: Collection[str],
        hosts: Iterable[str] = LOOPBACK,
        counted: Counted | None = None,
    ) -> None:
        self._app = app
        self._tokens = tokens
        self._public = frozenset(public)
        self._hosts = frozenset(host.casefold() for host in hosts)
        self._rates = Rates(settings.rate, settings.burst)
        self._counted = counted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        began, status = time.perf_counter(), 500

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            refusal = self._refusal(scope)
            await (self._app if refusal is None else refusal)(scope, receive, sent)
        finally:
            if self._counted is not None:
                route = scope.get("dalsegno.route", "other")
                self._counted(scope["method"], route, status, time.perf_counter() - began)

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        """What to answer in place of the route; None where the route answers."""
        headers = Headers(scope=scope)
        is_public = scope["path"] in self._public
        if not self._tokens and not self._is_known(headers.get("host", "")):
            return self._refused(
                403, "other-host", "The service is not addressed by that name; see --allow-host."
            )
        if scope["method"] not in _READING and self._is_foreign(headers):
            return self._refused(403, "other-origin", "A page of another origin may not ask for that.")
        if is_public:
            return None
        address = scope["client"][0] if scope.get("client") else "unknown"
        client = f"anonymous@{address}"
        if self._tokens:
            given = headers.get("authorization")
            client = self._tokens.client(given, basic=scope["method"] in _READING) or ""
            if not client:
                challenge = {
                    "www-authenticate": 'Bearer realm="dalsegno", Basic realm="dalsegno", charset="UTF-8"'
                }
                words = "The token is not known." if given else "Send a token: `Authorization: Bearer …`."
                return self._refused(401, "no-token", words, headers=challenge)
        scope["dalsegno.client"] = client
        wait = self._rates.wait(client)
        return self._refused(429, "too-many-requests", "Too many requests at once.", wait) if wait else None

    def _is_known(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname
        except ValueError:
            return False
        return (name or "").casefold() in self._hosts

    def _is_foreign(self, headers: Headers) -> bool:
        origin = headers.get("origin")
        if origin is None:
            return headers.get("sec-fetch-site") in ("cross-site", "same-site")
        host = origin.partition("://")[2]
        return not host or host != headers.get("host")

    def _refused(
        self, status: int, kind: str, words: str, wait: float = 0.0, headers: dict[str, str] | None = None
    ) -> ASGIApp:
        error = refused(status, kind, words, retry_after=whole_seconds(wait) if wait else None)
        problem, more = of_error(error)
        return answer(problem, {**more, **(headers or {})})
