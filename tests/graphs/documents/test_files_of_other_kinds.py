"""A file that is no workflow is said to be none, with what to name instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from dalsegno.errors import DocumentInvalid, TargetNotLoaded
from dalsegno.graphs.definition import read_definition
from dalsegno.graphs.loading import load_target
from tests.graphs.documents.conftest import Write

AGENTS = "- {name: x, url: 'https://x.org/', skills: [check]}\n"
CALLS = "steps: [{name: s, agent_calls: [{skill: check}]}]\n"


def said_of(text: str, write: Write) -> str:
    """The only problem of a file, which stands at its begin."""
    write(text, "given.yaml")
    with pytest.raises(DocumentInvalid) as error:
        load_target("given.yaml")
    (problem,) = error.value.problems
    assert (problem.place.file, problem.place.line) == ("given.yaml", 1)
    return str(problem.message)


@pytest.mark.parametrize("text", [f"agents:\n{AGENTS}", AGENTS])
def test_of_a_registry_the_documents_are_named_that_ask_it(write: Write, text: str) -> None:
    write(f"name: loan\nregistry: given.yaml\n{CALLS}", "loan.yaml")
    write(f"name: other\nregistry: other.yaml\n{CALLS}", "other.yaml")
    assert said_of(text, write) == (
        "`given.yaml` is a registry of agents, and no workflow. Name a document that says `registry: given.yaml`, "
        "such as `loan.yaml`. `dalsegno agents up given.yaml` starts its agents."
    )


def test_a_registry_that_nobody_asks_is_told_as_well(write: Write) -> None:
    assert "Name a document that says `registry: given.yaml`. `dalsegno" in said_of(
        f"agents:\n{AGENTS}", write
    )


def test_what_is_of_another_kind_is_told_once(write: Write) -> None:
    said = said_of("apiVersion: v1\nkind: Service\nmetadata: {}\nspec: {}\ndata: {}\nx: 1\n", write)
    assert said == (
        "This is no workflow: a workflow has `name` and `steps`, and here are `apiVersion`, `kind`, `spec`, `data`, …."
    )


@pytest.mark.parametrize(
    "text", ["name: a", "name: a\nagent_calls: []", "name: a\nstpes: []", "x: 1\nregistry: agents.yaml"]
)
def test_what_was_to_be_a_workflow_is_told_what_it_lacks(write: Write, text: str) -> None:
    write(text)
    with pytest.raises(DocumentInvalid, match=r"`steps` is missing|did you mean `steps`"):
        load_target("flow.yaml")


def test_of_a_link_that_leads_nowhere_it_is_said_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "flow.yaml").symlink_to("gone.yaml")
    with pytest.raises(
        TargetNotLoaded, match=r"`.*flow\.yaml` is a link to `gone\.yaml`, which does not exist\."
    ):
        read_definition(tmp_path / "flow.yaml")


def test_a_folder_and_a_file_that_is_not_there_are_no_documents(write: Write, folder: Path) -> None:
    (folder / "many.yaml").mkdir()
    with pytest.raises(TargetNotLoaded, match=r"`many\.yaml` is a folder: name a document in it"):
        load_target("many.yaml")
    with pytest.raises(TargetNotLoaded, match=r"`mny\.yaml` does not exist; did you mean `many\.yaml`"):
        load_target("mny.yaml")


def test_a_subworkflow_may_be_named_in_capitals(write: Write) -> None:
    write("name: b\nsteps: [{name: s, agent_calls: [{function: 'work.py:inc', params: $input.x}]}]", "B.YAML")
    write(
        "name: a\ninput: {n: number}\n"
        "steps: [{name: s, strategy: subworkflow, workflow: B.YAML, params: {x: $input.n}}]"
    )
    run = load_target("flow.yaml").graph.compile()
    assert run.invoke({"n": 1})["output"] == 2
