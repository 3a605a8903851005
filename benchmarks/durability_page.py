"""docs/durability.md: the template, and the rows of its tables."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dalsegno.checkpoints.file.driver import sqlite3

if TYPE_CHECKING:
    from benchmarks.durability import Row, Upkeep

TEMPLATE = Path(__file__).with_name("durability_template.md")


def row(one: Row) -> str:
    """One line of the first table."""
    counts = (
        one.kills, one.resumed, one.lost, one.again, one.failed, one.damaged, one.other, one.in_flight, one.taken
    )  # fmt: skip
    numbers = " | ".join(f"{number:,}" for number in counts)
    return f"| {one.what} | `{one.profile}` | {one.linger * 1000:g} | {numbers} |"


def upkeep_row(one: Upkeep) -> str:
    """One line of the second table."""
    counts = (one.kills, one.undone, one.done, len(one.wrong))
    return f"| {one.what} | {one.how} | {' | '.join(f'{number:,}' for number in counts)} |"


def page(rows: Sequence[Row], operations: Sequence[Upkeep]) -> str:
    """The whole page."""
    ended = sum(one.kills for one in rows) + sum(one.kills for one in operations)
    machine = (
        f"Measured on {os.cpu_count()} cores, {platform.system()} {platform.release().partition('-')[0]} "
        f"{platform.machine()}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version} "
        f"(`{sqlite3.__name__.partition('.')[0]}`): the power cuts\n"
        f"exercise that build, by the very calls it makes. {ended:,} processes were ended."
    )
    filled = TEMPLATE.read_text()
    for name, text in (
        ("machine", machine),
        ("runs", "\n".join(map(row, rows))),
        ("operations", "\n".join(map(upkeep_row, operations))),
    ):
        filled = filled.replace(f"<!-- {name} -->", text)
    return filled
