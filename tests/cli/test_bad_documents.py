"""Whatever stands in a document, the command line says what is wrong and where, and does nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from dalsegno.cli import main

ROOT = Path(__file__).parents[2]
BOMB = "a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdef", "bcdefg", strict=True)
)
GOOD = """\
name: loan
steps:
  - name: check
    agent_calls:
      - function: work.py:same
        params: $input.amount
"""
CALL = "agent_calls: [{function: 'work.py:same'}]"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "work.py").write_text("def same(x):\n    return x\n")
    return tmp_path


def said_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert main(["check", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "Traceback" not in printed.err
    assert "pydantic" not in printed.err
    return printed.err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            GOOD.replace("agent_calls", "agent_call"),
            "flow.yaml:4:5: steps[0].agent_call: There is no field `agent_call` "
            "here; did you mean `agent_calls`?",
        ),
        (
            GOOD.replace("name: loan", "nam: loan"),
            "flow.yaml:1:1: nam: There is no field `nam` here; did you mean `name`?",
        ),
        (GOOD + "    timeut: 5\n", "flow.yaml:7:5: steps[0].timeut: There is no field `timeut` here"),
        (
            GOOD + "        timeut: 5\n",
            "flow.yaml:7:9: steps[0].agent_calls[0].timeut: There is no field `timeut` here; "
            "did you mean `timeout`?",
        ),
        (GOOD + "    strategy: sagaa\n", "flow.yaml:7:15: steps[0].strategy: `sagaa` is none of"),
        (
            GOOD + "    max: many\n",
            "flow.yaml:7:10: steps[0].max: A whole number is needed. This is a text, `many`.",
        ),
        (
            GOOD + "    condition: 5\n",
            'flow.yaml:7:16: steps[0].condition: A text is needed, and this is `5`: write it in quotes, "5".',
        ),
        (
            GOOD + "    condition: $input.amount = 5\n",
            "flow.yaml:7:30: steps[0].condition: `=` is written `==`.",
        ),
        (
            GOOD + "    condition: $input.amount > five\n",
            "flow.yaml:7:32: steps[0].condition: `five` is unknown here.",
        ),
        (GOOD + "allow_private: yes\n", "flow.yaml:7:16: allow_private: `yes` is a text here: write `true`."),
        (
            GOOD + "budget: {supersteps: 010}\n",
            "flow.yaml:7:22: budget.supersteps: `010` is read as different numbers",
        ),
        (
            GOOD.replace("$input.amount", "$inpt.amount"),
            "flow.yaml:6:17: steps[0].agent_calls[0].params: `$inpt` is no reference; did you mean `$input`?",
        ),
        (
            GOOD.replace("$input.amount", "Dear ${input.amount"),
            "flow.yaml:6:22: steps[0].agent_calls[0].params: The brace",
        ),
        (
            GOOD.replace("$input.amount", "$context.results.pay") + f"  - {{name: pay, {CALL}}}\n",
            "flow.yaml:6:17: steps[0].agent_calls[0].params: `pay` comes later: its result is not there yet.",
        ),
        (
            GOOD + f"  - {{name: check, {CALL}}}\n",
            "flow.yaml:7:12: steps[1].name: There is a step `check` already",
        ),
        (GOOD + "name: again\n", "flow.yaml:7:1: name: `name` is here twice: it is in line 1 already."),
        (
            "name: a\nsteps: !!python/object/apply:os.system ['touch harm']\n",
            "flow.yaml:2:8: steps: "
            "`!!python/object/apply:os.system` is a tag, and a document holds plain data only",
        ),
        (BOMB, "flow.yaml:5:11: e[1]: Aliases (`*name`) repeat more than 20,000 values all together."),
        ("a: " + "[" * 9999, "flow.yaml:1:43: This is nested deeper than 40 levels."),
        ("", "flow.yaml:1:1: The document is empty. It begins with `name:` and has `steps:`."),
        ("# later\n", "flow.yaml:1:1: The document is empty."),
        ("- name: a\n", "flow.yaml:1:1: The document is a list, and a workflow is a mapping."),
        ("name: a\nsteps: []\n", "flow.yaml:2:8: steps: It is empty, and at least one is needed."),
        ("name: a\n", "flow.yaml:1:1: `steps` is missing."),
        (
            "name: a\nsteps:\n\t- name: b\n",
            "flow.yaml:3:1: There is a tab here: YAML is indented with spaces.",
        ),
        (GOOD + "---\n" + GOOD, "flow.yaml:7:1: A second document begins here: a file holds one workflow."),
        (GOOD.replace("check", "null"), "flow.yaml:3:11: steps[0].name: A text is needed. This is empty."),
        (
            GOOD.replace("check", "2024"),
            'steps[0].name: A text is needed, and this is `2024`: write it in quotes, "2024".',
        ),
        (
            GOOD.replace("loan", "1.5"),
            "flow.yaml:1:7: name: A text is needed, and this is `1.5`: write it in quotes",
        ),
        (GOOD.replace("work.py:same", "work.py:sane"), "steps[0].agent_calls[0].function: "),
        (GOOD.replace("work.py:same", "wrok.py:same"), "did you mean `work.py`?"),
        (
            GOOD + "  - {name: b, strategy: subworkflow, workflow: flow.yml}\n",
            "flow.yaml:7:48: steps[1].workflow: `flow.yml` does not exist; did you mean `flow.yaml`?",
        ),
        (
            GOOD + "  - {name: b, strategy: subworkflow, workflow: flow.yaml}\n",
            "`flow.yaml` is this document, or contains it",
        ),
    ],
)
def test_a_bad_document_is_told_in_a_sentence_at_its_place(
    folder: Path, capsys: pytest.CaptureFixture[str], text: str, says: str
) -> None:
    (folder / "flow.yaml").write_text(text)
    assert says in said_of(capsys, "flow.yaml")
    assert not (folder / "harm").exists()


@pytest.mark.parametrize(
    "name", ["a.b", "a/b", "../a", "$a", "a b", "1a", "", "a:b", "__a__", "a|b", "x" * 101, "é", "a\\b"]
)
def test_a_name_that_cannot_be_one_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (folder / "flow.yaml").write_text(GOOD.replace("check", json.dumps(name, ensure_ascii=False)))
    said = said_of(capsys, "flow.yaml")
    assert "flow.yaml:3:11: steps[0].name: " in said
    assert "letters" in said or "It is empty." in said


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (
            b"name: caf\xe9\n",
            "flow.yaml:1:10: The byte 0xe9 here is no UTF-8. Save the file as UTF-8; it looks like Latin-1",
        ),
        (GOOD.encode("utf-16"), "flow.yaml: It is UTF-16. Save it as UTF-8."),
        (b"\x00\x01\x02", "flow.yaml: It is no text: there is a zero byte at 0."),
    ],
)
def test_a_file_that_is_no_text_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], content: bytes, says: str
) -> None:
    (folder / "flow.yaml").write_bytes(content)
    assert says in said_of(capsys, "flow.yaml")


def test_50_mb_are_refused_unread(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (folder / "flow.yaml").open("wb") as file:
        file.truncate(50_000_000)
    assert "flow.yaml: It has 50,000,000 bytes, and a document has at most 1,000,000." in said_of(
        capsys, "flow.yaml"
    )


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("nothing.yaml", "`nothing.yaml` does not exist."),
        ("flo.yaml", "does not exist; did you mean `flow.yaml`?"),
    ],
)
def test_a_document_that_is_not_there_is_told(
    folder: Path, capsys: pytest.CaptureFixture[str], target: str, says: str
) -> None:
    (folder / "flow.yaml").write_text(GOOD)
    assert says in said_of(capsys, target)


@pytest.mark.parametrize(
    "text",
    [GOOD, GOOD.replace("\n", "\r\n"), "\ufeff" + GOOD, "---\n" + GOOD + "...\n", "%YAML 1.2\n---\n" + GOOD],
)
def test_line_ends_marks_and_directives_are_no_mistake(
    folder: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    (folder / "flow.yaml").write_text(text, newline="")
    assert main(["check", "flow.yaml"]) == 0
    assert "loan: every run ends within 3 supersteps" in capsys.readouterr().out


def test_documents_that_contain_each_other_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, other in (("flow", "other"), ("other", "./flow")):
        part = f"  - {{name: part, strategy: subworkflow, workflow: {other}.yaml}}\n"
        (folder / f"{name}.yaml").write_text(GOOD + part)
    assert "other.yaml:7:51: steps[1].workflow: `./flow.yaml` is this document, or contains it" in said_of(
        capsys, "flow.yaml"
    )


def test_every_problem_is_told_at_once_and_to_programs_with_its_place(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "flow.yaml").write_text(
        GOOD.replace("$input", "$inpt") + "    condition: 5\nbudget: {seconds: -1}\n"
    )
    assert said_of(capsys, "flow.yaml").count("\n") == 3
    told = json.loads(said_of(capsys, "flow.yaml", "--json"))["error"]
    assert told["type"] == "DocumentInvalid"
    places = [
        (problem["file"], problem["line"], problem["column"], problem["field"])
        for problem in told["problems"]
    ]
    assert places == [
        ("flow.yaml", 6, 17, "steps[0].agent_calls[0].params"),
        ("flow.yaml", 7, 16, "steps[0].condition"),
        ("flow.yaml", 8, 19, "budget.seconds"),
    ]
    assert "write it in quotes" in told["problems"][1]["message"]


def test_json_is_told_as_yaml_is(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "flow.json").write_text('{"name": "a",\n "steps": [],}')
    assert "flow.json:2:14: Before `}` stands a comma: JSON has none after the last one." in said_of(
        capsys, "flow.json"
    )
    (folder / "flow.json").write_text('{"name": "a",\n "step": []}')
    assert "flow.json:2:2: step: There is no field `step` here; did you mean `steps`?" in said_of(
        capsys, "flow.json"
    )


def test_a_real_process_ends_with_the_usage_code_and_makes_nothing(folder: Path) -> None:
    (folder / "flow.yaml").write_text("name: a\nsteps: !!python/object/apply:os.system ['touch harm']\n")
    command = [sys.executable, "-m", "dalsegno", "run", "flow.yaml", "--input", "{}"]
    done = subprocess.run(
        command,
        cwd=folder,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert textwrap.shorten(done.stderr, 70) == textwrap.shorten(
        "error: flow.yaml:2:8: steps: `!!python/object/apply:os.system` is a tag, and a document holds", 70
    )
    assert sorted(path.name for path in folder.iterdir()) == ["flow.yaml", "work.py"]
