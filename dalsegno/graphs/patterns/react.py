"""Pattern 9: reason, act, observe, until there is an answer."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from langchain_core.messages import AnyMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config
from typing_extensions import TypedDict  # pydantic validates these on Python 3.11 too

from dalsegno.errors import DefinitionError
from dalsegno.graphs.model import END, Loop
from dalsegno.graphs.patterns.catalog import pattern
from dalsegno.graphs.patterns.counting import whole
from dalsegno.graphs.patterns.roles import Cast, Role
from dalsegno.graphs.patterns.states import read
from dalsegno.graphs.patterns.turning import Tools, acts, answer_in, message_of, turn_number, turn_of
from dalsegno.graphs.workflow import Workflow
from dalsegno.nodes.player import Player

_REASON = """Do what is asked. Think about what you need to know for it, call tools to find it out, and look at what
they give. Where a tool fails, read why, and call it otherwise. As soon as you know enough, answer.

{request}"""


class React(TypedDict, total=False):
    """The state: extend it for a reasoner that needs more.

    - `request`: what is asked for
    - `messages`: the turns: calls, and their results
    - `said`: what the reasoner says in this turn
    - `answer`: set at the end
    - `outcome`: set at the end: ``"answered"``, or ``"out of turns"`` if the last turn still called tools
    """

    request: Any
    messages: Annotated[list[AnyMessage], operator.add]
    said: Any
    answer: Any
    outcome: Literal["answered", "out of turns"]


@pattern(9, bound="2 * max_turns + 1")
def react(
    reason: Any,
    tools: Sequence[Any],
    *,
    max_turns: int = 8,
    max_calls: int = 16,
    state: Any = React,
    name: str = "react",
    version: str = "1",
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Workflow:
    """Think, call tools, look at the results, and think again, until there is an answer.

    When
    ----
    The next thing to find out depends on what was found out before. Most of what is called an agent is this pattern.
    Every turn is a node: it is committed, and a run that was killed continues in the middle of the conversation.

    When not
    --------
    - The steps are known: `sequential`.
    - The steps can be planned before the first one: `plan_and_execute`.
    - A few quick calls are enough, and nobody needs to see their turns: ``agent(model, prompt, tools=...)`` does it
      in one node.

    Parameters
    ----------
    reason
        A chat model, or ``agent(model, prompt)``; or ``state -> calls or answer``, which reads ``state["request"]``
        and ``state["messages"]``. Calls are ``{"name": tool, "args": {...}}``, one or a list of them; anything else
        is the answer.
    tools
        LangChain tools, plain typed functions, players and workflows.
    max_turns
        How often it reasons. In the last turn a model is offered no tool, and is told to answer.
    max_calls
        The most calls of tools in one turn, side by side.
    state
        `React` or a schema with its keys.
    options
        Keywords of `Workflow.add_node` by node: ``{"reason": {"timeout": 60}}``.

    Bound
    -----
    `begin`; a superstep to reason for each of `max_turns`, and one to act after all but the last; and the end.

    Failure
    -------
    If a tool fails, does not exist or is called with wrong arguments, a message says so, and the reasoner can correct
    itself. If the turns are used up, `outcome` is ``"out of turns"`` and `answer` is None. If a reasoner fails, the
    run fails, and is resumed in that turn.

    Source
    ------
    Yao et al., "ReAct: Synergizing Reasoning and Acting in Language Models" (2022).

    Example
    -------
    >>> from dalsegno.graphs.patterns import react
    >>> def weather(place: str) -> str:
    ...     "The weather at a place."
    ...     return {"Rome": "sunny"}[place]
    >>> def reason(state):
    ...     if not state["messages"]:
    ...         return {"name": "weather", "args": {"place": state["request"]}}
    ...     return f"It is {state['messages'][-1].text}."
    >>> flow = react(reason, [weather])
    >>> given = {"request": "Rome"}
    >>> flow.compile().invoke(given)["answer"]
    'It is sunny.'
    """
    whole("react", 1, max_turns=max_turns, max_calls=max_calls)
    used = Tools(tools, max_calls)
    if not len(used.box):
        raise DefinitionError(
            "react: no tools, and at least 1 is needed. Without any, use `chain_of_thought`."
        )
    flow = Workflow(name, state, version=version)
    cast = Cast("react", flow, options)
    begin = cast.begin(messages=[])

    def last(state: Any) -> bool:
        return turn_number(state) >= max_turns

    thinker = turn_of(reason, used.box, pattern="react", prompt=_REASON, key="said", last=last, name="reason")
    cast.add(Role(name="reason", key="said"), thinker)

    def respond(state: Any) -> dict[str, Any]:
        said = read(state, "said")
        if acts(said):
            return {"answer": None, "outcome": "out of turns"}
        return {"messages": [message_of(said)], "answer": answer_in(said), "outcome": "answered"}

    cast.own("respond", respond)
    again: str | Loop = "respond"
    if max_turns > 1:
        cast.own("act", _Act(used), calls=used.most_model_calls)
        flow.add_edge("act", "reason")
        again = Loop("act", max=max_turns - 1, on_exhausted="respond")
    flow.add_edge(begin, "reason").add_edge("respond", END)
    return flow.add_conditional_edges("reason", _acts, {"answer": "respond", "calls": again})


def _acts(state: Any) -> Literal["answer", "calls"]:
    return "calls" if acts(read(state, "said")) else "answer"


class _Act(Player):
    """Uses the tools that were called, and counts the turn."""

    kind: ClassVar[Literal["tool"]] = "tool"
    name = "act"

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def declares(self) -> Mapping[str, Any]:
        return {"reads": ("said", "messages"), "writes": ("messages",), **self._tools.box.effects()}

    def functions(self) -> tuple[Any, ...]:
        return self._tools.box.functions()

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> dict[str, Any]:
        said, turn = read(input, "said"), turn_number(input)
        results = self._tools.use(said, turn, input, ensure_config(config))
        return {"messages": [message_of(said, turn), *results]}

    async def ainvoke(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        said, turn = read(input, "said"), turn_number(input)
        results = await self._tools.ause(said, turn, input, ensure_config(config))
        return {"messages": [message_of(said, turn), *results]}
