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
    Removes the bounded edges (`Loop`) and looks for a cycle in what is left. Without a cycle, every run ends.
    The finding shows the shortest way from START into the cycle, and once around it.

    Two kinds of cycle are reported although they end: those that run through a join that never fires, and those
    that need the `on_exhausted` of a loop that is never spent.

    ## Why is this bad
    Nobody knows in advance what a router will decide. A run that circles for ever also spends for ever.

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
    Checks that every loop says where the run goes on after the loop was taken `max` times.

    ## Why is this bad
    The router may ask for one more round. Without `on_exhausted=` there is nowhere to go, and the run fails.

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
    """A loop starts at the target of a fan-out.

    ## What it does
    Looks for loops whose edge leaves a node that a fan-out sends to.

    ## Why is this bad
    The tasks of one fan-out run side by side and would race on the loop's counter. In a measurement, a maximum of
    2 became 5.

    ## Example
        flow.add_conditional_edges("split", send, [Each("worker", max=9)])
        flow.add_conditional_edges("worker", check, {"again": Loop("worker", max=2, on_exhausted=END), "ok": END})

    ## Use instead
        # as a subworkflow, each task counts its own rounds
        flow.add_node("worker", worker_with_its_loop)
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
    Without a maximum, executions and model calls have no bound: the length of a list, which a model may have
    written, decides what the run costs.

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
    """The worst case exceeds the workflow's budget.

    ## What it does
    Compares the certificate with the workflow's budget for supersteps, model calls and seconds. Tokens and cost
    are not known before a run.

    ## Why is this bad
    The budget may stop a run in the middle, after its work was paid for.

    ## Example
        Workflow("article", Article, budget=Budget(model_calls=200))     # its loops allow 340 calls

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
    Compares the proved bound with the longest walk through the graph that was found.

    ## Why is this bad
    The bound holds, but perhaps no run ever comes near it. A budget that is derived from it is too large.

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
    """There is no bound in seconds, because nodes have no timeout.

    ## What it does
    Looks for nodes without `timeout=`, and names all of them in one finding. Also looks for error handlers: a
    handler runs in its node's superstep and can have no timeout.

    The rule looks only where seconds are budgeted: in a workflow whose budget limits them, and in the
    subworkflows that it runs without a timeout.

    ## Why is this bad
    A single call that never answers can hold up the run for ever.

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
    """A workflow contains itself as a subworkflow.

    ## What it does
    Looks for a subworkflow that contains, at any depth, the workflow it is a part of.

    ## Why is this bad
    Nothing limits the depth, so no bound can be given. Memory runs out before the run ends.

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
    Compares the `recursion_limit` that a compiled graph carries with the supersteps that were proved for its own
    level. N supersteps need a limit of N + 1. The rule cannot see a limit that is passed to `invoke`.

    ## Why is this bad
    LangGraph stops the run before it reaches its proven bound.

    ## Example
        graph = builder.compile().with_config(recursion_limit=5)     # a run may take 9 supersteps

    ## Use instead
        graph = builder.compile()     # a compiled Workflow sets its own limit
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
    """There is no bound in seconds, because synchronous nodes cannot be cancelled.

    ## What it does
    Looks for a subworkflow with a timeout that holds a synchronous node without one. In a plain LangGraph graph,
    it looks for synchronous nodes with a timeout, which LangGraph refuses to run. All nodes are one finding.

    The rule looks only where seconds are budgeted, as T107 does.

    ## Why is this bad
    Python cannot stop a thread. When a synchronous node's own timeout is over, a Workflow goes on and leaves the
    thread behind. The timeout of a whole subworkflow waits until the thread has ended.

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
    """A node runs a graph that the check cannot see.

    ## What it does
    Looks for nodes whose graph is code (an `@entrypoint`), and for nodes that run a graph from inside a function,
    a tool or a sequence. To find the latter, it follows the names in the node's code, the values in its closure,
    and the functions of the same module that it calls.

    ## Why is this bad
    The hidden graph may circle for ever, and nothing that the check proves holds for it.

    ## Example
        def research(state):
            return inner.invoke(state)
        flow.add_node("research", research)

    ## Use instead
        flow.add_node("research", inner)
    """
    for node in facts.opaque:
        message = f"`{node.name}` runs a graph that the check cannot see. Add that graph itself as the node."
        yield finding(
            "T111", message, path=(node.name,), where=node.where, fix="add the graph itself as the node"
        )


def _one_for_all(code: str, message: str, nodes: list[NodeSpec], fix: str) -> Finding:
    path = tuple(n.name for n in nodes)
    return finding(code, message, path=path, where=nodes[0].where, fix=fix, places=path)
