"""What changed in one level of a run, the outermost workflow or a subworkflow in flight, since it was checkpointed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from dalsegno.errors import quoted
from dalsegno.graphs.declarations import with_bars
from dalsegno.graphs.model import END, START, WorkflowSpec, counter_name, counter_parts
from dalsegno.nodes.paths import coded, name_of, prefix_of, shown
from dalsegno.runtime.code_changes import code_changes
from dalsegno.runtime.difference import Change, named
from dalsegno.runtime.reaching import joins_to, reachable
from dalsegno.runtime.standing import Level, join_of
from dalsegno.runtime.successors import Successors, way_of


class LevelComparison:
    """One level, then and now: `changes` tells what differs, and fills `suggested`, the renames that would map it."""

    def __init__(
        self,
        level: Level,
        kept: Mapping[str, Any],
        spec: WorkflowSpec,
        done: frozenset[str],
        code_then: Mapping[str, str | None],
        code_now: Mapping[str, str | None],
        active: Collection[str],
        migrated: bool,
    ) -> None:
        self.level, self.kept, self.spec, self.migrated, self.active = level, kept, spec, migrated, active
        self.code_then, self.code_now = code_then, code_now
        self.shape = spec.shape()
        self.then, self.now = set(kept["nodes"]), set(spec.nodes)
        self.done = {name_of(place) for place in done if prefix_of(place) == level.path}
        self.suggested: dict[str, str] = {}
        self._unheard: set[str] = set()
        # Of the nodes of the current superstep those that have no result yet.
        self._waiting = level.pending - self.done if level.finished else level.pending
        self._channels = {f"join:{'+'.join(e.sources)}:{e.target}" for e in spec.edges if e.kind == "join"}
        self._successors = Successors(
            kept,
            self.shape,
            {name: code_then.get(self.place(name)) for name in self.then},
            {name: code_now.get(self.place(name)) for name in self.now},
        )

    def changes(self) -> Iterator[Change]:
        yield from self._missing()
        yield from self._deferred()
        yield from self._led_to()
        yield from self._joins()
        yield from self._loops()
        yield from self._passed()
        yield from self._state()
        yield from self._nodes()
        yield from self._ways()

    def at(self, name: str) -> str:
        """The path of a node, or of a state key, as it is told."""
        return shown(self.level.path) + name

    def place(self, name: str) -> str:
        return self.level.path + coded(name)

    # -- what the run stands at ---------------------------------------------------------------------

    def _missing(self) -> Iterator[Change]:
        for name in sorted((self.level.pending | self.level.coming) - self.now - {START, END}):
            yield Change(
                "pending",
                self.at(name),
                f"`{self.at(name)}` is to run next, and the graph has no such node{self._suggest(name)}",
                "needs mapping",
                can_be_accepted=False,
            )
        for name in sorted(self.level.pending & self.now):
            then, now = self.kept["nodes"].get(name), self.shape["nodes"][name]
            if then is None:
                continue
            if then["child"] is not None and now["child"] is None and self.place(name) + "/" in self.active:
                yield Change(
                    "node",
                    self.at(name),
                    f"`{self.at(name)}` is in the middle of a subworkflow, and is none any more: what was done in "
                    "it would be done again",
                    "unsafe",
                )

    def _deferred(self) -> Iterator[Change]:
        joined = {join_of(channel, self.kept)[1] for channel, seen in self.level.joins.items() if seen}
        for name in sorted(self.now & self.then):
            then, now = self.kept["nodes"][name]["defer"], self.shape["nodes"][name]["defer"]
            if then == now:
                continue
            words = f"`defer` of `{self.at(name)}` was {then} and is {now}"
            if name in self.level.pending:
                yield Change("defer", self.at(name), f"{words}, and it is pending", "unsafe")
            elif name in joined:
                yield Change("defer", self.at(name), f"{words}, and half of its join is done", "unsafe")
            else:
                yield Change("defer", self.at(name), words)

    def _led_to(self) -> Iterator[Change]:
        """Pending nodes that other joins lead to now: LangGraph names a task by them too, and finds nothing again of
        what a node with another name has done: its result, its question, and all that is done in a subworkflow."""
        for name in sorted(self.level.pending & self.now & self.then):
            is_done = self.level.finished and name in self.done
            is_begun = is_done or self.level.asked or self.place(name) + "/" in self.active
            if is_begun and joins_to(name, self.kept["edges"]) != joins_to(name, self.shape["edges"]):
                yield Change(
                    "join",
                    self.at(name),
                    f"the joins that lead to `{self.at(name)}` changed, and it has begun: what is done of it would be "
                    "done again, and what it asks be asked anew",
                    "unsafe",
                )

    def _suggest(self, name: str) -> str:
        candidate = self._successor(name)
        if candidate is None:
            return ""
        self.suggested[self.place(name)] = self.place(candidate)
        pair = quoted(f"{self.at(name)}={self.at(candidate)}")
        return f"; is it `{candidate}` now? `--rename {pair}`"

    def _successor(self, name: str) -> str | None:
        """The new node that the old one most likely became."""
        return self._successors.of(name, {name_of(o): name_of(n) for o, n in self.suggested.items()})

    def _joins(self) -> Iterator[Change]:
        now = {(frozenset(e.sources), e.target) for e in self.spec.edges if e.kind == "join"}
        fed = self._fed()
        for channel, seen in self.level.joins.items():
            if channel in self._channels or not seen:
                continue
            sources, target = join_of(channel, self.kept)
            # Of one that has seen all of its sources the target is pending by this very channel.
            is_left = seen < {*sources} and target in fed and (frozenset(sources), target) not in now
            if {*sources, target} <= {*self.now, END} and (is_left or target == END):
                words = f"the join of {named(sources)} into `{target}` is gone"
                yield Change("join", self.at(target), words)
                continue
            self._unheard.add(target)
            gone = [name for name in (*sources, target) if name not in self.now and name != END]
            hints = "".join(self._suggest(name) for name in gone if self.place(name) not in self.suggested)
            words = (
                f"the join of {named(sources)} into `{target}` has seen {named(sorted(seen))}, and is gone: "
            )
            yield Change(
                "join",
                self.at(target),
                words + f"`{target}` would never run{hints}",
                "needs mapping",
                can_be_accepted=False,
            )

    def _loops(self) -> Iterator[Change]:
        now = {e.counter: e.loop for e in self.spec.edges if e.loop is not None}
        ways = {(e.source, e.target) for e in self.spec.edges if e.loop is not None}
        then = {
            counter_name(origins[0], router, label if router else None, target): most
            for _, origins, target, router, label, most, *_ in self.kept["edges"]
            if most is not None
        }
        for counter, count in self.level.loops.items():
            source, router, label, target = counter_parts(counter)
            way = f"the loop `{source}` → `{target}`" + (f" ({label})" if label else "")
            bound = now.get(counter)
            if bound is not None and bound < count and bound != then.get(counter):
                yield Change(
                    "bound",
                    self.at(source),
                    f"{way} may be taken {bound} times now, and the run has taken it {count} times",
                    "unsafe",
                )
            if counter in now or counter not in then or not count:
                continue  # or it went with a change that was accepted before
            gone = [name for name in dict.fromkeys((source, target)) if name not in self.now]
            if gone:
                hints = "".join(
                    self._suggest(name) for name in gone if self.place(name) not in self.suggested
                )
                yield Change(
                    "loop",
                    self.at(gone[0]),
                    f"{way} was taken {count} times, and the graph has no {named(gone)}{hints}",
                    "needs mapping",
                )
            elif (source, target) in ways:
                yield Change(
                    "loop",
                    self.at(source),
                    f"{way} was taken {count} times under the router `{router}`; it is another's now, so that its "
                    "count would start from zero",
                    "unsafe",
                )
            else:
                yield Change("loop", self.at(source), f"{way} is gone; the run has taken it {count} times")

    # -- what the run has passed --------------------------------------------------------------------

    def _passed(self) -> Iterator[Change]:
        """Nodes and ways that were put where the run has been already: it would go past them."""
        passed, fed = (self.done | {START}) - self._waiting, self._fed()
        old_ways = {(kind, tuple(origins), target) for kind, origins, target, *_ in self.kept["edges"]}
        old_answers = {
            (tuple(o), router, label) for _, o, _, router, label, *_ in self.kept["edges"] if label
        }
        told = set(self._unheard)
        for kind, origins, target, router, label, *_ in self.shape["edges"]:
            behind = [source for source in origins if source in passed]
            if not behind or target in (END, "") or target in told:
                continue
            if (kind, tuple(origins), target) in old_ways:
                continue
            new = target not in self.then
            if kind == "join" and not new:
                expected = target not in self.done or any(source in fed for source in origins)
                if expected and target not in fed:
                    told.add(target)
                    yield Change(
                        "join",
                        self.at(target),
                        f"`{self.at(target)}` waits for {named(map(self.at, origins))} now, and the run has passed "
                        f"{named(map(self.at, behind))}: it would never run",
                        "unsafe",
                    )
                continue
            decided = kind in ("static", "join") or (tuple(origins), router, label) in old_answers
            if not decided or not (new or (target not in fed and kind == "static")):
                continue
            told.add(target)
            before = sorted(self._reachable({target}) & self.level.pending - {target})
            where = f"before {named([self.at(n) for n in before])}, " if before else ""
            what = "was inserted" if new else "has a new way to it"
            source = "the start" if behind[0] == START else f"`{self.at(behind[0])}`"
            yield Change(
                "inserted",
                self.at(target),
                f"`{self.at(target)}` {what} {where}behind {source}, which the run has passed: it would be skipped",
                "unsafe",
            )

    def _reachable(self, sources: Collection[str]) -> set[str]:
        return reachable(self.shape["edges"], sources)

    def _fed(self) -> set[str]:
        """The nodes that the run may still come to: a join has to hear of all its sources, or has heard of them."""
        heard = {
            (frozenset(sources), target): seen
            for channel, seen in self.level.joins.items()
            for sources, target in [join_of(channel, self.shape)]
            # One that has let its target by, which is pending, waits for all of them again.
            if channel in self._channels and not (seen >= {*sources} and target in self.level.pending)
        }
        return reachable(self.shape["edges"], self._waiting | self.level.coming, heard)

    # -- what is stored -----------------------------------------------------------------------------

    def _state(self) -> Iterator[Change]:
        then, now = self.kept["state"], self.shape["state"]
        used = (self.level.keys | self.level.written) & then.keys()
        for key in then.keys() - now.keys():
            if key not in used or self.migrated:
                yield Change("state", self.at(key), f"the state key `{key}` is gone; {self._so(key, used)}")
            else:
                yield Change(
                    "state", self.at(key), f"the state key `{key}` is gone, and holds a value", "unsafe"
                )
        for key in then.keys() & now.keys():
            for was, is_, what in zip(then[key], now[key], ("type", "reducer"), strict=False):
                if was == is_ or (what == "type" and with_bars(was) == is_):  # kept by an earlier version
                    continue
                harmless = key not in used or self.migrated
                yield Change(
                    "state",
                    self.at(key),
                    f"the {what} of the state key `{key}` was `{was}` and is `{is_}`"
                    + (f"; {self._so(key, used)}" if harmless else ", and it holds a value"),
                    "compatible" if harmless else "unsafe",
                )
        for key in now.keys() - then.keys():
            yield Change("state", self.at(key), f"the state key `{key}` is new")
        stale = sorted(self.level.written if self.migrated else ())
        if stale:
            who = "the input has" if START in self.level.pending else "a node that has finished wrote"
            yield Change(
                "state",
                self.at(stale[0]),
                f"{who} {named(stale)} for the old version, after which the state is migrated; it would be applied "
                "as it is",
                "unsafe",
            )

    def _so(self, key: str, used: Collection[str]) -> str:
        return "it is migrated" if key in used else "it holds no value"

    # -- the rest -----------------------------------------------------------------------------------

    def _nodes(self) -> Iterator[Change]:
        gone_on = self.level.pending | self.level.coming
        for name in sorted(self.then - self.now - gone_on):
            yield Change(
                "node", self.at(name), f"`{self.at(name)}` is gone; nothing of this run waits for it"
            )
        for name in sorted(self.now - self.then):
            yield Change("node", self.at(name), f"`{self.at(name)}` is new")
        both = sorted(self.now & self.then)
        for name in both:
            path, place = self.at(name), self.place(name)
            then, now = self.kept["nodes"][name], self.shape["nodes"][name]
            if then["kind"] != now["kind"]:
                yield Change("node", path, f"`{path}` was a {then['kind']} and is a {now['kind']}")
            elif then["child"] != now["child"] and place + "/" not in self.active:
                yield Change("node", path, f"the subworkflow of `{path}` changed")
            if (then["inputs"], then["outputs"]) != (now["inputs"], now["outputs"]):
                yield Change("node", path, f"the keys that go into `{path}` or come out of it changed")
        codes = ((name, self.place(name)) for name in both)
        yield from code_changes(
            (self.at(name), self.code_then.get(place), self.code_now.get(place)) for name, place in codes
        )

    def _ways(self) -> Iterator[Change]:
        old, new = ([way_of(e, {}) for e in shape["edges"]] for shape in (self.kept, self.shape))
        touched = sorted({s for way in set(old) ^ set(new) for s in way[1]} & self.now & self.then)
        for name in touched:
            yield Change("ways", self.at(name), f"the ways from `{self.at(name)}` changed")
