"""What went wrong, for the client: RFC 9457 problem details with a kind, a status, and the field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from starlette.responses import Response

from dalsegno.errors import (
    DalsegnoError,
    DatabaseUnavailable,
    DefinitionError,
    IncompatibleGraph,
    InputInvalid,
    MissingExtra,
    NothingToResume,
    NotSerializable,
    RenderError,
    RequestRefused,
    ThreadBusy,
    ThreadUnfinished,
    TypeNotAllowed,
    UnknownRun,
    UnknownThread,
    did_you_mean,
)
from dalsegno.service.models import FieldError, Problem

MEDIA_TYPE = "application/problem+json"

TITLES: Mapping[int, str] = {
    400: "The request cannot be read",
    401: "A token is needed",
    403: "Not allowed from there",
    404: "There is no such thing",
    405: "The method is not known here",
    408: "The request took too long",
    409: "The run is not in a state for that",
    413: "The body is too large",
    415: "The body is not JSON",
    422: "The request does not fit",
    429: "Too much at once",
    500: "The service failed",
    501: "Something is not installed",
    503: "The service cannot do that now",
}

_STATUSES: tuple[tuple[type[DalsegnoError], int], ...] = (
    (InputInvalid, 422),
    (NotSerializable, 422),
    (TypeNotAllowed, 422),
    (UnknownRun, 404),
    (UnknownThread, 404),
    (ThreadBusy, 409),
    (ThreadUnfinished, 409),
    (NothingToResume, 409),
    (IncompatibleGraph, 409),
    (DefinitionError, 422),
    (DatabaseUnavailable, 503),
    (MissingExtra, 501),
    (RenderError, 501),
)


def answer(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """The problem as a response; 429 and 503 say when to come back."""
    given = dict(headers or {})
    if problem.status in (429, 503):
        given.setdefault("retry-after", "1")
    return Response(problem.model_dump_json(), problem.status, given, MEDIA_TYPE)


def of_status(status: int, detail: str) -> Problem:
    """A problem that is told by its status alone."""
    return _problem(f"http-{status}", status, detail, [])


def of_error(error: DalsegnoError) -> tuple[Problem, dict[str, str]]:
    """The problem of an error of ours, and headers that go with it."""
    if isinstance(error, RequestRefused):
        headers = {"retry-after": str(error.retry_after)} if error.retry_after else {}
        errors = [FieldError(field=error.field, message=str(error))] if error.field else []
        return _problem(error.kind, error.status, str(error), errors), headers
    status = next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)
    errors = []
    if isinstance(error, InputInvalid):
        errors = [
            FieldError(field=f"body.input.{error.key}" if error.key else "body.input", message=str(error))
        ]
    words = str(error) if status != 500 else "The service failed; its log says more."
    if isinstance(error, DatabaseUnavailable):  # where it is, and what it says, is for the log
        words = "The database cannot be used now, and the log of the service says why. Try again."
    if isinstance(error, ThreadBusy):  # which process it is is nobody's business
        run = getattr(error.holder, "run_id", "{run_id}")
        words = (
            f"Thread {error.thread!r} has a run in progress. Wait until it ends (`GET /v1/runs/{run}?wait=60`), or "
            f"cancel it (`POST /v1/runs/{run}/cancel`)."
        )
    return _problem(_kebab(type(error).__name__), status, words, errors), {}


def of_validation(error: ValidationError, model: type[BaseModel] | None, where: str) -> Problem:
    """The problem of a body (`where` is ``"body"``) or of parameters that do not fit their model."""
    errors = [
        FieldError(
            field=".".join([where, *(str(part) for part in found["loc"])]),
            message=_words(found, model),
        )
        for found in error.errors(include_url=False, include_context=False, include_input=False)[:20]
    ]
    words = "; ".join(f"`{found.field}`: {found.message}" for found in errors)
    return _problem("does-not-fit", 422, words, errors)


def _words(found: Any, model: type[BaseModel] | None) -> str:
    """What is wrong with a field: as pydantic says it, but of JSON, and with the names that there are."""
    if found["type"] in ("model_type", "dict_type"):
        return "Input should be an object"
    if found["type"] != "extra_forbidden" or model is None:
        return str(found["msg"])
    *around, name = found["loc"]
    for part in around:
        options = get_args(model.model_fields[part].annotation)
        model = next(
            option for option in options if isinstance(option, type) and issubclass(option, BaseModel)
        )
    known = did_you_mean(str(name), model.model_fields)
    return f"Nothing of that name is known{known or f'; there is {_named(model)}.'}"


def _named(model: type[BaseModel]) -> str:
    return ", ".join(f"`{name}`" for name in model.model_fields) or "no parameter"


def _problem(kind: str, status: int, detail: str, errors: list[FieldError]) -> Problem:
    return Problem(
        type=f"urn:dalsegno:{kind}",
        title=TITLES.get(status, "The request was refused"),
        status=status,
        detail=detail,
        errors=errors,
    )


def _kebab(name: str) -> str:
    return "".join(f"-{sign.lower()}" if sign.isupper() else sign for sign in name).lstrip("-")


def refused(status: int, kind: str, detail: str, **data: Any) -> RequestRefused:
    """An error that is answered with that status; `field` names what it is about, `retry_after` are seconds."""
    return RequestRefused(
        detail,
        **{"status": status, "kind": kind, "field": None, "retry_after": None, **data},
    )
