"""What is known of a workflow's graph, computed once and shared by all rules."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from dalsegno.graphs.model import END, START, EdgeSpec, NodeSpec, WorkflowSpec
from dalsegno.graphs.validation.arcs import Arc, by_source, forks, takeable
from dalsegno.graphs.validation.cycles import holds_cycle
from dalsegno.graphs.validation.ways_out import WaysOut

if TYPE_CHECKING:
    from dalsegno.graphs.validation.arrivals import Starving
    from dalsegno.graphs.validation.report import Certificate
    from dalsegno.graphs.validation.states import States
    from dalsegno.graphs.validation.together import Together


class Facts:
    """The graph of one workflow, and what networkx has to say of it.

    Every property is computed at first use and kept, so that rules share each algorithm's run.
    Edges that name unknown nodes are left out here; G001 reports them. A loop with ``max=0`` can
    never be taken: it is in `arcs`, but in no graph.
    """

    def __init__(
        self,
        spec: WorkflowSpec,
        certificates: Mapping[int, Certificate | None] | None = None,
        recursive: Collection[int] = (),
        never_open: tuple[EdgeSpec, ...] = (),
        exact: bool = False,
        seconds_are_budgeted: bool = False,
    ) -> None:
        self.spec = spec
        self.exact = exact
        self.seconds_are_budgeted = seconds_are_budgeted
        self.never_open = never_open
        self._certificates = certificates or {}
        self._recursive = recursive

    @cached_property
    def nodes(self) -> Mapping[str, NodeSpec]:
        """The nodes by name."""
        return self.spec.nodes

    @cached_property
    def recursive(self) -> frozenset[str]:
        """The nodes that run a workflow which contains itself."""
        return frozenset(
            n.name for n in self.nodes.values() if n.child is not None and id(n.child) in self._recursive
        )

    def settled(self) -> Facts:
        """The facts without the ways out of loops that can never be spent, kept as `never_open`.

        Such a loop does not lead back. Where branches run side by side, another one may spend it.
        """
        closed = self.ways_out.shut(self.component_of)
        if not closed or self.parallel:
            return self
        return Facts(
            self.spec, self._certificates, self._recursive, closed, self.exact, self.seconds_are_budgeted
        )

    @cached_property
    def ways_out(self) -> WaysOut:
        """The ways out of loops."""
        return WaysOut(self.declared)

    def certificate_of(self, child: WorkflowSpec) -> Certificate | None:
        """The certificate of a subworkflow, which was checked before."""
        return self._certificates.get(id(child))

    @cached_property
    def declared(self) -> tuple[EdgeSpec, ...]:
        """The edges whose ends exist, and those to error handlers; unknown routers left out."""
        nodes = self.nodes
        written = [
            e
            for e in self.spec.edges
            if e.kind != "unknown"
            and (e.target in nodes or e.target == END)
            and all(o in nodes or o == START for o in e.origins)
        ]
        handled = {(e.source, e.target) for e in written if e.kind == "handler"}
        implied = [
            EdgeSpec(n.name, n.error_handler, kind="handler", where=n.where)
            for n in nodes.values()
            if n.error_handler is not None
            and n.error_handler in nodes
            and nodes[n.error_handler].kind == "handler"
            and (n.name, n.error_handler) not in handled
        ]
        return (*written, *implied)

    @cached_property
    def edges(self) -> tuple[EdgeSpec, ...]:
        """The edges of which a run may take each some time."""
        closed = {id(e) for e in self.never_open}
        return tuple(e for e in self.declared if id(e) not in closed) if closed else self.declared

    @cached_property
    def unknown_routers(self) -> tuple[EdgeSpec, ...]:
        """Routers that declare no targets."""
        return tuple(e for e in self.spec.edges if e.kind == "unknown")

    @cached_property
    def arcs(self) -> tuple[Arc, ...]:
        """Every step that an edge allows."""
        return tuple(Arc(o, e.target, e) for e in self.edges for o in e.origins)

    @cached_property
    def written_out(self) -> Mapping[str, Sequence[Arc]]:
        """The arcs that leave a node as they are written; absent where there are none."""
        return by_source(self.arcs)

    @cached_property
    def out(self) -> Mapping[str, Sequence[Arc]]:
        """The arcs that can be taken from a node; absent where there are none."""
        return self.written_out if len(self.live) == len(self.arcs) else by_source(self.live)

    @cached_property
    def parents(self) -> Mapping[str, str]:
        """The tree of shortest paths from START: each node reached, by the node before it.

        A join is reached by the last of its sources, and only when all of them are.
        """
        found: dict[str, str] = {START: START}
        missing: dict[int, set[str]] = {}
        level = [START]
        while level:
            following = []
            for name in level:
                for arc in self.written_out.get(name, ()):
                    target, edge = arc.target, arc.edge
                    if target in found or not takeable(edge):
                        continue
                    if edge.kind == "join":
                        awaited = missing.setdefault(id(edge), set(edge.origins))
                        awaited.discard(name)
                        if awaited:
                            continue
                    found[target] = name
                    following.append(target)
            level = following
        del found[START]
        return found

    @cached_property
    def reachable(self) -> frozenset[str]:
        """START, the nodes it reaches, and END if it does."""
        return frozenset((START, *self.parents))

    @cached_property
    def order(self) -> tuple[NodeSpec, ...]:
        """The nodes that can be reached, in the order of their declaration."""
        return tuple(n for name, n in self.nodes.items() if name in self.reachable)

    @cached_property
    def opaque(self) -> tuple[NodeSpec, ...]:
        """The nodes that run a graph which cannot be seen."""
        return tuple(n for n in self.order if n.kind == "subworkflow" and n.child is None)

    @cached_property
    def live(self) -> tuple[Arc, ...]:
        """The arcs that can be taken: not loops of no rounds, nor joins that can never fire."""
        reachable = self.reachable
        return tuple(
            a
            for a in self.arcs
            if a.source in reachable
            and takeable(a.edge)
            and (a.edge.kind != "join" or all(o in reachable for o in a.edge.origins))
        )

    @cached_property
    def graph(self) -> Any:
        """The part that can be reached, as a networkx `DiGraph`."""
        import networkx as nx

        graph: Any = nx.DiGraph()
        graph.add_nodes_from((START, *self.parents))
        graph.add_edges_from((a.source, a.target) for a in self.live)
        return graph

    @cached_property
    def free(self) -> Any:
        """`graph` without its bounded edges; the same object where there are none."""
        import networkx as nx

        if not any(a.edge.loop is not None for a in self.live):
            return self.graph
        graph: Any = nx.DiGraph()
        graph.add_nodes_from(self.graph)
        graph.add_edges_from((a.source, a.target) for a in self.live if a.edge.loop is None)
        return graph

    @cached_property
    def backwards(self) -> tuple[frozenset[str], ...]:
        """The strongly connected components of `graph`, each before all that lead to it.

        networkx finds them by Tarjan's algorithm as Nuutila improved it: a component is complete only
        when everything it leads to is.
        """
        import networkx as nx

        return tuple(frozenset(members) for members in nx.strongly_connected_components(self.graph))

    @cached_property
    def components(self) -> tuple[frozenset[str], ...]:
        """The strongly connected components of `graph` that hold a cycle."""
        return tuple(members for members in self.backwards if holds_cycle(self.graph, members))

    @cached_property
    def component_of(self) -> Mapping[str, int]:
        """The index in `components` of each node that lies on a cycle."""
        return {name: i for i, members in enumerate(self.components) for name in members}

    @cached_property
    def endless(self) -> tuple[frozenset[str], ...]:
        """The strongly connected components of `free` that hold a cycle: what may repeat for ever."""
        if self.free is self.graph:
            return self.components
        if self.topological:
            return ()
        import networkx as nx

        found = (frozenset(members) for members in nx.strongly_connected_components(self.free))
        return tuple(members for members in found if holds_cycle(self.free, members))

    @cached_property
    def topological(self) -> tuple[str, ...]:
        """The nodes of `free` so that every edge leads forward; empty where it has a cycle."""
        import networkx as nx

        try:
            return tuple(nx.topological_sort(self.free))
        except nx.NetworkXUnfeasible:
            return ()

    @cached_property
    def place(self) -> Mapping[str, int]:
        """The place of each node in `topological`."""
        return {name: i for i, name in enumerate(self.topological)}

    @cached_property
    def parallel(self) -> bool:
        """Whether two nodes may ever run in the same superstep."""
        return any(forks(arcs, self.spec.exact_choices) for arcs in self.out.values())

    @cached_property
    def certain(self) -> frozenset[str]:
        """START and the nodes that every run executes, unless a node without a handler fails."""
        found = {START}
        level = [START]
        missing: dict[int, set[str]] = {}
        while level:
            arcs = self.out.get(level.pop(), ())
            if any(a.edge.kind == "handler" for a in arcs):
                continue
            for arc in arcs:
                edge = arc.edge
                if edge.kind == "join":
                    missing.setdefault(id(edge), set(edge.origins)).discard(arc.source)
                    if missing[id(edge)]:
                        continue
                elif edge.kind != "static":
                    continue
                if edge.target not in found:
                    found.add(edge.target)
                    level.append(edge.target)
        return frozenset(found)

    @cached_property
    def sent_to(self) -> frozenset[str]:
        """The nodes that a fan-out sends to."""
        return frozenset(a.target for a in self.live if a.edge.fans_out)

    @cached_property
    def beside_deferred(self) -> frozenset[str]:
        """The nodes that may be sent to in a superstep in which a deferred node runs that had waited."""
        from dalsegno.graphs.validation.beside import beside_deferred

        return beside_deferred(self)

    @cached_property
    def ends(self) -> frozenset[str]:
        """Where a run can end: END, nodes that nothing leaves, and what a router does not declare."""
        opaque = {e.source for e in self.unknown_routers}
        stops = {
            n.name
            for n in self.order
            if n.name in opaque or all(a.edge.kind == "handler" for a in self.written_out.get(n.name, ()))
        }
        return frozenset(stops | ({END} & self.reachable))

    @cached_property
    def depth(self) -> Mapping[str, int]:
        """The earliest superstep in which a node can run: its distance from START."""
        found = {START: 0}
        for name, before in self.parents.items():
            found[name] = found[before] + 1
        return found

    @cached_property
    def starving(self) -> Mapping[int, Starving | None]:
        """The joins by their id that may starve; None where that is not decided."""
        from dalsegno.graphs.validation.arrivals import starving_joins

        return starving_joins(self)

    @cached_property
    def visited(self) -> frozenset[str]:
        """START and the nodes that some run surely comes to."""
        from dalsegno.graphs.validation.visits import visited

        return visited(self)

    @cached_property
    def together(self) -> Together:
        """Which nodes can run in the same superstep."""
        from dalsegno.graphs.validation.together import together

        return together(self)

    @cached_property
    def states(self) -> States | None:
        """Every state of every run, where that is asked for and can be decided."""
        return self._explored[0]

    @property
    def undecided(self) -> bool:
        """Whether every state was to be visited, and there are too many of them."""
        return not self._explored[1]

    @cached_property
    def _explored(self) -> tuple[States | None, bool]:
        if not self.exact or self.endless:
            return None, True
        from dalsegno.graphs.validation.states import explore

        return explore(self)

    def writes_of(self, name: str) -> frozenset[str] | None:
        """The state keys that a node writes; None where that is not known."""
        node = self.nodes[name]
        if node.writes is not None or node.child is None:
            return node.writes
        if node.outputs is not None:
            return frozenset(node.outputs)
        return (node.child.outputs or frozenset(node.child.state)) & self.spec.state.keys()

    def reads_of(self, name: str) -> frozenset[str] | None:
        """The state keys that a node reads; None where that is not known."""
        node = self.nodes[name]
        if node.reads is not None or node.child is None:
            return node.reads
        if node.inputs is not None:
            return frozenset(node.inputs.values())
        return (node.child.inputs or frozenset(node.child.state)) & self.spec.state.keys()

    @cached_property
    def rank(self) -> Mapping[str, int]:
        """How early each node that can be reached is reached."""
        return {name: i for i, name in enumerate((START, *self.parents))}

    def leading_to(self, targets: Iterable[str]) -> frozenset[str]:
        """The nodes that reach one of `targets`, these among them."""
        found = set(targets)
        level = list(found)
        while level:
            for name in self.graph.predecessors(level.pop()):
                if name not in found:
                    found.add(name)
                    level.append(name)
        return frozenset(found)

    def path_to(self, name: str) -> tuple[str, ...]:
        """The shortest path from START to a node that can be reached."""
        path = [name]
        while path[-1] != START:
            path.append(self.parents[path[-1]])
        return tuple(reversed(path))
