"""Reading requests: bodies and parameters, within limits, into the models that validate them."""

from __future__ import annotations

import asyncio
import json
from typing import Any, TypeVar

from pydantic import BaseModel
from starlette.requests import ClientDisconnect, Request

from dalsegno.observe.strict_json import strict_json
from dalsegno.service.problems import refused

Model = TypeVar("Model", bound=BaseModel)

DEEPEST = 100
"""Levels of a body: beyond, a value is refused before anything takes it apart."""


async def body_of(request: Request, model: type[Model], *, most: int, patience: float) -> Model:
    """The body of a request; one that may be left out is then an empty object.

    Raises
    ------
    RequestRefused
        It is no JSON, too large, too deep, or does not come in time.
    ValidationError
        It does not fit the model.
    """
    raw = await _read(request, most, patience)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        # Also what keeps a page of another origin from asking: it may send no JSON without being allowed to.
        raise refused(
            415,
            "not-json",
            f"The body is `{kind or 'of no type'}`; send `application/json`.",
            field="header.Content-Type",
        )
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("", "identity"):
        raise refused(
            415,
            "not-json",
            f"The body is encoded as `{coding}`; send it as it is.",
            field="header.Content-Encoding",
        )
    return model.model_validate(parsed(raw))


def parsed(raw: bytes) -> Any:
    """JSON as RFC 8259 has it: UTF-8, no NaN, no name twice, no lone surrogate, not too deep.

    Raises
    ------
    RequestRefused
        It is not; the message says where.
    """
    try:
        value = strict_json(raw.decode("utf-8"))
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise refused(400, "not-json", f"The body is no JSON: {error.msg}, {where}.", field="body") from None
    except UnicodeError:
        raise refused(
            400, "not-json", "The body is no UTF-8, or holds half of a surrogate pair.", field="body"
        ) from None
    except ValueError as error:
        raise refused(400, "not-json", f"The body is no JSON: {error}", field="body") from None
    except RecursionError:
        raise refused(400, "not-json", "The body is nested too deeply.", field="body") from None
    if _depth(value) > DEEPEST:
        raise refused(400, "not-json", f"The body is nested deeper than {DEEPEST} levels.", field="body")
    return value


def query_of(request: Request, model: type[Model]) -> Model:
    """The parameters of a request.

    Raises
    ------
    RequestRefused
        One is given twice.
    ValidationError
        They do not fit the model.
    """
    given: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name in given:
            raise refused(422, "does-not-fit", f"`{name}` is given twice.", field=f"query.{name}")
        given[name] = value
    return model.model_validate(given)


async def _read(request: Request, most: int, patience: float) -> bytes:
    said = request.headers.get("content-length", "")
    if said.isdigit() and int(said) > most:
        raise _too_large(most)
    parts, size = [], 0
    try:
        async with asyncio.timeout(patience):
            async for part in request.stream():
                parts.append(part)
                size += len(part)
                if size > most:
                    raise _too_large(most)
    except TimeoutError:
        raise refused(
            408, "too-slow", f"The body did not come within {patience:g} s.", field="body"
        ) from None
    except ClientDisconnect:
        raise refused(400, "cut-off", "The body ends early.", field="body") from None
    return b"".join(parts)


def _too_large(most: int) -> Exception:
    return refused(413, "too-large", f"The body has more than {most} bytes.", field="body")


def _depth(value: Any) -> int:
    deepest, level = 0, [value]
    while level:
        deepest += 1
        level = [
            part
            for each in level
            for part in (each.values() if isinstance(each, dict) else each if isinstance(each, list) else ())
        ]
    return deepest
