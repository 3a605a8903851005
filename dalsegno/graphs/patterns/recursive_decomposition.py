"""Pattern 7: is it simple? Solve it; else divide it, and each part again, and combine what came of them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Literal, NotRequired

from langgraph.types import Overwrite, Send
from pydantic import Field
from typing_extensions import TypedDict

from dalsegno.graphs.model import END, MOST_TIMES, START, Each, Loop
from dalsegno.graphs.patterns.catalog import pattern
from dalsegno.graphs.patterns.counting import whole
from dalsegno.graphs.patterns.filing import filed
from dalsegno.graphs.patterns.roles import Cast, Role
from dalsegno.graphs.patterns.states import read
from dalsegno.graphs.workflow import Workflow

_SIMPLE = """Can this be done at once, without dividing it into smaller tasks of its kind?

{problem}"""
_SOLVE = "Do this, and answer with the result alone.\n\n{problem}"
_DIVIDE = """Divide this into at most {breadth} smaller tasks of its kind, which together are the whole of it.

{{problem}}"""
_COMBINE = """The task was divided. Make its result of the results of its parts, in their order.

The task: {problem}

Results: {results}"""


class Part(TypedDict):
    """A problem in the tree: what it is, and what was found of it.

    `simple` says whether it was solved at once, `parts` counts those that it was divided into, `result` is its
    solution.
    """

    problem: NotRequired[Any]
    simple: NotRequired[bool]
    parts: NotRequired[int]
    result: NotRequired[Any]


def grown(old: Mapping[str, Part] | None, new: Mapping[str, Part] | None) -> dict[str, Part]:
    """A reducer for trees: what is new of a part stands beside what was known of it.

    >>> grown({"0": {"problem": "a"}}, {"0": {"result": 1}})
    {'0': {'problem': 'a', 'result': 1}}
    """
    both = dict(old or {})
    for path, part in (new or {}).items():
        both[path] = {**both.get(path, {}), **part}
    return both


class Decomposition(TypedDict, total=False):
    """The state: extend it for roles that need more.

    - `request`: the whole problem
    - `tree`: every part by its path (``"0"`` is the whole, ``"0.1"`` its second part)
    - `problem`: what a role is sent
    - `results`: the results of the parts of that problem
    - `answer`: set at the end
    """

    request: Any
    problem: Any
    results: list[Any]
    tree: Annotated[dict[str, Part], grown]
    answer: Any


@pattern(7, bound="8 * depth + 5")
def recursive_decomposition(
    simple: Any,
    solve: Any,
    divide: Any,
    combine: Any,
    *,
    depth: int = 3,
    breadth: int = 4,
    state: Any = Decomposition,
    name: str = "recursive_decomposition",
    version: str = "1",
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Workflow:
    """Divide a problem into smaller ones of its kind until they are simple, solve those, and combine the solutions.

    When
    ----
    A problem has parts of its own kind, and nobody knows beforehand how deep they go: a document with sections, a
    task with subtasks. All parts of one level are worked on side by side.

    When not
    --------
    - One level is enough: `map_reduce`.
    - The parts are of different kinds or need each other: `planner_executor`.

    Parameters
    ----------
    simple
        ``state -> bool``: whether ``state["problem"]`` can be solved at once.
    solve
        ``state -> result``. Reads ``state["problem"]``.
    divide
        ``state -> problems``, a list. Reads ``state["problem"]``.
    combine
        ``state -> result``. Reads ``state["problem"]`` and ``state["results"]``, the results of its parts in their
        order.
    depth
        How often a part is divided again. A part at this depth is solved, simple or not.
    breadth
        The most parts of one problem.
    state
        `Decomposition` or a schema with its keys.
    options
        Keywords of `Workflow.add_node` by node: ``{"solve": {"timeout": 60}}``.

    Bound
    -----
    `begin` and the end. Five supersteps for each level but the deepest: `descend`, `simple`, `sort`, `solve` or
    `divide`, `gather`. Three for the deepest level, where every part is solved at once. Three for each level on the
    way up: `ascend`, `combine`, `combined`.

    Failure
    -------
    A problem that is divided into nothing, or into more than `breadth` parts, fails the run with `WrongAnswer`. If a
    role fails, the run fails too. It is resumed there; what was solved beside it stands.

    Source
    ------
    Divide and conquer; Khot et al., "Decomposed Prompting" (2022).

    Example
    -------
    >>> from dalsegno.graphs.patterns import recursive_decomposition
    >>> def simple(state) -> bool:
    ...     return len(state["problem"]) < 3
    >>> def solve(state) -> str:
    ...     return "".join(sorted(state["problem"]))
    >>> def divide(state) -> list[str]:
    ...     text = state["problem"]
    ...     return [text[: len(text) // 2], text[len(text) // 2 :]]
    >>> def combine(state) -> str:
    ...     return "".join(sorted("".join(state["results"])))
    >>> flow = recursive_decomposition(simple, solve, divide, combine)
    >>> given = {"request": "dalsegno"}
    >>> flow.compile().invoke(given)["answer"]
    'adeglnos'
    """
    whole("recursive_decomposition", 1, depth=depth, breadth=breadth)
    flow = Workflow(name, state, version=version)
    cast = Cast("recursive_decomposition", flow, options)
    parts = Annotated[list[Any], Field(min_length=1, max_length=breadth)]
    roles = {
        "simple": (simple, Role(name="simple", key="tree", type=bool, prompt=_SIMPLE), "simple"),
        "solve": (solve, Role(name="solve", key="tree", prompt=_SOLVE), "result"),
        "divide": (
            divide,
            Role(name="divide", key="tree", type=parts, prompt=_DIVIDE.format(breadth=breadth)),
            "parts",
        ),
        "combine": (combine, Role(name="combine", key="tree", prompt=_COMBINE), "result"),
    }
    for actor, role, what in roles.values():
        cast.add(role, actor, around=filed("tree", partial(_found, what), actor=actor), writes=("tree",))

    def begin(state: Any) -> dict[str, Any]:
        return {"tree": Overwrite({"0": {"problem": read(state, "request")}})}

    def respond(state: Any) -> dict[str, Any]:
        return {"answer": read(state, "tree")["0"]["result"]}

    cast.own("begin", begin, reads=("request",))
    cast.own("respond", respond)
    for hub in ("descend", "sort", "gather", "deepest", "ascend", "combined"):
        cast.own(hub, lambda state: None, reads=("tree",), writes=())
    # What no run can reach needs no bound of its own; a power that is never reached takes long to reckon.
    most = min(breadth ** min(depth, MOST_TIMES.bit_length()), MOST_TIMES)

    def unsolved(state: Any) -> Literal["deeper", "up", "done"]:
        tree = read(state, "tree")
        if _open(tree):
            return "deeper"
        return "up" if _ripe(tree) else "done"

    flow.add_edge(START, "begin").add_edge("begin", "descend").add_edge("respond", END)
    flow.add_conditional_edges("descend", _to_open("simple"), [Each("simple", max=most)])
    flow.add_edge("simple", "sort")
    flow.add_conditional_edges("sort", _sorted, [Each("solve", max=most), Each("divide", max=most)])
    flow.add_edge("solve", "gather").add_edge("divide", "gather")
    flow.add_conditional_edges("deepest", _to_open("solve"), [Each("solve", max=most)])
    deeper: Loop = Loop("deepest", max=1, on_exhausted="ascend")
    if depth > 1:
        deeper = Loop("descend", max=depth - 1, on_exhausted=deeper)
    flow.add_conditional_edges("gather", unsolved, {"deeper": deeper, "up": "ascend", "done": "respond"})
    flow.add_conditional_edges("ascend", _to_ripe, [Each("combine", max=most)])
    flow.add_edge("combine", "combined")
    up: str | Loop = "respond"
    if depth > 1:
        up = Loop("ascend", max=depth - 1, on_exhausted="respond")
    return flow.add_conditional_edges("combined", _rises, {"up": up, "done": "respond"})


def _open(tree: Mapping[str, Part]) -> list[str]:
    """The parts of which nothing is known yet, in their order."""
    return _in_order(path for path, part in tree.items() if "result" not in part and "parts" not in part)


def _ripe(tree: Mapping[str, Part]) -> list[str]:
    """The parts that were divided, are not combined, and whose own parts all have a result."""
    return _in_order(
        path
        for path, part in tree.items()
        if "result" not in part
        and "parts" in part
        and all("result" in tree[f"{path}.{n}"] for n in range(part["parts"]))
    )


def _in_order(paths: Any) -> list[str]:
    return sorted(paths, key=lambda path: [int(step) for step in path.split(".")])


def _to_open(node: str) -> Any:
    def to_open(state: Any) -> list[Send]:
        tree = read(state, "tree")
        return [Send(node, {"path": path, "problem": tree[path]["problem"]}) for path in _open(tree)]

    return to_open


def _sorted(state: Any) -> list[Send]:
    tree = read(state, "tree")
    return [
        Send("solve" if tree[path]["simple"] else "divide", {"path": path, "problem": tree[path]["problem"]})
        for path in _open(tree)
    ]


def _to_ripe(state: Any) -> list[Send]:
    tree = read(state, "tree")
    return [
        Send(
            "combine",
            {
                "path": path,
                "problem": tree[path]["problem"],
                "results": [tree[f"{path}.{n}"]["result"] for n in range(tree[path]["parts"])],
            },
        )
        for path in _ripe(tree)
    ]


def _rises(state: Any) -> Literal["up", "done"]:
    return "up" if _ripe(read(state, "tree")) else "done"


def _found(what: str, argument: Any, value: Any) -> dict[str, Any]:
    path = argument["path"]
    if what != "parts":
        return {"tree": {path: {what: value}}}
    below = {f"{path}.{n}": {"problem": problem} for n, problem in enumerate(value)}
    return {"tree": {path: {"parts": len(value)}, **below}}
