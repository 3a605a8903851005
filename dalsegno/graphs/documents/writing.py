"""From a workflow back to a document, and from a document to text."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from dalsegno.errors import DefinitionError
from dalsegno.graphs.definition import RESERVED_KEYS, Name, WorkflowDefinition
from dalsegno.graphs.documents.scalars import Doubtful, meaning

if TYPE_CHECKING:
    from dalsegno.graphs.workflow import Workflow


def definition_of(workflow: Workflow) -> WorkflowDefinition:
    """The document of a workflow; see `WorkflowDefinition.of`."""
    if workflow.definition is not None:
        return workflow.definition
    target = _name_of(workflow)
    if len(workflow.name) > 200:
        raise DefinitionError(
            f"The workflow `{workflow.name[:40]}…` has a name of {len(workflow.name)} characters, and a document's has "
            "at most 200."
        )
    keys = sorted(workflow.spec.inputs)
    for key in keys:
        if key in RESERVED_KEYS:
            raise DefinitionError(
                f"The workflow `{workflow.name}` takes `{key}`, which a document keeps for itself and cannot have as "
                "a key of its input. Write the document yourself, and give that key with `params`."
            )
        if not _is_name(key):
            raise DefinitionError(
                f"The workflow `{workflow.name}` takes `{key}`, and a key of a document's input is made of the letters "
                "a to z, digits, `_` and `-`, and begins with a letter. Write the document yourself, and give that key "
                "with `params`."
            )
    step = {
        "name": _step_name(workflow.name),
        "strategy": "subworkflow",
        "workflow": target,
        "params": "$input",  # what it is given, and nothing in place of what it is not
    }
    return WorkflowDefinition.model_validate(
        {
            "name": workflow.name,
            "version": workflow.version,
            "input": dict.fromkeys(keys, "any?"),
            "steps": [step],
        }
    )


def _is_name(text: str) -> bool:
    try:
        TypeAdapter(Name).validate_python(text)
    except ValidationError:
        return False
    return True


def _step_name(text: str) -> str:
    """A name that a step may have, made of a workflow's."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "_" for c in text)
    return plain.lstrip("_-0123456789")[:100] or "run"


def _name_of(workflow: Workflow) -> str:
    """Where it can be imported from."""
    for name, module in sorted(sys.modules.items()):
        if name == "__main__" or module is None:
            continue
        for attribute, value in list(vars(module).items()):
            if value is workflow and not attribute.startswith("_"):
                return f"{name}:{attribute}"
    raise DefinitionError(
        f"The workflow `{workflow.name}` was not made from a document, and no imported module has it under a public "
        "name, so a document could not refer to it. Give it a name in a module: flow = Workflow(...)."
    )


def yaml_of(data: dict[str, Any]) -> str:
    """Plain data as YAML, its keys in their order."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    def text_of(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        style = '"' if _is_misread(value) else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text_of)
    text: str = yaml.dump(data, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=110)
    return text


def _is_misread(value: str) -> bool:
    """Whether a text that YAML 1.1 writes without quotes, or breaks at, is read as something else."""
    if any(character in "\x85\u2028\u2029\ufeff" for character in value):
        return True
    try:
        return not isinstance(meaning(value), str)
    except Doubtful:
        return True
