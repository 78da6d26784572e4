"""The strategy: a word, and the numbers of the multiplexed one in a table of their own."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from resilient_redis.config.convert import convert
from resilient_redis.config.problems import Path, Problems, show, unknown
from resilient_redis.errors import ConfigError
from resilient_redis.transport.multiplexed.options import Multiplexed

Strategy = Literal["pooled", "multiplexed"]

_AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]
_Count = Annotated[int, msgspec.Meta(ge=0)]


class MultiplexedSpec(msgspec.Struct, kw_only=True):
    """The numbers of the multiplexed strategy, see `resilient_redis.Multiplexed`."""

    connections: _AtLeastOne = 1
    max_unsent: _AtLeastOne = 200
    max_in_flight: _AtLeastOne = 10_000
    large: int | str = 64 * 1024
    max_pipeline: _Count = 100


_TYPES: dict[str, Any] = {field.name: field.type for field in msgspec.structs.fields(MultiplexedSpec)}


def read_strategy(value: Any, path: Path, problems: Problems) -> str | None:
    """``"pooled"`` or ``"multiplexed"``."""
    if isinstance(value, dict):
        problems.add(
            path, 'expected text, got a table; write strategy = "multiplexed", and its numbers in [multiplexed]'
        )
        return None
    found = None if value is None else convert(value, Strategy, path, problems)
    return None if found is None else str(found)


def read_multiplexed(value: Any, path: Path, problems: Problems) -> dict[str, Any]:
    """The numbers that are right."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        problems.add(path, f"expected a table, got {show(value, path)}")
        return {}
    found = {}
    for key, given in value.items():
        here = (*path, key)
        if key not in _TYPES:
            problems.add(here, unknown("key", key, _TYPES))
            continue
        before = len(problems.found)
        found[key] = convert(given, _TYPES[key], here, problems)
        if len(problems.found) == before:
            _check(key, found[key], here, problems)
    return found


def _check(key: str, value: Any, path: Path, problems: Problems) -> None:
    try:
        Multiplexed(**{key: value})
    except ConfigError as error:
        problems.add(path, str(error).removeprefix(f"{error.field}: "))


def build_strategy(strategy: str | None, numbers: dict[str, Any]) -> str | Multiplexed | None:
    """What a client takes: numbers alone mean the strategy that they are for.

    >>> build_strategy(None, {"connections": 2})
    Multiplexed(connections=2, max_unsent=200, max_in_flight=10000, large=65536, max_pipeline=100)
    """
    if strategy == "pooled" or (strategy is None and not numbers):
        return strategy
    return Multiplexed(**numbers) if numbers else "multiplexed"
