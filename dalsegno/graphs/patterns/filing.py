"""An answer is filed under what was asked: a role's value becomes another update, which knows the node's argument.

Where several nodes, or one that is sent to several times, answer under one key, each answer says whose it is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

from langgraph.types import Command

from dalsegno.graphs.calling import Caller, Config
from dalsegno.graphs.checking import spec_of
from dalsegno.graphs.patterns.around import Around, Fell
from dalsegno.graphs.patterns.casting import has_command, is_workflow
from dalsegno.graphs.patterns.roles import Node
from dalsegno.graphs.views import as_updates
from dalsegno.graphs.wrapping import Inner
from dalsegno.nodes.subworkflow import mapped

File = Callable[[Any, Any], dict[str, Any]]
"""From a node's argument and the value of its role's key to the update."""


def filed(key: str, file: File, *, fell: File | None = None, actor: Any = None) -> Callable[[Caller], Caller]:
    """What to put around a node, so that its answer under `key` becomes another update.

    Parameters
    ----------
    fell
        The same for what `on_failure` put under `key`; None: that stays as it is.
    actor
        Who plays, where the node is sent to: what is sent to a workflow would be its input as it is, and its keys
        are mapped here, as they are elsewhere.
    """
    return lambda caller: _Filed(caller, key, (file, fell), _mapping(actor))


def _mapping(actor: Any) -> Callable[[Any], Any]:
    node: Node = Node.of(actor)
    if not is_workflow(node.actor):
        return lambda argument: argument
    inputs = node.options.get("inputs") or {key: key for key in spec_of(node.actor).inputs}
    return lambda argument: mapped(argument, inputs)


class _Filed(Around):
    def __init__(
        self, inner: Caller, key: str, file: tuple[File, File | None], into: Callable[[Any], Any]
    ) -> None:
        super().__init__(inner)
        self._into = into
        self._key = key
        self._file, self._fell = file

    def _call(self, argument: Any, config: Config) -> Any:
        return self._given(argument, self.inner.call(self._into(argument), config))

    async def _acall(self, argument: Any, config: Config) -> Any:
        return self._given(argument, await self.inner.acall(self._into(argument), config))

    def _given(self, argument: Any, output: Any) -> Any:
        if type(output) is Inner:
            return Inner(self._given(argument, output.output), output.walk)
        if isinstance(output, Command):
            return (
                output
                if output.graph is not None
                else replace(output, update=self._given(argument, output.update))
            )
        if has_command(output):
            return [self._given(argument, one) for one in output]
        file, kind = (self._fell, Fell) if isinstance(output, Fell) else (self._file, dict)
        update = _of_object(output)
        if file is None or update is None or self._key not in update:
            return output
        rest = {key: value for key, value in update.items() if key != self._key}
        return kind({**rest, **file(argument, update[self._key])})


def _of_object(output: Any) -> dict[str, Any] | None:
    """A dictionary, or an object of the state's class, as what it writes; None for anything else."""
    if isinstance(output, dict):
        return output
    if output is None or isinstance(output, list | tuple):
        return None
    updates = as_updates(output)
    return None if updates is None else updates[0]


def added(update: Callable[[], dict[str, Any]], keys: Collection[str]) -> Callable[[Caller], Caller]:
    """What to put around a node, so that an update, made when it has ended, joins what it gives.

    A value is dropped: whatever has none of the state's `keys`.
    """
    return lambda caller: _Added(caller, update, keys)


class _Added(Around):
    def __init__(self, inner: Caller, update: Callable[[], dict[str, Any]], keys: Collection[str]) -> None:
        super().__init__(inner)
        self._update, self._keys = update, keys

    def _call(self, argument: Any, config: Config) -> Any:
        return self._given(self.inner.call(argument, config))

    async def _acall(self, argument: Any, config: Config) -> Any:
        return self._given(await self.inner.acall(argument, config))

    def _given(self, output: Any) -> Any:
        if type(output) is Inner:
            return Inner(self._given(output.output), output.walk)
        if isinstance(output, Fell):
            return output
        update = self._update()
        if isinstance(output, Command) or has_command(output):
            return [*(output if has_command(output) else [output]), update] if update else output
        updates = as_updates(output)
        if updates is None or (updates[0] and not any(key in self._keys for key in updates[0])):
            return update
        if len(updates) > 1:  # pairs, some of the same key
            return [*output, *update.items()]
        return {**updates[0], **update}
