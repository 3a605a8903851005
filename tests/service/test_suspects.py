"""Runs whose process died again and again: one of them is what it dies of, and nobody knows which."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TypedDict

from dalsegno import END, START, Workflow
from dalsegno.graphs.loading import LoadedTarget
from dalsegno.service import Service, Settings
from dalsegno.service.models import StartRun
from tests.service.conftest import until


class State(TypedDict, total=False):
    topic: str


def test_they_go_on_one_at_a_time_and_all_others_beside_them(tmp_path: Path) -> None:
    under_way: set[str] = set()
    most: list[set[str]] = []
    gate = threading.Event()

    def work(state: State) -> State:
        under_way.add(state["topic"])
        most.append({topic for topic in list(under_way) if topic.startswith("suspect")})
        gate.wait(60)
        under_way.discard(state["topic"])
        return {}

    flow = Workflow("work", State).add_node("work", work).add_edge(START, "work").add_edge("work", END)
    settings = Settings(poll=0.02, recheck=0.1)
    service = Service([LoadedTarget(flow, "app.py:flow")], tmp_path / "runs.db", settings)
    topics = ["suspect 1", "suspect 2", "suspect 3", "plain 1", "plain 2"]
    ids = {
        topic: service.start(StartRun(workflow="work", input={"topic": topic}), client="ci")[0]
        for topic in topics
    }
    with service.checkpointer.database.transaction() as connection:
        for topic in topics[:3]:
            connection.execute("UPDATE requests SET deaths = 2 WHERE run_id = ?", (ids[topic],))
    service.open()
    until(lambda: len(under_way) == 3, "one of them and all others are under way")
    gate.set()
    until(lambda: all(service.run(one).status == "completed" for one in ids.values()), "all end")
    assert max(len(beside) for beside in most) == 1
    assert service.drain() == 0
    service.close()
