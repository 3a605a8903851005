"""A run as a Temporal workflow: hand it to a worker, and wait without one where it waits for a human.

Imported when it is needed: it brings Temporal's package with it. A workflow is replayed from its history at each step,
and one that waits for a human may have been begun by an earlier version: where the steps change, `workflow.patched` has
to tell the two apart, and `tests/distributed/histories.json` says whether it does.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, is_cancelled_exception

from dalsegno.distributed.orders import SUBMITTED, Order, Outcome, Turn

PLAY, ADVANCE, WITHDRAW, RESUME = "dalsegno.play", "dalsegno.advance", "dalsegno.withdraw", "resume"
"""What the workflow, its two activities and its signal are called in Temporal."""

RETRY = RetryPolicy(
    initial_interval=timedelta(milliseconds=200),
    backoff_coefficient=2.0,
    maximum_interval=timedelta(seconds=1.5),
)
"""For dead workers, without end. A worker says itself how long to wait where the database is away."""

LAST = 1 << 40
"""The number of the turn in which a run is withdrawn: after every other one, however often a human was asked."""

FOREVER = timedelta(days=3650)
"""Temporal wants an activity to have an end; the heartbeat is the one that counts."""


@workflow.defn(name=PLAY, sandboxed=False)
class Play:
    """From a run's first turn to its end; letters that come meanwhile are acted on one after the other."""

    def __init__(self) -> None:
        self._letters: list[str] = []

    @workflow.signal(name=RESUME)
    def resume(self, letter: str) -> None:
        """Go on, as a letter says."""
        self._letters.append(letter)

    @workflow.run
    async def run(self, order: Order) -> Outcome:
        """Take turns until the run has ended."""
        began = workflow.info().workflow_start_time.timestamp()
        try:
            return await self._play(order, began)
        except (ActivityError, asyncio.CancelledError) as error:
            if not is_cancelled_exception(error) and workflow.cancellation_reason() is None:
                raise
            # From outside, with Temporal's own tools, or while its worker was away: the ledger has to know.
            turn = Turn(order, LAST, began)
            await asyncio.shield(
                workflow.execute_activity(
                    WITHDRAW,
                    turn,
                    result_type=Outcome,
                    start_to_close_timeout=timedelta(minutes=1),
                    retry_policy=RETRY,
                )
            )
            raise

    async def _play(self, order: Order, began: float) -> Outcome:
        letter, is_new, resumes = SUBMITTED, True, order.resumes
        number = 0
        if order.waits:
            letter = await self._letter(None)
        while True:
            number += 1
            outcome: Outcome = await workflow.execute_activity(
                ADVANCE,
                Turn(order, number, began, resumes, letter, is_new),
                result_type=Outcome,
                start_to_close_timeout=FOREVER,
                heartbeat_timeout=timedelta(seconds=order.heartbeat),
                retry_policy=RETRY,
                cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            )
            if outcome.status in ("completed", "cancelled", "deleted"):
                return outcome
            if outcome.status == "failed" and not self._letters:
                return outcome
            resumes = outcome.resumes
            try:
                letter, is_new = await self._letter(outcome.deadline), True
            except TimeoutError:
                is_new = False

    async def _letter(self, deadline: float | None) -> str:
        """The next letter; `TimeoutError` where a question's default stands before one has come."""
        left = None if deadline is None else timedelta(seconds=max(deadline - workflow.time(), 1.0))
        await workflow.wait_condition(lambda: bool(self._letters), timeout=left)
        return self._letters.pop(0)
