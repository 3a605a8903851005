"""Where a run stands in the graph that it was checkpointed in, and the same in the names of today."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dalsegno.graphs.model import START, counter_parts
from dalsegno.graphs.renaming import today
from dalsegno.nodes.paths import coded, name_of, names_of


@dataclass(frozen=True)
class Level:
    """Where one workflow of a run stands: the outermost (`path` is empty), or a subworkflow in flight.

    `pending` are the nodes of its current superstep, `finished` whether some of them have their result already,
    `asked` whether some of them wait for an answer, `coming` where those results lead. `joins` maps the channels of
    joins to what they have seen. `loops` says how often each loop was taken, `used` the supersteps so far, `keys` which
    state keys have a value, `written` which of them have an update that is not applied yet.
    """

    path: str = ""
    pending: frozenset[str] = frozenset()
    finished: bool = False
    asked: bool = False
    coming: frozenset[str] = frozenset()
    joins: Mapping[str, frozenset[str]] = field(default_factory=dict)
    loops: Mapping[str, int] = field(default_factory=dict)
    used: int = 0
    keys: frozenset[str] = frozenset()
    written: frozenset[str] = frozenset()

    def in_graph(self, shape: Mapping[str, Any] | None) -> Level:
        """Where a run stands that began in the graph of that outermost shape.

        A thread keeps what was pending of a run that was given up, where its nodes are none of the graph that came
        after it: LangGraph never looks at them again.
        """
        here = shape_at(shape, self.path) if shape else None
        if here is None:
            return self
        nodes = {START, *here["nodes"]}
        ways = {(frozenset(origins), to) for kind, origins, to, *_ in here["edges"] if kind == "join"}
        joins = {
            name: (frozenset(sources), to) for name in self.joins for sources, to in [join_of(name, here)]
        }
        return replace(
            self,
            pending=self.pending & nodes,
            coming=self.coming & nodes,
            joins={name: seen for name, seen in self.joins.items() if joins[name] in ways},
        )


@dataclass(frozen=True)
class Before:
    """What is known of a run: the graph it was in, where it stands, and which nodes it has executed (places)."""

    shape: Mapping[str, Any] | None
    code: Mapping[str, str | None]
    levels: tuple[Level, ...] = ()
    done: frozenset[str] = frozenset()
    version: str = "0"

    def renamed(self, rename: Mapping[str, str]) -> Before:
        """The same in today's names; `rename` maps old places to today's."""
        if not rename:
            return self
        return Before(
            renamed_shape(self.shape, rename) if self.shape else None,
            {today(path, rename): code for path, code in self.code.items()},
            tuple(_renamed_level(level, rename, self.shape) for level in self.levels),
            frozenset(today(path, rename) for path in self.done),
            self.version,
        )


def join_of(channel: str, shape: Mapping[str, Any] | None) -> tuple[tuple[str, ...], str]:
    """The sources and the target of a join, from the name of LangGraph's channel ``join:a+b:target``.

    A name may have a ``+``: where the `shape` that the channel is of has such a join, its sources are those.
    """
    sources, _, target = channel.removeprefix("join:").rpartition(":")
    for kind, origins, to, *_ in shape["edges"] if shape else ():
        if (kind, to) == ("join", target) and (found := _in_order(sources, origins)):
            return found, target
    return tuple(sources.split("+")), target


def _in_order(text: str, names: Collection[str]) -> tuple[str, ...] | None:
    """The names in the order in which they make up a text, with a ``+`` between them; None where they do not."""
    if sorted(parts := text.split("+")) == sorted(names):
        return tuple(parts)
    if len(names) == 1 and text in names:
        return (text,)
    for name in names:
        if text.startswith(f"{name}+"):
            rest = _in_order(text[len(name) + 1 :], [other for other in names if other != name])
            if rest is not None:
                return name, *rest
    return None


def shape_at(shape: Mapping[str, Any], path: str) -> Mapping[str, Any] | None:
    """The shape of a level (``"sub/"``) within that of the outermost workflow; None where it has no such level."""
    found: Mapping[str, Any] | None = shape
    for name in names_of(path.removesuffix("/")):
        node = found["nodes"].get(name) if found else None
        found = node["child"] if node else None
    return found


def renamed_shape(shape: Mapping[str, Any], rename: Mapping[str, str], path: str = "") -> dict[str, Any]:
    """A shape in today's names; an answer of a router that is the name of its target goes with it."""
    names = {n: name_of(rename[path + coded(n)]) for n in shape["nodes"] if path + coded(n) in rename}
    nodes = {
        names.get(name, name): {
            **node,
            "child": renamed_shape(node["child"], rename, f"{path}{coded(name)}/") if node["child"] else None,
        }
        for name, node in shape["nodes"].items()
    }
    named = _answered_by_name(shape)
    edges = [
        [
            kind, sorted(names.get(o, o) for o in origins), names.get(target, target), router,
            names[label] if label in names and (tuple(origins), router, label) in named else label, *rest,
        ]
        for kind, origins, target, router, label, *rest in shape["edges"]
    ]  # fmt: skip
    return {**shape, "nodes": nodes, "edges": sorted(edges, key=repr)}


def _answered_by_name(shape: Mapping[str, Any]) -> frozenset[tuple[Any, ...]]:
    """The answers of routers that are the names of their targets: those behind a spent loop go by the first one's."""
    return frozenset(
        (tuple(origins), router, label)
        for _, origins, target, router, label, *_ in shape["edges"]
        if label is not None and label == target
    )


def _renamed_level(level: Level, rename: Mapping[str, str], shape: Mapping[str, Any] | None) -> Level:
    here = shape_at(shape, level.path) if shape else None
    named = _answered_by_name(here) if here else frozenset()

    def name(old: str) -> str:
        return name_of(today(level.path + coded(old), rename))

    def join(channel: str) -> str:
        sources, target = join_of(channel, here)
        return f"join:{'+'.join(map(name, sources))}:{name(target)}"

    def counter(old: str) -> str:
        source, router, label, target = counter_parts(old)
        is_name = label == target or ((source,), router, label) in named
        return "|".join((name(source), router, name(label) if is_name else label, name(target)))

    return Level(
        path=today(level.path.rstrip("/"), rename) + "/" if level.path else "",
        pending=frozenset(map(name, level.pending)),
        finished=level.finished,
        asked=level.asked,
        coming=frozenset(map(name, level.coming)),
        joins={join(channel): frozenset(map(name, seen)) for channel, seen in level.joins.items()},
        loops={counter(old): count for old, count in level.loops.items()},
        used=level.used,
        keys=level.keys,
        written=level.written,
    )
