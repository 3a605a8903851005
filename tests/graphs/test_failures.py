"""A node that fails is retried, handled by its handler, or fails the run: as it was declared."""

from __future__ import annotations

import asyncio
import functools
import operator
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

import pytest
from langgraph.errors import NodeError
from langgraph.types import Command
from langgraph.types import RetryPolicy as NativeRetryPolicy

from dalsegno import END, START, Loop, RetryPolicy, Runner, Workflow, effect
from dalsegno.errors import DefinitionError, UndeclaredTarget, UnknownStateKey, WorkflowInvalid
from dalsegno.nodes.policies import spend
from dalsegno.runtime.events import NodeFailed


class State(TypedDict, total=False):
    path: Annotated[list[str], operator.add]


def step(name: str) -> Any:
    return lambda state: {"path": [name]}


class Flaky:
    """A node that fails the first `times` times."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.calls = 0

    def __call__(self, state: State) -> dict[str, Any]:
        self.calls += 1
        if self.calls <= self.times:
            raise ValueError(f"failure {self.calls}")
        return {"path": ["pay"]}


def paying(pay: Any, handler: Any = None, **options: Any) -> Workflow:
    flow = Workflow("paying", State)
    flow.add_node("pay", pay, error_handler=handler, **options)
    flow.add_node("refund", step("refund")).add_node("ship", step("ship"))
    flow.add_edge(START, "pay").add_edge("pay", "ship").add_edge("ship", END).add_edge("refund", END)
    if handler is None:
        flow.add_edge("pay", "refund")
    return flow


def to_refund(state: State, error: NodeError) -> Command[Literal["refund"]]:
    return Command(update={"path": [f"handled {error.error}"]}, goto="refund")


def test_a_handler_goes_where_it_declares_and_the_run_goes_on() -> None:
    result = paying(Flaky(9), to_refund).compile().invoke({"path": []})
    assert result["path"] == ["handled failure 1", "refund"]


def test_a_handler_in_an_event_loop() -> None:
    async def pay(state: State) -> dict[str, Any]:
        raise ValueError("async")

    async def handler(state: State, error: NodeError) -> Command[Literal["refund"]]:
        return Command(update={"path": [f"handled {error.error}"]}, goto="refund")

    result = asyncio.run(paying(pay, handler).compile().ainvoke({"path": []}))
    assert result["path"] == ["handled async", "refund"]


@pytest.mark.parametrize(
    ("calls", "status", "proved"), [(2, "completed", 4), (1, "failed", 2), (0, "failed", 0)]
)
@pytest.mark.parametrize("is_async", [False, True])
def test_a_handler_makes_no_more_model_calls_than_an_attempt_and_they_are_proved(
    is_async: bool, calls: int, status: str, proved: int, tmp_path: Path
) -> None:
    def asking(state: State, error: NodeError) -> Command[Literal["refund"]]:
        spend(model_calls=2)
        return to_refund(state, error)

    async def aasking(state: State, error: NodeError) -> Command[Literal["refund"]]:
        return asking(state, error)

    flow = Workflow("paying", State).add_edge(START, "pay").add_edge("pay", END).add_edge("refund", END)
    flow.add_node("pay", Flaky(9), calls=calls, error_handler=aasking if is_async else asking)
    flow.add_node("refund", step("refund"), calls=0)
    assert flow.validate().certificate.model_calls == proved
    result = Runner(flow, db=tmp_path / "r.db").run({})
    assert (result.status, result.usage["model_calls"]) == (status, 2 if status == "completed" else 0)
    assert result.error is None or result.error["type"] == "BoundExceeded"


def test_the_calls_of_a_subworkflows_handler_are_known_where_they_are_said() -> None:
    def outer(**options: Any) -> Workflow:
        flow = Workflow("outer", State).add_edge(START, "sub").add_edge("sub", END).add_edge("refund", END)
        flow.add_node("sub", inner, error_handler=to_refund, **options)
        return flow.add_node("refund", step("refund"), calls=0)

    inner = Workflow("inner", State).add_node("ask", Flaky(9), calls=3)
    inner.add_edge(START, "ask").add_edge("ask", END)
    unknown = outer().validate().certificate.bounds["model_calls"]
    assert (unknown.value, unknown.reason) == (
        None,
        "`sub` does not declare model calls. Use `calls=`, 0 for none.",
    )
    assert outer(calls=1).validate().certificate.model_calls == 3 + 1


def test_a_handler_that_goes_elsewhere_is_refused() -> None:
    def handler(state: State) -> Command[Literal["refund"]]:
        return Command(goto="ship")  # type: ignore[arg-type]

    with pytest.raises(UndeclaredTarget, match="not one of its declared targets: `refund`"):
        paying(Flaky(9), handler).compile().invoke({"path": []})


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Command(goto="ship"), "chose `ship`, which is not one of its declared targets: `refund`"),
        ({"path": []}, r"declares destinations but .* without a word\. Return a Command\."),
        (Command(update={"paht": []}, goto="refund"), "returned `paht`, which is no key of the state"),
        (7, "returned 7"),
    ],
)
def test_what_a_handler_answers_wrongly_is_told_as_the_handlers(answer: Any, words: str) -> None:
    def handler(state: State) -> Command[Literal["refund"]]:
        return answer  # type: ignore[no-any-return]

    with pytest.raises(
        (UndeclaredTarget, UnknownStateKey), match=f"^The error handler of `pay` {words}"
    ) as refused:
        paying(Flaky(9), handler).compile().invoke({"path": []})
    assert refused.value.node == "pay"


def test_a_handler_without_targets_is_told_to_declare_them_in_its_annotation() -> None:
    flow = Workflow("paying", State)
    flow.add_node("pay", Flaky(9), error_handler=lambda state: Command(goto="pay"))
    flow.add_edge(START, "pay").add_edge("pay", END)
    words = "^The error handler of `pay` returned .* Declare them: annotate it with `-> Command"
    with pytest.raises(UndeclaredTarget, match=words):
        flow.compile().invoke({"path": []})


class Refunding:
    """A handler that is an object."""

    def __call__(self, state: State, error: NodeError) -> Command[Literal["refund"]]:
        return to_refund(state, error)


@pytest.mark.parametrize(
    ("handler", "name"),
    [
        (Refunding(), "Refunding"),
        (functools.partial(to_refund), "to_refund"),
        (functools.partial(Refunding()), "Refunding"),
    ],
)
def test_a_handler_may_be_any_callable_and_is_called_by_what_is_known_of_it(handler: Any, name: str) -> None:
    flow = paying(Flaky(9), handler)
    assert flow.spec.nodes["pay"].error_handler == name
    assert flow.compile().invoke({"path": []})["path"] == ["handled failure 1", "refund"]


def test_a_handler_may_be_a_lambda_where_nothing_comes_after_it() -> None:
    flow = Workflow("paying", State).add_node(
        "pay", Flaky(9), error_handler=lambda state: {"path": ["handled"]}
    )
    flow.add_edge(START, "pay").add_edge("pay", END)
    assert flow.spec.nodes["pay"].error_handler == "handler"
    assert flow.compile().invoke({"path": []})["path"] == ["handled"]


def test_a_handler_that_leads_nowhere_is_refused_at_check_time() -> None:
    def handler(state: State) -> dict[str, Any]:
        return {}

    flow = paying(Flaky(0), handler)
    flow.add_edge("pay", "refund")
    with pytest.raises(WorkflowInvalid, match="G006"):
        flow.compile()


def test_a_handler_that_goes_back_is_counted_as_a_loop() -> None:
    pay = Flaky(9)

    def handler(state: State) -> Command[Literal["pay"]]:
        return Command(goto="pay")

    flow = paying(pay, handler)
    flow.add_edge("ship", "refund")
    with pytest.raises(WorkflowInvalid, match="T101"):
        flow.compile()


def test_a_handler_that_has_the_name_of_a_node_counts_its_own_executions(tmp_path: Path) -> None:
    """It counted those of that node, which runs once, and what it had done the first time stood for all others."""
    paid_back: list[int] = []

    def refund(state: State) -> Command[Literal["look"]]:
        number = effect("pay back", lambda: paid_back.append(1) or len(paid_back))
        return Command(update={"path": [f"refund {number}"]}, goto="look")

    flow = Workflow("paying", State)
    flow.add_node("pay", Flaky(9), error_handler=refund).add_node("look", step("look"))
    flow.add_node("refund", step("the node")).add_edge(START, "pay").add_edge("pay", "look")
    flow.add_conditional_edges("look", lambda s: "pay", [Loop("pay", max=2, on_exhausted="refund")])
    flow.add_edge("refund", END)
    with Runner(flow, db=tmp_path / "r.db") as runner:
        path = runner.run({"path": []}).output["path"]
    assert path == ["refund 1", "look", "refund 2", "look", "refund 3", "look", "the node"]


@pytest.mark.parametrize("later", [False, True])
def test_a_default_handler_is_every_nodes_handler_and_compiling_twice_works(later: bool) -> None:
    flow = Workflow("default", State)
    if not later:
        flow.set_node_defaults(error_handler=to_refund)
    flow.add_node("pay", Flaky(9)).add_node("refund", step("refund"), error_handler=None)
    if later:
        flow.set_node_defaults(error_handler=to_refund)
    flow.add_edge(START, "pay").add_edge("pay", END).add_edge("refund", END)
    flow.nodes["refund"].handler = None
    for time in (1, 2):
        assert flow.compile().invoke({"path": []})["path"] == [f"handled failure {time}", "refund"]


@pytest.mark.parametrize(
    "options",
    [
        {"retry": RetryPolicy(max_attempts=3, initial_interval=0, jitter=False)},
        {"retry": NativeRetryPolicy(max_attempts=3, initial_interval=0, jitter=False, retry_on=ValueError)},
        {
            "retry_policy": NativeRetryPolicy(
                max_attempts=3, initial_interval=0, jitter=False, retry_on=ValueError
            )
        },
    ],
)
def test_a_retried_node_is_executed_once_for_the_run_and_every_attempt_is_told(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    pay, failed = Flaky(2), []
    flow = paying(pay, to_refund, **options)
    runner = Runner(
        flow, db=tmp_path / "r.db", on_event=lambda e: failed.append(e) if isinstance(e, NodeFailed) else None
    )
    assert runner.run({}).output["path"] == ["pay", "ship"]
    assert [e.attempt for e in failed] == [1, 2]
    assert flow.spec.nodes["pay"].attempts == 3


def test_the_error_of_the_last_attempt_is_in_the_result(tmp_path: Path) -> None:
    flow = paying(Flaky(9), retry=RetryPolicy(max_attempts=2, initial_interval=0, jitter=False))
    error = Runner(flow, db=tmp_path / "r.db").run({}).error
    assert error is not None
    assert (error["node"], error["attempt"], error["message"]) == ("pay", 2, "failure 2")


def test_an_async_node_that_takes_too_long_fails_the_run(tmp_path: Path) -> None:
    async def pay(state: State) -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    result = Runner(paying(pay, timeout=0.05), db=tmp_path / "r.db").run({}, thread="t1")
    assert result.status == "failed"
    assert result.error is not None
    assert "Timeout" in result.error["type"]


def test_a_router_that_raises_fails_its_node_and_is_asked_again_on_resume(tmp_path: Path) -> None:
    asked: list[int] = []

    def router(state: State) -> str:
        asked.append(1)
        if len(asked) == 1:
            raise ValueError("the router is broken")
        return "ship"

    for source in ("pay", START):
        asked.clear()
        flow = Workflow("routed", State)
        flow.add_node("pay", step("pay")).add_node("ship", step("ship"))
        if source == "pay":
            flow.add_edge(START, "pay")
        else:
            flow.add_edge("pay", END)
        flow.add_conditional_edges(source, router, ["ship", *(["pay"] if source == START else [])])
        flow.add_edge("ship", END)
        runner = Runner(flow, db=tmp_path / f"{source}.db")
        failed = runner.run({}, thread="t1")
        assert failed.status == "failed"
        assert failed.error is not None
        assert failed.error["message"] == "the router is broken"
        assert runner.resume("t1").output["path"][-1] == "ship"
        assert len(asked) == 2


def test_a_loop_counts_on_when_its_router_fails_and_is_asked_again(tmp_path: Path) -> None:
    broken = [True]

    def router(state: State) -> str:
        if broken and len(state["path"]) == 2:
            broken.clear()
            raise ValueError
        return "again"

    flow = Workflow("loop", State).add_node("a", step("a")).add_edge(START, "a")
    flow.add_conditional_edges("a", router, {"again": Loop("a", max=3, on_exhausted=END), "end": END})
    runner = Runner(flow, db=tmp_path / "r.db")
    assert runner.run({}, thread="t1").status == "failed"
    assert runner.resume("t1").output["path"] == ["a"] * 4


@pytest.mark.parametrize("options", [{"max_attempts": 0}, {"initial_interval": -1}, {"max_attempts": True}])
def test_a_retry_policy_that_cannot_be_meant_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError):
        RetryPolicy(**options)
