"""`treatment-planner`: an agent of A2A 1.0, by the protocol's own SDK. It plans what to look at next in test images."""

from __future__ import annotations

from typing import Any

from a2a.helpers.proto_helpers import new_data_part, new_task_from_user_message, new_text_part
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types import AgentCapabilities, AgentCard, AgentInterface, AgentSkill
from google.protobuf.json_format import MessageToDict
from serving import arguments, serve_app
from starlette.applications import Starlette

NOTICE = "A plan for test images, by rules: no medical advice."


def plan(diagnosis: dict[str, Any]) -> dict[str, Any]:
    """What to do next, by the finding and how sure the rules are of it."""
    finding, side = diagnosis["finding"], diagnosis.get("side")
    if side is None:
        steps = ["file both pictures", "measure the next case"]
    elif finding.startswith("unclear"):
        steps = [
            f"make both pictures of the {side} side again",
            "compare the two measurements",
            "have a person look at what differs",
        ]
    else:
        steps = [f"measure the {side} side at twice the size", "have a person look at both pictures"]
    if diagnosis["sure"] < 0.6:
        steps.insert(0, "do not go by this finding alone")
    return {"finding": finding, "steps": steps, "urgent": False, "notice": NOTICE}


class Planner(AgentExecutor):
    """Makes a plan of the data part of a message."""

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        """Answer with a task whose artifact is the plan."""
        assert context.message is not None
        task = new_task_from_user_message(context.message)
        await event_queue.enqueue_event(task)
        told = TaskUpdater(event_queue, task.id, task.context_id)
        await told.start_work(told.new_agent_message([new_text_part("planning")]))
        given = [MessageToDict(part.data) for part in context.message.parts if part.HasField("data")]
        try:
            made = plan(given[0]["diagnosis"])
        except (IndexError, KeyError, TypeError, AttributeError) as error:
            await told.failed(
                told.new_agent_message([new_text_part(f"Give me a diagnosis as data ({error!r}).")])
            )
            return
        await told.add_artifact([new_data_part(made)])
        await told.complete()

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        """A plan is made at once: there is nothing to stop."""
        assert context.task_id is not None
        assert context.context_id is not None
        await TaskUpdater(event_queue, context.task_id, context.context_id).cancel()


def main() -> None:
    """Serve."""
    options = arguments().parse_args()
    url = f"http://127.0.0.1:{options.port}/a2a"
    card = AgentCard(
        name="treatment-planner",
        description="Plans what to look at next in test images. No medical advice.",
        version="1",
        capabilities=AgentCapabilities(streaming=True),
        default_input_modes=["application/json"],
        default_output_modes=["application/json"],
        skills=[
            AgentSkill(
                id="create_treatment_plan", name="Plan", description="A plan for a finding", tags=["plan"]
            )
        ],
        supported_interfaces=[AgentInterface(url=url, protocol_binding="JSONRPC", protocol_version="1.0")],
    )
    handler = DefaultRequestHandler(agent_executor=Planner(), task_store=InMemoryTaskStore(), agent_card=card)
    serve_app(
        Starlette(routes=[*create_agent_card_routes(card), *create_jsonrpc_routes(handler, "/a2a")]), options
    )


if __name__ == "__main__":
    main()
