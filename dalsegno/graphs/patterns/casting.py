"""An actor becomes what a node can run: its answers are checked against its role, and go under the role's key."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Iterable, Mapping
from types import CoroutineType, GeneratorType
from typing import Any, get_args

from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langgraph.types import Command
from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from dalsegno.errors import DefinitionError, WrongAnswer, did_you_mean
from dalsegno.graphs import declarations as declared
from dalsegno.graphs.building import Builder
from dalsegno.graphs.calling import Caller
from dalsegno.nodes.looping import has_no_sync_way
from dalsegno.nodes.player import Player
from dalsegno.nodes.policies.fallback import is_called
from dalsegno.nodes.policies.watch import is_nothing
from dalsegno.nodes.structured import modern

_UNDONE: dict[type, str] = {
    CoroutineType: "Nobody awaits it: make the function that answers with it `async def`, and await there.",
    GeneratorType: "It does nothing until it is read: answer with what it gives, as a list.",
}
"""What is no answer yet, and why."""


@dataclasses.dataclass(frozen=True, eq=False)
class Answer:
    """What a role's answer is: the one place that tells an update from a value, and checks it.

    `key` takes a bare value, which is of `type`; with an `item` the key holds a mapping, and the value is that
    item of it. `keys` are those of the `state`. `is_watched`: an answer of nothing is left to the node's `Watch`.
    """

    pattern: str
    role: str
    key: str | None
    type: Any
    keys: frozenset[str]
    state: Any
    item: str | None = None
    is_watched: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "_validate", None if self.type is Any else _validator(self.type))

    def __call__(self, output: Any) -> Any:
        """An actor's answer as an update of the state.

        A dictionary whose keys are all keys of the state is an update, as is an object of the state's
        class; anything else is the value of the role's key.

        Raises
        ------
        WrongAnswer
            It is not of the role's type, or not there at all.
        """
        if self.key is None or isinstance(output, Command) or has_command(output):
            return output
        if type(output) in _UNDONE:
            output.close()
            raise self._wrong(output, f" {_UNDONE[type(output)]}")
        if self.is_watched and is_nothing(output):
            return {self.key: output}
        if _is_object_of(self.state, output):
            return output
        if type(output) is dict and output and output.keys() <= self.keys:
            return self._update(output)
        if isinstance(output, Mapping) and self._slipped(output) and not self._fits(output):
            raise self._wrong(output, self._slipped(output))
        if output is None and self.type is Any:
            raise self._wrong(output, "")
        return {self.key: self._placed(output)}

    def of_workflow(self, output: dict[str, Any]) -> dict[str, Any]:
        """A subworkflow's output, its keys mapped, as an update of the state."""
        if self.key is None:
            return output
        if self.key not in output:
            raise self._wrong(None, " The workflow ended without it.")
        return {**output, self.key: self._placed(output[self.key])}

    def _placed(self, value: Any) -> Any:
        checked = self._checked(value)
        return checked if self.item is None else {self.item: checked}

    def _update(self, update: dict[str, Any]) -> dict[str, Any]:
        if self.item is not None:
            if self.key not in update:
                return {**update, str(self.key): {self.item: None}}
            if not isinstance(update[self.key], Mapping):
                raise self._wrong(update, f" `{self.key}` holds the answers of all by their names.")
            return update
        if self.key not in update:
            raise self._wrong(update, f" It updates {', '.join(f'`{k}`' for k in update)}, not `{self.key}`.")
        value = update[self.key]
        checked = self._checked(value)
        return update if checked is value else {**update, self.key: checked}

    def _checked(self, value: Any) -> Any:
        validate = self._validate  # type: ignore[attr-defined]  # set in __post_init__, for it is frozen
        if validate is None:
            return value
        try:
            return validate(value)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise self._wrong(value, f" {f'`{place}`: ' if place else ''}{first['msg']}.") from None

    def _fits(self, value: Any) -> bool:
        """Whether it is of the role's type, where the role has one."""
        validate = self._validate  # type: ignore[attr-defined]  # set in __post_init__, for it is frozen
        try:
            return validate is not None and validate(value) is not None
        except ValidationError:
            return False

    def _slipped(self, output: Mapping[Any, Any]) -> str:
        """A word on a key that looks like a misspelt one of an update: one that has the role's own key, or nearly.

        Any other mapping is the answer itself, whatever its keys resemble.
        """
        meant: Iterable[str]
        if self.item is not None:  # its own key nobody writes
            meant = self.keys if any(key in self.keys for key in output) else ()
        else:
            meant = self.keys if self.key in output else (str(self.key),)
        for key in output:
            if isinstance(key, str) and key not in self.keys and (near := did_you_mean(key, meant)):
                return f" The state has no key `{key}`{near}"
        return ""

    def _wrong(self, got: Any, why: str) -> WrongAnswer:
        kind = (
            get_args(self.type)[0] if hasattr(self.type, "__metadata__") else self.type
        )  # without what it is held to
        is_plain = isinstance(kind, type) and not get_args(kind)
        expected = kind.__name__ if is_plain else str(kind).replace("typing.", "")
        return WrongAnswer(
            f"`{self.role}` of the pattern `{self.pattern}` answered {excerpt(got)}"
            f" ({type(got).__name__}), where {'an answer' if self.type is Any else expected} is expected for "
            f"`{self.key}`.{why} Return the answer itself, or an update {{{self.key!r}: ...}}.",
            pattern=self.pattern,
            role=self.role,
            expected=expected,
            got=type(got).__name__,
        )


def cast(
    actor: Any, answer: Answer, *, prompt: str | None, options: Mapping[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """What a node runs for an actor, and what that tells `add_node` beside it.

    Raises
    ------
    DefinitionError
        The actor cannot play at all, a model has no prompt to be asked with, or a workflow's keys do not
        meet those of the role.
    """
    if is_workflow(actor):
        _check_keys(actor, answer, options)
        return actor, {}
    if isinstance(actor, str) or _is_chat_model(actor):
        actor = _agent(actor, answer, prompt)
    if isinstance(actor, Player):
        return _adapted(actor, answer), {}
    if isinstance(actor, Runnable):
        if answer.key is None:
            return actor, {}
        return (_async_checked(actor, answer) if has_no_sync_way(actor) else _Checked(actor, answer)), {}
    if not callable(actor) or inspect.isclass(actor):
        raise DefinitionError(
            f"{answer.pattern}: `{answer.role}` is played by {actor!r}, which nothing can be asked of. Give a "
            'function, a chat model or its name ("provider:name"), an agent, a runnable or a workflow.'
        )
    if answer.key is None:
        return actor, {}
    return _function(actor, answer)


def stand_in(other: Any, answer: Answer, *, prompt: str | None, actor: Any) -> Any:
    """A fallback of a role, which answers as the role does; a constant is its answer.

    `actor` is who plays: what stands in for a workflow answers as its output, which is looked at later.

    Raises
    ------
    DefinitionError
        It cannot play the role, or is a constant that is no answer of it.
    """
    if is_workflow(actor):
        answer = dataclasses.replace(answer, item=None, type=Any)
    if is_called(other):
        return cast(other, answer, prompt=prompt, options={})[0]
    try:
        return answer(other)
    except WrongAnswer as error:
        raise DefinitionError(
            f"{answer.pattern}: the fallback {other!r} of `{answer.role}` is not an answer that it may give. {error}"
        ) from error


def is_workflow(actor: Any) -> bool:
    """Whether an actor is a graph: a `Workflow`, or one of LangGraph's."""
    return isinstance(actor, Builder) or hasattr(actor, "builder") or hasattr(actor, "waiting_edges")


def _function(actor: Any, answer: Answer) -> tuple[Any, dict[str, Any]]:
    hints = declared.hints_of(actor)
    known: dict[str, Any] = {}
    returned = hints.get("return")
    keys = declared.schema_keys(returned)
    if returned is not None and not (keys is not None and set(keys) <= answer.keys):
        del hints["return"]  # it is of the value, and says nothing of the state
        if not _may_be_update(returned):
            known["writes"] = (answer.key,)
    asked = _async_asked(actor, answer) if Caller(actor, name=answer.role).is_async else _asked(actor, answer)
    functools.update_wrapper(asked, actor, updated=())
    asked.__annotations__ = hints
    return asked, known


def _asked(actor: Any, answer: Answer) -> Any:
    def asked(*args: Any, **kwargs: Any) -> Any:
        return answer(actor(*args, **kwargs))

    return asked


def _async_asked(actor: Any, answer: Answer) -> Any:
    async def asked(*args: Any, **kwargs: Any) -> Any:
        return answer(await actor(*args, **kwargs))

    return asked


def _may_be_update(hint: Any) -> bool:
    return hint is Any or any(word in str(hint) for word in ("dict", "Dict", "Mapping", "Command"))


def _async_checked(actor: Runnable[Any, Any], answer: Answer) -> Any:
    async def asked(input: Any, config: RunnableConfig) -> Any:
        return answer(await actor.ainvoke(input, config))

    return RunnableLambda(asked, name=getattr(actor, "name", None))


class _Checked(Runnable[Any, Any]):
    """A runnable whose answers are checked."""

    def __init__(self, actor: Any, answer: Answer) -> None:
        self.actor = actor
        self.answer = answer
        self.name = getattr(actor, "name", None) or type(actor).__name__

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        return self.answer(self.actor.invoke(input, config, **kwargs))

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        return self.answer(await self.actor.ainvoke(input, config, **kwargs))


class _CheckedPlayer(Player):
    """A player whose answers are checked; it stays what it is in pictures and in the certificate."""

    def __init__(self, actor: Any, answer: Answer) -> None:
        self.actor = actor
        self.answer = answer
        self.name = actor.name
        self.kind = actor.kind  # type: ignore[misc]  # as the player that it stands for
        self.spares = actor.spares
        # What a player writes to a key that holds items is one of them, and no update of all.
        is_item = answer.item is not None and tuple(actor.declares().get("writes") or ()) == (answer.key,)
        self._checked = answer.of_workflow if is_item else answer

    def declares(self) -> Mapping[str, Any]:
        said: Mapping[str, Any] = self.actor.declares()
        return said

    def answers(self) -> tuple[Any, ...]:
        return tuple(self.actor.answers())

    def words(self) -> str:
        return str(self.actor.words())

    def functions(self) -> tuple[Any, ...]:
        return tuple(self.actor.functions())

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        return self._checked(self.actor.invoke(input, config, **kwargs))

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        return self._checked(await self.actor.ainvoke(input, config, **kwargs))


def _is_chat_model(actor: Any) -> bool:
    return hasattr(actor, "with_structured_output") and hasattr(actor, "bind_tools")


def _agent(model: Any, answer: Answer, prompt: str | None) -> Any:
    from dalsegno.nodes.agent import agent

    if prompt is None:
        own = ""
        if isinstance(model, str):
            own = f" {model!r} is taken for a model's name: if it is one of your functions, give the function itself."
        raise DefinitionError(
            f"{answer.pattern}: `{answer.role}` has no prompt of its own to ask a model with. Say what to do: "
            f'agent(model, "...", output=...).{own}'
        )
    return agent(model, prompt, output=_shape(answer), writes=answer.key, name=answer.role)


def _shape(answer: Answer) -> Any:
    """What a model is asked to answer; None is text."""
    return None if answer.type in (Any, str) else answer.type


def _adapted(actor: Any, answer: Answer) -> Any:
    """A player for its role: an agent that does not say where its answer goes is told."""
    if answer.key is None:
        return actor
    if getattr(actor, "with_", None) is not None and getattr(actor, "writes", None) is None:
        if actor.output is None:
            actor = actor.with_(output=_shape(answer), writes=answer.key)
        elif not set(actor.output.fields) <= answer.keys or not actor.output.fields:
            actor = actor.with_(writes=answer.key)
    return _CheckedPlayer(actor, answer)


def _check_keys(actor: Any, answer: Answer, options: Mapping[str, Any]) -> None:
    """Refuse a workflow that reads or gives other keys than the pattern has, before anything runs."""
    from dalsegno.graphs.checking import spec_of

    spec = spec_of(actor)
    inputs, outputs = options.get("inputs"), options.get("outputs")
    where = f"{answer.pattern}: `{answer.role}` is played by the workflow `{spec.name}`, "
    for kind, pairs, inner in (("inputs", inputs, spec.inputs), ("outputs", outputs, spec.outputs)):
        for left, right in (pairs or {}).items():
            its, ours = (left, right) if kind == "inputs" else (right, left)
            if its not in inner:
                raise DefinitionError(
                    f"{where}which has no key `{its}` among its {kind}{did_you_mean(its, inner) or '.'} "
                    f"It has {_listed(inner)}."
                )
            if ours not in answer.keys:
                raise DefinitionError(
                    f"{where}and its {kind} name `{ours}`, which is no key of the pattern's state"
                    f"{did_you_mean(ours, answer.keys) or '.'} That has {_listed(answer.keys)}."
                )
    given = set(outputs) if outputs is not None else spec.outputs & answer.keys
    if answer.key is not None and answer.key not in given:
        raise DefinitionError(
            f"{where}which gives no `{answer.key}`{did_you_mean(answer.key, spec.outputs) or '.'} Map one of its keys: "
            f'Node({spec.name}, outputs={{"{answer.key}": ...}}), of {_listed(spec.outputs)}.'
        )
    taken = set(inputs) if inputs is not None else spec.inputs & answer.keys
    if not taken:
        raise DefinitionError(
            f"{where}which would be given nothing, for no key of its input is one of the pattern's. Map them: "
            f"Node({spec.name}, inputs={{its key: one of {_listed(answer.keys)}}}); it takes {_listed(spec.inputs)}."
        )


def _listed(names: Any) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names)) or "none"


def _is_object_of(schema: Any, output: Any) -> bool:
    is_class = hasattr(schema, "model_fields") or dataclasses.is_dataclass(schema)
    return is_class and isinstance(output, schema)


def has_command(output: Any) -> bool:
    """Whether a node's output is several, a `Command` among them."""
    return isinstance(output, list | tuple) and any(isinstance(part, Command) for part in output)


def _validator(kind: Any) -> Any:
    kind = modern(kind)
    try:
        return TypeAdapter(kind, config=ConfigDict(arbitrary_types_allowed=True)).validate_python
    except PydanticUserError:  # a class that brings a configuration of its own
        return TypeAdapter(kind).validate_python


def excerpt(value: Any) -> str:
    """How a value is shown in an error: as Python writes it, cut after 119 characters."""
    shown = repr(value)
    return shown if len(shown) < 120 else f"{shown[:119]}…"
