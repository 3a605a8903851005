"""A workflow as networkx knows graphs: for every algorithm that is not here."""

from __future__ import annotations

from typing import TypedDict

import networkx as nx

from dalsegno import END, START, Loop, Workflow


class State(TypedDict, total=False):
    x: int


def step(state: State) -> State:
    return {}


def made() -> Workflow:
    flow = Workflow("article", State)
    for name in ("plan", "law", "tax", "write", "review"):
        flow.add_node(name, step)
    flow.add_edge(START, "plan").add_edge("plan", "law").add_edge("plan", "tax")
    flow.add_edge(["law", "tax"], "write").add_edge("write", "review")
    again = Loop("write", max=2, on_exhausted=END)
    return flow.add_conditional_edges("review", lambda state: "ok", {"again": again, "ok": END})


def test_it_has_every_node_with_what_is_known_of_it() -> None:
    graph, spec = made().to_networkx(), made().spec
    assert graph.name == "article"
    assert set(graph) == {START, END, *spec.nodes}
    assert {name: data["spec"].name for name, data in graph.nodes(data=True) if data} == {
        n: n for n in spec.nodes
    }


def test_it_has_every_edge_with_what_was_declared_parallel_ones_too() -> None:
    graph = made().to_networkx()
    kinds = {(s, t): sorted(d["spec"].kind for d in graph[s][t].values()) for s, t in graph.edges()}
    assert kinds["law", "write"] == kinds["tax", "write"] == ["join"]
    assert kinds["review", END] == ["choice", "choice"]  # the answer, and the way out of the loop
    assert [d["spec"].loop for d in graph["review"]["write"].values()] == [2]


def test_the_algorithms_of_networkx_run_on_it() -> None:
    graph = made().to_networkx()
    assert nx.shortest_path_length(graph, START, END) == 5
    assert list(nx.simple_cycles(nx.DiGraph(graph))) in ([["write", "review"]], [["review", "write"]])
    free = nx.DiGraph((s, t) for s, t, d in graph.edges(data=True) if d["spec"].loop is None)
    assert nx.is_directed_acyclic_graph(free)
