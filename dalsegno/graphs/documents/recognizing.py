"""What a file is that holds no workflow, so that who names it is told what to name instead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dalsegno.errors import did_you_mean, quoted
from dalsegno.graphs.definition import Step, WorkflowDefinition
from dalsegno.graphs.loading import is_document

_MOST_LOOKED_AT = 100
_LONGEST = 1_000_000
_OF_ANYTHING = frozenset({"$schema", "name", "version", "description", "metadata"})
"""Fields that other kinds of files have as well."""


def no_workflow(data: Any, file: str) -> str | None:
    """Why the data of a file is that of something else; None where it is, or was to be, a workflow's."""
    if _is_registry(data):
        name = Path(file).name
        documents = sorted(_naming(name, Path(file).parent))
        such = f", such as {', '.join(f'`{each}`' for each in documents[:3])}" if documents else ""
        return (
            f"`{name}` is a registry of agents, and no workflow. Name a document that says `registry: {name}`{such}. "
            f"`dalsegno agents up {quoted(file)}` starts its agents."
        )
    if not isinstance(data, Mapping) or "steps" in data or did_you_mean("steps", data):
        return None
    own = (WorkflowDefinition.model_fields.keys() | Step.model_fields.keys()) - _OF_ANYTHING
    other = [key for key in data if key not in own and key not in _OF_ANYTHING]
    if own & data.keys() or not other:
        return None
    shown = ", ".join(f"`{each[:40]}`" for each in other[:4])
    more = ", …" if len(other) > 4 else ""
    return f"This is no workflow: a workflow has `name` and `steps`, and here are {shown}{more}."


def _is_registry(data: Any) -> bool:
    agents = data.get("agents") if isinstance(data, Mapping) and "steps" not in data else data
    return isinstance(agents, list) and any(isinstance(each, Mapping) and "url" in each for each in agents)


def _naming(name: str, folder: Path) -> Iterator[str]:
    """The documents of a folder that speak of a file, by a look at their text."""
    try:
        files = [file for file in folder.iterdir() if is_document(file.name) and file.name != name]
        for file in files[:_MOST_LOOKED_AT]:
            if file.stat().st_size <= _LONGEST:
                text = file.read_text(encoding="utf-8", errors="replace")
                if name in text and "registry" in text and "steps" in text:
                    yield file.name
    except OSError:
        return
