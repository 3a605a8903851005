"""A node's call in its policies, as the kernel makes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from langchain_core.runnables.config import var_child_runnable_config
from langgraph.runtime import get_runtime

from dalsegno.graphs.calling import Caller, Config
from dalsegno.graphs.wrapping import Inner
from dalsegno.nodes.execution import CURRENT, Execution
from dalsegno.nodes.policies import Policies
from dalsegno.nodes.policies.case import AsyncCall, Call, Case
from dalsegno.nodes.policies.fallback import is_called, name_of
from dalsegno.nodes.policies.metering import METER, THE_METER
from dalsegno.nodes.policies.stack import awithin, layers, within
from dalsegno.nodes.policies.timeout import in_worker

if TYPE_CHECKING:
    from dalsegno.graphs.workflow import NodeDefinition


class PolicedCaller(Caller):
    """Calls a node through its policies; what it gives is the node's own answer, or a fallback's.

    `owner` (``"workflow/node"``) is what breakers and caches go by. `most_calls` are the model calls
    that an attempt may make.
    """

    policed = True

    def __init__(
        self,
        inner: Caller,
        policies: Policies,
        *,
        owner: str,
        writes: frozenset[str] | None,
        most_calls: int | None,
    ) -> None:
        self.action, self.name, self.native = inner.action, inner.name, inner.native
        if hasattr(inner, "graph"):
            self.graph = inner.graph
        answers = policies.fallback.answers if policies.fallback is not None else ()
        others = [Caller(a, name=name_of(a)) if is_called(a) else None for a in answers]
        self.is_async = inner.is_async or any(o.is_async for o in others if o is not None)
        self._most_calls = most_calls
        self._meters = most_calls is not None
        self._wants_store = policies.breaker is not None or (
            policies.cache is not None and policies.cache.store == "graph"
        )
        options: dict[str, Any] = {"owner": owner, "writes": writes}
        waits = policies.timeout is not None
        self.acall = self._acall
        _, around_one = layers(policies, is_sync=_is_sync(inner), others=[None] * len(answers), **options)
        aothers = [None if o is None else awithin(around_one, _async_call(o, waits)) for o in others]
        outer, _ = layers(policies, is_sync=_is_sync(inner), others=aothers, **options)
        self._in_loop = awithin([*outer, *around_one], _async_call(inner, waits))
        if self.is_async:
            self.call = inner.call if inner.is_async else self._refuse_sync
            return
        self.call = self._call
        sync_others = [None if o is None else within(around_one, _sync_call(o, waits)) for o in others]
        outer, _ = layers(policies, is_sync=True, others=sync_others, **options)
        self._in_thread_of_ours = within([*outer, *around_one], _sync_call(inner, waits))

    def _call(self, argument: Any, config: Config) -> Any:
        case = self._case(argument, config)
        if not self._meters:
            return self._left(case, self._in_thread_of_ours(case))
        token = METER.set(THE_METER)
        try:
            return self._left(case, self._in_thread_of_ours(case))
        finally:
            METER.reset(token)

    async def _acall(self, argument: Any, config: Config) -> Any:
        case = self._case(argument, config)
        if not self._meters:
            return self._left(case, await self._in_loop(case))
        token = METER.set(THE_METER)
        try:
            return self._left(case, await self._in_loop(case))
        finally:
            METER.reset(token)

    def _case(self, argument: Any, config: Config) -> Case:
        execution = CURRENT.get()
        if execution is not None and self._most_calls is not None:
            execution.most_calls = self._most_calls
        store = get_runtime().store if self._wants_store else None
        return Case(self.name, (argument, config), store=store, again=_again)

    def _left(self, case: Case, output: Any) -> Any:
        return Inner(output, case.walk) if case.walk else output


def policed(
    inner: Caller,
    node: NodeDefinition,
    policies: Policies,
    *,
    workflow: str,
    writes: frozenset[str] | None,
) -> Caller:
    """The caller of a node: the one given where it has no policies, so that it pays for none."""
    if node.child is not None:  # cancelled by LangGraph: a thread with a running graph cannot be given up
        policies = replace(policies, timeout=None)
    if node.said["interrupts"]:
        policies = replace(policies, retry=None)
    calls = node.said["calls"]
    if not policies.given and calls is None:
        return inner
    return PolicedCaller(inner, policies, owner=f"{workflow}/{node.name}", writes=writes, most_calls=calls)


def _again(failed: Exception) -> None:
    """One more attempt: an execution of its own in the run's journal."""
    execution = CURRENT.get()
    assert execution is not None
    if execution.context is not None:
        execution.context.failed(execution, execution.superstep, failed)
    following = execution.again()
    CURRENT.set(following)
    if following.context is not None:
        following.context.started(following, following.superstep)


def _is_sync(caller: Caller) -> bool:
    return not caller.is_async and not caller.native


def _sync_call(caller: Caller, waits: bool) -> Call:
    """The innermost call; with a timeout it is made in a worker thread, where it may be abandoned."""

    def call(case: Case) -> Any:
        argument, config = case.args
        return _given(case, caller.call(argument, _fenced(config) if waits else config))

    return call


def _async_call(caller: Caller, waits: bool) -> AsyncCall:
    if waits and _is_sync(caller):
        call = _sync_call(caller, waits)
        return lambda case: in_worker(call, case)

    async def acall(case: Case) -> Any:
        argument, config = case.args
        return _given(case, await caller.acall(argument, config))

    return acall


def _given(case: Case, output: Any) -> Any:
    execution = CURRENT.get()
    if execution is not None and execution.refused is not None:
        raise execution.refused  # a model call that was refused, also where the node went on without it
    if type(output) is Inner:
        output, case.walk = output.output, output.walk
    return output


def _fenced(config: Config) -> Config:
    """The config for a call that may be abandoned: its stream writer writes nothing then.

    Set for this thread, whose context is its own, so that `get_stream_writer` and injection find it.
    """
    execution, runtime = CURRENT.get(), get_runtime()
    if execution is None:
        return config
    fenced = runtime.override(stream_writer=_Writer(execution, runtime.stream_writer))
    configurable: Mapping[str, Any] = config["configurable"]
    config = {
        **config,
        "configurable": {key: fenced if value is runtime else value for key, value in configurable.items()},
    }
    var_child_runnable_config.set(config)
    return config


class _Writer:
    def __init__(self, execution: Execution, write: Any) -> None:
        self._execution = execution
        self._write = write

    def __call__(self, chunk: Any) -> None:
        if not self._execution.abandoned:
            self._write(chunk)
