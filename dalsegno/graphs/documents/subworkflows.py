"""A step that is another document, or a workflow in Python."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from dalsegno.errors import DefinitionError, DocumentInvalid, TargetNotLoaded, WrongAnswer, did_you_mean
from dalsegno.graphs.checking import spec_of
from dalsegno.graphs.definition import InputKey, Step, WorkflowDefinition, walk
from dalsegno.graphs.documents.calls import Child, Settings
from dalsegno.graphs.documents.composites import Composite, Outcome, within
from dalsegno.graphs.documents.filing import filed
from dalsegno.graphs.documents.kinds import described
from dalsegno.graphs.documents.problems import FieldPath, Problem
from dalsegno.graphs.documents.references import parse_value
from dalsegno.graphs.documents.scopes import View
from dalsegno.graphs.documents.states import fits, input_keys, typed
from dalsegno.graphs.loading import is_document, load_target
from dalsegno.graphs.model import END, START
from dalsegno.graphs.workflow import Workflow
from dalsegno.nodes.secrets import Secret

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
    marks: dict[str, Any] = dict.fromkeys(child.secrets, Annotated[Any, Secret])
    keys = {ours: marks.get(theirs, Any) for theirs, ours in (*asked.items(), *given.items())}
    keys["result"] = typed("Result", marks) if marks else Any
    needed = input_keys(child.graph.definition) if is_ours else None
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
        found = {} if found is None else found
        _check_input(step, found, needed)
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


def secret_results(definition: WorkflowDefinition, settings: Settings) -> Mapping[str, frozenset[str]]:
    """The secrets in the results of steps: what the workflows in Python give under keys that they mark so."""
    found: dict[str, frozenset[str]] = {}
    for step, at in walk(definition.steps):
        child = settings.children.get(at)
        if child is not None and not child.is_document and (marked := child.secrets & child.outputs):
            found[step.name] = found.get(step.name, frozenset()) | marked
    return found


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
            yield from _params(step, at, child)


def _loaded(target: str, settings: Settings) -> Child:
    if target.startswith(("http://", "https://")):
        raise DefinitionError(f"`{target}` is a URL, and a document is a file here: nothing is fetched.")
    if not is_document(target):
        return _child(_in_python(target, settings.folder))
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


def _in_python(target: str, folder: Path) -> Any:
    """A workflow of a file or module that is found from the document's folder; a module else from the current one."""
    try:
        return load_target(target, folder).graph
    except TargetNotLoaded as error:
        if error.reason != "no module":
            raise
        try:
            return load_target(target).graph
        except TargetNotLoaded as other:
            raise (error if other.reason == "no module" else other) from other.__cause__


def _child(graph: Any) -> Child:
    spec = spec_of(graph)
    marked = frozenset(name for name, key in spec.state.items() if key.secret)
    return Child(graph, spec.inputs, spec.outputs, marked)


def _check_input(step: Step, found: Any, keys: Mapping[str, InputKey] | None) -> None:
    """What another workflow is given is an object; of a document's input, that it is as declared."""
    if not isinstance(found, Mapping):
        raise _unfit(step, f"is {described(found)}, and an object is needed", "an object", described(found))
    if keys is None:
        return
    for name in found:
        if name not in keys:
            near = did_you_mean(str(name), keys) or f"; it takes {_listed(keys)}."
            raise _unfit(step, f"has `{name}`, which that does not take{near}", _listed(keys), f"`{name}`")
    for name, key in keys.items():
        kind, value = key.type.removesuffix("?"), found.get(name)
        if value is None and not key.optional and (name not in found or kind != "any"):
            raise _unfit(step, f"lacks `{name}` ({kind})", kind, "nothing")
        if value is not None and not fits(kind, value):
            raise _unfit(step, f"has {described(value)} as `{name}`, which is {kind}", kind, described(value))


def _unfit(step: Step, said: str, expected: str, got: str) -> WrongAnswer:
    return WrongAnswer(
        f"What step `{step.name}` gives to `{step.workflow}` (`params`) {said.removesuffix('.')}.",
        pattern="subworkflow",
        role="params",
        expected=expected,
        got=got,
    )


def _listed(names: Any) -> str:
    """Names in a sentence."""
    return ", ".join(f"`{name}`" for name in names) or "nothing"


def _params(step: Step, at: FieldPath, child: Child) -> Iterator[Problem]:
    known = sorted(child.inputs)
    if not isinstance(step.params, Mapping) and step.params is not None:
        return
    given = step.params or {}
    for name in given:
        if name not in known:
            yield Problem(
                f"`{step.workflow}` takes no `{name}`{did_you_mean(name, known) or '.'} It takes {_listed(known)}.",
                (*at, "params", name),
                key=True,
            )
    if not child.is_document or any(name not in known for name in given):
        return  # what is misspelt is not missing
    for name, key in input_keys(child.graph.definition).items():
        if name not in given and not key.optional:
            yield Problem(
                f"`{step.workflow}` needs `{name}` ({key.type}).",
                (*at, "params") if given else at,
                key=True,
            )
