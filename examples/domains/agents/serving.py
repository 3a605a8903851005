"""An agent as an HTTP process: functions that are asked over JSON-RPC 2.0, with `/health` beside them.

Nothing here knows Dalsegno: an agent is somebody else. `serve` is all that an agent's file needs.
"""

from __future__ import annotations

import argparse
import inspect
import json
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

import uvicorn
from faults import Faults, wanted
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

_key: ContextVar[str | None] = ContextVar("key", default=None)


class Refused(Exception):
    """What an agent will not do: becomes a JSON-RPC error object."""

    def __init__(self, code: int, message: str, **data: Any) -> None:
        super().__init__(message)
        self.code = code
        self.data = data


def idempotency_key() -> str | None:
    """The `Idempotency-Key` of the request under way: the same whenever that is repeated."""
    return _key.get()


def serve(name: str, *functions: Callable[..., Any]) -> None:
    """Answer for these functions, each a method of its name, at the port of the command line, until SIGTERM."""
    serve_app(application(name, *functions))


def serve_app(app: Any, options: argparse.Namespace | None = None) -> None:
    """Serve an ASGI application at the port of the command line."""
    options = options or arguments().parse_known_args()[0]
    uvicorn.run(
        Faults(app) if wanted() else app,
        host="127.0.0.1",
        port=options.port,
        log_level="warning",
        lifespan="off",
        backlog=1024,
        timeout_graceful_shutdown=2,
    )


def arguments() -> argparse.ArgumentParser:
    """The command line of an agent: its port."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    return parser


def application(name: str, *functions: Callable[..., Any]) -> Starlette:
    """The functions as an ASGI application: `POST /` asks, `GET /health` looks."""
    methods = {function.__name__: function for function in functions}

    async def asked(request: Request) -> Response:
        try:
            body = json.loads(await request.body())
        except ValueError:
            return _error(None, -32700, "This is no JSON.")
        if (
            not isinstance(body, dict)
            or body.get("jsonrpc") != "2.0"
            or not isinstance(body.get("method"), str)
        ):
            return _error(None, -32600, "This is no request of JSON-RPC 2.0.")
        number, params = body.get("id"), body.get("params", {})
        function = methods.get(body["method"])
        if function is None:
            return _error(number, -32601, f"{name} has the methods {', '.join(methods)}.")
        _key.set(request.headers.get("idempotency-key"))
        try:
            call = _bound(function, params)
            result = await run_in_threadpool(function, *call.args, **call.kwargs)
        except Refused as error:
            return _error(number, error.code, str(error), error.data)
        except _Unfit as error:
            return _error(number, -32602, str(error))
        except Exception as error:
            return _error(number, -32603, f"{type(error).__name__}: {error}")
        return JSONResponse({"jsonrpc": "2.0", "id": number, "result": result})

    async def health(request: Request) -> Response:
        return PlainTextResponse(f"{name} is well")

    return Starlette(routes=[Route("/", asked, methods=["POST"]), Route("/health", health)])


class _Unfit(Exception):
    """Parameters that a function does not have."""


def _bound(function: Callable[..., Any], params: Any) -> inspect.BoundArguments:
    try:
        if isinstance(params, Mapping):
            return inspect.signature(function).bind(**params)
        if isinstance(params, list):
            return inspect.signature(function).bind(*params)
    except TypeError as error:
        raise _Unfit(f"{function.__name__}: {error}.") from None
    raise _Unfit(f"{function.__name__}: parameters are an object or a list.")


def _error(number: Any, code: int, message: str, data: Any = None) -> Response:
    error = {"code": code, "message": message}
    return JSONResponse({"jsonrpc": "2.0", "id": number, "error": {**error, "data": data} if data else error})
