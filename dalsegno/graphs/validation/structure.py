"""Rules on the shape of the graph: names, targets, reachability, ends (G)."""

from __future__ import annotations

from collections.abc import Iterator

from dalsegno.errors import did_you_mean
from dalsegno.graphs.model import END, START, EdgeSpec
from dalsegno.graphs.validation.facts import Facts
from dalsegno.graphs.validation.registry import finding, rule, shown
from dalsegno.graphs.validation.report import Finding

ON_ERROR = "on error"
"""The label of an ``unknown`` edge that an error handler takes."""


@rule("G001", "error", voids=True, needed=True)
def unknown_node(facts: Facts) -> Iterator[Finding]:
    """An edge names a node that does not exist.

    ## What it does
    Checks that both ends of every edge are nodes, and that every `compensate=` names a node. Also reports an edge
    into START or out of END.

    ## Why is this bad
    LangGraph drops a step to an unknown node. The run ends there, and looks successful.

    ## Example
        flow.add_edge("plan", "serch")

    ## Use instead
        flow.add_edge("plan", "search")
    """
    nodes = facts.nodes
    for edge in facts.spec.edges:
        for name in _unknown_ends(facts, edge):
            sources = shown(edge.source)
            if edge.sources:
                sources = f"[{', '.join(map(shown, edge.sources))}]"
            ends = f"{sources} → {shown(edge.target)}" if edge.target else sources
            if name == START:
                message, fix = f"edge {ends}: nothing may lead to START.", "name a node"
            elif name == END:
                message, fix = f"edge {ends}: nothing may leave END.", "name a node"
            else:
                end = "target" if name == edge.target else "source"
                known = did_you_mean(name, nodes) or f". Add it, or rename the {end}."
                fix = "rename"
                if edge.kind == "command" and name == edge.target and edge.label in (*nodes, END):
                    fix = f'{{"{edge.label}": "{name}"}}' if edge.label != END else f'{{END: "{name}"}}'
                    known = f". Destinations are {{node: label}}; did you mean {fix}?"
                if name in _CONSTANTS:
                    known, fix = f". Write {name} without quotes: it is a constant.", name
                message = f"edge {ends}: no node `{name}`{known}"
            path = (edge.source, edge.target) if edge.target else (edge.source,)
            yield finding("G001", message, path=path, where=edge.where, fix=fix)
    for node in nodes.values():
        if node.compensate is not None and node.compensate not in nodes:
            known = did_you_mean(node.compensate, nodes) or ". Add it, or rename it here."
            message = f"the compensation of `{node.name}`: no node `{node.compensate}`{known}"
            yield finding("G001", message, path=(node.name,), where=node.where, fix="rename")


_CONSTANTS = ("START", "END")
"""Names that are written in quotes by mistake."""


def _unknown_ends(facts: Facts, edge: EdgeSpec) -> Iterator[str]:
    for origin in edge.origins:
        if origin not in facts.nodes and origin != START:
            yield origin
    if edge.kind != "unknown" and edge.target not in facts.nodes and edge.target != END:
        yield edge.target


@rule("G002", "error", voids=True, needed=True)
def undeclared_targets(facts: Facts) -> Iterator[Finding]:
    """A router declares no targets.

    ## What it does
    Checks that every router says where it may go, and so does every node that returns a `Command`.

    ## Why is this bad
    Nothing can be proved about a graph whose edges are not known. LangGraph itself ends the run silently
    when a router names a node that does not exist.

    ## Example
        flow.add_conditional_edges("plan", route)

    ## Use instead
        flow.add_conditional_edges("plan", route, {"more": "search", "done": END})
    """
    for edge in facts.unknown_routers:
        if edge.source not in facts.nodes and edge.source != START:
            continue
        name = shown(edge.source)
        if edge.router is None and edge.label == ON_ERROR:
            message = (
                f"the error handler of `{name}` returns a `Command` but declares no targets. "
                "Use `-> Command[Literal[...]]`."
            )
            fix = "`-> Command[Literal[...]]`"
        elif edge.router is None:
            message = (
                f"`{name}` returns a `Command` but declares no targets. "
                "Use `destinations=` or `-> Command[Literal[...]]`."
            )
            fix = "`destinations=` or `-> Command[Literal[...]]`"
        elif edge.fans_out:
            message = (
                f"the router of `{name}` sends to nodes that it does not declare. "
                "Use a list of the nodes it sends to as path_map."
            )
            fix = "a list of the nodes it sends to as path_map"
        else:
            message = (
                f"the router of `{name}` declares no targets. "
                "Use a mapping, a list, or a `Literal` as its return type."
            )
            fix = "mapping, list or `Literal`"
        yield finding("G002", message, path=(edge.source,), where=edge.where, fix=fix)


@rule("G003", "error")
def unreachable(facts: Facts) -> Iterator[Finding]:
    """A node cannot be reached from START.

    ## What it does
    Follows every edge from START, including loops that can be taken at least once. A node that only compensates
    another one needs no edge. The rule is silent while some router declares no targets (G002), because that
    router may lead anywhere.

    ## Why is this bad
    The node never runs, whatever the input is. Most often, an edge was forgotten.

    ## Example
        flow.add_node("audit", audit)     # and no edge to it

    ## Use instead
        flow.add_edge("pay", "audit")
    """
    if any(e.source in facts.reachable for e in facts.unknown_routers):
        return
    if len(facts.reachable) == 1:
        message = "START leads nowhere: no node can run. Use add_edge(START, ...)."
        yield finding("G003", message, path=(START,), where=facts.spec.where, fix="add an edge from START")
        return
    undoing = {n.compensate for n in facts.order}
    for node in facts.nodes.values():
        if node.name not in facts.reachable and node.name not in undoing:
            message = f"`{node.name}` cannot be reached from START. Add an edge to it, or delete it."
            yield finding(
                "G003", message, path=(node.name,), where=node.where, fix="add an edge or delete the node"
            )


@rule("G004", "warning")
def end_without_edge(facts: Facts) -> Iterator[Finding]:
    """A node ends the run without an edge to END.

    ## What it does
    Looks for nodes that no edge leaves. Error handlers are left to G006.

    ## Why is this bad
    It looks the same as a forgotten edge. An edge to END says that the end is meant.

    ## Example
        flow.add_edge("write", "notify")     # and nothing after `notify`

    ## Use instead
        flow.add_edge("notify", END)
    """
    handlers = {n.error_handler for n in facts.order} | {n.compensate for n in facts.order}
    opaque = {e.source for e in facts.unknown_routers}
    # An edge to nowhere is found by G001; what it stands for is no end.
    misspelt = {o for e in facts.spec.edges for o in e.origins if any(_unknown_ends(facts, e))}
    left_out = opaque | misspelt | handlers
    for node in facts.order:
        if node.name in left_out or node.kind == "handler":
            continue
        if all(a.edge.kind == "handler" for a in facts.written_out.get(node.name, ())):
            message = f'`{node.name}` ends the run without an edge to END. Use add_edge("{node.name}", END).'
            yield finding(
                "G004", message, path=(node.name,), where=node.where, fix=f'add_edge("{node.name}", END)'
            )


@rule("G005", "warning")
def static_edge_and_goto(facts: Facts) -> Iterator[Finding]:
    """A node has a static edge beside its own destinations: both are followed.

    ## What it does
    Looks for nodes that declare destinations for a `Command` and also have a static edge.

    ## Why is this bad
    A `Command(goto=...)` does not replace the static edge: both targets run. `goto=END` does not stop the
    static one either.

    ## Example
        flow.add_node("route", route, destinations=("fix", END))
        flow.add_edge("route", "publish")

    ## Use instead
        flow.add_node("route", route, destinations=("fix", "publish", END))
    """
    for node in facts.order:
        arcs = facts.written_out.get(node.name, ())
        if len(arcs) < 2:
            continue
        static = next((a for a in arcs if a.edge.kind == "static"), None)
        goto = next((a for a in arcs if a.edge.kind == "command"), None)
        if static and goto:
            message = (
                f"`{node.name}` has a static edge to `{shown(static.target)}` and a goto to "
                f"`{shown(goto.target)}`: both run. Keep one."
            )
            yield finding(
                "G005",
                message,
                path=(node.name, static.target),
                where=static.edge.where or node.where,
                fix="keep one",
            )


@rule("G006", "error")
def handler_leads_nowhere(facts: Facts) -> Iterator[Finding]:
    """An error handler leads nowhere, so the nodes after the failed one never run.

    ## What it does
    Looks at nodes that have successors and an error handler. Checks that the handler has targets of its own.

    ## Why is this bad
    When the node fails, its handler runs in its place. Without targets the run ends there as if it had
    succeeded, and none of the node's successors runs.

    ## Example
        def sorry(state): return {"note": "not paid"}
        flow.add_node("pay", pay, error_handler=sorry)
        flow.add_edge("pay", "ship")          # after a failure `ship` never runs

    ## Use instead
        def sorry(state) -> Command[Literal["ship"]]:        # or Literal["__end__"], if that is meant
            return Command(update={"note": "not paid"}, goto="ship")
    """
    undeclared = {e.source for e in facts.unknown_routers if e.label == ON_ERROR}
    opaque = {e.source for e in facts.unknown_routers}
    for node in facts.order:
        if node.error_handler is None or node.name in undeclared:
            continue
        arcs = facts.written_out.get(node.name, ())
        ways = [a.target for a in arcs if a.edge.kind == "handler"]
        if not any(a.edge.kind != "handler" and a.target != END for a in arcs):
            continue
        # A handler may be a node of its own; else its targets are those of its node's handler edges.
        own = [w for w in ways if w in facts.nodes and facts.nodes[w].kind == "handler"]
        lost = [w for w in own if w not in opaque and not facts.written_out.get(w)]
        for handler in lost if ways else [node.error_handler]:
            message = (
                f"the error handler `{handler}` of `{node.name}` leads nowhere: after a failure the "
                f"successors of `{node.name}` never run. Give `{handler}` targets, END if that is meant."
            )
            yield finding("G006", message, path=(node.name, handler), where=node.where, fix="give it targets")
