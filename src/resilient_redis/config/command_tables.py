"""Rules for single commands: the tables ``[commands.GET]``, ``[commands."H*"]``."""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping
from typing import Annotated, Any, get_args

import msgspec

from resilient_redis.calls import CommandClass
from resilient_redis.commands.classes import Repeat
from resilient_redis.config.convert import convert
from resilient_redis.config.problems import Path, Problems, show, unknown
from resilient_redis.durations import DurationSpec
from resilient_redis.errors import ConfigError
from resilient_redis.pipeline.tuning import parse_commands
from resilient_redis.policies.base import Policy

_AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]


class CommandSpec(msgspec.Struct, kw_only=True, rename={"class_": "class"}):
    """Other numbers for one command, or for those that fit a glob, see `resilient_redis.pipeline.tuning`."""

    class_: CommandClass | None = None
    timeout: DurationSpec | None = None
    deadline: DurationSpec | None = None
    attempts: _AtLeastOne | None = None
    repeat: Repeat | None = None
    fallback: Any = msgspec.UNSET


_CLASSES = [str(each.value) for each in CommandClass]
_FIELDS = {field.encode_name: field for field in msgspec.structs.fields(CommandSpec)}

Rules = dict[str, dict[str, Any]]
"""What is said of each command, by its name in capitals or its glob."""


def read_commands(value: Any, path: Path, problems: Problems) -> Rules:
    """The rules that are right. A class alone is a rule too: ``"MYMOD.INCR" = "accumulating"``."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        problems.add(path, f"expected a table, got {show(value, path)}; write [commands.GET]")
        return {}
    rules: Rules = {}
    for written, rule in value.items():
        here = (*path, written)
        name = " ".join(written.upper().split())
        found = _read_rule({"class": rule} if isinstance(rule, str) else rule, here, problems)
        if name in rules:
            problems.add(here, f"{name} is there twice, spelt in different ways")
        if found:
            rules[name] = found
    return rules


def _read_rule(rule: Any, path: Path, problems: Problems) -> dict[str, Any]:
    if not isinstance(rule, dict):
        problems.add(path, f"expected a table, got {show(rule, path)}")
        return {}
    before = len(problems.found)
    found = {}
    # Each key alone, so that all that is out of range is told, each in its place.
    for key, value in rule.items():
        told = len(problems.found)
        found[key] = _read_value(key, value, (*path, key), problems)
        if len(problems.found) == told:
            _try(key, found[key], path, problems)
    return found if len(problems.found) == before else {}


def _try(key: str, value: Any, path: Path, problems: Problems) -> None:
    """What the client itself would say of it."""
    try:
        parse_commands({str(path[-1]): {key: value}})
    except ConfigError as error:
        problems.add((*path, key) if key in error.field else path, _message(error))


def _read_value(key: str, value: Any, path: Path, problems: Problems) -> Any:
    field = _FIELDS.get(key)
    if field is None:
        problems.add(path, unknown("key", key, _FIELDS))
        return None
    if key == "class":
        if not isinstance(value, str):
            problems.add(path, f"expected text, got {show(value, path)}")
        elif value.lower() not in _CLASSES:
            problems.add(path, unknown("class", value, _CLASSES))
        return str(value).lower()
    if value is None and key != "fallback":
        problems.add(path, "expected a value, got null; leave the key out")
        return None
    return convert(value, _without_none(field.type), path, problems)


def _without_none(wanted: Any) -> Any:
    """Here a key that says nothing is left out."""
    options = [option for option in get_args(wanted) if option is not type(None)]
    return functools.reduce(operator.or_, options) if type(None) in get_args(wanted) else wanted


def _message(error: ConfigError) -> str:
    return str(error).removeprefix(f"{error.field}: ").removeprefix("commands: ")


def merge_rules(nearer: Rules, farther: Rules) -> Rules:
    """Both; where both have a key for a command, the nearer one's value."""
    names = [*farther, *(name for name in nearer if name not in farther)]
    return {name: {**farther.get(name, {}), **nearer.get(name, {})} for name in names}


def check_rules(
    rules: Rules, policies: tuple[Policy, ...], places: Mapping[tuple[str, str], Path], problems: Problems
) -> None:
    """Is there a policy for each number?"""
    for name, rule in rules.items():
        for key, value in rule.items():
            try:
                parse_commands({name: {key: value}}).fit(policies)
            except ConfigError as error:
                problems.add(places[name, key], _message(error))
