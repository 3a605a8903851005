"""The ASGI application: the routes behind the guard, and every error as a problem."""

from __future__ import annotations

import asyncio
import json
import logging
import time
import traceback
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as Routed
from starlette.types import ASGIApp

from dalsegno.errors import DalsegnoError, RequestRefused
from dalsegno.service.guarding import LOOPBACK, Guard
from dalsegno.service.limits import Open
from dalsegno.service.metrics import Metrics
from dalsegno.service.openapi import document
from dalsegno.service.pages import Pages
from dalsegno.service.problems import answer, of_error, of_status, of_validation
from dalsegno.service.routes import ROUTES, Route
from dalsegno.service.service import Service
from dalsegno.service.tokens import Tokens

log = logging.getLogger("dalsegno.service")

_FRESH = 1.0
"""Seconds for which it is not asked again whether the database can be written."""
_LONGEST = 3.0
"""Seconds that a database may take for it."""
_CHANGES = 8
"""Requests at once that change something, each in a thread of its own lane: they may wait for the database's lock, and
those that only read need not wait for them."""


def asgi(
    service: Service,
    *,
    tokens: Tokens | None = None,
    hosts: Iterable[str] = LOOPBACK,
    metrics: Metrics | None = None,
    pages: Pages | None = None,
    open_metrics: bool = False,
) -> ASGIApp:
    """The service as an ASGI application. The caller opens, drains and closes `service` and `pages`.

    Parameters
    ----------
    service
        What is served.
    tokens
        Whose tokens are accepted; without any, everybody may ask who addresses one of the `hosts`.
    metrics
        Counts requests; the same that listens to the service's runs.
    pages
        What draws.
    open_metrics
        `/metrics` needs no token.
    """
    tokens, metrics = tokens or Tokens(), metrics or Metrics()
    metrics.watch(service)
    handlers: Any = {
        DalsegnoError: _ours,
        ValidationError: _unfit,
        HTTPException: _status,
    }
    app = Starlette(routes=list(_routes()), exception_handlers=handlers)
    # A redirect would name the address as this process sees it: behind a proxy it is another one, without TLS.
    app.router.redirect_slashes = False
    app.state.service = service
    app.state.pages = pages or Pages(service)
    app.state.metrics = metrics
    app.state.changing = ThreadPoolExecutor(_CHANGES, thread_name_prefix="dalsegno-change")
    app.state.streams = Open(service.settings.streams)
    app.state.readiness = _Readiness(service).checks
    app.state.document = json.dumps(document(needs_token=bool(tokens)), ensure_ascii=False)
    public = {route.path for route in ROUTES if route.is_public} | ({"/metrics"} if open_metrics else set())
    return Guard(
        app, tokens=tokens, settings=service.settings, public=public, hosts=hosts, counted=metrics.counted
    )


def _routes() -> Iterable[Routed]:
    by_path: dict[str, dict[str, Route]] = {}
    for route in ROUTES:
        by_path.setdefault(route.path, {})[route.method] = route
    for path, methods in by_path.items():
        yield Routed(path, _dispatched(path, methods), methods=list(methods))


def _dispatched(path: str, methods: dict[str, Route]) -> Any:
    async def endpoint(request: Request) -> Response:
        request.scope["dalsegno.route"] = path
        asked = "GET" if request.method == "HEAD" else request.method
        try:
            return await methods[asked].handler(request)
        except (DalsegnoError, ValidationError, HTTPException):
            raise
        except Exception as error:
            # Where, and not with which words: they may hold what nobody is to read.
            where = "".join(traceback.format_tb(error.__traceback__))
            log.error("%s %s failed: %s\n%s", request.method, path, type(error).__name__, where)
            return answer(of_status(500, "The service failed; its log says more."))

    return endpoint


class _Readiness:
    """Asks whether runs can be accepted, once for all who ask before there is an answer: one that waits for the
    database keeps its thread for long after whoever asked was told so."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._at = float("-inf")
        self._found: dict[str, str] = {}
        self._lock = asyncio.Lock()
        self._asking: asyncio.Future[dict[str, str]] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="dalsegno-ready")

    async def checks(self) -> dict[str, str]:
        async with self._lock:
            if time.monotonic() - self._at > _FRESH or self._service.is_draining:
                if self._asking is None:
                    loop = asyncio.get_running_loop()
                    self._asking = loop.run_in_executor(self._thread, self._service.checks)
                asking = self._asking
                await asyncio.wait((asking,), timeout=_LONGEST)
                if asking.done():
                    self._asking = None
                    self._found = asking.result()
                else:
                    self._found = {"database": f"it took longer than {_LONGEST:g} s to write to it"}
                self._at = time.monotonic()
            return self._found


async def _ours(request: Request, error: DalsegnoError) -> Response:
    problem, headers = of_error(error)
    if problem.status >= 500 and not isinstance(error, RequestRefused):
        log.error("%s %s: %s: %s", request.method, request.url.path, type(error).__name__, error)
    return answer(problem, headers)


async def _unfit(request: Request, error: ValidationError) -> Response:
    model = _MODELS.get(error.title)
    return answer(of_validation(error, model, "body" if model in _BODIES else "query"))


async def _status(request: Request, error: HTTPException) -> Response:
    slash = ", which ends with a slash" if request.url.path.endswith("/") else ""
    words = {
        404: f"Nothing is at this address{slash}; `/openapi.json` says what is.",
        405: f"{request.method} is not known here.",
    }.get(error.status_code, str(error.detail))
    return answer(of_status(error.status_code, words), error.headers)


_BODIES = frozenset(route.body for route in ROUTES if route.body is not None)
_MODELS = {model.__name__: model for model in (*_BODIES, *(route.query for route in ROUTES))}
