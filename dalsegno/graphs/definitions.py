"""Nodes and routers as they were added: what runs, and what was said about it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from dalsegno.errors import DefinitionError
from dalsegno.graphs import declarations as declared
from dalsegno.graphs.model import Each, Loop, Place, Target, WorkflowSpec, text_of
from dalsegno.nodes.policies import Budget, Policies
from dalsegno.nodes.policies.case import is_fault
from dalsegno.nodes.policies.retry import means

Migration = Callable[[dict[str, Any]], Mapping[str, Any]]
"""A state of one version to a state of the next."""


@dataclass(eq=False)
class NodeDefinition:
    """A node as it was added: what runs, and what was said about it.

    `around` makes another `Caller` of the node's: a pattern's own layer, outside of all policies. `given` are the
    keywords that it was added with, and the budget of the workflow that it is.
    """

    name: str
    action: Any
    where: Place
    input_schema: Any = None
    sent_type: Any = None
    timeout: float | None = None
    policies: Policies = field(default_factory=Policies)
    destinations: dict[Hashable, Target] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    handler: NodeDefinition | None = None
    child: WorkflowSpec | None = None
    inputs: Mapping[str, str] | None = None
    outputs: Mapping[str, str] | None = None
    around: Callable[[Any], Any] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    said: dict[str, Any] = field(default_factory=dict)
    given: tuple[Mapping[str, Any], Budget | None] | None = None


@dataclass(frozen=True, eq=False)
class RouterDefinition:
    """A router as it was added: its answers and where they lead."""

    source: str
    name: str
    action: Any
    targets: Mapping[Hashable, Target]
    many: bool
    schema: Any
    where: Place


def node_definition(
    name: str, action: Any, where: Place, input_schema: Any = None, destinations: Any = None
) -> NodeDefinition:
    """What is said of a node by its annotations and by its destinations."""
    hint = declared.first_parameter(action)
    is_schema = declared.schema_keys(hint) is not None
    labels: dict[str, str] = {}
    if destinations is None:
        targets: dict[Hashable, Target] = {name: name for name in declared.command_targets(action)}
    else:
        items = (
            list(destinations.items())
            if isinstance(destinations, Mapping)
            else [(d, None) for d in _listed(destinations, where)]
        )
        for target, label in items:
            if isinstance(label, Loop | Each):
                raise DefinitionError(
                    f"{where}: the destinations {{{target!r}: {label!r}}} are the wrong way round: first the target, "
                    f"then its label, {{{label!r}: {target!r}}}."
                )
        said = [(_answer_of(target, where), target, label) for target, label in items]
        targets = _each_once(((answer, target) for answer, target, _ in said), where)
        _count_once(targets.values(), where)
        labels = {str(answer): str(label) for answer, _, label in said if label is not None}
    return NodeDefinition(
        name=name,
        action=action,
        where=where,
        input_schema=input_schema or (hint if is_schema else None),
        sent_type=hint if isinstance(hint, type) else None,
        destinations=targets,
        labels=labels,
    )


_WRITTEN: ContextVar[Place | None] = ContextVar("dalsegno_written", default=None)


@contextmanager
def written_at(place: Place | None) -> Iterator[None]:
    """What is declared inside was written there, and not where the stack begins: in a line of a document."""
    token = _WRITTEN.set(place)
    try:
        yield
    finally:
        _WRITTEN.reset(token)


def caller() -> Place:
    """The first place on the stack that is not in this package, or where `written_at` says."""
    written = _WRITTEN.get()
    if written is not None:
        return written
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] == "dalsegno":
        if frame.f_globals["__name__"].startswith("dalsegno.demo"):
            break
        frame = frame.f_back
    return Place(frame.f_code.co_filename, frame.f_lineno)


def name_of(action: Any) -> str:
    """A node's own name, where it has one."""
    name = _own_name(action)
    if name is None:
        raise DefinitionError(f'{action!r} has no name of its own: add_node("name", ...).')
    return name


def handler_name(action: Any) -> str:
    """What an error handler is called: by its own name, or as the function of a partial or the class of an object."""
    if own := _own_name(action):
        return own
    function = declared.function_of(action)
    name = _own_name(function) or "handler"
    return type(function.__self__).__name__ if name == "__call__" else name


def _own_name(action: Any) -> str | None:
    name = getattr(action, "name", None) if not hasattr(action, "__name__") else None
    if not isinstance(name, str):
        get_name = getattr(action, "get_name", None)
        name = get_name() if callable(get_name) else getattr(action, "__name__", None)
    return name if isinstance(name, str) and name != "<lambda>" else None


def targets_of(given: Any, where: Place) -> dict[Hashable, Target]:
    """A router's targets by its answers, from a mapping, a list or a single target."""
    if isinstance(given, Mapping):
        said = list(given.items())
    else:
        said = [(_answer_of(target, where), target) for target in _listed(given, where)]
    for _, target in said:
        _answer_of(target, where)
    return _each_once(said, where)


def check_source(source: Any, where: Place) -> None:
    """Raise where a router does not leave one node by its name."""
    if not isinstance(source, str):
        raise DefinitionError(f"{where}: a router leaves one node, by its name, not {source!r}.")


def _listed(given: Any, where: Place) -> Iterable[Any]:
    """Several targets, or one that stands alone."""
    if isinstance(given, str | Loop | Each):
        return [given]
    if not isinstance(given, Iterable):
        raise DefinitionError(f"{where}: {given!r} is no target, and no list of targets.")
    return given


def _answer_of(target: Any, where: Place) -> Hashable:
    """What chooses a target that stands in a list: its name; sends need none."""
    if not isinstance(target, str | Loop | Each):
        raise DefinitionError(
            f"{where}: {target!r} is no target. A target is a node's name, END, a Loop or an Each."
        )
    return target.target if isinstance(target, Loop) else target


def _each_once(said: Iterable[tuple[Hashable, Target]], where: Place) -> dict[Hashable, Target]:
    """The targets by their answers, none of which means two of them, and none of which is sent to twice."""
    targets: dict[Hashable, Target] = {}
    sent: dict[str, Each] = {}
    for answer, target in said:
        name = target if isinstance(target, str) else target.target
        other = sent.setdefault(name, target) if isinstance(target, Each) else targets.get(answer, target)
        if other != target:
            raise DefinitionError(
                f"{where}: `{name}` stands twice among the targets, as {other!r} and as {target!r}. Keep one."
            )
        targets[answer] = target
    return targets


def _count_once(targets: Iterable[Target], where: Place) -> None:
    """Destinations have one counter for each node that is gone back to: its loops have one `max`."""
    most: dict[str, int] = {}
    for target in targets:
        spent: Target | None = target
        while isinstance(spent, Loop):
            if most.setdefault(spent.target, spent.max) != spent.max:
                raise DefinitionError(
                    f"{where}: the destinations go back to `{spent.target}` by two loops, of max={most[spent.target]} "
                    f"and max={spent.max}, and both would have one counter. Say the same `max` in both."
                )
            spent = spent.on_exhausted


def check_answers(answers: Iterable[Hashable], router: str, where: Place) -> None:
    """Raise DefinitionError where an answer of a router is another text in every process."""
    for answer in answers:
        text = label_of(answer)
        if not isinstance(answer, str) and declared.without_addresses(text) != text:
            raise DefinitionError(
                f"{where}: the router `{router}` answers with `{text}`, which is another text in every process, so "
                "that a run could not go on in another one. Answer with a text, a member of an Enum or a class."
            )


def label_of(answer: Hashable) -> str:
    """A router's answer in words; sends without an answer of their own go by the name of their node."""
    return answer.target if isinstance(answer, Each) else text_of(answer)


def native_retry(policy: Any) -> Any:
    """LangGraph's own retry policy for one of ours, or for its own; retries run outside of the node's wrapper.

    What no policy deals with is not tried again there either.
    """
    from langgraph.types import RetryPolicy as Native

    if policy is None:
        return None
    if isinstance(policy, tuple | list) and not isinstance(policy, Native):  # which is a tuple itself
        return tuple(map(native_retry, policy))
    options = {
        f: getattr(policy, f)
        for f in ("max_attempts", "initial_interval", "backoff_factor", "max_interval", "jitter")
    }
    return Native(**options, retry_on=lambda error: is_fault(error) and means(policy.retry_on, error))
