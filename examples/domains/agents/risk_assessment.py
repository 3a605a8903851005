"""`risk-assessment`: how much of an income instalments would take, by a rule. It is no advice about money."""

from __future__ import annotations

from typing import Any

import serving
from book import Book
from serving import Refused, arguments, serve_app

LEAST_SCORE = 560
MOST_OF_INCOME = 0.45
YEARLY_RATE = 0.06


def instalment(amount: float, months: int) -> float:
    """What is to be paid each month for an annuity of so many months."""
    rate = YEARLY_RATE / 12
    return amount * rate / (1 - (1 + rate) ** -months)


def main() -> None:
    """Serve."""
    parser = arguments()
    parser.add_argument("--book", required=True)
    options = parser.parse_args()
    book = Book(options.book)

    def assess_risk(application: dict[str, Any], credit: dict[str, Any]) -> dict[str, Any]:
        amount, months = application["amount"], application["months"]
        if amount <= 0 or months <= 0:
            raise Refused(-32602, "Amount and months are above zero.")
        monthly = instalment(amount, months)
        share = (credit["monthly_debts"] + monthly) / max(credit["monthly_income"], 1)
        reasons = []
        if credit["score"] < LEAST_SCORE:
            reasons.append(f"the score {credit['score']} is below {LEAST_SCORE}")
        if share > MOST_OF_INCOME:
            reasons.append(
                f"instalments would take {share:.0%} of the income, and may take {MOST_OF_INCOME:.0%}"
            )
        if reasons:
            raise Refused(-32010, f"Declined: {'; '.join(reasons)}.", reasons=reasons)
        risk = "low" if share < 0.25 and credit["score"] >= 650 else "medium"

        def assess() -> dict[str, Any]:
            numbers = {"monthly": round(monthly, 2), "share": round(share, 4), "score": credit["score"]}
            return {"id": book.next("assessment"), "risk": risk, **numbers}

        return book.once("assess_risk", application["applicant_id"], assess)

    def cancel_assessment(assessment_id: str) -> dict[str, Any]:
        return book.once("cancel_assessment", assessment_id, lambda: {"id": assessment_id, "cancelled": True})

    def list_assessments() -> list[dict[str, Any]]:
        return book.entries()

    functions = (assess_risk, cancel_assessment, list_assessments)
    serve_app(serving.application("risk-assessment", *functions), options)


if __name__ == "__main__":
    main()
