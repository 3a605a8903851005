"""output_validation: the figures of a library module as JSON, checked, repaired and handed over.

The module is Python's own `textwrap`. A function counts its functions in a hurry, and forgets a field. The form is
checked by a schema, the content by Python's tokenizer and parser; each repair mends what the check named. No model is
used, unless ``--model`` names one for the repairs.

    $ python examples/patterns/output_validation.py
    figures: every run ends within 17 supersteps.
    This one took …
    valid: {"module": "textwrap", "functions": …, "comments": …}
"""

from __future__ import annotations

import ast
import inspect
import io
import json
import textwrap
import tokenize
from collections.abc import Iterable, Mapping
from typing import Any

import stage
from pydantic import BaseModel, ConfigDict

from dalsegno import Workflow
from dalsegno.graphs.patterns import output_validation

SOURCE = inspect.getsource(textwrap)
GIVEN: dict[str, Any] = {
    "request": "As JSON: the module's name, and how many functions and comments it has: module, functions, comments."
}


class Figures(BaseModel):
    model_config = ConfigDict(extra="forbid")

    module: str
    functions: int
    comments: int


def hurried(state: Any) -> str:
    return json.dumps({"module": "textwrap", "functions": SOURCE.count("def ")})


def truth() -> dict[str, int]:
    tokens = tokenize.generate_tokens(io.StringIO(SOURCE).readline)
    comments = sum(token.type == tokenize.COMMENT for token in tokens)
    functions = sum(isinstance(node, ast.FunctionDef) for node in ast.walk(ast.parse(SOURCE)))
    return {"functions": functions, "comments": comments}


def right(state: Any) -> dict[str, list[str]]:
    """Whether the figures are those that Python itself counts."""
    said = json.loads(state["output"])
    return {"problems": [f"{key}: {n}, not {said[key]}" for key, n in truth().items() if said[key] != n]}


def mend(state: Any) -> str:
    """Add what is missing by a guess, or set what is wrong to what the check counted."""
    said = json.loads(state["output"])
    for problem in state["check"]["problems"]:
        field, _, rest = problem.partition(": ")
        said[field] = int(rest.partition(",")[0]) if "not" in rest else SOURCE.count("#")
    return json.dumps(said)


def flow(model: str | None = None) -> Workflow:
    return output_validation(Figures, right, model or mend, producer=hurried, name="figures")


def show(output: Mapping[str, Any]) -> Iterable[str]:
    yield f"{output['outcome']}: {output['output']}"


if __name__ == "__main__":
    stage.play(flow, GIVEN, show)
