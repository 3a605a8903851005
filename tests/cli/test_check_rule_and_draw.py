"""What `check`, `rule` and `draw` print, write and return."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


def test_a_sound_workflow_is_proved_and_exits_0(dalsegno: Any) -> None:
    got = dalsegno("check", "app.py:flow")
    assert got.code == 0
    assert "✓ article: every run ends within 8 supersteps  app.py:flow" in got.out
    assert "supersteps   8 (exact)" in got.out
    assert "longest run  write → review → write → review → write → review → write → review" in got.out
    assert got.err == ""


def test_a_finding_is_a_block_with_code_place_path_and_fix(dalsegno: Any) -> None:
    got = dalsegno("check", "app.py:endless")
    assert got.code == 1
    head, *_ = got.out.splitlines()
    assert head.startswith("error T101  app.py:")
    assert "  path  START → write → review → write\n" in got.out
    assert '  fix   Loop("write", max=...)\n' in got.out
    assert "✗ endless: no bound can be proved · 1 error" in got.out


def test_the_json_of_a_check_is_the_contracts(dalsegno: Any) -> None:
    got = dalsegno("check", "app.py:flow", "--json")
    document = json.loads(got.out)
    assert list(document) == ["workflow", "ok", "findings", "certificate"]
    assert list(document["certificate"]) == [
        "supersteps",
        "executions",
        "model_calls",
        "seconds",
        "exact",
        "witness",
        "assumptions",
        "fingerprint",
    ]
    assert (document["workflow"], document["ok"], document["findings"]) == ("article", True, [])
    assert document["certificate"]["supersteps"] == 8


def test_a_finding_in_json_is_the_contracts(dalsegno: Any) -> None:
    document = json.loads(dalsegno("check", "app.py:endless", "--format", "json").out)
    assert document["certificate"] is None
    (finding,) = document["findings"]
    assert list(finding) == ["code", "severity", "message", "path", "where", "fix"]
    assert finding["path"] == ["__start__", "write", "review", "write"]


def test_several_targets_are_an_array_in_their_order(dalsegno: Any) -> None:
    got = dalsegno("check", "app.py:flow", "app.py:endless", "app.py:native", "--json")
    assert got.code == 1
    assert [(d["workflow"], d["ok"]) for d in json.loads(got.out)] == [
        ("article", True),
        ("endless", False),
        ("graph", True),
    ]


def test_rules_are_selected_and_ignored_by_code_or_its_beginning(dalsegno: Any) -> None:
    got = dalsegno("check", "app.py:endless", "--ignore", "T1")
    assert "✗ endless: no bound can be proved · 1 error not shown (T101)" in got.out
    assert got.code == 1
    assert dalsegno("check", "app.py:endless", "--select", "D,T101").code == 1
    got = dalsegno("check", "app.py:endless", "--select", "T999")
    assert (got.code, got.out) == (2, "")
    assert "`T999` begins no rule" in got.err


def test_sarif_names_rule_level_and_place(dalsegno: Any) -> None:
    document = json.loads(dalsegno("check", "app.py:endless", "--format", "sarif").out)
    assert document["version"] == "2.1.0"
    (run,) = document["runs"]
    (result,) = run["results"]
    assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"] == "T101"
    assert result["level"] == "error"
    physical = result["locations"][0]["physicalLocation"]
    assert physical["artifactLocation"] == {"uri": "app.py", "uriBaseId": "ROOT"}
    assert physical["region"]["startLine"] > 1


def test_a_rule_explains_itself(dalsegno: Any) -> None:
    got = dalsegno("rule", "t101")
    assert got.code == 0
    assert got.out.startswith("T101 (error): ")
    assert "Why is this bad" in got.out
    assert "##" not in got.out


def test_without_a_code_every_rule_is_listed(dalsegno: Any) -> None:
    from dalsegno.graphs.validation import RULES

    assert [line.split()[0] for line in dalsegno("rule").out.splitlines()[1:]] == sorted(RULES)
    assert [r["code"] for r in json.loads(dalsegno("rule", "--json").out)] == sorted(RULES)


def test_an_unknown_rule_is_a_usage_error_that_guesses(dalsegno: Any) -> None:
    got = dalsegno("rule", "T1O1")
    assert got.code == 2
    assert "There is no rule `T1O1`; did you mean `T1" in got.err


@pytest.mark.parametrize("suffix", ["dot", "mmd", "svg"])
def test_a_workflow_is_drawn_into_the_format_of_the_suffix(dalsegno: Any, folder: Path, suffix: str) -> None:
    got = dalsegno("draw", "app.py:flow", "-o", f"flow.{suffix}")
    assert (got.code, got.out) == (0, f"flow.{suffix}: article\n")
    assert "review" in (folder / f"flow.{suffix}").read_text()


def test_an_invalid_workflow_is_drawn_with_its_findings(dalsegno: Any, folder: Path) -> None:
    assert dalsegno("draw", "app.py:endless", "-o", "flow.dot").code == 0
    assert "T101" in (folder / "flow.dot").read_text()


def test_a_run_is_laid_over_the_graph(dalsegno: Any, folder: Path) -> None:
    dalsegno("run", "app.py:flow", "--input", '{"topic": "rain"}', "--thread", "t1")
    got = dalsegno("draw", "app.py:flow", "-o", "run.svg", "--thread", "t1", "--json")
    document = json.loads(got.out)
    assert (document["file"], document["workflow"]) == ("run.svg", "article")
    picture = (folder / "run.svg").read_text()
    assert "again 2/3" in picture
    assert "proved 8" in picture
    assert "used 6" in picture
    by_id = dalsegno("draw", "app.py:flow", "-o", "same.svg", "--run", document["run_id"][:6])
    assert by_id.code == 0
    assert (folder / "same.svg").read_text() == picture


def test_a_failed_run_shows_where_it_goes_on(dalsegno: Any, folder: Path) -> None:
    dalsegno("run", "app.py:flow", "-i", '{"topic": "boom"}', "--thread", "t1")
    assert dalsegno("draw", "app.py:flow", "-o", "run.svg", "--thread", "t1").code == 0
    picture = (folder / "run.svg").read_text()
    assert "resumes at review" in picture
    assert "ValueError: no such topic: boom" in picture


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("draw", "app.py:flow", "--watch"), "--watch follows a run"),
        (("draw", "app.py:flow", "-o", "flow.sgv"), "is one of .svg"),
        (("draw", "app.py:flow", "-o", "x.svg", "--run", "a", "--thread", "b"), "give one of them"),
        (("draw", "app.py:outer", "--fold", "none", "--fold", "article"), "Give one of them, or paths"),
        (("check", "app.py:flow", "--json", "--format", "sarif"), "Leave out --json or --format sarif"),
        (("draw", "app.py:flow", "-o", "x.svg", "--thread", "b"), "Nothing was run here yet"),
        (("check", "app.py:flw"), "did you mean `flow`?"),
        (("check", "nothing.py"), "`nothing.py` does not exist"),
        (("check",), "TARGET..."),
        (("frobnicate",), "frobnicate"),
    ],
)
def test_what_cannot_be_meant_exits_2_and_prints_nothing_on_stdout(
    dalsegno: Any, arguments: tuple[str, ...], said: str
) -> None:
    got = dalsegno(*arguments)
    assert (got.code, got.out) == (2, "")
    assert said in got.err
    assert "Traceback" not in got.err
