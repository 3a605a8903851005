"""Rules on whether, and within what, every run ends (T)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from dalsegno.graphs.model import NodeSpec
from dalsegno.graphs.validation.cycles import cycle_through
from dalsegno.graphs.validation.facts import Facts
from dalsegno.graphs.validation.registry import (
    bound_rule,
    finding,
    listed,
    rule,
    shown,
    walk_in_words,
)
from dalsegno.graphs.validation.report import Certificate, Finding
from dalsegno.graphs.validation.timing import going_on, is_timed, limit_of, waits_alone


def _in_a_workflow(facts: Facts) -> str:
    """What to add where the graph is LangGraph's own, which has no place for bounds."""
    return "" if facts.spec.exact_choices else ": a StateGraph cannot carry it, a dalsegno Workflow can"


@rule("T101", "error", voids=True)
def endless_cycle(facts: Facts) -> Iterator[Finding]:
    """A cycle may repeat for ever.

    ## What it does
    Takes the bounded edges away and looks for a cycle in what is left. If there is none, every run ends.
    If there is one, some run need not end, unless a join on the way never fires or a loop whose way
    out is on the way is never spent. The path is the shortest way into the cycle and around it.

    ## Why is this bad
    What a router will decide is not known. A run that circles for ever spends for ever.

    ## Example
        flow.add_edge("plan", "act")
        flow.add_conditional_edges("act", route, {"more": "plan", "done": END})

    ## Use instead
        flow.add_conditional_edges("act", route, {"more": Loop("plan", max=5, on_exhausted=END), "done": END})
    """
    for members in facts.endless:
        start = min(members, key=facts.rank.__getitem__)
        cycle = cycle_through(facts.free, start, members)
        back = cycle[-2]
        where = next((a.edge.where for a in facts.out[back] if a.target == start), None)
        where = where or facts.nodes[start].where
        message = (
            f"cycle {walk_in_words(cycle)} has no bound: "
            f"{walk_in_words(facts.path_to(start)[:-1] + cycle)} may repeat for ever. "
            f'Use Loop("{start}", max=...) for the way back{_in_a_workflow(facts)}.'
        )
        edges = tuple(f"{a}->{b}" for a, b in pairwise(cycle))
        yield finding(
            "T101",
            message,
            path=facts.path_to(start)[:-1] + cycle,
            where=where,
            fix=f'Loop("{start}", max=...)',
            places=cycle[:-1] + edges,
        )


@rule("T102", "error", voids=True, needed=True)
def loop_without_exit(facts: Facts) -> Iterator[Finding]:
    """A loop has no way out when it is spent.

    ## What it does
    Checks that every loop says where to go when it was taken `max` times.

    ## Why is this bad
    The router may well ask for one more round; then there is nowhere to go, and the run fails.

    ## Example
        flow.add_conditional_edges("act", route, {"more": Loop("plan", max=5), "done": END})

    ## Use instead
        flow.add_conditional_edges("act", route, {"more": Loop("plan", max=5, on_exhausted=END), "done": END})
    """
    for edge in facts.declared:
        if edge.loop is not None and facts.ways_out.after(edge) is None:
            message = (
                f"loop {shown(edge.source)} → {shown(edge.target)} has no way out when spent. "
                f'Use Loop("{edge.target}", max={edge.loop}, on_exhausted=...).'
            )
            yield finding(
                "T102", message, path=(edge.source, edge.target), where=edge.where, fix="on_exhausted="
            )


@rule("T103", "error", voids=True, needed=True)
def loop_from_sent_node(facts: Facts) -> Iterator[Finding]:
    """A loop leaves a node that is sent to.

    ## What it does
    Looks for loops whose edge starts at the target of a fan-out.

    ## Why is this bad
    The tasks of one fan-out run side by side and would race on the loop's counter: a budget of
    2 has been seen to become 5.

    ## Example
        flow.add_conditional_edges("split", send, [Each("worker", max=9)])
        flow.add_conditional_edges("worker", check, {"again": Loop("worker", max=2, on_exhausted=END), "ok": END})

    ## Use instead
        flow.add_node("worker", worker_with_its_loop)     # a subworkflow: its counters are its own
    """
    for edge in facts.edges:
        if edge.loop is not None and edge.source in facts.sent_to:
            message = (
                f"loop {shown(edge.source)} → {shown(edge.target)} leaves `{edge.source}`, which is sent to: "
                "parallel tasks would race on its counter. Put the loop in a subworkflow."
            )
            yield finding(
                "T103",
                message,
                path=(edge.source, edge.target),
                where=edge.where,
                fix="put the loop in a subworkflow",
            )


@rule("T104", "error")
def fan_out_without_maximum(facts: Facts) -> Iterator[Finding]:
    """A fan-out has no maximum.

    ## What it does
    Checks that every `Each` says how many tasks one decision may send.

    ## Why is this bad
    Executions and model calls have no bound then: a list that a model wrote decides what is spent.

    ## Example
        flow.add_conditional_edges("split", send, [Each("worker")])

    ## Use instead
        flow.add_conditional_edges("split", send, [Each("worker", max=200)])
    """
    for edge in facts.edges:
        if edge.fans_out and edge.each is None:
            message = (
                f"the fan-out {shown(edge.source)} → {shown(edge.target)} has no maximum. "
                f'Use Each("{edge.target}", max=...){_in_a_workflow(facts)}.'
            )
            yield finding(
                "T104",
                message,
                path=(edge.source, edge.target),
                where=edge.where,
                fix=f'Each("{edge.target}", max=...)',
            )


@bound_rule("T105", "error")
def over_budget(facts: Facts, certificate: Certificate) -> Iterator[Finding]:
    """The worst case is beyond the workflow's budget.

    ## What it does
    Compares the certificate with the budget of the workflow: supersteps, model calls, seconds.

    ## Why is this bad
    Some run may be stopped in the middle for want of budget, its work paid for and lost.

    ## Example
        Workflow("article", Article, budget=Budget(model_calls=200))     # and loops for 340 calls

    ## Use instead
        Loop("draft", max=3, on_exhausted=END)     # or a larger budget
    """
    budget = facts.spec.budget
    if budget is None:
        return
    for what in ("supersteps", "model_calls", "seconds"):
        limit = limit_of(budget, what)
        bound = certificate.bounds[what]
        if limit is None or bound.value is None or bound.value <= limit:
            continue
        shown_path = bound.witness[:12] + (("…",) if len(bound.witness) > 12 else ())
        walk = f" Witness: {walk_in_words(shown_path)}." if shown_path else ""
        message = (
            f"worst case {bound.value:,} {what.replace('_', ' ')} > budget {limit:,}.{walk} "
            "Lower the bounds of its loops and fan-outs, or raise the budget."
        )
        yield finding(
            "T105",
            message,
            path=bound.witness,
            where=facts.spec.where,
            fix="lower the bounds",
            places=(facts.spec.name,),
        )


@bound_rule("T106", "warning")
def loose_bound(facts: Facts, certificate: Certificate) -> Iterator[Finding]:
    """The bound on supersteps is higher than the longest walk that was found.

    ## What it does
    Compares the bound with its witness.

    ## Why is this bad
    The bound holds, but no run may ever come near it: a budget made from it is too large.

    ## Example
        three loops that share their way: bound 420, longest path found 271

    ## Use instead
        dalsegno check --exact app.py:flow
    """
    bound = certificate.bounds["supersteps"]
    inner = (facts.certificate_of(n.child) for n in facts.order if n.child is not None)
    if any(part is not None and part.longest_found < (part.supersteps or 0) for part in inner):
        return  # it was said of that one
    if bound.tier == "linear" and bound.value is not None and certificate.longest_found < bound.value:
        message = (
            f"bound {bound.value:,} supersteps, longest path found {certificate.longest_found:,}. "
            "Use `--exact` for the least bound."
        )
        yield finding("T106", message, where=facts.spec.where, fix="--exact", places=(facts.spec.name,))


@bound_rule("T107", "warning")
def no_timeout(facts: Facts, certificate: Certificate) -> Iterator[Finding]:
    """No bound in seconds: nodes have no timeout.

    ## What it does
    Where seconds are budgeted, in the workflow or in one that runs it without a timeout, looks for nodes
    without `timeout=`, one finding for all, and for error handlers, which run in their node's superstep
    and have none.

    ## Why is this bad
    One call that never answers holds the run for ever.

    ## Example
        flow.add_node("fetch", fetch)

    ## Use instead
        flow.add_node("fetch", fetch, timeout=30)
    """
    if not facts.seconds_are_budgeted:
        return
    # The fallback of a subworkflow is beside it: what bounds the one does not bound the other.
    untimed = (n for n in facts.order if not is_timed(n) and n.kind != "human")
    late = [n for n in untimed if n.child is None or n.attempts > 1]
    if late:
        verb = "has" if len(late) == 1 else "have"
        message = f"no bound in seconds: {listed(n.name for n in late)} {verb} no timeout. Use `timeout=`."
        yield _one_for_all("T107", message, late, "timeout=")
    handled = [n for n in facts.order if n.error_handler is not None]
    if handled:
        message = (
            f"no bound in seconds: the error handler of {listed(n.name for n in handled)} has no timeout, and can "
            "be given none. Let it only decide where to go, and budget no seconds."
        )
        yield _one_for_all("T107", message, handled, "budget no seconds")


@rule("T108", "error", voids=True)
def runs_itself(facts: Facts) -> Iterator[Finding]:
    """A subworkflow runs its own graph.

    ## What it does
    Looks for a subworkflow that contains, at any depth, the workflow it is a part of.

    ## Why is this bad
    Nothing says how deep that goes: no bound can be given, and memory has one.

    ## Example
        solve.add_node("solve", solve)

    ## Use instead
        a pattern with a bound on its depth, such as `recursive_decomposition(..., depth=3)`
    """
    for node in facts.order:
        if node.name in facts.recursive:
            message = (
                f"`{node.name}` runs its own graph: nothing bounds the depth. "
                "Use a copy for every level, as many as there may be."
            )
            yield finding("T108", message, path=(node.name,), where=node.where, fix="bound the depth")


@bound_rule("T109", "warning")
def recursion_limit_too_low(facts: Facts, certificate: Certificate) -> Iterator[Finding]:
    """`recursion_limit` is below the proven bound.

    ## What it does
    Compares the `recursion_limit` that a compiled graph carries with the supersteps of its own level:
    N supersteps need a limit of N + 1. One that is given to `invoke` cannot be seen here.

    ## Why is this bad
    LangGraph stops the run before the bound that was proved for it.

    ## Example
        graph = builder.compile().with_config(recursion_limit=5)     # and runs of 9 supersteps

    ## Use instead
        graph = builder.compile()     # a compiled Workflow carries its own
    """
    limit, needed = facts.spec.recursion_limit, certificate.level_supersteps + 1
    if limit is not None and limit < needed:
        message = (
            f"`recursion_limit` is {limit:,}, and a run of {needed - 1:,} supersteps needs {needed:,}. "
            "Leave it out, or raise it."
        )
        yield finding("T109", message, where=facts.spec.where, fix="leave it out", places=(facts.spec.name,))


@bound_rule("T110", "warning")
def cannot_be_cancelled(facts: Facts, certificate: Certificate) -> Iterator[Finding]:
    """No bound in seconds: synchronous nodes cannot be cancelled.

    ## What it does
    Where seconds are budgeted, looks for subworkflows with a timeout that hold synchronous nodes without
    one, and for synchronous nodes with a timeout in a graph that was read from LangGraph, which refuses to
    run them. One finding for all.

    ## Why is this bad
    Python cannot stop a thread. A synchronous node of a Workflow is abandoned after its own timeout; that of
    the whole subworkflow waits for the thread.

    ## Example
        inner.add_node("crunch", crunch)            # def crunch(state): ...
        outer.add_node("inner", inner, timeout=30)

    ## Use instead
        inner.add_node("crunch", crunch, timeout=30)
        outer.add_node("inner", inner)
    """
    if not facts.seconds_are_budgeted:
        return
    stuck: dict[str, NodeSpec] = {}
    for node in facts.order:
        if not is_timed(node) or node.kind == "human":
            continue
        if node.child is None:
            if not waits_alone(facts.spec, node):
                stuck[node.name] = node
        elif (part := facts.certificate_of(node.child)) is not None and part.seconds is None:
            stuck |= {f"{node.name}/{name}": node for name in going_on(node.child)[1]}
    if stuck:
        message = (
            f"no bound in seconds: sync {listed(stuck)} cannot be cancelled. "
            "Use async functions, or `timeout=` on a node of a Workflow."
        )
        yield _one_for_all(
            "T110", message, [*{n.name: n for n in stuck.values()}.values()], "timeout= or async"
        )


@rule("T111", "error")
def unseen_graph(facts: Facts) -> Iterator[Finding]:
    """A node runs a graph that cannot be seen.

    ## What it does
    Looks for nodes that run a graph whose structure is code (an `@entrypoint`), and for those that run one
    from inside a function, a tool or a sequence: what its code names, its closure holds, and functions of
    the same module that it calls are followed.

    ## Why is this bad
    That graph may circle for ever, and nothing that is proved here holds for it.

    ## Example
        def research(state):
            return inner.invoke(state)
        flow.add_node("research", research)

    ## Use instead
        flow.add_node("research", inner)
    """
    for node in facts.opaque:
        message = f"what `{node.name}` runs is not known. Add the graph itself as the node."
        yield finding(
            "T111", message, path=(node.name,), where=node.where, fix="add the graph itself as the node"
        )


def _one_for_all(code: str, message: str, nodes: list[NodeSpec], fix: str) -> Finding:
    path = tuple(n.name for n in nodes)
    return finding(code, message, path=path, where=nodes[0].where, fix=fix, places=path)
