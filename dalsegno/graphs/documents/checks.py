"""What a document has to be beyond the shape of its fields."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from dalsegno.errors import AddressRefused, DalsegnoError, DefinitionError, DocumentInvalid, did_you_mean
from dalsegno.graphs.definition import (
    RESERVED_CALLS,
    RESERVED_KEYS,
    CallOfAgent,
    WorkflowDefinition,
    walk,
)
from dalsegno.graphs.documents.calls import Settings
from dalsegno.graphs.documents.flow import flow_problems
from dalsegno.graphs.documents.headers import wrong_in
from dalsegno.graphs.documents.parts import calls_of, parts_of
from dalsegno.graphs.documents.policies import CallPolicies
from dalsegno.graphs.documents.problems import FieldPath, Problem, field_text, invalid
from dalsegno.graphs.documents.schemas import held_to
from dalsegno.graphs.documents.states import fits, named_in
from dalsegno.graphs.documents.strategies import strategy_problems
from dalsegno.graphs.documents.subworkflows import child_problems
from dalsegno.graphs.loading import is_document
from dalsegno.graphs.names import KEPT
from dalsegno.nodes.remote import remote
from dalsegno.nodes.remote.addresses import guard_of
from dalsegno.nodes.remote.registry import agents_in


def check(definition: WorkflowDefinition, settings: Settings) -> None:
    """Refuse a document that cannot be meant.

    Raises
    ------
    DocumentInvalid
        With every problem, each with its place where the document was read from a file.
    """
    source = definition.source
    found = [] if definition.checked else list(problems_of(definition))
    found += _not_loaded(definition, settings)
    found += child_problems(definition, settings)
    if found:
        raise invalid(found) if source is None else source.invalid(found)


def problems_of(definition: WorkflowDefinition) -> Iterator[Problem]:
    """What is wrong with a document, as far as it can be seen without anything else."""
    yield from _duplicates(definition)
    yield from _inputs(definition)
    yield from strategy_problems(definition)
    if definition.defaults is not None:
        for name, said in wrong_in(definition.defaults.headers or {}):
            yield Problem(said, ("defaults", "headers", name))
    for call, at in calls_of(definition):
        yield from _of_call(call, at, definition)
    yield from _unreadable(definition)
    yield from flow_problems(definition)


def _duplicates(definition: WorkflowDefinition) -> Iterator[Problem]:
    seen: dict[str, FieldPath] = {}
    for step, at in walk(definition.steps):
        if step.name in seen:
            yield Problem(
                f"There is a step `{step.name}` already, as `{field_text(seen[step.name])}`. Every step has a name of "
                "its own, for its result is found by it.",
                (*at, "name"),
            )
        seen.setdefault(step.name, at)
        named: set[str] = set()
        for place, call in enumerate(step.agent_calls):
            if call.name is None:
                continue
            where = (*at, "agent_calls", place, "name")
            if call.name in named:
                yield Problem(f"There is a call `{call.name}` in this step already.", where)
            elif call.name in RESERVED_CALLS:
                yield Problem(
                    f"`{call.name}` is the name of a node that every such step has: choose another.", where
                )
            named.add(call.name)


def _inputs(definition: WorkflowDefinition) -> Iterator[Problem]:
    taken = dict.fromkeys(KEPT, "LangGraph keeps the name `{}` for itself")
    taken |= dict.fromkeys(("Config", "model_config"), "Pydantic keeps the name `{}` for itself")
    taken |= dict.fromkeys(RESERVED_KEYS, "`{}` is a key of every document's state")
    said = {
        name: f"{why.format(name)}: call that key of the input something else." for name, why in taken.items()
    }
    if definition.input is None:
        for name, _, at in named_in(definition):
            if name in said:
                yield Problem(said[name], at)
            elif name.startswith("_"):
                yield Problem(
                    f"`{name}`: a key of the input does not begin with `_`. Call it something else.", at
                )
    for name, key in definition.input_keys().items():
        if name in said:
            yield Problem(said[name], ("input", name), key=True)
        if key.has_default and key.default is not None and not fits(key.type, key.default):
            yield Problem(f"The default is no {key.type.removesuffix('?')}.", ("input", name, "default"))


def _of_call(call: CallOfAgent, at: FieldPath, definition: WorkflowDefinition) -> Iterator[Problem]:
    ways = [name for name in ("skill", "agent_url", "function") if getattr(call, name) is not None]
    if len(ways) != 1:
        said = f"there are {' and '.join(f'`{w}`' for w in ways)}" if ways else "there is none"
        yield Problem(f"Who is called? One of `skill`, `agent_url` and `function`: {said}.", at)
        return
    way = ways[0]
    if way == "skill" and definition.registry is None:
        yield Problem(
            "A skill is looked up in a registry, and the document has none: `registry: agents.yaml`.",
            (*at, "skill"),
        )
    if way == "agent_url" and call.protocol != "a2a" and call.method is None:
        yield Problem(
            "Which method of that agent? `method: …`; or `protocol: a2a`, which has none.", (*at, "agent_url")
        )
    if way == "function":
        for name in ("method", "protocol", "prompt", "headers"):
            if getattr(call, name) is not None:
                yield Problem(f"`{name}` is for agents, and this is a function.", (*at, name), key=True)
    elif call.calls is not None:
        yield Problem(
            "What an agent calls elsewhere is its own: `calls` is for functions.", (*at, "calls"), key=True
        )
    if call.protocol == "a2a":
        if call.method is not None:
            yield Problem("A2A has no methods: say what is asked with `prompt`.", (*at, "method"), key=True)
        if call.prompt is None and call.params is None:
            yield Problem("What is the agent asked? `prompt`, `params`, or both.", at)
    elif call.prompt is not None and (call.protocol == "jsonrpc" or way == "agent_url"):
        yield Problem(
            "JSON-RPC is asked with `params`; a prompt is for `protocol: a2a`.", (*at, "prompt"), key=True
        )
    if way != "function" and call.params is not None and not isinstance(call.params, dict | list | str):
        yield Problem("Params of an agent are a mapping or a list.", (*at, "params"))
    for name, said in wrong_in(call.headers or {}):
        yield Problem(said, (*at, "headers", name))
    if at[-1] == "fallback":
        for name in CallPolicies.model_fields:
            if getattr(call, name) is not None:
                yield Problem(
                    f"A fallback is asked once, in the time of the call that it answers for: `{name}` stands beside "
                    "that one.",
                    (*at, name),
                    key=True,
                )
    if call.output is not None:
        try:
            held_to(call.output)
        except DefinitionError as error:
            yield Problem(f"It is no JSON Schema: {error}", (*at, "output"))


def _unreadable(definition: WorkflowDefinition) -> Iterator[Problem]:
    for part in parts_of(definition):
        try:
            part.read()
        except DocumentInvalid as error:
            for problem in error.problems:
                yield replace(problem, path=(*part.path, *problem.path))


def _not_loaded(definition: WorkflowDefinition, settings: Settings) -> Iterator[Problem]:
    """Functions that are not there, and agents at addresses that cannot be, or are not allowed."""
    known: dict[tuple[str | None, ...], str | None] = {}
    try:
        guard_of(definition.allow_private)
    except DefinitionError as error:
        yield Problem(str(error), ("allow_private",))
        return
    skills = None
    if definition.registry is not None:
        try:
            remote("skill:any", registry=settings.registry, allow_private=definition.allow_private)
            if isinstance(settings.registry, Path):
                skills = _skills(settings.registry, definition.registry)
        except DalsegnoError as error:
            yield Problem(str(error), ("registry",))
    for call, at in calls_of(definition):
        if call.skill is not None:
            if skills is not None and call.skill not in skills:
                hint = did_you_mean(call.skill, skills)
                there = f" There are {', '.join(f'`{each}`' for each in sorted(skills))}." if not hint else ""
                yield Problem(
                    f"No agent of {definition.registry} has the skill `{call.skill}`{hint or '.'}{there}",
                    (*at, "skill"),
                )
            continue
        who = (call.function, call.agent_url, call.method, call.protocol)
        if who not in known:
            try:
                if call.function is not None:
                    settings.function(call.function)
                elif call.agent_url is not None:
                    known[who] = _unreachable(call, definition)
                known.setdefault(who, None)
            except DalsegnoError as error:
                known[who] = str(error)
        said = known[who]
        if said is not None:
            yield Problem(said, (*at, "function" if call.function is not None else "agent_url"))


def _skills(file: Path, given: str) -> set[str]:
    """The skills in a registry's file, as it is now.

    Raises
    ------
    DefinitionError
        There is no such file, or it is no registry.
    """
    try:
        agents = agents_in(file.read_text(encoding="utf-8"), given)
    except FileNotFoundError:
        beside = file.parent.iterdir() if file.parent.is_dir() else ()
        near = [each.name for each in beside if is_document(each.name)]
        hint = did_you_mean(file.name, near) or ". It is looked for from the document's folder on."
        raise DefinitionError(f"There is no file `{given}`{hint}") from None
    except OSError as error:
        raise DefinitionError(f"`{given}` cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise DefinitionError(f"`{given}` is no text in UTF-8, and so no registry.") from None
    except DefinitionError as error:
        raise DefinitionError(f"`{given}` is no registry of agents: {error}.") from None
    return {skill for agent in agents for skill in agent.skills}


def _unreachable(call: CallOfAgent, definition: WorkflowDefinition) -> str | None:
    """Why nobody can be at that URL, or may be."""
    a2a = call.protocol == "a2a"
    if not a2a and call.method is None:
        return None  # told already
    url = str(call.agent_url)
    if not url.lower().startswith(("http://", "https://")):
        return (
            f"`{url if '@' not in url else '…'}` is no address of an agent: it begins with `https://` or `http://`, "
            "and no reference is read in it. An agent of the registry is called by its `skill`."
        )
    try:
        remote(
            url,
            None if a2a else call.method,
            prompt="?" if a2a else None,
            protocol=call.protocol,
            allow_private=definition.allow_private,
        )
    except AddressRefused as error:
        return f"{str(error).partition(', so that')[0]}. If it is meant, say `allow_private: true`, or name it there."
    return None
