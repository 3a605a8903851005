"""constraints.txt pins all that `make` installs: names, versions, markers and hashes, no addresses."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
CONSTRAINTS = ROOT / "constraints.txt"
PIN = re.compile(r"[a-z0-9][a-z0-9-]*==[A-Za-z0-9.!+]+( ; [A-Za-z0-9_.'()<>=! ]+)? \\")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")


def pins() -> list[Requirement]:
    lines = CONSTRAINTS.read_text().splitlines()
    return [Requirement(line.removesuffix(" \\")) for line in lines if not line.startswith(" ")]


def declared() -> list[Requirement]:
    """Everything that make installs: the dependencies, two extras and the tools."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    texts = [
        *project["project"]["dependencies"],
        *extras["render"],
        *extras["exact"],
        *project["dependency-groups"]["dev"],
        *project["build-system"]["requires"],
    ]
    return [Requirement(text) for text in texts]


def test_every_line_is_a_pinned_name_or_a_hash() -> None:
    other = [
        line
        for line in CONSTRAINTS.read_text().splitlines()
        if not PIN.fullmatch(line) and not HASH.fullmatch(line)
    ]
    assert other == []


def test_what_is_declared_is_pinned_within_its_declared_range() -> None:
    pinned: dict[str, list[Requirement]] = {}
    for pin in pins():
        pinned.setdefault(canonicalize_name(pin.name), []).append(pin)
    for need in declared():
        found = pinned.get(canonicalize_name(need.name), [])
        assert found, f"{need.name} is not in constraints.txt; write it again with `make lock`"
        for pin in found:
            (version,) = [spec.version for spec in pin.specifier]
            assert version in need.specifier, f"{pin} is outside {need}; write it again with `make lock`"


def test_sqlite_is_bundled_only_where_no_compiler_is_needed() -> None:
    (pin,) = [pin for pin in pins() if pin.name == "pysqlite3"]
    assert pin.marker is not None

    def installed(system: str, machine: str, python: str = "3.11", implementation: str = "CPython") -> bool:
        assert pin.marker is not None
        return pin.marker.evaluate(
            {
                "sys_platform": system,
                "platform_machine": machine,
                "python_version": python,
                "python_full_version": f"{python}.0",
                "platform_python_implementation": implementation,
            }
        )

    assert installed("linux", "x86_64")
    assert installed("darwin", "arm64")
    assert not installed("linux", "aarch64")
    assert not installed("darwin", "x86_64")
    assert not installed("linux", "x86_64", implementation="PyPy")
    assert not installed("linux", "x86_64", python="3.15")


def test_the_file_stays_small_enough_to_read_in_a_review() -> None:
    assert CONSTRAINTS.stat().st_size < 1_000_000
