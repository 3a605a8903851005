"""What is held back for model calls under way, so that branches side by side do not spend the same money twice."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langgraph.types import Send

from dalsegno import END, START, Budget, Each, RetryPolicy, Runner, Workflow
from dalsegno.errors import BudgetExceeded, DefinitionError, NodeTimeout
from dalsegno.nodes.policies import Account, ManualClock, Timeout, with_policies
from dalsegno.nodes.policies.metering import ACCOUNT, METER, THE_METER
from dalsegno.runtime.result import RunResult


class State(TypedDict, total=False):
    note: str


PRICES = {"tiny": (10_000.0, 20_000.0)}


class Spending(BaseChatModel):
    """Spends what it is asked to, in tokens of its prompt; begins to answer only when so many ask at once."""

    together: Any = None

    @property
    def _llm_type(self) -> str:
        return "spending"

    def _get_ls_params(self, stop: Any = None, **kwargs: Any) -> Any:
        return {**super()._get_ls_params(stop=stop, **kwargs), "ls_model_name": "tiny"}

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        if self.together is not None:
            with contextlib.suppress(threading.BrokenBarrierError):
                self.together.wait(0.2)
        tokens = int(str(messages[-1].content))
        if tokens < 0:
            raise ConnectionError("no network")
        usage = {"input_tokens": tokens, "output_tokens": 0, "total_tokens": tokens}
        message = AIMessage("x", usage_metadata=usage, response_metadata={"model_name": "tiny"})
        return ChatResult(generations=[ChatGeneration(message=message)])


def fan(model: BaseChatModel, width: int, tokens: int = 100, *, is_async: bool = False) -> Workflow:
    """So many calls side by side, each of so many tokens."""

    def work(item: int) -> dict[str, Any]:
        model.invoke(str(tokens))
        return {}

    async def awork(item: int) -> dict[str, Any]:
        await model.ainvoke(str(tokens))
        return {}

    flow = Workflow("fan", State)
    flow.add_node("plan", lambda s: {}).add_node("work", awork if is_async else work)
    flow.add_edge(START, "plan").add_edge("work", END)
    many = Each("work", max=width)
    return flow.add_conditional_edges("plan", lambda s: [Send("work", i) for i in range(width)], [many])


def message(result: RunResult) -> str:
    assert result.error is not None
    assert result.error["type"] == "BudgetExceeded"
    return str(result.error["message"])


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    ("budget", "what", "limit"),
    [
        (Budget(tokens=450, tokens_per_call=100), "tokens", 450),
        (Budget(cost=9, prices=PRICES, tokens_per_call=100), "cost", 9),
    ],
)
def test_with_what_a_call_may_spend_branches_never_pass_the_limit(
    tmp_path: Path, budget: Budget, what: str, limit: float, is_async: bool
) -> None:
    runner = Runner(fan(Spending(together=threading.Barrier(4)), 12, is_async=is_async), db=tmp_path / "r.db")
    stopped = runner.run({}, "t1", budget=budget)
    said = message(stopped)
    assert "are held back for model calls under way" in said or "up to" in said
    assert stopped.usage.get(what, 0) <= limit  # no cost where all were cancelled by the first refusal
    done = runner.resume("t1", budget=Budget(tokens=10_000, cost=10_000, prices=PRICES))
    assert (done.status, done.usage["tokens"] >= 1200) == ("completed", True)


def test_what_a_call_may_spend_is_kept_with_the_run(tmp_path: Path) -> None:
    runner = Runner(fan(Spending(), 8), db=tmp_path / "r.db")
    first = runner.run({}, "t1", budget=Budget(tokens=350, tokens_per_call=100))
    assert first.usage["budget"] == {"tokens": 350, "tokens_per_call": 100}
    assert first.usage["tokens"] == 300
    again = runner.resume("t1", budget=Budget(tokens=550))
    assert again.usage["tokens"] == 500


def test_a_call_that_could_pass_the_limit_says_what_it_needs() -> None:
    account = Account(Budget(tokens=250, tokens_per_call=100))
    account.reserve("ask", key=1)
    account.settle("ask", input_tokens=80, key=1)
    account.reserve("ask", key=2)
    with pytest.raises(
        BudgetExceeded,
        match=r"spent 80 of 250 tokens \(`ask` 80\); 100 are held back .* `ask` needs up to 100 more",
    ) as caught:
        account.reserve("ask", key=3)
    assert (caught.value.spent, caught.value.held) == (80, 100)
    account.release(2)
    account.reserve("ask", key=3)


class Hanging(Spending):
    """Never answers its first call, in which the time is over."""

    clock: Any = None
    hangs: bool = True

    async def _agenerate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        if self.hangs:
            self.hangs = False
            self.clock.advance(6)
            await asyncio.Event().wait()
        return self._generate(messages)


@pytest.mark.parametrize("way", ["its timeout", "its own", "a function"])
def test_nothing_is_held_back_for_a_call_that_was_cancelled(tmp_path: Path, way: str) -> None:
    """LangChain tells of no end of it."""
    model = Hanging(clock=(clock := ManualClock()))
    budget = Budget(tokens=150, tokens_per_call=100)
    limit = Timeout(attempt=5, clock=clock)

    async def ask(state: State) -> State:
        await model.ainvoke("50")
        return {"note": "done"}

    async def give_up(state: State) -> State:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                await model.ainvoke("50")
        model.hangs = False
        return {}

    if way == "a function":
        asked = with_policies(ask, timeout=limit, budget=budget, name="ask")
        with pytest.raises(NodeTimeout):
            asyncio.run(asked({}))
        assert asyncio.run(asked({})) == {"note": "done"}
        return
    again = RetryPolicy(max_attempts=2, initial_interval=0, jitter=False)
    flow = Workflow("asking", State)
    flow.add_node("before", give_up if way == "its own" else lambda state: {})
    flow.add_node("ask", ask, timeout=limit, retry=again)
    flow.add_edge(START, "before").add_edge("before", "ask").add_edge("ask", END)
    done = Runner(flow, db=tmp_path / "r.db").run({}, "t1", budget=budget)
    assert (done.status, done.usage["tokens"]) == ("completed", 50)


def test_a_refused_call_is_not_warned_of_as_a_broken_callback(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    runner = Runner(fan(Spending(), 1), db=tmp_path / "r.db")
    message(runner.run({}, budget=Budget(tokens=0)))
    assert [r for r in caplog.records if not r.name.startswith("psycopg")] == []  # another test's pool


def test_without_it_a_call_under_way_counts_as_the_largest_of_its_node() -> None:
    account = Account(Budget(tokens=250))
    account.reserve("ask", key=1)
    account.reserve("ask", key=2)  # of first calls nothing is known
    account.settle("ask", input_tokens=100, key=1)
    account.settle("ask", input_tokens=60, key=2)
    account.reserve("ask", key=3)
    with pytest.raises(BudgetExceeded, match="100 are held back"):
        account.reserve("other", key=4)
    account.settle("ask", input_tokens=10, key=3)
    account.reserve("other", key=4)


def test_after_a_restart_a_call_counts_as_the_average_of_before() -> None:
    before = Account()
    for key, tokens in ((1, 100), (2, 60)):
        before.reserve("ask", key=key)
        before.settle("ask", input_tokens=tokens, key=key)
    account = Account(Budget(tokens=230), before.usage())
    account.reserve("ask", key=1)
    with pytest.raises(BudgetExceeded, match="80 are held back"):
        account.reserve("ask", key=2)


def test_one_after_the_other_only_the_last_call_passes_the_limit() -> None:
    account = Account(Budget(tokens=250))
    for key in range(3):
        account.reserve("ask", key=key)
        account.settle("ask", input_tokens=100, key=key)
    assert account.usage()["tokens"] == 300
    with pytest.raises(BudgetExceeded, match="has spent 300 of 250 tokens"):
        account.reserve("ask")


def test_nothing_is_held_back_for_a_call_that_failed() -> None:
    account = Account(Budget(tokens=100, tokens_per_call=100))

    async def ask() -> None:
        await Spending().ainvoke("-1")

    ours, counted = ACCOUNT.set(account), METER.set(THE_METER)
    try:
        for call in (lambda: Spending().invoke("-1"), lambda: asyncio.run(ask())):
            with pytest.raises(ConnectionError):
                call()
        Spending().invoke("100")
        with pytest.raises(BudgetExceeded):
            Spending().invoke("100")
    finally:
        METER.reset(counted)
        ACCOUNT.reset(ours)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tokens": 100, "tokens_per_call": 0}, "tokens_per_call"),
        ({"tokens": 100, "tokens_per_call": 1.5}, "tokens_per_call"),
        ({"tokens_per_call": 100}, "neither is limited"),
        ({"tokens": 50, "tokens_per_call": 100}, "not one call could be made"),
    ],
)
def test_what_a_call_may_spend_and_cannot_be_meant_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        Budget(**options)
