"""The kernel: what stands between LangGraph and a node of ours.

Every node is run by a `NodeKernel`. It gives the node its view of the state, checks what comes back,
lets the node's routers decide, and lets the update, the counters and the decision leave together in
one write, so that they share a checkpoint. The counters of a run live under one state key, `KERNEL`,
in a `Record`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from langgraph.runtime import get_runtime
from langgraph.types import Command, Overwrite, Send

from dalsegno.errors import BoundExceeded, UndeclaredTarget, UnknownStateKey, did_you_mean
from dalsegno.graphs.calling import Caller
from dalsegno.graphs.routing import Decision, Router, unstamped
from dalsegno.graphs.views import KERNEL, View, as_updates
from dalsegno.nodes.execution import CURRENT, Execution, RunContext, Taken, within
from dalsegno.nodes.paths import coded
from dalsegno.nodes.subworkflow import keeps

CONTEXT = "__dalsegno_run__"
"""The key in `config["configurable"]` under which a Runner passes its `RunContext`."""


class Record(TypedDict):
    """The counters of a run, as they are kept in the state.

    `run`: which run they belong to; under another they are zero. `step`: LangGraph's step number when
    they were written. `used`: supersteps of this level so far (the fuel). `walk`: the longest causal
    walk so far, with the supersteps inside subworkflows. `into`: that length for each node that comes
    next. `n`: executions of each node that may run more than once. `loops`: how often each loop was taken.
    `trail`: the nodes of the last supersteps, one of each.
    """

    run: str
    step: int
    used: int
    walk: int
    into: dict[str, int]
    n: dict[str, int]
    loops: dict[str, int]
    trail: list[str]


TRAIL = 8
"""Most supersteps of which a run remembers a node."""


def merge_records(old: Any, new: Any) -> Any:
    """The reducer of the kernel's key: joins what parallel nodes of one superstep wrote. Nothing begins anew."""
    if not old or not new or old["run"] != new["run"]:
        return new
    return {
        "run": new["run"],
        "step": new["step"],
        "used": max(old["used"], new["used"]),
        "walk": max(old["walk"], new["walk"]),
        "into": _farthest(old["into"], new["into"]) if old["step"] == new["step"] else new["into"],
        "n": {**old["n"], **new["n"]} if new["n"] else old["n"],
        "loops": {**old["loops"], **new["loops"]} if new["loops"] else old["loops"],
        "trail": old["trail"] if old["step"] == new["step"] else new["trail"],
    }


def _farthest(old: dict[str, int], new: dict[str, int]) -> dict[str, int]:
    return {**new, **{name: max(walk, new.get(name, 0)) for name, walk in old.items()}}


def record_of(old: Record | None, step: int, context: RunContext | None) -> Record:
    """The counters that hold at this step: the old ones where they are of the same run, else zeros.

    With a Runner a run has an id. Without one, LangGraph's step number rises by exactly one from
    superstep to superstep of a run, also over interrupts and resumes; new input makes a gap.
    """
    if context is not None:
        if old and old["run"] == context.run_id:
            return old
        return _zeros(context.run_id, step)
    if old and step - old["step"] <= 1:
        return old
    return _zeros(f"step {step}", step)


def walk_to(node: str, record: Record, step: int) -> int:
    """The length of the walk that a task has ended, where its routers are asked outside of its kernel.

    At this step the record is what it wrote itself; else another one wrote for it, and into it the walk is known.
    """
    into = record["into"]
    farthest = max(into.values(), default=0)
    return farthest if record["step"] == step else into.get(node, farthest) + 1


def _zeros(run: str, step: int) -> Record:
    return {"run": run, "step": step - 1, "used": 0, "walk": 0, "into": {}, "n": {}, "loops": {}, "trail": []}


@dataclass(slots=True, eq=False)
class Entry:
    """One call of a node: what it is given, and what is known about the run around it.

    `follows`: the same decision sent to this node before, and that task writes the counters of both.
    """

    state: Mapping[str, Any]
    argument: Any
    record: Record
    step: int
    execution: Execution
    sent: bool
    follows: bool = False
    inner_walk: int = 0
    taken: Sequence[Taken] = ()

    @property
    def superstep(self) -> int:
        """Which superstep of the run this is, from 1."""
        return self.record["used"] + 1


@dataclass(eq=False)
class NodeKernel:
    """What surrounds one node.

    `view` narrows the state, `coerce` a sent argument. `known` are the keys a node may write;
    `reduced` the channels of those that have a reducer. `bound` are the supersteps proved for this
    level. `own` checks the node's own `Command(goto=…)`. `routers` are evaluated here, on the full
    state with the node's update applied. `static` are the targets of static edges, which LangGraph
    takes itself; `joined` those of joins, and of routers outside of this kernel; `goes_on` says that there is
    some edge outside of this kernel, `routed` some router; `handled` that the node
    has an error handler, `once` that it is proved to run at most once in a run, so that nobody counts. With
    `handles`, it is that handler.
    """

    name: str
    caller: Caller
    view: View
    coerce: View
    known: frozenset[str]
    reduced: Mapping[str, Any]
    bound: int
    own: Router | None = None
    routers: tuple[tuple[Router, Caller, View], ...] = ()
    static: tuple[str, ...] = ()
    joined: tuple[str, ...] = ()
    goes_on: bool = False
    routed: bool = False
    handled: bool = False
    once: bool = False
    handles: bool = False

    def __post_init__(self) -> None:
        self._onward = (*self.static, *self.joined)
        self._decides = bool(self.routers) or self.own is not None
        self._sends = any(
            router.each for router in (*(r for r, _, _ in self.routers), *filter(None, [self.own]))
        )

    @property
    def owner(self) -> str:
        """Whose answer it is, in words."""
        return f"The error handler of `{self.name}`" if self.handles else f"Node `{self.name}`"

    def enter(self, state: Any, config: Mapping[str, Any], context: RunContext | None = None) -> Entry:
        """Unwrap a sent argument, find the run's counters, check the fuel, narrow the state.

        Raises
        ------
        BoundExceeded
            The run has used up the supersteps that were proved for it.
        """
        step: int = config["metadata"]["langgraph_step"]
        argument, stamp = unstamped(state)
        outer = CURRENT.get()
        occurrence: int | str
        if stamp is None:
            record, index = record_of(state.get(KERNEL), step, context), None
            occurrence = 1 if self.once else self._executed(record, context, outer) + 1
            argument = self.view(state)
        else:
            run = context.run_id if context else stamp["run"] or f"step {step}"
            record = {
                **_zeros(run, step),
                "used": stamp["used"],
                "walk": stamp["walk"],
                "into": {self.name: stamp["into"]},
            }
            occurrence, index = stamp["by"], stamp["index"]
            argument = self.coerce(argument)
        if record["used"] >= self.bound:
            raise self._exceeded(record)
        path = (self.name,) if outer is None else within(outer, self.name)
        execution = Execution(
            record["run"], path, occurrence, index, context=context, argument=argument, around=outer
        )
        if context is not None and (info := get_runtime().execution_info) is not None:
            execution.attempt = info.node_attempt
            execution.task_id, execution.checkpoint_id = info.task_id, info.checkpoint_id
            execution.config = None if self.routed else config
            execution.left_to = None if keeps(config) else outer
        follows = stamp is not None and index != 0 and not stamp.get("first")
        return Entry(state, argument, record, step, execution, stamp is not None, follows)

    def _executed(self, record: Record, context: RunContext | None, outer: Execution | None) -> int:
        """How often this node was executed in the run; where nobody counted, as the journal has it."""
        counted = record["n"].get(self.name)
        if counted is not None:
            return counted
        if context is None or not context.executed:
            return 0
        path = (self.name,) if outer is None else within(outer, self.name)
        this = Execution(context.run_id, path, 0)
        return context.executed.get((this.place, this.around_number), 0)

    def checked(self, output: Any) -> list[Any]:
        """The parts of a node's output (dictionaries and commands), every key of them known.

        Raises
        ------
        UnknownStateKey
            A key is none of the state's; LangGraph drops it silently.
        """
        if type(output) is dict:
            if not output.keys() <= self.known:
                self._refuse_keys(output)
            return [output]
        if output is None:
            return []
        several = isinstance(output, list | tuple) and any(isinstance(part, Command) for part in output)
        return [found for part in (output if several else [output]) for found in self._parts(part)]

    def applied(self, state: Mapping[str, Any], parts: Iterable[Any]) -> Mapping[str, Any]:
        """The full state with a node's update applied through the reducers."""
        values = dict(state)
        for part in parts:
            for key, value in (part.update or {}).items() if isinstance(part, Command) else part.items():
                channel = self.reduced.get(key)
                if channel is None:
                    values[key] = value.value if isinstance(value, Overwrite) else value
                else:
                    fresh = channel.from_checkpoint(values[key]) if key in values else channel.copy()
                    fresh.update([value])
                    values[key] = fresh.get()
        return values

    def leave(self, entry: Entry, parts: list[Any], answers: Iterable[Any] = ()) -> Any:
        """What goes to LangGraph: the update, the counters and the decision in one.

        Raises
        ------
        UndeclaredTarget
            The node or one of its routers goes where nothing is declared, or nowhere.
        """
        record = entry.record
        before = record["into"]
        walk = before[self.name] if self.name in before else max(before.values(), default=0)
        walk += 1 + entry.inner_walk
        longest = walk if walk > record["walk"] else record["walk"]
        into = dict.fromkeys(self._onward, walk)
        goto: list[Any] | tuple[()] = ()
        spent: dict[str, int] = {}
        if self._decides or (parts and (len(parts) > 1 or type(parts[0]) is not dict)):
            decision = Decision(record["loops"])
            parts = self._decide(parts, answers, decision, self._stamp(entry, walk, longest))
            goto, spent, entry.taken = decision.goto, decision.spent, decision.taken
            for target in goto:
                into[target.node if isinstance(target, Send) else target] = walk
            if goes_out(parts) and entry.execution.around is not None:
                entry.execution.around.walked = longest
        if entry.follows and not entry.inner_walk:  # what is in a subworkflow differs among siblings
            return _joined(parts, None, goto)
        new: Record = {
            "run": record["run"],
            "step": entry.step,
            "used": record["used"] + 1,
            "walk": longest,
            "into": into,
            "n": {} if self.once or entry.sent else {self.name: int(entry.execution.occurrence)},
            "loops": spent,
            "trail": [*record["trail"][1 - TRAIL :], self.name],
        }
        return _joined(parts, new, goto)

    def _stamp(self, entry: Entry, walk: int, longest: int) -> dict[str, Any] | None:
        """What a `Send` of this node carries; None where it declares no fan-out."""
        if not self._sends:
            return None
        return {
            "run": entry.record["run"],
            "by": f"{coded(self.name)}#{entry.execution.occurrence}.{entry.execution.index}",
            "used": entry.record["used"] + 1,
            "walk": longest,
            "into": walk,
        }

    def _decide(
        self, parts: list[Any], answers: Iterable[Any], decision: Decision, stamp: Mapping[str, Any] | None
    ) -> list[Any]:
        leaves = goes_out(parts)
        gone = leaves
        kept: list[Any] = []
        for part in parts:
            if isinstance(part, Command) and part.graph is None and part.goto:
                self._own(part).decide(part.goto, decision, stamp)
                kept.append(Command(update=part.update, resume=part.resume))
                gone = True
            else:
                kept.append(part)
        for (router, _, _), answer in zip(self.routers, answers, strict=not leaves):
            router.decide(answer, decision, stamp)
        if self.own is not None and not gone and not (self.static or self.routers or self.goes_on):
            raise UndeclaredTarget(
                f"{self.owner} declares destinations but returned no `Command(goto=...)`, and no edge leaves it: the "
                f"run would end there without a word. Return a Command{'' if self.handles else ', or add an edge'}.",
                node=self.name,
                target=None,
            )
        return kept

    def _own(self, command: Any) -> Router:
        if self.own is None:
            declare = "" if self.handles else f'add_node("{self.name}", ..., destinations=(...)), or '
            raise UndeclaredTarget(
                f"{self.owner} returned `Command(goto={command.goto!r})` but declares no destinations. Declare them: "
                f"{declare}annotate it with `-> Command[Literal[...]]`.",
                node=self.name,
                target=command.goto,
            )
        return self.own

    def _parts(self, part: Any) -> list[Any]:
        if isinstance(part, Command):
            if part.graph is not None or part.update is None:
                return [part]
            first, *more = self._updates(part.update)
            return [Command(update=first, goto=part.goto, resume=part.resume), *more]
        return self._updates(part)

    def _updates(self, part: Any) -> list[dict[str, Any]]:
        updates = as_updates(part)
        if updates is None:
            raise UnknownStateKey(
                f"{self.owner} returned {part!r}. A node returns a dictionary of state keys, an object of the "
                "state's class, a Command, or None.",
                node=self.name,
                key="",
            )
        if not updates[0].keys() <= self.known:
            self._refuse_keys(updates[0])
        return updates

    def _refuse_keys(self, update: Mapping[Any, Any]) -> None:
        key = next(k for k in update if k not in self.known)
        raise UnknownStateKey(
            f"{self.owner} returned `{key}`, which is no key of the state"
            f"{did_you_mean(str(key), self.known) or '.'}"
            f" The state has {', '.join(f'`{k}`' for k in sorted(self.known))}: add the key to its schema, or "
            "rename it.",
            node=self.name,
            key=str(key),
        )

    def _exceeded(self, record: Record) -> BoundExceeded:
        used, path = record["used"] + 1, (*record.get("trail", ()), self.name)
        return BoundExceeded(
            f"The run reached superstep {used} at `{self.name}`, beyond the {self.bound} that were proved for it: its "
            "state or its graph was changed after it was started. Its last nodes were "
            f"{' → '.join(path)}. Look at the thread's history, and start a new run.",
            bound=self.bound,
            used=used,
            path=path,
        )


def goes_out(parts: Iterable[Any]) -> bool:
    """Whether a node goes on in the graph around its own: no edge is followed then, and no router asked."""
    return any(isinstance(part, Command) and part.graph is not None for part in parts)


def _joined(parts: list[Any], record: Record | None, goto: Sequence[Any]) -> Any:
    own = {} if record is None else {KERNEL: record}
    if not parts:
        return Command(update=own, goto=goto) if goto else own or None
    if len(parts) == 1 and type(parts[0]) is dict:
        update = {**parts[0], **own}
        return Command(update=update, goto=goto) if goto else update
    return [*parts, Command(update=own, goto=goto)]
