"""Humans: a question that a run waits for without a process, and an answer of a declared shape."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal

from langchain_core.runnables import RunnableConfig
from langgraph.config import get_config
from langgraph.errors import GraphInterrupt
from langgraph.types import Interrupt, interrupt
from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic_core import SchemaError

from dalsegno.errors import DefinitionError, PlayerError
from dalsegno.nodes.effect import aeffect, effect
from dalsegno.nodes.execution import current_execution
from dalsegno.nodes.kinds import TEXT, check_kinds
from dalsegno.nodes.player import Player
from dalsegno.nodes.policies.clock import SYSTEM, Clock
from dalsegno.nodes.prompts import Told
from dalsegno.nodes.structured import modern, problems

NOTHING: Any = object()
LONGEST = 10**10
"""Seconds that a deadline may be away: three hundred years, which every calendar has."""


def human(
    question: str | Callable[[Any], str],
    *,
    answer: Any = str,
    writes: str,
    deadline: float | None = None,
    default: Any = NOTHING,
    name: str | None = None,
    clock: Clock = SYSTEM,
) -> Human:
    """A question to a human: the run waits, with no process, until `Runner.resume(thread, answer)`.

    An answer that does not fit is refused, and the question still waits. After a deadline, the first resume without an
    answer takes the default. Until then, a late answer still counts.

    Parameters
    ----------
    question
        A text with ``{field}``s of the state, or a function of the state.
    answer
        The type of the answer: `bool`, a `Literal`, a pydantic model, a TypedDict, a dataclass, `str`, `int`.
    writes
        The state key for the answer.
    deadline
        Seconds, from when the question was first asked, until the default is taken. None: it waits for ever.
    default
        The answer after the deadline. Needed if there is one.
    name
        The node's name. Default: ``"human"``.
    clock
        For tests: its `time()` returns unix seconds.

    Raises
    ------
    DefinitionError
        An option is not valid: a deadline without a default, a default that does not fit, a question that cannot be
        read.

    Example
    -------
    >>> from typing import Literal
    >>> ask = human("Publish {draft}?", answer=Literal["yes", "no"], writes="verdict", deadline=3600, default="no")
    >>> ask.declares()
    {'calls': 0, 'interrupts': 1, 'reads': ('draft',), 'writes': ('verdict',)}
    """
    return Human(
        question, answer=answer, writes=writes, deadline=deadline, default=default, name=name, clock=clock
    )


class Human(Player):
    """What `human` returns; see there.

    The interrupt's value is ``{"question"}``; with a deadline also ``"deadline"``, in ISO 8601, and ``"default"``;
    after an answer that only the type itself could refuse, ``"problem"``.
    """

    kind: ClassVar[Literal["human"]] = "human"

    def __init__(
        self,
        question: str | Callable[[Any], str],
        *,
        answer: Any,
        writes: str,
        deadline: float | None,
        default: Any,
        name: str | None,
        clock: Clock,
    ) -> None:
        check_kinds("human", {"name": name}, {"name": TEXT})
        self.name = name or "human"
        self.told = Told(question)
        self.writes = writes
        self.deadline = deadline
        self.clock = clock
        try:
            self.type = modern(answer)
            self._adapter: TypeAdapter[Any] = TypeAdapter(self.type)
            self.schema: dict[str, Any] = self._adapter.json_schema()
        except (PydanticUserError, SchemaError, NameError, TypeError, LookupError, SyntaxError) as error:
            raise DefinitionError(
                f"human(answer={answer!r}): pydantic has no JSON schema for it: {error}"
            ) from error
        if not isinstance(writes, str) or not writes:
            raise DefinitionError(f"human(writes={writes!r}): the state key that takes the answer.")
        if deadline is not None and (
            isinstance(deadline, bool)
            or not isinstance(deadline, int | float)
            or not 0 <= deadline <= LONGEST
        ):
            raise DefinitionError(
                f"human(deadline={deadline!r:.40}): seconds from when it is asked, 0 or more and at most {LONGEST:,}. "
                "Without one it waits for ever."
            )
        if (deadline is None) != (default is NOTHING):
            raise DefinitionError(
                "human(deadline=..., default=...): a deadline needs a default, and a default needs a deadline. Give "
                "both, or neither."
            )
        self.default = default
        if default is not NOTHING:
            try:
                self.default = self._adapter.validate_python(default)
            except ValidationError as error:
                raise DefinitionError(
                    f"human(default={default!r}): it does not fit `answer`: {problems(error)}"
                ) from error

    def declares(self) -> dict[str, Any]:
        """One interrupt, no model call, the state keys of the question and of the answer."""
        said: dict[str, Any] = {"calls": 0, "interrupts": 1}
        if self.told.reads is not None:
            said["reads"] = self.told.reads
        return {**said, "writes": (self.writes,)}

    def answers(self) -> tuple[Any, ...]:
        """The type of the answer."""
        return (self.type,)

    def words(self) -> str:
        """The question and the shape of the answer."""
        return f"{'' if callable(self.told.prompt) else self.told.prompt} {self.schema} {self.deadline}"

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> dict[str, Any]:
        """Ask, or go on with the answer that has come.

        Raises
        ------
        FieldMissing
            The state lacks a field of the question.
        GraphInterrupt
            LangGraph's signal that the run waits.
        """
        asked = effect("asked", self.clock.time) if self.deadline is not None else 0.0
        return self._answer(input, asked)

    async def ainvoke(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """`invoke` in the running event loop."""
        asked = await aeffect("asked", self._time) if self.deadline is not None else 0.0
        return self._answer(input, asked)

    async def _time(self) -> float:
        return self.clock.time()

    def _answer(self, state: Any, asked: float) -> dict[str, Any]:
        payload = self._payload(state, asked)
        try:
            return {self.writes: interrupt(payload, response_schema=self.type)}
        except ValidationError as error:
            # What a schema cannot say: nothing was saved, and the same question is asked again.
            again = {**payload, "problem": problems(error, self.type)}
            namespace = get_config()["configurable"]["checkpoint_ns"]
            raise GraphInterrupt(
                (Interrupt.from_ns(again, namespace, response_schema=self.schema),)
            ) from None
        except GraphInterrupt:
            if self.deadline is None or self.clock.time() < asked + self.deadline:
                raise
        execution = current_execution()
        if execution is not None and execution.context is not None:
            execution.context.acted(execution, "human", "default", {"deadline": payload["deadline"]})
        return {self.writes: copy.deepcopy(self.default)}  # a node may change what it is given

    def _question(self, state: Any) -> str:
        question = self.told.prompt
        if not callable(question):
            return str(self.told.to(state, node=self.place)[0].text)
        asked = question(state)
        if asked is None:
            raise PlayerError(
                f"The question of `{self.place}` is a function and gave None, where a text is needed.",
                node=self.place,
            )
        return str(asked)

    def _payload(self, state: Any, asked: float) -> dict[str, Any]:
        payload: dict[str, Any] = {"question": self._question(state)}
        if self.deadline is not None:
            until = datetime.fromtimestamp(asked + self.deadline, UTC)
            payload["deadline"] = until.isoformat(timespec="seconds")
            payload["default"] = self._adapter.dump_python(self.default, mode="json")
        return payload
