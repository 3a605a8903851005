"""Pattern 22: a conversation without end in a window that has one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Literal

from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore
from typing_extensions import TypedDict  # pydantic validates these on Python 3.11 too

from dalsegno.errors import DefinitionError
from dalsegno.graphs.model import END, START
from dalsegno.graphs.patterns.catalog import pattern
from dalsegno.graphs.patterns.counting import whole
from dalsegno.graphs.patterns.filing import filed
from dalsegno.graphs.patterns.roles import Cast, Role
from dalsegno.graphs.patterns.states import read
from dalsegno.graphs.workflow import Workflow
from dalsegno.nodes.labels import label
from dalsegno.nodes.policies.keeping import asked

_PAGE = 1000
"""Facts that are asked of a store at once."""

_SUMMARIZER = """Bring the summary of a conversation up to date with the turns that will be forgotten. Keep what the
user wants, the facts, what was decided and why, and where it stands; leave out small talk and what is settled or
superseded.

The summary so far: {summary?}

The turns: {older}"""
_RESPONDER = """Answer the message.

The conversation so far, in short: {summary?}

Known of the user: {known}

The last turns: {turns}

The message: {message}"""
_REMEMBRANCER = """Which lasting facts about the user does this turn tell, that will help in other conversations too?
One short sentence each, none where there is nothing new.

Known already: {known}

The user: {message}
The answer: {response}"""


class Summary(TypedDict):
    """What is left of turns that are no longer kept."""

    goal: str
    facts: list[str]
    decisions: list[str]
    status: str


class Exchange(TypedDict):
    """A message and the response to it, as they were."""

    message: Any
    response: Any


class Memory(TypedDict, total=False):
    """The state: extend it for roles that need more.

    - `message`: the newest message
    - `response`: the answer to it
    - `turns`: the last turns as they were
    - `older`: the turns that go into the summary now
    - `summary`: the summary of older turns
    - `user`: whose facts are kept
    - `known`: the facts from the store
    - `learned`: the new facts
    """

    message: Any
    response: Any
    turns: list[Exchange]
    older: list[Exchange]
    summary: Summary
    user: str
    known: list[str]
    learned: list[str]


def about_tokens(text: str) -> int:
    """About how many tokens a text has: one for four characters.

    >>> about_tokens("from the sign")
    4
    """
    return -(-len(text) // 4)


@pattern(22, bound="5 if remembrancer else 4")
def summarizing_memory(
    responder: Any,
    summarizer: Any,
    *,
    remembrancer: Any = None,
    every: int = 10,
    keep: int = 5,
    window: int = 8000,
    count: Callable[[str], int] = about_tokens,
    store: BaseStore | None = None,
    state: Any = Memory,
    name: str = "summarizing_memory",
    version: str = "1",
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Workflow:
    """Hold a conversation that outgrows the window: older turns become a summary, lasting facts go to a store.

    When
    ----
    A conversation has many turns, one run each on one thread, and what was said long ago still matters. With a
    remembrancer, this includes what was said on other threads.

    When not
    --------
    - Conversations are short: `conversation` keeps every turn as it was.
    - The exact words of long ago are needed: search for them, as in `grounded_answer`.

    Parameters
    ----------
    responder
        ``state -> response``. Reads ``state["message"]``, ``state["turns"]``, ``state["known"]`` and, once there is
        one, ``state["summary"]``.
    summarizer
        ``state -> {"goal", "facts", "decisions", "status"}``. Reads ``state["older"]`` and the ``state["summary"]``
        before.
    remembrancer
        ``state -> facts``, a list of texts that shall be known on every thread of ``state["user"]``. Reads
        ``state["message"]`` and ``state["response"]``. None: no facts are kept.
    every
        How many turns are kept as they were, before older ones are summarized.
    keep
        How many of the last turns stay as they were then; fewer if they do not fit the window.
    window
        The most tokens of summary, facts, turns and message together. Beyond that, older turns are summarized at
        once.
    count
        ``text -> tokens``.
    store
        A LangGraph `Store` for the facts. None: the store of the run, ``Runner(flow, store=...)``.
    state
        `Memory` or a schema with its keys.
    options
        Keywords of `Workflow.add_node` by node: ``{"responder": {"timeout": 60}}``.

    Bound
    -----
    For a turn: `listen`, the summarizer, the responder, the remembrancer if there is one, `record`.

    Failure
    -------
    If a role fails, the run of this turn fails, and is resumed there. Turns are dropped only once they are in the
    summary. A remembrancer without any store is an error before anything is asked.

    Source
    ------
    Packer et al., "MemGPT: Towards LLMs as Operating Systems" (2023).

    Example
    -------
    >>> from dalsegno.graphs.patterns import summarizing_memory
    >>> def summarize(state) -> dict:
    ...     said = state.get("summary", {"facts": []})["facts"] + [turn["message"] for turn in state["older"]]
    ...     return {"goal": "to talk", "facts": said, "decisions": [], "status": f"{len(said)} turns ago"}
    >>> def answer(state) -> str:
    ...     return f"{len(state['turns'])} kept, {len(state.get('summary', {'facts': []})['facts'])} in short"
    >>> flow = summarizing_memory(answer, summarize, every=2, keep=1)
    >>> said = [{"message": "rain", "response": "yes"}, {"message": "snow", "response": "no"}]
    >>> given = {"message": "and hail?", "turns": said}
    >>> flow.compile().invoke(given)["response"]
    '1 kept, 1 in short'
    """
    _check(every, keep, window)
    flow = Workflow(name, state, version=version)
    cast = Cast("summarizing_memory", flow, options)

    def facts(runtime: Runtime[Any]) -> BaseStore:
        found = store if store is not None else runtime.store
        if found is None:
            raise DefinitionError(
                "summarizing_memory(remembrancer=...): there is no store to remember in. Give one to the run, "
                "Runner(flow, store=InMemoryStore()), or to the pattern: store=."
            )
        return found

    def listen(state: Any, runtime: Runtime[Any]) -> dict[str, Any]:
        known = []
        if remembrancer is not None:
            known = _known(facts(runtime), _place(state))
        turns = list(read(state, "turns") or [])
        before = [read(state, "message"), read(state, "summary"), *known]
        cut = max(len(turns) - keep, 0) if len(turns) >= every or over(before, turns) else 0
        while turns[cut:] and over(before, turns[cut:]):
            cut += 1
        return {"turns": turns[cut:], "older": [*(read(state, "older") or []), *turns[:cut]], "known": known}

    def over(before: list[Any], turns: list[Exchange]) -> bool:
        return sum(count(str(part)) for part in (*before, *turns) if part) > window

    def record(state: Any, runtime: Runtime[Any]) -> dict[str, Any]:
        if remembrancer is not None:
            for fact in filter(None, map(_plain, read(state, "learned"))):
                key = hashlib.sha256(fact.encode()).hexdigest()[
                    :32
                ]  # the same fact is one, however often it is told
                asked(facts(runtime), "put", _place(state), key, {"fact": fact})
        turn: Exchange = {"message": read(state, "message"), "response": read(state, "response")}
        return {"turns": [*read(state, "turns"), turn]}

    def full(state: Any) -> Literal["room", "full"]:
        return "full" if read(state, "older") else "room"

    cast.own("listen", listen)
    # What is in the summary is in no further one, also where the rest of this turn is given up.
    cast.add(
        Role(name="summarizer", key="summary", type=Summary, prompt=_SUMMARIZER),
        summarizer,
        around=filed("summary", lambda state, made: {"summary": made, "older": []}),
        writes=("summary", "older"),
    )
    cast.add(Role(name="responder", key="response", prompt=_RESPONDER), responder)
    cast.own("record", record)
    flow.add_edge(START, "listen")
    flow.add_conditional_edges("listen", full, {"room": "responder", "full": "summarizer"})
    flow.add_edge("summarizer", "responder")
    if remembrancer is not None:
        role = Role(name="remembrancer", key="learned", type=list[str], prompt=_REMEMBRANCER)
        cast.add(role, remembrancer)
        flow.add_edge("responder", "remembrancer").add_edge("remembrancer", "record")
    else:
        flow.add_edge("responder", "record")
    return flow.add_edge("record", END)


def _place(state: Any) -> tuple[str, ...]:
    """Where in the store the facts of a user are."""
    return ("facts", label(str(read(state, "user") or "everybody")))


def _plain(fact: str) -> str:
    """A fact as every store takes it: PostgreSQL has no text with a NUL, and nobody one with half a character."""
    return fact.encode(errors="replace").decode().replace("\0", "").strip()


def _known(store: BaseStore, place: tuple[str, ...]) -> list[str]:
    """All facts of a user, read a page after the other: one that comes meanwhile may move others to the next page."""
    found: set[str] = set()
    seen = 0
    while page := asked(store, "search", place, limit=_PAGE, offset=seen):
        found |= {str(item.value["fact"]) for item in page}
        seen += len(page)
    return sorted(found)


def _check(every: Any, keep: Any, window: Any) -> None:
    whole("summarizing_memory", 1, every=every, window=window)
    whole("summarizing_memory", 0, keep=keep)
    if keep >= every:
        raise DefinitionError(
            f"summarizing_memory(every={every}, keep={keep}): after {every} turns none would be summarized. "
            "Keep fewer."
        )
