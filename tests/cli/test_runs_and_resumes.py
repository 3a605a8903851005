"""A run from its start to its end: exit codes, JSON, what is printed, and how it goes on."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

KEYS = [
    "run_id",
    "thread",
    "workflow",
    "status",
    "output",
    "error",
    "interrupts",
    "supersteps",
    "usage",
    "resumed_from",
]


def lines(text: str) -> list[str]:
    """Lines with the ids and times that differ from run to run made the same."""
    text = re.sub(r"\d+\.\d+ s", "0.00 s", re.sub(r"\b[0-9a-f]{8,32}\b", "ID", text))
    return [re.sub(r" {2,}", "  ", line.strip()) for line in text.splitlines()]


def test_a_completed_run_exits_0_and_says_what_came_out(dalsegno: Any) -> None:
    got = dalsegno("run", "app.py:flow", "--input", '{"topic": "rain"}', "--thread", "t1")
    assert got.code == 0
    assert lines(got.out) == [
        "✓ article completed · proved 8 · used 6 supersteps · 0.00 s",
        "topic  rain",
        "draft  rain",
        "tries  3",
        "thread  t1",
        "run  ID",
    ]


def test_progress_is_a_line_a_node_with_its_loops_against_their_bounds(dalsegno: Any) -> None:
    got = dalsegno("run", "app.py:flow", "--input", '{"topic": "rain"}', "--thread", "t1")
    assert lines(got.err) == [
        "run ID of article on thread t1, started",
        "superstep 1  write  done  0.00 s",
        "superstep 2  review  done  0.00 s  again → write 1/3",
        "superstep 3  write  done  0.00 s",
        "superstep 4  review  done  0.00 s  again → write 2/3",
        "superstep 5  write  done  0.00 s",
        "superstep 6  review  done  0.00 s  good → END",
    ]


def test_parallel_sends_share_a_line(dalsegno: Any) -> None:
    got = dalsegno("run", "app.py:sums", "--input", '{"numbers": [1, 2, 3]}', "--thread", "t1")
    assert lines(got.err)[1:] == [
        "superstep 1  split  done  0.00 s",
        "superstep 2  square ×3  done  0.00 s",
        "superstep 3  total  done  0.00 s",
    ]
    assert "squares  [1, 4, 9]" in got.out


def test_supersteps_of_a_subworkflow_stand_behind_that_of_its_node(dalsegno: Any) -> None:
    got = dalsegno("run", "app.py:outer", "--input", '{"topic": "rain"}', "--thread", "t1")
    assert lines(got.err)[1:4] == [
        "superstep 1.1  article/write  done  0.00 s",
        "superstep 1.2  article/review  done  0.00 s  again → write 1/3",
        "superstep 1.3  article/write  done  0.00 s",
    ]
    assert lines(got.err)[-1] == "superstep 1  article  done  0.00 s"
    assert len({line.index("article") for line in got.err.splitlines()[1:]}) == 1


def test_quiet_and_json_leave_stderr_empty(dalsegno: Any) -> None:
    assert dalsegno("run", "app.py:flow", "-i", '{"topic": "rain"}', "--quiet").err == ""
    assert dalsegno("run", "app.py:flow", "-i", '{"topic": "rain"}', "--json").err == ""


def test_the_json_of_a_run_is_the_contracts(dalsegno: Any) -> None:
    got = dalsegno("run", "app.py:flow", "--input", '{"topic": "rain"}', "--thread", "t1", "--json")
    document = json.loads(got.out)
    assert list(document) == KEYS
    assert {k: document[k] for k in KEYS[1:8]} == {
        "thread": "t1",
        "workflow": "article",
        "status": "completed",
        "output": {"topic": "rain", "draft": "rain", "tries": 3},
        "error": None,
        "interrupts": [],
        "supersteps": 6,
    }
    assert document["resumed_from"] is None


def test_a_failed_run_exits_1_and_shows_the_users_own_frames(dalsegno: Any, folder: Path) -> None:
    got = dalsegno("run", "app.py:flow", "--input", '{"topic": "boom"}', "--thread", "t1")
    assert got.code == 1
    frames = re.findall(r'File "([^"]+)"', got.err)
    assert frames == [str(folder / "app.py")]
    assert "superstep 2  review  failed  0.00 s  ValueError: no such topic: boom" in lines(got.err)
    assert "✗ article failed in `review`: ValueError: no such topic: boom" in got.out
    assert "go on   mend the cause, then: dalsegno resume t1" in got.out


def test_every_frame_is_shown_when_asked_for(dalsegno: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run = ("run", "app.py:flow", "--input", '{"topic": "boom"}')
    assert "langgraph" in dalsegno(*run, "--traceback").err
    monkeypatch.setenv("DALSEGNO_TRACEBACK", "1")
    assert "langgraph" in dalsegno(*run).err


def test_the_error_in_json_names_type_message_node_and_attempt(dalsegno: Any) -> None:
    got = dalsegno("run", "app.py:flow", "--input", '{"topic": "boom"}', "--json")
    assert got.code == 1
    assert json.loads(got.out)["error"] == {
        "type": "ValueError",
        "message": "no such topic: boom",
        "node": "review",
        "attempt": 1,
    }


def test_a_failed_run_goes_on_where_it_failed_once_the_cause_is_mended(dalsegno: Any, folder: Path) -> None:
    dalsegno("run", "app.py:flow", "--input", '{"topic": "boom"}', "--thread", "t1")
    app = folder / "app.py"
    app.write_text(app.read_text().replace('== "boom"', '== "bang"') + "\n# mended\n")
    __import__("sys").modules.pop("app")
    got = dalsegno("resume", "t1")
    assert got.code == 0
    assert lines(got.err)[:2] == [
        "run ID of article on thread t1, resumed",
        "the graph has changed since: the code of `review` changed",
    ]


def test_a_wait_for_a_human_exits_3_and_says_how_to_answer(dalsegno: Any) -> None:
    got = dalsegno("run", "app.py:asking", "--thread", "t1")
    assert got.code == 3
    assert lines(got.out) == [
        "‖ asking waits for a human · proved 1 · used 0 supersteps · 0.00 s",
        "ask asks  Publish?",
        "thread  t1",
        "run  ID",
        "go on  dalsegno resume --value ANSWER t1",
    ]


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        ("yes", "yes"),
        ('"yes"', "yes"),
        ("42", 42),
        ("null", None),
        ('{"ok": true}', {"ok": True}),
        ("a, b", "a, b"),
    ],
)
def test_an_answer_is_json_or_else_the_text_itself(dalsegno: Any, given: str, answer: Any) -> None:
    waiting = json.loads(dalsegno("run", "app.py:asking", "--thread", "t1", "--json").out)
    assert [(i["node"], i["value"]) for i in waiting["interrupts"]] == [("ask", "Publish?")]
    assert list(waiting["interrupts"][0]) == ["id", "node", "value", "schema"]
    got = json.loads(dalsegno("resume", "t1", "--value", given, "--json").out)
    assert list(got) == KEYS
    assert (got["status"], got["output"]["approved"]) == ("completed", answer)
    assert got["resumed_from"] is not None


def test_the_way_on_names_the_database_that_was_named(dalsegno: Any) -> None:
    got = dalsegno("run", "app.py:asking", "--thread", "my thread", "--db", "other runs.db")
    assert "dalsegno resume --db 'other runs.db' --value ANSWER 'my thread'" in got.out


def test_a_thread_may_begin_with_a_dash(dalsegno: Any) -> None:
    got = dalsegno("run", "app.py:asking", "--thread=-x")
    assert "dalsegno resume --value ANSWER -- -x" in got.out
    assert dalsegno("resume", "--value", "yes", "--", "-x").code == 0


def test_resume_finds_the_workflow_from_another_folder(
    dalsegno: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dalsegno("run", "app.py:asking", "--thread", "t1")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert dalsegno("resume", "t1", "--db", "../.dalsegno/runs.db", "--value", "yes").code == 0


def test_a_target_that_moved_is_asked_for_and_taken(dalsegno: Any, folder: Path) -> None:
    dalsegno("run", "app.py:asking", "--thread", "t1")
    (folder / "app.py").rename(folder / "moved.py")
    got = dalsegno("resume", "t1", "--value", "yes")
    assert got.code == 2
    assert "say where it is now with --target" in got.err
    assert dalsegno("resume", "t1", "--value", "yes", "--target", "moved.py:asking").code == 0


def test_a_run_from_python_needs_a_target_to_be_resumed(dalsegno: Any, folder: Path) -> None:
    from dalsegno import Runner
    from dalsegno.graphs.loading import load_target

    with Runner(load_target("app.py:asking").graph, db=folder / "runs.db") as runner:
        runner.run({}, thread="t1")
    got = dalsegno("resume", "t1", "--db", "runs.db", "--value", "yes")
    assert got.code == 2
    assert "--target path/to/file.py:name" in got.err
    again = dalsegno("resume", "t1", "--db", "runs.db", "--value", "yes", "--target", "app.py:asking")
    assert again.code == 0


def test_new_input_over_pending_work_is_refused_unless_it_is_abandoned(dalsegno: Any) -> None:
    dalsegno("run", "app.py:asking", "--thread", "t1")
    got = dalsegno("run", "app.py:asking", "--thread", "t1")
    assert got.code == 2
    assert "`--abandon`" in got.err
    assert dalsegno("run", "app.py:asking", "--thread", "t1", "--abandon").code == 3


def test_input_comes_from_a_file_or_from_stdin(
    dalsegno: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import io

    (folder / "input.json").write_text('{"topic": "snow"}')
    assert "draft   snow" in dalsegno("run", "app.py:flow", "--input", "@input.json").out
    monkeypatch.setattr("sys.stdin", io.StringIO('{"topic": "hail"}'))
    assert "draft   hail" in dalsegno("run", "app.py:flow", "--input", "-").out


def test_the_model_reaches_the_code_that_makes_the_workflow(
    dalsegno: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DALSEGNO_MODEL", "")  # restored afterwards
    app = folder / "app.py"
    app.write_text(
        app.read_text() + "\nimport os\ndef modelled(): return make(os.environ['DALSEGNO_MODEL'])\n"
    )
    got = dalsegno("run", "app.py:modelled", "--model", "acme:large", "-i", '{"topic": "rain"}', "--json")
    assert json.loads(got.out)["workflow"] == "acme:large"


def test_context_reaches_the_nodes(dalsegno: Any, folder: Path) -> None:
    (folder / "contextual.py").write_text(
        "from typing import TypedDict\nfrom langgraph.runtime import Runtime\n"
        "from dalsegno import END, START, Workflow\n"
        "class State(TypedDict, total=False):\n    who: str\n"
        "class Context(TypedDict):\n    user: str\n"
        "def ask(state: State, runtime: Runtime[Context]):\n    return {'who': runtime.context['user']}\n"
        "flow = Workflow('contextual', State, Context).add_node(ask).add_edge(START, 'ask').add_edge('ask', END)\n"
    )
    got = dalsegno("run", "contextual.py:flow", "--context", '{"user": "ada"}', "--json")
    assert json.loads(got.out)["output"] == {"who": "ada"}


def test_a_graph_of_langgraph_runs_too(dalsegno: Any) -> None:
    got = dalsegno("run", "app.py:native", "-i", '{"topic": "rain"}', "--json")
    assert got.code == 0
    assert json.loads(got.out)["output"]["draft"] == "rain"


def test_values_that_are_no_json_are_made_json(dalsegno: Any, folder: Path) -> None:
    (folder / "values.py").write_text(
        "import datetime\nfrom dataclasses import dataclass\nfrom typing import Any, TypedDict\n"
        "from langchain_core.messages import AIMessage\nfrom pydantic import BaseModel\n"
        "from dalsegno import END, START, Workflow\n"
        "@dataclass\nclass Point:\n    x: int\n"
        "class Model(BaseModel):\n    y: int\n"
        "class State(TypedDict, total=False):\n    point: Point\n    model: Model\n    when: datetime.date\n"
        "    raw: bytes\n    odd: float\n    message: AIMessage\n"
        "def fill(state: State):\n"
        "    return {'point': Point(1), 'model': Model(y=2), 'when': datetime.date(2026, 1, 2), 'raw': b'\\xff',\n"
        "            'odd': float('nan'), 'message': AIMessage('hello', id='m')}\n"
        "flow = Workflow('values', State).add_node(fill).add_edge(START, 'fill').add_edge('fill', END)\n"
    )
    got = dalsegno("run", "values.py:flow", "--json")
    output = json.loads(got.out, parse_constant=pytest.fail)["output"]
    assert output["message"]["content"] == "hello"
    del output["message"]
    assert output == {"point": {"x": 1}, "model": {"y": 2}, "when": "2026-01-02", "raw": "_w==", "odd": "NaN"}


def test_the_default_database_keeps_itself_out_of_version_control(dalsegno: Any, folder: Path) -> None:
    dalsegno("run", "app.py:flow", "-i", '{"topic": "rain"}')
    assert (folder / ".dalsegno" / ".gitignore").read_text() == "*\n"
    assert (folder / ".dalsegno" / "runs.db").is_file()


def test_the_environment_names_the_database(
    dalsegno: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DALSEGNO_DB", "named.db")
    dalsegno("run", "app.py:flow", "-i", '{"topic": "rain"}')
    assert (folder / "named.db").is_file()
    assert not (folder / ".dalsegno").exists()
    assert "article" in dalsegno("runs").out


def test_who_draws_the_screen_may_ask_what_runs_while_a_line_waits_for_it(folder: Path) -> None:
    import threading

    from dalsegno.cli.progress import Progress
    from dalsegno.cli.screen import Screen
    from dalsegno.graphs.model import NodeSpec, WorkflowSpec
    from dalsegno.runtime.events import NodeFinished, NodeStarted

    said: list[str] = []

    def write(line: str) -> None:
        asking = threading.Thread(target=lambda: said.append(progress.running_now()), daemon=True)
        asking.start()
        asking.join(10)

    spec = WorkflowSpec("w", nodes={"a": NodeSpec("a")})
    progress = Progress(spec, 3, write, Screen(__import__("sys").stderr), lambda run_id: None)
    common: dict[str, Any] = {"run_id": "r", "thread": "t", "at": 0.0, "node": "a", "superstep": 1}
    common |= {"occurrence": 1, "index": None, "attempt": 1}
    progress(NodeStarted(**common))
    progress(NodeFinished(**common, seconds=0.1))
    assert said == ["superstep 1 of at most 3"]
