"""What a document costs a call: 100 loan runs side by side, against the agents' own time for the same requests.

The agents are the processes of `examples/domains`; their own time is that of a bare httpx client which asks the same
four things in the same order, for 100 applications at once. What is left, divided by the calls, is ours: reading
references, checking answers, policies, the graph, and a durable commit of every superstep.
"""

from __future__ import annotations

import asyncio
import gc
import shutil
import statistics
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from dalsegno import Runner
from dalsegno.graphs.loading import load_target
from dalsegno.testing import LocalAgents

DOMAINS = Path(__file__).parents[1] / "examples" / "domains"
RUNS, CALLS, ROUNDS = 100, 4, 7
GATE = 5.0
"""Milliseconds that a call may take beside the agent's own time."""
HEADER = "| what | wall, s | the agents' own, s | ours a call, ms | gate | met |\n|---|--:|--:|--:|--:|:-:|"
GIVEN = {"applicant_id": "A-001", "amount": 10, "months": 36}
AGENTS = ("credit-check", "risk-assessment", "loan-processor")


async def bare(urls: dict[str, str], http: httpx.AsyncClient) -> float:
    """Seconds of the same requests without anything of ours."""

    async def ask(method: str, **params: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        key = {"Idempotency-Key": uuid.uuid4().hex}
        answer = await http.post(urls[method], json=body, headers=key)
        return answer.json()["result"]

    async def loan() -> None:
        check = await ask("check_credit", applicant_id=GIVEN["applicant_id"])
        risk = await ask("assess_risk", application=GIVEN, credit=check)
        loan = await ask("approve_loan", application=GIVEN, risk=risk)
        await ask("pay_out", loan_id=loan["loan_id"], amount=loan["amount"])

    began = time.perf_counter()
    await asyncio.gather(*(loan() for _ in range(RUNS)))
    return time.perf_counter() - began


async def ours(runner: Runner) -> float:
    """Seconds of `RUNS` runs of the document."""
    began = time.perf_counter()
    results = await asyncio.gather(*(runner.arun(dict(GIVEN)) for _ in range(RUNS)))
    took = time.perf_counter() - began
    assert all(result.output["outcome"] == "done" for result in results), results[0]
    return took


def measured(rounds: int = ROUNDS) -> list[tuple[float, float]]:
    """Wall time and the agents' own, in turns."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "domains"
        shutil.copytree(DOMAINS, folder, ignore=shutil.ignore_patterns(".dalsegno", "__pycache__"))
        registry = folder / "agents.yaml"
        with LocalAgents(registry, ports="free", write=registry, only=AGENTS, limit=120) as agents:
            urls = {skill: one.url for one in agents.running for skill in one.skills}
            return asyncio.run(_in_turns(folder, urls, rounds))


async def _in_turns(folder: Path, urls: dict[str, str], rounds: int) -> list[tuple[float, float]]:
    limits = httpx.Limits(max_connections=RUNS, max_keepalive_connections=RUNS)
    flow = load_target(str(folder / "loan.yaml")).graph
    times = []
    async with httpx.AsyncClient(limits=limits, timeout=60, trust_env=False) as http:
        with Runner(flow, db=folder / "runs.db") as runner:
            for number in range(-1, rounds):
                gc.collect()
                if number % 2:
                    own = await bare(urls, http)
                    wall = await ours(runner)
                else:
                    wall = await ours(runner)
                    own = await bare(urls, http)
                if number >= 0:  # the first opens the connections
                    times.append((wall, own))
    return times


def rows(rounds: int = ROUNDS) -> Iterator[str]:
    """The table's rows."""
    times = measured(rounds)
    each = statistics.median((wall - own) / (RUNS * CALLS) * 1000 for wall, own in times)
    wall, own = (statistics.median(side) for side in zip(*times, strict=True))
    met = "yes" if each < GATE else "**no**"
    yield f"| {RUNS} loan runs side by side | {wall:.2f} | {own:.2f} | {each:.2f} | < {GATE:g} | {met} |"


if __name__ == "__main__":
    print(HEADER)
    for row in rows():
        print(row, flush=True)
