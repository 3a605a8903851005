"""What an agent is asked, read off the state; and its answer, as an update of the state."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import SecretBytes, SecretStr, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic_core import PydanticSerializationError, SchemaError, to_jsonable_python

from dalsegno.errors import DefinitionError, PlayerError, did_you_mean
from dalsegno.nodes.fields import MISSING, field_of, left_out, names_of, needed, tops
from dalsegno.nodes.parts import parts
from dalsegno.nodes.prompts import Prompt, Told
from dalsegno.nodes.remote.request import Asked
from dalsegno.nodes.secrets import MASK
from dalsegno.nodes.structured import modern

Params = Mapping[str, str] | Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Question:
    """What an agent is asked: `params` as JSON values (None: none), `text` in words (A2A)."""

    params: Any = None
    text: str | None = None


class Exchange:
    """Which keys of the state are asked with, and which take the answer: `params`, `prompt`, `writes` and `output` of
    `remote`."""

    def __init__(
        self,
        *,
        params: Params | None,
        prompt: Prompt | None,
        writes: str | Mapping[str, str] | None,
        output: Any,
    ) -> None:
        if isinstance(params, Mapping):
            _check_names("params", params)
        elif params is not None and not callable(params):
            raise DefinitionError(
                f'remote(params={params!r}): parameters and state keys, {{"q": "question"}}, or a function of it.'
            )
        if isinstance(writes, Mapping):
            _check_names("writes", writes)
        elif writes is not None and not (isinstance(writes, str) and writes):
            raise DefinitionError(
                f'remote(writes={writes!r}): a state key, or state keys and fields of the answer, {{"key": "field"}}.'
            )
        self.has_prompt = prompt is not None
        self.has_params = params is not None
        self._params = params
        self._told = None if prompt is None else Told(prompt)
        self._writes = writes
        self._output = output
        try:
            self._adapter: TypeAdapter[Any] | None = None if output is None else TypeAdapter(modern(output))
        except (PydanticUserError, SchemaError, NameError, TypeError, LookupError, SyntaxError) as error:
            raise DefinitionError(
                f"remote(output={output!r}): pydantic cannot hold an answer to it: {error}. Use a pydantic model, a "
                "TypedDict or a dataclass."
            ) from error

    @property
    def reads(self) -> tuple[str, ...] | None:
        """The state keys that it is asked with; None where a function decides."""
        if callable(self._params) or (self._told is not None and self._told.reads is None):
            return None
        names = [key.removesuffix("?") for key in (self._params or {}).values()]
        return tops([*names, *((self._told.reads if self._told else None) or ())])

    @property
    def optional(self) -> frozenset[str]:
        """Those of them that may be missing."""
        named = [] if callable(self._params) else list((self._params or {}).values())
        told = self._told
        asked = (
            [] if told is None else [f"{key}?" if key in told.optional else key for key in told.reads or ()]
        )
        return left_out([*named, *asked])

    @property
    def written(self) -> tuple[str, ...] | None:
        """The state keys that take the answer; None where only the answer says."""
        if self._writes is None:
            return _fields_of(self._output)
        return (self._writes,) if isinstance(self._writes, str) else tuple(self._writes)

    def question(self, state: Any, node: str) -> Question:
        """What an agent is asked with this state.

        Raises
        ------
        FieldMissing
            The state lacks something.
        PlayerError
            Something is no JSON, or a secret.
        """
        text = None
        if self._told is not None:
            text = "\n\n".join(str(message.text) for message in self._told.to(state, node=node))
        if self._params is None:
            return Question(None, text)
        if callable(self._params):
            return Question(_plain(self._params(state), "params", node), text)
        values = {}
        for parameter, key in self._params.items():
            if key.endswith("?"):
                value = field_of(state, key[:-1])
                if value is MISSING:
                    continue
            else:
                value = needed(
                    state,
                    key,
                    node=node,
                    what=f"its parameter `{parameter}` (`{key}?` where it may be missing)",
                )
            values[parameter] = _plain(value, key, node)
        return Question(values, text)

    def update(self, answer: Any, asked: Asked) -> dict[str, Any]:
        """The state update that an answer makes.

        Raises
        ------
        RemoteAnswerInvalid
            The answer does not fit `output`, or lacks a field.
        """
        if self._adapter is not None:
            try:
                answer = self._adapter.validate_python(answer)
            except ValidationError as error:
                first = error.errors(include_url=False, include_input=False)[0]
                where = ".".join(str(part) for part in first["loc"])
                raise asked.invalid(
                    "does not fit",
                    f"answered with what is not as `output` says: {f'{where}: ' if where else ''}{first['msg']}",
                    _dumped(answer),
                ) from None  # pydantic's own error holds the whole answer
        if isinstance(self._writes, str):
            return {self._writes: answer}
        if self._writes is not None:
            return {key: _taken(answer, field, asked) for key, field in self._writes.items()}
        fields = names_of(answer)
        if isinstance(answer, Mapping):
            return {str(key): value for key, value in answer.items()}
        if not fields:
            raise asked.invalid(
                "does not fit",
                "answered with no object, whose fields would be state keys. Say where its answer goes: writes=KEY",
                _dumped(answer),
            )
        return {name: getattr(answer, name) for name in fields}


def _fields_of(output: Any) -> tuple[str, ...] | None:
    """The fields of an object's type; None where it is none."""
    if isinstance(output, type) and dataclasses.is_dataclass(output):  # its annotations are not its bases'
        return tuple(field.name for field in dataclasses.fields(output))
    fields = getattr(output, "model_fields", None) or getattr(output, "__annotations__", None)
    return tuple(fields) if fields else None


def _check_names(option: str, given: Mapping[Any, Any]) -> None:
    for name, source in given.items():
        if not (isinstance(name, str) and name and isinstance(source, str) and source.removesuffix("?")):
            raise DefinitionError(
                f"remote({option}={{{name!r}: {source!r}}}): both are names, as in {{'name': 'key'}}."
            )


def _plain(value: Any, key: str, node: str) -> Any:
    """A value of the state as JSON has it."""
    try:
        plain = to_jsonable_python(value)
        text = json.dumps(plain)
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise PlayerError(
            f"`{node}` cannot send `{key}`: a {type(value).__name__} is not JSON ({error}). Give `params` a function "
            "of the state that makes it plain.",
            node=node,
        ) from error
    is_one = isinstance(value, SecretStr | SecretBytes)
    if is_one or (MASK in text and _has_secret(value)):  # its mask would be sent
        raise PlayerError(
            f"`{node}` would send `{key}`, which {'is' if is_one else 'holds'} a secret. Credentials go with the "
            "request: headers={…}.",
            node=node,
        )
    return plain


def _has_secret(value: Any) -> bool:
    """Whether a secret is in a value that ends somewhere."""
    if isinstance(value, SecretStr | SecretBytes):
        return True
    inner = parts(value, ())
    return inner is not None and any(_has_secret(part.value) for part in inner)


def _taken(answer: Any, field: str, asked: Asked) -> Any:
    value = field_of(answer, field)
    if value is MISSING:
        known = names_of(answer) if not isinstance(answer, str | list) else []
        raise asked.invalid(
            "does not fit",
            f"answered without `{field}`{did_you_mean(field, known)}",
            _dumped(answer),
        )
    return value


def _dumped(answer: Any) -> str:
    try:
        return json.dumps(to_jsonable_python(answer, fallback=str), ensure_ascii=False)
    except (ValueError, RecursionError):
        return type(answer).__name__
