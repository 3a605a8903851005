"""Whatever can be a tool, as a LangChain tool: functions, players, runnables, workflows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from langchain_core.messages import ToolMessage
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.tools import BaseTool, StructuredTool
from langchain_core.tools import Tool as SimpleTool
from langgraph.errors import GraphInterrupt
from pydantic import BaseModel, create_model
from pydantic.errors import PydanticInvalidForJsonSchema

from dalsegno.errors import DefinitionError, ToolFailed
from dalsegno.nodes.arguments import given_of, input_of, may_be_left_out, model_of
from dalsegno.nodes.function_tools import check_names, of_function
from dalsegno.nodes.labels import tool_name
from dalsegno.nodes.looping import has_no_sync_way
from dalsegno.nodes.player import Player
from dalsegno.nodes.results import Result, text_of
from dalsegno.nodes.subworkflow import keeping_nothing


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a tool beside its schema.

    `calls` of models in one call of it (None: unknown); `loud` where a failure fails the node; `is_proved` where what
    it runs is proved to end; `gives_data` where its result comes as data too; `effect` and `idempotent` as of nodes.
    """

    calls: int | None = 0
    loud: bool = False
    is_proved: bool = False
    gives_data: bool = False
    effect: bool = False
    idempotent: bool = False


def known_of(tool: BaseTool) -> Known:
    """What is known of a tool; of one of LangChain's own that it calls no model."""
    known = (tool.metadata or {}).get(_KNOWN)
    return known if isinstance(known, Known) else Known()


def declared_of(tool: BaseTool) -> dict[str, Any]:
    """What was declared of a tool, as keywords of `add_node`; nothing where nothing was."""
    known = (tool.metadata or {}).get(_KNOWN)
    if not isinstance(known, Known):
        return {}
    return {"calls": known.calls, "effect": known.effect, "idempotent": known.idempotent}


def knowing(tool: BaseTool, known: Known) -> BaseTool:
    """A copy of a tool of which that is known."""
    return tool.model_copy(update={"metadata": {**(tool.metadata or {}), _KNOWN: known}})


_KNOWN = "dalsegno"


def as_tool(
    given: Any, *, name: str | None = None, description: str | None = None, result: Result = text_of
) -> BaseTool:
    """A LangChain tool for anything that can be one.

    `result` is what becomes of what a player, a runnable or a workflow gives: by default what a model reads.

    Raises
    ------
    DefinitionError
        It cannot: it is a human, lacks types, or is nothing that can be called.
    """
    if isinstance(given, BaseTool):
        return given if name is None and description is None else _renamed(given, name, description)
    if isinstance(given, Player):
        return _of_player(given, name, description, result)
    if hasattr(given, "compile") and hasattr(given, "input_schema"):
        return _of_workflow(given, name, description, result)
    if isinstance(given, Runnable):
        return _of_runnable(given, name, description, result)
    if callable(given):
        return of_function(given, name, description)
    raise DefinitionError(
        f"{given!r} is no tool. A tool is a function with typed parameters, a LangChain tool, an agent or another "
        "player, a runnable or a workflow."
    )


_THE_TEXT = ("__arg1",)
"""What LangChain tells models of the one text that its simplest tools take."""


def is_composed(schema: Mapping[str, Any]) -> bool:
    """Whether a JSON schema has arguments in other places than its own `properties`."""
    parts = [part for key in ("allOf", "anyOf", "oneOf") for part in schema.get(key) or ()]
    return any(key in schema for key in ("$ref", "if", "dependentSchemas")) or any(
        isinstance(part, Mapping) and set(part) - {"required"} for part in parts
    )


def _takes_a_text(tool: BaseTool) -> bool:
    return isinstance(tool, SimpleTool) and tool.args_schema is None


def arguments_of(tool: BaseTool) -> tuple[str, ...] | None:
    """The arguments that a tool takes from a model; None where it may take any."""
    if _takes_a_text(tool):
        return _THE_TEXT
    schema: Any = tool.tool_call_schema
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        extra = getattr(tool.args_schema, "model_config", {}).get("extra")
        return None if extra == "allow" else tuple(schema.model_fields)
    if (
        not isinstance(schema, Mapping)
        or schema.get("additionalProperties")
        or schema.get("patternProperties")
        or is_composed(schema)
    ):
        return None
    return tuple(schema.get("properties") or ())


def required_of(tool: BaseTool) -> tuple[str, ...]:
    """The arguments without which a tool cannot be called."""
    if _takes_a_text(tool):
        return _THE_TEXT
    schema: Any = tool.tool_call_schema
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        return tuple(key for key, field in schema.model_fields.items() if field.is_required())
    return tuple(schema.get("required") or ()) if isinstance(schema, Mapping) else ()


def check_told(tool: BaseTool) -> None:
    """Refuse a tool whose arguments no model could be told.

    Raises
    ------
    DefinitionError
        One of them has a type that JSON schemas do not have.
    """
    schema: Any = tool.tool_call_schema
    if not isinstance(schema, type) or not issubclass(schema, BaseModel):
        return
    try:
        schema.model_json_schema()
    except PydanticInvalidForJsonSchema as error:
        raise DefinitionError(
            f"The tool `{tool.name}` takes an argument of a type that no model could be told: {error.message}."
        ) from error


def function_of(tool: BaseTool) -> Any:
    """The function behind a tool, for the check to look into; None where what it runs is proved to end."""
    if known_of(tool).is_proved:
        return None
    return getattr(tool, "func", None) or getattr(tool, "coroutine", None) or tool._run


def request_of(tool: BaseTool, arguments: Mapping[str, Any]) -> Any:
    """What a tool is called with: the arguments, or a call with them where data comes beside the words."""
    if not known_of(tool).gives_data:
        return arguments
    return {"name": tool.name, "args": arguments, "id": tool.name, "type": "tool_call"}


def data_in(tool: BaseTool, result: Any) -> Any:
    """The data in what a tool gave to `request_of`, where it gives any."""
    if isinstance(result, ToolMessage) and known_of(tool).gives_data:
        return result.artifact if result.artifact is not None else result.content
    return result


def is_async_only(tool: BaseTool | None) -> bool:
    """Whether a tool is a coroutine function and nothing else."""
    return getattr(tool, "coroutine", None) is not None and getattr(tool, "func", None) is None


def _of_player(player: Player, name: str | None, description: str | None, result: Result) -> BaseTool:
    if player.kind == "human":
        raise DefinitionError(
            f"`{player.name}` is a human, and no tool: the whole tool loop would run again after the answer. Ask in a "
            "node of its own."
        )
    own = getattr(player, "tool", None)
    if isinstance(own, BaseTool):
        return _of_tool_node(player, own, name, description)
    return _of_asked(player, name, description, result)


def _of_tool_node(player: Player, own: BaseTool, name: str | None, description: str | None) -> BaseTool:
    """The tool behind a node: its arguments come from the model here, not from the state."""
    said = player.declares()
    tool = as_tool(own, name=name or tool_name(player.name), description=description)
    return knowing(
        tool,
        replace(
            known_of(tool),
            calls=said["calls"],
            loud=getattr(player, "errors", None) == "raise",
            effect=said["effect"],
            idempotent=said["idempotent"],
        ),
    )


def _of_asked(player: Player, name: str | None, description: str | None, result: Result) -> BaseTool:
    """An agent, here or elsewhere: a model fills in the fields of its prompt."""
    said = player.declares()
    talk = getattr(getattr(player, "told", None), "messages", None)
    fields: dict[str, Any] = {
        key: may_be_left_out(str) if key in player.optional else (str, ...)
        for key in said.get("reads") or ()
        if key != talk
    }
    if not fields:
        raise DefinitionError(
            f"`{player.name}` cannot be a tool: its prompt names no fields that a model could fill in. Give it a text "
            "with {field}s."
        )
    check_names(fields, name or player.name)
    schema = create_model(player.name, **fields)

    def call(config: RunnableConfig, **arguments: Any) -> Any:
        return result(player.invoke(given_of(arguments), config))

    async def acall(config: RunnableConfig, **arguments: Any) -> Any:
        return result(await player.ainvoke(given_of(arguments), config))

    return StructuredTool(
        name=name or tool_name(player.name),
        description=description or getattr(player, "description", None) or f"Asks {player.name}.",
        args_schema=schema,
        func=call,
        coroutine=acall,
        metadata={
            _KNOWN: Known(
                calls=said.get("calls", 0 if player.kind == "remote" else None),
                effect=bool(said.get("effect")),
                idempotent=bool(said.get("idempotent")),
            )
        },
    )


def _of_workflow(workflow: Any, name: str | None, description: str | None, result: Result) -> BaseTool:
    """A workflow, from its input to its output: one step of the node, with a bound of its own, without checkpoints."""
    report = workflow.validate()
    report.raise_for_errors()
    asking = _waiting_in(workflow.spec)
    if asking is not None:
        raise DefinitionError(_unanswerable(workflow.name, f"`{asking}` in it waits"))
    certificate = report.certificate
    schema = model_of(workflow.input_schema, name or workflow.name)
    check_names(schema.model_fields, name or workflow.name)
    compiled: list[Any] = []

    def graph() -> Any:
        if not compiled:
            compiled.append(workflow.compile(checkpointer=False))
        return compiled[0]

    def call(config: RunnableConfig, **arguments: Any) -> Any:
        try:
            return result(graph().invoke(given_of(arguments), _apart(config)))
        except GraphInterrupt:
            raise _asked(workflow.name) from None

    async def acall(config: RunnableConfig, **arguments: Any) -> Any:
        try:
            return result(await graph().ainvoke(given_of(arguments), _apart(config)))
        except GraphInterrupt:
            raise _asked(workflow.name) from None

    in_a_loop_only = workflow.spec.is_async
    return StructuredTool(
        name=name or tool_name(workflow.name),
        description=description or f"Runs the workflow {workflow.name}.",
        args_schema=schema,
        func=None if in_a_loop_only else call,
        coroutine=acall,
        metadata={_KNOWN: Known(calls=certificate.model_calls if certificate else None, is_proved=True)},
    )


def _waiting_in(spec: Any, seen: frozenset[int] = frozenset()) -> str | None:
    """The first node that says it waits for a human, in subworkflows too."""
    for node in spec.nodes.values():
        if node.child is None and node.interrupts:
            return str(node.name)
        if node.child is not None and id(node.child) not in seen:
            found = _waiting_in(node.child, seen | {id(node.child)})
            if found is not None:
                return f"{node.name}/{found}"
    return None


def _unanswerable(name: str, who: str) -> str:
    return (
        f"The workflow `{name}` is a tool, and {who} for a human: it keeps no checkpoints there, so that no answer "
        "could reach it. Ask in a node of its own, or in a tool that is a function."
    )


def _asked(name: str) -> ToolFailed:
    problem = _unanswerable(name, "something in it waits")
    return ToolFailed(problem, node=name, tool=name, problem=problem, loud=True)


def _apart(config: RunnableConfig) -> RunnableConfig:
    """The config without what only the graph around it has: its recursion limit, and how it keeps checkpoints."""
    own: RunnableConfig = keeping_nothing(config)
    own.pop("recursion_limit", None)
    return own


def _of_runnable(
    runnable: Runnable[Any, Any], name: str | None, description: str | None, result: Result
) -> BaseTool:
    own = name or tool_name(runnable.get_name().replace(" ", "_"))
    schema = input_of(runnable, own)
    if schema is None:
        raise DefinitionError(
            f"`{own}` takes no named arguments, so a model cannot call it. Wrap it in a function with typed parameters."
        )
    check_names(schema.model_fields, own)
    keeps = getattr(runnable, "checkpointer", None) is not False

    def call(config: RunnableConfig, **arguments: Any) -> Any:
        return result(runnable.invoke(given_of(arguments), config if keeps else keeping_nothing(config)))

    async def acall(config: RunnableConfig, **arguments: Any) -> Any:
        asked = runnable.ainvoke(given_of(arguments), config if keeps else keeping_nothing(config))
        return result(await asked)

    return StructuredTool(
        name=own,
        description=description or f"Runs {own}.",
        args_schema=schema,
        func=None if has_no_sync_way(runnable) else call,
        coroutine=acall,
        metadata={_KNOWN: Known(calls=None)},
    )


def _renamed(tool: BaseTool, name: str | None, description: str | None) -> BaseTool:
    changes = {"name": name, "description": description}
    return tool.model_copy(update={key: value for key, value in changes.items() if value is not None})
