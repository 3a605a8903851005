"""Who may play a role in a pattern, and how that becomes a node.

A role is played by an *actor*: a function (sync or async), a chat model or its name
(``"provider:name"``), a player (`agent`, `tool`, `remote`, `human`), a LangChain runnable, or another
workflow, which a pattern is. `Node` says more about one: its name, its policies, how its keys are mapped.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from langgraph.types import Overwrite

from dalsegno.errors import DefinitionError, did_you_mean
from dalsegno.graphs.building import Builder
from dalsegno.graphs.definitions import name_of
from dalsegno.graphs.model import START
from dalsegno.graphs.patterns.around import Answered, Caught, Fell
from dalsegno.graphs.patterns.casting import Answer, cast, is_workflow, stand_in
from dalsegno.graphs.patterns.states import Failure, failure, reducer_of
from dalsegno.graphs.workflow import Workflow
from dalsegno.nodes.player import Player
from dalsegno.nodes.policies.fallback import Fallback, FromError, fallback_of
from dalsegno.nodes.policies.watch import watch_of

_KEYWORDS = frozenset(inspect.signature(Builder.add_node).parameters) - {"self", "node", "action"}


class Node:
    """An actor, with what is said about its node.

    Parameters
    ----------
    actor
        Who plays: a function, a model, a player, a runnable, a workflow.
    name
        The node's name. Default: the role's, or where there are several the actor's own.
    **options
        Keywords of `Workflow.add_node`: ``retry=``, ``timeout=`` seconds, ``calls=``, ``fallback=`` an actor or a
        constant, which answers as this one would; for a workflow ``inputs={its key: the pattern's key}`` and
        ``outputs={the pattern's key: its key}``.

    Raises
    ------
    DefinitionError
        A keyword is none of `add_node`.

    >>> Node(print, name="show", timeout=3)
    Node(print, name='show', timeout=3)
    """

    def __init__(self, actor: Any, /, *, name: str | None = None, **options: Any) -> None:
        for key in options:
            if key not in _KEYWORDS:
                raise DefinitionError(
                    f"{type(self).__name__}({key}=...): `add_node` has no such keyword"
                    f"{did_you_mean(key, _KEYWORDS) or '.'}"
                )
        self.actor = actor
        self.name = name
        self.options = options

    @classmethod
    def of(cls, given: Any) -> Any:
        """What was given, as one of these."""
        if isinstance(given, cls):
            return given
        if isinstance(given, Node):
            return cls(given.actor, name=given.name, **given.options)
        return cls(given)

    def __repr__(self) -> str:
        actor = getattr(self.actor, "__name__", None) or repr(self.actor)
        said = {"name": self.name} if self.name else {}
        said |= self.options
        return f"{type(self).__name__}({', '.join([actor, *(f'{k}={v!r}' for k, v in said.items())])})"


@dataclass(frozen=True, kw_only=True)
class Role:
    """What a pattern expects of an actor.

    Parameters
    ----------
    name
        The role's, and its node's.
    key
        The state key that takes its answer; None: any update of the state will do.
    item
        The key holds a mapping (reducer `merged`), and the answer is this item of it.
    type
        What the answer is, validated by pydantic: a class, a `TypedDict`, a `Literal`, an annotation.
    prompt
        What a chat model is asked by default, with ``{fields}`` of the state.
    """

    name: str
    key: str | None = None
    item: str | None = None
    type: Any = Any
    prompt: str | None = None


class Cast:
    """The nodes of one pattern: adds roles, and the pattern's own nodes, to its workflow.

    Parameters
    ----------
    pattern
        Its name, for messages.
    flow
        What the nodes are added to.
    options
        The pattern's `options=`: keywords of `add_node` by node.
    """

    def __init__(
        self, pattern: str, flow: Workflow, options: Mapping[str, Mapping[str, Any]] | None = None
    ) -> None:
        self.pattern = pattern
        self.flow = flow
        self._options = _checked_options(pattern, options)

    def add(
        self,
        role: Role,
        given: Any,
        *,
        on_failure: Any = None,
        around: Any = None,
        standing: Any = None,
        **said: Any,
    ) -> str:
        """Add a role's node and give its name.

        Parameters
        ----------
        given
            An actor, or a `Node`.
        on_failure
            ``(argument, error) -> update``: what an error becomes when retries and fallbacks are spent. None:
            it fails the run.
        around
            What makes another `Caller` of the node's, outside of its policies.
        standing
            ``fallback -> fallback``: what makes an answer of the role of each that the user gives. None: it answers as
            an actor of the role does.
        **said
            Keywords of `add_node` that the pattern knows; the user's win.
        """
        node: Node = Node.of(given)
        options = {**said, **node.options, **self._options.get(role.name, {})}
        watch = watch_of(options.get("watch"))
        answer = self._answer(role, is_watched=watch is not None and watch.empty)
        action, known = cast(node.actor, answer, prompt=role.prompt, options=options)
        options = {**known, **options}
        if standing is None and role.key is not None:
            standing = partial(stand_in, answer=answer, prompt=role.prompt, actor=node.actor)
        if standing is not None:
            options["fallback"] = _standing(options.get("fallback"), standing)
        own = action.declares() if isinstance(action, Player) else {}
        waits = bool(options.get("interrupts", own.get("interrupts")))
        if on_failure is not None and not waits:
            options["fallback"] = _caught(options.get("fallback"), on_failure)
        options["metadata"] = {"pattern": self.pattern, **(options.get("metadata") or {})}
        self._check_name(role.name)
        self.flow.add_node(role.name, action, **options)
        definition = self.flow.nodes[role.name]
        if is_workflow(node.actor) and role.key is not None:
            outer, around = around, lambda caller: Answered(caller, answer.of_workflow)
            if outer is not None:
                around = _both(outer, around)
        if on_failure is not None and waits:
            outer, around = around, partial(Caught, make=on_failure, retry=definition.options["retry_policy"])
            if outer is not None:
                around = _both(outer, around)
        definition.around = around
        return role.name

    def own(self, name: str, function: Any, **said: Any) -> str:
        """Add a node of the pattern's own, which calls no model, and give its name."""
        options = {"calls": 0, **said, **self._options.get(name, {})}
        options["metadata"] = {"pattern": self.pattern, **(options.get("metadata") or {})}
        self._check_name(name)
        self.flow.add_node(name, function, **options)
        return name

    def begin(self, **empty: Any) -> str:
        """Add the node `begin`, which forgets what an earlier turn of the thread left under those keys; give its name.

        A key with a reducer keeps what it was given, also in the next turn: a pattern that adds up there begins so.
        """

        hints = self.flow.annotations
        added = {key for key in empty if reducer_of(hints.get(key)) is not None}  # the others are simply set

        def begin(state: Any) -> dict[str, Any]:
            fresh = {key: copy.deepcopy(value) for key, value in empty.items()}
            return {key: Overwrite(value) if key in added else value for key, value in fresh.items()}

        self.own("begin", begin, reads=(), writes=tuple(empty))
        self.flow.add_edge(START, "begin")
        return "begin"

    def _check_name(self, name: str) -> None:
        if name in self.flow.nodes:
            raise DefinitionError(
                f"{self.pattern}: two of its nodes would be called `{name}`. Give yours another name, which the "
                f'pattern does not use itself: {{"another": ...}}, or Node(..., name="another").'
            )

    def _answer(self, role: Role, *, is_watched: bool) -> Answer:
        keys, state = frozenset(self.flow.annotations), self.flow.state_schema
        return Answer(self.pattern, role.name, role.key, role.type, keys, state, role.item, is_watched)


def _checked_options(pattern: str, options: Any) -> Mapping[str, Mapping[str, Any]]:
    """What a pattern was given as `options=`."""
    given = {} if options is None else options
    if not isinstance(given, Mapping) or not all(isinstance(said, Mapping) for said in given.values()):
        raise DefinitionError(
            f"{pattern}(options={options!r}): keywords of `add_node` by node are needed: "
            '{"name": {"timeout": 60}}.'
        )
    for node, said in given.items():
        for key in said:
            if key not in _KEYWORDS:
                raise DefinitionError(
                    f"{pattern}(options={{{node!r}: {{{key!r}: ...}}}}): `add_node` has no such keyword"
                    f"{did_you_mean(key, _KEYWORDS) or '.'}"
                )
    return given


def _both(outer: Any, inner: Any) -> Any:
    return lambda caller: outer(inner(caller))


def _standing(given: Any, make: Any) -> Fallback | None:
    before = fallback_of(given)
    if before is None:
        return None
    return Fallback(*(a if isinstance(a, FromError) else make(a) for a in before.answers), on=before.on)


def _caught(given: Any, make: Any) -> Fallback:
    def caught(argument: Any, error: Exception) -> Fell:
        return Fell(make(argument, error))

    before = fallback_of(given)
    if before is None:
        return Fallback(FromError(caught))
    return Fallback(*before.answers, FromError(caught), on=before.on)


def named(
    pattern: str, given: Any, *, least: int = 1, kind: type[Node] = Node, what: str = "actor"
) -> dict[str, Any]:
    """Several actors by the names of their nodes, in their order.

    Parameters
    ----------
    given
        A mapping ``{name: actor}``, or a sequence of actors, which are called by their `Node`'s name or
        their own.
    least
        How many there must be.
    kind
        `Node`, or a class of it, that each of them becomes.

    Raises
    ------
    DefinitionError
        There are too few, one has no name of its own, or two have the same.
    """
    items: Iterable[tuple[str | None, Any]]
    if isinstance(given, Mapping):
        items = [(str(name), actor) for name, actor in given.items()]
    elif isinstance(given, Iterable) and not isinstance(given, str):
        items = [(None, actor) for actor in given]
    else:
        raise DefinitionError(
            f"{pattern}: {given!r} are no {_several(what)}. Give a sequence, or a mapping {{name: {what}}}."
        )
    found: dict[str, Any] = {}
    for name, actor in items:
        node = kind.of(actor)
        chosen = name or node.name or _own_name(pattern, node, what)
        if chosen in found:
            raise DefinitionError(
                f"{pattern}: two {_several(what)} are called `{chosen}`. Name them: "
                f'{{"first": ..., "second": ...}}, or {kind.__name__}(..., name="second").'
            )
        found[chosen] = node
    if len(found) < least:
        raise DefinitionError(
            f"{pattern}: {len(found) or 'no'} {what if len(found) == 1 else _several(what)}, and at least {least} "
            f"{'is' if least == 1 else 'are'} needed."
        )
    return found


def apart(label: str, names: Collection[str]) -> str:
    """The label of a way that stands beside those to nodes of the user's: in brackets where one of them is called so.

    >>> apart("done", ["work"]), apart("done", ["done", "work"])
    ('done', '(done)')
    """
    while label in names:
        label = f"({label})"
    return label


def _several(what: str) -> str:
    return f"{what}es" if what.endswith("ch") else f"{what}s"


def _own_name(pattern: str, node: Node, what: str) -> str:
    try:
        return name_of(node.actor)
    except DefinitionError:
        raise DefinitionError(
            f"{pattern}: {node.actor!r} has no name of its own. Give a mapping {{name: {what}}}, or "
            f'{type(node).__name__}(..., name="...").'
        ) from None


def failed_as(name: str, key: str = "failures") -> Any:
    """An `on_failure` that collects the failure of that node in a list under `key`."""

    def collected(argument: Any, error: BaseException) -> dict[str, list[Failure]]:
        return {key: [failure(name, error)]}

    return collected
