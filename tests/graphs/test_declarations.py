"""What annotations say of a node, and what they do not say."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NotRequired, Required, TypedDict

import pytest
from langgraph.channels import EphemeralValue
from langgraph.graph import StateGraph
from langgraph.types import Command, Send
from pydantic import BaseModel, BeforeValidator, Field
from typing_extensions import ReadOnly, TypeAliasType

from dalsegno import END, START, Loop, Secret, Workflow, validate
from dalsegno.errors import DefinitionError
from dalsegno.graphs.declarations import command_targets, hints_of, literal_targets, returns_send
from dalsegno.graphs.reading import read_graph


class State(TypedDict, total=False):
    topic: str
    draft: str


class Draft(TypedDict):
    draft: str


class Misspelt(TypedDict):
    darft: str


def narrow(state: Draft) -> Draft:
    return {"draft": "x"}


def wide(state: State) -> State:
    return {"draft": "x"}


def silent(state):
    return {"draft": "x"}


def commanding(state: State) -> Command:  # type: ignore[type-arg]
    return Command(update={"draft": "x"})


def either(state: State) -> Draft | Command[Literal["__end__"]] | None:
    return None


def misspelt(state: State) -> Misspelt:
    return {"darft": "x"}


def spec_of(action: Any, **said: Any) -> Any:
    flow = Workflow("w", State)
    flow.add_node("node", action, **said)
    flow.add_edge(START, "node").add_edge("node", END)
    return flow.spec.nodes["node"]


@pytest.mark.parametrize(
    ("action", "reads", "writes"),
    [
        (narrow, {"draft"}, {"draft"}),
        (wide, None, None),
        (silent, None, None),
        (commanding, None, None),
        (either, None, {"draft"}),
        (lambda state: {}, None, None),
    ],
)
def test_only_annotations_narrower_than_the_state_say_something(action: Any, reads: Any, writes: Any) -> None:
    spec = spec_of(action)
    assert spec.reads == reads
    assert spec.writes == writes


def test_what_is_declared_wins_over_annotations() -> None:
    spec = spec_of(narrow, reads=["topic"], writes=["topic"])
    assert (spec.reads, spec.writes) == ({"topic"}, {"topic"})


def test_a_key_that_is_no_state_key_is_found_at_check_time() -> None:
    flow = Workflow("w", State).add_node(misspelt).add_edge(START, "misspelt").add_edge("misspelt", END)
    (finding,) = flow.validate().findings
    assert finding.code == "D306"
    assert "`darft`" in finding.message
    assert "did you mean `draft`?" in finding.message


def test_the_fingerprint_is_of_structure_and_schema_not_of_code() -> None:
    def made(action: Any, *, bound: str = "node") -> Workflow:
        flow = Workflow("w", State).add_node("node", action).add_edge(START, "node")
        return flow.add_edge(bound, END)

    first, second = made(narrow).spec, made(lambda state: {}).spec
    assert first.fingerprint() == second.fingerprint()
    assert first.nodes["node"].code != second.nodes["node"].code
    other = Workflow("w", Draft).add_node("node", narrow).add_edge(START, "node").add_edge("node", END)
    assert other.spec.fingerprint() != first.fingerprint()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"error_handler": "sorry"}, "`error_handler='sorry'`: a function is needed"),
        ({"compensate": len}, "the name of a node is needed"),
        ({"metadata": "fast"}, "a mapping is needed"),
        ({"budget": 3}, r"a Budget\(...\) is needed"),
        ({"reads": 3}, "a state key, or several, is needed"),
        ({"writes": [3]}, "a state key, or several, is needed"),
        ({"destinations": 3}, "3 is no target, and no list of targets"),
        ({"destinations": [3]}, "3 is no target"),
        (
            {"destinations": {"again": Loop("n", max=1, on_exhausted=END)}},
            r"are the wrong way round: first the target, then its label, \{Loop\(target='n', .*\): 'again'\}",
        ),
    ],
)
def test_what_is_given_for_a_node_in_another_kind_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        Workflow("kinds", State).add_node("n", lambda state: None, **given)


def test_a_router_leaves_one_node_and_has_targets() -> None:
    flow = Workflow("kinds", State).add_node("n", lambda state: None)
    for source, targets, said in ((["n"], ["n"], "leaves one node"), ("n", 3, "no list of targets")):
        with pytest.raises(DefinitionError, match=said):
            flow.add_conditional_edges(source, lambda state: "n", targets)


def test_one_key_and_one_destination_may_stand_alone() -> None:
    flow = Workflow("alone", State).add_node("first", lambda state: None, reads="topic", writes="topic")
    flow.add_node("second", lambda state: None, destinations="first")
    node = flow.spec.nodes["first"]
    assert node.reads == frozenset({"topic"})
    assert (node.writes or frozenset()) | set(node.unknown_writes) == {"topic"}
    assert [e.target for e in flow.spec.edges] == ["first"]


Route = TypeAliasType("Route", Literal["b", "__end__"])
Routes = TypeAliasType("Routes", list[Route])
SentOr = TypeAliasType("SentOr", Send | Literal["b"])
Goes = TypeAliasType("Goes", Command[Route])
Log = TypeAliasType("Log", Annotated[list[str], operator.add])


class Asked(TypedDict, total=False):
    said: str


def routed(state: Asked) -> Route:
    return "b"


def routed_to_several(state: Asked) -> Routes:
    return ["b"]


@pytest.mark.parametrize(("path", "many"), [(routed, False), (routed_to_several, True)])
def test_a_router_declares_its_targets_by_an_alias_too(path: Any, many: bool) -> None:
    assert literal_targets(path) == (("b", "__end__"), many)
    flow = Workflow("flow", Asked).add_node("a", lambda state: {}).add_node("b", lambda state: {"said": "b"})
    flow.add_edge(START, "a").add_conditional_edges("a", path).add_edge("b", END)
    assert flow.validate().findings == ()
    assert flow.compile().invoke({"said": "a"}) == {"said": "b"}


def sent(state: Asked) -> SentOr:
    return Send("b", state)


def test_a_send_in_an_alias_is_seen() -> None:
    assert returns_send(sent)
    assert literal_targets(sent) == (("b",), False)


def goes_on(state: Asked) -> Command[Route]:
    return Command(goto="b")


def goes_on_as_named(state: Asked) -> Goes:
    return Command(goto="b")


@pytest.mark.parametrize("action", [goes_on, goes_on_as_named])
@pytest.mark.parametrize("make", [lambda: Workflow("flow", Asked), lambda: StateGraph(Asked)])
def test_a_command_declares_its_targets_by_an_alias_too(make: Any, action: Any) -> None:
    flow = make().add_node("a", action).add_node("b", lambda state: {"said": "b"})
    flow.add_edge(START, "a").add_edge("b", END)
    report = validate(flow)
    assert report.findings == ()
    assert report.certificate is not None
    assert report.certificate.supersteps == 2
    assert flow.compile().invoke({"said": "a"}) == {"said": "b"}


@pytest.mark.parametrize(
    "hint",
    [
        Log,
        Required[Log],
        ReadOnly[Annotated[list[str], operator.add]],
        Annotated[Log, Secret],
        TypeAliasType("Again", Log),
        TypeAliasType("Last", Annotated[int, EphemeralValue(int)]),
    ],
)
def test_a_reducer_that_langgraph_would_not_see_is_refused(hint: Any) -> None:
    state: Any = TypedDict("state", {"log": hint})  # type: ignore[misc]
    assert "add" not in str(getattr(StateGraph(state).channels["log"], "operator", ""))
    with pytest.raises(
        DefinitionError, match=r"`log` of `state` has its reducer inside an alias or `ReadOnly`"
    ):
        Workflow("flow", state)


@pytest.mark.parametrize(
    "hint",
    [
        Annotated[list[str], operator.add, "a remark"],
        Required[Annotated[list[str], Secret, operator.add, Field(max_length=3)]],
    ],
)
def test_a_reducer_that_is_not_in_the_last_place_is_refused(hint: Any) -> None:
    state: Any = TypedDict("state", {"log": hint})  # type: ignore[misc]
    assert not hasattr(StateGraph(state).channels["log"], "operator")
    with pytest.raises(DefinitionError, match=r"`log` of `state` has something behind its reducer `add`"):
        Workflow("flow", state)

    graph = StateGraph(state)
    graph.add_node("a", lambda state: {"log": ["x"]}).add_edge(START, "a").add_edge("a", END)
    assert read_graph(graph).state["log"].reducer is None


@pytest.mark.parametrize(
    "hint",
    [
        Annotated[list[str], operator.add],
        Annotated[list[str], Field(max_length=3), operator.add],
        Required[Annotated[list[str], Secret, operator.add]],
        Annotated[Log, operator.add],
        TypeAliasType("Name", Annotated[str, Secret]),
        TypeAliasType("Checked", Annotated[str, BeforeValidator(str), "a remark"]),
        TypeAliasType("Plain", list[Log]),
    ],
)
def test_any_other_alias_is_a_type_of_a_key(hint: Any) -> None:
    Workflow("flow", TypedDict("state", {"log": hint}))  # type: ignore[misc]


def test_what_can_be_resolved_counts_where_another_annotation_cannot() -> None:
    """A router with a state of a function's own was told to write a `Literal`, which it had."""

    class Local(TypedDict, total=False):
        topic: str
        draft: str

    def route(state: Local, more: Nowhere = None) -> Literal["ask", "__end__"]:  # noqa: F821 - that is the point
        return "ask"

    def ask(state: Local) -> Command[Literal["write"]]:
        return Command(goto="write")

    def write(state: Local) -> Draft:
        return {"draft": "x"}

    def note(state: "the state, as it is") -> None:  # noqa: F722 - words, and no type
        return None

    assert literal_targets(route) == (("ask", "__end__"), False)
    assert command_targets(ask) == ("write",)
    assert hints_of(write) == {"return": Draft}
    assert hints_of(note) == {"return": type(None)}
    flow = (
        Workflow("w", Local).add_node(ask).add_node("write", write).add_node(note).add_edge("write", "note")
    )
    flow.add_conditional_edges(START, route).add_edge("note", END)
    assert validate(flow).ok
    assert flow.compile().invoke({"topic": "rain"})["draft"] == "x"


class Topic(TypedDict):
    topic: str


class Defaulted(BaseModel):
    topic: str
    draft: str = "nothing yet"


@dataclass
class Filled:
    topic: str
    draft: str = "nothing yet"


class Marked(TypedDict):
    topic: str
    draft: NotRequired[str]


class Needed(TypedDict):
    topic: str
    draft: str


@pytest.mark.parametrize("kind", ["workflow", "langgraph"])
@pytest.mark.parametrize(
    ("part", "found"),
    [(Defaulted, []), (Filled, []), (Marked, []), (Needed, ["D302"])],
    ids=lambda given: str(given),
)
def test_what_a_node_has_a_default_for_may_be_missing(part: Any, found: list[str], kind: str) -> None:
    """The first round of a loop was refused, which runs."""

    class Whole(State, total=False):
        more: str

    def improve(state: Any) -> Draft:
        held = state if isinstance(state, dict) else vars(state)
        return {"draft": held.get("draft", "nothing yet") + "."}

    improve.__annotations__["state"] = part
    flow: Any = (
        Workflow("w", Whole, input_schema=Topic)
        if kind == "workflow"
        else StateGraph(Whole, input_schema=Topic)
    )
    flow.add_node("improve", improve).add_edge(START, "improve").add_edge("improve", END)
    assert [finding.code for finding in validate(flow).findings] == found
    if not found:
        assert flow.compile().invoke({"topic": "rain"})["draft"] == "nothing yet."


@pytest.mark.parametrize("kind", ["workflow", "langgraph"])
def test_what_an_error_handler_fills_in_is_there(kind: str) -> None:
    """It was refused, as if nobody had written it: the node that failed has not."""

    class Whole(State, total=False):
        plan: str
        out: str

    class Plan(TypedDict):
        plan: str

    class Out(TypedDict):
        out: str

    def plan(state: Topic) -> Plan:
        raise ValueError("no idea")

    def write(state: Plan) -> Draft:
        return {"draft": state["plan"]}

    def publish(state: Draft) -> Out:
        return {"out": state["draft"]}

    def stock(state: Any) -> Command[Literal["publish"]]:
        return Command(update={"draft": "stock"}, goto="publish")

    flow: Any = (
        Workflow("w", Whole, input_schema=Topic)
        if kind == "workflow"
        else StateGraph(Whole, input_schema=Topic)
    )
    flow.add_node("plan", plan, error_handler=stock).add_node("write", write).add_node("publish", publish)
    flow.add_edge(START, "plan").add_edge("plan", "write").add_edge("write", "publish").add_edge(
        "publish", END
    )
    assert validate(flow).findings == ()
    assert flow.compile().invoke({"topic": "rain"})["out"] == "stock"


def test_what_a_subworkflow_writes_where_it_goes_on_in_the_parent_is_there() -> None:
    """It was refused, as if nobody had written it: its output has another key."""

    def leave(state: Any) -> Any:
        return Command(graph=Command.PARENT, update={"draft": "up"}, goto="publish")

    def publish(state: Draft) -> Topic:
        return {"topic": state["draft"]}

    child = Workflow("child", State, output_schema=Topic).add_node("leave", leave)
    child.add_edge(START, "leave").add_edge("leave", END)
    flow = Workflow("w", State, input_schema=Topic).add_node("sub", child, destinations=("publish",))
    flow.add_node("publish", publish).add_edge(START, "sub").add_edge("publish", END)
    assert validate(flow).findings == ()
    assert flow.compile().invoke({"topic": "rain"})["topic"] == "up"


@pytest.mark.parametrize("kind", ["workflow", "langgraph"])
@pytest.mark.parametrize(("part", "found"), [(Marked, []), (Needed, ["D305"])])
def test_a_subworkflow_need_not_be_handed_what_it_does_not_require(
    part: Any, found: list[str], kind: str
) -> None:
    class Whole(TypedDict, total=False):
        topic: str

    child: Any = (
        Workflow("child", State, input_schema=part)
        if kind == "workflow"
        else StateGraph(State, input_schema=part)
    )
    child.add_node("go", lambda state: {"topic": state["topic"].upper()}).add_edge(START, "go").add_edge(
        "go", END
    )
    flow = Workflow("w", Whole).add_node("sub", child if kind == "workflow" else child.compile())
    flow.add_edge(START, "sub").add_edge("sub", END)
    assert [finding.code for finding in validate(flow).findings] == found
    if not found:
        assert flow.compile().invoke({"topic": "rain"}) == {"topic": "RAIN"}
