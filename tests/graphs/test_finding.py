"""The graphs below a folder are found; what cannot hold one is not even imported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from dalsegno import Workflow, validate
from dalsegno.errors import TargetNotLoaded
from dalsegno.graphs.finding import graphs_in
from dalsegno.graphs.loading import load_target

STATE = """
from typing import TypedDict
class State(TypedDict, total=False):
    x: int
def step(state: State) -> State:
    return {}
"""
FLOW = (
    STATE
    + """
from dalsegno import END, START, Workflow
flow = Workflow("flow", State)
flow.add_node("step", step).add_edge(START, "step").add_edge("step", END)
"""
)
PLAIN = (
    STATE
    + """
from langgraph.graph import END, START, StateGraph
builder = StateGraph(State)
builder.add_node("step", step)
builder.add_edge(START, "step")
builder.add_edge("step", END)
graph = builder.compile()
same = graph
_hidden = builder.compile()
"""
)
BOOM = "raise RuntimeError('imported')\n"


def put(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_every_graph_below_a_folder_is_found_in_the_order_of_files(tmp_path: Path) -> None:
    put(tmp_path, {"b_flow.py": FLOW, "deeper/a_plain.py": PLAIN})
    found = graphs_in(tmp_path)
    assert found.failures == ()
    assert found.targets == [f"{tmp_path}/b_flow.py:flow", f"{tmp_path}/deeper/a_plain.py:graph"]
    assert isinstance(found.graphs[0].graph, Workflow)
    assert all(validate(graph.graph).ok for graph in found.graphs)


def test_a_target_that_was_found_is_loaded_again_as_the_same_graph(tmp_path: Path) -> None:
    put(tmp_path, {"one_flow.py": FLOW})
    (found,) = graphs_in(tmp_path).graphs
    assert load_target(found.target).graph is found.graph


def test_one_file_is_looked_at_as_a_folder_with_one_file(tmp_path: Path) -> None:
    put(tmp_path, {"single_flow.py": FLOW})
    assert graphs_in(tmp_path / "single_flow.py").targets == [f"{tmp_path}/single_flow.py:flow"]


def test_a_builder_its_compiled_graph_and_other_names_for_it_are_one_graph(tmp_path: Path) -> None:
    put(tmp_path, {"plain_graph.py": PLAIN})
    assert graphs_in(tmp_path).targets == [f"{tmp_path}/plain_graph.py:graph"]


def test_a_graph_is_found_where_it_is_made_not_where_it_is_imported(tmp_path: Path) -> None:
    user = "import langgraph\nfrom made_here import flow\nother = str(flow)\n"
    put(tmp_path, {"made_here.py": FLOW, "used_here.py": user})
    assert graphs_in(tmp_path).targets == [f"{tmp_path}/made_here.py:flow"]


@pytest.mark.parametrize(
    "text",
    [
        BOOM,
        "# about dalsegno and langgraph\n" + BOOM,
        "import langgraph\n" + BOOM,
        "from langgraph.graph import StateGraph\ndef make():\n    graph = StateGraph(dict)\n" + BOOM,
        "import dalsegno\nif __name__ == '__main__':\n    flow = dalsegno.Workflow('x', dict)\n" + BOOM,
        "import dalsegno\n_flow = dict()\n" + BOOM,
    ],
    ids=["no import", "a comment", "no name", "in a function", "main program", "private"],
)
def test_a_file_that_can_hold_no_graph_is_not_imported(tmp_path: Path, text: str) -> None:
    put(tmp_path, {"quiet.py": text})
    found = graphs_in(tmp_path)
    assert (found.graphs, found.failures) == ((), ())


@pytest.mark.parametrize(
    "folder", [".venv", "node_modules", "__pycache__", "env/lib/site-packages", ".git"], ids=str
)
def test_hidden_folders_and_installed_packages_are_left_out(tmp_path: Path, folder: str) -> None:
    put(tmp_path, {f"{folder}/flow.py": FLOW + BOOM, "env/pyvenv.cfg": "", "env/more.py": FLOW + BOOM})
    found = graphs_in(tmp_path)
    assert (found.graphs, found.failures) == ((), ())


def test_a_file_that_fails_is_reported_and_the_others_are_found(tmp_path: Path) -> None:
    put(tmp_path, {"a_broken.py": FLOW + "\nimport not_there_at_all\n", "b_works.py": FLOW})
    found = graphs_in(tmp_path)
    assert found.targets == [f"{tmp_path}/b_works.py:flow"]
    (failure,) = found.failures
    assert failure.reason == "import error"
    assert "a_broken.py" in str(failure)
    assert "not_there_at_all" in str(failure)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"import dalsegno\nflow = Workflow(\n", "cannot be read"),
        (b"import dalsegno\nflow = '\xff'()\n", "cannot be read"),
        (b"import dalsegno\nflow = x()\n\x00", "cannot be read"),
    ],
    ids=["syntax", "encoding", "null"],
)
def test_a_file_that_is_no_python_is_reported(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "bad.py").write_bytes(content)
    (failure,) = graphs_in(tmp_path).failures
    assert said in str(failure)
    assert "bad.py" in str(failure)


def test_a_module_that_ends_the_program_is_reported(tmp_path: Path) -> None:
    put(tmp_path, {"ends.py": FLOW + "\nraise SystemExit(3)\n"})
    (failure,) = graphs_in(tmp_path).failures
    assert "SystemExit" in str(failure)


def test_files_of_a_package_are_imported_under_their_own_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = FLOW.replace("flow = Workflow", "from .names import NAME\nflow = Workflow").replace(
        '"flow"', "NAME"
    )
    put(
        tmp_path,
        {"shop_pkg/__init__.py": "", "shop_pkg/names.py": "NAME = 'orders'\n", "shop_pkg/orders.py": shared},
    )
    monkeypatch.chdir(tmp_path)
    found = graphs_in("shop_pkg")
    assert found.failures == ()
    assert found.targets == ["shop_pkg.orders:flow"]
    assert found.graphs[0].graph.name == "orders"


def test_a_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TargetNotLoaded, match="does not exist") as caught:
        graphs_in(tmp_path / "nowhere")
    assert caught.value.reason == "no file"


def test_a_folder_without_graphs_gives_nothing(tmp_path: Path) -> None:
    found = graphs_in(tmp_path)
    assert (found.targets, found.failures) == ([], ())


def test_the_pre_commit_hook_checks_python_files() -> None:
    file = Path(__file__).parents[2] / ".pre-commit-hooks.yaml"
    (hook,) = yaml.safe_load(file.read_text())
    assert hook["id"] == "dalsegno-check"
    assert hook["entry"] == "dalsegno check"
    assert hook["language"] == "python"
    assert hook["types"] == ["python"]


def test_a_document_is_found_however_it_is_written(tmp_path: Path) -> None:
    document = {"name": "a", "steps": [{"name": "s", "agent_calls": [{"function": "builtins:len"}]}]}
    block = yaml.safe_dump(document, sort_keys=False)
    indented = "".join(f"  {line}\n" for line in block.splitlines())
    texts = {
        "block.yaml": block,
        "flow.yaml": yaml.safe_dump(document, default_flow_style=True),
        "indented.yaml": f"---\n{indented}",
        "line.json": json.dumps(document),
        "lines.json": json.dumps(document, indent="\t"),
    }
    others = {
        "ci.yml": {
            "on": ["push"],
            "jobs": {"test": {"strategy": {"matrix": {}}, "steps": [{"run": "make"}]}},
        },
        "package.json": {"name": "a", "scripts": {"steps": "strategy"}},
    }
    for name, text in (*texts.items(), *((name, json.dumps(data)) for name, data in others.items())):
        (tmp_path / name).write_text(text)
    found = graphs_in(tmp_path)
    assert found.targets == [f"{tmp_path}/{name}" for name in texts]
    assert not found.failures
    (tmp_path / "latin.yaml").write_bytes(f"description: caf\xe9\n{block}".encode("latin-1"))
    (failure,) = graphs_in(tmp_path).failures
    assert "it looks like Latin-1" in str(failure)
