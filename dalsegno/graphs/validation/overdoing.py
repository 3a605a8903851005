"""Rules on more orchestration than the work needs."""

from __future__ import annotations

from collections.abc import Iterator

from dalsegno.graphs.validation.facts import Facts
from dalsegno.graphs.validation.registry import finding, listed, rule, shown
from dalsegno.graphs.validation.report import Finding


@rule("G007", "warning")
def one_worker(facts: Facts) -> Iterator[Finding]:
    """A supervisor has one worker.

    ## What it does
    Looks for a `supervisor`, or a team of a `hierarchy`, that has only one worker to give tasks to.

    ## Why is this bad
    With one worker there is nobody to choose. The lead costs model calls and supersteps, and decides nothing
    that the worker could not decide itself.

    ## Example
        supervisor(lead, [research])

    ## Use instead
        react("model", tools)                         # one agent that goes on until it has enough
        map_reduce(split, research, join)             # one worker, for many items side by side
        supervisor(lead, [research, compute])
    """
    for lead in facts.order:
        if lead.metadata.get("pattern") != "supervisor":
            continue
        asked = {e.target for e in facts.edges if e.fans_out and e.source == lead.name}
        workers = [
            name
            for name in asked
            if name != "nobody" and facts.nodes[name].metadata.get("pattern") == "supervisor"
        ]
        if len(workers) == 1:
            message = (
                f"`{lead.name}` gives tasks to `{workers[0]}` alone, so that its decisions decide little. Let "
                f"`{workers[0]}` do the work itself (`react`), map it over the items (`map_reduce`), or add workers."
            )
            yield finding(
                "G007",
                message,
                path=(lead.name, workers[0]),
                where=facts.nodes[workers[0]].where or lead.where,
                fix="a pattern without a supervisor",
            )


@rule("T112", "warning")
def no_early_way_out(facts: Facts) -> Iterator[Finding]:
    """A loop cannot be left before it is spent.

    ## What it does
    Looks for loops that no choice leads out of, so that only `max` ends them. It is silent where a router of the
    loop may choose nothing, or declares no targets (G002).

    ## Why is this bad
    Every run takes, and pays for, as many rounds as were meant for the worst one. Most often, the answer that
    ends the loop was forgotten.

    ## Example
        flow.add_conditional_edges("review", verdict, {"again": Loop("write", max=5, on_exhausted="publish")})

    ## Use instead
        flow.add_conditional_edges(
            "review", verdict, {"good": "publish", "again": Loop("write", max=5, on_exhausted="publish")}
        )
    """
    loops = [e for e in facts.edges if e.loop and e.source in facts.nodes and e.target in facts.nodes]
    if not loops:
        return
    import networkx as nx

    # Without the ways that only a spent loop or a failure opens.
    open_ = [e for e in facts.edges if e.exhausted_of is None and e.kind != "handler"]
    graph = nx.DiGraph((origin, e.target) for e in open_ for origin in e.origins)
    home = {
        name: number for number, part in enumerate(nx.strongly_connected_components(graph)) for name in part
    }
    choices = [e for e in open_ if e.kind in ("choice", "command")]
    left = {home[e.source] for e in choices if e.many or home[e.target] != home[e.source]}
    left |= {home[e.source] for e in facts.unknown_routers if e.source in home}
    told: set[int] = set()
    for loop in loops:
        where = home.get(loop.source)  # a node that only a spent loop opens is in none of these parts
        if where is None or where != home.get(loop.target) or where in left or where in told:
            continue
        told.add(where)
        rounds = [n.name for n in facts.order if home.get(n.name) == where]
        yield finding(
            "T112",
            f"nothing leaves the loop {shown(loop.source)} → {shown(loop.target)} ({listed(rounds, 4)}) before it is "
            f"spent: each run takes it {loop.loop} times. Add an answer that leads out, or do the rounds one after "
            "the other.",
            path=(loop.source, loop.target),
            where=loop.where,
            fix="an answer that leads out of the loop",
        )
