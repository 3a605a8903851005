"""What a workflow is: frozen values that every other room reads.

Nothing here runs anything or knows an engine. `graphs/workflow.py` and `graphs/reading.py` make a
`WorkflowSpec`; validation, compiling and drawing read it.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from types import FunctionType
from typing import TYPE_CHECKING, Any, Literal

from dalsegno.errors import DefinitionError

if TYPE_CHECKING:
    from dalsegno.graphs.code import Code

START = "__start__"
END = "__end__"

NodeKind = Literal["function", "agent", "tool", "remote", "human", "subworkflow", "handler"]
EdgeKind = Literal["static", "choice", "command", "join", "handler", "unknown"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where something was written: a file and a line (1-based)."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Loop:
    """A bounded back edge: taken at most `max` times in a run. After that, the run goes to `on_exhausted`.

    It can be used wherever a target is named. A first pass that comes from outside does not count: for at most
    three passes, say `max=2`. `on_exhausted` is an ordinary target, or another `Loop`. Without it, the check reports
    T102.
    """

    target: str
    max: int = field(kw_only=True)
    on_exhausted: str | Loop | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        _check_count("Loop", self.target, self.max)
        spent = self.on_exhausted
        if spent is not None and not isinstance(spent, str | Loop):
            raise DefinitionError(
                f'Loop("{self.target}", on_exhausted={spent!r}): the name of a node, END or another Loop is needed.'
            )
        while isinstance(spent, Loop):
            if spent.target == self.target:
                raise DefinitionError(
                    f'Loop("{self.target}", max={self.max}) is spent into another loop to `{self.target}`, and both '
                    "would have one counter. Say the larger `max` once."
                )
            spent = spent.on_exhausted


@dataclass(frozen=True)
class Each:
    """A fan-out: the router returns `Send`s to `target`, at most `max` in one decision.

    Without `max` the check reports T104.
    """

    target: str
    max: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if self.target == END:
            raise DefinitionError(
                "Each(END): tasks are sent to nodes. Where nothing is to be sent, END is a target beside the Each."
            )
        if self.max is not None:
            _check_count("Each", self.target, self.max)


MOST_TIMES = 10**15
"""The largest `max`, far beyond what any run can do."""


def _check_count(what: str, target: str, count: Any) -> None:
    if not isinstance(target, str):
        raise DefinitionError(f"{what}(...) takes the name of a node, not {target!r}.")
    if isinstance(count, bool) or not isinstance(count, int) or count < 0:
        raise DefinitionError(
            f'{what}("{target}", max={count!r}): `max` is a whole number of times, 0 or more.'
        )
    if count > MOST_TIMES:
        raise DefinitionError(
            f'{what}("{target}", max=...): `max` is at most {MOST_TIMES:,}. No run is that long: say what you '
            "can wait for."
        )


Target = str | Loop | Each
"""What may stand where a target stands."""


@dataclass(frozen=True, slots=True)
class KeySpec:
    """One key of the state.

    `reducer` is the reducer's name, None where the last value stands. `ordered` says whether the
    reducer's result may depend on the order of its arguments (None: not known). `secret` says that it is a secret
    or holds one, and is never shown.
    """

    name: str
    type: str = "Any"
    reducer: str | None = None
    has_default: bool = False
    ordered: bool | None = None
    secret: bool = False


@dataclass(frozen=True)
class NodeSpec:
    """One node.

    `calls` are model calls an execution (None: unknown); `timeout` seconds an attempt (None: none);
    `attempts` the most times one execution may be tried; `reads` and `writes` state keys (None:
    unknown; what is known comes from declarations or annotations narrower than the state).
    `may_lack` are those of `reads` that may be missing: its class has a default for them, or `NotRequired`.
    `writes_extra` are keys it is annotated or declared to write that are no state keys (D306).
    `is_async`: it can only be run in an event loop; `goes_on`: a thread of it may go on when its time is over
    (None: unless it is async).
    `policies` holds what was given for `retry, fallback, breaker, cache, rate_limit, budget`.
    """

    name: str
    kind: NodeKind = "function"
    where: Place | None = None
    is_async: bool = False
    goes_on: bool | None = None
    calls: int | None = None
    timeout: float | None = None
    attempts: int = 1
    interrupts: int = 0
    reads: frozenset[str] | None = None
    writes: frozenset[str] | None = None
    unknown_writes: tuple[str, ...] = ()
    effect: bool = False
    idempotent: bool = False
    compensate: str | None = None
    error_handler: str | None = None
    defer: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)
    policies: Mapping[str, Any] = field(default_factory=dict)
    child: WorkflowSpec | None = None
    inputs: Mapping[str, str] | None = None
    outputs: Mapping[str, str] | None = None
    code: Code | None = None
    may_lack: frozenset[str] = frozenset()


@dataclass(frozen=True)
class EdgeSpec:
    """One way from `source` to `target`.

    `kind`: ``static`` (always taken) · ``choice`` (a router may take it) · ``command`` (a node may
    go there itself) · ``join`` (waits for all of `sources`) · ``handler`` (taken when the source
    fails) · ``unknown`` (a router that declares nothing; `target` is empty).

    `label` is the router's answer. `loop` bounds a back edge (times a run); `each` a fan-out (sends
    a decision), with `fans_out` True. `exhausted_of` names the counter whose spending takes this
    edge. Edges of one decision share `(source, router)`; `many` says that a decision may take
    several of them.
    """

    source: str
    target: str
    kind: EdgeKind = "static"
    where: Place | None = None
    router: str | None = None
    label: str | None = None
    many: bool = False
    loop: int | None = None
    each: int | None = None
    fans_out: bool = False
    exhausted_of: str | None = None
    sources: tuple[str, ...] = ()

    @property
    def counter(self) -> str:
        """The name of the counter of a loop edge: one for each (source, router, label)."""
        return counter_name(self.source, self.router, self.label if self.router else None, self.target)

    @property
    def origins(self) -> tuple[str, ...]:
        """The nodes this edge comes from: several for a join, else one."""
        return self.sources or (self.source,)


def text_of(answer: Hashable) -> str:
    """A router's answer as a text, the same in every process: of a class and of a function its name.

    >>> text_of("no"), text_of(True), text_of(ValueError)
    ('no', 'True', 'ValueError')
    """
    return answer.__name__ if isinstance(answer, type | FunctionType) else str(answer)


def counter_name(source: str, router: str | None, label: Hashable, target: str) -> str:
    """The name under which a loop is counted.

    `target` is part of it because a spent loop may lead to another loop under the same label.
    """
    return "|".join((source, router or "", "" if label is None else str(label), target))


def counter_parts(counter: str) -> tuple[str, str, str, str]:
    """Source, router, answer and target, from the name of a counter. An answer may have a ``|``; no node's name has.

    >>> counter_parts(counter_name("review", "verdict", "no|never", "write"))
    ('review', 'verdict', 'no|never', 'write')
    """
    source, router, rest = counter.split("|", 2)
    label, _, target = rest.rpartition("|")
    return source, router, label, target


@dataclass(frozen=True)
class WorkflowSpec:
    """A whole workflow, as declared.

    `state` maps key names to `KeySpec`; `inputs` and `outputs` are the keys of the input and the
    output schema. `exact_choices` is False for a graph read from LangGraph, where a router with
    declared targets may still return several of them. `recursion_limit` is what a compiled graph
    carries in its configuration. `starts_async`: a router of START can only be run in an event loop. `may_lack` are
    those of `inputs` that may be missing: its class has a default for them, or `NotRequired`.
    """

    name: str
    version: str = "0"
    nodes: Mapping[str, NodeSpec] = field(default_factory=dict)
    edges: tuple[EdgeSpec, ...] = ()
    state: Mapping[str, KeySpec] = field(default_factory=dict)
    inputs: frozenset[str] = frozenset()
    outputs: frozenset[str] = frozenset()
    declared_inputs: bool = False
    declared_outputs: bool = False
    budget: Any = None
    exact_choices: bool = True
    recursion_limit: int | None = field(default=None, compare=False)
    waivers: tuple[tuple[str, str, str], ...] = ()
    where: Place | None = None
    starts_async: bool = False
    may_lack: frozenset[str] = frozenset()

    @property
    def is_async(self) -> bool:
        """Whether it can only be run in an event loop."""
        return self.starts_async or any(node.is_async for node in self.nodes.values())

    def fingerprint(self) -> str:
        """A hash of structure and schema: the same for the same graph, whatever its code."""
        from dalsegno.graphs.shaping import fingerprint_of

        return fingerprint_of(self)

    def shape(self) -> dict[str, Any]:
        """Structure and schema as JSON: what the fingerprint is made of, kept with each run."""
        from dalsegno.graphs.shaping import shape_of

        return shape_of(self)
