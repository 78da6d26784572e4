"""`build_schema`: what a configuration may hold, as JSON Schema, for editors and other checkers.

It is made from the same types that the loader reads by, and from the docstrings that explain them. What fits it has
the right shape; whether the values go together is for the loader and the linter to say.
"""

from __future__ import annotations

import dataclasses
import json
from importlib.resources import files
from typing import Any

from resilient_redis.config import schema_texts as texts
from resilient_redis.config.budget_tables import BUDGET_TYPES, DEFAULT_TYPE
from resilient_redis.config.command_tables import CommandSpec
from resilient_redis.config.lint_section import LintSection, LintSpec
from resilient_redis.config.options import OptionsSpec, PoolSpec
from resilient_redis.config.schema_docstrings import field_texts, first_line
from resilient_redis.config.schema_types import (
    DURATION,
    NULL,
    REFERENCE,
    Schema,
    or_null,
    or_reference,
    struct_fields,
    table,
    type_schema,
)
from resilient_redis.config.strategy_table import MultiplexedSpec, Strategy
from resilient_redis.errors import ConfigError
from resilient_redis.policies.base import Policy
from resilient_redis.policies.breaker import CircuitBreaker
from resilient_redis.policies.registry import BUILT_IN, policy_type, policy_type_names
from resilient_redis.policies.retry import Retry
from resilient_redis.pool.budgets import HostBudget, RedisBudget, ServerObserver, StaticBudget
from resilient_redis.pool.options import PoolOptions
from resilient_redis.transport.multiplexed.options import Multiplexed

FILE_NAME = "resilient_redis.schema.json"
"""The schema that the package brings, beside this module: of the built-in policies."""

_BUDGET_CLASSES = {"static": StaticBudget, "host": HostBudget, "redis": RedisBudget, "observer": ServerObserver}
_POOL_DEFAULTS = {field.name: field.default for field in dataclasses.fields(PoolOptions)}


def build_schema(*, installed: bool = False) -> Schema:
    """The JSON Schema (2020-12) of a configuration.

    Args:
        installed: the policies that other installed packages offer, and those registered in this process, too. They
            are imported for that.

    Reads nothing else; a new dict each time.

    >>> sorted(build_schema()["properties"])[1:5]
    ['breakers', 'budget', 'budgets', 'commands']
    """
    top = {
        "$schema": {"type": "string", "description": texts.SECTIONS["$schema"]},
        **_section("budget"),
        "lint": _ref("lint", "lint"),
        "breakers": _by_name("breakers", "shared_breaker"),
        "budgets": _by_name("budgets", "budget_table"),
        "profiles": _by_name("profiles", "profile"),
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "resilient_redis",
        **table(top, "Configuration of resilient_redis."),
        "$defs": _definitions(installed),
    }


def shipped_schema() -> str:
    """The text of the schema that the package brings."""
    return files("resilient_redis.config").joinpath(FILE_NAME).read_text(encoding="utf-8")


def schema_text(schema: Schema) -> str:
    """A schema as text, as it is shipped."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _definitions(installed: bool) -> Schema:
    kinds = dict(BUILT_IN)
    if installed:
        kinds.update(_others())
    policies = {f"policy_{kind}": _policy(policy) for kind, policy in sorted(kinds.items())}
    return {
        "duration": DURATION,
        "reference": REFERENCE,
        "options": or_null(_options()),
        "pool": or_null(_pool()),
        "multiplexed": or_null(_multiplexed()),
        "lint": or_null(_lint()),
        "policy": {"oneOf": [*({"$ref": f"#/$defs/{name}"} for name in policies), _use_breaker()]},
        **policies,
        "shared_breaker": _shared_breaker(),
        **_budgets(),
        "command": _command(),
        "profile": _profile(),
    }


def _section(budget: str) -> Schema:
    """What the top level and a profile have in common."""
    return {
        "url": {"type": ["string", "null"], "description": texts.SECTIONS["url"]},
        "strategy": {
            "enum": [*type_schema(Strategy)["enum"], None],
            "description": texts.SECTIONS["strategy"],
            "default": "pooled",
        },
        "multiplexed": _ref("multiplexed", "multiplexed"),
        "options": _ref("options", "options"),
        "pool": _ref("pool", "pool"),
        "budget": _ref("budget", budget),
        "policies": {
            "type": ["array", "null"],
            "description": texts.SECTIONS["policies"],
            "items": {"$ref": "#/$defs/policy"},
        },
        "commands": _by_name("commands", "command"),
        "listeners": {
            "type": ["array", "string", "null"],
            "description": texts.SECTIONS["listeners"],
            "items": {"type": "string"},
        },
    }


def _profile() -> Schema:
    extends = {"type": ["string", "null"], "description": texts.SECTIONS["extends"]}
    profile = table({"extends": extends, **_section("budget_of_a_profile"), "lint": _ref("lint", "lint")}, "A profile.")
    return or_null(profile)


def _ref(section: str, definition: str) -> Schema:
    return {"$ref": f"#/$defs/{definition}", "description": texts.SECTIONS[section]}


def _by_name(section: str, definition: str) -> Schema:
    return {
        "type": ["object", "null"],
        "description": texts.SECTIONS[section],
        "additionalProperties": {"$ref": f"#/$defs/{definition}"},
    }


# --- tables -----------------------------------------------------------------------------------------------------


def _options() -> Schema:
    described = {**field_texts(PoolOptions), **texts.OPTIONS}
    properties, _ = struct_fields(OptionsSpec, described)
    return table(_with_references(properties), texts.SECTIONS["options"])


def _pool() -> Schema:
    properties, _ = struct_fields(PoolSpec, field_texts(PoolOptions))
    for name, schema in properties.items():
        if _POOL_DEFAULTS[name] is not None:
            schema["default"] = _POOL_DEFAULTS[name]
    return table(_with_references(properties), texts.SECTIONS["pool"])


def _with_references(properties: Schema) -> Schema:
    found = {}
    for name, schema in properties.items():
        kept = {key: schema.pop(key) for key in ("description", "default") if key in schema}
        found[name] = {**or_reference(schema), **kept}
    return found


def _multiplexed() -> Schema:
    properties, _ = struct_fields(MultiplexedSpec, field_texts(Multiplexed))
    return table(properties, texts.SECTIONS["multiplexed"])


def _lint() -> Schema:
    properties, _ = struct_fields(LintSpec, field_texts(LintSection))
    properties["silence"] |= {
        "propertyNames": {"pattern": "^RR[0-9]{3}$"},
        "additionalProperties": {"type": "string", "pattern": r"\S"},
    }
    return table(properties, texts.SECTIONS["lint"])


def _command() -> Schema:
    properties, _ = struct_fields(CommandSpec, texts.COMMANDS)
    for name, schema in properties.items():
        if name != "fallback":
            _take_null(schema)
    rule = table(properties, texts.SECTIONS["commands"])
    return {"oneOf": [rule, {"enum": properties["class"]["enum"], "description": texts.COMMANDS["class"]}]}


def _take_null(schema: Schema) -> None:
    """A key with null is refused here: it is to be left out."""
    for option in schema.pop("anyOf", ()):
        if option != NULL:
            schema.update(option)


# --- policies and budgets ---------------------------------------------------------------------------------------


def _policy(policy: type[Policy]) -> Schema:
    properties, required = _policy_fields(policy)
    kind = {"const": policy.type_name, "description": "Which policy it is."}
    return table({"type": kind, **properties}, first_line(policy), required=["type", *required])


def _policy_fields(policy: type[Policy]) -> tuple[Schema, list[str]]:
    properties, required = struct_fields(policy.Spec, field_texts(policy))
    if policy is Retry:
        for kind in ("wait", "stop"):
            properties[kind] |= _tenacity(kind)
    return properties, required


def _tenacity(kind: str) -> Schema:
    """A table with the name of one of tenacity's objects; which there are depends on the installed version."""
    name: Schema = {"type": "string", "pattern": f"^{kind}_"}
    described = {
        **name,
        "description": f"The name of one of tenacity's {kind}_* objects; the other keys are its arguments.",
    }
    one: Schema = {"type": "object", "properties": {"type": described}, "required": ["type"]}
    many: Schema = {"type": "array", "items": one, "minItems": 1}
    return {"anyOf": [one, many, name, {"type": "null"}], "examples": _EXAMPLES[kind]}


_EXAMPLES = {
    "wait": [{"type": "wait_random_exponential", "multiplier": "25ms", "max": "500ms"}],
    "stop": [{"type": "stop_after_delay", "max_delay": "2s"}],
}


def _use_breaker() -> Schema:
    use = {"type": "string", "description": texts.USE.format("breakers")}
    kind = {"const": CircuitBreaker.type_name, "description": "Need not be said."}
    return table({"use": use, "type": kind}, "A circuit breaker that profiles share.", required=["use"])


def _shared_breaker() -> Schema:
    properties, required = _policy_fields(CircuitBreaker)
    del properties["name"]  # it is the table's own
    return table(properties, first_line(CircuitBreaker), required=required)


def _others() -> dict[str, type[Policy]]:
    """Policies of other packages; one that cannot be loaded is left out, as a file could not use it either."""
    found = {}
    for name in policy_type_names():
        try:
            policy = policy_type(name)
        except ConfigError:
            continue
        if policy is not None:
            found[name] = policy
    return found


def _budgets() -> Schema:
    use = {"use": {"type": "string", "description": texts.USE.format("budgets")}}
    of_a_type = [_budget(kind) for kind in BUDGET_TYPES]
    shared = table(use, "A budget that profiles share.", required=["use"])
    one: Schema = {"oneOf": [{"$ref": "#/$defs/budget_table"}, {"$ref": "#/$defs/budget_use"}]}
    many: Schema = {"type": "array", "items": one}
    return {
        "budget_table": {"oneOf": of_a_type},
        "budget_use": shared,
        "budget_change": _budget_change(),
        "budget": {"anyOf": [*one["oneOf"], many, {"type": "null"}]},
        "budget_of_a_profile": {"anyOf": [*one["oneOf"], {"$ref": "#/$defs/budget_change"}, many, {"type": "null"}]},
    }


def _budget(kind: str) -> Schema:
    cls: Any = _BUDGET_CLASSES[kind]
    properties, required = struct_fields(BUDGET_TYPES[kind], field_texts(cls))
    said: Schema = {"const": kind, "description": "Which budget it is."}
    if kind == DEFAULT_TYPE:
        said["default"] = kind
    else:
        required = ["type", *required]
    return table({"type": said, **properties}, first_line(cls), required=required)


def _budget_change() -> Schema:
    """A profile's table without a type changes the fields of the budget below it."""
    properties: Schema = {}
    for kind, spec in BUDGET_TYPES.items():
        fields, _ = struct_fields(spec, field_texts(_BUDGET_CLASSES[kind]))
        for name, schema in fields.items():
            schema.pop("default", None)
            properties.setdefault(name, schema)
    return table(properties, "Other numbers for the budget of the profile that this one extends, or of the top level.")
