"""The crash kit in pytest: the fixture `crash_test`, and ``pytest --crash app.py:flow`` without a test.

Loaded with every run of pytest where Dalsegno is installed, so it loads nothing but itself before the
first crash test.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from dalsegno.testing.crash_kit.report import CrashReport

_REPORT = "crash test"
"""Under this name a report's line goes with its test: over xdist, and into JUnit's file."""


class CrashTest(Protocol):
    """What the fixture gives: `dalsegno.testing.crash_test`, which raises where something is wrong."""

    def __call__(self, target: Any, input: Any, **options: Any) -> CrashReport: ...


@pytest.fixture
def crash_test(request: pytest.FixtureRequest) -> CrashTest:
    """Kill a workflow, resume it, compare; many times. As `dalsegno.testing.crash_test`, with its options.

    It raises where something is lost, done twice or different, and gives back the report. The command line's
    ``--crash-at``, ``--crash-kills``, ``--crash-seed``, ``--crash-again``, ``--crash-linger`` and
    ``--crash-profile`` come first.
    """

    def test(target: Any, input: Any, **options: Any) -> CrashReport:
        __tracebackhide__ = True
        return _tested(request.node, target, input, options)

    return test


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("crash", "kill workflows, resume them, compare (dalsegno)")
    group.addoption(
        "--crash",
        action="append",
        default=[],
        metavar="TARGET",
        help="kill this workflow (path.py:name, package.module:name), as one more test; may be repeated. "
        "Without another argument nothing else is run.",
    )
    group.addoption(
        "--crash-input",
        default="{}",
        metavar="JSON",
        help="what its runs are given, or with --crash-input=@FILE what is in there; default {}",
    )
    group.addoption(
        "--crash-answers", metavar="JSON", help="answers to what its runs ask, by node, or =@FILE"
    )
    group.addoption(
        "--crash-at",
        metavar="POINT",
        help='"every commit" (the default), "every write", "random", "power cuts", "disk full", "io errors", or a '
        'point that a report printed, as "after commit 5"',
    )
    group.addoption("--crash-kills", type=int, metavar="N", help="how many runs are killed")
    group.addoption("--crash-seed", type=int, metavar="N", help="of everything drawn; default 0")
    group.addoption("--crash-again", type=int, metavar="N", help="how many resuming processes are killed too")
    group.addoption("--crash-linger", type=float, metavar="SECONDS", help="how long writes wait for company")
    group.addoption("--crash-profile", choices=["durable", "fast"], help="how commits are made")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--crash") and config.args_source is not pytest.Config.ArgsSource.ARGS:
        config.args = []


def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    items += [
        _Named.from_parent(session, name=(name := f"crash[{target}]"), nodeid=name, target=target)
        for target in config.getoption("--crash")
    ]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    lines = list(_summary(terminalreporter.stats))
    if lines:
        terminalreporter.section("crash tests")
        for line in lines:
            terminalreporter.write_line(line)


def _summary(stats: dict[str, list[Any]]) -> Iterator[str]:
    for report in (one for reports in stats.values() for one in reports):
        if getattr(report, "when", "") == "call":
            for name, value in report.user_properties:
                if name == _REPORT:
                    yield f"{report.nodeid}: {value}"


class _Named(pytest.Item):
    """One target of the command line."""

    def __init__(self, *, target: str, **options: Any) -> None:
        super().__init__(**options)
        self._target = target

    @property
    def command(self) -> str:
        """The arguments of pytest that lead here, and nowhere else."""
        given = [("--crash", self._target), *_asked(self.config, "--crash-input", "--crash-answers")]
        return " ".join(_word(name, value) for name, value in given if value != "{}")

    def runtest(self) -> None:
        folder = self.config.invocation_params.dir
        given, answers = (self._json(option, folder) for option in ("--crash-input", "--crash-answers"))
        _tested(self, _found(self._target, folder), given, {} if answers is None else {"answers": answers})

    def _json(self, option: str, folder: Path) -> Any:
        text = self.config.getoption(option)
        if text is None:
            return None
        try:
            return json.loads((folder / text[1:]).read_text() if text.startswith("@") else text)
        except (OSError, ValueError) as error:
            from dalsegno.errors import DefinitionError

            raise DefinitionError(
                f"{option}: {error}. Give JSON, or {option}=@FILE with JSON in it."
            ) from error

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        from dalsegno.errors import DalsegnoError

        if isinstance(excinfo.value, DalsegnoError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.path, None, self.name


def _tested(item: pytest.Item, target: Any, input: Any, options: dict[str, Any]) -> CrashReport:
    __tracebackhide__ = True
    from dalsegno.errors import CrashTestFailed
    from dalsegno.testing.crash_kit.crash import crash_test

    asked = {name: item.config.getoption(f"--crash-{name}") for name in _OVERRIDES}
    given = options | {name: value for name, value in asked.items() if value is not None}
    report = crash_test(target, input, **given)
    item.user_properties.append((_REPORT, report.summary))
    try:
        return report.raise_for_failures()
    except CrashTestFailed as failed:
        raise CrashTestFailed(f"{failed}{_again(item, report)}", report=report) from None


_OVERRIDES = ("at", "kills", "seed", "again", "linger", "profile")


def _again(item: pytest.Item, report: CrashReport) -> str:
    if not report.failures:
        return ""
    from dalsegno.testing.crash_kit.kills import in_turn

    what = item.command if isinstance(item, _Named) else shlex.quote(_from_here(item))
    how = [_word(name, value) for name, value in _asked(item.config, "--crash-profile", "--crash-linger")]
    return f'\nOr: pytest {" ".join([what, *how])} --crash-at "{in_turn(report.failures[0].kills)}"'


def _from_here(item: pytest.Item) -> str:
    """A test's name as pytest takes it where it was started; its own begins where the project does."""
    file, colons, name = item.nodeid.partition("::")
    return f"{os.path.relpath(item.config.rootpath / file, item.config.invocation_params.dir)}{colons}{name}"


def _asked(config: pytest.Config, *names: str) -> list[tuple[str, str]]:
    """Options of the command line, where they were given."""
    options = [(name, config.getoption(name)) for name in names]
    return [(name, str(value)) for name, value in options if value is not None]


def _word(name: str, value: str) -> str:
    """An option as a shell and pytest read it, which takes a lone ``@FILE`` for a file of arguments."""
    return f"{name}{'=' if value.startswith('@') else ' '}{shlex.quote(value)}"


def _found(target: str, folder: Path) -> str:
    """A relative path means from where pytest was started, whatever the tests do with the working directory."""
    path, colon, name = target.rpartition(":")
    return f"{folder / path}{colon}{name}" if path.endswith((".py", ".yaml", ".yml", ".json")) else target
