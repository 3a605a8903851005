"""Agents: a model that is told something of the state, may use tools, and answers in a shape."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import ensure_config

from dalsegno.errors import DefinitionError, did_you_mean
from dalsegno.nodes.conducting import Conductor
from dalsegno.nodes.conversation import Answer, Offer, Rules, Talk, conversation
from dalsegno.nodes.kinds import KEYS, TEXT, Kind, check_kinds
from dalsegno.nodes.models import calls_of, check_model, resolved
from dalsegno.nodes.player import Player
from dalsegno.nodes.prompts import Prompt, Told
from dalsegno.nodes.structured import Output
from dalsegno.nodes.toolbox import Toolbox

MESSAGES = "messages"

_KINDS = {
    "name": TEXT,
    "writes": KEYS,
    "messages": Kind(lambda given: isinstance(given, str), "the name of a state key"),
}


def agent(
    model: Any,
    prompt: Prompt,
    *,
    output: Any = None,
    writes: str | Mapping[str, str] | None = None,
    tools: Sequence[Any] = (),
    messages: str | None = None,
    max_turns: int = 8,
    corrections: int = 2,
    max_tool_calls: int = 32,
    name: str | None = None,
) -> Agent:
    """An agent: a model is given a prompt made from the state, may use tools, and answers into the state.

    If an answer does not fit `output`, it goes back to the model with what is wrong, up to `corrections` times. If a
    tool fails, does not exist or is called with wrong arguments, its result says so. In the last of `max_turns` no
    tool is offered, so that the model answers with what it has.

    Parameters
    ----------
    model
        A LangChain chat model, or ``"provider:name"`` (extra `models`), which is looked up at the first use.
    prompt
        A text with ``{field}``s of the state (``{order.total}``; ``{feedback?}`` if it may be missing), a
        `ChatPromptTemplate`, or a function of the state that returns a text or messages.
    output
        The shape of the answer: a pydantic model, a TypedDict, a dataclass, a `Literal`. None: text.
    writes
        The state key for the whole answer, or ``{state key: field of output}``. None: the fields of `output` are
        state keys themselves. Without `output` either, the messages go to ``"messages"``.
    tools
        LangChain tools, plain typed functions, and `tool`, `agent`, `remote` players and workflows.
    messages
        The state key whose messages follow the prompt, unless the prompt brings them itself (a function that trims
        them, a template with a placeholder). Default: ``"messages"`` if the answer goes there.
    max_turns
        The most model calls of the tool loop. The last one is without tools.
    corrections
        The most further model calls for answers that do not fit.
    max_tool_calls
        The most tool calls of one execution. Further ones are not made, and the model is told.
    name
        The node's name. Default: ``"agent"``.

    Raises
    ------
    DefinitionError
        An option is not valid: a prompt that cannot be read, an answer with no place in the state, a bound below 1.

    Example
    -------
    >>> from dalsegno.testing import ScriptedChatModel
    >>> writer = agent(ScriptedChatModel(["Rain falls."]), "Write about {topic}.", writes="draft")
    >>> writer.invoke({"topic": "rain"})
    {'draft': 'Rain falls.'}
    """
    return Agent(
        model,
        prompt,
        output=output,
        writes=writes,
        tools=tools,
        messages=messages,
        max_turns=max_turns,
        corrections=corrections,
        max_tool_calls=max_tool_calls,
        name=name,
    )


class Agent(Player):
    """What `agent` returns; see there."""

    kind: ClassVar[Literal["agent"]] = "agent"

    def __init__(self, model: Any, prompt: Prompt, **options: Any) -> None:
        self._given: dict[str, Any] = {"model": model, "prompt": prompt, **options}
        check_kinds("agent", options, _KINDS)
        self.name = options["name"] or "agent"
        self.output = Output(options["output"]) if options["output"] is not None else None
        self.writes: str | Mapping[str, str] | None = options["writes"]
        for bound, least in (("max_turns", 1), ("corrections", 0), ("max_tool_calls", 0)):
            number = options[bound]
            if isinstance(number, bool) or not isinstance(number, int) or number < least:
                raise DefinitionError(f"agent({bound}={number!r}): a whole number, {least} or more.")
        self._check_writes()
        talks = self.output is None and self.writes is None
        self.told = Told(prompt, messages=options["messages"] or (MESSAGES if talks else None))
        self.toolbox = Toolbox(options["tools"], answer=None if self.output is None else self.output.name)
        needs = "with_structured_output" if self.output is not None else None
        check_model(model, needs="bind_tools" if len(self.toolbox) else needs)
        self.max_turns: int = options["max_turns"] if len(self.toolbox) else 1
        self.corrections: int = options["corrections"] if self.output is not None else 0
        self.max_tool_calls: int = options["max_tool_calls"]
        self._asked: dict[Offer, Runnable[Any, Any]] = {}
        self._lock = threading.Lock()

    def with_(self, **changes: Any) -> Agent:
        """A copy in which some of `agent`'s arguments are others.

        >>> from dalsegno.testing import ScriptedChatModel
        >>> one = agent(ScriptedChatModel(["Wind."]), "Write about {topic}.", writes="draft")
        >>> one.with_(writes="text", name="other").invoke({"topic": "wind"})
        {'text': 'Wind.'}
        """
        for name in changes:
            if name not in self._given:
                raise DefinitionError(
                    f"with_({name}=...): agent has no such argument{did_you_mean(name, self._given) or '.'}"
                )
        return type(self)(**{**self._given, **changes})

    @property
    def model(self) -> Any:
        """The chat model, or its name."""
        return self._given["model"]

    def declares(self) -> dict[str, Any]:
        """The most model calls of an execution, the state keys it reads and writes, and whether a tool has effects.

        Model calls: ``max_turns`` with tools, else 1; ``+ corrections`` with an `output`; and for tools that are
        agents or workflows ``+ max_tool_calls`` times the most calls of one of them (unknown where one's are unknown).
        A model with LangChain's retries or fallbacks around it counts each time as often as they may call.
        """
        said: dict[str, Any] = {"calls": self.most_calls, "writes": self._written()}
        if len(self.toolbox):
            said |= self.toolbox.effects()
        if self.told.reads is not None:
            said["reads"] = self.told.reads
        return said

    @property
    def optional(self) -> frozenset[str]:
        """What its prompt may do without."""
        return self.told.optional

    def functions(self) -> tuple[Any, ...]:
        """A prompt that is a function, and what is behind the tools."""
        prompt = self.told.prompt
        return (*([prompt] if callable(prompt) else []), *self.toolbox.functions())

    def answers(self) -> tuple[Any, ...]:
        """The type of the answer."""
        return (self.output.type,) if self.output is not None else ()

    def words(self) -> str:
        """The prompt, the shape of the answer, and the tools' names."""
        prompt = self.told.prompt if isinstance(self.told.prompt, str) else ""
        return f"{prompt} {self.output.schema if self.output is not None else None} {self.toolbox.names}"

    @property
    def most_calls(self) -> int | None:
        """The most model calls of an execution; None where a tool's are unknown."""
        inside = self.toolbox.most_calls
        if inside is None:
            return None
        asked = (self.max_turns + self.corrections) * calls_of(self._given["model"])
        return asked + self.max_tool_calls * inside

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> dict[str, Any]:
        """Ask the model, use the tools it calls, and return the update of the state.

        Raises
        ------
        FieldMissing
            The state lacks a field of the prompt.
        AnswerInvalid
            The model's answer did not fit, to the last correction.
        """
        self.toolbox.open()
        return self._update(self._conductor(input, config).run(self._talk(input)))

    async def ainvoke(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """`invoke` in the running event loop."""
        await self.toolbox.aopen()
        return self._update(await self._conductor(input, config).arun(self._talk(input)))

    # -- inside -------------------------------------------------------------------------------------

    def _talk(self, state: Any) -> Talk:
        rules = Rules(
            node=self.place,
            output=self.output,
            has_tools=len(self.toolbox) > 0,
            turns=self.max_turns,
            corrections=self.corrections,
            tool_calls=self.max_tool_calls,
        )
        return conversation(rules, self.told.to(state, node=self.place))

    def _conductor(self, state: Any, config: RunnableConfig | None) -> Conductor:
        return Conductor(self._asking, self.toolbox, self.output, state, ensure_config(config), self.place)

    def _asking(self, offer: Offer) -> Runnable[Any, Any]:
        """The model, with the tools and the schema it is offered."""
        with self._lock:
            if offer not in self._asked:
                self._asked[offer] = self._offering(resolved(self._given["model"]), offer)
            return self._asked[offer]

    def _offering(self, model: Any, offer: Offer) -> Runnable[Any, Any]:
        if offer == "none":
            if self.output is None:
                return model  # type: ignore[no-any-return]  # a chat model
            return model.with_structured_output(self.output.schema, include_raw=True)  # type: ignore[no-any-return]  # as before
        tools: list[Any] = list(self.toolbox.tools.values())
        if self.output is None:
            choice = {"tool_choice": "none"} if offer == "no more tools" else {}
            return model.bind_tools(tools, **choice)  # type: ignore[no-any-return]  # as before
        answer = {
            "type": "function",
            "function": {
                "name": self.output.name,
                "description": self.output.schema["description"],
                "parameters": {
                    k: v for k, v in self.output.schema.items() if k not in ("title", "description")
                },
            },
        }
        offered = [*tools, answer] if offer == "tools" else [answer]
        return model.bind_tools(offered, tool_choice="any")  # type: ignore[no-any-return]  # as before

    # -- what is written ----------------------------------------------------------------------------

    def _check_writes(self) -> None:
        writes, output = self.writes, self.output
        if isinstance(writes, Mapping):
            for key, field in writes.items():
                if output is None or field not in output.fields:
                    known = output.fields if output is not None else ()
                    raise DefinitionError(
                        f"agent(writes={{{key!r}: {field!r}}}): the output has no field `{field}`"
                        f"{did_you_mean(field, known) or '.'} It has {', '.join(f'`{f}`' for f in known) or 'none'}."
                    )
        elif writes is None and output is not None and not output.fields:
            raise DefinitionError(
                f"agent(output={output.type!r}): the answer has no fields that could be state keys. Say where it goes: "
                'writes="key".'
            )

    def _written(self) -> tuple[str, ...]:
        if isinstance(self.writes, str):
            return (self.writes,)
        if self.writes is not None:
            return tuple(self.writes)
        return self.output.fields if self.output is not None else (MESSAGES,)

    def _update(self, answer: Answer) -> dict[str, Any]:
        value, output = answer.value, self.output
        if isinstance(self.writes, str):
            return {self.writes: value}
        if output is None:
            return {MESSAGES: answer.messages}
        if self.writes is not None:
            return {key: output.part(value, field) for key, field in self.writes.items()}
        return output.parts(value)
