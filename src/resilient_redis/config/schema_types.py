"""The JSON Schema of a field's type."""

from __future__ import annotations

import enum
import functools
import operator
from typing import Any, get_args

import msgspec

from resilient_redis.config.from_text import NONE, is_duration, takes_none

Schema = dict[str, Any]

DURATION: Schema = {
    "title": "Duration",
    "description": 'Seconds as a number, or text with a unit: "250ms", "1.5s", "2m", "1h".',
    "anyOf": [
        {"type": "number", "minimum": 0},
        {"type": "string", "pattern": r"^\s*[0-9]*\.?[0-9]+\s*(us|ms|s|m|h|d)\s*$"},
    ],
    "examples": ["250ms", 1.5],
}

NULL: Schema = {"enum": [None, NONE]}
"""What is ``None`` in code."""

REFERENCE: Schema = {
    "title": "Reference",
    "description": "A value that stands elsewhere: env:NAME is a variable of the environment, file:PATH a file.",
    "type": "string",
    "pattern": "^(env|file):.+",
    "examples": ["env:REDIS_PASSWORD", "file:/run/secrets/redis"],
}


def type_schema(wanted: Any) -> Schema:
    """The schema of a type as the specs use them: plain types, bounds, literals, enums, durations, lists, tables.

    >>> type_schema(int | None)
    {'anyOf': [{'type': 'integer'}, {'enum': [None, 'none']}]}
    """
    if wanted is Any:
        return {}
    if takes_none(wanted) and not _is_enum(wanted):
        return _or_none(wanted)
    if is_duration(wanted):
        return {"$ref": "#/$defs/duration"}
    for option in (wanted, *get_args(wanted)):
        if isinstance(option, type) and issubclass(option, enum.Enum):
            return {"enum": [member.value for member in option]}
    found = msgspec.json.schema(wanted)
    found.pop("$schema", None)
    return _merge_types(found)


def _or_none(wanted: Any) -> Schema:
    """A type that may be ``None``: null, or the word for it where there is no null."""
    others = [option for option in get_args(wanted) if option is not type(None)]
    return {"anyOf": [type_schema(functools.reduce(operator.or_, others)), NULL]}


def _is_enum(wanted: Any) -> bool:
    return any(isinstance(option, type) and issubclass(option, enum.Enum) for option in get_args(wanted))


def _merge_types(schema: Schema) -> Schema:
    """``{"type": ["integer", "null"]}`` says what ``anyOf`` says, and editors show it better."""
    options = schema.get("anyOf")
    if options is None or not all(isinstance(option.get("type"), str) for option in options):
        return schema
    merged: Schema = {"type": [option["type"] for option in options]}
    for option in options:
        merged.update({key: value for key, value in option.items() if key != "type"})
    return merged


def or_reference(schema: Schema) -> Schema:
    """The same, or a text that says where the value stands; every text may be one."""
    if "string" in schema.get("type", ()):
        return schema
    return {"anyOf": [schema, {"$ref": "#/$defs/reference"}]}


def or_null(schema: Schema) -> Schema:
    """The same, or null, which counts as left out."""
    return {**schema, "type": [schema["type"], "null"]} if isinstance(schema.get("type"), str) else schema


def table(properties: Schema, description: str, *, required: list[str] | None = None) -> Schema:
    """A table with these keys and no others."""
    schema: Schema = {"type": "object", "description": description, "properties": properties}
    if required:
        schema["required"] = required
    return {**schema, "additionalProperties": False}


def struct_fields(spec: Any, texts: dict[str, str]) -> tuple[Schema, list[str]]:
    """The properties of a msgspec struct with their defaults and descriptions, and which of them are required."""
    properties: Schema = {}
    required = []
    for field in msgspec.structs.fields(spec):
        schema = type_schema(field.type)
        if field.encode_name in texts:
            schema["description"] = texts[field.encode_name]
        default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
        if default is msgspec.NODEFAULT:
            required.append(field.encode_name)
        elif default is not msgspec.UNSET and default is not None:
            schema["default"] = default
        properties[field.encode_name] = schema
    return properties, required
