"""Rules on the state: who writes and who reads which key (D)."""

from __future__ import annotations

from collections.abc import Iterator

from dalsegno.errors import did_you_mean
from dalsegno.graphs.model import NodeSpec
from dalsegno.graphs.validation.facts import Facts
from dalsegno.graphs.validation.keys import is_product, path_without, possibly_missing
from dalsegno.graphs.validation.registry import finding, rule, walk_in_words
from dalsegno.graphs.validation.report import Finding


@rule("D301", "error")
def two_writers(facts: Facts) -> Iterator[Finding]:
    """Two nodes write the same key in one superstep, and the key has no reducer.

    ## What it does
    Looks for two nodes that can run in the same superstep and both declare to write a key that has no reducer.
    The target of a fan-out counts as two nodes, because its tasks run side by side. A deferred node that waited
    can only meet another one that waited, or the target of a fan-out.

    The finding is an error where some run surely brings the two together. It is a warning where that is only
    possible: after a loop, after a join that may starve, where a deferred node may meet the target of a fan-out,
    or where a decision may take one target or several (a `Command`, or a router of a plain LangGraph graph).

    ## Why is this bad
    LangGraph raises InvalidUpdateError in the middle of the run.

    ## Example
        class State(TypedDict):
            notes: list[str]

    ## Use instead
        class State(TypedDict):
            notes: Annotated[dict[str, str], operator.or_]     # each writes its own entry
    """
    single = {k.name for k in facts.spec.state.values() if k.reducer is None}
    if not single or not facts.parallel:
        return
    writes = {n.name: (facts.writes_of(n.name) or frozenset()) & single for n in facts.order}
    if not any(writes.values()):
        return
    for pair, step in facts.together.steps.items():
        a, b = pair
        for key in sorted(writes[a] & writes[b]):
            if a == b:
                message = f"`{a}` is sent to several times and writes `{key}`"
                advice = "Give it one, such as `operator.add` of lists."
            else:
                at_once = "once all else is done" if facts.nodes[a].defer else f"in superstep {step}"
                message = f"`{a}` and `{b}` both write `{key}` {at_once}"
                # One that goes by order would be found by D304.
                advice = (
                    "Give it one that takes them in any order, such as `operator.or_` of sets or mappings, or "
                    "write different keys."
                )
            yield finding(
                "D301",
                f"{message}, and `{key}` has no reducer. {advice}",
                path=(a,) if a == b else pair,
                where=facts.nodes[a].where,
                fix="reducer",
                severity="error" if pair in facts.together.sure else "warning",
            )


@rule("D302", "error")
def read_before_written(facts: Facts) -> Iterator[Finding]:
    """A node reads a key that may not be there yet.

    ## What it does
    Looks for a path from START to the node on which nothing provides the key: no node writes it, the declared
    input does not hold it, and it has no default. It also reports a key that a node declares to read and the
    state does not have.

    A node whose writes are not known is taken to write every key, and so are an error handler and a `Command` from a
    subworkflow. What a parallel branch writes counts if it is written in an earlier superstep. What a loop writes
    counts on the way out of the spent loop. Subworkflows are not looked at, because they are passed only the keys
    that are there. A node that is sent to (`Send`) reads what it was sent, and not the state. A key may be missing
    that the node's own class has a default for, or marks `NotRequired`.

    Without a declared input schema, the input may hold any key. The rule then looks only at keys that are clearly
    made for the node: other nodes write the key without reading it, and the node itself does not write it. A
    value that reaches the node only through a loop is taken for an improvement of what was there before.

    ## Why is this bad
    The first run that takes this path fails in the node, or the node finds nothing to work on.

    ## Example
        flow.add_edge(START, "review")     # reads `draft`, which `write` makes later

    ## Use instead
        flow.add_edge(START, "write")
        flow.add_edge("write", "review")
    """
    known = [*facts.spec.state]
    for node in facts.order:
        for key in sorted((node.reads or frozenset()) - facts.spec.state.keys()) if known else ():
            what = did_you_mean(key, known) or ". Add it to the state, or rename it."
            message = f"`{node.name}` reads `{key}`, which is no state key{what}"
            yield finding(
                "D302",
                message,
                path=(node.name,),
                where=node.where,
                fix=f"rename `{key}`, or add it to the state",
            )
    if not facts.topological:
        return
    declared = facts.spec.declared_inputs
    given = {k.name for k in facts.spec.state.values() if k.has_default or k.reducer is not None}
    doubtful = set(facts.spec.state) - given - (facts.spec.inputs if declared else frozenset())
    readers = [n for n in facts.order if n.reads and n.child is None]
    wanted = set[str]().union(*(n.reads or () for n in readers)) & doubtful
    if not wanted:
        return
    missing = possibly_missing(facts, sorted(wanted))
    for node in readers:
        for key in sorted(
            ((node.reads or frozenset()) - node.may_lack) & missing.get(node.name, frozenset())
        ):
            if not declared and not is_product(facts, node.name, key):
                continue
            path = path_without(facts, node.name, key)
            if path is None:
                continue
            schema = "nor in the input schema" if declared else "nor in a declared input schema"
            message = (
                f"`{node.name}` reads `{key}`, which on {walk_in_words(path)} is neither written nor "
                f"defaulted, {schema}. Write it before, or give it a default."
            )
            yield finding(
                "D302", message, path=path, where=node.where, fix="default or reorder", places=(node.name,)
            )


@rule("D303", "warning")
def never_read(facts: Facts) -> Iterator[Finding]:
    """A key is written, but never read and not part of the output.

    ## What it does
    Looks for keys that some node writes and no node reads. It needs to know all readers, so it reports only
    where the output schema is declared, the reads of every node are known, and no router decides: a router may
    read the whole state.

    ## Why is this bad
    Every checkpoint carries the value, and it hides the keys that matter.

    ## Example
        def write(state) -> Scratch: return {"tmp": ...}     # and nobody reads `tmp`

    ## Use instead
        keep the value in a local variable of the node
    """
    if not facts.spec.declared_outputs or any(a.edge.kind == "choice" for a in facts.arcs):
        return
    reads: set[str] = set(facts.spec.outputs)
    writers: dict[str, NodeSpec] = {}
    for node in facts.order:
        read = facts.reads_of(node.name)
        if read is None or facts.unknown_routers:
            return
        reads |= read
        for key in facts.writes_of(node.name) or ():
            writers.setdefault(key, node)
    for key, node in sorted(writers.items()):
        if key in facts.spec.state and key not in reads:
            message = (
                f"`{key}` is written by `{node.name}`, never read, and not in the output schema. Delete it."
            )
            yield finding(
                "D303", message, path=(node.name,), where=node.where, fix="delete", places=(key, node.name)
            )


@rule("D304", "warning")
def order_of_writers(facts: Facts) -> Iterator[Finding]:
    """Two nodes write a key in one superstep, and its reducer depends on their order.

    ## What it does
    Looks for keys that two different nodes write in the same superstep, and whose reducer is known to depend on
    the order of its arguments. The tasks of one fan-out are not reported: their results come in the order in
    which they were sent.

    ## Why is this bad
    LangGraph applies the writes in the order of the nodes' names. Renaming a node changes the result.

    ## Example
        log: Annotated[list[str], operator.add]     # written by `a` and `b` at once

    ## Use instead
        log: Annotated[dict[str, str], merge]       # by key, so that order does not matter
    """
    ordered = {k.name for k in facts.spec.state.values() if k.reducer is not None and k.ordered}
    if not ordered or not facts.parallel:
        return
    writes = {n.name: (facts.writes_of(n.name) or frozenset()) & ordered for n in facts.order}
    if not any(writes.values()):
        return
    told: set[str] = set()
    for (a, b), step in facts.together.steps.items():
        for key in sorted(writes[a] & writes[b]) if (a, b) in facts.together.sure and a != b else ():
            if key not in told:
                told.add(key)
                at_once = "once all else is done" if facts.nodes[a].defer else f"in superstep {step}"
                message = (
                    f"the reducer `{facts.spec.state[key].reducer}` of `{key}` depends on order, and `{a}` and "
                    f"`{b}` write it together {at_once}. Use a merge that does not."
                )
                yield finding(
                    "D304",
                    message,
                    path=(a, b),
                    where=facts.nodes[a].where,
                    fix="commutative merge",
                    places=(key, a, b),
                )


@rule("D305", "error")
def unmapped_key(facts: Facts) -> Iterator[Finding]:
    """A subworkflow's key is not in the parent.

    ## What it does
    Checks that `inputs=` and `outputs=` of a subworkflow name keys that exist, on both sides. Checks that each
    key of the subworkflow's declared input is passed to it, unless the key has a default or a reducer, or is
    `NotRequired`. Without these maps, parent and subworkflow must share at least one key.

    ## Why is this bad
    The subworkflow starts without the value, or its result is lost.

    ## Example
        parent.add_node("sub", child)     # the child reads `msgs`, the parent has `messages`

    ## Use instead
        parent.add_node("sub", child, inputs={"msgs": "messages"})
    """
    own = facts.spec.state
    for node in facts.order:
        child = node.child
        if child is None or not own or not child.state:
            continue
        missing: list[tuple[str, bool]] = []
        for inner, outer in (node.inputs or {}).items():
            missing += [(inner, False)] * (inner not in child.state) + [(outer, True)] * (outer not in own)
        for outer, inner in (node.outputs or {}).items():
            missing += [(inner, False)] * (inner not in child.state) + [(outer, True)] * (outer not in own)
        if child.declared_inputs:
            mapped = own.keys() if node.inputs is None else node.inputs.keys()
            needed = (child.state[k] for k in sorted(child.inputs - child.may_lack) if k in child.state)
            for key in needed:
                if key.name not in mapped and not key.has_default and key.reducer is None:
                    missing.append((key.name, True))
        for key_name, in_parent in dict.fromkeys(missing):
            side, known = ("the parent", own) if in_parent else (f"`{child.name}`", child.state)
            what = did_you_mean(key_name, known) or ". Map it with `inputs=` and `outputs=`."
            message = f"the key `{key_name}` of the subworkflow `{node.name}` is not in {side}{what}"
            yield finding("D305", message, path=(node.name,), where=node.where, fix="map the keys")
        if node.inputs is None and node.outputs is None and not own.keys() & child.state.keys():
            message = (
                f"the subworkflow `{node.name}` shares no key with the parent. "
                "Map its keys with `inputs=` and `outputs=`."
            )
            yield finding("D305", message, path=(node.name,), where=node.where, fix="map the keys")


@rule("D306", "error")
def unknown_key(facts: Facts) -> Iterator[Finding]:
    """A node returns a key that the state does not have.

    ## What it does
    Compares the keys that a node writes, by its declaration or its return annotation, with the keys of the state.

    ## Why is this bad
    LangGraph drops the value silently.

    ## Example
        class Written(TypedDict):
            titel: str
        def write(state) -> Written: return {"titel": "Rain"}

    ## Use instead
        class Written(TypedDict):
            title: str
    """
    known = [*facts.spec.state]
    for node in facts.order:
        undeclared = (k for k in sorted(node.writes or ()) if known and k not in facts.spec.state)
        for key in dict.fromkeys((*node.unknown_writes, *undeclared)):
            what = did_you_mean(key, known) or ". Add it to the state, or rename it."
            message = f"`{node.name}` returns `{key}`, which is no state key{what}"
            yield finding(
                "D306",
                message,
                path=(node.name,),
                where=node.where,
                fix=f"rename `{key}`, or add it to the state",
            )
