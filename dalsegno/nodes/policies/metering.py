"""What models cost, measured where it happens: at every call of a LangChain model inside a node."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, NamedTuple
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.tracers.context import register_configure_hook
from langgraph.constants import START

from dalsegno.errors import AttemptAbandoned, BoundExceeded, BudgetExceeded, DefinitionError
from dalsegno.nodes.execution import CURRENT, Execution
from dalsegno.nodes.paths import shown
from dalsegno.nodes.policies.account import Account

ACCOUNT: ContextVar[Account | None] = ContextVar("dalsegno_account", default=None)
"""The account of what runs without a `Runner`, and of routers outside of a node; a run has its own."""


class Asked(NamedTuple):
    """A router that is asked outside of a node: of START, or of a node that is sent to.

    `source` is the place of what it leaves, `proved` how many model calls are proved for its workflow, if any number
    is: none of them is the router's, which declares none.
    """

    source: str
    proved: int | None


ASKED: ContextVar[Asked | None] = ContextVar("dalsegno_asked", default=None)
"""The router that is being asked outside of a node. It spends out of `ACCOUNT`."""


class _Open(NamedTuple):
    """A call under way: whose it is, and the task of an event loop that waits for it."""

    execution: Execution | None
    account: Account | None
    task: asyncio.Task[Any] | None


class Meter(BaseCallbackHandler):
    """Counts model calls of the node that makes them, and refuses one that is not declared or not paid for.

    LangChain hands it to every model that is called while `METER` holds it, in whatever way.
    """

    raise_error = True
    run_inline = True
    ignore_chain = ignore_agent = ignore_retriever = True

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[UUID, _Open] = {}
        self._in_loops: dict[Execution | None, set[UUID]] = {}

    def on_chat_model_start(self, serialized: Any, messages: Any, *, run_id: UUID, **kwargs: Any) -> None:
        self._begin(run_id, kwargs)

    def on_llm_start(self, serialized: Any, prompts: Any, *, run_id: UUID, **kwargs: Any) -> None:
        self._begin(run_id, kwargs)

    def on_llm_new_token(self, token: Any, *, run_id: UUID, **kwargs: Any) -> None:
        opened = self._open.get(run_id)
        execution = opened.execution if opened is not None else None
        if execution is not None and execution.is_given_up:
            raise _abandoned(execution)

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        execution, account, _ = self._ended(run_id)
        if account is None:
            return
        model, tokens_in, tokens_out = usage_of(response)
        node = _spender(execution, account)
        account.settle(node, input_tokens=tokens_in, output_tokens=tokens_out, model=model, key=run_id)
        if execution is not None and execution.is_given_up:
            raise _abandoned(execution)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        _, account, _ = self._ended(run_id)
        if account is not None:
            account.release(run_id)

    def give_up(self, execution: Execution | None) -> None:
        """An attempt has ended, in an event loop: nothing is held back any more for calls that were cancelled in it.

        LangChain tells of no end of those. A call that a task of its own waits for, or a thread, goes on.
        """
        if execution not in self._in_loops:
            return
        now = _task()
        with self._lock:
            begun = self._in_loops.get(execution, set())
            over = [
                i for i in begun if (task := self._open[i].task) is now or (task is not None and task.done())
            ]
        for run_id in over:
            _, account, _ = self._ended(run_id)
            if account is not None:
                account.release(run_id)

    def _ended(self, run_id: UUID) -> _Open:
        with self._lock:
            opened = self._open.pop(run_id, None)
            if opened is None:
                return _Open(None, None, None)
            begun = self._in_loops.get(opened.execution)
            if opened.task is not None and begun is not None:
                begun.discard(run_id)
                if not begun:
                    del self._in_loops[opened.execution]
            return opened

    def _begin(self, run_id: UUID, kwargs: dict[str, Any]) -> None:
        model = (kwargs.get("metadata") or {}).get("ls_model_name")
        execution, account = reserve(1, model, run_id)
        opened = _Open(execution, account, _task())
        with self._lock:
            self._open[run_id] = opened
            if opened.task is not None:
                self._in_loops.setdefault(execution, set()).add(run_id)


def reserve(
    calls: int, model: str | None = None, key: UUID | None = None
) -> tuple[Execution | None, Account | None]:
    """Count model calls of the current node before they are made; whose they are. `key` is that of one that will end.

    Raises
    ------
    AttemptAbandoned, BoundExceeded, BudgetExceeded
        They are not to be made. The node fails by that, also where it catches the error.
    """
    execution = _whole()
    account = ACCOUNT.get()
    if execution is not None and account is None and execution.context is not None:
        account = execution.context.account
    router = ASKED.get()
    try:
        if router is not None and router.proved is not None:
            raise _unproved(router, router.proved)
        if execution is not None:
            if execution.is_given_up:
                raise _abandoned(execution)
            most = execution.most_calls
            if most is not None and execution.calls + calls > most:
                raise _undeclared(execution, most)
            execution.calls += calls
        if account is not None:
            account.reserve(_spender(execution, account), calls, model, key)
    except Exception as error:
        if execution is not None:
            execution.refused = error
            if isinstance(error, BudgetExceeded) and execution.context is not None:
                detail = {"limit": error.what, "owner": error.owner}
                execution.context.acted(execution, "budget", "exceeded", detail)
        raise
    return execution, account


def spend(
    *,
    model_calls: int = 0,
    input_tokens: int = 0,
    output_tokens: int = 0,
    model: str | None = None,
    cost: float | None = None,
) -> None:
    """Tell what a model cost that is not called through LangChain: its calls before, its tokens after.

    >>> spend(model_calls=1)
    >>> spend(input_tokens=1200, output_tokens=90, model="my-model")

    Raises
    ------
    BudgetExceeded
        There is no call left.
    BoundExceeded
        The node declares fewer `calls`, or the router is asked outside of a node and calls are proved.
    DefinitionError
        Something is below 0, infinite or no number: no limit would hold any more.
    """
    told = {"model_calls": model_calls, "input_tokens": input_tokens, "output_tokens": output_tokens}
    for name, value in {**told, "cost": cost}.items():
        if value and not 0 < value < float("inf"):
            raise DefinitionError(f"spend({name}={value!r}): 0 or more is needed.")
    if model_calls:
        execution, account = reserve(model_calls, model)
    else:
        execution = _whole()
        account = ACCOUNT.get()
        if account is None and execution is not None and execution.context is not None:
            account = execution.context.account
    if account is not None and (input_tokens or output_tokens or cost):
        node = _spender(execution, account)
        account.settle(node, input_tokens=input_tokens, output_tokens=output_tokens, model=model, cost=cost)


def _spender(execution: Execution | None, account: Account) -> str:
    router = ASKED.get()
    return (
        execution.place if execution is not None else router.source if router is not None else account.owner
    )


def _task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # no loop runs here
        return None


def usage_of(response: LLMResult) -> tuple[str | None, int, int]:
    """The model's name, input and output tokens of an answer; zeros where it tells none.

    A chat model tells them with its message, a plain one, which answers with text, beside it.
    """
    generation = next((g for each in response.generations for g in each), None)
    message = generation.message if isinstance(generation, ChatGeneration) else None
    told: Any = message.response_metadata if isinstance(message, AIMessage) else response.llm_output or {}
    usage: Any = message.usage_metadata if isinstance(message, AIMessage) else None
    if not usage:
        usage = told.get("token_usage")
    if not isinstance(usage, Mapping):
        usage = {}
    model = told.get("model_name") or told.get("model")
    tokens_in = _count(usage.get("input_tokens")) or _count(usage.get("prompt_tokens"))
    tokens_out = _count(usage.get("output_tokens")) or _count(usage.get("completion_tokens"))
    return model if isinstance(model, str) else None, tokens_in, tokens_out


def _count(told: Any) -> int:
    """A number of tokens as a provider tells it, which may be anything: what is no count is none."""
    return min(told, MOST_TOKENS) if isinstance(told, int) and told > 0 else 0


MOST_TOKENS = 2**53
"""The most tokens that one answer can be said to have: more than any has, and whole in every ledger and metric."""


def _whole() -> Execution | None:
    """The execution that a call counts for: a tool's calls are those of the node."""
    execution = CURRENT.get()
    return execution.whole if execution is not None else None


def _undeclared(execution: Execution, most: int) -> BoundExceeded:
    what = "no model calls" if most == 0 else f"{most} model call{'s' if most > 1 else ''} an attempt"
    return BoundExceeded(
        f"`{execution.node}` declares {what} (`calls={most}`), and makes one more. Raise `calls`, so that the "
        "certificate counts it.",
        bound=most,
        used=most + 1,
        path=execution.path,
    )


def _unproved(router: Asked, proved: int) -> BoundExceeded:
    whose = "START" if router.source == START else f"`{shown(router.source)}`, which is sent to,"
    return BoundExceeded(
        f"The router of {whose} calls a model, and none of the {proved} model calls that are proved is its own. Call "
        "it in a node that declares `calls`, and let the router read what the node wrote.",
        bound=proved,
        used=proved + 1,
        path=(router.source,),
    )


def _abandoned(execution: Execution) -> AttemptAbandoned:
    return AttemptAbandoned(
        f"Attempt {execution.attempt} of `{execution.node}` took too long and was given up: no model is called for it "
        "any more.",
        node=execution.node,
    )


METER: ContextVar[Meter | None] = ContextVar("dalsegno_meter", default=None)
"""Holds the meter while a node runs whose calls are counted."""

WATCH: ContextVar[BaseCallbackHandler | None] = ContextVar("dalsegno_watch", default=None)
"""Holds what tells a run's listeners of calls, while one of its nodes runs. Not among the run's own callbacks: there
LangGraph would ask it about every node, which costs as much as the listeners."""

THE_METER = Meter()

# The watch first: LangChain makes the coroutines of all handlers, and when the meter refuses a call, those of the
# handlers behind it are never awaited.
register_configure_hook(WATCH, inheritable=True)
register_configure_hook(METER, inheritable=True)

_MEANT = (AttemptAbandoned, BoundExceeded, BudgetExceeded)


def _is_news(record: logging.LogRecord) -> bool:
    """Leave out LangChain's warning that a callback of ours raised: it is meant to, and the node fails by it."""
    if not (isinstance(record.args, tuple) and len(record.args) == 3 and record.args[0] == Meter.__name__):
        return True
    return not str(record.args[2]).startswith(tuple(f"{kind.__name__}(" for kind in _MEANT))


logging.getLogger("langchain_core.callbacks.manager").addFilter(_is_news)
