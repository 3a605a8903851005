"""A loan is approved, or what was done for it is taken back: whatever fails, each entry of the books is there once."""

from __future__ import annotations

import json
import random
import signal
import threading
import time

import pytest

from tests.domains.conftest import Stage, until

AGENTS = ("credit-check", "risk-assessment", "loan-processor")

GOOD = {"applicant_id": "A-001", "amount": 9000, "months": 36}
LARGE = {"applicant_id": "A-007", "amount": 60_000, "months": 60}  # more than the processor pays out


def test_a_loan_is_approved_and_paid_out(stage: Stage) -> None:
    before = stage.mark()
    result = stage.run(stage.document("loan.yaml"), GOOD)
    assert (result.status, result.output["outcome"]) == ("completed", "done")
    assert result.output["output"]["risk"] == "low"
    assert stage.since(before) == {
        "credit-check": ["check_credit"],
        "risk-assessment": ["assess_risk"],
        "loan-processor": ["approve_loan", "pay_out"],
    }


def test_a_loan_is_declined_and_its_check_released(stage: Stage) -> None:
    before = stage.mark()
    result = stage.run(stage.document("loan.yaml"), {**GOOD, "applicant_id": "A-002"})
    assert (result.status, result.output["outcome"], result.output["output"]) == ("completed", "undone", None)
    (why,) = result.output["failures"]
    assert why["name"] == "loan_processing.risk"
    assert "Declined: the score 518 is below 560" in why["message"]
    assert stage.since(before) == {
        "credit-check": ["check_credit", "release_credit_check"],
        "risk-assessment": [],
        "loan-processor": [],
    }


def test_somebody_who_is_not_in_the_table_has_nothing_to_take_back(stage: Stage) -> None:
    before = stage.mark()
    result = stage.run(stage.document("loan.yaml"), {**GOOD, "applicant_id": "A-999"})
    assert (result.output["outcome"], result.output["undone"]) == ("undone", [])
    assert not any(stage.since(before).values())


def test_a_processor_that_cannot_pay_has_everything_undone_in_reverse(stage: Stage) -> None:
    before = stage.mark()
    result = stage.run(stage.document("loan.yaml"), LARGE)
    assert result.output["outcome"] == "undone"
    assert result.output["undone"] == [f"loan_processing.{name}" for name in ("approve", "risk", "check")]
    assert stage.since(before) == {
        "credit-check": ["check_credit", "release_credit_check"],
        "risk-assessment": ["assess_risk", "cancel_assessment"],
        "loan-processor": ["approve_loan", "cancel_loan"],
    }
    times = [stage.ask(method)[-1]["at"] for method in ("list_entries", "list_assessments", "list_checks")]
    assert times == sorted(times)


def test_a_compensation_that_fails_does_not_stop_the_others(stage: Stage) -> None:
    before = stage.mark()
    stage.fail(
        "cancel_assessment", {"method": "cancel_assessment", "error": {"code": -32050, "message": "closed"}}
    )
    result = stage.run(stage.document("loan.yaml"), LARGE)
    assert result.output["outcome"] == "partly undone"
    assert [failed["name"] for failed in result.output["not_undone"]] == ["loan_processing.risk"]
    assert stage.since(before)["loan-processor"] == ["approve_loan", "cancel_loan"]
    assert stage.since(before)["credit-check"] == ["check_credit", "release_credit_check"]


def test_an_answer_that_is_lost_books_no_second_loan(stage: Stage) -> None:
    """The processor dies once the loan is in its book, and comes back before the last attempt."""
    before = stage.mark()
    document = stage.document(
        "loan.yaml", ("initial_interval: 0.01", "initial_interval: 0.2, max_interval: 0.5")
    )
    stage.fail("approve_loan", {"method": "approve_loan", "die": "after"})
    retry = document.read_text().replace("max_attempts: 3", "max_attempts: 200")
    document.write_text(retry)

    def come_back() -> None:
        until(stage.agents.ended)
        stage.agents.restart("loan-processor")

    back = threading.Thread(target=come_back)
    back.start()
    result = stage.run(document, GOOD)
    back.join()
    assert result.output["outcome"] == "done"
    assert stage.since(before)["loan-processor"] == ["approve_loan", "pay_out"]


def test_killed_in_the_middle_of_the_rollback_it_goes_on_with_it(stage: Stage) -> None:
    before = stage.mark()
    document = stage.document("loan.yaml")
    stage.fail("cancel_assessment", {"method": "cancel_assessment", "delay": 60})
    process = stage.command("run", document.name, "--thread", "rollback", "--input", json.dumps(LARGE))
    (key,) = until(lambda: stage.heard("cancel_assessment"))
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert stage.since(before)["loan-processor"] == ["approve_loan", "cancel_loan"]
    assert stage.since(before)["credit-check"] == ["check_credit"]
    stage.fail("cancel_assessment")
    result = stage.said("resume", "rollback")
    assert (result["status"], result["output"]["outcome"]) == ("completed", "undone")
    assert result["output"]["undone"] == [f"loan_processing.{name}" for name in ("approve", "risk", "check")]
    assert stage.heard("cancel_assessment") == [key]
    assert stage.since(before) == {
        "credit-check": ["check_credit", "release_credit_check"],
        "risk-assessment": ["assess_risk", "cancel_assessment"],
        "loan-processor": ["approve_loan", "cancel_loan"],
    }


def test_killed_while_the_loan_is_booked_it_is_booked_once(stage: Stage) -> None:
    before = stage.mark()
    stage.fail("approve_loan", {"method": "approve_loan", "delay_answer": 60})
    process = stage.command("run", "loan.yaml", "--thread", "booking", "--input", json.dumps(GOOD))
    until(lambda: "approve_loan" in stage.since(before)["loan-processor"])
    process.kill()
    process.communicate()
    (key,) = stage.heard("approve_loan")
    stage.fail("approve_loan")
    assert stage.said("resume", "booking")["output"]["outcome"] == "done"
    assert stage.heard("approve_loan") == [key]
    assert stage.since(before)["loan-processor"] == ["approve_loan", "pay_out"]


@pytest.mark.torture
@pytest.mark.parametrize("given", [GOOD, LARGE], ids=["done", "undone"])
def test_killed_at_any_time_and_again_while_it_goes_on_each_entry_is_there_once(
    stage: Stage, given: dict[str, object]
) -> None:
    """Twelve runs, each killed up to three times; agents answer a little late, so that there is time to be killed."""
    chance = random.Random(9)
    kills = 0
    for number in range(12):
        before, thread = stage.mark(), f"torture-{given['amount']}-{number}"
        for skill in ("check_credit", "assess_risk", "approve_loan"):
            stage.fail(skill, *({"delay_answer": 0.1} for _ in range(30)))
        process = stage.command(
            "run", "loan.yaml", "--thread", thread, "--input", json.dumps(given), "--json"
        )
        for _ in range(3):
            time.sleep(chance.uniform(0.7, 1.6))
            if process.poll() is not None:
                break
            process.kill()
            process.communicate()
            kills += 1
            known = any(run["thread"] == thread for run in stage.said("runs"))
            command = (
                ("resume", thread)
                if known
                else ("run", "loan.yaml", "--thread", thread, "--input", json.dumps(given))
            )
            process = stage.command(*command, "--json")
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert json.loads(out)["output"]["outcome"] == ("done" if given is GOOD else "undone")
        taken_back = [] if given is GOOD else ["release_credit_check", "cancel_assessment", "cancel_loan"]
        assert stage.since(before) == {
            "credit-check": ["check_credit", *taken_back[:1]],
            "risk-assessment": ["assess_risk", *taken_back[1:2]],
            "loan-processor": ["approve_loan", *(taken_back[2:] or ["pay_out"])],
        }
    assert kills > 5
