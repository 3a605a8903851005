"""A step that is another document, or a workflow in Python."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from dalsegno.errors import DefinitionError, DocumentInvalid, did_you_mean
from dalsegno.graphs.checking import spec_of
from dalsegno.graphs.definition import Step, WorkflowDefinition, walk
from dalsegno.graphs.documents.calls import Child, Settings
from dalsegno.graphs.documents.composites import Composite, Outcome, within
from dalsegno.graphs.documents.filing import filed
from dalsegno.graphs.documents.problems import FieldPath, Problem
from dalsegno.graphs.documents.references import parse_value
from dalsegno.graphs.documents.scopes import View
from dalsegno.graphs.documents.states import typed
from dalsegno.graphs.loading import is_document, load_target
from dalsegno.graphs.model import END, START
from dalsegno.graphs.workflow import Workflow

DEEPEST = 40
"""So many documents may lie in each other."""


def subworkflow_step(step: Step, at: FieldPath, settings: Settings) -> Composite:
    """Another workflow, whose input is what `params` says; its result is a document's output, or all that it gives."""
    target = str(step.workflow)
    is_ours = is_document(target)
    child = settings.children[at]
    params, view = parse_value(step.params), View(settings.definition.name)
    known = sorted(child.inputs)
    asked = {name: f"in {name}" for name in known}
    given = {name: f"out {name}" for name in sorted(child.outputs)}
    keys: dict[str, Any] = {**dict.fromkeys((*asked.values(), *given.values()), Any), "result": Any}
    state = typed("Child", keys)
    flow = Workflow(step.name, state)
    name = re.sub(r"[:|]", "-", getattr(child.graph, "name", None) or step.name)

    def collected(state: Mapping[str, Any], found: dict[str, Any]) -> dict[str, Any]:
        return {"result": {k.removeprefix("out "): v for k, v in found.items()}}

    flow.add_node(
        name,
        child.graph,
        inputs=asked,
        outputs={theirs: ours for ours, theirs in given.items()},
        writes=("result",),
    )
    flow.nodes[name].around = filed(collected)
    flow.add_edge(START, name).add_edge(name, END)

    def into(state: Any) -> dict[str, Any]:
        found = params.resolve(view.scope(state))
        if not isinstance(found, Mapping):
            found = {}
        return {asked[key]: value for key, value in found.items() if key in asked}

    def read(state: Mapping[str, Any], found: dict[str, Any]) -> Outcome:
        result = found["current"]
        if not is_ours:
            return Outcome(result)
        failures = within(step.name, result.get("failures") or [])
        told: dict[str, Any] = {
            "failures": failures,
            "undone": tuple(f"{step.name}.{name}" for name in result.get("undone") or []),
            "not_undone": within(step.name, result.get("not_undone") or []),
        }
        if result.get("outcome", "done") == "done":
            return Outcome(result.get("output"), **told)
        failed = failures[-1] if failures else {"name": step.name, "error": "Undone", "message": ""}
        return Outcome(failed=failed, **told)

    soft = is_ours and "outcome" in child.outputs
    outputs = {"current": "result"}
    return Composite(flow, outputs, read, into, soft=soft)


def child_problems(definition: WorkflowDefinition, settings: Settings) -> Iterator[Problem]:
    """Load the workflows that are steps into `settings.children`; and what is wrong with them."""
    broken: set[str] = set()
    for step, at in walk(definition.steps):
        if step.strategy != "subworkflow" or step.workflow is None or step.workflow in broken:
            continue
        try:
            child = settings.children[at] = _loaded(step.workflow, settings)
        except DocumentInvalid as error:  # of that document: told once
            broken.add(step.workflow)
            yield from error.problems
        except DefinitionError as error:
            yield Problem(str(error), (*at, "workflow"))
        else:
            yield from _params(step, at, sorted(child.inputs))


def _loaded(target: str, settings: Settings) -> Child:
    if target.startswith(("http://", "https://")):
        raise DefinitionError(f"`{target}` is a URL, and a document is a file here: nothing is fetched.")
    place, colon, name = target.rpartition(":")
    if not is_document(target):
        beside = settings.folder / (place if colon else target)
        return _child(load_target(f"{beside}:{name}" if beside.suffix == ".py" and colon else target).graph)
    from dalsegno.graphs.documents.building import build
    from dalsegno.graphs.documents.reading import read

    path = os.path.abspath(settings.folder / target)
    source = settings.definition.source
    around = (*settings.within, os.path.abspath(source.file)) if source is not None else settings.within
    if path in around:
        raise DefinitionError(f"`{target}` is this document, or contains it: nothing bounds the depth.")
    if len(around) > DEEPEST:
        raise DefinitionError(
            f"`{target}` lies more than {DEEPEST} documents deep in others. Make a step of what it does, or run it by "
            "itself."
        )
    if path not in settings.documents:
        shown = os.path.relpath(path)
        read_as = path if shown.startswith("..") else shown
        made = build(read(read_as), within=around, documents=settings.documents)
        settings.documents[path] = replace(_child(made), is_document=True)
    return settings.documents[path]


def _child(graph: Any) -> Child:
    spec = spec_of(graph)
    return Child(graph, spec.inputs, spec.outputs)


def _params(step: Step, at: FieldPath, known: list[str]) -> Iterator[Problem]:
    for name in step.params if isinstance(step.params, Mapping) else ():
        if name not in known:
            yield Problem(
                f"`{step.workflow}` takes no `{name}`{did_you_mean(name, known) or '.'} It takes "
                f"{', '.join(f'`{k}`' for k in known) or 'nothing'}.",
                (*at, "params", name),
                key=True,
            )
