"""JSON-RPC 2.0 (https://www.jsonrpc.org/specification): a request, and the answer to just that."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

import httpx

from dalsegno.errors import PlayerError, RemoteFault
from dalsegno.nodes.remote.clients import clients
from dalsegno.nodes.remote.request import Asked

MEANINGS = {
    -32700: "parse error",
    -32600: "invalid request",
    -32601: "method not found",
    -32602: "invalid params",
    -32603: "internal error",
}
"""The error codes that the specification defines; -32000 to -32099 are the server's own."""

_TYPE = re.compile(r"(application|text)/([a-z0-9.-]+\+)?(json|json-rpc|jsonrequest)", re.IGNORECASE)
_NUMBERS = itertools.count(1)


async def call(url: str, method: str, params: Any, asked: Asked) -> Any:
    """The result of a method.

    Raises
    ------
    RemoteFault
        The agent answers with an error object.
    RemoteStatus
        It answers with an HTTP error, and no error object in it.
    RemoteAnswerInvalid
        What comes is no answer to this request.
    """
    number = next(_NUMBERS)
    client = (await clients()).json
    request = client.build_request(
        "POST", url, content=encoded(number, method, params, asked), headers=_HEADERS
    )
    response = await client.send(request)
    return decoded(response, number, asked)


def encoded(number: int, method: str, params: Any, asked: Asked) -> bytes:
    """A request's body."""
    request = {"jsonrpc": "2.0", "id": number, "method": method}
    if params is not None:
        request["params"] = params
    try:
        return json.dumps(request, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise PlayerError(
            f"`{asked.node}` cannot ask {asked.agent}: what it would send is not JSON ({error}). Look at `params`.",
            node=asked.node,
        ) from error


def decoded(response: httpx.Response, number: int, asked: Asked) -> Any:
    """The result in an answer to request `number`. Raises as `call` does."""
    status, body = response.status_code, response.content
    kind = response.headers.get("content-type", "").partition(";")[0].strip()
    is_json = not kind or _TYPE.fullmatch(kind) is not None
    if status >= 400:
        answer = _loaded(body, asked, quiet=True) if is_json else None
        if isinstance(answer, dict) and isinstance(answer.get("error"), dict):
            return _result(answer, number, body, asked)
        raise asked.status(response)
    if not is_json:
        page = ". It is a page for people: look at the path of its URL" if "html" in kind.lower() else ""
        raise asked.invalid("content type", f"answered with {asked.excerpt(kind)}, not JSON{page}", body)
    if not body:
        raise asked.invalid("not JSON", f"answered with nothing (HTTP status {status})")
    return _result(_loaded(body, asked), number, body, asked)


def _loaded(body: bytes, asked: Asked, *, quiet: bool = False) -> Any:
    try:
        return json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        if quiet:
            return None
        why = "it nests too deeply" if isinstance(error, RecursionError) else asked.excerpt(str(error))
        raise asked.invalid("not JSON", f"answered with what is not JSON: {why}", body) from error


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON number")


def _result(answer: Any, number: int, body: bytes, asked: Asked) -> Any:
    if not isinstance(answer, dict) or answer.get("jsonrpc") != "2.0":
        raise asked.invalid("not JSON-RPC", 'answered with no JSON-RPC 2.0 object ("jsonrpc": "2.0")', body)
    error = answer.get("error")
    if ("result" in answer) == (error is not None):
        raise asked.invalid("not JSON-RPC", "answered with no single one of `result` and `error`", body)
    given = answer.get("id")
    unread = error is not None and given is None  # the agent could not read the request's id
    if not unread and (type(given) is not int or given != number):
        raise asked.invalid(
            "wrong id", f"answered request {asked.excerpt(repr(given))}, and was asked {number}", body
        )
    if error is not None:
        raise fault(error, body, asked)
    return answer["result"]


def fault(error: Any, body: bytes, asked: Asked) -> Exception:
    """An error object as an error of ours."""
    code = error.get("code") if isinstance(error, dict) else None
    said = error.get("message") if isinstance(error, dict) else None
    if isinstance(code, bool) or not isinstance(code, int) or not isinstance(said, str):
        return asked.invalid(
            "not JSON-RPC", "answered with an error object without `code` or `message`", body
        )
    try:
        details = asked.scrub(error.get("data"))
    except RecursionError:
        return asked.invalid("not JSON-RPC", "answered with an error object that nests too deeply", body)
    meaning = MEANINGS.get(code)
    told = asked.excerpt(said)
    hint = {-32601: " Look at `method`.", -32602: " Look at `params`."}.get(code, "")
    return asked.fail(
        RemoteFault,
        f"answered with error {code}{f' ({meaning})' if meaning else ''}: {told.rstrip('.')}.{hint}",
        code=code,
        meaning=meaning,
        said=asked.scrub(said),
        details=details,
        retryable=code == -32603,
    )


_HEADERS = {"content-type": "application/json", "accept": "application/json"}
