"""A run that waits for a human outlives a deployment: its workflow in Temporal is replayed by code that is newer.

`histories.json` was recorded by the first version; it is never recorded anew, only added to.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner

from dalsegno.distributed.playing import Play

HISTORIES = json.loads((Path(__file__).parent / "histories.json").read_text())


@pytest.mark.parametrize("workflow", HISTORIES)
def test_what_an_earlier_version_began_goes_on(workflow: str) -> None:
    history = WorkflowHistory.from_json(workflow, HISTORIES[workflow])

    async def replay() -> None:
        replayer = Replayer(workflows=[Play], workflow_runner=UnsandboxedWorkflowRunner())
        await replayer.replay_workflow(history)

    asyncio.run(replay())
