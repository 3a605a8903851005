"""Effects: things done to the world that must not be done again when a node is repeated."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

from dalsegno.errors import AttemptAbandoned, KernelError
from dalsegno.nodes.execution import Execution, current_execution
from dalsegno.nodes.kinds import shortly

T = TypeVar("T")

_claiming = threading.Lock()  # a node may use effects in several threads


def effect(name: str, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
    """Call `function` once for this execution of the node. From then on, return its recorded result.

    A node that is tried again, or whose process died, runs again from its first line. What it did with `effect` is
    then read back instead of done again. One case remains: if the process dies after the function returned and before
    its result is on disk, the function is called a second time. Against that, pass
    `current_execution().idempotency_key` to a receiver that recognises repeated requests by a key.

    Outside of a run (a node called by hand, a graph compiled without a `Runner`) the function is simply called: there
    is no run to record it in. The same holds in a thread that a node starts by itself, unless the thread runs in a
    copy of the node's context (``contextvars.copy_context().run(effect, ...)``, `asyncio.to_thread`).

    Parameters
    ----------
    name
        Unique in the node.
    function
        What to do. Its result must be serialisable, as a state value must.

    Raises
    ------
    KernelError
        The name is not a text, or was used before in the same execution. Or the function is missing, or is async.
    AttemptAbandoned
        The attempt took too long and was given up. Nothing is done, or what was done is not recorded.
    """
    _check_function(name, function, "effect")
    if inspect.iscoroutinefunction(function):
        raise _to_be_awaited(name)
    execution = _claim(name)
    if execution is None or execution.context is None:
        return _done(name, function(*args, **kwargs))
    context, key = execution.context, execution.idempotency_key
    found, value = context.effects.effect_get(key, name)
    if found:
        return value  # type: ignore[no-any-return]  # what the function returned when it was called
    value = _done(name, function(*args, **kwargs))
    _check_wanted(execution, name, "is not recorded")
    context.effects.effect_put(context.run_id, context.thread, key, name, value)
    return value


async def aeffect(name: str, function: Callable[..., Awaitable[T]], /, *args: Any, **kwargs: Any) -> T:
    """`effect` for a coroutine function."""
    from dalsegno.nodes.beside_nodes import in_thread  # here, or `dalsegno --help` takes a fifth longer

    _check_function(name, function, "aeffect")
    execution = _claim(name)
    if execution is None or execution.context is None:
        return cast("T", await _awaited(function(*args, **kwargs)))
    context, key = execution.context, execution.idempotency_key
    found, recorded = await in_thread(context.effects.effect_get, key, name)
    if found:
        return cast("T", recorded)  # what the function returned when it was called
    value: T = await _awaited(function(*args, **kwargs))
    _check_wanted(execution, name, "is not recorded")
    await in_thread(context.effects.effect_put, context.run_id, context.thread, key, name, value)
    return value


def _check_function(name: str, function: Any, called: str) -> None:
    if not callable(function):
        raise KernelError(
            f"{called}({shortly(name)}, {shortly(function)}): the second argument is the function to call, and not "
            f'what it gave. Its own arguments follow it: {called}("charge", charge_card, amount=5).'
        )


def _done(name: str, value: T) -> T:
    """What a function gave; not a coroutine, of which nothing is done yet."""
    if inspect.iscoroutine(value):
        value.close()
        raise _to_be_awaited(name)
    return value


def _to_be_awaited(name: str) -> KernelError:
    return KernelError(
        f"effect({shortly(name)}, ...) is given a coroutine function: write `await aeffect({shortly(name)}, ...)`."
    )


async def _awaited(given: Any) -> Any:
    """What was given, awaited where it can be: what a plain function gave is done, and has to be recorded."""
    return await given if inspect.isawaitable(given) else given


def _claim(name: str) -> Execution | None:
    execution = current_execution()
    if execution is not None:
        _check_wanted(execution, name, "was not begun")
        if not isinstance(name, str):  # nothing is done whose result could not be recorded
            raise KernelError(f"Node `{execution.node}` names an effect {name!r}: its name is a text.")
        with _claiming:
            if execution.used_names is None:
                execution.used_names = set()
            is_new = name not in execution.used_names
            execution.used_names.add(name)
        if not is_new:
            raise KernelError(
                f"Node `{execution.node}` uses the effect name `{name}` twice. An effect's result is found by "
                f'its name, so the name must be unique in the node: use "{name}-1", "{name}-2", ...'
            )
    return execution


def _check_wanted(execution: Execution, name: str, so: str) -> None:
    if execution.is_given_up:
        raise AttemptAbandoned(
            f"Attempt {execution.attempt} of `{execution.node}` took too long and was given up: its effect "
            f'"{name}" {so}. '
            f"Give the node more time, or look the request up at its receiver under {execution.idempotency_key}.",
            node=execution.node,
        )
