"""Rules on the state: who writes and who reads which key (D)."""

from __future__ import annotations

from collections.abc import Iterator

from dalsegno.errors import did_you_mean
from dalsegno.graphs.validation.facts import Facts
from dalsegno.graphs.validation.registry import finding, rule
from dalsegno.graphs.validation.report import Finding


@rule("D306", "error")
def unknown_key(facts: Facts) -> Iterator[Finding]:
    """A node returns a key that the state does not have.

    ## What it does
    Compares what a node declares or is annotated to write with the keys of the state.

    ## Why is this bad
    LangGraph drops the value without a word.

    ## Example
        def write(state) -> Annotated[dict, "titel"]: return {"titel": "Rain"}

    ## Use instead
        return {"title": "Rain"}
    """
    known = [*facts.spec.state]
    for node in facts.order:
        undeclared = (k for k in sorted(node.writes or ()) if known and k not in facts.spec.state)
        for key in dict.fromkeys((*node.unknown_writes, *undeclared)):
            what = did_you_mean(key, known) or ". Add it to the state, or rename it."
            message = f"`{node.name}` returns `{key}`, which is no state key{what}"
            yield finding("D306", message, path=(node.name,), where=node.where, fix="rename")
