"""Pattern 15: equals hand over to each other, and nobody conducts."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config
from langchain_core.tools import StructuredTool
from langgraph.types import Overwrite
from typing_extensions import TypedDict  # pydantic validates these on Python 3.11 too

from dalsegno.graphs.model import END, START, Loop
from dalsegno.graphs.patterns.catalog import pattern
from dalsegno.graphs.patterns.counting import whole
from dalsegno.graphs.patterns.roles import Cast, Role, named
from dalsegno.graphs.patterns.states import read
from dalsegno.graphs.patterns.turning import (
    Tools,
    acts,
    answer_in,
    calls_in,
    message_of,
    turn_number,
    turn_of,
)
from dalsegno.graphs.patterns.working import Worker, doubled, roster
from dalsegno.graphs.workflow import Workflow
from dalsegno.nodes.labels import tool_name
from dalsegno.nodes.player import Player

HAND_OVER = "hand_over_to_"
"""How the tools are called that hand over: ``hand_over_to_`` and the name of the peer. A model is told a name that it
can call; others may always say it so."""

_TALK = """You are `{name}`{about}. Do of this what you are good at, and hand over to somebody else for what you are
not. Whoever can finish it, answers.

{others}

{{request}}"""


class Peer(Worker):
    """One of several equals: an actor, what it is good at, and the tools it may call.

    Parameters
    ----------
    tools
        LangChain tools, plain typed functions, players and workflows, for this peer alone.
    about
        What it is good at, for the others.
    """

    def __init__(
        self,
        actor: Any,
        /,
        *,
        name: str | None = None,
        about: str | None = None,
        tools: Sequence[Any] = (),
        **options: Any,
    ) -> None:
        super().__init__(actor, name=name, about=about, **options)
        self.tools = tuple(tools)


class Handover(TypedDict):
    """Who handed over to whom, and with which words."""

    by: str
    to: str
    message: str


class Peers(TypedDict, total=False):
    """The state: extend it for peers that need more.

    - `request`: what is asked for
    - `speaker`: whose turn it is
    - `messages`: what all of them have said so far
    - `said`: what was said in this turn
    - `handovers`: who handed over to whom
    - `returns`: how often it came straight back, with nothing done
    - `answer`, `answered_by`: set at the end
    - `outcome`: set at the end: ``"answered"``, ``"ping-pong"`` if it came straight back too often, or
      ``"out of turns"``
    """

    request: Any
    speaker: str
    messages: Annotated[list[AnyMessage], operator.add]
    said: Any
    handovers: Annotated[list[Handover], operator.add]
    returns: int
    answer: Any
    answered_by: str | None
    outcome: Literal["answered", "ping-pong", "out of turns"]


@pattern(15, bound="3 * max_turns + 1")
def peer_to_peer(
    peers: Sequence[Any] | Mapping[str, Any],
    *,
    max_turns: int = 12,
    max_returns: int = 2,
    max_calls: int = 16,
    state: Any = Peers,
    name: str = "peer_to_peer",
    version: str = "1",
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Workflow:
    """Let agents hand over to each other, until one of them answers.

    When
    ----
    Each agent knows best when another one is better at something: a help desk, a negotiation. Nobody has to see
    everything.

    When not
    --------
    - Somebody should keep the aim in view: `supervisor`.
    - The order is known: `sequential`.

    Parameters
    ----------
    peers
        At least two; the first one begins. A peer is a chat model, or ``agent(model, prompt)``; or
        ``state -> calls or answer``, which reads ``state["request"]`` and ``state["messages"]``. A call is
        ``{"name": tool, "args": {...}}``; the tool ``hand_over_to_<name>`` with ``{"message": ...}`` hands over. A
        sequence, or a mapping by name. A `Peer` has tools of its own.
    max_turns
        Turns of all peers together, 2 or more. In the last turn a model is offered no tool, and is told to answer.
    max_returns
        How often it may come straight back to the peer that handed over, with no tool called in between.
    max_calls
        The most calls of tools in one turn.
    state
        `Peers` or a schema with its keys.
    options
        Keywords of `Workflow.add_node` by node: ``{"sales": {"timeout": 60}}``.

    Bound
    -----
    `begin`; for each of `max_turns` the peer and `act`, which calls its tools; `pass` between two turns; and the end.

    Failure
    -------
    Two peers that hand over to and fro end with ``"ping-pong"``, and used-up turns with ``"out of turns"``. In both
    cases `answer` is None, and `handovers` shows how it went. A failed tool, or a handover to an unknown peer, goes
    back to the peer as a message. Of several handovers at once the first counts, after all other tools were called.
    If a peer fails, the run fails, and is resumed in that turn.

    Source
    ------
    Handoffs, in OpenAI, "Orchestrating Agents: Routines and Handoffs" (2024).

    Example
    -------
    >>> from dalsegno.graphs.patterns import peer_to_peer
    >>> def desk(state):
    ...     return {"name": "hand_over_to_sums", "args": {"message": "numbers are yours"}}
    >>> def sums(state) -> int:
    ...     return sum(map(int, state["request"].split("+")))
    >>> flow = peer_to_peer([desk, sums])
    >>> given = {"request": "1 + 2"}
    >>> flow.compile().invoke(given)["answer"]
    3
    """
    whole("peer_to_peer", 2, max_turns=max_turns)
    whole("peer_to_peer", 1, max_calls=max_calls)
    whole("peer_to_peer", 0, max_returns=max_returns)
    flow = Workflow(name, state, version=version)
    cast = Cast("peer_to_peer", flow, options)
    played: dict[str, Peer] = named("peer_to_peer", peers, least=2, kind=Peer, what="peer")
    first = next(iter(played))

    def begin(state: Any) -> dict[str, Any]:
        return {"messages": Overwrite([]), "handovers": Overwrite([]), "returns": 0, "speaker": first}

    def last(state: Any) -> bool:
        return turn_number(state) >= max_turns

    def respond(state: Any) -> dict[str, Any]:
        said, speaker = read(state, "said"), read(state, "speaker")
        if acts(said):
            outcome = "ping-pong" if read(state, "returns") > max_returns else "out of turns"
            return {"answer": None, "answered_by": None, "outcome": outcome}
        message = message_of(said).model_copy(update={"name": tool_name(speaker)})
        answered = {"answer": answer_in(said), "answered_by": speaker, "outcome": "answered"}
        return {"messages": [message], **answered}

    def goes_on(state: Any) -> Literal["on", "ping-pong"]:
        return "ping-pong" if read(state, "returns") > max_returns else "on"

    cast.own("begin", begin, reads=())
    cast.own("respond", respond)
    boxes: dict[str, Tools] = {}
    for peer, node in played.items():
        others = {name: other for name, other in played.items() if name != peer}
        boxes[peer] = Tools(
            [*node.tools, *(_handing_over(to, about.about) for to, about in others.items())], max_calls
        )
        turn = partial(turn_of, pattern="peer_to_peer", key="said", last=last, name=peer)
        cast.add(Role(name=peer, key="said"), turn(node, boxes[peer].box, prompt=_prompt(peer, node, others)))
        flow.add_conditional_edges(peer, _acts, {"answer": "respond", "calls": "act"})
    inside = [box.most_model_calls for box in boxes.values()]
    cast.own("act", _Act(boxes), calls=None if None in inside else max(filter(None, inside), default=0))
    cast.own("pass", lambda state: None, reads=("speaker",), writes=())
    flow.add_conditional_edges("pass", _speaker, {peer: peer for peer in played})
    again = Loop("pass", max=max_turns - 1, on_exhausted="respond")
    flow.add_conditional_edges("act", goes_on, {"on": again, "ping-pong": "respond"})
    return flow.add_edge(START, "begin").add_edge("begin", first).add_edge("respond", END)


def _acts(state: Any) -> Literal["answer", "calls"]:
    return "calls" if acts(read(state, "said")) else "answer"


def _speaker(state: Any) -> str:
    return str(read(state, "speaker"))


def _prompt(name: str, peer: Peer, others: Mapping[str, Peer]) -> str:
    about = f", and you are good at this: {peer.about}" if peer.about else ""
    return _TALK.format(name=doubled(name), about=doubled(about), others=roster(others))


def _handing_over(to: str, about: str) -> StructuredTool:
    def hand_over(message: str) -> str:
        return f"`{to}` has it now."

    described = (
        f"Hand over to `{to}`{f', who is good at this: {about}' if about else ''}. Say what is to be done."
    )
    return StructuredTool.from_function(hand_over, name=tool_name(f"{HAND_OVER}{to}"), description=described)


class _Act(Player):
    """Calls the tools of whose turn it is, and hands over, if that is among them."""

    kind: ClassVar[Literal["tool"]] = "tool"
    name = "act"

    def __init__(self, boxes: Mapping[str, Tools]) -> None:
        self._boxes = boxes
        self._peers = {tool_name(f"{HAND_OVER}{peer}"): peer for peer in boxes}

    def declares(self) -> Mapping[str, Any]:
        reads = ("said", "messages", "speaker", "handovers", "returns")
        changing = [said for tools in self._boxes.values() if (said := tools.box.effects())["effect"]]
        return {
            "reads": reads,
            "writes": ("messages", "speaker", "handovers", "returns"),
            "effect": bool(changing),
            "idempotent": bool(changing) and all(said["idempotent"] for said in changing),
        }

    def functions(self) -> tuple[Any, ...]:
        return tuple(f for tools in self._boxes.values() for f in tools.box.functions())

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> dict[str, Any]:
        said, refused = _one_handover(input)
        tools = self._boxes[read(input, "speaker")]
        made = tools.use(said, turn_number(input), input, ensure_config(config))
        return self._update(input, [*made, *refused])

    async def ainvoke(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        said, refused = _one_handover(input)
        tools = self._boxes[read(input, "speaker")]
        made = await tools.ause(said, turn_number(input), input, ensure_config(config))
        return self._update(input, [*made, *refused])

    def _update(self, state: Any, results: list[BaseMessage]) -> dict[str, Any]:
        speaker = read(state, "speaker")
        message = _callable(message_of(read(state, "said"), turn_number(state)))
        message = message.model_copy(update={"name": tool_name(speaker)})
        update: dict[str, Any] = {"messages": [message, *results]}
        good = {r.tool_call_id: r for r in results if isinstance(r, ToolMessage) and r.status != "error"}
        done = [call for call in message.tool_calls if call["id"] in good]
        over = [call for call in done if call["name"].startswith(HAND_OVER)]
        if len(done) > len(over):
            update["returns"] = 0
        if over:
            to = self._peers[over[0]["name"]]
            before = read(state, "handovers", [])
            straight_back = bool(before) and before[-1]["by"] == to and len(done) == len(over)
            update["returns"] = read(state, "returns", 0) + 1 if straight_back else 0
            handed: Handover = {"by": speaker, "to": to, "message": str(over[0]["args"].get("message", ""))}
            update |= {"speaker": to, "handovers": [handed]}
        return update


def _one_handover(state: Any) -> tuple[Any, list[ToolMessage]]:
    """What was said with its first handover alone, and last; and the refusals of the others."""
    message = _callable(message_of(read(state, "said"), turn_number(state)))
    over = [call for call in calls_in(message) if call["name"].startswith(HAND_OVER)]
    rest = [call for call in calls_in(message) if not call["name"].startswith(HAND_OVER)]
    refused = [
        ToolMessage(
            "Not done: there is one handover at a time.",
            tool_call_id=c["id"] or "",
            name=c["name"],
            status="error",
        )
        for c in over[1:]
    ]
    return message.model_copy(update={"tool_calls": [*rest, *over[:1]]}), refused


def _callable(message: AIMessage) -> AIMessage:
    """The message, its handovers called as a model is told them."""
    calls = message.tool_calls
    if all(tool_name(call["name"]) == call["name"] for call in calls):
        return message
    named = [{**c, "name": tool_name(c["name"])} if c["name"].startswith(HAND_OVER) else c for c in calls]
    return message.model_copy(update={"tool_calls": named})
