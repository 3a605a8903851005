"""A run spends what it was given and no more, over every resume; and what it spent is told."""

from __future__ import annotations

import asyncio
import contextlib
import operator
import threading
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.language_models.llms import BaseLLM
from langchain_core.messages import AIMessage
from langchain_core.outputs import Generation, LLMResult
from langgraph.graph import StateGraph
from langgraph.types import Send

from dalsegno import END, START, Budget, Each, Fallback, Loop, RetryPolicy, Runner, Workflow
from dalsegno.errors import BoundExceeded, BudgetExceeded, DefinitionError
from dalsegno.nodes.policies import ManualClock, spend
from dalsegno.runtime.events import Event, PolicyActed
from dalsegno.testing import ScriptedChatModel


class State(TypedDict, total=False):
    notes: Annotated[list[str], operator.add]


class Model(GenericFakeChatModel):
    """Answers for ever; 10 tokens in, 5 out."""

    def _get_ls_params(self, stop: Any = None, **kwargs: Any) -> Any:
        return {**super()._get_ls_params(stop=stop, **kwargs), "ls_model_name": "tiny-2024"}


def model() -> Model:
    def answers() -> Any:
        while True:
            yield AIMessage(
                "rain",
                usage_metadata={"input_tokens": 10, "output_tokens": 5, "total_tokens": 15},
                response_metadata={"model_name": "tiny-2024"},
            )

    return Model(messages=answers())


def asking(times: int = 1, *, is_async: bool = False) -> Any:
    chat = model()

    def ask(state: State) -> dict[str, Any]:
        return {"notes": [str(chat.invoke("?").content) for _ in range(times)]}

    async def aask(state: State) -> dict[str, Any]:
        return {"notes": [str((await chat.ainvoke("?")).content) for _ in range(times)]}

    return aask if is_async else ask


def looping(node: Any, rounds: int = 5, budget: Budget | None = None, **options: Any) -> Workflow:
    flow = Workflow("loop", State, budget=budget).add_node("ask", node, **options).add_edge(START, "ask")
    back = Loop("ask", max=rounds - 1, on_exhausted=END)
    return flow.add_conditional_edges("ask", lambda s: "again", {"again": back, "done": END})


@pytest.mark.parametrize("is_async", [False, True])
def test_calls_and_tokens_are_counted_where_they_happen(tmp_path: Path, is_async: bool) -> None:
    runner = Runner(looping(asking(2, is_async=is_async), 3), db=tmp_path / "r.db")
    usage = runner.run({}, "t1").usage
    assert (usage["executions"], usage["model_calls"], usage["tokens"]) == (3, 6, 90)
    assert usage["by_node"]["ask"] == {"model_calls": 6, "tokens": 90}
    kept = runner.ledger.latest("t1")
    assert kept is not None
    assert kept.usage == usage


class PlainModel(BaseLLM):
    """Answers with text, as those of before chat did, and tells beside it what it took: 10 tokens in, 5 out."""

    @property
    def _llm_type(self) -> str:
        return "plain"

    def _generate(
        self, prompts: list[str], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> LLMResult:
        used = {"prompt_tokens": 10 * len(prompts), "completion_tokens": 5 * len(prompts), "total_tokens": 15}
        return LLMResult(
            generations=[[Generation(text="rain")] for _ in prompts],
            llm_output={"token_usage": used, "model_name": "tiny-1"},
        )


def test_the_tokens_of_a_model_that_answers_with_text_are_counted_once(tmp_path: Path) -> None:
    plain = PlainModel()
    runner = Runner(
        looping(lambda state: {"notes": plain.batch(["?", "!"])}, 2, Budget(prices=PRICES)),
        db=tmp_path / "r.db",
    )
    usage = runner.run({}, "t1").usage
    assert (usage["model_calls"], usage["tokens"], usage["cost"]) == (4, 60, 80)


PRICES = {"tiny": (1_000_000.0, 2_000_000.0)}


@pytest.mark.parametrize(
    ("budget", "what", "spent", "rounds"),
    [
        (Budget(model_calls=3), "model_calls", 3, 3),
        (Budget(tokens=40), "tokens", 45, 3),
        (Budget(cost=30, prices=PRICES), "cost", 40, 2),
        (Budget(supersteps=2), "supersteps", 2, 2),
        (Budget(model_calls=0), "model_calls", 0, 0),
        (Budget(tokens=0), "tokens", 0, 0),
        (Budget(supersteps=0), "supersteps", 0, 0),
        (Budget(seconds=0), "seconds", None, 0),
    ],
)
@pytest.mark.parametrize("is_async", [False, True])
def test_a_run_stops_at_its_budget_and_goes_on_with_a_larger_one(
    tmp_path: Path, budget: Budget, what: str, spent: float | None, rounds: int, is_async: bool
) -> None:
    events: list[Event] = []
    runner = Runner(looping(asking(is_async=is_async)), db=tmp_path / "r.db", on_event=events.append)
    stopped = runner.run({}, "t1", budget=budget)
    assert stopped.error is not None
    assert (stopped.status, stopped.error["type"], stopped.error["node"]) == (
        "failed",
        "BudgetExceeded",
        "ask",
    )
    if spent is not None:
        assert (
            f"The run has spent {spent} of {budget.limits()[what]:g} {what.replace('_', ' ')}"
            in (stopped.error["message"])
        )
    assert len(runner.pending("t1").values.get("notes", ())) == rounds
    again = runner.resume("t1")
    assert again.error is not None
    assert again.error["type"] == "BudgetExceeded", "the budget holds over a resume"
    done = runner.resume("t1", budget=Budget(**{what: 10_000.0 if what == "cost" else 10_000}))  # type: ignore[arg-type]
    assert (done.status, done.output["notes"]) == ("completed", ["rain"] * 5)
    assert done.usage["model_calls"] == 5
    assert done.usage["tokens"] == 75


def test_an_exceeded_budget_is_an_event_and_names_what_each_node_spent(tmp_path: Path) -> None:
    flow = Workflow("two", State).add_sequence([("a", asking(3)), ("b", asking(2))]).add_edge(START, "a")
    flow.add_edge("b", END)
    events: list[Event] = []
    result = Runner(flow, db=tmp_path / "r.db", on_event=events.append).run({}, budget=Budget(model_calls=4))
    assert result.error is not None
    assert "(`a` 3, `b` 1), and `b` needs more" in result.error["message"]
    assert [(e.policy, e.what, e.detail["limit"]) for e in events if isinstance(e, PolicyActed)] == [
        ("budget", "exceeded", "model_calls")
    ]


def test_the_seconds_of_a_run_are_those_of_all_its_processes(tmp_path: Path, clock: ManualClock) -> None:
    broken = [True]

    def work(state: State) -> dict[str, Any]:
        clock.advance(4)
        if broken:
            broken.clear()
            raise ValueError
        return {"notes": ["x"]}

    runner = Runner(looping(work), db=tmp_path / "r.db")
    budget = Budget(seconds=9, clock=clock)
    assert runner.run({}, "t1", budget=budget).usage["seconds"] == 4
    clock.advance(1000)  # nobody was at it
    stopped = runner.resume("t1", budget=budget)
    assert stopped.error is not None
    assert "has spent 12 of 9 seconds" in stopped.error["message"]


def test_a_workflows_budget_is_that_of_each_run_unless_the_run_says_otherwise(tmp_path: Path) -> None:
    flow = looping(asking(), budget=Budget(model_calls=2))
    runner = Runner(flow, db=tmp_path / "r.db")
    assert [runner.run({}).status for _ in range(2)] == ["failed", "failed"]
    assert runner.run({}, budget=Budget(model_calls=9)).status == "completed"


def test_subworkflows_spend_out_of_the_runs_budget_and_keep_to_their_own(tmp_path: Path) -> None:
    def parent(child: Workflow, **options: Any) -> Runner:
        flow = Workflow("parent", State).add_node("ask", asking()).add_node("sub", child, **options)
        flow.add_edge(START, "ask").add_edge("ask", "sub").add_edge("sub", END)
        return Runner(flow, db=tmp_path / "r.db")

    def message(runner: Runner, **given: Any) -> str:
        error = runner.run({}, **given).error
        assert error is not None
        return str(error["message"])

    inherited = message(parent(looping(asking())), budget=Budget(model_calls=4))
    assert "The run has spent 4 of 4 model calls (`sub/ask` 3, `ask` 1)" in inherited
    own = message(parent(looping(asking(), budget=Budget(model_calls=2))))
    assert "`sub` has spent 2 of 2 model calls (`sub/ask` 2)" in own
    assert "raise the budget of `sub`, and resume" in own
    of_the_node = message(parent(looping(asking()), budget=Budget(tokens=20)))
    assert "`sub` has spent 30 of 20 tokens" in of_the_node
    deep = message(parent(looping(asking())), budget=Budget(supersteps=4))
    assert "has spent 4 of 4 supersteps, and `sub/ask` needs more" in deep


def test_a_nodes_budget_is_of_all_its_executions_in_a_run(tmp_path: Path) -> None:
    runner = Runner(looping(asking(), budget=None, **{}), db=tmp_path / "r.db")
    assert runner.run({}).status == "completed"
    flow = (
        Workflow("loop", State).add_node("ask", asking(), budget=Budget(model_calls=3)).add_edge(START, "ask")
    )
    flow.add_conditional_edges("ask", lambda s: "x", {"x": Loop("ask", max=4, on_exhausted=END), "y": END})
    runner = Runner(flow, db=tmp_path / "s.db")
    stopped = runner.run({}, "t1")
    assert stopped.error is not None
    assert "`ask` has spent 3 of 3 model calls" in stopped.error["message"]
    assert runner.resume("t1").status == "failed", "what it spent is known after a resume"
    assert runner.run({}, "t2").usage["model_calls"] == 3, "another run has its own"


def test_branches_side_by_side_never_call_more_than_there_is(tmp_path: Path) -> None:
    meet = threading.Barrier(4, timeout=0.5)

    def work(item: int) -> dict[str, Any]:
        with contextlib.suppress(threading.BrokenBarrierError):
            meet.wait()
        return {"notes": [str(model().invoke("?").content)]}

    flow = Workflow("fan", State).add_node("plan", lambda s: {}).add_node("work", work)
    flow.add_edge(START, "plan").add_edge("work", END)
    flow.add_conditional_edges("plan", lambda s: [Send("work", i) for i in range(8)], [Each("work", max=8)])
    runner = Runner(flow, db=tmp_path / "r.db")
    stopped = runner.run({}, "t1", budget=Budget(model_calls=5))
    assert stopped.status == "failed"
    assert stopped.usage["model_calls"] == 5
    done = runner.resume("t1", budget=Budget(model_calls=8))
    assert (done.status, done.usage["model_calls"]) == ("completed", 8), (
        "a finished sibling is not paid twice"
    )


def test_a_node_that_swallows_the_refusal_fails_by_it_all_the_same(tmp_path: Path) -> None:
    def stubborn(state: State) -> dict[str, Any]:
        try:
            return asking()(state)  # type: ignore[no-any-return]
        except Exception:
            return {"notes": ["made up"]}

    for options in ({}, {"retry": RetryPolicy(), "fallback": Fallback({"notes": ["fallback"]})}):
        flow = Workflow("one", State).add_node("ask", stubborn, **options).add_edge(START, "ask")  # type: ignore[arg-type]
        result = Runner(flow.add_edge("ask", END), db=tmp_path / "r.db").run({}, budget=Budget(model_calls=0))
        assert result.error is not None
        assert result.error["type"] == "BudgetExceeded"


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    ("declared", "made", "status"),
    [(0, 0, "completed"), (2, 2, "completed"), (0, 1, "failed"), (2, 3, "failed")],
)
def test_more_model_calls_than_declared_are_an_error(
    tmp_path: Path, is_async: bool, declared: int, made: int, status: str
) -> None:
    flow = Workflow("one", State).add_node("ask", asking(made, is_async=is_async), calls=declared)
    flow.add_edge(START, "ask").add_edge("ask", END)
    result = Runner(flow, db=tmp_path / "r.db").run({})
    assert (result.status, result.usage["model_calls"]) == (status, min(declared, made))
    if result.error is not None:
        assert result.error["type"] == "BoundExceeded"
    graph = flow.compile()
    if status == "completed":
        asyncio.run(graph.ainvoke({}))
    else:
        with pytest.raises(BoundExceeded, match=f"`calls={declared}`"):
            asyncio.run(graph.ainvoke({}))


def test_declared_calls_are_those_of_one_attempt(tmp_path: Path) -> None:
    attempts: list[int] = []

    def flaky(state: State) -> dict[str, Any]:
        update: dict[str, Any] = asking(2)(state)
        attempts.append(1)
        if len(attempts) < 3:
            raise ValueError
        return update

    retry = RetryPolicy(max_attempts=3, initial_interval=0, jitter=False)
    flow = Workflow("one", State).add_node("ask", flaky, calls=2, retry=retry)
    flow.add_edge(START, "ask").add_edge("ask", END)
    result = Runner(flow, db=tmp_path / "r.db").run({})
    assert (result.status, result.usage["model_calls"]) == ("completed", 6)
    certificate = flow.validate().certificate
    assert certificate is not None
    assert certificate.model_calls == 6


def test_a_model_without_a_known_price_is_not_called_within_a_budget_of_money(tmp_path: Path) -> None:
    result = Runner(looping(asking()), db=tmp_path / "r.db").run(
        {}, budget=Budget(cost=5, prices={"other": (1, 1)})
    )
    assert result.error is not None
    assert "'tiny-2024', whose price is not known" in result.error["message"]


def test_what_is_spent_without_langchain_is_told(tmp_path: Path) -> None:
    def ask(state: State) -> dict[str, Any]:
        spend(model_calls=1, model="tiny-1")
        spend(input_tokens=2, output_tokens=1, model="tiny-1")
        return {"notes": ["x"]}

    runner = Runner(looping(ask), db=tmp_path / "r.db")
    result = runner.run({}, budget=Budget(model_calls=3, cost=1e9, prices=PRICES))
    assert result.error is not None
    assert (result.usage["model_calls"], result.usage["tokens"], result.usage["cost"]) == (3, 9, 12)


def test_a_plain_langgraph_graph_keeps_to_a_budget_too(tmp_path: Path) -> None:
    graph = StateGraph(State).add_node("ask", asking(2)).add_node("more", asking(2))
    graph.add_edge(START, "ask").add_edge("ask", "more").add_edge("more", END)
    runner = Runner(graph, db=tmp_path / "r.db")
    stopped = runner.run({}, "t1", budget=Budget(model_calls=3))
    assert stopped.error is not None
    assert "(`ask` 2, `more` 1), and `more` needs more" in stopped.error["message"]
    assert runner.run({}, "t2", budget=Budget(supersteps=1)).status == "failed"
    assert runner.resume("t1", budget=Budget(model_calls=9)).usage["model_calls"] == 5


@pytest.mark.parametrize("told", [{}, {"model_name": "another-name"}], ids=["nothing", "another name"])
def test_what_a_model_costs_is_what_it_was_called_for_where_its_answer_does_not_tell(
    told: dict[str, Any], tmp_path: Path
) -> None:
    tokens = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
    answers = [AIMessage("rain", usage_metadata=tokens, response_metadata=told) for _ in range(3)]
    chat = Model(messages=iter(answers))

    def ask(state: State) -> dict[str, Any]:
        return {"notes": [str(chat.invoke("?").content) for _ in answers]}

    flow = Workflow("asking", State).add_node("ask", ask).add_edge(START, "ask").add_edge("ask", END)
    runner = Runner(flow, db=tmp_path / "r.db")
    stopped = runner.run({}, budget=Budget(cost=40, prices={"tiny": (1e6, 2e6)}))
    assert stopped.error is not None
    assert stopped.error["message"].startswith("The run has spent 40 of 40 cost (`ask` 40)")
    assert stopped.usage["model_calls"] == 2


@pytest.mark.parametrize("is_async", [False, True])
def test_what_a_router_spends_that_is_asked_outside_of_a_node_is_the_runs(
    is_async: bool, tmp_path: Path
) -> None:
    """That of START, and that of a node that is sent to."""
    ask, aask = asking(), asking(is_async=True)

    def begin(state: State) -> str:
        return "split" if ask(state) else "nowhere"

    async def abegin(state: State) -> str:
        return "split" if await aask(state) else "nowhere"

    def onward(state: State) -> str:
        spend(model_calls=1)
        return "done"

    flow = Workflow("routed", State).add_node("split", lambda state: {}).add_node("work", lambda state: {})
    flow.add_conditional_edges(START, abegin if is_async else begin, ["split"])
    flow.add_conditional_edges("split", lambda s: [Send("work", {}), Send("work", {})], [Each("work", max=2)])
    flow.add_conditional_edges("work", onward, {"done": END})
    runner = Runner(flow, db=tmp_path / "r.db")
    for most, refused in ((0, "__start__"), (1, "work"), (2, "work")):
        stopped = runner.run({}, f"at most {most}", budget=Budget(model_calls=most))
        assert stopped.error is not None
        assert (stopped.error["type"], stopped.usage["model_calls"]) == ("BudgetExceeded", most)
        assert f"and `{refused}` needs more" in stopped.error["message"]
        done = runner.resume(f"at most {most}", budget=Budget(model_calls=5))
        assert done.status == "completed"
        assert done.usage["by_node"]["__start__"] == {"model_calls": 1, "tokens": 15}


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("is_inner", [False, True])
def test_where_model_calls_are_proved_a_router_that_is_asked_outside_of_a_node_makes_none(
    is_async: bool, is_inner: bool, tmp_path: Path
) -> None:
    """Nobody declares its calls: the run would make more than are proved."""
    ask, aask = asking(), asking(is_async=True)
    calling: set[str] = set()

    def begin(state: State) -> str:
        return "split" if "START" not in calling or ask(state) else "nowhere"

    async def abegin(state: State) -> str:
        return "split" if "START" not in calling or await aask(state) else "nowhere"

    def onward(state: State) -> str:
        if "work" in calling:
            spend(model_calls=1)
        return "done"

    flow = Workflow("routed", State)
    flow.add_node("split", lambda state: {}, calls=0).add_node("work", lambda state: {}, calls=1)
    flow.add_conditional_edges(START, abegin if is_async else begin, ["split"])
    flow.add_conditional_edges("split", lambda s: [Send("work", {}), Send("work", {})], [Each("work", max=2)])
    flow.add_conditional_edges("work", onward, {"done": END})
    if is_inner:
        outer = Workflow("outer", State).add_node("inner", flow)
        flow = outer.add_edge(START, "inner").add_edge("inner", END)
    assert flow.validate().certificate.model_calls == 2
    runner = Runner(flow, db=tmp_path / "r.db")
    for who, whose in (("START", "START"), ("work", "`work`, which is sent to,")):
        calling.add(who)
        stopped = runner.run({}, who)
        assert stopped.error is not None
        assert stopped.error["type"] == "BoundExceeded"
        assert (
            f"The router of {whose} calls a model, and none of the 2 model calls" in stopped.error["message"]
        )
        calling.clear()
        assert runner.resume(who).status == "completed"
    if not is_async:
        calling.add("START")
        with pytest.raises(BoundExceeded):
            flow.compile().invoke({})


def test_what_models_cost_is_known_after_a_resume_too_where_no_limit_was_given(tmp_path: Path) -> None:
    failures = [ValueError("once")]

    def fails_once(state: State) -> dict[str, Any]:
        spend(model_calls=1, model="tiny")
        spend(input_tokens=1, model="tiny")
        if failures:
            raise failures.pop()
        return {}

    flow = Workflow("priced", State).add_node("ask", fails_once).add_edge(START, "ask").add_edge("ask", END)
    runner = Runner(flow, db=tmp_path / "r.db")
    assert runner.run({}, "t1", budget=Budget(prices=PRICES)).usage["cost"] == 1
    assert runner.resume("t1").usage["cost"] == 2


def test_the_seconds_of_a_subworkflow_are_not_counted_again_with_those_of_its_nodes(
    tmp_path: Path, clock: ManualClock
) -> None:
    def slow(state: State) -> dict[str, Any]:
        clock.advance(40)
        spend(model_calls=1)
        return {"notes": ["slow"]}

    inner = Workflow("inner", State).add_edge(START, "slow").add_edge("slow", END)
    inner.add_node("slow", slow, calls=1, budget=Budget(model_calls=9, clock=clock))
    for seconds, status in ((100, "completed"), (80, "failed")):
        flow = Workflow("outer", State).add_edge(START, "sub")
        flow.add_node("sub", inner, budget=Budget(seconds=seconds, clock=clock))
        back = Loop("sub", max=2, on_exhausted=END)
        flow.add_conditional_edges("sub", lambda s: "again", {"again": back, "done": END})
        assert Runner(flow, db=tmp_path / "r.db").run({}).status == status


def test_a_plain_function_has_a_budget_of_all_its_calls(wrap: Any, clock: ManualClock) -> None:
    chat = model()
    call = wrap(lambda: chat.invoke("?").content, budget=Budget(model_calls=2), name="ask")
    assert [call(), call()] == ["rain", "rain"]
    with pytest.raises(BudgetExceeded, match="`ask` has spent 2 of 2 model calls"):
        call()

    slow = wrap(lambda: clock.advance(4), budget=Budget(seconds=7, clock=clock), name="slow")
    slow(), slow()
    with pytest.raises(BudgetExceeded, match="`slow` has spent 8 of 7 seconds"):
        slow()


def test_without_a_runner_a_nodes_budget_is_of_one_execution() -> None:
    flow = looping(asking(2), budget=None)
    flow.nodes.clear()
    single = Workflow("one", State).add_node("ask", asking(2), budget=Budget(model_calls=1))
    graph = single.add_edge(START, "ask").add_edge("ask", END).compile()
    for _ in range(2):
        with pytest.raises(BudgetExceeded, match="`ask` has spent 1 of 1"):
            graph.invoke({})


@pytest.mark.parametrize(
    "options",
    [
        {"tokens": -1},
        {"model_calls": True},
        {"seconds": float("nan")},
        {"cost": "5"},
        {"tokens": float("inf")},
        {"model_calls": 1.5},
        {"prices": {"tiny": 3}},
        {"prices": {"tiny": (1, -1)}},
    ],
)
def test_a_budget_that_cannot_be_meant_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError, match="Budget"):
        Budget(**options)


def test_a_budget_of_no_limits_limits_nothing(tmp_path: Path) -> None:
    assert Runner(looping(asking()), db=tmp_path / "r.db").run({}, budget=Budget()).status == "completed"


def test_supersteps_are_no_budget_of_a_node() -> None:
    with pytest.raises(DefinitionError, match="supersteps are those of a run"):
        Workflow("one", State).add_node("ask", asking(), budget=Budget(supersteps=3))


@pytest.mark.parametrize("policies", [{}, {"retry": RetryPolicy(initial_interval=0, jitter=False)}])
@pytest.mark.parametrize("is_async", [False, True])
def test_a_refusal_is_told_also_where_the_node_makes_another_error_of_it(
    tmp_path: Path, policies: Any, is_async: bool
) -> None:
    model = ScriptedChatModel([], then="more")

    def ask(state: Any) -> Any:
        try:
            return [model.invoke("?") for _ in range(3)]
        except Exception:
            raise ConnectionError("the model did not answer") from None

    async def aask(state: Any) -> Any:
        return ask(state)

    flow = Workflow("asking", State).add_node("ask", aask if is_async else ask, **policies)
    flow.add_edge(START, "ask").add_edge("ask", END)
    with Runner(flow, db=tmp_path / "r.db") as runner:
        error = runner.run({}, budget=Budget(model_calls=2)).error
    assert error is not None
    assert (error["type"], error["attempt"]) == ("BudgetExceeded", 1)


@pytest.mark.parametrize(
    "spent", [{"cost": float("nan")}, {"cost": -1.0}, {"input_tokens": -5}, {"cost": float("inf")}]
)
def test_what_is_no_amount_is_not_spent(tmp_path: Path, spent: dict[str, Any]) -> None:
    """A sum with NaN in it is below no limit and above none."""

    def ask(state: Any) -> dict[str, Any]:
        spend(**spent)
        return {}

    flow = Workflow("asking", TypedDict("Nothing", {"text": str})).add_node("ask", ask)  # type: ignore[operator]
    flow.add_edge(START, "ask").add_edge("ask", END)
    failed = Runner(flow, db=tmp_path / "r.db").run({"text": ""}, budget=Budget(cost=1))
    assert failed.error["type"] == "DefinitionError"
    assert "0 or more is needed" in failed.error["message"]
