"""From a file to a definition: everything that is wrong with it at once, each with its line."""

from __future__ import annotations

import copy
import json
import re
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, Tag, ValidationError

from dalsegno.errors import did_you_mean
from dalsegno.graphs.definition import WorkflowDefinition
from dalsegno.graphs.documents.checks import problems_of
from dalsegno.graphs.documents.problems import FieldPath, Problem
from dalsegno.graphs.documents.recognizing import no_workflow
from dalsegno.graphs.documents.source import LARGE, read_source
from dalsegno.graphs.garbage import garbage_kept


def read(path: str | Path) -> WorkflowDefinition:
    """Read a document; see `dalsegno.graphs.definition.read_definition`."""
    source = read_source(path)
    if other := no_workflow(source.data, source.file):
        raise source.invalid([Problem(other)])
    with garbage_kept(large=len(source.text) > LARGE):
        definition, problems, wrong = understood(source.data)
        if definition is not None:
            above = {path[:-1] for path in wrong}
            problems += [
                p for p in problems_of(definition) if p.path not in above and not _within(p.path, wrong)
            ]
    if problems or definition is None:
        raise source.invalid(problems)
    return definition.read_from(source)


def _within(path: FieldPath, others: set[FieldPath]) -> bool:
    return any(path[:length] in others for length in range(len(path) + 1))


def understood(data: Any) -> tuple[WorkflowDefinition | None, list[Problem], set[FieldPath]]:
    """What the data means; what cannot be meant, and where.

    What is wrong is left out and the rest read again, so that it is looked at as well; None where nothing is left.
    """
    try:
        return WorkflowDefinition.model_validate(data), [], set()
    except ValidationError as error:
        errors = error.errors(include_url=False)
    problems = _told(errors, data)
    wrong = {_path(each["loc"], data) for each in errors if each["type"] != "missing"}
    rest = copy.deepcopy(data)
    for _ in range(4):
        if not isinstance(rest, dict):
            break
        try:
            return WorkflowDefinition.model_validate(rest), problems, wrong
        except ValidationError as error:
            for each in error.errors():
                missing = each["loc"][-1] if each["type"] == "missing" else None
                _leave_out(rest, _path(each["loc"], rest), missing)
    return None, problems, wrong


def _leave_out(data: Any, path: FieldPath, missing: str | int | None) -> None:
    """Leave out what is wrong, so that all else stays in its place; a name that has to be there is made up."""
    if missing == "name":
        path = (*path, "name")
    for part in path[:-1]:
        data = _part(data, part)
    if not path or data is None:
        return
    if missing == "name":
        data["name"] = f"unnamed-{path[-2] if len(path) > 1 else ''}"
    elif isinstance(data, list):
        made_up: dict[str, Any] = {"name": f"unnamed-{path[-1]}"} if "steps" in path[-2:] else {}
        data[int(path[-1])] = made_up
    elif path[-1] in data:
        del data[path[-1]]


def _part(data: Any, part: str | int) -> Any:
    if isinstance(data, dict):
        return data.get(part)
    return data[part] if isinstance(data, list) and isinstance(part, int) and part < len(data) else None


def _path(loc: tuple[int | str, ...], data: Any) -> FieldPath:
    """The path of an error, as far as it is in the data: pydantic also names the kind of what may be of several, in
    brackets, and says so of keys."""
    path: list[str | int] = []
    for part in loc:
        if isinstance(data, Mapping):
            if part in data and part not in _TAGS:
                path.append(part)
                data = data[part]
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            path.append(part)
            data = data[part]
    return tuple(path)


_TAGS = {"(short)", "(options)", "(call)", "(value)", "(word)", "(goto)", "[key]"}


def _told(errors: list[Any], data: Any) -> list[Problem]:
    """The problem of each place, once; what is missing is not told where a misspelt field beside it means it."""
    problems: dict[tuple[FieldPath, str], Problem] = {}
    for error in errors:
        problem = _problem(error, data)
        missing = str(error["loc"][-1]) if error["type"] == "missing" else ""
        problems.setdefault((problem.path, missing), problem)
    meant = {(p.path[:-1], p.message.partition("did you mean `")[2][:-2]) for p in problems.values() if p.key}
    return [problem for where, problem in problems.items() if where not in meant]


def _problem(error: Any, data: Any) -> Problem:
    kind, path = error["type"], _path(error["loc"], data)
    if kind == "missing":
        return Problem(f"`{error['loc'][-1]}` is missing.", path)
    if kind == "extra_forbidden":
        name = str(error["loc"][-1])
        path = (*_path(error["loc"][:-1], data), name)
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
    if kind == "bool_type" and (word := str(error["input"]).casefold()) in _TRUTHS:
        return Problem(f"`{error['input']}` is a text here: write `{_TRUTHS[word]}`.", path)
    if kind in ("too_short", "string_too_short") or (
        kind == "string_pattern_mismatch" and not error["input"]
    ):
        return Problem(_SAID.get(kind, "It is empty."), path)
    if kind == "value_error":
        return Problem(_of_policy(error), path)
    if kind in ("model_type", "model_attributes_type") and error["loc"][:1] == ("input",):
        return Problem(f"{_A_TYPE} Or a mapping with `type`. This is {_what(error['input'])}.", path)
    if path == ("allow_private",):
        said = "`true`, `false`, or a list of hosts and networks is needed."
        return Problem(f"{said} This is {_what(error['input'])}.", path)
    if kind in _NUMBERS and isinstance(error["input"], str):
        return Problem(f"{_said(error)} This is a text, `{_shown(error['input'])}`.", path)
    if error["loc"][-1:] == ("[key]",):
        return Problem(f"`{_shown(error['input'])}` is no name: {_said(error)}", path, key=True)
    return Problem(f"{_said(error)} This is {_what(error['input'])}.", path)


_TRUTHS = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}
"""What YAML 1.1 took for true and false."""

_A_TYPE = (
    "A type is `string`, `integer`, `number`, `boolean`, `object`, `array` or `any`, with a `?` where it may be "
    "missing."
)
_NUMBERS = ("int_type", "float_type", "bool_type")

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


def _of_policy(error: Any) -> str:
    """What a policy says of its options in Python, in the words of a document."""
    said = str(error["ctx"]["error"])
    said = re.sub(r"^\w+\((\w*).*?\): ", lambda found: f"`{found[1]}`: " if found[1] else "", said)
    said = re.sub(r"`(\w+)=`", r"`\1`", said)
    return said[:1].upper() + said[1:]


def _said(error: Any) -> str:
    if error["type"] in _SAID:
        return _SAID[error["type"]]
    if error["type"] == "string_too_long":
        return f"It is too long: a name has {error['ctx']['max_length']} letters at most."
    if error["type"] == "string_pattern_mismatch":
        if "boolean" in error["ctx"]["pattern"]:
            return _A_TYPE
        if "headers" in error["loc"]:
            return "The name of a header is letters, digits and dashes; that of a variable letters, digits and `_`."
        return "A name is made of the letters a to z, digits, `_` and `-`, and begins with a letter."
    said = str(error["msg"]).replace("Input should", "It should")
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
    models: list[tuple[type[BaseModel], str]] = [(WorkflowDefinition, "")]
    for part in loc:
        if part in _TAGS:
            models = [(model, tag) for model, tag in models if tag == part]
        inner = [model.model_fields[part].annotation for model, _ in models if part in model.model_fields]
        if inner:
            models = [found for each in inner for found in _models(each)]
    fields = [item for model, _ in models for item in model.model_fields.items()]
    return sorted({field.alias or name for name, field in fields})


def _models(annotation: Any, tag: str = "") -> Iterator[tuple[type[BaseModel], str]]:
    """The kinds of mappings that may stand there, each with its tag."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel) and not get_origin(annotation):
        yield annotation, tag
    elif get_origin(annotation) is not None or isinstance(annotation, types.UnionType):
        parts = get_args(annotation)
        tags = [part.tag for part in parts if isinstance(part, Tag)]
        for each in parts:
            yield from _models(each, tags[0] if tags else tag)
