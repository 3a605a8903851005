"""Answers that are given again for the same input."""

from __future__ import annotations

import base64
import copy
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dalsegno.errors import DefinitionError, PolicyError
from dalsegno.nodes.labels import label
from dalsegno.nodes.paths import coded
from dalsegno.nodes.policies.case import AsyncCall, Call, Case, is_signal, number
from dalsegno.nodes.policies.clock import SYSTEM, Clock
from dalsegno.nodes.policies.digest import digest
from dalsegno.nodes.policies.keeping import afound, akept, found, kept

NAMESPACE = ("dalsegno", "cache")
"""Where a store keeps the answers; below it the node."""

_MISSING = object()


@dataclass(frozen=True, kw_only=True)
class Cache:
    """Keeps what a node answered, and gives the same answer to the same input.

    Only the node's own answer is kept. Routers and loop counters are not: a run that is answered out of the cache
    decides anew where to go. A `Command` is not kept, nor is the answer of a fallback.

    Parameters
    ----------
    key
        A function of the node's input. Inputs for which it returns the same share an answer. None: the whole input
        is compared.
    ttl
        Seconds for which an answer is used. None: for ever.
    store
        A LangGraph `BaseStore`, or ``"graph"`` for the graph's own. In a store, answers outlive the process.
        None: in memory.
    max_entries
        How many answers are kept in memory. Beyond that, the least recently used one goes.

    Raises
    ------
    DefinitionError
        The options contradict each other, or one of them is not valid.
    """

    key: Callable[..., Any] | None = None
    ttl: float | None = None
    store: Any = None
    max_entries: int = 1024
    clock: Clock = field(default=SYSTEM, repr=False, compare=False)
    memory: Memory = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.key is not None and not callable(self.key):
            raise DefinitionError(f"Cache(key={self.key!r}): a function of the input is needed.")
        if self.ttl is not None:
            number("Cache(ttl)", self.ttl, above=0)
        if self.store is not None and self.store != "graph" and not hasattr(self.store, "aput"):
            raise DefinitionError(f'Cache(store={self.store!r}): a LangGraph BaseStore, "graph", or nothing.')
        number("Cache(max_entries)", self.max_entries, least=1, whole=True)
        object.__setattr__(self, "memory", Memory(self.max_entries))


class Memory:
    """Answers in memory, the least recently used going first."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._entries: OrderedDict[tuple[str, str], tuple[float, Any]] = OrderedDict()

    def get(self, key: tuple[str, str]) -> tuple[float, Any] | None:
        """When it was kept, and the answer."""
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
            return self._entries.get(key)

    def put(self, key: tuple[str, str], at: float, answer: Any) -> None:
        """Keep an answer."""
        with self._lock:
            self._entries[key] = (at, answer)
            self._entries.move_to_end(key)
            while len(self._entries) > self._size:
                self._entries.popitem(last=False)


class CacheLayer:
    """A cache around a call; `owner`, the names of a workflow and a node, keeps the answers of different ones apart."""

    def __init__(self, policy: Cache, owner: Sequence[str]) -> None:
        self._policy = policy
        self._owner = label("/".join(map(coded, owner)))

    def around(self, inner: Call) -> Call:
        policy = self._policy

        def call(case: Case) -> Any:
            key = self._key(case)
            store = self._store(case)
            if store is None:
                entry = policy.memory.get((self._owner, key))
            else:
                entry = self._unpacked(case, found(case, "cache", store, (*NAMESPACE, self._owner), key))
            answer = self._fresh(case, entry)
            if answer is not _MISSING:
                return answer
            answer = inner(case)
            if not self._keepable(case, answer):
                return answer
            if store is None:
                self._remember(case, key, answer)
            elif (packed := self._packed(case, answer)) is not None:
                kept(case, "cache", store, (*NAMESPACE, self._owner), key, packed)
            return answer

        return call

    def aaround(self, inner: AsyncCall) -> AsyncCall:
        policy = self._policy

        async def acall(case: Case) -> Any:
            key = self._key(case)
            store = self._store(case)
            if store is None:
                entry = policy.memory.get((self._owner, key))
            else:
                item = await afound(case, "cache", store, (*NAMESPACE, self._owner), key)
                entry = self._unpacked(case, item)
            answer = self._fresh(case, entry)
            if answer is not _MISSING:
                return answer
            answer = await inner(case)
            if not self._keepable(case, answer):
                return answer
            if store is None:
                self._remember(case, key, answer)
            elif (packed := self._packed(case, answer)) is not None:
                await akept(case, "cache", store, (*NAMESPACE, self._owner), key, packed)
            return answer

        return acall

    def _store(self, case: Case) -> Any:
        if self._policy.store != "graph":
            return self._policy.store
        if case.store is None:
            raise PolicyError(
                f'The cache of `{case.name}` is Cache(store="graph"), and the graph has no store. Give it one: '
                "Runner(flow, store=...), or compile(store=...).",
                node=case.name,
            )
        return case.store

    def _key(self, case: Case) -> str:
        given = case.args[:1] if case.again is not None else (case.args, case.kwargs)
        try:
            key = given if self._policy.key is None else self._policy.key(*_arguments(case), **case.kwargs)
            return digest(key)
        except Exception as error:
            if is_signal(error):
                raise
            why = "its key function" if self._policy.key is not None else "its input, which is no plain data,"
            raise PolicyError(
                f"The cache of `{case.name}` found no key: {why} raised {type(error).__name__}: {error}. "
                "Mend `Cache(key=...)`: a function of the input that gives plain data.",
                node=case.name,
            ) from error

    def _fresh(self, case: Case, entry: tuple[float, Any] | None) -> Any:
        if entry is None:
            return _MISSING
        at, answer = entry
        age = self._policy.clock.time() - at
        # An entry of the future is of a clock that was set back since: how old it is, nobody knows.
        if age < 0 or (self._policy.ttl is not None and age >= self._policy.ttl):
            return _MISSING
        case.acted("cache", "hit", age=age)
        return _copied(answer)

    def _keepable(self, case: Case, answer: Any) -> bool:
        if not case.keep:
            return False
        if type(answer) is dict:
            return True
        parts = answer if isinstance(answer, list | tuple) else [answer]
        if any(type(part).__name__ in ("Command", "Send") for part in parts):
            case.acted("cache", "not kept", why="the answer is a Command: where it goes is decided anew")
            return False
        return True

    def _remember(self, case: Case, key: str, answer: Any) -> None:
        try:
            copied = _copied(answer)
        except Exception as error:  # a lock, a file, a generator in it
            case.acted("cache", "not kept", why=f"the answer cannot be copied: {error}")
            return
        self._policy.memory.put((self._owner, key), self._policy.clock.time(), copied)

    def _packed(self, case: Case, answer: Any) -> dict[str, Any] | None:
        """An answer as JSON, which every store can keep; None where it would not come back as it is."""
        try:
            kind, body = _serde().dumps_typed(answer)
            same = _alike(_serde().loads_typed((kind, body)), answer)
        except Exception:  # whatever cannot be written
            same = False
        if not same:
            case.acted("cache", "not kept", why="the answer does not come back from the store as it is")
            return None
        return {"at": self._policy.clock.time(), "type": kind, "body": base64.b64encode(body).decode()}

    def _unpacked(self, case: Case, item: Any) -> tuple[float, Any] | None:
        if item is None:
            return None
        try:
            value: Mapping[str, Any] = item.value
            return float(value["at"]), _serde().loads_typed((value["type"], base64.b64decode(value["body"])))
        except Exception as error:
            case.acted(
                "cache", "not read", why=f"it was not written by a cache: {type(error).__name__}: {error}"
            )
            return None


_PLAIN = frozenset({int, float, bool, str, bytes, type(None)})


def _copied(answer: Any) -> Any:
    """A deep copy; of a dictionary of plain values in a tenth of what `deepcopy` takes."""
    if type(answer) is dict and _PLAIN.issuperset(map(type, answer.values())):
        return answer.copy()
    return copy.deepcopy(answer)


def _alike(one: Any, other: Any) -> bool:
    """Whether two values are equal and of the same types throughout: a text is equal to a `StrEnum`, and is none."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return _alike(list(one.items()), list(other.items()))
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_alike, one, other))
    if isinstance(one, set | frozenset) and Counter(map(type, one)) != Counter(map(type, other)):
        return False
    return bool(one == other)


def _arguments(case: Case) -> tuple[Any, ...]:
    return case.args[:1] if case.again is not None else case.args


def _serde() -> Any:
    from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

    return JsonPlusSerializer(allowed_msgpack_modules=None)  # builds no class that a store may name


def cache_of(given: Any) -> Cache | None:
    """`cache=` as given: a `Cache`, True for one without options, or LangGraph's `CachePolicy`."""
    if given is None or given is False or isinstance(given, Cache):
        return given or None
    if given is True:
        return Cache()
    if hasattr(given, "key_func"):
        own = getattr(given.key_func, "__name__", "") != "default_cache_key"
        return Cache(key=given.key_func if own else None, ttl=given.ttl)
    raise DefinitionError(f"cache={given!r}: a Cache(key=..., ttl=..., store=...) is needed.")
