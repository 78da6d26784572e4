"""The ``[lint]`` table of a configuration: what surrounds it, and which findings somebody knows better."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec

from resilient_redis.config.convert import convert
from resilient_redis.config.problems import Path, Problems, quoted, show, unknown

_CODE = re.compile(r"RR[0-9]{3}")

_AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]
_Count = Annotated[int, msgspec.Meta(ge=0)]
_AboveZero = Annotated[float, msgspec.Meta(gt=0)]


class LintSpec(msgspec.Struct, kw_only=True):
    """What ``[lint]`` may hold."""

    silence: dict[str, str] = {}
    workers: _AtLeastOne | None = None
    maxclients: _AtLeastOne | None = None
    reserve: _Count = 5
    calls_per_second: _AboveZero | None = None


@dataclass(frozen=True)
class LintSection:
    """What `resilient_redis.config.lint` is told. Nothing else goes by it.

    Attributes:
        silence: reasons by code: findings of this code are not counted, and shown with the reason.
        workers: processes that have a pool of their own, over all hosts; ``None``: not known, so not checked.
        maxclients: connections that the server admits, or this service's part of them; ``None``: not known.
        reserve: of those, connections kept back for people and tools; default 5.
        calls_per_second: calls of one process; ``None``: not known.

    Immutable.

    >>> LintSection(workers=8, maxclients=250).reserve
    5
    """

    silence: Mapping[str, str] = field(default_factory=dict)
    workers: int | None = None
    maxclients: int | None = None
    reserve: int = 5
    calls_per_second: float | None = None


_TYPES: dict[str, Any] = {field.name: field.type for field in msgspec.structs.fields(LintSpec)}


def read_lint(table: Any, path: Path, problems: Problems) -> LintSection:
    """The section; what is wrong in it is noted and left out. ``None`` means that there is none.

    >>> read_lint({"silence": {"RR208": "a cache may lose writes"}, "workers": 4}, ("lint",), Problems("config"))
    LintSection(silence={'RR208': 'a cache may lose writes'}, workers=4, maxclients=None, ...)
    """
    if table is None:
        return LintSection()
    if not isinstance(table, dict):
        problems.add(path, f"expected a table, got {show(table, path)}")
        return LintSection()
    before = len(problems.found)
    for key, value in table.items():
        if key not in _TYPES:
            problems.add((*path, key), unknown("key", key, _TYPES))
        elif key == "silence":
            _check_silence(value, (*path, key), problems)
        else:
            convert(value, _TYPES[key], (*path, key), problems)
    return LintSection(**table) if len(problems.found) == before else LintSection()


def _check_silence(value: Any, path: Path, problems: Problems) -> None:
    if not isinstance(value, dict):
        problems.add(path, f'expected a table of reasons by code, got {show(value, path)}; write {{ RR208 = "why" }}')
        return
    for code, reason in value.items():
        if not _CODE.fullmatch(code):
            problems.add((*path, code), f"{quoted(code)} is no code of a finding; codes look like RR208")
        elif not isinstance(reason, str) or not reason.strip():
            problems.add((*path, code), "expected the reason as text: whoever reads the file wants to know it")
