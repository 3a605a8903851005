"""Pattern 8: events, and those who react to them; nobody conducts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, NotRequired

from langgraph.types import Overwrite, Send
from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from dalsegno.errors import DefinitionError, WrongAnswer
from dalsegno.graphs.model import END, START, Each, Loop
from dalsegno.graphs.patterns.casting import excerpt
from dalsegno.graphs.patterns.catalog import pattern
from dalsegno.graphs.patterns.counting import whole
from dalsegno.graphs.patterns.filing import filed
from dalsegno.graphs.patterns.roles import Cast, Node, Role, apart, named
from dalsegno.graphs.patterns.states import Failure, failure, read
from dalsegno.graphs.workflow import Workflow

FAILED = "failed"
"""The type of the event that a subscriber's failure is."""

_REACT = """Something happened. Answer with the events that follow from it, each with a `type` and its `data`; with
none, where nothing does.

{event}"""


class Event(TypedDict):
    """Something that happened: its type, by which it finds its subscribers, and what is known of it."""

    type: str
    data: NotRequired[Any]


_EVENTS = TypeAdapter(list[Event])


class Published(TypedDict):
    """An event with who published it (None: the input), and its place: round, delivery, and number in that."""

    place: list[int]
    by: str | None
    type: str
    data: Any


def in_place(old: list[Published] | None, new: list[Published] | None) -> list[Published]:
    """A reducer for events: in the order of what caused them, whoever was first.

    >>> [event["place"] for event in in_place([{"place": [1, 0, 0]}], [{"place": [0, 0, 0]}])]
    [[0, 0, 0], [1, 0, 0]]
    """
    return sorted([*(old or []), *(new or [])], key=lambda event: event["place"])


class Choreography(TypedDict, total=False):
    """The state: extend it for subscribers that need more.

    - `events`: the events that it begins with
    - `published`: all events that came of them
    - `round`: counts deliveries, from 1
    - `event`: what a subscriber is sent
    - `failures`: set at the end
    - `outcome`: set at the end: ``"quiet"`` if no event is left that anybody hears, ``"out of rounds"``, or
      ``"too many events"`` in one round
    """

    events: list[Event]
    event: Event
    round: int
    published: Annotated[list[Published], in_place]
    failures: list[Failure]
    outcome: Literal["quiet", "out of rounds", "too many events"]


class Subscriber(Node):
    """An actor that reacts to events.

    Parameters
    ----------
    on
        The types of events that it hears: one, or several; ``"*"`` are all.
    """

    def __init__(
        self, actor: Any, /, *, on: str | Sequence[str] = (), name: str | None = None, **options: Any
    ) -> None:
        super().__init__(actor, name=name, **options)
        heard = [on] if isinstance(on, str) else on
        if not isinstance(heard, Iterable) or not all(isinstance(kind, str) for kind in heard):
            raise DefinitionError(f"Subscriber(on={on!r}): the type of an event, or several.")
        self.on = frozenset(heard)

    def hears(self, event: Published) -> bool:
        """Whether an event is delivered to it; a failure only where it asks for those."""
        return event["type"] in self.on or ("*" in self.on and event["type"] != FAILED)


@pattern(8, bound="3 * rounds + 2")
def choreography(
    subscribers: Sequence[Any] | Mapping[str, Any],
    *,
    rounds: int = 8,
    max_events: int = 64,
    state: Any = Choreography,
    name: str = "choreography",
    version: str = "1",
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Workflow:
    """Deliver events to their subscribers, then the events that those cause, until nothing is left to deliver.

    When
    ----
    Parts are added and removed without the others knowing. Whatever happens is published, and whoever is interested
    reacts.

    When not
    --------
    Nobody here sees the whole.

    - The order matters to somebody: `sequential`.
    - What was done must be taken back together: `saga`.

    Parameters
    ----------
    subscribers
        Instances of `Subscriber`: ``state -> events``. Each reads ``state["event"]`` and answers one
        ``{"type", "data"}``, a list of them, or None. A sequence, or a mapping by name.
    rounds
        Deliveries. The events of one round cause those of the next.
    max_events
        The most events of one round.
    state
        `Choreography` or a schema with its keys.
    options
        Keywords of `Workflow.add_node` by node: ``{"billing": {"timeout": 60}}``.

    Bound
    -----
    `begin`; for each of `rounds`: `deliver`, all subscribers that hear something at once, and `gather`; and the end.

    Failure
    -------
    A subscriber that fails does not stop the others. Its failure is an event of the type ``"failed"``, to which
    others may subscribe, and is listed in `failures`. Events that cause each other for ever end with
    ``"out of rounds"``. An answer that is no event fails the run, which is resumed there.

    Source
    ------
    Publish-Subscribe Channel, in Hohpe and Woolf, "Enterprise Integration Patterns" (2003).

    Example
    -------
    >>> from dalsegno.graphs.patterns import Subscriber, choreography
    >>> def count(state) -> dict:
    ...     return {"type": "counted", "data": len(state["event"]["data"])}
    >>> def judge(state) -> dict:
    ...     return {"type": "long" if state["event"]["data"] > 3 else "short"}
    >>> flow = choreography([Subscriber(count, on="text"), Subscriber(judge, on="counted")])
    >>> given = {"events": [{"type": "text", "data": "segno"}]}
    >>> [event["type"] for event in flow.compile().invoke(given)["published"]]
    ['text', 'counted', 'long']
    """
    whole("choreography", 1, rounds=rounds, max_events=max_events)
    flow = Workflow(name, state, version=version)
    cast = Cast("choreography", flow, options)
    played: dict[str, Subscriber] = named("choreography", subscribers, kind=Subscriber, what="subscriber")
    for subscriber, node in played.items():
        if not node.on:
            raise DefinitionError(
                f'choreography: `{subscriber}` hears nothing. Say what: Subscriber({subscriber}, on="...").'
            )

    def begin(state: Any) -> dict[str, Any]:
        first = [_published([0, 0, n], None, event) for n, event in enumerate(_given(state))]
        return {"published": Overwrite(first), "round": 1}

    def heard(state: Any) -> list[tuple[Published, str]]:
        events = [e for e in read(state, "published") if e["place"][0] == read(state, "round") - 1]
        return [(event, who) for event in events for who, node in played.items() if node.hears(event)]

    quiet = apart("quiet", played)

    def deliver(state: Any) -> Any:
        sends = [
            Send(who, {"event": _event(event), "place": [read(state, "round"), n]})
            for n, (event, who) in enumerate(heard(state))
        ]
        return quiet if not sends or len(sends) > max_events else sends

    def goes_on(state: Any) -> Literal["on", "quiet"]:
        return "on" if 0 < len(heard(state)) <= max_events else "quiet"

    def respond(state: Any) -> dict[str, Any]:
        left = len(heard(state))
        outcome = "quiet" if not left else "too many events" if left > max_events else "out of rounds"
        return {
            "outcome": outcome,
            "failures": [e["data"] for e in read(state, "published") if _is_failure(e)],
        }

    cast.own("begin", begin, reads=("events",))
    cast.own("deliver", lambda state: None, reads=("round", "published"), writes=())
    cast.own("gather", lambda state: {"round": read(state, "round") + 1})
    cast.own("respond", respond)
    for subscriber, node in played.items():
        cast.add(
            Role(name=subscriber, key="published", type=Event | list[Event] | None, prompt=_REACT),
            node,
            on_failure=_failed(subscriber),
            around=filed("published", _caused(subscriber), fell=_caused(subscriber), actor=node),
            writes=("published",),
        )
        flow.add_edge(subscriber, "gather")
    flow.add_edge(START, "begin").add_edge("begin", "deliver").add_edge("respond", END)
    most = {subscriber: Each(subscriber, max=max_events) for subscriber in played}
    flow.add_conditional_edges("deliver", deliver, {quiet: "respond", **most})
    more: str | Loop = Loop("deliver", max=rounds - 1, on_exhausted="respond") if rounds > 1 else "respond"
    return flow.add_conditional_edges("gather", goes_on, {"on": more, "quiet": "respond"})


def _given(state: Any) -> list[Event]:
    events = read(state, "events", [])
    try:
        return _EVENTS.validate_python(events)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise WrongAnswer(
            f"`choreography` was given {excerpt(events)} as `events`, where a list of "
            f"events is expected. {f'`{place}`: ' if place else ''}{first['msg']}. Give the run "
            '{"events": [{"type": ..., "data": ...}]}.',
            pattern="choreography",
            role="begin",
            expected="list[Event]",
            got=type(events).__name__,
        ) from None


def _published(place: list[int], by: str | None, event: Event) -> Published:
    return {"place": place, "by": by, "type": event["type"], "data": event.get("data")}


def _event(event: Published) -> Event:
    return {"type": event["type"], "data": event["data"]}


def _is_failure(event: Published) -> bool:
    """Whether it is a subscriber's failure; one may also publish, or be given, an event of that type."""
    data = event["data"]
    told = (
        isinstance(data, dict)
        and data.keys() == Failure.__annotations__.keys()
        and data["name"] == event["by"]
    )
    return told and event["type"] == FAILED


def _failed(subscriber: str) -> Any:
    def failed(argument: Any, error: BaseException) -> dict[str, Any]:
        return {"published": {"type": FAILED, "data": failure(subscriber, error)}}

    return failed


def _caused(subscriber: str) -> Any:
    def caused(argument: Any, events: Any) -> dict[str, Any]:
        many = events if isinstance(events, list) else [] if events is None else [events]
        turn, delivery = read(argument, "place")
        return {"published": [_published([turn, delivery, n], subscriber, e) for n, e in enumerate(many)]}

    return caused
