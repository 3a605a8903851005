"""What an installation gets: the package, once, and nothing that it does not need."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[2]
LINKS = ("graphs", "nodes", "checkpoints", "viz")
VERSION = "0.1.0.dev0"

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("hatchling") is None,
    reason="hatchling is not installed, so no wheel can be built: `make test` installs it",
)


def build(source: Path, target: str, into: Path) -> Path:
    """The distribution that hatchling makes of `source`; nothing is downloaded."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(into)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return max(into.iterdir(), key=lambda file: file.stat().st_mtime_ns)


def files_of_the_package() -> set[str]:
    """Every file below dalsegno/ that is not a by-product of running it."""
    return {
        str(file.relative_to(ROOT))
        for file in (ROOT / "dalsegno").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts and file.suffix in {".py", ".typed", ".sql"}
    }


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    return zipfile.ZipFile(build(ROOT, "wheel", tmp_path_factory.mktemp("wheel")))


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, "sdist", tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    return Parser().parsestr(wheel.read(f"dalsegno-{VERSION}.dist-info/METADATA").decode())


def test_the_wheel_holds_every_file_of_the_package_once(wheel: zipfile.ZipFile) -> None:
    names = [name for name in wheel.namelist() if ".dist-info/" not in name]
    assert len(names) == len(set(names))
    assert files_of_the_package() <= set(names)


def test_the_wheel_installs_no_name_but_dalsegno(wheel: zipfile.ZipFile) -> None:
    tops = {PurePosixPath(name).parts[0] for name in wheel.namelist()}
    assert tops == {"dalsegno", f"dalsegno-{VERSION}.dist-info"}


def test_the_wheel_says_that_it_is_typed(wheel: zipfile.ZipFile) -> None:
    assert "dalsegno/py.typed" in wheel.namelist()


def test_the_wheel_brings_the_command(wheel: zipfile.ZipFile) -> None:
    scripts = wheel.read(f"dalsegno-{VERSION}.dist-info/entry_points.txt").decode()
    assert "dalsegno = dalsegno.cli:main" in scripts


def test_the_wheel_carries_the_licence(wheel: zipfile.ZipFile, metadata: Message) -> None:
    assert metadata["License-Expression"] == "MIT"
    text = wheel.read(f"dalsegno-{VERSION}.dist-info/licenses/LICENSE").decode()
    assert "The Dalsegno authors" in text


def test_every_extra_is_offered(metadata: Message) -> None:
    assert set(metadata.get_all("Provides-Extra", [])) == {
        "a2a", "distributed", "examples", "exact", "logs", "mcp", "models", "otel", "prometheus", "render", "serve",
    }  # fmt: skip


def test_the_sdist_holds_the_package_under_its_own_name_and_not_under_the_links(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {str(PurePosixPath(*PurePosixPath(name).parts[1:])) for name in archive.getnames()}
    assert files_of_the_package() <= names
    assert {"README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml"} <= names
    assert not {name for name in names if PurePosixPath(name).parts[:1] and name.split("/")[0] in LINKS}


def test_the_wheel_made_from_the_sdist_is_the_wheel_made_from_the_repository(
    sdist: Path, wheel: zipfile.ZipFile, tmp_path: Path
) -> None:
    with tarfile.open(sdist) as archive:
        if hasattr(tarfile, "data_filter"):  # Python 3.11.0 to 3.11.3 have none, newer ones warn without
            archive.extractall(tmp_path, filter="data")
        else:
            archive.extractall(tmp_path)
    (unpacked,) = tmp_path.iterdir()
    with zipfile.ZipFile(build(unpacked, "wheel", tmp_path / "out")) as again:
        assert sorted(again.namelist()) == sorted(wheel.namelist())
