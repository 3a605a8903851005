"""Agents that are down, die, are late or lie: each failure has its name, and what can go on goes on."""

from __future__ import annotations

import signal
import threading
from typing import Any

import pytest

from dalsegno import Runner, RunResult
from dalsegno.errors import DocumentInvalid
from dalsegno.graphs.loading import load_target
from dalsegno.runtime.events import Event, PolicyActed
from tests.domains.conftest import Stage, until

AGENTS = ("phantoms", "xray-analyzer", "mri-analyzer", "diagnosis-agent", "treatment-planner")

CASE = {"case": 4}


def with_policies(skill: str, policies: str) -> tuple[str, str]:
    """A change of the document: the call of that skill has these policies."""
    call = f"- skill: {skill}\n"
    return call, f"{call}        {policies}\n"


def error_of(result: RunResult) -> str | None:
    """The type of a failed run's error."""
    return result.error["type"] if result.error is not None else None


def test_images_are_measured_judged_and_planned_for(stage: Stage) -> None:
    found = {}
    for case in range(3):
        result = stage.run(stage.document("diagnosis.yaml"), {"case": case})
        assert result.status == "completed"
        found[case] = result.output["output"]
    assert [found[case]["finding"] for case in range(3)] == [
        "nothing remarkable",
        "bright region, right",
        "unclear, left",
    ]
    assert found[2]["plan"][0] == "do not go by this finding alone"
    assert "no medical statement" in found[0]["notice"]


@pytest.mark.parametrize(
    ("name", "skill"), [("phantoms", "make_phantoms"), ("treatment-planner", "create_treatment_plan")]
)
def test_an_agent_that_is_down_at_the_start_fails_the_run_which_goes_on_once_it_is_up(
    stage: Stage, name: str, skill: str
) -> None:
    """Over JSON-RPC and over A2A."""
    stage.agents.signal(name, signal.SIGKILL)
    document = stage.document("diagnosis.yaml")
    failed = stage.run(document, CASE, thread=name)
    assert failed.status == "failed"
    assert failed.error is not None
    assert failed.error["type"] == "RemoteUnreachable"
    assert f"`{name}`" in failed.error["message"]
    stage.agents.restart(name)
    with stage.runner(document) as runner:
        result = runner.resume(name)
    assert result.output["output"]["finding"] == "bright region, left"


def test_an_agent_that_dies_in_the_middle_keeps_nobody_elses_work(stage: Stage) -> None:
    """What its sibling measured is not measured again."""
    stage.fail("analyze_xray")
    stage.fail("analyze_mri", {"die": "before"})
    document = stage.document("diagnosis.yaml")
    failed = stage.run(document, CASE, thread="dies")
    assert failed.error is not None
    assert "`mri-analyzer`" in failed.error["message"]
    assert stage.agents.ended()["mri-analyzer"][0] == 9
    stage.agents.restart("mri-analyzer")
    with stage.runner(document) as runner:
        assert runner.resume("dies").status == "completed"
    assert len(stage.heard("analyze_xray")) == 1


def test_one_late_answer_is_not_waited_for(stage: Stage) -> None:
    stage.fail("analyze_xray", {"delay": 60})
    patient = "retry: {max_attempts: 50, initial_interval: 0.01, max_interval: 0.1, jitter: false}"
    policies = f"timeout: 0.5\n        {patient}"
    result = stage.run(stage.document("diagnosis.yaml", with_policies("analyze_xray", policies)), CASE)
    assert result.status == "completed"
    first, *others = stage.heard("analyze_xray")
    assert {first} == set(others)


def test_an_agent_that_is_stopped_answers_too_late_and_the_run_goes_on_once_it_moves_again(
    stage: Stage,
) -> None:
    stage.agents.signal("diagnosis-agent", signal.SIGSTOP)
    document = stage.document("diagnosis.yaml", with_policies("generate_diagnosis", "timeout: 0.4"))
    try:
        failed = stage.run(document, CASE, thread="late")
        assert error_of(failed) == "NodeTimeout"
    finally:
        stage.agents.signal("diagnosis-agent", signal.SIGCONT)
    with stage.runner(document) as runner:
        assert until(lambda: runner.resume("late").status == "completed")


@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        ({"result": {"kind": "xray", "symmetry": 1}}, "RemoteAnswerInvalid", "bright_regions"),
        ({"result": "fine"}, "RemoteAnswerInvalid", "object"),
        ({"body": "<html>"}, "RemoteAnswerInvalid", "not JSON"),
        ({"error": {"code": -32010, "message": "I will not"}}, "RemoteFault", "I will not"),
        ({"status": 404}, "RemoteStatus", "404"),
    ],
)
def test_an_answer_that_is_none_fails_at_once_and_says_why(
    stage: Stage, fault: dict[str, Any], error: str, said: str
) -> None:
    stage.fail("analyze_xray", fault)
    result = stage.run(stage.document("diagnosis.yaml"), CASE)
    assert result.error is not None
    assert result.error["type"] == error
    assert said in result.error["message"]
    assert "`xray-analyzer`" in result.error["message"]
    assert len(stage.heard("analyze_xray")) == 1


@pytest.mark.parametrize(
    "fault", [{"status": 500}, {"status": 503}, {"error": {"code": -32603, "message": "not now"}}]
)
def test_an_agent_that_stumbles_once_is_asked_again_with_the_same_key(
    stage: Stage, fault: dict[str, Any]
) -> None:
    stage.fail("analyze_xray", fault)
    assert stage.run(stage.document("diagnosis.yaml"), CASE).status == "completed"
    first, second = stage.heard("analyze_xray")
    assert first == second


ONE_ATTEMPT = "retry: {max_attempts: 1}"


def test_a_breaker_opens_and_the_agent_is_left_alone(stage: Stage) -> None:
    breaker = f"breaker: {{name: opens, failures: 2, window: 3600, recovery: 3600}}\n        {ONE_ATTEMPT}"
    stage.fail("analyze_xray", {"status": 500}, {"status": 500})
    with stage.runner(stage.document("diagnosis.yaml", with_policies("analyze_xray", breaker))) as runner:
        errors = [error_of(runner.run(CASE)) for _ in range(3)]
    assert errors == ["RemoteStatus", "RemoteStatus", "CircuitOpen"]
    assert len(stage.heard("analyze_xray")) == 2


def test_a_breaker_recovers(stage: Stage) -> None:
    breaker = f"breaker: {{name: recovers, failures: 1, window: 3600, recovery: 0.3}}\n        {ONE_ATTEMPT}"
    stage.fail("analyze_xray", {"status": 500})
    with stage.runner(stage.document("diagnosis.yaml", with_policies("analyze_xray", breaker))) as runner:
        assert error_of(runner.run(CASE)) == "RemoteStatus"
        until(lambda: runner.run(CASE).status == "completed")
    assert len(stage.heard("analyze_xray")) == 2


def test_a_registry_that_is_gone_before_it_is_asked_fails_the_run_which_goes_on_once_it_is_back(
    stage: Stage,
) -> None:
    registry, listed = stage.folder / "later.yaml", (stage.folder / "agents.yaml").read_text()
    document = stage.document("diagnosis.yaml", ("registry: agents.yaml", "registry: later.yaml"))
    with pytest.raises(DocumentInvalid, match=r"registry: There is no file `later\.yaml`"):
        stage.runner(document)
    registry.write_text(listed)
    with stage.runner(document) as runner:
        registry.unlink()
        assert error_of(runner.run(CASE, thread="registry")) == "RegistryUnavailable"
        registry.write_text(listed)
        assert runner.resume("registry").status == "completed"


def test_a_registry_that_goes_away_stays_as_it_was_known(stage: Stage) -> None:
    registry = stage.folder / "going.yaml"
    registry.write_text((stage.folder / "agents.yaml").read_text())
    document = stage.document("diagnosis.yaml", ("registry: agents.yaml", "registry: going.yaml"))
    acted: list[PolicyActed] = []

    def heard(event: Event) -> None:
        if isinstance(event, PolicyActed):
            acted.append(event)

    with Runner(load_target(str(document)).graph, db=stage.folder / "runs.db", on_event=heard) as runner:
        assert runner.run(CASE).status == "completed"
        registry.unlink()
        assert runner.run(CASE).status == "completed"
    assert [(event.policy, event.what) for event in acted] == [("registry", "stale")]


def test_another_agent_of_the_skill_takes_over(stage: Stage) -> None:
    """Two agents measure projections, and one of them is down: the next attempt asks the other."""
    listed = (stage.folder / "agents.yaml").read_text()
    down = "- name: nobody\n  url: http://127.0.0.1:1/\n  skills: [analyze_xray]\n"
    (stage.folder / "twins.yaml").write_text(f"{listed}{down}")
    document = stage.document("diagnosis.yaml", ("registry: agents.yaml", "registry: twins.yaml"))
    with stage.runner(document) as runner:
        done = [runner.run(CASE).status for _ in range(3)]
    assert done == ["completed"] * 3


def test_runs_side_by_side_have_their_own_answers(stage: Stage) -> None:
    document = stage.document("diagnosis.yaml")
    found: dict[int, str] = {}

    def run(case: int) -> None:
        found[case] = runner.run({"case": case}).output["output"]["finding"]

    with stage.runner(document) as runner:
        threads = [threading.Thread(target=run, args=(case,)) for case in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [found[case].partition(",")[0] for case in range(6)] == 2 * [
        "nothing remarkable",
        "bright region",
        "unclear",
    ]
