"""The pages that are made from the code: the configuration reference from the schema, the index of lint codes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from resilient_redis.config.lint_finding import CODES, LEVELS

Schema = dict[str, Any]

_HEAD = """\
# Configuration reference

[Index](index.md) · [Configuration](configuration.md) · [Editors](editors.md)

Every key of a configuration file, made from the code (`resilient-redis schema` prints the same for editors).
A *duration* is seconds as a number, or text with a unit: `"250ms"`, `"1.5s"`, `"2m"`, `"1h"`.
Where *reference* is said, the value may stand elsewhere: `"env:NAME"` is a variable, `"file:PATH"` a file.
Where `"none"` is said, that is what is `None` in code; JSON and YAML may write null as well.
"""

_TABLES = {
    "options": "options",
    "pool": "pool",
    "multiplexed": "multiplexed",
    "commands.NAME": "command",
    "lint": "lint",
}


def page(schema: Schema) -> str:
    """The whole page."""
    parts = [_HEAD, _section("Top level", schema["description"], schema)]
    profile = schema["$defs"]["profile"]
    only = {**profile, "properties": {"extends": profile["properties"]["extends"]}}
    parts.append(_section("profiles.NAME", "What the top level has, without `profiles` and shared tables; and:", only))
    for title, name in _TABLES.items():
        definition = schema["$defs"][name]
        definition = definition["oneOf"][0] if "oneOf" in definition else definition
        if name == "options":
            definition = _without(definition, schema["$defs"]["pool"]["properties"])
        parts.append(_section(title, definition["description"], definition))
    for name, definition in schema["$defs"].items():
        if name.startswith("policy_"):
            kind = name.removeprefix("policy_")
            parts.append(_section(f"policies: {kind}", definition["description"], definition))
    for definition in schema["$defs"]["budget_table"]["oneOf"]:
        kind = definition["properties"]["type"]["const"]
        parts.append(_section(f"budget: {kind}", definition["description"], definition))
    return "\n".join(parts)


def _without(options: Schema, pool: Schema) -> Schema:
    """The options of the pool may stand there too, and are described once."""
    kept = {name: value for name, value in options["properties"].items() if name not in pool}
    text = f"{options['description']} Those of the pool may stand here too, as in code."
    return {**options, "description": text, "properties": kept}


def _section(title: str, text: str, schema: Schema) -> str:
    rows = [
        f"| `{name}` | {_type(value)} | {_default(name, value, schema)} | {_cell(value.get('description', ''))} |"
        for name, value in schema["properties"].items()
    ]
    return "\n".join(
        [f"## {title}\n", f"{text}\n", "| Key | Type | Default | Meaning |", "|---|---|---|---|", *rows, ""]
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _default(name: str, value: Schema, schema: Schema) -> str:
    if name in schema.get("required", ()):
        return "required"
    return f"`{json.dumps(value['default'])}`" if "default" in value else ""


def _type(value: Schema) -> str:
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        return name if name in ("duration", "reference") else "table"
    if "const" in value:
        return f"`{json.dumps(value['const'])}`"
    if "enum" in value:
        return ", ".join(f"`{json.dumps(one)}`" for one in value["enum"] if one is not None)
    if "anyOf" in value:
        return _or(_type(option) for option in value["anyOf"])
    kinds = value.get("type", "any")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    words = {
        "object": "table",
        "array": "list",
        "integer": "whole number",
        "string": "text",
        "boolean": "true or false",
    }
    return _or(words.get(kind, kind) for kind in kinds)


def _or(kinds: Iterable[str]) -> str:
    """A table or list that is null is one that is left out; elsewhere null may mean something."""
    found = list(dict.fromkeys(kinds))
    left_out = {"table", "list"} & set(found)
    return " or ".join(kind for kind in found if kind != "null" or not left_out)


_LINT_HEAD = """\
# Lint codes

[Index](../index.md) · [Composition](../composition.md) · [Configuration](../configuration.md)

What `resilient-redis check-config` finds in a configuration that is right, and probably not meant.
An *error* will fail, or a policy can never act; a *warning* may well be a mistake; an *info* is worth knowing.
The codes are stable.

The exit code is 2 with errors, 1 with warnings, else 0; with `--strict` warnings are errors.
A code is silenced in the file, with the reason:

```toml
[lint]
silence = { RR208 = "a cache: a lost write costs nothing" }

[[policies]]
type = "fallback"
writes = true

[[policies]]
type = "timeout"
seconds = "250ms"
```

A client that is made from the file, or reloads it, gives no warning (`PipelineOrderWarning`) of that code either.

Some rules need to know what surrounds the configuration.
That stands in the same table: `workers`, `maxclients`, `reserve`, `calls_per_second`;
see the [reference](../configuration-reference.md#lint).
"""


def lint_index() -> str:
    """The index of docs/lint."""
    lines = [_LINT_HEAD, "| Code | Level | Finds |", "|---|---|---|"]
    ordered = sorted(CODES.items(), key=lambda item: (LEVELS.index(item[1].level), item[0]))
    lines += [f"| [{name}]({name}.md) | {code.level} | {code.title} |" for name, code in ordered]
    return "\n".join(lines) + "\n"
