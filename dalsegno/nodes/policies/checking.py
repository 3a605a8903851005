"""Which policies can stand around which node."""

from __future__ import annotations

from typing import Any

from dalsegno.errors import DefinitionError
from dalsegno.nodes.player import Player
from dalsegno.nodes.policies.stack import Policies


def check_node(name: str, where: Any, policies: Policies, *, interrupts: int, is_subworkflow: bool) -> None:
    """Refuse policies that could not hold around a node.

    Raises
    ------
    DefinitionError
        A retry of a subworkflow, or something that would answer for a human, ask one again, or lose an answer.
    """
    total = policies.timeout is not None and policies.timeout.total is not None
    if is_subworkflow and policies.retry is not None:
        raise DefinitionError(
            f"`{name}` at {where}: a subworkflow is not retried, for a second attempt would execute again what is "
            "committed. Put `retry` on the nodes inside it; a run that failed is resumed where it failed."
        )
    if is_subworkflow and total:
        raise DefinitionError(
            f"`{name}` at {where}: a subworkflow has a timeout of one attempt, and no total: timeout=seconds."
        )
    for answer in policies.fallback.answers if policies.fallback is not None else ():
        if isinstance(answer, Player) and answer.declares().get("interrupts"):
            raise DefinitionError(
                f"`{name}` at {where}: the fallback `{answer.name}` waits for a human. When the answer comes, the node "
                "is called again, and if it does not fail then, the answer is lost. Put the human into a node of its "
                "own, and lead to it with an error handler."
            )
    if not interrupts:
        return
    given = {"fallback": policies.fallback, "breaker": policies.breaker, "timeout(total)": total or None}
    for what, policy in given.items():
        if policy is not None:
            raise DefinitionError(
                f"`{name}` at {where}: `{what}` around a node that waits for a human (`interrupts={interrupts}`) would "
                "count the wait as a failure. Do the work in another node, and put it there."
            )
    if any(getattr(p, "max_elapsed", None) is not None for p in policies.retry or ()):
        raise DefinitionError(
            f"`{name}` at {where}: `max_elapsed` would count the time a human takes (`interrupts={interrupts}`). Leave "
            "it out, or do the work in another node."
        )
