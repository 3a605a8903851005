"""A tool is called with arguments of the state, and says which of them does not fit."""

from __future__ import annotations

import asyncio
import functools
import operator
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langchain_core.messages.tool import invalid_tool_call
from langchain_core.tools import tool as langchain_tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph.message import add_messages
from langgraph.types import Command, interrupt
from pydantic import BaseModel

from dalsegno import END, START, Loop, RetryPolicy, Runner, Workflow, agent, tool
from dalsegno.errors import DefinitionError, FieldMissing, ToolFailed
from dalsegno.nodes.tool import tool_calls
from dalsegno.testing import Reply, ScriptedChatModel

Play = Callable[[Any, Any], dict[str, Any]]


class Line(BaseModel):
    item: str
    amount: int = 1


def price(line: Line, rate: float = 0.2) -> float:
    """The price of a line."""
    return line.amount * (1 + rate)


async def aprice(line: Line, rate: float = 0.2) -> float:
    """The price of a line."""
    await asyncio.sleep(0)
    return price(line, rate)


@pytest.mark.parametrize("function", [price, aprice, langchain_tool(price), langchain_tool(aprice)])
def test_arguments_are_validated_and_given_as_their_types(play: Play, function: Any) -> None:
    player = tool(function, writes="price")
    assert play(player, {"line": {"item": "tea", "amount": "2"}}) == {"price": 2.4}
    assert play(player, {"line": Line(item="tea"), "rate": 1}) == {"price": 2.0}


class Pricing:
    def __init__(self, rate: float) -> None:
        self.rate = rate

    def __call__(self, line: Line) -> float:
        return price(line, self.rate)


class Asking:
    async def __call__(self, line: Line) -> float:
        """The price of a line, asked for."""
        return await aprice(line, 1)


@pytest.mark.parametrize(
    ("given", "named", "described"),
    [(Pricing(1), "Pricing", "Pricing"), (Asking(), "Asking", "The price of a line, asked for.")],
)
def test_an_object_that_can_be_called_is_a_tool(play: Play, given: Any, named: str, described: str) -> None:
    player = tool(given, writes="price")
    assert play(player, {"line": {"item": "tea", "amount": "2"}}) == {"price": 4.0}
    script = [
        {"name": named, "args": {"line": {"item": "tea", "amount": 2}}},
        Reply("4 euros.", expect="4"),
    ]
    assert play(agent(ScriptedChatModel(script), "Go.", tools=[given], writes="said"), {}) == {
        "said": "4 euros."
    }
    assert (player.tool.name, player.tool.description) == (named, described)


def test_parameters_come_from_the_keys_they_are_mapped_to(play: Play) -> None:
    player = tool(price, args={"line": "order.lines.0", "rate": "country.rate"}, writes="price")
    state = {"order": {"lines": [Line(item="tea")]}, "country": {"rate": 0.5}}
    assert play(player, state) == {"price": 1.5}
    assert player.declares()["reads"] == ("order", "country")


def test_an_argument_that_is_not_in_the_state_is_named(play: Play) -> None:
    with pytest.raises(FieldMissing, match=r"`line` for the argument `line`.*did you mean `lin`") as raised:
        play(tool(price, writes="price"), {"lin": 1})
    assert raised.value.field == "line"


def test_arguments_that_do_not_fit_are_named_each(play: Play) -> None:
    with pytest.raises(ToolFailed) as raised:
        play(tool(price, writes="price"), {"line": {"amount": "two"}, "rate": "x"})
    error = pickle.loads(pickle.dumps(raised.value))
    assert (error.tool, error.node) == ("price", "price")
    assert [line.split(":")[0] for line in error.problem.splitlines()] == [
        "`line.item`",
        "`line.amount`",
        "`rate`",
    ]


@pytest.mark.parametrize(
    ("writes", "result", "update"),
    [
        ("price", 3.5, {"price": 3.5}),
        ({"total": "sum", "left": "stock.left"}, {"sum": 3, "stock": {"left": 1}}, {"total": 3, "left": 1}),
        ({"amount": "amount"}, Line(item="tea", amount=4), {"amount": 4}),
        (None, {"price": 3.5}, {"price": 3.5}),
    ],
)
def test_the_result_goes_where_it_is_written(play: Play, writes: Any, result: Any, update: Any) -> None:
    def look() -> Any:
        return result

    assert play(tool(look, writes=writes), {}) == update


@pytest.mark.parametrize(
    ("writes", "message"), [(None, 'writes="key"'), ({"price": "prise"}, "no `prise`; did you mean `price`")]
)
def test_a_result_without_a_place_is_an_error_that_says_so(play: Play, writes: Any, message: str) -> None:
    def look() -> Any:
        return 3 if writes is None else {"price": 3}

    with pytest.raises(ToolFailed, match=message):
        play(tool(look, writes=writes), {})


def failing(amount: int) -> str:
    raise ConnectionError("no bank")


def test_a_failure_is_the_tools_own_error_or_a_result_in_words(play: Play) -> None:
    with pytest.raises(ConnectionError, match="no bank"):
        play(tool(failing, writes="receipt"), {"amount": 1})
    quiet = tool(failing, writes="receipt", errors="result")
    assert play(quiet, {"amount": 1}) == {"receipt": "`failing` failed. ConnectionError: no bank"}
    assert play(quiet, {"amount": "x"})["receipt"].startswith("`failing` failed. `amount`: Input should be")


def placed(amount: int, /) -> int:
    return amount


def configured(config: str) -> str:
    return config


def open_ended(amount: int, **more: int) -> str:
    return f"{amount} {more}"


def one_by_one(amount: int, *more: int) -> str:
    return f"{amount} {more}"


def steering(amount: int) -> Any:
    return Command(update={"receipt": amount})


@pytest.mark.parametrize("writes", [None, "receipt"])
def test_a_command_is_no_result(play: Play, writes: str | None) -> None:
    with pytest.raises(ToolFailed, match=r"gave a Command.*is a node itself"):
        play(tool(steering, writes=writes), {"amount": 1})


@pytest.mark.parametrize(
    ("action", "options", "message"),
    [
        (price, {"args": {"lien": "x"}}, "takes no argument `lien`; did you mean `line`?"),
        (price, {"errors": "quietly"}, "errors='quietly'"),
        (lambda: 1, {}, "lambda has no name"),
        (3, {}, "3 is no tool"),
        (placed, {}, "takes `amount` by its place only"),
        (configured, {}, "an argument `config`, a name that LangChain keeps"),
        (open_ended, {}, "takes whatever else is given as `more`"),
        (one_by_one, {}, "takes whatever else is given as `more`"),
        (functools.partial(price, rate=1), {}, "is a partial, which has no types of its own"),
    ],
)
def test_a_tool_that_cannot_be_meant_is_refused_at_once(
    action: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(DefinitionError, match=message.replace("?", "[?]")):
        tool(action, **options)


class Paying(TypedDict, total=False):
    amount: int
    receipt: str
    messages: Annotated[list[AnyMessage], add_messages]
    tries: Annotated[list[int], operator.add]


def test_a_parameter_with_a_default_needs_no_state_key() -> None:
    class Basket(TypedDict, total=False):
        line: Line
        price: float

    def reads(schema: type) -> frozenset[str] | None:
        flow = Workflow("shop", schema).add_node(tool(price, writes="price"))
        flow.add_edge(START, "price").add_edge("price", END)
        assert flow.validate().ok
        return flow.spec.nodes["price"].reads

    class Taxed(Basket, total=False):
        rate: float

    assert reads(Basket) == {"line"}
    assert reads(Taxed) == {"line", "rate"}


def test_a_tool_is_a_node_of_its_kind_that_calls_no_model() -> None:
    flow = Workflow("pay", Paying).add_node(tool(failing, writes="receipt", effect=True, idempotent=True))
    spec = flow.add_edge(START, "failing").add_edge("failing", END).spec.nodes["failing"]
    assert (spec.kind, spec.calls, spec.effect, spec.idempotent) == ("tool", 0, True, True)
    assert (spec.reads, spec.writes) == ({"amount"}, {"receipt"})


def test_the_policies_of_the_node_see_the_tools_own_error(tmp_path: Path, drive: Callable[..., Any]) -> None:
    tries: list[int] = []

    def pay(amount: int) -> str:
        tries.append(amount)
        if len(tries) < 3:
            raise ConnectionError("no bank")
        return "paid"

    again = RetryPolicy(max_attempts=3, initial_interval=0, jitter=False, retry_on=ConnectionError)
    flow = Workflow("pay", Paying).add_node(tool(pay, writes="receipt"), retry=again)
    with Runner(flow.add_edge(START, "pay").add_edge("pay", END), db=tmp_path / "r.db") as runner:
        assert drive(runner, "run", {"amount": 5}, thread="t").output["receipt"] == "paid"
    assert tries == [5, 5, 5]


# -- the calls of a message --------------------------------------------------------------------------


def test_the_calls_of_the_last_message_are_made_beside_each_other(play: Play) -> None:
    barrier = threading.Barrier(2, timeout=10)

    def meet(name: str) -> str:
        barrier.wait()
        return f"met {name}"

    calls = [{"name": "meet", "args": {"name": n}, "id": n} for n in "ab"]
    calls.append({"name": "met", "args": {}, "id": "c"})
    messages = play(tool_calls([meet]), {"messages": [HumanMessage("?"), AIMessage("", tool_calls=calls)]})[
        "messages"
    ]
    assert [(m.tool_call_id, m.text, m.status) for m in messages] == [
        ("a", "met a", "success"),
        ("b", "met b", "success"),
        ("c", "There is no tool `met`; did you mean `meet`? There is `meet`.", "error"),
    ]


def test_a_call_that_cannot_be_read_has_a_result_too(play: Play) -> None:
    broken = invalid_tool_call(name="price", args="{", id="b", error=None)
    calls = [{"name": "price", "args": {"line": {"item": "tea"}}, "id": "a"}]
    said = AIMessage("", tool_calls=calls, invalid_tool_calls=[broken])
    results = play(tool_calls([price]), {"messages": [said]})["messages"]
    assert [(m.tool_call_id, m.text, m.status) for m in results] == [
        ("a", "1.2", "success"),
        ("b", "Not called, for its arguments are not JSON: {", "error"),
    ]


def test_a_result_goes_by_the_call_whatever_the_tool_says(play: Play) -> None:
    def told() -> ToolMessage:
        return ToolMessage("tea", tool_call_id="another")

    said = AIMessage("", tool_calls=[{"name": "told", "args": {}, "id": "a"}])
    (result,) = play(tool_calls([told]), {"messages": [said]})["messages"]
    assert (result.tool_call_id, result.text) == ("a", "tea")


def charge_of(noted: list[str]) -> list[Any]:
    async def charge(amount: int) -> str:
        if amount == 5:
            await asyncio.sleep(0.02)  # the first call asks last
        return f"{amount} {interrupt({'question': f'Charge {amount}?'})}"

    def note(words: str) -> str:
        noted.append(words)
        return "noted"

    return [charge, note]


CHARGES = [
    {"name": "note", "args": {"words": "a"}, "id": "a"},
    *({"name": "charge", "args": {"amount": amount}, "id": str(amount)} for amount in (5, 7, 9)),
]
ANSWERS = ((5, "yes"), (7, "no"), (9, "maybe"))


def test_each_question_of_the_calls_of_a_message_gets_its_own_answer(
    tmp_path: Path, drive: Callable[..., Any]
) -> None:
    noted: list[str] = []
    flow = Workflow("paying", Paying).add_node(tool_calls(charge_of(noted)), interrupts=3)
    flow.add_edge(START, "tools").add_edge("tools", END)
    with Runner(flow, db=tmp_path / "r.db") as runner:
        waiting = drive(runner, "run", {"messages": [AIMessage("", tool_calls=CHARGES)]}, thread="t")
        for amount, answer in ANSWERS:
            assert [i["value"]["question"] for i in waiting.interrupts] == [f"Charge {amount}?"]
            waiting = drive(runner, "resume", "t", answer)
    assert [m.text for m in waiting.output["messages"][1:]] == ["noted", "5 yes", "7 no", "9 maybe"]
    assert noted == ["a"]


def test_so_it_does_in_a_graph_that_nobody_runs(tmp_path: Path) -> None:
    flow = Workflow("paying", Paying).add_node(tool_calls(charge_of([])), interrupts=3)
    flow.add_edge(START, "tools").add_edge("tools", END)
    graph, config = flow.compile(checkpointer=InMemorySaver()), {"configurable": {"thread_id": "t"}}
    said: Any = {"messages": [AIMessage("", tool_calls=CHARGES)]}
    for amount, answer in ANSWERS:
        asked = graph.invoke(said, config)["__interrupt__"]
        assert [i.value["question"] for i in asked] == [f"Charge {amount}?"]
        said = Command(resume=answer)
    done = graph.invoke(said, config)
    assert [m.text for m in done["messages"][1:]] == ["noted", "5 yes", "7 no", "9 maybe"]


def test_a_last_message_that_calls_nothing_is_an_error(play: Play) -> None:
    with pytest.raises(ToolFailed, match="which is HumanMessage, not a model's message"):
        play(tool_calls([failing]), {"messages": [HumanMessage("?")]})
    with pytest.raises(FieldMissing):
        play(tool_calls([failing]), {})


def test_agent_and_tools_can_be_two_nodes_of_a_loop_that_is_certified(tmp_path: Path) -> None:
    def add(a: int, b: int) -> int:
        return a + b

    def asking(state: Paying) -> dict[str, Any]:
        return {"messages": [model.bind_tools([add]).invoke([HumanMessage("2+3?"), *state["messages"]])]}

    script = [{"name": "add", "args": {"a": 2, "b": 3}}, Reply("5", expect=lambda m: m[-1].text == "5")]
    model = ScriptedChatModel(script)
    flow = Workflow("loop", Paying).add_node("ask", asking, calls=1).add_node(tool_calls([add]))
    flow.add_edge(START, "ask").add_edge("tools", "ask")
    flow.add_conditional_edges(
        "ask",
        lambda s: "use" if s["messages"][-1].tool_calls else "done",
        {"use": Loop("tools", max=3, on_exhausted=END), "done": END},
    )
    certificate = flow.validate().certificate
    assert certificate
    assert certificate.model_calls == 4
    with model, Runner(flow, db=tmp_path / "r.db") as runner:
        assert runner.run({}).output["messages"][-1].text == "5"


def test_a_tool_that_calls_a_model_says_how_often(tmp_path: Path) -> None:
    inner = ScriptedChatModel([], then="x")

    def ask(amount: int) -> str:
        return str(inner.invoke("?").text)

    def running(**options: Any) -> Any:
        flow = Workflow("pay", Paying).add_node(tool(ask, writes="receipt", **options))
        with Runner(flow.add_edge(START, "ask").add_edge("ask", END), db=tmp_path / "r.db") as runner:
            return runner.run({"amount": 1})

    assert running().error["type"] == "BoundExceeded"
    assert running(calls=1).output["receipt"] == "x"
    model = ScriptedChatModel([])
    assert (
        agent(model, "?", tools=[tool(ask, calls=2)], max_turns=3, max_tool_calls=4).declares()["calls"]
        == 3 + 8
    )
