"""Rules on branches, joins and ends (S)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping

from dalsegno.graphs.model import END, EdgeSpec
from dalsegno.graphs.validation.facts import Facts
from dalsegno.graphs.validation.registry import finding, rule, shown, walk_in_words
from dalsegno.graphs.validation.report import Finding

MOST_MERGES = 100
"""Most nodes where branches meet that are looked at for S202."""


@rule("S201", "error")
def starving_join(facts: Facts) -> Iterator[Finding]:
    """A join may wait for ever: a run can reach one of its sources but not another.

    ## What it does
    Looks for a run that reaches some sources of a join and never the others. Every router may choose any of its
    targets. Failures are left out: a path that an error handler takes is meant to differ.

    ## Why is this bad
    The join never fires and nothing after it runs, but LangGraph reports the run as a success.

    ## Example
        flow.add_conditional_edges("r", route, ["a", "b"])
        flow.add_edge(["a", "b"], "c")

    ## Use instead
        flow.add_edge("r", "a")
        flow.add_edge("r", "b")
        flow.add_edge(["a", "b"], "c")
    """
    for edge in facts.declared:
        if edge.kind != "join" or (edge.target not in facts.nodes and edge.target != END):
            continue
        name = f"the join [{', '.join(edge.origins)}] → {shown(edge.target)} starves"
        lost = [o for o in edge.origins if o not in facts.reachable]
        if lost:
            message = f"{name}: `{lost[0]}` cannot be reached. Add an edge to it, or do not wait for it."
            places = (edge.target, *edge.origins)
            yield finding(
                "S201",
                message,
                path=(lost[0], edge.target),
                where=edge.where,
                fix="add an edge",
                places=places,
            )
            continue
        found = facts.starving.get(id(edge))
        if found is None or (facts.states is not None and edge not in facts.states.half_filled):
            continue
        if found.router is None:
            blame = f"`{found.present}` may run without `{found.absent}`"
        elif found.router == found.present:
            blame = f"`{found.present}` may go on without `{found.absent}`"
        else:
            blame = f"`{shown(found.router)}` may pick a way to `{found.present}` without `{found.absent}`"
        path = tuple(dict.fromkeys((found.router or found.present, found.present, edge.target)))
        yield finding(
            "S201",
            f"{name}: {blame}. Fork to all of them, or defer `{shown(edge.target)}` and use plain edges.",
            path=path,
            where=edge.where,
            fix="fork to all, or defer",
            places=(edge.target, *edge.origins),
        )


@rule("S202", "warning")
def branches_of_unequal_length(facts: Facts) -> Iterator[Finding]:
    """A node runs twice because branches of unequal length meet in it.

    ## What it does
    Looks for nodes that several branches reach without a join, where one branch arrives while another still
    runs. Deferred nodes, targets of fan-outs and nodes that a loop leads back to are left out. Where several
    such nodes follow each other, only the first is named.

    ## Why is this bad
    The node runs once for each arrival. The first time, it does not see what the longer branches bring.

    ## Example
        flow.add_edge("a", "c")
        flow.add_edge("a", "b")
        flow.add_edge("b", "c")

    ## Use instead
        flow.add_edge(["a", "b"], "c")
    """
    import networkx as nx

    if not facts.parallel or not facts.topological:
        return
    heads = {a.target for a in facts.live if a.edge.loop is not None} | facts.sent_to
    sources: dict[str, set[str]] = {}
    for arc in facts.live:
        if arc.edge.kind != "join" and arc.edge.loop is None and arc.target != END:
            sources.setdefault(arc.target, set()).add(arc.source)
    beside: dict[str, list[str]] = {}
    for pair in facts.together.steps:
        if pair in facts.together.sure and pair[0] != pair[1]:
            for name, other in (pair, pair[::-1]):
                if len(sources.get(name, ())) > 1 and name not in heads and not facts.nodes[name].defer:
                    beside.setdefault(name, []).append(other)
    told: set[str] = set()
    for name in sorted(beside, key=facts.place.__getitem__)[:MOST_MERGES]:
        before = nx.ancestors(facts.free, name)
        late = [o for o in beside[name] if o in before]
        if not late or told & before:
            continue
        told.add(name)
        other = min(late, key=facts.place.__getitem__)
        step = facts.together.steps[(name, other) if name <= other else (other, name)]
        again = step + nx.shortest_path_length(facts.free, other, name)
        message = (
            f"`{name}` can run at supersteps {step} and {again}: branches of unequal length meet in it, "
            f"and `{other}` still runs the first time. Use a join, or `defer=True`."
        )
        yield finding(
            "S202", message, path=(other, name), where=facts.nodes[name].where, fix="join", places=(name,)
        )


@rule("S203", "error")
def no_end_in_reach(facts: Facts) -> Iterator[Finding]:
    """No path leads from a node to an end.

    ## What it does
    Looks for nodes from which no path leads to END or to a node that no edge leaves. Nodes that only lead to
    each other are one finding.

    ## Why is this bad
    A run that comes to such a node never completes.

    ## Example
        flow.add_edge("ask", "wait")
        flow.add_edge("wait", "ask")

    ## Use instead
        flow.add_conditional_edges("wait", route, {"ask": Loop("ask", max=3, on_exhausted=END), "done": END})
    """
    stuck = facts.reachable - facts.leading_to(facts.ends)
    for members in facts.components:
        if not members <= stuck or any(t not in members for m in members for t in facts.graph.successors(m)):
            continue
        name = min(members, key=facts.rank.__getitem__)
        path = facts.path_to(name)
        message = (
            f"from `{name}` no end can be reached: {walk_in_words(path)} leads to no END. Add a way out."
        )
        yield finding(
            "S203",
            message,
            path=path,
            where=facts.nodes[name].where,
            fix="add a way out",
            places=sorted(members),
        )


@rule("S204", "warning")
def end_beside_others(facts: Facts) -> Iterator[Finding]:
    """A node may go to END while another branch is still running.

    ## What it does
    Looks for a node that may choose END, or another target, in a superstep in which another node runs that has
    successors.

    ## Why is this bad
    END ends one branch, not the run. The other branches go on, and cost what they cost.

    ## Example
        flow.add_edge("start", "check")     # `check` may choose END
        flow.add_edge("start", "search")    # `search` goes on to `write`

    ## Use instead
        # decide after both branches have come together
        flow.add_edge(["check", "search"], "decide")
    """
    if not facts.parallel:
        return
    choosing = {
        a.source: a
        for a in reversed(facts.live)
        if a.target == END and a.edge.kind in ("choice", "command") and a.edge.exhausted_of is None
    }
    told: set[str] = set()
    for pair in facts.together.steps if choosing else ():
        if pair[0] == pair[1] or pair not in facts.together.sure:
            continue
        for name, other in (pair, pair[::-1]):
            goes_on = any(a.target != END and a.edge.kind != "handler" for a in facts.out.get(other, ()))
            alone = all(a.target == END for a in facts.out.get(name, ()))
            if name in choosing and name not in told and goes_on and not alone:
                told.add(name)
                message = (
                    f"END in `{name}` does not stop `{other}`, which runs beside it. "
                    "Join the branches first, and decide then."
                )
                where = choosing[name].edge.where or facts.nodes[name].where
                yield finding(
                    "S204", message, path=(name, other), where=where, fix="join first", places=(name,)
                )


@rule("S205", "warning")
def half_filled_join(facts: Facts) -> Iterator[Finding]:
    """A join stays half filled: one of its sources runs more often than another.

    ## What it does
    Looks for joins where a loop repeats one source and not another. A node that always follows a node of the
    loop is repeated with it.

    With `--exact`, and in a graph of up to 50,000 states, the rule follows every run to its end instead.

    ## Why is this bad
    The extra arrival waits for a partner that never comes. If the join is reached again, it fires too early,
    with what was left over.

    ## Example
        flow.add_conditional_edges("a", again, {"more": Loop("a", max=2, on_exhausted=END), "ok": END})
        flow.add_edge(["a", "b"], "c")

    ## Use instead
        # the loop ends before the join
        flow.add_conditional_edges("a", again, {"more": Loop("a", max=2, on_exhausted="a_done"), "ok": "a_done"})
        flow.add_edge(["a_done", "b"], "c")
    """
    import networkx as nx

    joins = [e for e in facts.edges if e.kind == "join" and all(o in facts.reachable for o in e.origins)]
    members = _repeated(facts) if joins else {}
    for edge in joins:
        homes = {o: facts.component_of[members[o]] if o in members else None for o in edge.origins}
        repeated = [o for o, home in homes.items() if home is not None]
        once = [o for o, home in homes.items() if repeated and home != homes[repeated[0]]]
        why = None
        # Arrivals before the other source runs at all count as one.
        if once and not nx.has_path(facts.free, members[repeated[0]], once[0]):
            why = f"a loop repeats `{repeated[0]}` and not `{once[0]}`. Align the branches: join after the loop."
        if facts.states is not None:
            left = edge in facts.states.half_filled
            told = left and facts.starving.get(id(edge)) is not None
            why = (why or "some run ends so. Align the branches.") if left and not told else None
        if why is not None:
            message = (
                f"the join [{', '.join(edge.origins)}] → {shown(edge.target)} keeps a half-filled token at "
                f"the end: {why}"
            )
            yield finding(
                "S205",
                message,
                path=(repeated[0] if once else edge.source, edge.target),
                where=edge.where,
                fix="align the branches",
                places=(edge.target, *edge.origins),
            )


def _repeated(facts: Facts) -> Mapping[str, str]:
    """The nodes that a loop repeats, each with the node of the loop that it is, or follows by static edges."""
    found = {name: name for name in facts.component_of}
    due = deque(found)
    while due:
        name = due.popleft()
        for arc in facts.out.get(name, ()):
            if arc.edge.kind == "static" and arc.target != END and arc.target not in found:
                found[arc.target] = found[name]
                due.append(arc.target)
    return found


@rule("S206", "warning")
def choice_never_taken(facts: Facts) -> Iterator[Finding]:
    """A choice can never be taken.

    ## What it does
    Looks for choices that no run can take: a loop or a fan-out with `max=0`, a router's answer that is mapped
    twice, and the `on_exhausted` of a loop that is never spent because it does not lead back.

    ## Why is this bad
    The target looks like a part of the workflow, but this way never leads there.

    ## Example
        flow.add_conditional_edges("r", route, {"again": Loop("z", max=0, on_exhausted=END), "ok": END})

    ## Use instead
        flow.add_conditional_edges("r", route, {"again": END, "ok": END})
    """
    for edge in facts.declared:
        if edge.source not in facts.reachable or (edge.loop != 0 and edge.each != 0):
            continue
        what = "`max=0`" if edge.loop == 0 else "it sends to nobody, `max=0`"
        yield _never(edge, what)
    for edge in facts.never_open:
        if edge.source in facts.reachable:
            yield _never(edge, "it is the way out of a loop that does not lead back, so it is never spent")
    seen: set[tuple[str, str | None, str]] = set()
    for edge in facts.declared:
        if edge.kind == "choice" and edge.label is not None and edge.exhausted_of is None and not edge.many:
            answer = (edge.source, edge.router, edge.label)
            if answer in seen and edge.source in facts.reachable and facts.spec.exact_choices:
                yield _never(edge, f"`{edge.label}` leads elsewhere already")
            seen.add(answer)


def _never(edge: EdgeSpec, why: str) -> Finding:
    message = f"the choice {shown(edge.source)} → {shown(edge.target)} can never be taken: {why}. Delete it."
    return finding("S206", message, path=(edge.source, edge.target), where=edge.where, fix="delete")
