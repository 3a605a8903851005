"""The OpenAPI 3.1 document: written from the routes and from the models that validate."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import models_json_schema

from dalsegno import __version__
from dalsegno.checkpoints.steps import SEEN
from dalsegno.service.models import Problem, Run, RunId, Text
from dalsegno.service.problems import MEDIA_TYPE, TITLES
from dalsegno.service.routes import ROUTES, Route

_TEMPLATE = "#/components/schemas/{model}"
_PATHS: Mapping[str, Any] = {"run_id": RunId, "workflow": Text}
_SCHEMAS: Mapping[str, Any] = {
    "application/json": {"type": "object"},
    "text/event-stream": {  # each event
        "type": "object",
        "properties": {
            "event": {"enum": ["run", "step", "end"]},
            "id": {"type": "string", "pattern": f"^{SEEN.pattern}$"},
            "data": {"type": "string", "contentMediaType": "application/json"},
        },
    },
}
_DESCRIPTION = """Starts, resumes, cancels and shows runs of agent workflows. A run that was accepted (202) is in the
database before the answer is sent. Problems are those of RFC 9457."""


def document(*, needs_token: bool) -> dict[str, Any]:
    """The document of this version's routes."""
    models = {(model, "validation") for route in ROUTES if (model := route.body)}
    models |= {
        (model, "serialization")
        for route in ROUTES
        for model in route.answers.values()
        if not isinstance(model, str)
    }
    models.add((Problem, "serialization"))
    given = sorted(models, key=lambda one: one[0].__name__)
    refs, schemas = models_json_schema(given, ref_template=_TEMPLATE)  # type: ignore[arg-type]  # a pair each
    found: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "Dalsegno", "version": __version__, "description": " ".join(_DESCRIPTION.split())},
        "paths": _paths(refs, needs_token),
        "components": {"schemas": schemas["$defs"]},
    }
    if needs_token:
        found["components"]["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "basic": {
                "type": "http",
                "scheme": "basic",
                "description": "For browsers, and for reading only.",
            },
        }
    return found


def _paths(refs: Mapping[Any, Any], needs_token: bool) -> dict[str, Any]:
    found: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        found.setdefault(route.path, {})[route.method.lower()] = _operation(route, refs, needs_token)
    return found


def _operation(route: Route, refs: Mapping[Any, Any], needs_token: bool) -> dict[str, Any]:
    answers = {str(status): _answer(status, model, refs) for status, model in sorted(route.answers.items())}
    own = (*route.problems, *(() if route.is_public else (429, 401, 403) if needs_token else (429, 403)), 500)
    problem = {MEDIA_TYPE: {"schema": refs[Problem, "serialization"]}}
    for status in sorted(set(own)):
        answers.setdefault(str(status), {"description": TITLES[status], "content": problem})
    said: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "description": (route.handler.__doc__ or "").strip(),
        "parameters": [*_in_path(route.path), *_in_query(route.query), *_in_headers(route.headers)],
        "responses": answers,
    }
    if route.body is not None:
        content = {"application/json": {"schema": refs[route.body, "validation"]}}
        said["requestBody"] = {"required": True, "content": content}
    if needs_token and not route.is_public:
        said["security"] = [{"bearer": []}, *([{"basic": []}] if route.method == "GET" else [])]
    return said


def _answer(status: int, model: type[BaseModel] | str, refs: Mapping[Any, Any]) -> dict[str, Any]:
    said: dict[str, Any] = {"description": {202: "Accepted", 204: "Nothing more comes"}.get(status, "Done")}
    if isinstance(model, str):
        if model:
            kind = model.partition(";")[0]
            said["content"] = {kind: {"schema": _SCHEMAS.get(kind, {"type": "string"})}}
        return said
    said["content"] = {"application/json": {"schema": refs[model, "serialization"]}}
    if status == 202 and model is Run:
        said["headers"] = {"Location": {"description": "The run.", "schema": {"type": "string"}}}
        said["links"] = {
            name: {"operationId": name, "parameters": {"run_id": "$response.body#/run_id"}}
            for name in ("get_run", "follow_run", "resume_run", "cancel_run")
        }
    return said


def _in_path(path: str) -> Iterator[dict[str, Any]]:
    for name in re.findall(r"\{(\w+)\}", path):
        yield {
            "name": name,
            "in": "path",
            "required": True,
            "schema": TypeAdapter(_PATHS[name]).json_schema(),
        }


def _in_query(model: type[BaseModel]) -> Iterator[dict[str, Any]]:
    for name, schema in model.model_json_schema().get("properties", {}).items():
        words = schema.pop("description", None)
        schema.pop("title", None)
        options: Sequence[Any] = schema.get("anyOf", ())
        real = [one for one in options if one.get("type") != "null"]  # null is no value of a parameter
        if len(real) == 1:
            schema = real[0]
        elif schema.get("default") is None:
            schema.pop("default", None)
        yield {"name": name, "in": "query", "schema": schema, **({"description": words} if words else {})}


def _in_headers(headers: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for name, words in headers.items():
        pattern = r"^[\x21-\x7e]{1,255}$" if name == "Idempotency-Key" else f"^{SEEN.pattern}$"
        yield {
            "name": name,
            "in": "header",
            "description": words,
            "schema": {"type": "string", "pattern": pattern},
        }
