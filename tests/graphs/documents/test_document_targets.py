"""A document stands wherever a target stands: on the command line, in a resume, in a picture."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from pydantic import TypeAdapter

from dalsegno import Runner
from dalsegno.cli import main
from dalsegno.errors import DocumentInvalid, InputInvalid, WrongAnswer
from dalsegno.graphs.definition import read_definition
from dalsegno.graphs.loading import load_target
from tests.graphs.documents.conftest import Flow, Write, call, ran

TEXT = """
name: sums
version: 1.10
input:
  n: number
  plus: {type: integer, default: 100, description: What is added.}
  note: string?
steps:
  - name: a
    agent_calls: [{function: "work.py:inc", params: $input.n}]
  - name: b
    on_error: skip
    agent_calls: [{function: "work.py:boom_over", params: $current}]
  - name: c
    agent_calls: [{function: "work.py:total", params: [$current, $input.plus]}]
"""


@pytest.fixture
def sums(write: Write) -> Path:
    return write(TEXT)


def test_two_loads_are_equal_and_have_one_fingerprint(sums: Path, tmp_path: Path) -> None:
    one, other = (load_target(str(sums)).graph for _ in range(2))
    assert one.spec.fingerprint() == other.spec.fingerprint()
    assert one.spec.shape() == other.spec.shape()
    assert {n.name: (n.code, n.where) for n in one.spec.nodes.values()} == {
        n.name: (n.code, n.where) for n in other.spec.nodes.values()
    }
    assert read_definition(sums) == read_definition(sums)
    assert (one.name, one.version) == ("sums", "1.10")
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for name in ("flow.yaml", "work.py"):
        (moved / name).write_text((tmp_path / name).read_text())
    assert load_target(str(moved / "flow.yaml")).graph.spec.fingerprint() == one.spec.fingerprint()


def test_the_target_is_found_again_from_any_folder(sums: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load_target("flow.yaml")
    assert loaded.target == str(sums)
    monkeypatch.chdir("/")
    assert load_target(loaded.target).graph.spec.shape() == loaded.graph.spec.shape()


def test_findings_are_at_the_lines_of_the_document(write: Write) -> None:
    write(
        """
        name: endless
        budget: {supersteps: 2}
        steps:
          - name: a
            agent_calls:
              - {agent_url: "https://agents.example.org/", method: work, retry: {max_attempts: 3}, effect: true}
        """
    )
    report = load_target("flow.yaml").graph.validate()
    assert {(f.code, f.where) for f in report.findings} == {("T105", "flow.yaml:1"), ("R403", "flow.yaml:6")}


def test_every_node_and_edge_is_at_a_line_of_the_document(flow: Flow) -> None:
    spec = flow(TEXT).spec
    places = [node.where for node in spec.nodes.values()] + [edge.where for edge in spec.edges]
    assert {place.file.rpartition("/")[2] for place in places if place is not None} == {"flow.yaml"}
    assert spec.nodes["c"].where is not None
    assert spec.nodes["c"].where.line == 14


def test_the_input_is_what_is_declared(sums: Path, folder: Path) -> None:
    with Runner(load_target("flow.yaml").graph, db=folder / "runs.db") as runner:
        assert runner.run({"n": 1}).output == {
            "output": 102,
            "results": {"a": 2, "b": 2, "c": 102},
            "failures": [],
        }
        assert runner.run({"n": 20.5, "plus": 1, "note": "x"}).output["results"] == {"a": 21.5, "c": 22.5}
        for given, said in [
            ({}, r"lacks the key `n` \(number\)"),
            ({"n": "1"}, "`n` does not fit.* Expected number, got str"),
            ({"n": True}, "`n` does not fit"),
            ({"n": 1, "plus": 1.5}, "`plus` does not fit"),
            ({"n": 1, "pluss": 1}, "did you mean `plus`"),
            ({"n": 1, "results": {}}, "does not have"),
        ]:
            with pytest.raises(InputInvalid, match=said):
                runner.run(given)


def test_what_an_input_takes_is_told_as_json_schema(sums: Path, folder: Path) -> None:
    with Runner(load_target("flow.yaml").graph, db=folder / "runs.db") as runner:
        told = TypeAdapter(runner.input_schema).json_schema()
    assert told["required"] == ["n"]
    assert told["properties"]["n"] == {"title": "N", "type": "number"}
    plus = told["properties"]["plus"]
    assert (plus["default"], plus["description"]) == (100, "What is added.")


def test_an_input_that_is_not_declared_has_the_keys_that_are_referred_to(flow: Flow, folder: Path) -> None:
    made = flow(
        """
        name: a
        steps:
          - {name: s, agent_calls: [{function: "work.py:total", params: [$current.x, $input.y, "${input.z?}"]}]}
          - {name: t, condition: $input.more, agent_calls: [{function: "work.py:inc", params: $current}]}
        """
    )
    assert made.spec.inputs == {"x", "y", "z", "more"}
    with Runner(made, db=folder / "runs.db") as runner:
        assert runner.run({"x": 1, "y": 2}).output["results"] == {"s": 3}
        assert runner.run({"x": 1, "y": 2, "z": 3, "more": True}).output["results"] == {"s": 6, "t": 7}
        with pytest.raises(InputInvalid, match="lacks the key `y`"):
            runner.run({"x": 1})


def test_the_current_item_of_a_map_and_the_answer_in_a_loop_are_not_the_input(
    flow: Flow, folder: Path
) -> None:
    mapped = flow(
        """
        name: a
        steps:
          - name: s
            strategy: map_reduce
            over: $current.items
            max: 3
            agent_calls: [{function: "work.py:inc", params: $current.n}]
        """
    )
    assert mapped.spec.inputs == {"items"}
    with Runner(mapped, db=folder / "runs.db") as runner:
        assert runner.run({"items": [{"n": 1}, {"n": 2}]}).output["output"] == [2, 3]
    looped = flow(
        """
        name: b
        steps:
          - name: s
            strategy: loop
            max: 3
            until: $current.enough
            steps:
              - {name: t, agent_calls: [{function: "work.py:inc", params: $current.n}]}
              - {name: u, agent_calls: [{function: "work.py:inc", params: $current.m}]}
        """
    )
    assert looped.spec.inputs == {"n"}


@pytest.mark.parametrize("target", ["beside:flow", "beside.py:flow", "beside.py", "around:flow"])
def test_a_workflow_in_python_is_found_from_the_folder_of_the_document(
    folder: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    documents, elsewhere = folder / "documents", folder / "elsewhere"
    documents.mkdir()
    elsewhere.mkdir()
    for file in (documents / "beside.py", elsewhere / "around.py"):
        file.write_text(
            "from typing import TypedDict\nfrom dalsegno import END, START, Workflow\n"
            "class State(TypedDict, total=False):\n    n: int\n"
            "def more(state: State): return {'n': state['n'] + 1}\n"
            "flow = Workflow('more', State).add_node(more).add_edge(START, 'more').add_edge('more', END)\n"
        )
    step = {"name": "s", "strategy": "subworkflow", "workflow": target, "params": {"n": "$input.n"}}
    (documents / "flow.yaml").write_text(yaml.safe_dump({"name": "a", "steps": [step]}))
    monkeypatch.chdir(elsewhere)
    assert ran(load_target("../documents/flow.yaml").graph, n=1)["output"] == {"n": 2}


def test_one_that_is_nowhere_is_told(flow: Flow) -> None:
    for target, said in (("gone:flow", "no module `gone`"), ("gone.py:flow", "gone.py` does not exist")):
        with pytest.raises(DocumentInvalid, match=said):
            flow(f"{{name: a, steps: [{{name: s, strategy: subworkflow, workflow: '{target}'}}]}}")


@pytest.mark.parametrize("way", ["$input.results", "<$current.results>", "$context.input.results"])
def test_what_is_not_declared_cannot_have_the_name_of_a_key_of_the_state_either(flow: Flow, way: str) -> None:
    with pytest.raises(DocumentInvalid, match="`results` is a key of every document's state") as raised:
        flow(
            f"{{name: a, steps: [{{name: s, agent_calls: [{{function: 'work.py:inc', params: '{way}'}}]}}]}}"
        )
    assert raised.value.problems[0].field == "steps[0].agent_calls[0].params"


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize(
    ("key", "who"), [("checkpoint_id", "LangGraph"), ("Config", "Pydantic"), ("model_config", "Pydantic")]
)
def test_a_key_of_the_input_that_others_keep_for_themselves_is_told_at_its_place(
    flow: Flow, key: str, who: str, declared: bool
) -> None:
    keys = f"input: {{{key}: string}}, " if declared else ""
    with pytest.raises(DocumentInvalid, match=f"{who} keeps the name `{key}` for itself") as raised:
        flow(
            f"{{name: a, {keys}steps: [{{name: s, agent_calls: [{{function: 'work.py:inc', params: "
            f"$input.{key}}}]}}]}}"
        )
    place = f"input.{key}" if declared else "steps[0].agent_calls[0].params"
    assert raised.value.problems[0].field == place


@pytest.mark.parametrize("way", ["$input._id", "$current._id.x", "${context.input._previous?}"])
def test_what_is_not_declared_begins_with_no_underscore(flow: Flow, way: str) -> None:
    with pytest.raises(DocumentInvalid, match="a key of the input does not begin with `_`") as raised:
        flow(
            f"{{name: a, steps: [{{name: s, agent_calls: [{{function: 'work.py:inc', params: '{way}'}}]}}]}}"
        )
    assert raised.value.problems[0].field == "steps[0].agent_calls[0].params"


def test_a_document_is_checked_run_drawn_and_resumed_on_the_command_line(
    sums: Path, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["check", "flow.yaml"]) == 0
    assert "every run ends within 5 supersteps" in capsys.readouterr().out
    assert main(["draw", "flow.yaml", "-o", "flow.svg"]) == 0
    assert "<title>c</title>" in (folder / "flow.svg").read_text() or "c" in (folder / "flow.svg").read_text()
    sums.write_text(TEXT.replace("on_error: skip", "on_error: fail"))
    assert main(["run", "flow.yaml", "--input", '{"n": 20}', "--thread", "t", "--db", "runs.db", "-q"]) == 1
    (folder / "work.py").write_text((folder / "work.py").read_text().replace("x > 10", "x > 100"))
    db = str(folder / "runs.db")
    monkeypatch.chdir("/")
    __import__("sys").modules.pop("work")
    capsys.readouterr()
    assert main(["resume", "t", "--db", db, "--json", "-q"]) == 0
    assert json.loads(capsys.readouterr().out)["output"]["output"] == 121


def test_a_changed_document_is_told_at_the_resume(
    sums: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sums.write_text(TEXT.replace("on_error: skip", "on_error: fail"))
    assert main(["run", "flow.yaml", "--input", '{"n": 20}', "--thread", "t", "--db", "runs.db", "-q"]) == 1
    sums.write_text(sums.read_text().replace("name: b\n", "name: bb\n"))
    capsys.readouterr()
    assert main(["diff", "flow.yaml", "t", "--db", "runs.db"]) in (0, 1)
    assert "bb" in capsys.readouterr().out
    assert main(["resume", "t", "--db", "runs.db", "-q"]) == 1
    assert "--rename b=bb" in capsys.readouterr().err


def test_what_a_call_is_asked_is_part_of_what_a_resume_compares(flow: Flow) -> None:
    text = """
        name: a
        input: {{n: number}}
        steps:
          - name: p
            strategy: {}
            agent_calls: [{{function: "work.py:inc", params: {}, effect: false}}]
        """
    for strategy in ("sequential", "parallel", "saga"):
        codes = []
        for params in ("$input.n", "$input.n", 7):
            node = flow(text.format(strategy, params)).spec.nodes["p"]
            codes.append(node.code if node.child is None else node.child.nodes["inc"].code)
        assert codes[0] == codes[1] != codes[2]


def test_a_bad_document_is_told_without_a_traceback(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    write("name: a\nstep: []\n")
    for command in (["check", "flow.yaml"], ["run", "flow.yaml"], ["draw", "flow.yaml", "-o", "x.svg"]):
        assert main(command) == 2
        said = capsys.readouterr().err
        assert "flow.yaml:2:1: step: There is no field `step` here; did you mean `steps`?" in said
        assert "Traceback" not in said
    write(
        "name: b\nsteps: [{name: s, agent_calls: [{function: 'work.py:inc', params: $input.n}]}]", "good.yaml"
    )
    assert main(["check", "flow.yaml", "good.yaml"]) == 2
    printed = capsys.readouterr()
    assert "did you mean `steps`" in printed.err
    assert "b: every run ends within 3 supersteps" in printed.out


def test_a_folder_is_checked_with_the_documents_in_it(
    sums: Path, write: Write, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "inner").mkdir()
    bad = {"name": "b", "steps": [{"name": "s", "agent_calls": [{"function": "work.py:inc"}], "unti": 1}]}
    (folder / "inner" / "bad.json").write_text(json.dumps(bad, indent=1))
    write("jobs: {a: {steps: []}}", "ci.yaml")
    write("steps: [{script: ls}]", "pipeline.yml")
    assert main(["check", "."]) == 2
    printed = capsys.readouterr()
    assert "sums: every run ends within 5 supersteps" in printed.out
    assert (
        "inner/bad.json:11:4: steps[0].unti: There is no field `unti` here; did you mean `until`?"
        in printed.err
    )
    assert "ci.yaml" not in printed.err + printed.out
    assert "pipeline" not in printed.err + printed.out
    (folder / "inner" / "bad.json").unlink()
    assert main(["check", "."]) == 0


def test_a_document_holds_one_workflow(sums: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "flow.yaml:sums"]) == 2
    assert "leave out `:sums`" in capsys.readouterr().err


def test_a_run_gives_the_results_of_steps_only_where_the_document_says_no_output(steps: Flow) -> None:
    made = [{"name": "a", "agent_calls": [call("inc", "$input.n")]}]
    assert ran(steps(*made), n=1) == {"output": 2, "results": {"a": 2}}
    assert ran(steps(*made, output={"got": "$context.results.a"}), n=1) == {"output": {"got": 2}}
    assert ran(steps(*made, output=None), n=1) == {"output": None}


def test_an_agent_that_cannot_be_reached_is_told_in_a_sentence(
    write: Write, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    asks = "{agent_url: 'http://127.0.0.1:1/', method: m, params: {}}"
    write(
        f"name: a\nallow_private: true\nsteps: [{{name: s, strategy: parallel, agent_calls: [{asks}, {asks}]}}]"
    )
    assert main(["run", "flow.yaml", "--quiet", "--db", "runs.db"]) == 1
    said = capsys.readouterr()
    assert "RemoteUnreachable: The remote agent" in said.out
    assert "Traceback" not in said.err


def test_a_call_of_a_pattern_stands_in_its_own_line(flow: Flow) -> None:
    made = flow(
        """
        name: a
        input: {n: number}
        steps:
          - name: saga
            strategy: saga
            agent_calls:
              - function: "work.py:inc"
                compensation: {function: "work.py:inc"}
              - {name: other, function: "work.py:inc"}
          - name: mapped
            strategy: map_reduce
            max: 2
            agent_calls:
              - {function: "work.py:inc"}
              - {function: "work.py:total"}
        """
    )

    def lines(step: str) -> dict[str, int]:
        return {name: node.where.line for name, node in made.nodes[step].action.nodes.items()}

    assert {"inc": 7, "undo inc": 8, "other": 9}.items() <= lines("saga").items()
    assert {"map": 14, "reduce": 15}.items() <= lines("mapped").items()


def test_what_a_map_goes_over_is_told_in_the_words_of_the_document(steps: Flow) -> None:
    mapped = {
        "name": "m",
        "strategy": "map_reduce",
        "max": 3,
        "over": "$input.x",
        "agent_calls": [call("inc")],
    }
    for given, said in [
        (5, "is a number, and a list is needed"),
        ([1] * 4, "has 4 elements, and `max` is 3"),
    ]:
        with pytest.raises(WrongAnswer, match=f"What step `m` goes over .* {said}"):
            ran(steps(mapped), x=given)
