"""Streams that are closed or full, bytes that are no text, empty and overlong words: a sentence, never a traceback."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def shell(line: str, given: bytes = b"") -> tuple[int, str, str]:
    """Run a line of shell in which `$D` is the command; its exit code, stdout and stderr."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "D": f"{sys.executable} -m dalsegno"}
    done = subprocess.run(["sh", "-c", line], input=given, capture_output=True, env=environment, timeout=240)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="/dev/full is of Linux")
@pytest.mark.parametrize("words", ["rule T101", "check app.py:flow --json"])
def test_an_output_that_cannot_be_written_is_told_in_a_sentence(folder: Path, words: str) -> None:
    code, _, err = shell(f"$D {words} > /dev/full")
    assert code == 1
    assert err == "error: The output could not be written: No space left on device. What was run is kept.\n"


@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-", "<&-"])
def test_a_closed_stream_keeps_no_run_from_its_work(folder: Path, closed: str) -> None:
    code, _, err = shell(f'$D run app.py:native --input \'{{"topic": "t"}}\' --thread t --db x.db {closed}')
    assert (code, "Traceback" in err) == (0, False)
    assert shell("$D db check --db x.db")[0] == 0  # nothing was printed into the database


def test_input_from_a_pipe_is_text(folder: Path) -> None:
    line = "$D run app.py:native --quiet --json --input -"
    code, _, err = shell(line, b'{"topic": "\xff\xfe"}')
    assert (code, err) == (
        2,
        '{"error": {"type": "UsageError", "message": "--input: stdin cannot be read: it is not UTF-8 text."}}\n',
    )
    code, out, _ = shell(line, b'\xef\xbb\xbf{"topic": "with a mark"}')
    assert (code, '"draft": "with a mark"' in out) == (0, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "app.py:flow", "--input", '{"topic": ' + "9" * 5000 + "}"], "more digits than can be read"),
        (["run", "app.py:flow", "--thread", ""], "The thread's name is empty."),
        (["run", "app.py:flow", "--db", "http://x"], "names no database we know"),
        (["run", "a" * 300 + ".py:flow"], "does not exist."),
        (["check", ""], "`` is no target."),
        (["check", "a" * 300 + ".py"], "does not exist."),
        (["check", "/dev/null"], "`/dev/null` is no file."),
    ],
    ids=["digits", "no name", "database", "long name", "empty", "long file", "device"],
)
def test_words_that_cannot_be_meant_are_usage(dalsegno: Any, words: list[str], said: str) -> None:
    got = dalsegno(*words)
    assert got.code == 2
    assert got.err.startswith("error: ")
    assert said in got.err


def test_a_fork_at_nothing_is_refused(dalsegno: Any) -> None:
    assert dalsegno("run", "app.py:flow", "--input", '{"topic": "t"}', "--thread", "t").code == 0
    got = dalsegno("fork", "t", "--at", "")  # what an unset variable of a shell gives
    assert got.code == 2
    assert "No checkpoint is named to fork at. `dalsegno history t` lists them." in got.err


def test_an_answer_of_too_many_digits_is_text(dalsegno: Any) -> None:
    assert dalsegno("run", "app.py:asking", "--thread", "t").code == 3
    got = dalsegno("resume", "t", "--value", "9" * 5000)
    assert got.code == 0


@pytest.mark.parametrize(
    "words",
    [
        ["run", "x" * 300],
        ["runs", "--db", "x" * 300],
        ["run", "app.py:native", "--db", "x" * 300],
        ["check", "x" * 300 + ".yaml"],
    ],
)
def test_a_name_that_no_file_can_have_is_told_in_a_sentence(
    folder: Path, dalsegno: Any, words: list[str]
) -> None:
    refused = dalsegno(*words)
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith("error: ")


def test_as_many_runs_as_nobody_has_are_all_of_them(folder: Path, dalsegno: Any) -> None:
    dalsegno("run", "app.py:native", "--input", '{"topic": "t"}', "--thread", "t", "--quiet")
    assert dalsegno("runs", "--limit", "9" * 30).out.count("completed") == 1


def test_no_run_of_a_workflow_without_a_name_is_not_no_run_at_all(folder: Path, dalsegno: Any) -> None:
    dalsegno("run", "app.py:native", "--input", '{"topic": "t"}', "--thread", "t", "--quiet")
    assert dalsegno("runs", "--workflow", "").out == "No such runs.\n"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ('{"topic": "a", "topic": "b"}', "is no JSON: `topic` is there twice."),
        ('{"tries": NaN}', "is no JSON: NaN is no number of it."),
        ('{"tries": 1e999}', "is no JSON: 1e999 is too large for a number."),
        ('{"topic": "\\ud83d"}', "holds half of a surrogate pair, which is no text."),
    ],
)
def test_what_readers_of_json_differ_about_is_refused(dalsegno: Any, given: str, said: str) -> None:
    for words in (["run", "app.py:flow", "--input", given], ["run", "app.py:flow", "--context", given]):
        got = dalsegno(*words)
        assert (got.code, got.out, got.err) == (2, "", f"error: {words[2]} {said}\n")
    assert dalsegno("run", "app.py:asking", "--thread", "t").code == 3
    assert dalsegno("resume", "t", "--value", given).err == f"error: --value {said}\n"


@pytest.mark.parametrize("word", ["NaN", "-Infinity", "1e999", "{not json"])
def test_an_answer_that_is_no_json_is_text(dalsegno: Any, word: str) -> None:
    assert dalsegno("run", "app.py:asking", "--thread", "t").code == 3
    assert json.loads(dalsegno("resume", "t", "--json", "--value", word).out)["output"]["approved"] == word


def test_words_that_are_no_text_are_refused_and_nothing_is_lost(folder: Path) -> None:
    assert shell("$D run app.py:asking -q --thread t")[0] == 3
    code, _, err = shell(r"$D resume t --value $(printf '\377')")
    assert (code, err) == (2, "error: --value: what is given cannot be read: it is not UTF-8 text.\n")
    code, _, err = shell(r"$D new $(printf '\377')")
    assert (code, "Traceback" in err, "is not UTF-8 text" in err) == (2, False, True)


@pytest.mark.parametrize(
    "words",
    [
        ["fork", "t", "--at", "1", "--set", "topic=a", "--set", "topic=b"],
        ["resume", "t", "--rename", "write=a", "--rename", "write=b"],
        ["diff", "app.py:flow", "t", "--rename", "write=a", "--rename", "write=b"],
        ["run", "app.py:flow", "--budget", "tokens=1", "--budget", '{"tokens": 2}'],
    ],
    ids=lambda words: words[0],
)
def test_what_is_said_twice_is_refused(dalsegno: Any, words: list[str]) -> None:
    got = dalsegno(*words)
    assert (got.code, got.out) == (2, "")
    assert "is said twice. Say it once." in got.err


@pytest.mark.parametrize("said", [["--format", "json"], ["--format=json"], ["--json"]])
@pytest.mark.parametrize("words", [["nope.py:flow"], ["app.py:flow", "--bogus"], []], ids=str)
def test_each_way_to_ask_for_json_gives_errors_as_json(
    dalsegno: Any, said: list[str], words: list[str]
) -> None:
    got = dalsegno("check", *words, *said)
    assert (got.code, got.out) == (2, "")
    assert json.loads(got.err)["error"]["message"]


def test_json_behind_two_dashes_is_no_option(dalsegno: Any) -> None:
    assert dalsegno("agents", "up", "--", "none.yaml", "--json").err.startswith("error: ")


def test_an_error_says_the_same_in_json(dalsegno: Any, folder: Path) -> None:
    assert dalsegno("run", "app.py:asking", "--thread", "t").code == 3
    again = ["run", "app.py:asking", "--thread", "t"]
    assert json.loads(dalsegno(*again, "--json").err)["error"]["message"].endswith(
        "Here that is `--abandon`."
    )
    (folder / "app.py").rename(folder / "moved.py")
    sys.modules.pop("app")
    for flags in ([], ["--json"]):
        assert "say where it is now with --target." in dalsegno("resume", "t", "--value", "1", *flags).err


def test_a_database_at_home_is_there(dalsegno: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder / "home"))
    monkeypatch.setenv("DALSEGNO_DB", "~/runs.db")  # as a .env file has it
    assert dalsegno("run", "app.py:asking", "-q", "--thread", "t").code == 3
    assert (folder / "home" / "runs.db").exists()
    assert not (folder / "~").exists()
    assert dalsegno("runs", "--json").out == dalsegno("runs", "--json", "--db=sqlite:///~/runs.db").out


@pytest.mark.parametrize(
    ("db", "said"),
    [
        (":memory:", "is gone when this command ends"),
        ("file:runs.db?mode=ro", "is not how a SQLite file is named"),
    ],
)
def test_a_name_that_would_keep_no_run_is_refused(dalsegno: Any, folder: Path, db: str, said: str) -> None:
    got = dalsegno("run", "app.py:asking", "-q", "--db", db)
    assert (got.code, got.out) == (2, "")
    assert said in got.err
    assert not list(folder.glob("*file*"))


def test_what_a_factory_does_is_told_in_its_own_words(dalsegno: Any, folder: Path) -> None:
    (folder / "factories.py").write_text(
        "import sys\n\ndef seven():\n    return 7\n\ndef leaves():\n    sys.exit(3)\n"
    )
    assert (
        "`seven` in `factories.py:seven` gave a value of type int."
        in dalsegno("check", "factories.py:seven").err
    )
    left = dalsegno("check", "factories.py:leaves").err
    assert "SystemExit: 3." in left
    assert "when it is imported" not in left


TALKING = """
from typing import TypedDict
from dalsegno import END, START, Workflow

class State(TypedDict, total=False):
    n: int

def talk(state: State):
    print("x" * 100_000, flush=True)
    return {"n": 1}

flow = Workflow("talking", State)
flow.add_node(talk, calls=0)
flow.add_edge(START, "talk")
flow.add_edge("talk", END)
"""


@pytest.mark.parametrize("unbuffered", ["", "PYTHONUNBUFFERED=1 "])
@pytest.mark.parametrize("piped", ["", "2>&1", "--json", "--json 2>&1", "--quiet"])
def test_a_run_ends_as_it_ends_when_nobody_reads_what_it_prints(
    folder: Path, piped: str, unbuffered: str
) -> None:
    (folder / "talking.py").write_text(TALKING)
    line = f"({unbuffered}$D run talking.py:flow --db t.db {piped}; echo $? > code) | true; cat code"
    code, out, err = shell(line)
    assert (code, out, "Traceback" in err) == (0, "0\n", False)
    assert json.loads(shell("$D runs --json --db t.db")[1])[0]["status"] == "completed"


@pytest.mark.parametrize(
    ("words", "expected"),
    [("rule", 0), ("--help", 0), ("rule X999", 2), ("check app.py:flow", 0), ("runs --json", 0)],
)
def test_the_exit_code_is_that_of_the_work_when_the_reader_left(
    folder: Path, words: str, expected: int
) -> None:
    code, out, err = shell(f"($D {words}; echo $? > code) | true; cat code")
    assert (code, out, "Traceback" in err) == (0, f"{expected}\n", False)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
@pytest.mark.parametrize("words", ["schema", "db export --db x.db", "runs --db x.db --json"])
def test_json_is_whole_in_every_encoding_of_the_output(folder: Path, words: str, encoding: str) -> None:
    given = '{"topic": "\\u2713 \\ud83d\\ude00 \\u00e9"}'
    assert shell(f"$D run app.py:native -q --thread 'é ✓' --db x.db --input '{given}'")[0] == 0
    code, out, err = shell(f"PYTHONIOENCODING={encoding} $D {words} > out; echo $?; cat out")
    assert (code, out[:2], err) == (0, "0\n", "")
    told = [json.loads(line) for line in ([out[2:]] if words == "schema" else out[2:].splitlines())]
    if words != "schema":
        assert "é ✓" in json.dumps(told, ensure_ascii=False)


@pytest.mark.parametrize("words", ["runs --metrics --db x.db", "runs --db x.db", "demo --db d.db"])
def test_signs_that_the_output_cannot_carry_are_no_traceback(folder: Path, words: str) -> None:
    assert shell("$D run app.py:native -q --thread 'é ✓' --db x.db --input '{\"topic\": \"t\"}'")[0] == 0
    code, out, err = shell(f"PYTHONIOENCODING=ascii $D {words}")
    assert (code, err, bool(out)) == (0, "", True)


def test_a_run_that_was_disowned_goes_on_when_its_terminal_is_closed(folder: Path) -> None:
    (folder / "talking.py").write_text(
        TALKING.replace('print("x" * 100_000, flush=True)', 'input(); print("x", flush=True)')
    )
    ours, theirs = pty.openpty()
    listening, told = os.pipe()
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as a shell's `disown` or `nohup` has it
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "dalsegno", "run", "talking.py:flow", "--db", "t.db"],
            stdin=listening,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"},
        )
    finally:
        signal.signal(signal.SIGHUP, before)
        os.close(theirs)
    seen = b""
    while b"talk" not in seen:
        seen += os.read(ours, 4096)
    os.close(ours)
    os.write(told, b"go on\n")
    assert process.wait(60) == 0
    for end in (listening, told):
        os.close(end)
    assert json.loads(shell("$D runs --json --db t.db")[1])[0]["status"] == "completed"


def test_words_in_utf_8_are_read_where_the_locale_is_not(folder: Path) -> None:
    locale = "LC_ALL=C PYTHONUTF8=0"
    topic = '\'{"topic": "räin ✓"}\''
    code, out, err = shell(f"{locale} $D run app.py:flow --input {topic} --thread t --json")
    assert (code, err) == (0, ""), err
    assert json.loads(out)["output"]["topic"] == "räin ✓"
    assert shell("$D run app.py:asking -q --thread a")[0] == 3
    code, out, _ = shell(f"{locale} $D resume a --value 'jä' --json")
    assert (code, json.loads(out)["output"]["approved"]) == (0, "jä")
    code, _, err = shell(rf"{locale} $D run app.py:flow --input $(printf '\377')")
    assert (code, err) == (2, "error: --input: what is given cannot be read: it is not UTF-8 text.\n")
