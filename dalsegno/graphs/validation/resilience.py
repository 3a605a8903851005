"""Rules on effects, retries and failures (R)."""

from __future__ import annotations

from collections.abc import Iterator

from dalsegno.graphs.model import NodeSpec, WorkflowSpec
from dalsegno.graphs.validation.facts import Facts
from dalsegno.graphs.validation.registry import finding, raised_elsewhere, rule
from dalsegno.graphs.validation.report import Finding


@rule("R401", "warning")
def effect_without_compensation(facts: Facts) -> Iterator[Finding]:
    """A node has an effect that nothing undoes when a later node with an effect fails.

    ## What it does
    Looks for a node with `effect=True` and no `compensate=` that another node with an effect may follow. The
    later node counts where it has no error handler. Inside the pattern `saga` the finding is an error.

    ## Why is this bad
    When the later node fails, the first effect stays in the world and nobody takes it back.

    ## Example
        flow.add_node("charge", charge, effect=True)
        flow.add_node("ship", ship, effect=True)

    ## Use instead
        flow.add_node("charge", charge, effect=True, compensate="refund")
    """
    undoing = {n.compensate for n in facts.nodes.values()}
    acting = [
        n for n in facts.order if n.effect and n.name not in undoing and "compensates" not in n.metadata
    ]
    risky = {n.name for n in acting if n.error_handler is None}
    for node in acting:
        if node.compensate is not None:
            continue
        later = _first_after(facts, node.name, risky)
        if later is not None:
            message = (
                f"`{node.name}` has an effect, `{later}` after it can fail, and nothing compensates. "
                f'Use compensate="..." on `{node.name}`.'
            )
            yield finding(
                "R401",
                message,
                path=(node.name, later),
                where=node.where,
                fix="compensate=",
                severity="error" if _in_saga(node) else "warning",
            )


def _in_saga(node: NodeSpec) -> bool:
    return node.metadata.get("pattern") == "saga"


def _first_after(facts: Facts, name: str, wanted: set[str]) -> str | None:
    """The nearest node of `wanted` that may run after `name`."""
    seen, level = {name}, [name]
    while level:
        following = []
        for source in level:
            for target in facts.graph.successors(source):
                if target not in seen:
                    if target in wanted:
                        return str(target)
                    seen.add(target)
                    following.append(target)
        level = following
    return None


@rule("R402", "error")
def effect_before_interrupt(facts: Facts) -> Iterator[Finding]:
    """A node with an effect waits for a human, so the effect is repeated.

    ## What it does
    Looks for nodes with `effect=True` and `interrupts=`, unless they are `idempotent=True`.

    ## Why is this bad
    When the answer comes, the node runs again from its first line, and so does its effect.

    ## Example
        flow.add_node("send", send_and_ask, effect=True, interrupts=1)

    ## Use instead
        flow.add_node("send", send, effect=True)
        flow.add_node("ask", ask, interrupts=1)
    """
    for node in facts.order:
        if node.effect and node.interrupts and not node.idempotent:
            message = (
                f"`{node.name}` has an effect and an interrupt: the effect is repeated when the answer comes. "
                "Split the node, or record the effect with `effect(...)` and say `idempotent=True`."
            )
            yield finding("R402", message, path=(node.name,), where=node.where, fix="split the node")


@rule("R403", "warning")
def retried_effect(facts: Facts) -> Iterator[Finding]:
    """A node with an effect is retried, and is not idempotent.

    ## What it does
    Looks for nodes with `effect=True` and more than one attempt, unless they are `idempotent=True`.

    ## Why is this bad
    An attempt may fail after it has acted. The next attempt then acts a second time.

    ## Example
        flow.add_node("send_mail", send_mail, effect=True, retry=RetryPolicy(max_attempts=3))

    ## Use instead
        # send_mail passes the idempotency key on, so that a second attempt changes nothing
        flow.add_node("send_mail", send_mail, effect=True, idempotent=True, retry=RetryPolicy(max_attempts=3))
    """
    for node in facts.order:
        if node.effect and node.attempts > 1 and not node.idempotent:
            message = (
                f"`{node.name}` is tried up to {node.attempts} times and has an effect that is not idempotent. "
                "Pass the idempotency key on, and say `idempotent=True`."
            )
            yield finding(
                "R403", message, path=(node.name,), where=node.where, fix="pass the idempotency key"
            )


def without_checkpointer(spec: WorkflowSpec) -> Iterator[Finding]:
    """R404 for every node that waits for a human, in subworkflows too: there is no checkpointer."""
    ahead: list[tuple[WorkflowSpec, tuple[str, ...]]] = [(spec, ())]
    seen = {id(spec)}
    while ahead:
        part, path = ahead.pop()
        for node in part.nodes.values():
            if node.child is not None and id(node.child) not in seen:
                seen.add(id(node.child))
                ahead.append((node.child, (*path, node.name)))
            elif node.interrupts and node.child is None:
                message = (
                    f"`{'/'.join((*path, node.name))}` waits for a human, and there is no checkpointer: the run "
                    "could never go on. Use compile(checkpointer=SqliteCheckpointer(...)); for a part of a graph "
                    "that has one, use compile_part()."
                )
                yield finding(
                    "R404",
                    message,
                    path=(*path, node.name),
                    where=node.where,
                    fix="compile(checkpointer=...)",
                )


raised_elsewhere(
    "R404",
    "error",
    """A node waits for a human, but there is no checkpointer.

    ## What it does
    `compile()` looks for nodes with `interrupts=`, in subworkflows too, and raises this error where it is given
    no checkpointer. A subworkflow needs none of its own: it uses its parent's.

    `compile_part()` does not look. Use it for a workflow that becomes a node of a LangGraph graph, or that runs
    on a platform which brings its own checkpointer.

    ## Why is this bad
    Without a checkpoint, the run has nothing to come back to when the answer arrives.

    ## Example
        flow.compile()

    ## Use instead
        flow.compile(checkpointer=SqliteCheckpointer("runs.db"))
    """,
)


@rule("R405", "warning")
def remote_without_handling(facts: Facts) -> Iterator[Finding]:
    """Nothing handles a failure of a remote node.

    ## What it does
    Looks for remote nodes that have no retry, no fallback, no circuit breaker and no error handler.

    ## Why is this bad
    Networks fail. One refused connection ends the run.

    ## Example
        flow.add_node("ask", remote("https://agents.example.org", "answer"))

    ## Use instead
        flow.add_node("ask", remote("https://agents.example.org", "answer"), retry=RetryPolicy(max_attempts=3))
    """
    for node in facts.order:
        if node.kind != "remote" or node.attempts > 1 or node.error_handler is not None:
            continue
        if all(node.policies.get(p) is None for p in ("retry", "fallback", "breaker")):
            message = (
                f"nothing deals with a failure of the remote `{node.name}`. "
                "Use a retry, a fallback or an error handler."
            )
            yield finding(
                "R405", message, path=(node.name,), where=node.where, fix="retry, fallback or handler"
            )
