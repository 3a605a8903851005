"""The state of a document's workflow: its input's keys as they were declared, and what its steps leave."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, TypedDict, get_type_hints

from pydantic import (
    ConfigDict,
    Field,
    PlainValidator,
    Strict,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
    create_model,
)

from dalsegno.graphs.definition import InputKey, Step, WorkflowDefinition
from dalsegno.graphs.documents.parts import parts_of
from dalsegno.graphs.documents.problems import FieldPath
from dalsegno.graphs.patterns.states import Failure, merged
from dalsegno.nodes.secrets import Secret


def _number(value: Any) -> Any:
    """A number as it was given: a whole one stays whole."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("it should be a number")
    return value


_TYPES: dict[str, Any] = {
    "string": Annotated[str, Strict()],
    "integer": Annotated[int, Strict()],
    "number": Annotated[float, PlainValidator(_number), WithJsonSchema({"type": "number"})],
    "boolean": Annotated[bool, Strict()],
    "object": dict[str, Any],
    "array": list[Any],
    "any": Any,
}


class Inside(TypedDict, total=False):
    """The state of steps in a loop, or of calls that are one step.

    `input` is what the run was given, `context` the results of steps before. `results` are those of its own steps,
    `current` what the next one works on, `_previous` the answer of the call before: no key of an input is called so.
    `failed` is what its steps did not deal with, `failures` all that went wrong.
    """

    input: dict[str, Any]
    context: dict[str, Any]
    current: Any
    _previous: Any
    results: Annotated[dict[str, Any], merged]
    failed: Failure | None
    failures: Annotated[list[Failure], operator.add]
    undone: Annotated[list[str], operator.add]
    not_undone: Annotated[list[Failure], operator.add]


class Whole(Inside, total=False):
    """The state of a document.

    `output` is what it gives, `outcome` whether what it did was taken back; `undoable` are calls that were made and can
    be taken back, each time that they were, with what that needs; `undone` those that were, `not_undone` those that
    could not be.
    """

    output: Any
    outcome: Literal["done", "undone", "partly undone"]
    undoable: Annotated[list[dict[str, Any]], operator.add]


def state_schema(secrets: Mapping[str, Collection[str]]) -> Any:
    """The state of a document; `secrets` are the keys of the results of steps, workflows in Python, that are marked as
    secrets there."""
    if not secrets:
        return Whole
    results = {
        step: typed("Result", dict.fromkeys(keys, Annotated[Any, Secret])) for step, keys in secrets.items()
    }
    known = get_type_hints(Whole, include_extras=True)
    return typed("Whole", {**known, "results": Annotated[typed("Results", results), merged]})


def output_schema(state: Any, *, results: bool, tells: bool, undoes: bool, rolls: bool) -> Any:
    """What a run of a document with that state gives: its output; the `results` of its steps; its failures where steps
    may fail without failing the run (`tells`); what was taken back, where something may be (`undoes`); and the outcome,
    where all of it may be (`rolls`)."""
    known = get_type_hints(state, include_extras=True)
    names = ["output", *(["results"] if results else []), *(["failures"] if tells else [])]
    names += [*(["outcome"] if rolls else []), *(["undone", "not_undone"] if undoes else [])]
    return typed("Output", {name: known[name] for name in names})


def input_keys(definition: WorkflowDefinition) -> dict[str, InputKey]:
    """The keys of the input: those that are declared, else those that are referred to.

    One that only a condition asks for may be missing.
    """
    if definition.input is not None:
        return definition.input_keys()
    found: dict[str, InputKey] = {}
    for name, sure, _ in named_in(definition):
        known = found.get(name)
        if known is None or (known.optional and sure):
            found[name] = InputKey(type="any" if sure else "any?")
    return found


def named_in(definition: WorkflowDefinition) -> Iterator[tuple[str, bool, FieldPath]]:
    """The keys of the input that a document refers to, whether it cannot do without, and where: a condition can, and a
    reference with a question mark. In the first step `$current` is the input."""
    for part in parts_of(definition):
        begins = _begins(part.path, definition.steps)
        for reference in part.references:
            root, path = reference.root, reference.path
            if root == "context" and path[:1] == ("input",):
                root, path = "input", path[1:]
            if (root == "input" or (begins and root == "current")) and path and isinstance(path[0], str):
                sure = part.kind == "value" and not reference.optional
                yield path[0], sure, (*part.path, *reference.where)


def _begins(at: FieldPath, steps: Sequence[Step]) -> bool:
    """Whether `$current` is the input there: in the first step, but not after a round, nor in the calls of a map."""
    if at[:2] != ("steps", 0):
        return False
    if at[2] == "steps":
        return _begins(at[2:], steps[0].steps)
    return at[2] != "until" and not (at[2] == "agent_calls" and steps[0].strategy == "map_reduce")


def typed(name: str, keys: Mapping[str, Any]) -> Any:
    """A `TypedDict` whose keys are known only now."""
    make: Any = TypedDict
    return make(name, dict(keys), total=False)


def fits(kind: str, value: Any) -> bool:
    """Whether a value is of that type."""
    try:
        TypeAdapter(_TYPES[kind.removesuffix("?")]).validate_python(value)
    except ValidationError:
        return False
    return True


def input_schema(name: str, keys: Mapping[str, InputKey]) -> Any:
    """The input as a pydantic class: what may be missing has a default."""
    fields: dict[str, Any] = {}
    for key, given in keys.items():
        word = given.type.removesuffix("?")
        kind = _TYPES[word] | None if given.optional and word != "any" else _TYPES[word]
        shown: Any = {"default": given.default} if given.has_default else None
        field = Field(None if given.optional else ..., description=given.description, json_schema_extra=shown)
        fields[key] = (Annotated[kind, word], field)  # the word is what messages say is expected
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a key may be called as one of pydantic's own methods
        return create_model(name, __config__=ConfigDict(protected_namespaces=()), **fields)
