"""What was given for a node beside its action: policies, LangGraph's options, and what is said of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, get_origin

from dalsegno.errors import DefinitionError
from dalsegno.graphs import declarations as declared
from dalsegno.graphs.definitions import NodeDefinition, handler_name, native_retry, node_definition
from dalsegno.nodes.kinds import FLAG, MAPPING, NAMES, Kind, check_kinds
from dalsegno.nodes.models import takes_messages
from dalsegno.nodes.player import Player
from dalsegno.nodes.policies import Budget, Fallback, Policies
from dalsegno.nodes.policies.checking import check_node
from dalsegno.nodes.policies.fallback import is_called

_SAID = ("calls", "reads", "writes", "effect", "idempotent", "compensate", "interrupts")


def read_options(
    definition: NodeDefinition,
    given: Mapping[str, Any],
    defaults: Mapping[str, Any],
    *,
    inner: Budget | None = None,
) -> None:
    """Keep in the definition what was given for a node, with the workflow's defaults where nothing was.

    `given` are keywords of `Workflow.add_node`; `inner` is the budget of the workflow that is the node.

    Raises
    ------
    DefinitionError
        A policy or a count cannot be meant, or keys are mapped of what has none.
    """
    for name in ("calls", "interrupts"):
        count = given[name]
        if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 0):
            raise DefinitionError(
                f"`{definition.name}` at {definition.where}: `{name}={count!r}` is a whole number, 0 or more."
            )
    given = {**given, **_of_right_kinds(definition, given)}
    definition.given = given, inner  # with keys that can be read again
    node, where, is_subworkflow = definition.name, definition.where, definition.child is not None
    if (definition.inputs is not None or definition.outputs is not None) and not is_subworkflow:
        raise DefinitionError(
            f"`{node}` at {where}: `inputs` and `outputs` map the keys of a subworkflow, and this node is not one."
        )
    maps = {"inputs": definition.inputs, "outputs": definition.outputs}
    check_kinds(f"`{node}` at {where}", maps, dict.fromkeys(maps, NAMES))
    handler = _first(given["error_handler"], defaults.get("error_handler"))
    if handler is not None:
        definition.handler = node_definition(handler_name(handler), handler, where, given["input_schema"])
    retries = _first(given["retry"], given["retry_policy"])
    if retries is None and not is_subworkflow:  # a subworkflow's nodes have their own
        retries = defaults.get("retry_policy")
    caching = _first(given["cache"], given["cache_policy"], defaults.get("cache_policy"))
    budget = given["budget"]
    policies = definition.policies = Policies.of(
        cache=caching,
        budget=budget.tighter(inner) if budget is not None else inner and inner.of_a_node(),
        rate_limit=given["rate_limit"],
        fallback=given["fallback"],
        breaker=given["breaker"],
        retry=retries,
        timeout=_first(given["timeout"], defaults.get("timeout")),
        watch=_first(given["watch"], defaults.get("watch")),
    )
    _check_models(definition, policies.fallback)
    given = {**given, **_known(definition, given, policies.fallback)}
    interrupts = given["interrupts"]
    check_node(node, where, policies, interrupts=interrupts, is_subworkflow=is_subworkflow)
    definition.timeout = policies.timeout.seconds if policies.timeout else None
    definition.options = {
        "defer": given["defer"],
        "metadata": given["metadata"],
        "retry_policy": native_retry(retries) if interrupts else None,
        "trace_policy": given["trace_policy"],
    }
    shown = {name: given[name] for name in ("fallback", "breaker", "rate_limit", "budget")}
    shown |= {"retry": retries, "cache": caching, "watch": policies.watch}
    definition.said = {name: given[name] for name in _SAID}
    definition.said["retry"] = retries
    definition.said["policies"] = {name: value for name, value in shown.items() if value is not None}


_SCHEMA = Kind(
    lambda given: declared.schema_keys(given) is not None,
    "a TypedDict, a dataclass or a pydantic class with named keys",
)
_CLASS = Kind(lambda given: isinstance(given, type) or get_origin(given) is not None, "a class")
_BUDGET = Kind(lambda given: isinstance(given, Budget), "a Budget(...)")

_OF_A_WORKFLOW = {
    "context_schema": _CLASS,
    "input_schema": _SCHEMA,
    "output_schema": _SCHEMA,
    "version": Kind(
        lambda given: isinstance(given, str | int | float) and not isinstance(given, bool), "a text"
    ),
    "budget": _BUDGET,
}

_OF_A_NODE = {
    "input_schema": _CLASS,
    "error_handler": Kind(lambda given: callable(given) or hasattr(given, "invoke"), "a function"),
    "compensate": Kind(lambda given: isinstance(given, str), "the name of a node"),
    "metadata": MAPPING,
    "budget": _BUDGET,
    "defer": FLAG,
    "effect": FLAG,
    "idempotent": FLAG,
}
"""What is given for a node and read by nobody else before it is used."""


def check_workflow(name: Any, state_schema: Any, given: Mapping[str, Any]) -> None:
    """Raise where a workflow is not given what it needs; `given` are keywords of `Workflow`."""
    if not isinstance(name, str) or not name:
        raise DefinitionError(
            f'Workflow({name!r}, ...): the first argument is a name, like Workflow("article", State).'
        )
    if not _SCHEMA.has(state_schema):
        way, generic = "", get_origin(state_schema)
        if _SCHEMA.has(generic):
            way = (
                f" Fill in its parameters in a class of its own: `class Named({generic.__name__}[...]): ...`."
            )
        raise DefinitionError(f"Workflow {name!r}: the state is {_SCHEMA.words}, not {state_schema!r}.{way}")
    check_kinds(f"Workflow {name!r}", given, _OF_A_WORKFLOW)


def _of_right_kinds(definition: NodeDefinition, given: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that are read and written; one may stand alone. Raises where anything is of the wrong kind."""

    def refused(name: str, what: str) -> DefinitionError:
        return DefinitionError(
            f"`{definition.name}` at {definition.where}: `{name}={given[name]!r}`: {what} is needed."
        )

    check_kinds(f"`{definition.name}` at {definition.where}", given, _OF_A_NODE)
    keys: dict[str, Any] = {}
    for name in ("reads", "writes"):
        if given[name] is not None:
            keys[name] = (given[name],) if isinstance(given[name], str) else given[name]
            if not isinstance(keys[name], Iterable):
                raise refused(name, "a state key, or several,")
            keys[name] = tuple(keys[name])
            if not all(isinstance(key, str) for key in keys[name]):
                raise refused(name, "a state key, or several,")
    return keys


def _check_models(definition: NodeDefinition, fallback: Fallback | None) -> None:
    """Refuse a chat model where something is called with the state."""
    places = [("the node", definition.action)]
    places += [("its fallback", answer) for answer in (fallback.answers if fallback is not None else ())]
    for what, action in places:
        if takes_messages(action):
            raise DefinitionError(
                f"`{definition.name}` at {definition.where}: {what} is a chat model, which is asked with messages and "
                'cannot read a state. Say what it is told: agent(model, "... {key} ...", writes="key").'
            )


def _known(definition: NodeDefinition, given: Mapping[str, Any], fallback: Fallback | None) -> dict[str, Any]:
    """What is said of a node: as it was given, else as a player knows of itself, else nothing."""
    action = definition.action
    own = dict(action.declares()) if isinstance(action, Player) else {}
    # A workflow's nodes declare their own; what is said of its node is of who stands in for it.
    stands_in = definition.child is not None and fallback is not None and fallback.calls > 0
    own["calls"] = _most(0 if stands_in else own.get("calls"), fallback, others_say=not stands_in)
    said = {name: _first(given[name], own.get(name)) for name in _SAID}
    nothing = {"effect": False, "idempotent": False, "interrupts": 0}
    return {name: nothing.get(name) if value is None else value for name, value in said.items()}


def _most(calls: int | None, fallback: Fallback | None, *, others_say: bool = True) -> int | None:
    """The most model calls of an attempt, who stands in for the node among them; None where they are unknown.

    What is no player makes no more than was said; where nothing was (`others_say` is False), nobody knows.
    """
    for answer in fallback.answers if fallback is not None else ():
        if calls is not None and isinstance(answer, Player):
            others = answer.declares().get("calls")
            calls = None if others is None else max(calls, others)
        elif not others_say and is_called(answer):
            calls = None
    return calls


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)
