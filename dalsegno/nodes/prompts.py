"""What an agent is told: a text with fields of the state, a template of LangChain, or a function of the state."""

from __future__ import annotations

import dataclasses
import inspect
import string
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage, convert_to_messages
from langchain_core.prompt_values import PromptValue
from langchain_core.prompts import BasePromptTemplate
from pydantic import BaseModel
from pydantic_core import to_json

from dalsegno.errors import DefinitionError, PlayerError
from dalsegno.nodes.fields import MISSING, field_of, left_out, needed, tops

Prompt = str | BasePromptTemplate[Any] | Callable[[Any], Any]

_FORMATTER = string.Formatter()


class Told:
    """A prompt, ready to be filled in.

    Parameters
    ----------
    prompt
        A text with ``{field}``s of the state: dotted (``{order.total}``), with a format (``{price:.2f}``), with a
        question mark where it may be missing (``{feedback?}``, then it is empty). ``{{`` is a brace. Or a
        `ChatPromptTemplate`; or a function of the state that returns a text or messages.
    messages
        The state key whose messages follow the prompt, which is a system message then. A prompt that brings some of
        them itself is left as it is.

    Raises
    ------
    DefinitionError
        The text cannot be read: a brace is missing, a field has no name.
    """

    def __init__(self, prompt: Prompt, *, messages: str | None = None) -> None:
        self.prompt = prompt
        self.messages = messages
        self.parts = parsed(prompt) if isinstance(prompt, str) else ()
        if not isinstance(prompt, str | BasePromptTemplate) and not callable(prompt):
            raise DefinitionError(
                f"A prompt is a text, a ChatPromptTemplate or a function of the state, not {prompt!r}."
            )
        method = getattr(prompt, "__call__", None)  # noqa: B004 - of an object, to see if it is a coroutine
        if inspect.iscoroutinefunction(prompt) or inspect.iscoroutinefunction(method):
            raise DefinitionError(
                f"The prompt {getattr(prompt, '__name__', prompt)!r} is a coroutine function. What has to be waited "
                "for is a node before it, that writes it into the state."
            )

    @property
    def reads(self) -> tuple[str, ...] | None:
        """The state keys that it needs; None where a function decides."""
        if isinstance(self.prompt, str):
            names = [field.removesuffix("?") for _, field, _, _ in self.parts if field]
        elif isinstance(self.prompt, BasePromptTemplate):
            names = [*self.prompt.input_variables, *self.prompt.optional_variables]
        else:
            return None
        return tops([*names, *([self.messages] if self.messages else [])])

    @property
    def optional(self) -> frozenset[str]:
        """Those of them that may be missing."""
        if isinstance(self.prompt, str):
            return left_out(field for _, field, _, _ in self.parts if field)
        if isinstance(self.prompt, BasePromptTemplate):
            return frozenset(tops(self.prompt.optional_variables))
        return frozenset()

    def to(self, state: Any, *, node: str) -> list[BaseMessage]:
        """The messages for a state.

        Raises
        ------
        FieldMissing
            The state lacks a field of the prompt.
        """
        told: Any
        if isinstance(self.prompt, str):
            told = self._filled(state, node)
        elif isinstance(self.prompt, BasePromptTemplate):
            told = self._template(self.prompt, state, node)
        else:
            told = self.prompt(state)
            if not isinstance(told, str | BaseMessage | PromptValue | Sequence):
                raise PlayerError(
                    f"The prompt of `{node}` is a function and gave {type(told).__name__}, where a text or messages "
                    "are needed.",
                    node=node,
                )
        history = self._history(state)
        if isinstance(told, str):
            return [SystemMessage(told), *history] if history else [HumanMessage(told)]
        if isinstance(told, BaseMessage):
            return [told, *history]
        return self.followed(convert_to_messages(told), history, self.messages)

    def followed(
        self, said: list[BaseMessage], history: Sequence[BaseMessage], key: str | None
    ) -> list[BaseMessage]:
        """What the prompt said and the messages under a state key, where it does not bring some of them itself."""
        return said if self._brings(said, history, key) else [*said, *history]

    def _brings(self, said: Sequence[BaseMessage], history: Sequence[BaseMessage], key: str | None) -> bool:
        """Whether the prompt has messages of the state in it itself: trimmed by a function, or in a placeholder."""
        if isinstance(self.prompt, str):
            return False
        if isinstance(self.prompt, BasePromptTemplate):
            return key in (*self.prompt.input_variables, *self.prompt.optional_variables)
        before = {_mark(message) for message in history}
        return any(_mark(message) in before for message in said)

    def _history(self, state: Any) -> list[BaseMessage]:
        if self.messages is None:
            return []
        found = field_of(state, self.messages, default=None)
        if found is None:
            return []
        many = found if isinstance(found, Sequence) and not isinstance(found, str) else [found]
        return convert_to_messages(many)

    def _filled(self, state: Any, node: str) -> str:
        said = []
        for text, field, form, conversion in self.parts:
            said.append(text)
            if field is None:
                continue
            if field.endswith("?"):
                value = field_of(state, field[:-1], default=None)
                if value is None:
                    continue
            else:
                value = needed(state, field, node=node, what="its prompt (`{name?}` where it may be missing)")
            try:
                said.append(_shown(value, form, conversion))
            except (ValueError, TypeError) as error:
                raise PlayerError(
                    f"`{node}` cannot put `{field.removesuffix('?')}` into its prompt, for it is {type(value).__name__}"
                    f"{f' and asked for as `{form}`' if form else ''}: {error}.",
                    node=node,
                ) from error
        return "".join(said)

    def _template(self, template: BasePromptTemplate[Any], state: Any, node: str) -> list[BaseMessage]:
        values = {
            name: needed(state, name, node=node, what="its prompt") for name in template.input_variables
        }
        for name in template.optional_variables:
            value = field_of(state, name)
            if value is not MISSING:
                values[name] = value
        return template.invoke(values).to_messages()


def _mark(message: BaseMessage) -> tuple[str, str | None, str]:
    return message.type, message.id, repr(message.content)


def parsed(prompt: str) -> tuple[tuple[str, str | None, str, str | None], ...]:
    """The parts of a text with fields: the words before each, its name, its format and its conversion.

    >>> parsed("Write about {topic}.")
    (('Write about ', 'topic', '', None), ('.', None, '', None))
    """
    try:
        parts = tuple((t, f, s or "", c) for t, f, s, c in _FORMATTER.parse(prompt))
    except ValueError as error:
        raise DefinitionError(
            f"The prompt {prompt!r} cannot be read: {error}. A brace is written `{{{{`."
        ) from error
    for _, field, form, conversion in parts:
        if field is None:
            continue
        if conversion not in (None, "s", "r", "a") or "{" in form:
            raise DefinitionError(
                f"The prompt {prompt!r} has a field `{field}` in a format that cannot be read."
            )
        name = field.removesuffix("?").replace("[", ".").replace("]", "")
        if not all(part.lstrip("-").isalnum() or part.isidentifier() for part in name.split(".")):
            raise DefinitionError(
                f"The prompt {prompt!r} has a field {{{field}}} that names no state key. A brace that is meant as one "
                "is written twice: `{{` and `}}`."
            )
    return tuple(
        (t, None if f is None else f.replace("[", ".").replace("]", ""), s, c) for t, f, s, c in parts
    )


def _shown(value: Any, form: str, conversion: str | None) -> str:
    """A value in words: texts as they are, data as JSON."""
    if conversion or form:
        value = _FORMATTER.convert_field(value, conversion) if conversion else value
        return format(value, form)
    if isinstance(value, str):
        return value
    if isinstance(value, BaseMessage):
        return str(value.text)
    if isinstance(value, Sequence) and value and all(isinstance(each, BaseMessage) for each in value):
        return "\n".join(f"{each.type}: {each.text}" for each in value)
    if isinstance(value, Mapping | Sequence | BaseModel | set | frozenset) or dataclasses.is_dataclass(value):
        return to_json(value, fallback=str).decode()
    return str(value)
