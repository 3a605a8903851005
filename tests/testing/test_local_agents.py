"""Agents of a registry are processes of this machine: well before anybody asks, stopped in the end, never left over."""

from __future__ import annotations

import http.client
import json
import os
import pickle
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from dalsegno.errors import AgentNotStarted, DefinitionError
from dalsegno.nodes.remote.registry import agents_in
from dalsegno.testing import LocalAgents

ROOT = Path(__file__).parents[2]

AGENT = """
import os, signal, subprocess, sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer

how = sys.argv[2] if len(sys.argv) > 2 else "well"
print("this is", os.environ.get("WHO", "nobody"), "who is", how, flush=True)
if how == "ends":
    print("there is no table", file=sys.stderr)
    sys.exit(7)
if how == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if how == "parent":
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    open("child", "w").write(str(child.pid))

class Agent(BaseHTTPRequestHandler):
    def do_GET(self):
        sick = how == "sick" or self.path != "/health" or (how == "late" and time.monotonic() < began + 0.3)
        self.send_response(500 if sick else 200)
        self.end_headers()
        if self.path == "/end":
            print("somebody ended me", flush=True)
            os._exit(3)
    def log_message(self, *_):
        pass

began = time.monotonic()
open(f"pid-{how}", "w").write(str(os.getpid()))
HTTPServer(("127.0.0.1", int(sys.argv[1])), Agent).serve_forever()
"""

Made = Callable[..., Path]


@pytest.fixture
def registry(tmp_path: Path) -> Made:
    """A registry of agents that are as they are called."""
    (tmp_path / "agent.py").write_text(AGENT)

    def make(*how: str, **changes: Any) -> Path:
        entries = [
            {
                "name": name,
                "url": f"http://127.0.0.1:{8000 + number}/",
                "skills": [f"be {name}"],
                "command": f"python agent.py {{port}} {name}",
                **changes,
            }
            for number, name in enumerate(how)
        ]
        (tmp_path / "agents.yaml").write_text(yaml.safe_dump({"agents": entries}))
        return tmp_path / "agents.yaml"

    return make


def up(registry: Path, **options: Any) -> LocalAgents:
    options = {"ports": "free", "write": registry.with_name("moved.yaml"), "limit": 120, **options}
    return LocalAgents(registry, **options)


def is_there(pid: int) -> bool:
    """Whether a process runs; one that only waits to be reaped does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    if not Path("/proc/self/stat").exists():
        return True
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(what: Callable[[], Any]) -> Any:
    end = time.monotonic() + 60
    while not (value := what()):
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.01)
    return value


def get(url: str, path: str) -> int:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def test_all_are_well_and_listed_and_none_is_left(registry: Made) -> None:
    with up(registry("well", "late")) as agents:
        assert [(one.name, one.skills) for one in agents.running] == [
            ("well", ("be well",)),
            ("late", ("be late",)),
        ]
        assert [get(one.url, "/health") for one in agents.running] == [200, 200]
        pids = [one.pid for one in agents.running]
    assert not any(is_there(pid) for pid in pids)
    assert agents.running == ()


def test_agents_that_are_started_are_not_started_again(registry: Made) -> None:
    with up(registry("well")).start() as agents:
        (one,) = agents.running
        with pytest.raises(DefinitionError, match="started already"):
            agents.start()
        assert agents.running == (one,)
    assert not is_there(one.pid)
    with pytest.raises(DefinitionError, match="`start` the agents first"):
        agents.restart("well")


@pytest.mark.parametrize("ports", ["fre", None, True, 8.5])
def test_ports_that_are_none_are_refused(registry: Made, ports: Any) -> None:
    with pytest.raises(DefinitionError, match='"registry", "free", or the number'):
        up(registry("well"), ports=ports)


def test_only_those_that_are_named_are_started(registry: Made) -> None:
    with up(registry("well", "sick"), only=(name for name in ["well"])) as agents:
        assert [one.name for one in agents.running] == ["well"]


def test_an_agent_without_a_command_is_somebody_elses(registry: Made) -> None:
    path = registry("well")
    path.write_text(
        f"{path.read_text()}- {{name: afar, url: 'https://agents.example.org', skills: [wait]}}\n"
    )
    agents = up(path)
    assert ([agent.name for agent in agents.elsewhere], list(agents._places)) == (["afar"], ["well"])


def test_the_registry_that_is_written_leads_to_them(registry: Made) -> None:
    path = registry("well")
    with up(path) as agents:
        (found,) = agents_in(path.with_name("moved.yaml").read_text(), "moved.yaml")
        assert (found.name, found.url, found.skills) == ("well", agents.running[0].url, ("be well",))


def test_an_agent_that_ends_is_named_with_what_it_printed(registry: Made) -> None:
    path = registry("well", "ends")
    with pytest.raises(AgentNotStarted) as caught:
        up(path).start()
    error = pickle.loads(pickle.dumps(caught.value))
    assert (error.agent, error.reason) == ("ends", "ended with exit code 7 before it was well")
    assert error.output == ("this is nobody who is ends", "there is no table")
    assert "  there is no table" in str(error)
    pid = path.with_name("pid-well")
    assert not pid.exists() or not is_there(int(pid.read_text()))


def test_an_agent_that_never_is_well_is_named_with_why(registry: Made) -> None:
    with pytest.raises(AgentNotStarted, match=r"`sick` at \S+ is not well after 1 seconds: .* status 500"):
        up(registry("sick"), limit=1).start()


def test_a_command_that_is_not_there_is_named(registry: Made) -> None:
    with pytest.raises(AgentNotStarted, match="no-such-program"):
        up(registry("well", command=["no-such-program", "{port}"])).start()


def test_a_taken_port_is_named_and_nothing_is_started(registry: Made) -> None:
    path = registry("well")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(
            AgentNotStarted, match=f"Port {port}, which the agent `well` would have, is taken"
        ):
            up(path, ports=port).start()
    assert not path.with_name("pid-well").exists()


def test_an_agent_that_does_not_want_to_end_is_ended(registry: Made) -> None:
    with up(registry("stubborn"), grace=0.2) as agents:
        pid = agents.running[0].pid
    assert not is_there(pid)


def test_waiting_for_an_agent_to_end_can_be_cut_short(registry: Made) -> None:
    """As a second Ctrl-C does."""
    agents = up(registry("stubborn"), grace=1000).start()
    pid = agents.running[0].pid
    closing = threading.Thread(target=agents.close)
    closing.start()
    agents.grace = 0
    closing.join(60)
    assert not closing.is_alive()
    assert not is_there(pid)


def test_what_an_agent_has_started_ends_with_it(registry: Made) -> None:
    path = registry("parent")
    with up(path):
        child = int(until(lambda: path.with_name("child").exists() and path.with_name("child").read_text()))
        assert is_there(child)
    until(lambda: not is_there(child))


def test_it_is_killed_and_started_again_at_its_port(registry: Made) -> None:
    with up(registry("well")) as agents:
        (before,) = agents.running
        agents.signal("well", signal.SIGKILL)
        assert agents.running == ()
        assert agents.ended()["well"][0] == -signal.SIGKILL
        agents.restart("well")
        (after,) = agents.running
        assert (after.url, get(after.url, "/health")) == (before.url, 200)
        assert after.pid != before.pid


def test_what_an_agent_prints_is_heard_and_its_environment_is_what_is_said(registry: Made) -> None:
    heard: list[tuple[str, str]] = []
    path = registry("well", env={"WHO": "the registry"})
    with up(path, env={"WHO": "all"}, on_line=lambda *line: heard.append(line)) as agents:
        until(lambda: heard)
        get(agents.running[0].url, "/end")
        code, last = until(agents.ended)["well"]
    assert heard[0] == ("well", "this is the registry who is well")
    assert (code, last[-1]) == (3, "somebody ended me")


def test_starting_can_be_stopped(registry: Made) -> None:
    asked = threading.Event()
    asked.set()
    with pytest.raises(AgentNotStarted, match="was stopped"):
        up(registry("sick"), stop=asked).start()


def test_a_document_a_folder_and_a_registry_mean_the_same(registry: Made) -> None:
    path = registry("well")
    (path.parent / "loan.yaml").write_text("name: loan\nregistry: agents.yaml\nsteps: []\n")
    (path.parent / "notes.json").write_text('{"unrelated": true}')
    (path.parent / "notes.yaml").write_text("due: 2026-02-30\n")
    for given in (path, path.parent, path.parent / "loan.yaml"):
        assert list(up(given, write=path.parent / "x" / "moved.yaml")._places) == ["well"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"command": None}, "says of no agent how it is started"),
        ({"comand": "python x.py", "command": None}, "agent `well` has a `comand`; did you mean `command`?"),
        ({"command": []}, "a `command` that cannot be run"),
        ({"command": "python 'x"}, "cannot be read: No closing quotation"),
        ({"url": "https://127.0.0.1:8000"}, "What is started here needs a URL like http://127.0.0.1:PORT"),
        (
            {"url": "http://agents.example.org:8000"},
            "What is started here needs a URL like http://127.0.0.1:PORT",
        ),
        ({"health": "health"}, "a `health` that is no path"),
        ({"env": "A=b"}, "an `env` that is no names and values"),
        ({"env": {"A": None}}, "an `env` whose `A` is no text. An empty one is ''."),
        ({"env": {"A": ["b"]}}, "an `env` whose `A` is no text"),
        ({"skills": "one"}, "has no list `skills`"),
    ],
)
def test_a_registry_that_cannot_be_meant_is_told(registry: Made, change: dict[str, Any], said: str) -> None:
    with pytest.raises(DefinitionError, match=re.escape(said)):
        up(registry("well", **change))


def test_names_and_ports_are_each_for_one_agent(registry: Made) -> None:
    with pytest.raises(DefinitionError, match="at one port, 8000"):
        up(registry("well", "late", url="http://127.0.0.1:8000"))
    with pytest.raises(DefinitionError, match="several agents called `twin`"):
        up(registry("well", "late", name="twin"))
    with pytest.raises(DefinitionError, match=r"no agent `wel`; did you mean `well`\?"):
        up(registry("well"), only=["wel"])


def test_what_is_elsewhere_starts_nothing_here(tmp_path: Path) -> None:
    (tmp_path / "loan.yaml").write_text(
        "name: loan\nregistry: https://agents.example.org/all.yaml\nsteps: []\n"
    )
    with pytest.raises(DefinitionError, match="its registry elsewhere"):
        up(tmp_path / "loan.yaml")
    with pytest.raises(DefinitionError, match="no registry of agents"):
        up(tmp_path)


# The command line


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """`dalsegno agents up` in a process of its own."""
    running: list[subprocess.Popen[str]] = []

    def start(*arguments: Any) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "dalsegno", "agents", "up", *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


MOVED = ("--free-ports", "--write", "moved.yaml")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_shows_them_and_stops_them_when_it_is_asked_to(
    registry: Made, command: Callable[..., subprocess.Popen[str]], number: int
) -> None:
    process = command(registry("well"), *MOVED)
    assert process.stdout is not None
    head, row, told = (process.stdout.readline() for _ in range(3))
    assert head.split() == ["pid", "name", "url", "skills"]
    assert row.split()[1] == "well"
    assert told == "✓ 1 agent up; Ctrl-C stops it\n"
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, "well this is nobody who is well\n")
    assert not is_there(int(row.split()[0]))


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="/proc is of Linux")
def test_under_nohup_it_outlives_its_terminal(
    registry: Made, command: Callable[..., subprocess.Popen[str]]
) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        process = command(registry("well"), *MOVED, "--json")
    finally:
        signal.signal(signal.SIGHUP, before)
    assert process.stdout is not None
    assert process.stdout.readline()
    status = Path(f"/proc/{process.pid}/status").read_text()
    ignored = int(next(line for line in status.splitlines() if line.startswith("SigIgn")).split()[1], 16)
    assert ignored & 1 << (signal.SIGHUP - 1)
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_killed_it_leaves_nobody(registry: Made, command: Callable[..., subprocess.Popen[str]]) -> None:
    path = registry("well", "stubborn", "parent")
    process = command(path, *MOVED, "--json", "--quiet")
    assert process.stdout is not None
    pids = [one["pid"] for one in json.loads(process.stdout.readline())]
    pids.append(int(path.with_name("child").read_text()))
    process.kill()
    until(lambda: not any(is_there(pid) for pid in pids))


def test_killed_while_they_start_it_leaves_nobody(
    registry: Made, command: Callable[..., subprocess.Popen[str]]
) -> None:
    path = registry("sick", "parent")
    process = command(path, *MOVED)
    files = [path.with_name(name) for name in ("pid-sick", "pid-parent", "child")]
    pids = until(
        lambda: (
            all(file.exists() and file.read_text() for file in files) and [int(f.read_text()) for f in files]
        )
    )
    process.kill()
    until(lambda: not any(is_there(pid) for pid in pids))


def test_a_command_is_run_once_they_are_well(
    registry: Made, command: Callable[..., subprocess.Popen[str]]
) -> None:
    asking = "import sys, yaml; print(yaml.safe_load(open('moved.yaml'))['agents'][0]['name']); sys.exit(4)"
    process = command(registry("late"), *MOVED, "--quiet", "--", sys.executable, "-c", asking)
    assert (*process.communicate(timeout=60), process.returncode) == ("late\n", "", 4)


def test_an_agent_that_ends_is_told_of(registry: Made, command: Callable[..., subprocess.Popen[str]]) -> None:
    process = command(registry("well"), *MOVED, "--json", "--quiet")
    assert process.stdout is not None
    (well,) = json.loads(process.stdout.readline())
    get(well["url"], "/end")
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said.splitlines() == [
        "✗ well has ended (exit code 3)",
        "  this is nobody who is well",
        "  somebody ended me",
        "✗ all agents have ended",
    ]


def test_other_ports_need_a_registry_of_their_own(
    registry: Made, command: Callable[..., subprocess.Popen[str]]
) -> None:
    process = command(registry("well"), "--port-base", "9000")
    _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "--write FILE" in said
