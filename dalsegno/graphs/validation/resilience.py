"""Rules on effects, retries and failures (R)."""

from __future__ import annotations

from collections.abc import Iterator

from dalsegno.graphs.model import NodeSpec, WorkflowSpec
from dalsegno.graphs.validation.facts import Facts
from dalsegno.graphs.validation.registry import finding, raised_elsewhere, rule
from dalsegno.graphs.validation.report import Finding


@rule("R401", "warning")
def effect_without_compensation(facts: Facts) -> Iterator[Finding]:
    """A node changes the world, a later one that does too can fail, and nothing undoes the first.

    ## What it does
    Looks for a node with `effect=True` and no `compensate`, after which another node with an effect may
    run that has no error handler. An error inside the pattern `saga`.

    ## Why is this bad
    When the later one fails, half of the work is done in the world and nobody takes it back.

    ## Example
        flow.add_node("charge", charge, effect=True)
        flow.add_node("ship", ship, effect=True)

    ## Use instead
        flow.add_node("charge", charge, effect=True, compensate="refund")
    """
    undoing = {n.compensate for n in facts.nodes.values()}
    acting = [n for n in facts.order if n.effect and n.name not in undoing]
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
    """A node changes the world and waits for a human: the effect is repeated.

    ## What it does
    Looks for nodes with `effect=True` and `interrupts`, unless they are `idempotent`.

    ## Why is this bad
    After an interrupt the node runs again from its first line, and so does its effect.

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
    """A node that changes the world is retried, and is not idempotent.

    ## What it does
    Looks for nodes with `effect=True` and more than one attempt, unless they are `idempotent`.

    ## Why is this bad
    An attempt may fail after it acted: the next one acts again.

    ## Example
        flow.add_node("send_mail", send_mail, effect=True, retry=RetryPolicy(max_attempts=3))

    ## Use instead
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
    """A node waits for a human, and there is no checkpointer.

    ## What it does
    Looks, when the workflow is compiled, for `interrupts` without a checkpointer, in subworkflows too.
    A subworkflow itself needs none: it takes over its parent's. `compile_part()` does not look, for a
    workflow that becomes a node of a LangGraph graph, or for a platform that brings its own checkpointer.

    ## Why is this bad
    An interrupt without a checkpoint has nothing to come back to.

    ## Example
        flow.compile()

    ## Use instead
        flow.compile(checkpointer=SqliteCheckpointer("runs.db"))
    """,
)


@rule("R405", "warning")
def remote_without_handling(facts: Facts) -> Iterator[Finding]:
    """A remote node has nothing that deals with failure.

    ## What it does
    Looks for nodes of kind `remote` without retry, fallback, breaker and error handler.

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
