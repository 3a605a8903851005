"""`credit-check`: a score by a rule on the table of made-up people in `applicants.csv`. It is no credit rating."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import serving
from book import Book
from serving import Refused, arguments, serve_app

PEOPLE = Path(__file__).parents[1] / "applicants.csv"


def score(person: dict[str, Any]) -> int:
    """Points from 300 to 850: more for a long job and an old account, less for debts and payments that were missed."""
    debts = person["monthly_debts"] / max(person["monthly_income"], 1)
    points = 600 + 12 * min(person["years_at_job"], 10) + min(person["account_months"], 120) // 2
    return int(max(300, min(850, points - 70 * person["missed_payments"] - 300 * debts)))


def main() -> None:
    """Serve."""
    parser = arguments()
    parser.add_argument("--book", required=True)
    options = parser.parse_args()
    book, people = Book(options.book), table()

    def check_credit(applicant_id: str) -> dict[str, Any]:
        person = people.get(applicant_id)
        if person is None:
            raise Refused(-32001, f"Nobody in the table is {applicant_id!r}.", applicant_id=applicant_id)

        def check() -> dict[str, Any]:
            return {"check_id": book.next("check"), "score": score(person), **person}

        return book.once("check_credit", applicant_id, check)

    def release_credit_check(check_id: str) -> dict[str, Any]:
        return book.once("release_credit_check", check_id, lambda: {"check_id": check_id, "released": True})

    def list_checks() -> list[dict[str, Any]]:
        return book.entries()

    functions = (check_credit, release_credit_check, list_checks)
    serve_app(serving.application("credit-check", *functions), options)


def table() -> dict[str, dict[str, Any]]:
    """The people, by their id; numbers are numbers."""
    with PEOPLE.open(newline="", encoding="utf-8") as file:
        rows = [
            {name: value if name in ("applicant_id", "name") else int(value) for name, value in row.items()}
            for row in csv.DictReader(file)
        ]
    return {str(row["applicant_id"]): row for row in rows}


if __name__ == "__main__":
    main()
