"""A target on the command line leads to a graph, or the error says which step failed."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from dalsegno.errors import TargetNotLoaded
from dalsegno.graphs.loading import load_target

FLOW = """
from typing import TypedDict
from dalsegno import END, START, Workflow
class State(TypedDict, total=False):
    topic: str
def write(state: State): ...
def make(name="article"):
    return Workflow(name, State).add_node(write).add_edge(START, "write").add_edge("write", END)
"""

Files = Callable[..., Path]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    """Writes files into the current folder; the last one's path comes back."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def write(**texts: str) -> Path:
        for name, text in texts.items():
            path = tmp_path / (name.replace("__in__", "/") + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return path

    return write


def refused(target: str, reason: str) -> TargetNotLoaded:
    with pytest.raises(TargetNotLoaded) as error:
        load_target(target)
    assert error.value.reason == reason, error.value
    assert error.value.target == target
    return error.value


def test_a_file_and_a_name_lead_to_the_workflow(files: Files) -> None:
    path = files(app=FLOW + "flow = make()")
    loaded = load_target("app.py:flow")
    assert loaded.graph.name == "article"
    assert loaded.target == f"{path}:flow"


def test_the_target_that_is_kept_loads_the_same_graph_again(files: Files) -> None:
    files(app=FLOW + "flow = make()")
    loaded = load_target("app.py:flow")
    assert load_target(loaded.target).graph is loaded.graph


def test_classes_of_a_file_have_the_name_of_the_file_for_their_module(files: Files) -> None:
    files(app=FLOW + "flow = make()")
    schema = load_target("app.py:flow").graph.state_schema
    assert schema.__module__ == "app"
    assert sys.modules["app"].State is schema


def test_a_file_finds_its_neighbours_wherever_it_is_loaded_from(files: Files) -> None:
    files(inner__in__parts=FLOW, inner__in__app="from parts import make\nflow = make()")
    assert load_target("inner/app.py:flow").graph.name == "article"


def test_a_link_to_a_file_finds_the_neighbours_of_the_file_as_a_script_does(files: Files) -> None:
    files(
        one__in__parts=FLOW,
        one__in__app="from parts import make\nflow = make('one')",
        two__in__parts=FLOW,
        two__in__app="from parts import make\nflow = make('two')",
    )
    for name in ("one", "two"):
        Path(f"to_{name}").mkdir()
        Path(f"to_{name}/app.py").symlink_to(Path(f"{name}/app.py").absolute())
    assert load_target("to_one/app.py:flow").graph.name == "one"
    assert load_target("to_two/app.py:flow").graph.name == "two"


def test_two_folders_may_have_files_and_neighbours_of_the_same_name(files: Files) -> None:
    files(
        one__in__parts=FLOW,
        one__in__app="from parts import make\nflow = make('one')",
        two__in__parts=FLOW.replace('name="article"', 'name="other"'),
        two__in__app="from parts import make\nflow = make()",
    )
    assert load_target("one/app.py:flow").graph.name == "one"
    assert load_target("two/app.py:flow").graph.name == "other"
    assert load_target("one/app.py:flow").graph.name == "one"


def test_a_module_is_imported_under_its_own_name_from_the_current_folder(files: Files) -> None:
    files(loadable__in____init__="", loadable__in__flows=FLOW + "flow = make()")
    loaded = load_target("loadable.flows:flow")
    assert loaded.target == "loadable.flows:flow"
    assert loaded.graph.state_schema.__module__ == "loadable.flows"


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("flow = make()", "flow"),
        ("import types; space = types.SimpleNamespace(inner=make())", "space.inner"),
        ("", "make"),
        ("from functools import partial; other = partial(make, 'other')", "other"),
        ("graph = make().compile()", "graph"),
        (
            "from langgraph.graph import StateGraph; builder = StateGraph(State).add_node(write)"
            ".add_edge(START, 'write')",
            "builder",
        ),
    ],
    ids=["workflow", "dotted", "factory", "partial", "compiled", "StateGraph"],
)
def test_a_name_may_be(files: Files, line: str, name: str) -> None:
    files(app=FLOW + line)
    assert load_target(f"app.py:{name}").graph is not None


def test_the_only_graph_of_a_file_needs_no_name(files: Files) -> None:
    path = files(app=FLOW + "flow = make()\n_hidden = make()\nalso = flow")
    assert load_target("app.py").target == f"{path}:flow"


def test_a_builder_beside_its_compiled_graph_is_one_graph(files: Files) -> None:
    path = files(
        app=FLOW + "from langgraph.graph import StateGraph\n"
        "builder = StateGraph(State).add_node(write).add_edge(START, 'write')\ngraph = builder.compile()"
    )
    assert load_target("app.py").target == f"{path}:graph"


def test_of_several_graphs_the_error_names_each(files: Files) -> None:
    files(app=FLOW + "one = make()\ntwo = make()")
    message = str(refused("app.py", "no such name"))
    assert "app.py:one" in message
    assert "app.py:two" in message


def test_a_file_with_no_graph_says_how_to_name_a_function(files: Files) -> None:
    files(app=FLOW)
    assert "app.py:function" in str(refused("app.py", "no such name"))


@pytest.mark.parametrize(
    ("target", "reason", "said"),
    [
        ("", "bad target", "no target"),
        ("app.py:", "bad target", "no target"),
        ("app.py:a b", "bad target", "no target"),
        ("a-b:flow", "bad target", "neither a file nor the name of a module"),
        ("./notes.txt:flow", "bad target", "does not end in .py"),
        ("flow.yaml", "no file", "does not exist"),
        ("flow.json:flow", "bad target", "holds one workflow"),
        ("ap.py:flow", "no file", "did you mean `app.py`?"),
        ("inner:flow", "no such name", "has no `flow`"),
        ("./inner:flow", "no file", "is a folder"),
        ("app:flow.x", "no such name", "has no `x`"),
        ("ap:flow", "no module", "no module `ap`"),
        ("app.part:flow", "no module", "no module `app.part`"),
        ("app.flow", "no module", "did you mean `app:flow`?"),
        ("app.py:flw", "no such name", "did you mean `flow`?"),
        ("app.py:zebra", "no such name", "it has `flow`"),
        ("app.py:State", "not a workflow", "is the class State"),
        ("app.py:START", "not a workflow", "of type str"),
        ("app.py:write", "not a workflow", "needs arguments"),
        ("app.py:nothing", "not a workflow", "gave None"),
        ("app.py:later", "not a workflow", "async function"),
    ],
)
def test_what_leads_to_no_graph_says_why(files: Files, target: str, reason: str, said: str) -> None:
    path = files(
        app=FLOW + "flow = make()\ndef nothing(): ...\nasync def later(): ...\n", inner__in__other=""
    )
    (path.parent.parent / "notes.txt").write_text("")
    assert said in str(refused(target, reason))


@pytest.mark.parametrize("target", ["app.py:flow", "app:flow"])
def test_an_import_error_carries_the_users_own_traceback(files: Files, target: str) -> None:
    path = files(app="def inner():\n    return 1 / 0\n\ninner()\n")
    error = refused(target, "import error")
    assert f"{path}:2: ZeroDivisionError: division by zero." in str(error)
    frames = traceback.extract_tb(error.__cause__.__traceback__)  # type: ignore[union-attr]
    assert [(frame.filename, frame.lineno) for frame in frames] == [(str(path), 4), (str(path), 2)]


def test_a_missing_import_inside_a_module_is_an_import_error(files: Files) -> None:
    files(importing="import no_such_package")
    assert "ModuleNotFoundError: No module named 'no_such_package'" in str(
        refused("importing:flow", "import error")
    )


def test_a_syntax_error_has_its_place(files: Files) -> None:
    path = files(app="flow = 1\nflow = = 2\n")
    assert f"{path}:2: SyntaxError: invalid syntax." in str(refused("app.py:flow", "import error"))


def test_a_file_that_ends_the_program_is_an_import_error(files: Files) -> None:
    files(app="import sys\nsys.exit('usage')")
    assert '__name__ == "__main__"' in str(refused("app.py:flow", "import error"))


def test_a_file_of_a_package_says_to_name_the_module(files: Files) -> None:
    files(package__in__app="from .parts import make")
    assert "package.module:name" in str(refused("package/app.py:flow", "import error"))


@pytest.mark.parametrize("way", ["src/acme/flows/app.py", "{root}/src/acme/flows/app.py"])
def test_a_file_of_a_package_says_what_its_module_is_called(files: Files, way: str) -> None:
    within = "src__in__acme__in__"
    root = files(**{f"{within}__init__": "", f"{within}flows__in____init__": ""}).parents[3]
    files(**{f"{within}flows__in__app": "from ..common import make", f"{within}common": FLOW})
    place = way.format(root=root)
    for name in (":make", ""):
        said = str(refused(f"{place}{name}", "import error"))
        assert f"name it `acme.flows.app{name}`, from the folder `{root / 'src'}`." in said


def test_a_factory_that_fails_carries_its_traceback(files: Files) -> None:
    path = files(app=FLOW + "def broken():\n    raise OSError('no config')\n")
    error = refused("app.py:broken", "import error")
    assert "OSError: no config" in str(error)
    assert traceback.extract_tb(error.__cause__.__traceback__)[0].filename == str(path)  # type: ignore[union-attr]


def test_a_file_that_failed_is_loaded_anew_once_it_is_mended(files: Files) -> None:
    files(app="1 / 0")
    refused("app.py:flow", "import error")
    files(app=FLOW + "flow = make()")
    assert load_target("app.py:flow").graph.name == "article"


def test_a_file_never_takes_the_place_of_an_imported_module(files: Files) -> None:
    import json

    files(json=FLOW + "flow = make()")
    assert "Rename the file" in str(refused("json.py:flow", "bad target"))
    assert sys.modules["json"] is json


@pytest.mark.parametrize(
    "what", ["class Skipped(BaseException): ...\nraise Skipped('not here')", "raise GeneratorExit"]
)
def test_whatever_a_file_raises_is_an_import_error(files: Files, what: str) -> None:
    files(raising=what)
    for target in ("raising.py:flow", "raising:flow"):
        with pytest.raises(TargetNotLoaded, match=r"failed at .*raising\.py:\d") as refused:
            load_target(target)
        assert refused.value.reason == "import error"


def test_what_an_error_of_the_users_says_is_told_as_it_is(files: Files) -> None:
    files(reading="open('../no/such.csv')")
    with pytest.raises(TargetNotLoaded, match=r"'\.\./no/such\.csv'\.$"):
        load_target("reading.py:flow")


def test_a_name_that_no_file_can_have_is_told() -> None:
    with pytest.raises(TargetNotLoaded, match="can be imported"):
        load_target("x" * 300)
