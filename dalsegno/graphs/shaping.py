"""Structure and schema of a workflow as JSON, and the hash of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from dalsegno.errors import DefinitionError
from dalsegno.nodes.paths import coded

if TYPE_CHECKING:
    from dalsegno.graphs.model import NodeSpec, WorkflowSpec

MOST_TEXT = 4_000_000
"""Characters that the subworkflows of a workflow have in what its fingerprint is made of. Where they would have more
(one that stands twice at each of 20 levels stands a million times) each is written as its own fingerprint."""


DEEPEST = 20
"""Levels of subworkflows that are looked into by their places: one that contains itself has no last one."""


def levels_in(spec: WorkflowSpec, prefix: str = "", depth: int = 0) -> Iterator[tuple[WorkflowSpec, str]]:
    """A workflow and the subworkflows in it, each with what stands before the names of its nodes in their places."""
    yield spec, prefix
    for node in spec.nodes.values():
        if node.child is not None and depth < DEEPEST:
            yield from levels_in(node.child, f"{prefix}{coded(node.name)}/", depth + 1)


def shape_of(spec: WorkflowSpec) -> dict[str, Any]:
    """The shape of a workflow: name, nodes with the shapes of their subworkflows, edges, and state.

    A subworkflow that stands in several places is one and the same dictionary in all of them.

    Raises
    ------
    DefinitionError
        It contains itself.
    """
    shapes: dict[int, dict[str, Any]] = {}
    for each in _inside_out(spec):
        shapes[id(each)] = {
            "name": each.name,
            "nodes": {
                node.name: {
                    **_plain(node),
                    "child": shapes[id(node.child)] if node.child is not None else None,
                }
                for node in each.nodes.values()
            },
            **_rest(each),
        }
    return shapes[id(spec)]


def fingerprint_of(spec: WorkflowSpec) -> str:
    """The hash of a workflow's shape: 16 hexadecimal digits.

    It is that of the shape's JSON with sorted keys, which is put together from the texts of its parts here, so that
    what stands in several places is written once.

    Raises
    ------
    DefinitionError
        It contains itself.
    """
    texts: dict[int, str] = {}
    plain: dict[tuple[str, bool], str] = {}
    for each in _inside_out(spec):
        nodes = {node.name: node for node in each.nodes.values()}
        inner = {name: texts[id(node.child)] if node.child else "null" for name, node in nodes.items()}
        if sum(map(len, inner.values())) > MOST_TEXT:
            short = {text: _dumped({"fingerprint": _hash(text)}) for text in {*inner.values()} - {"null"}}
            inner = {name: short.get(text, text) for name, text in inner.items()}
        rest = _rest(each)
        written = ",".join(
            f"{_dumped(name)}:{_written(node, inner[name], plain)}" for name, node in sorted(nodes.items())
        )
        texts[id(each)] = (
            f'{{"edges":{_dumped(rest["edges"])},"name":{_dumped(each.name)},"nodes":{{{written}}},'
            f'"state":{_dumped(rest["state"])}}}'
        )
    return _hash(texts[id(spec)])


def _written(node: NodeSpec, child: str, plain: dict[tuple[str, bool], str]) -> str:
    """A node as JSON; `plain` keeps what is written of those without mappings, which most are."""
    if node.inputs is not None or node.outputs is not None:
        text = _dumped(_plain(node))
    else:
        key = node.kind, node.defer
        text = plain.get(key) or plain.setdefault(key, _dumped(_plain(node)))
    return f'{{"child":{child},{text[1:]}'


def _plain(node: NodeSpec) -> dict[str, Any]:
    """What is kept of a node beside its subworkflow; every key comes after ``"child"``."""
    return {
        "kind": node.kind,
        "defer": node.defer,
        "inputs": dict(node.inputs) if node.inputs is not None else None,
        "outputs": dict(node.outputs) if node.outputs is not None else None,
    }


def _rest(spec: WorkflowSpec) -> dict[str, Any]:
    edges = sorted(
        (
            [e.kind, sorted(e.origins), e.target, e.router, e.label, e.loop, e.each, e.many]
            for e in spec.edges
        ),
        key=repr,
    )
    state = {k.name: [k.type, k.reducer, *(["secret"] if k.secret else [])] for k in spec.state.values()}
    return {"edges": edges, "state": state}


def _inside_out(spec: WorkflowSpec) -> Iterator[WorkflowSpec]:
    """A workflow and all in it, each once and after those that it contains; without recursion, for any depth."""
    done: set[int] = set()
    open_: dict[int, Iterator[WorkflowSpec]] = {id(spec): _children(spec)}
    stack = [spec]
    while stack:
        child = next(open_[id(stack[-1])], None)
        if child is None:
            done.add(id(stack[-1]))
            del open_[id(stack[-1])]
            yield stack.pop()
        elif id(child) in open_:
            raise DefinitionError(f"workflow {child.name!r} contains itself, so that it would never end.")
        elif id(child) not in done:
            open_[id(child)] = _children(child)
            stack.append(child)


def _children(spec: WorkflowSpec) -> Iterator[WorkflowSpec]:
    return (node.child for node in spec.nodes.values() if node.child is not None)


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
_dumped = _ENCODER.encode


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
