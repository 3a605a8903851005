"""`make` says what it needs, in words, before it does anything."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with what make reads, and nothing made yet."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def interpreter(folder: Path, script: str) -> Path:
    """An executable in place of a Python that this machine does not have."""
    file = folder / "other-python"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return file


def make(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    # Inside `make test` these would turn the inner make into a part of the outer one.
    outer = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "PYTHON", "ARGS"}
    env = {key: value for key, value in os.environ.items() if key not in outer}
    return subprocess.run(["make", *words], cwd=folder, env=env, capture_output=True, text=True, check=False)


def test_make_alone_lists_the_targets_and_makes_nothing(checkout: Path) -> None:
    done = make(checkout)
    assert done.returncode == 0
    for target in ("demo", "test", "lint", "types", "imports", "bench", "lock", "clean"):
        assert f"make {target} " in done.stdout
    assert not (checkout / ".venv").exists()


def test_an_old_python_is_refused_with_the_version_that_is_needed(checkout: Path) -> None:
    old = interpreter(checkout, 'case "$2" in *version_info\\[:2\\]*) echo 3.9;; *) exit 1;; esac')
    done = make(checkout, "venv", f"PYTHON={old}")
    assert done.returncode != 0
    assert "needs Python 3.11 or newer" in done.stderr
    assert "(3.9)" in done.stderr
    assert not (checkout / ".venv").exists()


def test_a_python_without_venv_is_named_with_the_package_to_install(checkout: Path) -> None:
    bare = interpreter(
        checkout, 'case "$2" in *ensurepip*) exit 1;; *version_info\\[:2\\]*) echo 3.11;; esac'
    )
    done = make(checkout, "venv", f"PYTHON={bare}")
    assert done.returncode != 0
    assert "python3-venv" in done.stderr
    assert not (checkout / ".venv").exists()


def test_no_python_at_all_is_said_plainly(checkout: Path) -> None:
    done = make(checkout, "venv", "PYTHON=/nowhere/python3")
    assert done.returncode != 0
    assert "Found: none" in done.stderr
