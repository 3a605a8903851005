"""Workflow documents: what may stand in them, and the `Workflow` that they mean.

A document is YAML or JSON. `read_definition` reads one, and tells everything that is wrong with it, each with its
line; `WorkflowDefinition.workflow` makes the same `Workflow` of it that Python would. The format is told in
`docs/documents.md`, and as a JSON Schema in `docs/workflow.schema.json`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, JsonValue, PrivateAttr, StringConstraints, Tag, WithJsonSchema

from dalsegno.graphs.documents.headers import Headers
from dalsegno.graphs.documents.policies import BudgetOptions, CallPolicies, Count, Part
from dalsegno.graphs.documents.problems import FieldPath

if TYPE_CHECKING:
    from dalsegno.graphs.documents.source import Source
    from dalsegno.graphs.workflow import Workflow

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$", max_length=100)]
Text = Annotated[str, StringConstraints(min_length=1)]
Strategy = Literal["sequential", "parallel", "conditional", "map_reduce", "saga", "loop", "subworkflow"]
TypeName = Annotated[str, StringConstraints(pattern=r"^(string|integer|number|boolean|object|array|any)\??$")]
OnErrorWord = Literal["fail", "skip", "compensate"]


class InputKey(Part):
    """One key of the input."""

    type: TypeName = "any"
    """What it is; with a question mark at the end it may be missing."""
    description: str | None = None
    """What it means."""
    default: JsonValue = None
    """What it is where it is missing."""

    @property
    def has_default(self) -> bool:
        """Whether a default was given, which may be null."""
        return "default" in self.model_fields_set

    @property
    def optional(self) -> bool:
        """Whether it may be missing."""
        return self.type.endswith("?") or self.has_default


class FallbackValue(Part):
    """A value that stands in for an answer."""

    value: JsonValue
    """The value, with references in it."""


class CallOfAgent(CallPolicies):
    """A call: of an agent of the registry, of an agent at a URL, or of a function in Python."""

    name: Name | None = None
    """What it is called; else its method or skill."""
    description: str | None = None
    """What it is for."""
    skill: Text | None = None
    """An agent of the registry that has this skill."""
    agent_url: Text | None = None
    """Where the agent is."""
    method: Text | None = None
    """The JSON-RPC method of the agent at `agent_url`."""
    protocol: Literal["jsonrpc", "a2a"] | None = None
    """How the agent is spoken to; else as the registry says, else jsonrpc."""
    function: Text | None = None
    """`package.module:name` or `file.py:name`, relative to the document: from the value of `params` to a value."""
    params: JsonValue = None
    """What is asked: any value, with references in it."""
    prompt: str | None = None
    """What an A2A agent is asked in words, with references in it."""
    output: dict[str, JsonValue] | None = None
    """A JSON Schema that the answer is held to."""
    headers: Headers | None = None
    """What is sent with each request to an agent, by name: a text, or `{env: VARIABLE, prefix: …}`; of a call that says
    any, in place of those in `defaults`."""
    calls: Annotated[int, Field(ge=0)] | None = None
    """Of a function: the calls of models that it makes at most; 0 says that there are none."""
    effect: bool | None = None
    """Whether it changes the world; calls of a saga, and those with a compensation, do."""
    idempotent: bool | None = None
    """Whether asking twice does no harm: the agent goes by the `Idempotency-Key`, which is the same both times."""
    fallback: FallbackGiven | None = None
    """Who answers when this one cannot: another call, or `{value: …}`."""

    @property
    def target(self) -> str:
        """What is called, in a word: the method, the skill or the function's name."""
        own = self.method or self.skill or (self.function or "").rpartition(":")[2].rpartition(".")[2]
        return own or "agent"


def _is_value(given: Any) -> str:
    keys = given if isinstance(given, dict) else ()
    return "(value)" if isinstance(given, FallbackValue) or "value" in keys else "(call)"


FallbackGiven = Annotated[
    Annotated[CallOfAgent, Tag("(call)")] | Annotated[FallbackValue, Tag("(value)")], Discriminator(_is_value)
]

CallOfAgent.model_rebuild()  # what is said of `fallback` has it inside


class Compensation(CallOfAgent):
    """A call that takes back another one; its params may say `$result`."""


class AgentCall(CallOfAgent):
    """A call of a step."""

    when: Text | None = None
    """Of a conditional step: the condition under which it is the one."""
    compensation: Compensation | None = None
    """The call that takes this one back."""


class Goto(Part):
    """The step that comes next after a failure."""

    goto: Name
    """A step of the same list."""
    max: Count | None = None
    """How often, where it goes back; then the run fails."""


def _is_goto(given: Any) -> str:
    return "(goto)" if isinstance(given, dict | Goto) else "(word)"


OnError = Annotated[
    Annotated[OnErrorWord, Tag("(word)")] | Annotated[Goto, Tag("(goto)")], Discriminator(_is_goto)
]


class Step(Part):
    """A step: some calls, and how they stand to each other."""

    name: Name
    """What it is called; its result is `$context.results.NAME`."""
    description: str | None = None
    """What it is for."""
    strategy: Strategy = "sequential"
    """How its calls are made."""
    condition: Text | None = None
    """The step is skipped where this does not hold."""
    agent_calls: list[AgentCall] = Field(default_factory=list)
    """Its calls."""
    on_error: OnError | None = None
    """What happens when it fails for good: `fail` (of a saga `compensate`), `skip`, `compensate` or `{goto: step}`."""
    budget: BudgetOptions | None = None
    """What it may spend."""
    over: JsonValue = None
    """Of map_reduce: the list, else `$current`."""
    max: Count | None = None
    """Of map_reduce the most items, of a loop the most rounds."""
    max_concurrency: Count | None = None
    """Of parallel and map_reduce: calls at once."""
    until: Text | None = None
    """Of a loop: it is left when this holds after a round."""
    on_exhausted: Literal["go_on", "error"] = "go_on"
    """Of a loop whose rounds are over and `until` does not hold: go on with the last answer, or fail."""
    steps: list[Step] = Field(default_factory=list)
    """Of a loop: nested steps, in place of calls."""
    workflow: Text | None = None
    """Of a subworkflow: another document, or `file.py:name` or `package.module:name`."""
    params: JsonValue = None
    """Of a subworkflow: its input."""

    @property
    def on_failure(self) -> OnErrorWord | Goto:
        """`on_error`, or what it is where nothing is said."""
        if self.on_error is not None:
            return self.on_error
        return "compensate" if self.strategy == "saga" else "fail"

    def call_names(self) -> list[str]:
        """The names of its calls, in their order, each once."""
        taken = {call.name for call in self.agent_calls if call.name}
        numbers: dict[str, int] = {}
        names: list[str] = []
        for call in self.agent_calls:
            name = call.name or _identifier(call.target)
            if call.name is None:
                first = name
                while name in taken or name in RESERVED_CALLS:
                    numbers[first] = numbers.get(first, 1) + 1
                    name = f"{first}_{numbers[first]}"
                taken.add(name)
            names.append(name)
        return names


class Defaults(CallPolicies):
    """Policies of every call of an agent that says nothing else."""

    headers: Headers | None = None
    """What is sent with each request: a text, or `{env: VARIABLE, prefix: …}`, by the header's name."""
    idempotent: bool | None = None
    """Whether the agents go by the `Idempotency-Key`, so that asking twice does no harm."""


def _short_key(given: Any) -> str:
    return "(short)" if isinstance(given, str) else "(options)"


InputGiven = Annotated[
    Annotated[TypeName, Tag("(short)")] | Annotated[InputKey, Tag("(options)")], Discriminator(_short_key)
]

RESERVED_CALLS = frozenset(
    {"begin", "join", "combine", "fork", "match", "decide", "choose", "rollback", "finish"}
)
"""Names that the patterns give to nodes of their own."""

RESERVED_KEYS = frozenset(
    {"input", "results", "current", "context", "output", "outcome", "failed", "failures", "undoable", "undone",
     "not_undone"}
)  # fmt: skip
"""Keys of a document's state, which are no names for keys of its input."""


class WorkflowDefinition(Part):
    """A workflow document."""

    schema_: Text | None = Field(None, alias="$schema")
    """The schema that an editor goes by; it says nothing else."""
    name: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    """What the workflow is called."""
    version: Annotated[Text, WithJsonSchema({"type": ["string", "number"], "minLength": 1})] = "1"
    """Of its meaning; kept with each run."""
    description: str | None = None
    """What it is for."""
    metadata: dict[str, JsonValue] = Field(default_factory=dict)
    """Anything else about it."""
    input: dict[Name, InputGiven] | None = None
    """The keys of its input; else those that are referred to."""
    registry: Text | None = None
    """A file, relative to the document, or a URL: which agents have which skills."""
    allow_private: bool | list[Text] = False
    """Whether agents may be at private addresses, or the hosts and networks that are allowed."""
    budget: BudgetOptions | None = None
    """What one run may spend."""
    defaults: Defaults | None = None
    """Policies of every call of an agent that says nothing else."""
    steps: Annotated[list[Step], Field(min_length=1)]
    """What is done, in this order."""
    output: JsonValue = None
    """What the run gives, with references; else the result of the last step."""

    _source: Source | None = PrivateAttr(None)
    _checked: bool = PrivateAttr(False)

    def input_keys(self) -> dict[str, InputKey]:
        """The declared keys of the input, by name."""
        given = self.input or {}
        return {name: InputKey(type=key) if isinstance(key, str) else key for name, key in given.items()}

    @property
    def source(self) -> Source | None:
        """Where it was read; None where it was made in Python."""
        return self._source

    @property
    def checked(self) -> bool:
        """Whether it was read, and everything in it looked at."""
        return self._checked

    def read_from(self, source: Source) -> Self:
        """The same definition, with where it was read, and found to be right."""
        self._source, self._checked = source, True
        return self

    def __eq__(self, other: object) -> bool:
        """Whether they say the same, wherever they were read."""
        return isinstance(other, WorkflowDefinition) and dict(self) == dict(other)

    __hash__ = None  # type: ignore[assignment]  # its values are lists and mappings

    @classmethod
    def of(cls, workflow: Workflow) -> WorkflowDefinition:
        """The document that means a workflow: the one it was made of, or one that names it.

        A workflow in Python is named where it stands in a module of its own under a public name; its document has
        one step, which is that workflow.

        Raises
        ------
        DefinitionError
            It was made of no document, and no module has it under a name.
        """
        from dalsegno.graphs.documents.writing import definition_of

        return definition_of(workflow)

    def to_dict(self) -> dict[str, Any]:
        """What was said, as plain data: `WorkflowDefinition.model_validate` makes the same of it."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)

    def to_yaml(self) -> str:
        """The document as YAML, which is read as the same again."""
        from dalsegno.graphs.documents.writing import yaml_of

        return yaml_of(self.to_dict())

    def workflow(self, *, folder: str | Path | None = None) -> Workflow:
        """The workflow that it means.

        Parameters
        ----------
        folder
            Where files that it names are. Default: the folder of the document, else the current one.

        Raises
        ------
        DocumentInvalid
            Something in it cannot be meant: every problem, each with its place.
        """
        from dalsegno.graphs.documents.building import build

        return build(self, folder=folder)


def walk(steps: list[Step], at: FieldPath = ("steps",)) -> Iterator[tuple[Step, FieldPath]]:
    """Every step and where it stands, a loop before the steps in it."""
    for place, step in enumerate(steps):
        here = (*at, place)
        yield step, here
        yield from walk(step.steps, (*here, "steps"))


def _identifier(text: str) -> str:
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "_" for c in text)
    return kept if kept[:1].isalpha() else f"call_{kept}"


def read_definition(path: str | Path) -> WorkflowDefinition:
    """Read a workflow document.

    Raises
    ------
    DocumentInvalid
        It cannot be read or be meant: `.problems` has all of it, each with line, column and field.
    """
    from dalsegno.graphs.documents.reading import read

    return read(path)


__all__ = ["AgentCall", "Step", "WorkflowDefinition", "read_definition"]
