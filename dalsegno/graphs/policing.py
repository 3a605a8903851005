"""A node's call in its policies, as the kernel makes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from langchain_core.runnables.config import var_child_runnable_config
from langgraph.runtime import get_runtime

from dalsegno.graphs.calling import Caller, Config
from dalsegno.graphs.wrapping import Inner, raise_refused
from dalsegno.nodes.execution import CURRENT, Execution
from dalsegno.nodes.policies import Policies
from dalsegno.nodes.policies.case import AsyncCall, Call, Case
from dalsegno.nodes.policies.fallback import is_called, name_of
from dalsegno.nodes.policies.metering import METER, THE_METER
from dalsegno.nodes.policies.stack import awithin, layers, within
from dalsegno.nodes.policies.timeout import in_worker

if TYPE_CHECKING:
    from dalsegno.graphs.definitions import NodeDefinition


class PolicedCaller(Caller):
    """Calls a node through its policies; what it gives is the node's own answer, or a fallback's.

    `owner`, the workflow's name and the node's, is what breakers and caches go by. `most_calls` are the model calls
    that an attempt may make.
    """

    policed = True

    def __init__(
        self,
        inner: Caller,
        policies: Policies,
        *,
        owner: tuple[str, str],
        writes: frozenset[str] | None,
        most_calls: int | None,
        known: frozenset[str],
    ) -> None:
        self.action, self.name, self.native = inner.action, inner.name, inner.native
        graph = getattr(inner, "graph", None)
        if graph is not None:
            self.graph = graph
        answers = policies.fallback.answers if policies.fallback is not None else ()
        others = [Caller(a, name=name_of(a)) if is_called(a) else None for a in answers]
        # A thread with a running graph cannot be given up: it would go on writing checkpoints.
        cancels = graph is not None and policies.timeout is not None
        self.is_async = inner.is_async or cancels or any(o.is_async for o in others if o is not None)
        self._most_calls = most_calls
        # Also so that no model is called any more for an attempt that was given up.
        self._meters = most_calls is not None or policies.timeout is not None
        self._wants_store = policies.breaker is not None or (
            policies.cache is not None and policies.cache.store == "graph"
        )
        options: dict[str, Any] = {"owner": owner, "writes": writes}
        self._waits = policies.timeout is not None
        self._known = known
        self.acall = self._acall
        _, around_one = layers(policies, is_sync=inner.needs_thread, others=[None] * len(answers), **options)
        aothers = [None if o is None else awithin(around_one, self._async(o)) for o in others]
        outer, _ = layers(policies, is_sync=inner.needs_thread, others=aothers, **options)
        self._in_loop = awithin([*outer, *around_one], self._async(inner))
        if self.is_async:
            self.call = self._refuse_sync
            return
        self.call = self._call
        sync_others = [None if o is None else within(around_one, self._sync(o)) for o in others]
        outer, _ = layers(policies, is_sync=True, others=sync_others, **options)
        self._in_thread_of_ours = within([*outer, *around_one], self._sync(inner))

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
        if not (self._wants_store or self._waits):
            return Case(self.name, (argument, config), again=_again, ended=_ended, begun=_begun)
        runtime = get_runtime()
        return Case(
            self.name,
            (argument, config),
            store=runtime.store if self._wants_store else None,
            again=_again,
            ended=_ended,
            begun=_begun,
            fenced=self._waits and not _writes_nothing(runtime.stream_writer),
        )

    def _sync(self, caller: Caller) -> Call:
        """The innermost call; with a timeout it is made in a worker thread, where it may be abandoned."""
        given = self._given

        def call(case: Case) -> Any:
            argument, config = case.args
            try:
                output = caller.alone(argument, _fenced(config) if case.fenced else config)
            except Exception as error:
                raise_refused(error)
                raise
            return given(case, output)

        return call

    def _async(self, caller: Caller) -> AsyncCall:
        if self._waits and caller.needs_thread:
            call = self._sync(caller)
            return lambda case: in_worker(call, case)
        given = self._given

        async def acall(case: Case) -> Any:
            argument, config = case.args
            try:
                output = await caller.acall(argument, config)
            except Exception as error:
                raise_refused(error)
                raise
            return given(case, output)

        return acall

    def _given(self, case: Case, output: Any) -> Any:
        execution = CURRENT.get()
        if execution is not None and execution.refused is not None:
            raise execution.refused  # a model call that was refused, also where the node went on without it
        if type(output) is Inner:
            output, case.walk = output.output, output.walk
        if type(output) is dict and not output.keys() <= self._known:
            case.keep = False  # the kernel is about to refuse it
        return output

    def _left(self, case: Case, output: Any) -> Any:
        return Inner(output, case.walk) if case.walk else output


def policed(
    inner: Caller,
    node: NodeDefinition,
    policies: Policies,
    *,
    workflow: str,
    writes: frozenset[str] | None,
    known: frozenset[str],
) -> Caller:
    """The caller of a node: the one given where it has no policies, so that it pays for none."""
    if node.said["interrupts"]:
        policies = replace(policies, retry=None)
    calls = node.said["calls"]
    if not policies.given and calls is None:
        return inner
    return PolicedCaller(
        inner, policies, owner=(workflow, node.name), writes=writes, most_calls=calls, known=known
    )


def _again(failed: Exception) -> None:
    """One more attempt: an execution of its own in the run's journal."""
    _ended(failed)
    _begun()


def _ended(failed: Exception) -> None:
    execution = CURRENT.get()
    assert execution is not None
    if execution.context is not None:
        execution.context.failed(execution, execution.superstep, failed)
    THE_METER.give_up(execution)
    CURRENT.set(execution.again())


def _begun() -> None:
    execution = CURRENT.get()
    if execution is not None and execution.context is not None:
        execution.context.started(execution, execution.superstep)


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


def _writes_nothing(writer: Any) -> bool:
    """Whether a writer cannot write: LangGraph's, where nobody streams, is a function that refers to nothing."""
    code = getattr(writer, "__code__", None)
    return code is not None and writer.__closure__ is None and not code.co_names


class _Writer:
    def __init__(self, execution: Execution, write: Any) -> None:
        self._execution = execution
        self._write = write

    def __call__(self, chunk: Any) -> None:
        if not self._execution.is_given_up:
            self._write(chunk)
