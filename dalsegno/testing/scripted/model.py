"""`ScriptedChatModel`: a chat model that plays a script, for tests."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from operator import itemgetter
from typing import Any, Literal, Self

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import Field

from dalsegno.errors import DefinitionError, did_you_mean
from dalsegno.testing.scripted.answers import Played, message_tokens, played, words
from dalsegno.testing.scripted.calls import Call, Script
from dalsegno.testing.scripted.chunks import chunks
from dalsegno.testing.scripted.entries import Cut, Reply, is_function


class ScriptedChatModel(BaseChatModel):
    """A LangChain chat model that answers from a script, one entry a call.

    Parameters
    ----------
    script
        A list of answers: texts, `AIMessage`, tool calls ``{"name": ..., "args": ...}`` or lists of them, data
        (mappings, pydantic objects) for structured output, exceptions to raise, functions of the messages, or
        `Reply(answer, expect=, latency=, pause=, usage=, check=)`; `Cut(...)` for a stream that breaks off.
    then
        An entry that answers every call after the script. A function of the messages makes a model without a
        memory, which is what a run that is killed and resumed in another process needs.
    ordered
        True: call n plays entry n. False: a call plays the first entry whose `expect` holds, for branches that run
        side by side.
    model_name
        What `response_metadata` and callbacks are told.
    count_tokens
        The number of tokens of a text, for usage that the script does not give: words and marks. None: no usage.
    sleep, asleep
        How latencies are waited for, given the seconds.

    Raises
    ------
    ScriptNotFollowed
        From the call that is not as the script says: there is no answer left, the prompt is not the expected one, a
        tool call does not fit the bound tools; from `assert_done` when answers are left over.
    DefinitionError
        For a script that no model could play.

    Examples
    --------
    >>> with ScriptedChatModel(["Hello.", Reply("Rain.", expect="weather")]) as model:
    ...     str(model.invoke("Hi").text), str(model.invoke("How is the weather?").text)
    ('Hello.', 'Rain.')
    """

    script: Script = Field(repr=False, exclude=True)
    model_name: str = "scripted"
    count_tokens: Callable[[str], int] | None = Field(default=words, repr=False, exclude=True)
    sleep: Callable[[float], object] = Field(default=time.sleep, repr=False, exclude=True)
    asleep: Callable[[float], Awaitable[object]] = Field(default=asyncio.sleep, repr=False, exclude=True)

    def __init__(
        self, script: Iterable[Any] | Script, *, then: Any = None, ordered: bool = True, **fields: Any
    ) -> None:
        if not isinstance(script, Script):
            script = Script(script, then=then, ordered=ordered, server=False)
        # A cache, set for the whole process, would answer in the script's place.
        values: dict[str, Any] = {"script": script, "cache": False, **fields}
        super().__init__(**values)

    @property
    def calls(self) -> tuple[Call, ...]:
        """Every call until now: its messages, tools and keywords; those of copies and bindings too."""
        return self.script.calls

    def assert_done(self) -> None:
        """Raise `ScriptNotFollowed` if answers are left over, or if a call was not as the script says.

        The latter also if somebody caught the error: an agent that recovers from anything recovers from that, too.
        """
        self.script.assert_done()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if kind is None:
            self.assert_done()

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: Any = None,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Bind tools; what the script calls is checked against their schemas.

        `tool_choice` is a tool's name, ``"any"``, ``"required"``, True, ``"auto"``, ``"none"`` or OpenAI's mapping; a
        scripted answer has to respect it.

        Raises
        ------
        DefinitionError
            `tool_choice` names a tool that is not among them, which a provider refuses.
        """
        bound = [convert_to_openai_tool(tool, strict=strict) for tool in tools]
        if tool_choice:
            _check_choice(tool_choice, bound)
            kwargs["tool_choice"] = tool_choice
        return self.bind(tools=bound, **kwargs)

    def with_structured_output(
        self,
        schema: dict[str, Any] | type,
        *,
        include_raw: bool = False,
        method: Literal["function_calling", "json_schema", "json_mode"] = "function_calling",
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """Answers as objects of a schema, parsed by LangChain's own parsers.

        With ``method="function_calling"`` the script answers with a call of the schema's tool, with the other
        methods with JSON as its content; data in the script (a mapping, a pydantic object) is right for each.
        """
        if method == "function_calling":
            return super().with_structured_output(schema, include_raw=include_raw, **kwargs)
        if method not in ("json_schema", "json_mode"):
            raise DefinitionError(
                f"with_structured_output(method={method!r}): function_calling, json_schema or json_mode."
            )
        wanted: dict[str, Any] = {"type": "json_object"}
        if method == "json_schema":
            function = convert_to_openai_tool(schema, strict=strict)["function"]
            shape = {"name": function["name"], "schema": function["parameters"], "strict": strict}
            wanted = {"type": "json_schema", "json_schema": shape}
        model = self.bind(
            response_format=wanted,
            ls_structured_output_format={"kwargs": {"method": method}, "schema": schema},
            **kwargs,
        )
        parser: Runnable[Any, Any] = (
            PydanticOutputParser(pydantic_object=schema)
            if isinstance(schema, type) and is_basemodel_subclass(schema)
            else JsonOutputParser()
        )
        if not include_raw:
            return model | parser
        parsed = RunnablePassthrough.assign(parsed=itemgetter("raw") | parser, parsing_error=lambda _: None)
        unparsed = RunnablePassthrough.assign(parsed=lambda _: None)
        return RunnableMap(raw=model) | parsed.with_fallbacks([unparsed], exception_key="parsing_error")

    def get_num_tokens(self, text: str) -> int:
        """The tokens of a text, by `count_tokens`."""
        return (self.count_tokens or words)(text)

    def get_num_tokens_from_messages(self, messages: Sequence[BaseMessage], tools: Any = None) -> int:
        """The tokens of messages, by `count_tokens`; LangChain's default would download a tokenizer."""
        return sum(message_tokens(message, self.count_tokens or words) for message in messages)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model_name": self.model_name}

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return _result(self._play(messages, stop, kwargs))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return _result(await self._aplay(messages, stop, kwargs))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        answer = self._play(messages, stop, kwargs)
        for number, chunk in enumerate(_stream(answer)):
            if number and answer.pause:
                self.sleep(answer.pause)
            yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        answer = await self._aplay(messages, stop, kwargs)
        for number, chunk in enumerate(_stream(answer)):
            if number and answer.pause:
                await self.asleep(answer.pause)
            yield chunk

    def _play(self, messages: list[BaseMessage], stop: list[str] | None, kwargs: dict[str, Any]) -> Played:
        call, reply = self.script.take(partial(_call, messages, stop, kwargs))
        with self.script.watching(call):
            while True:
                if reply.latency:
                    self.sleep(reply.latency)
                if not is_function(reply.answer):
                    return self._played(call, reply)
                reply = self.script.follow(call, reply, reply.answer(list(call.messages)))  # type: ignore[operator]

    async def _aplay(
        self, messages: list[BaseMessage], stop: list[str] | None, kwargs: dict[str, Any]
    ) -> Played:
        call, reply = self.script.take(partial(_call, messages, stop, kwargs))
        with self.script.watching(call):
            while True:
                if reply.latency:
                    await self.asleep(reply.latency)
                if not is_function(reply.answer):
                    return self._played(call, reply)
                answer = reply.answer(list(call.messages))  # type: ignore[operator]
                answer = await answer if inspect.isawaitable(answer) else answer
                reply = self.script.follow(call, reply, answer)

    def _played(self, call: Call, reply: Reply) -> Played:
        return played(self.script, call, reply, model_name=self.model_name, count=self.count_tokens)


def _call(messages: list[BaseMessage], stop: list[str] | None, kwargs: dict[str, Any], number: int) -> Call:
    rest = {
        key: value for key, value in kwargs.items() if key not in ("tools", "ls_structured_output_format")
    }
    if stop:
        rest["stop"] = stop
    own = tuple(message.model_copy() for message in messages)
    return Call(number, own, tuple(kwargs.get("tools") or ()), rest)


def _result(answer: Played) -> ChatResult:
    if isinstance(answer.broken, Cut):
        raise answer.broken.error
    return ChatResult(generations=[ChatGeneration(message=answer.message)])


def _stream(answer: Played) -> Iterator[ChatGenerationChunk]:
    left = answer.broken.after if isinstance(answer.broken, Cut) else None
    for number, chunk in enumerate(chunks(answer.message)):
        if number == left:
            break
        yield ChatGenerationChunk(message=chunk)
    if isinstance(answer.broken, Cut):
        raise answer.broken.error


def _check_choice(choice: Any, bound: Sequence[dict[str, Any]]) -> None:
    names = [str((tool.get("function") or tool).get("name") or tool.get("type")) for tool in bound]
    if isinstance(choice, Mapping):
        choice = (choice.get("function") or choice).get("name") or choice.get("type")
    if isinstance(choice, str) and choice not in ("auto", "none", "any", "required", "function", *names):
        raise DefinitionError(
            f"bind_tools(tool_choice={choice!r}): no tool of that name is bound{did_you_mean(choice, names) or '.'} "
            f"Bound are {', '.join(names) or 'none'}."
        )
