"""The demo: killed at every commit and resumed, it gives the same answer and does nothing twice."""

from __future__ import annotations

import os
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from dalsegno.demo.show import QUESTION, beside, command_here, show
from dalsegno.demo.workflow import flow, library
from dalsegno.errors import CheckpointError, DefinitionError, MissingExtra
from dalsegno.testing import crash_test

RETRIED = QUESTION
REFUSED = "Who won the 1998 world cup?"


@pytest.mark.parametrize("question", [RETRIED, REFUSED])
def test_killed_at_every_commit_the_answer_is_the_same(question: str) -> None:
    assert len(library()) > 500  # indexed once, before the processes are forked
    report = crash_test(flow, {"question": question})
    report.raise_for_failures()
    assert report.kills >= 2 * 2 * 6, str(report)


def test_the_certificate_is_known_without_running_and_without_waivers() -> None:
    report = flow().validate()
    assert report.findings == ()
    certificate = report.certificate
    assert certificate is not None
    assert (certificate.supersteps, certificate.model_calls, certificate.exact) == (18, 0, True)


def test_the_demo_kills_its_process_twice_and_shows_what_was_not_done_again(tmp_path: Path) -> None:
    lines: list[str] = []
    shown = show(None, tmp_path / "demo.db", say=lines.append)
    screen = "\n".join(lines)
    assert [p["killed_in"] for p in shown["processes"]] == ["generate", "retrieve", None]
    assert len({p["pid"] for p in shown["processes"]}) == 3
    assert shown["repeated"] == []
    assert shown["result"]["status"] == "completed"
    assert shown["result"]["supersteps"] == 12
    assert shown["result"]["output"]["outcome"] == "answered"
    assert "every run ends within 18 supersteps" in screen
    assert "Done again of these: none." in screen
    assert "In flight at a kill, so started again: generate, retrieve." in screen
    assert "No language model was used." in screen
    assert re.search(r"Topics +typesmapping", screen)
    picture = ET.fromstring(Path(shown["picture"]).read_text())
    classes = [g.get("class", "") for g in picture.iter("{http://www.w3.org/2000/svg}g")]
    assert sum("node" in c.split() and "done" in c.split() for c in classes) == 7


def test_a_question_that_the_source_does_not_answer_gets_an_honest_cannot(tmp_path: Path) -> None:
    lines: list[str] = []
    shown = show(REFUSED, tmp_path / "demo.db", say=lines.append)
    assert shown["result"]["output"]["outcome"] == "cannot"
    assert "It cannot be answered from these topics" in "\n".join(lines)
    assert "(3 attempts, the widest with 40 passages)" in "\n".join(lines)


def test_a_model_without_its_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import builtins

    real = builtins.__import__

    def without_langchain(name: str, *args: object, **kwargs: object) -> object:
        if name.startswith("langchain."):
            raise ImportError(name)
        return real(name, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without_langchain)
    monkeypatch.setenv("DALSEGNO_MODEL", "openai:gpt")
    with pytest.raises(MissingExtra, match=r"dalsegno\[models\]"):
        flow()


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("nonsense", "'nonsense' names no model"),
        ("anthropic:claude", r"needs its provider's package.*pip install langchain-anthropic"),
        ("openai:gpt", r"The model 'openai:gpt' cannot be made: .*OPENAI_API_KEY"),
    ],
)
def test_a_model_that_cannot_be_made_is_told_in_a_sentence(
    model: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setenv("DALSEGNO_MODEL", model)
    with pytest.raises((MissingExtra, DefinitionError), match=said) as caught:
        flow()
    assert "Without --model" in " ".join([str(caught.value), *getattr(caught.value, "__notes__", ())])


def test_what_to_type_next_is_a_command_that_this_shell_finds(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing here"))
    monkeypatch.setattr("sys.argv", [str(tmp_path / ".venv" / "bin" / "dalsegno"), "demo"])
    assert command_here() == os.path.join(".venv", "bin", "dalsegno")
    tool = tmp_path / "bin" / "dalsegno"
    tool.parent.mkdir()
    tool.touch(0o755)
    monkeypatch.setenv("PATH", str(tool.parent))
    assert command_here() == "dalsegno"


@pytest.mark.parametrize(
    ("name", "picture"),
    [
        ("demo.db", "demo.svg"),
        ("x.svg", "x.svg.svg"),
        ("runs", "runs.svg"),
        ("two.words.db", "two.words.svg"),
    ],
)
def test_the_picture_of_the_demo_is_never_written_over_its_database(name: str, picture: str) -> None:
    assert beside(Path("there") / name, ".svg") == Path("there") / picture


def test_a_database_that_cannot_be_used_is_told_before_anything_is_run(tmp_path: Path) -> None:
    (tmp_path / "notes.db").write_text("these are notes, and no database")
    said: list[str] = []
    with pytest.raises(CheckpointError, match="is not a SQLite database"):
        show(None, tmp_path / "notes.db", say=said.append)
    assert said == []
    assert (tmp_path / "notes.db").read_text() == "these are notes, and no database"
    with pytest.raises(CheckpointError, match="cannot be made"):
        show(None, tmp_path / "notes.db" / "below a file" / "x.db", say=said.append)
    assert said == []
