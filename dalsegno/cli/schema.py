"""`dalsegno schema`: the JSON Schema of workflow documents, for editors."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from dalsegno.cli.exits import COMPLETED, UsageError, reporting


@reporting
def command(
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write the schema to this file. Default: stdout."
        ),
    ] = None,
) -> int:
    """Print the JSON Schema of workflow documents.

    With it, editors complete and check a document. Name it in the document's first line:

    # yaml-language-server: $schema=workflow.schema.json
    """
    import json

    from dalsegno.cli.screen import carried
    from dalsegno.graphs.documents.publishing import json_schema

    text = json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
    if output is None:
        print(carried(text, sys.stdout), end="")
        return COMPLETED
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"`{output}` cannot be written: {error.strerror or error}.") from None
    return COMPLETED
