"""`loan-processor`: books loans and pays them out, in a book of its own. No money is moved anywhere."""

from __future__ import annotations

from typing import Any

import serving
from book import Book
from serving import Refused, arguments, serve_app

FUND = 250_000.0
"""What can be paid out in all, of one loan at most a fifth."""


def main() -> None:
    """Serve."""
    parser = arguments()
    parser.add_argument("--book", required=True)
    options = parser.parse_args()
    book = Book(options.book)

    def approve_loan(application: dict[str, Any], risk: dict[str, Any]) -> dict[str, Any]:
        def approve() -> dict[str, Any]:
            return {
                "loan_id": book.next("loan"),
                "applicant_id": application["applicant_id"],
                "amount": application["amount"],
                "monthly": risk["monthly"],
            }

        return book.once("approve_loan", application["applicant_id"], approve)

    def cancel_loan(loan_id: str) -> dict[str, Any]:
        return book.once("cancel_loan", loan_id, lambda: {"loan_id": loan_id, "cancelled": True})

    def pay_out(loan_id: str, amount: float) -> dict[str, Any]:
        def pay() -> dict[str, Any]:
            if book.answers("cancel_loan", loan_id):
                raise Refused(-32022, f"{loan_id} was cancelled.", loan_id=loan_id)
            left = FUND - book.total("pay_out", "amount")
            if amount > min(left, FUND / 5):
                raise Refused(
                    -32020,
                    f"{amount:,.2f} is more than can be paid out: {min(left, FUND / 5):,.2f}.",
                    loan_id=loan_id,
                )
            return {"payment_id": book.next("payment"), "loan_id": loan_id, "amount": amount}

        return book.once("pay_out", loan_id, pay)

    def list_entries() -> list[dict[str, Any]]:
        return book.entries()

    functions = (approve_loan, cancel_loan, pay_out, list_entries)
    serve_app(serving.application("loan-processor", *functions), options)


if __name__ == "__main__":
    main()
