"""From a file to a definition: everything that is wrong with it at once, each with its line."""

from __future__ import annotations

import copy
import json
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from dalsegno.errors import did_you_mean
from dalsegno.graphs.definition import Path_, WorkflowDefinition
from dalsegno.graphs.documents.checks import problems_of
from dalsegno.graphs.documents.problems import Problem
from dalsegno.graphs.documents.source import read_source


def read(path: str | Path) -> WorkflowDefinition:
    """Read a document; see `dalsegno.graphs.definition.read_definition`."""
    source = read_source(path)
    definition, problems = understood(source.data)
    if definition is not None:
        problems += [
            p for p in problems_of(definition) if not any(p.path[: len(q.path)] == q.path for q in problems)
        ]
    if problems or definition is None:
        raise source.invalid(problems)
    return definition.read_from(source)


def understood(data: Any) -> tuple[WorkflowDefinition | None, list[Problem]]:
    """What the data means, and what cannot be meant.

    What is wrong is left out and the rest read again, so that it is looked at as well; None where nothing is left.
    """
    try:
        return WorkflowDefinition.model_validate(data), []
    except ValidationError as error:
        problems = _problems(error, data)
    rest = copy.deepcopy(data)
    for _ in range(4):
        try:
            definition = WorkflowDefinition.model_validate(rest)
            return definition, problems
        except ValidationError as error:
            if not isinstance(rest, dict):
                return None, problems
            for path in sorted({_wrong(e, rest) for e in error.errors()}, key=len, reverse=True):
                if not path or not _pruned(rest, path):
                    return None, problems
    return None, problems


def _wrong(error: Any, data: Any) -> Path_:
    """What to leave out for an error."""
    path = _path(error["loc"], data)
    return path[:-1] if error["type"] == "missing" else path


def _pruned(data: Any, path: Path_) -> bool:
    for part in path[:-1]:
        data = data[part]
    try:
        del data[path[-1]]
    except (KeyError, IndexError, TypeError):
        return isinstance(data, dict | list)
    return True


def _path(loc: tuple[int | str, ...], data: Any) -> Path_:
    """The path of an error: pydantic also names the kind of what may be of several."""
    path: list[str | int] = []
    for number, part in enumerate(loc):
        if isinstance(data, Mapping):
            if part in data and part != "[key]":
                path.append(part)
                data = data[part]
            elif number == len(loc) - 1 and isinstance(part, str) and part not in _TAGS:
                path.append(part)
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            path.append(part)
            data = data[part]
    return tuple(path)


_TAGS = {"short", "options", "call", "value", "word", "goto", "[key]"}


def _problems(error: ValidationError, data: Any) -> list[Problem]:
    return [_problem(each, data) for each in error.errors(include_url=False)]


def _problem(error: Any, data: Any) -> Problem:
    kind, path = error["type"], _path(error["loc"], data)
    if kind == "missing":
        at = path[:-1] if path and path[-1] == error["loc"][-1] else path
        return Problem(f"`{error['loc'][-1]}` is missing.", at)
    if kind == "extra_forbidden":
        name = str(path[-1])
        known = _fields(error["loc"][:-1])
        hint = did_you_mean(name, known)
        there = f" There are {', '.join(f'`{k}`' for k in sorted(known))}." if not hint else ""
        return Problem(f"There is no field `{name}` here{hint or '.'}{there}", path, key=True)
    if kind in ("literal_error", "enum"):
        wanted = [w.strip("'") for w in error["ctx"]["expected"].replace(" or ", ", ").split(", ")]
        hint = did_you_mean(str(error["input"]), wanted)
        return Problem(
            f"`{_shown(error['input'])}` is none of {', '.join(f'`{w}`' for w in wanted)}{hint or '.'}", path
        )
    if kind == "string_type" and isinstance(error["input"], int | float):
        shown = json.dumps(error["input"])
        return Problem(
            f'A text is needed, and this is {_what(error["input"])}: write it in quotes, "{shown}".', path
        )
    if error["loc"][-1:] == ("[key]",):
        return Problem(f"`{_shown(error['input'])}` is no name: {_said(error)}", path, key=True)
    return Problem(f"{_said(error)} This is {_what(error['input'])}.", path)


_SAID = {
    "string_type": "A text is needed.",
    "int_type": "A whole number is needed.",
    "float_type": "A number is needed.",
    "bool_type": "`true` or `false` is needed.",
    "list_type": "A list is needed.",
    "dict_type": "A mapping is needed.",
    "model_type": "A mapping is needed.",
    "model_attributes_type": "A mapping is needed.",
    "too_short": "It is empty, and at least one is needed.",
    "string_too_short": "It is empty.",
}


def _said(error: Any) -> str:
    if error["type"] in _SAID:
        return _SAID[error["type"]]
    if error["type"] == "string_pattern_mismatch":
        if "boolean" in error["ctx"]["pattern"]:
            return (
                "A type is `string`, `integer`, `number`, `boolean`, `object`, `array` or `any`, with a `?` where it "
                "may be missing."
            )
        return "A name is made of letters, digits, `_` and `-`, and begins with a letter."
    said = str(error["msg"]).removeprefix("Value error, ").replace("Input should", "It should")
    return said[:1].upper() + said[1:] + ("" if said.endswith(".") else ".")


def _what(value: Any) -> str:
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    return f"`{_shown(value)}`"


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:59] + "…"


def _fields(loc: tuple[int | str, ...]) -> list[str]:
    """The names of fields where an error is."""
    models: list[Any] = [WorkflowDefinition]
    for part in loc:
        if isinstance(part, str) and part in _TAGS and not any(part in m.model_fields for m in models):
            continue
        inner = [m.model_fields[part].annotation for m in models if part in m.model_fields]
        if inner:
            models = [model for each in inner for model in _models(each)]
    fields = [item for model in models for item in model.model_fields.items()]
    return sorted({field.alias or name for name, field in fields})


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel) and not get_origin(annotation):
        yield annotation
    elif get_origin(annotation) is not None or isinstance(annotation, types.UnionType):
        for each in get_args(annotation):
            yield from _models(each)
