"""A folder with functions that documents call, and documents in it."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dalsegno import Workflow
from dalsegno.errors import DocumentInvalid
from dalsegno.graphs.definition import WorkflowDefinition, read_definition
from dalsegno.graphs.loading import load_target

FUNCTIONS = '''
import asyncio
from pathlib import Path

JOURNAL = Path(__file__).with_name("journal.txt")


def inc(x):
    return x + 1


def double(x):
    return x * 2


async def slowly(x):
    await asyncio.sleep(0)
    return x + 1


def same(x):
    return x


def total(numbers):
    return sum(number for number in numbers if number is not None)


def boom(x):
    raise ValueError(f"boom {x}")


def boom_over(x):
    """Fails above ten."""
    if x > 10:
        raise ValueError(f"{x} is too much")
    return x


FAILED = []


def fail_twice(x):
    FAILED.append(x)
    if len(FAILED) < 3:
        raise ValueError(f"time {len(FAILED)}")
    return x


def fail_once(x):
    if x not in FAILED:
        FAILED.append(x)
        raise ValueError(f"the first {x}")
    return x


def empty_once(x):
    """Takes out all there is, and fails the first time."""
    taken = [x.pop() for _ in range(len(x))]
    fail_once("emptied")
    return taken


async def empty_slowly(x):
    return [x.pop() for _ in range(len(x))]


def take_back(x):
    with JOURNAL.open("a") as journal:
        journal.write(f"{x}\\n")


def thing(x):
    return {1, 2} if x else object()


number = 7
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with `work.py` in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "work.py").write_text(FUNCTIONS)
    return tmp_path


Write = Callable[..., Path]


@pytest.fixture
def write(folder: Path) -> Write:
    """Writes a document, `flow.yaml` where no other name is given."""

    def write(text: str, name: str = "flow.yaml") -> Path:
        path = folder / name
        path.write_text(textwrap.dedent(text).lstrip("\n"))
        return path

    return write


Flow = Callable[..., Workflow]


@pytest.fixture
def flow(write: Write) -> Flow:
    """The workflow of a document."""
    return lambda text, name="flow.yaml": load_target(str(write(text, name))).graph


@pytest.fixture
def steps(folder: Path) -> Flow:
    """A workflow of steps, as they stand in a document."""

    def steps(*given: dict[str, Any], **more: Any) -> Workflow:
        document = {"name": "made", "steps": list(given), **more}
        return WorkflowDefinition.model_validate(document).workflow()

    return steps


Refused = Callable[..., list[tuple[int, int, str, str]]]


@pytest.fixture
def refused(write: Write) -> Refused:
    """Every problem of a document: line, column, field and message."""

    def refused(text: str, name: str = "flow.yaml") -> list[tuple[int, int, str, str]]:
        path = write(text, name)
        with pytest.raises(DocumentInvalid) as error:
            read_definition(path.name).workflow()
        assert all(problem.place.file == path.name for problem in error.value.problems)
        return [(p.place.line, p.place.column, p.field, p.message) for p in error.value.problems]

    return refused


def call(name: str, params: Any = "$current", **more: Any) -> dict[str, Any]:
    """A call of a function of `work.py`."""
    return {"function": f"work.py:{name}", "params": params, **more}


def ran(flow: Workflow, **given: Any) -> dict[str, Any]:
    """What a run gives, of a workflow whose bounds are proved."""
    report = flow.validate()
    assert report.ok
    assert not report.waived
    assert report.certificate is not None
    assert report.certificate.supersteps is not None
    output: dict[str, Any] = flow.compile().invoke(given)
    return output
