"""JSON Schemas that others read: what a workflow takes, and what a question asks for."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from dalsegno.nodes.parts import fields
from dalsegno.nodes.secrets import MASK, holds_secret


class ShownSchema(GenerateJsonSchema):
    """As pydantic makes them, without the defaults of secret fields.

    >>> from typing import Annotated
    >>> from pydantic import create_model
    >>> from dalsegno import Secret
    >>> Login = create_model("Login", key=(Annotated[str, Secret], "sk-1234"))
    >>> Login.model_json_schema(schema_generator=ShownSchema)["properties"]["key"]["default"]
    '**********'
    """

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        return _shown(super().model_schema(schema), schema["cls"])

    def dataclass_schema(self, schema: core_schema.DataclassSchema) -> JsonSchemaValue:
        return _shown(super().dataclass_schema(schema), schema["cls"])


def _shown(schema: JsonSchemaValue, of: Any) -> JsonSchemaValue:
    properties = schema.get("properties", {})
    for name, annotation in fields(of).items():
        if "default" in properties.get(name, {}) and holds_secret(annotation):
            properties[name]["default"] = MASK
    return schema
