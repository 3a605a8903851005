"""Pattern 21: a conversation of many turns, one run each, on one thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from typing_extensions import TypedDict  # pydantic validates these on Python 3.11 too

from dalsegno.errors import DefinitionError
from dalsegno.graphs.model import END, START
from dalsegno.graphs.patterns.catalog import pattern
from dalsegno.graphs.patterns.counting import whole
from dalsegno.graphs.patterns.roles import Cast, Role
from dalsegno.graphs.patterns.states import read
from dalsegno.graphs.workflow import Workflow
from dalsegno.nodes.policies.clock import SYSTEM, Clock

_MANAGER = """You keep what is known in a conversation. Bring it up to date with the newest message: what the user
wants, what has been found out (by short names), which questions are open, and which phase the conversation is in.

Known so far: {known}

The turns before: {turns}

The message: {message}"""
_RESPONDER = """Answer the message. Take up what is new, and ask the next open question, if there is one; where enough
is known, say what you recommend.

What is known: {known}

The turns before: {turns}

The message: {message}"""


class Known(TypedDict):
    """What is known in a session: what the user wants, what was found out, what is open, and the phase."""

    goal: str
    facts: dict[str, Any]
    open: list[str]
    phase: str


class Turn(TypedDict):
    """One turn as it was: its number in the session, the message, the response, and the phase after it."""

    turn: int
    message: Any
    response: Any
    phase: str


class Conversation(TypedDict, total=False):
    """The state: extend it for roles that need more.

    - `message`: the newest message
    - `response`: the answer to it
    - `known`: what the manager knows about the session
    - `turn`: the number of this turn in the session, from 1
    - `turns`: the turns before
    - `began`: how this turn follows the ones before: ``"on"`` if the session continues; else a session begins,
      ``"first"`` on the thread, or after one that was ``"reset"``, ``"timed out"`` or ``"finished"``
    - `seen`: when this turn began, in unix seconds
    """

    message: Any
    response: Any
    known: Known
    turn: int
    turns: list[Turn]
    began: Literal["on", "first", "reset", "timed out", "finished"]
    seen: float


def _says_reset(message: Any) -> bool:
    return isinstance(message, str) and message.strip().casefold() in ("reset", "/reset")


@pattern(21, bound="4")
def conversation(
    manager: Any,
    responder: Any,
    *,
    phases: Sequence[str] = ("discovery", "analysis", "recommendation"),
    final: str | None = None,
    reset: Callable[[Any], bool] = _says_reset,
    session_timeout: float | None = 1800.0,
    keep: int = 50,
    clock: Clock = SYSTEM,
    state: Any = Conversation,
    name: str = "conversation",
    version: str = "1",
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Workflow:
    """Hold a conversation of many turns: one turn a run, on one thread that keeps what is known.

    When
    ----
    What the user wants comes out over several messages, and each answer depends on what was said before: a form, a
    diagnosis, advice. Between turns no process waits. The next message is a new run on the same thread.

    When not
    --------
    - One question gets one answer.
    - The history outgrows the model's window: `summarizing_memory`.
    - A message may be about several things, with a workflow for each: `intent_workflows`.

    Parameters
    ----------
    manager
        ``state -> {"goal", "facts", "open", "phase"}``. Reads ``state["message"]``, ``state["known"]`` and
        ``state["turns"]``.
    responder
        ``state -> response``. Reads ``state["message"]`` and ``state["known"]``.
    phases
        All phases, the first one first. The manager says which one it is.
    final
        The phase in which a session is finished: the message after it begins a new session. None: no phase is final.
    reset
        ``message -> bool``: whether the message asks to forget the session. By default it does if it says "reset".
        The manager is not asked about such a message.
    session_timeout
        Seconds after the last turn from which a message begins a new session. None: never.
    keep
        How many turns are kept.
    clock
        Its `time()` in unix seconds, for tests.
    state
        `Conversation` or a schema with its keys.
    options
        Keywords of `Workflow.add_node` by node: ``{"responder": {"timeout": 60}}``.

    Bound
    -----
    For a turn: `open`, the manager, the responder, `record`.

    Failure
    -------
    An unknown phase is a `WrongAnswer`; a model is told so and asked again. If a role fails, the run of this turn
    fails, and is resumed there. Earlier turns are not touched.

    Source
    ------
    Dialogue state tracking: Williams, Raux and Henderson, "The Dialog State Tracking Challenge Series" (2016).

    Example
    -------
    >>> from dalsegno.graphs.patterns import conversation
    >>> def track(state) -> dict:
    ...     said = {**state["known"]["facts"], str(state["turn"]): state["message"]}
    ...     return {"goal": "tea", "facts": said, "open": [], "phase": "analysis"}
    >>> def answer(state) -> str:
    ...     return f"{len(state['known']['facts'])} heard, the last: {state['message']}"
    >>> flow = conversation(track, answer)
    >>> given = {"message": "green tea, please"}
    >>> flow.compile().invoke(given)["response"]
    '1 heard, the last: green tea, please'
    """
    _check(phases, final, session_timeout, keep)
    flow = Workflow(name, state, version=version)
    cast = Cast("conversation", flow, options)
    phase: Any = Literal[tuple(phases)]
    typed: Any = TypedDict  # made here, for it knows the phases
    known = typed("Known", {"goal": str, "facts": dict[str, Any], "open": list[str], "phase": phase})

    def begun(state: Any, now: float) -> str:
        if not read(state, "turn", 0) or not read(state, "turns"):
            return "reset" if reset(read(state, "message")) else "first"
        if reset(read(state, "message")):
            return "reset"
        if session_timeout is not None and now - read(state, "seen", now) > session_timeout:
            return "timed out"
        return "finished" if final is not None and read(state, "known")["phase"] == final else "on"

    def opened(state: Any) -> dict[str, Any]:
        now = clock.time()
        began = begun(state, now)
        if began == "on":
            last = read(state, "turns")[-1]["turn"]  # one that was given up on its way is not counted
            return {"began": began, "seen": now, "turn": last + 1}
        nothing: Known = {"goal": "", "facts": {}, "open": [], "phase": phases[0]}
        return {"began": began, "seen": now, "turn": 1, "turns": [], "known": nothing}

    def record(state: Any) -> dict[str, list[Turn]]:
        turn: Turn = {
            "turn": read(state, "turn"),
            "message": read(state, "message"),
            "response": read(state, "response"),
            "phase": read(state, "known")["phase"],
        }
        return {"turns": [*read(state, "turns", []), turn][-keep:]}

    cast.own("open", opened)
    cast.add(Role(name="manager", key="known", type=known, prompt=_MANAGER), manager)
    cast.add(Role(name="responder", key="response", prompt=_RESPONDER), responder)
    cast.own("record", record)

    def heard(state: Any) -> Literal["message", "reset"]:
        return "reset" if read(state, "began") == "reset" else "message"

    flow.add_edge(START, "open")
    flow.add_conditional_edges("open", heard, {"message": "manager", "reset": "responder"})
    return flow.add_edge("manager", "responder").add_edge("responder", "record").add_edge("record", END)


def _check(phases: Any, final: Any, session_timeout: Any, keep: Any) -> None:
    if (
        isinstance(phases, str)
        or not isinstance(phases, Sequence)
        or not phases
        or len(set(phases)) < len(phases)
    ):
        raise DefinitionError(
            f"conversation(phases={phases!r}): names of phases, each once, the first one first."
        )
    if final is not None and final not in phases:
        raise DefinitionError(
            f"conversation(final={final!r}): one of the phases {', '.join(phases)}, or None."
        )
    if session_timeout is not None and not (isinstance(session_timeout, int | float) and session_timeout > 0):
        raise DefinitionError(
            f"conversation(session_timeout={session_timeout!r}): seconds, more than 0, or None."
        )
    whole("conversation", 1, keep=keep)
