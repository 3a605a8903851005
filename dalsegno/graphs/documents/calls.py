"""A call of a document as a player: an agent elsewhere, or a function in Python."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import run_in_executor
from pydantic import AfterValidator
from pydantic_core import to_jsonable_python

from dalsegno.errors import AnswerInvalid, DefinitionError, DocumentInvalid
from dalsegno.graphs.definition import CallOfAgent, FallbackValue, WorkflowDefinition
from dalsegno.graphs.documents.headers import sent
from dalsegno.graphs.documents.kinds import own
from dalsegno.graphs.documents.problems import FieldPath, Problem, invalid
from dalsegno.graphs.documents.references import Value, parse_value
from dalsegno.graphs.documents.schemas import held_to
from dalsegno.graphs.documents.scopes import View
from dalsegno.graphs.loading import load_function
from dalsegno.graphs.model import Place as Written
from dalsegno.nodes.background import BACKGROUND
from dalsegno.nodes.player import Player
from dalsegno.nodes.policies import Cache, Fallback, Timeout
from dalsegno.nodes.remote import remote

SECONDS = 60.0
"""How long an agent may take where the document says nothing, as `remote` has it."""

OWN = 10.0
"""How long a node may take that only keeps the books, in seconds: so that the certificate knows."""

_KEY = "answer"


def own_nodes(*names: str) -> dict[str, dict[str, Any]]:
    """`options=` of a pattern for its own nodes."""
    return {name: {"timeout": OWN} for name in names}


@dataclass(frozen=True)
class Child:
    """A workflow that is a step, the keys that it takes and gives, and which of its keys are marked as secrets."""

    graph: Any
    inputs: frozenset[str]
    outputs: frozenset[str]
    secrets: frozenset[str] = frozenset()
    is_document: bool = False


@dataclass(frozen=True)
class Settings:
    """What a document says for all of its calls: its name, its folder, its registry, what may be reached."""

    definition: WorkflowDefinition
    folder: Path
    within: tuple[str, ...] = ()
    """The documents that it is a part of, by their paths, from the outermost in."""
    children: dict[FieldPath, Child] = field(default_factory=dict, repr=False)
    """The workflows that are its steps, by where those stand."""
    documents: dict[str, Child] = field(default_factory=dict, repr=False)
    """The workflows of documents that it has inside at any depth, by their paths: each is built once."""
    _functions: dict[str, Callable[..., Any]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls,
        definition: WorkflowDefinition,
        folder: str | Path | None,
        within: tuple[str, ...] = (),
        documents: dict[str, Child] | None = None,
    ) -> Settings:
        """Those of a document; `folder` goes before its own."""
        source = definition.source
        own = Path(source.file).absolute().parent if source is not None else Path.cwd()
        folder = Path(folder).absolute() if folder is not None else own
        return cls(definition, folder, within, documents={} if documents is None else documents)

    def function(self, target: str) -> Callable[..., Any]:
        """A function that the document names, loaded once; raises as `load_function`."""
        if target not in self._functions:
            self._functions[target] = load_function(target, self.folder)
        return self._functions[target]

    def refused(self, error: DefinitionError, path: FieldPath) -> DefinitionError:
        """What a part of the document cannot be made into, with its line."""
        if isinstance(error, DocumentInvalid):
            return error
        source, problem = self.definition.source, Problem(str(error), path)
        return invalid([problem]) if source is None else source.invalid([problem])

    def place(self, path: FieldPath) -> Written | None:
        """The line in which a part of the document is; None where it was not read from one."""
        source = self.definition.source
        if source is None:
            return None
        place = source.place(path)
        return Written(place.file, place.line)

    @property
    def registry(self) -> str | Path | None:
        """The registry: a URL, or the path of a file."""
        given = self.definition.registry
        if given is None or given.startswith(("http://", "https://")):
            return given
        return (self.folder / given).absolute()


class Place:
    """Where an answer goes: a key of the state, or one item of the mapping under that key; with a `label` beside it.

    A pattern puts the answer of its actor under the item itself, but not that of a fallback: `whole` says that it is
    put there already.
    """

    def __init__(self, name: str | None, item: str | None = None, label: str | None = None) -> None:
        self.name, self.item, self.label = name, item, label

    def update(self, answer: Any, *, whole: bool = False) -> dict[str, Any]:
        """The update of the state."""
        if self.name is None:
            return {}
        if self.label is not None:
            answer = [self.label, answer]
        return {self.name: {self.item: answer} if whole and self.item is not None else answer}


class Call(Player):
    """An agent or a function that is asked with the params of a document's call.

    `place` says where its answer goes, `whole` that it is a fallback's.
    """

    def __init__(
        self,
        call: CallOfAgent,
        *,
        name: str,
        view: View,
        place: Place,
        settings: Settings,
        seconds: float | None,
        whole: bool = False,
    ) -> None:
        self.name = name
        self.kind: Literal["remote", "tool"] = "tool" if call.function is not None else "remote"  # type: ignore[misc]
        self._call, self._view, self._place, self._whole = call, view, place, whole
        self.writes = place.name
        self._params = parse_value(call.params)
        self._prompt = None if call.prompt is None else parse_value(call.prompt).as_text()
        self._fits = None if call.output is None else held_to(call.output)
        self._function: Callable[..., Any] | None = None
        self._remote: Any = None
        if call.function is not None:
            self._function = settings.function(call.function)
        else:
            self._remote = self._agent(settings, seconds)

    def _agent(self, settings: Settings, seconds: float | None) -> Any:
        call = self._call
        asked: dict[str, Any] = {}
        if call.params is not None or call.protocol != "a2a":
            asked["params"] = self.params
        if self._prompt is not None:
            asked["prompt"] = self.prompt
        if self._fits is not None:
            asked["output"] = Annotated[Any, AfterValidator(self._fits)]
        if call.skill is not None:
            asked["registry"] = settings.registry
        defaults = settings.definition.defaults
        headers = call.headers if call.headers is not None or defaults is None else defaults.headers
        if headers:
            asked["headers"] = partial(sent, headers)
        return remote(
            f"skill:{call.skill}" if call.skill is not None else str(call.agent_url),
            call.method,
            protocol=call.protocol,
            writes=_KEY,
            allow_private=settings.definition.allow_private,
            # The node's own timeout is the one that ends it.
            timeout=SECONDS if seconds is None else 2 * seconds,
            name=self.name,
            **asked,
        )

    def declares(self) -> Mapping[str, Any]:
        """No model is called in this process by an agent elsewhere; of a function what the document says."""
        writes = {"writes": (self._place.name,)} if self._place.name is not None else {}
        return {"calls": 0 if self._function is None else self._call.calls, **writes}

    def functions(self) -> tuple[Any, ...]:
        """What it calls in this process."""
        return () if self._function is None else (self._function,)

    def words(self) -> str:
        """What the document says of it."""
        return json.dumps(self._call.model_dump(mode="json", exclude_unset=True), sort_keys=True)

    def params(self, state: Any) -> Any:
        """What is asked in that state."""
        found = self._params.resolve(self._view.scope(state))
        return {} if found is None and self._function is None else found

    def prompt(self, state: Any) -> str:
        """What is asked in words in that state."""
        assert self._prompt is not None
        return str(self._prompt.resolve(self._view.scope(state)))

    def asked(self, state: Any) -> Any:
        """What tells one question from another."""
        return [self.params(state), self.prompt(state) if self._prompt is not None else None]

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> dict[str, Any]:
        """Ask, and give the answer its place."""
        if self._function is None:
            answer = self._remote.invoke(input, config)[_KEY]
        else:
            answer = self._function(own(self.params(input)))
            if inspect.isawaitable(answer):
                answer = BACKGROUND.run(_awaited(answer))
            answer = self._checked(answer)
        return self._place.update(answer, whole=self._whole)

    async def ainvoke(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """`invoke` in the running event loop."""
        function = self._function
        if function is None:
            answer = (await self._remote.ainvoke(input, config))[_KEY]
        else:
            params = own(self.params(input))
            if inspect.iscoroutinefunction(function):
                answer = await function(params)
            else:
                answer = await run_in_executor(None, function, params)
                if inspect.isawaitable(answer):
                    answer = await answer
            answer = self._checked(answer)
        return self._place.update(answer, whole=self._whole)

    def _checked(self, answer: Any) -> Any:
        """A function's answer as plain data, which is what references look into."""
        node = self.place
        problem = "it is no plain data"
        try:
            plain = to_jsonable_python(answer)
            if self._fits is not None:
                problem = "it is not as `output` says"
                self._fits(plain)
        except Exception as error:
            raise AnswerInvalid(
                f"`{node}`: `{self._call.function}` gave a {type(answer).__name__}, and {problem}: {error}",
                node=node,
                said=repr(answer)[:200],
                problem=str(error),
                asked=1,
            ) from error
        return plain


async def _awaited(answer: Any) -> Any:
    return await answer


class Instead(Player):
    """A value that stands in for an answer, with references in it."""

    kind = "tool"

    def __init__(self, value: Value, *, view: View, place: Place) -> None:
        self.name = "value"
        self._value, self._view, self._place = value, view, place

    def declares(self) -> Mapping[str, Any]:
        """It calls no model."""
        return {"calls": 0}

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> dict[str, Any]:
        """Give the value its place."""
        return self._place.update(self._value.resolve(self._view.scope(input)), whole=True)

    async def ainvoke(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """`invoke` in the running event loop."""
        return self.invoke(input)


def played(
    call: CallOfAgent, *, name: str, view: View, place: Place, settings: Settings
) -> tuple[Call, dict[str, Any]]:
    """Who plays a call, and the policies around its node as keywords of `Workflow.add_node`."""
    options = call.around(settings.definition.defaults if call.function is None else None)
    timeout = options.get("timeout")
    if timeout is None and call.function is None:
        options["timeout"] = timeout = Timeout(attempt=SECONDS)
    seconds = timeout.seconds if timeout is not None else None
    defaults = settings.definition.defaults
    idempotent = call.idempotent
    if idempotent is None and defaults is not None and call.function is None:
        idempotent = defaults.idempotent
    said = {"effect": call.effect, "idempotent": idempotent}
    options |= {what: value for what, value in said.items() if value is not None}
    player = Call(call, name=name, view=view, place=place, settings=settings, seconds=seconds)
    if "cache" in options:
        cache: Cache = options["cache"]
        options["cache"] = Cache(key=player.asked, ttl=cache.ttl, max_entries=cache.max_entries)
    answers: list[Any] = []
    other = call.fallback
    while other is not None:
        if isinstance(other, FallbackValue):
            value = parse_value(other.value)
            instead = Instead(value, view=view, place=place)
            answers.append(instead if "$" in json.dumps(other.value) else instead.invoke({}))
            break
        options_of_other = other.around(settings.definition.defaults)
        limit = options_of_other.get("timeout")
        answers.append(
            Call(
                other,
                name=other.name or other.target,
                view=view,
                place=place,
                settings=settings,
                seconds=limit.seconds if limit is not None else seconds,
                whole=True,
            )
        )
        other = other.fallback
    if answers:
        options["fallback"] = Fallback(*answers)
    return player, options
