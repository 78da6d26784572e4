"""The list of policies: tables to policies, and policies back to tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any

import msgspec

from resilient_redis.config.convert import convert
from resilient_redis.config.from_text import NONE, takes_none
from resilient_redis.config.one_by_one import complaints
from resilient_redis.config.problems import Path, Problems, listed, mask_text, shorten, show, show_path, unknown
from resilient_redis.config.shared import share
from resilient_redis.errors import ConfigError
from resilient_redis.policies.base import Policy
from resilient_redis.policies.breaker import CircuitBreaker
from resilient_redis.policies.registry import policy_type, policy_type_names

_Field = msgspec.structs.FieldInfo
_NONE_SHARED: Mapping[str, Policy] = MappingProxyType({})


def read_policies(
    value: Any, path: Path, problems: Problems, shared: Mapping[str, Policy] = _NONE_SHARED
) -> tuple[Policy, ...]:
    """The policies of a list of tables, outermost first; those that are wrong are left out and noted.

    Args:
        value: the list.
        path: where it stands.
        problems: the reader adds to it.
        shared: the circuits under ``[breakers]``, which a table ``{ use = "NAME" }`` stands for.
    """
    if not isinstance(value, (list, tuple)):
        hint = f"; write [[{show_path(path)}]], outermost first" if isinstance(value, dict) else ""
        problems.add(path, f"expected a list of tables, got {show(value, path)}{hint}")
        return ()
    policies = [_read_policy(table, (*path, index), problems, shared) for index, table in enumerate(value)]
    return tuple(policy for policy in policies if policy is not None)


def _read_policy(table: Any, path: Path, problems: Problems, shared: Mapping[str, Policy]) -> Policy | None:
    if not isinstance(table, dict):
        hint = f'; write {{ type = "{table}" }}' if isinstance(table, str) and table in policy_type_names() else ""
        problems.add(path, f"expected a table, got {show(table, path)}{hint}")
        return None
    if "use" in table and _is_use(table):
        return _read_use(table, path, problems, shared)
    policy = _find_type(table, path, problems)
    if policy is None:
        return None
    before = len(problems.found)
    values = _read_fields(policy, table, path, problems)
    if len(problems.found) == before:
        return _build(policy, values, table, path, problems)
    _try(policy, values, table, path, problems)
    return None


def _is_use(table: dict[str, Any]) -> bool:
    """Does it stand for a shared circuit? A policy of another package may have a field of that name."""
    return table.get("type") in (None, CircuitBreaker.type_name)


def _read_use(table: dict[str, Any], path: Path, problems: Problems, shared: Mapping[str, Policy]) -> Policy | None:
    for key in table:
        if key not in ("use", "type"):
            problems.add(
                (*path, key), f"a shared circuit takes no keys of its own; change it in [breakers.{table['use']}]"
            )
    name, here = table["use"], (*path, "use")
    if not isinstance(name, str):
        problems.add(here, f"expected the name of a circuit, got {show(name, here)}")
    elif name not in shared:
        problems.add(here, f"{unknown('circuit', name, shared)}; define it as [breakers.NAME]")
    else:
        return shared[name]
    return None


def read_breakers(value: Any, path: Path, problems: Problems) -> dict[str, Policy]:
    """The table ``[breakers]``: the circuits that profiles share, by name."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        problems.add(path, f"expected a table, got {show(value, path)}; write [breakers.NAME]")
        return {}
    shared = {}
    for name, table in value.items():
        here = (*path, name)
        if not isinstance(table, dict):
            problems.add(here, f"expected a table, got {show(table, here)}")
            continue
        for key in ("type", "name"):
            if key in table:
                problems.add((*here, key), f'not needed: this is the circuit "{name}"')
        breaker = _read_policy({**table, "type": CircuitBreaker.type_name, "name": name}, here, problems, {})
        if breaker is not None:
            shared[name] = share(breaker, problems.name, name)
    return shared


def _find_type(table: dict[str, Any], path: Path, problems: Problems) -> type[Policy] | None:
    here = (*path, "type")
    name = table.get("type")
    if name is None:
        problems.add(here, f"missing; name a policy (known: {listed(policy_type_names())})")
        return None
    if not isinstance(name, str):
        problems.add(here, f"expected text, got {show(name, here)} (known: {listed(policy_type_names())})")
        return None
    try:
        policy = policy_type(name)
    except ConfigError as error:
        problems.add(here, _one_line(error))
        return None
    if policy is None:
        problems.add(here, unknown("policy", name, policy_type_names()))
    return policy


def _fields(policy: type[Policy]) -> dict[str, _Field]:
    spec = policy.Spec
    return {} if spec is None else {field.encode_name: field for field in msgspec.structs.fields(spec)}


def _read_fields(policy: type[Policy], table: dict[str, Any], path: Path, problems: Problems) -> dict[str, Any]:
    """The values that are right, as far as one can be without the others."""
    fields = _fields(policy)
    for key in table:
        if key != "type" and key not in fields:
            problems.add((*path, key), unknown("key", key, fields))
    values = {}
    for key, field in fields.items():
        here = (*path, key)
        if key in table:
            before = len(problems.found)
            value = convert(table[key], field.type, here, problems)
            if len(problems.found) == before:
                values[field.name] = value
        elif field.required:
            problems.add(here, f"missing; {policy.type_name} needs it")
    return values


def _build(
    policy: type[Policy], values: dict[str, Any], table: dict[str, Any], path: Path, problems: Problems
) -> Policy | None:
    spec = policy.Spec
    if spec is None:
        return None
    try:
        return policy.from_spec(spec(**values))
    except ConfigError as error:
        problems.add(*_locate(error, policy, table, path))
        _try(policy, values, table, path, problems)
    except Exception as error:  # noqa: BLE001 - a policy of another package may raise anything
        problems.add(path, f"cannot be built ({type(error).__name__}: {_one_line(error)})")
    return None


def _try(policy: type[Policy], values: dict[str, Any], table: dict[str, Any], path: Path, problems: Problems) -> None:
    """All that the policy itself says of the values."""
    spec: Any = policy.Spec
    fields = _fields(policy).values()
    wrong = [field.name for field in fields if field.encode_name in table and field.name not in values]
    needed = [field.name for field in fields if field.required]
    # A policy of another package may raise anything, and what it says of half its values need not be told.
    with suppress(Exception):
        for error in complaints(lambda left: policy.from_spec(spec(**left)), values, needed, wrong):
            problems.add(*_locate(error, policy, table, path))


def _locate(error: ConfigError, policy: type[Policy], table: dict[str, Any], path: Path) -> tuple[Path, str]:
    """The place of a policy's own complaint: ``Retry.attempts: ...`` about field ``attempts``."""
    prefix = f"{policy.__name__}."
    message = re.sub(rf"^{re.escape(prefix)}[\w.]+: ", "", _one_line(error))
    place: Any = table
    for part in error.field.removeprefix(prefix).split("."):
        # A policy may have normalised the key, as the fallback does with names of commands.
        key = next((key for key in place if key.lower() == part.lower()), None) if isinstance(place, dict) else None
        if key is None:
            return (*path, part) if place is table and part in _fields(policy) else path, message
        path, place = (*path, key), place[key]
    return path, message


def _one_line(error: Exception) -> str:
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - as above
        text = ""
    return shorten(mask_text(" ".join(text.split())), 400)


def dump_policies(policies: Iterable[Policy]) -> list[dict[str, Any]]:
    """The tables for a file: each policy's type and what differs from its defaults, as plain data.

    `load_config` on ``{"policies": dump_policies(policies)}`` gives equal policies.

    >>> from resilient_redis import Retry, Timeout
    >>> dump_policies([Retry(attempts=5), Timeout("250ms")])
    [{'type': 'retry', 'attempts': 5}, {'type': 'timeout', 'seconds': 0.25}]

    Raises:
        ConfigError: a policy holds something that only code can hold; it is named.
    """
    return [_dump(policy) for policy in policies]


def _dump(policy: Policy) -> dict[str, Any]:
    spec = policy.to_spec()
    table: dict[str, Any] = {"type": policy.type_name}
    for key, field in _fields(type(policy)).items():
        value = getattr(spec, field.name)
        if value is not msgspec.UNSET and not _is_default(field, value):
            table[key] = _dump_value(policy, field, value)
    return table


def _is_default(field: _Field, value: Any) -> bool:
    default = field.default
    if field.default_factory is not msgspec.NODEFAULT:
        default = field.default_factory()
    return type(value) is type(default) and bool(value == default)


def _dump_value(policy: Policy, field: _Field, value: Any) -> Any:
    if value is None and takes_none(field.type):
        return NONE
    try:
        plain = _with_lists(msgspec.to_builtins(value, str_keys=True))
        if _same(msgspec.convert(plain, field.type), value):
            return plain
    except (TypeError, ValueError, RecursionError):
        pass
    raise ConfigError(
        f"{policy.label}.{field.name}: only code can hold this {type(value).__name__}: it comes back from a file as "
        "something else; a file holds numbers, text, lists and tables with text keys",
        field=field.name,
    )


def _with_lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_lists(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_with_lists(inner) for inner in value]
    return value


def _same(one: Any, other: Any) -> bool:
    """Equal, and of equal types all the way down: 1 is not True."""
    if type(one) is not type(other):
        # What a field calls a number may have been given as a whole one.
        return {type(one), type(other)} == {int, float} and bool(one == other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return one is other or bool(one == other)
