"""tenacity's ``wait_*`` and ``stop_*`` objects as tables, for files: ``{ type = "wait_fixed", wait = "250ms" }``.

The arguments are tenacity's own. A list of tables is a sum of waits, or "whichever stops first".
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from resilient_redis.durations import parse_duration
from resilient_redis.errors import ConfigError

_CODE_ONLY = frozenset({"wait_base", "wait_exception", "stop_base", "stop_when_event_set"})
_INNER = {"wait_combine": "wait_funcs", "wait_chain": "strategies", "stop_any": "stops", "stop_all": "stops"}
"""Those that are made of others, and the attribute that holds them."""

_LISTS = {"wait": "wait_combine", "stop": "stop_any"}
"""What a list means."""

_MOST_DEPTH = 10


def names(kind: str) -> list[str]:
    """The names that a file may use.

    Args:
        kind: ``"wait"`` or ``"stop"``.

    >>> "wait_random_exponential" in names("wait"), "stop_after_delay" in names("stop")
    (True, True)
    """
    import tenacity

    found = (name for name in dir(tenacity) if name.startswith(f"{kind}_") and name not in _CODE_ONLY)
    return sorted(name for name in found if isinstance(getattr(tenacity, name), type))


def from_table(kind: str, table: Any, field: str, depth: int = 0) -> Any:
    """The tenacity object that a table, a list of tables, or a name alone stands for.

    Args:
        kind: ``"wait"`` or ``"stop"``.
        table: as it stands in a file.
        field: how messages call it.
        depth: how deep inside others.

    Raises:
        ConfigError: an unknown name or argument, or a value that tenacity does not take.

    >>> from_table("wait", {"type": "wait_fixed", "wait": "250ms"}, "Retry.wait").wait_fixed
    0.25
    """
    if depth > _MOST_DEPTH:
        raise ConfigError(f"{field}: nested too deeply", field=field)
    if isinstance(table, (list, tuple)):
        table = {"type": _LISTS[kind], _INNER[_LISTS[kind]]: list(table)}
    elif isinstance(table, str):
        table = {"type": table}
    if not isinstance(table, Mapping):
        raise ConfigError(
            f'{field}: {table!r} is no table; write {{ type = "{names(kind)[0]}" }} with its arguments', field=field
        )
    name, cls = _type(kind, table, field)
    given = {key: value for key, value in table.items() if key != "type"}
    if name in _INNER:
        return _compound(kind, cls, given, field, depth)
    known = _arguments(cls)
    for key in given:
        if key not in known:
            raise ConfigError(
                f"{field}.{key}: {name} has no such argument{_hint(key, known)} (known: {', '.join(known) or 'none'})",
                field=f"{field}.{key}",
            )
    for key, parameter in known.items():
        if parameter.default is parameter.empty and key not in given:
            raise ConfigError(f"{field}.{key}: missing; {name} needs it", field=f"{field}.{key}")
    arguments = {key: _value(key, value, field) for key, value in given.items()}
    return _make(cls, arguments, f"{field}: {name}", field)


def _type(kind: str, table: Mapping[str, Any], field: str) -> tuple[str, Callable[..., Any]]:
    import tenacity

    name, known = table.get("type"), names(kind)
    if not isinstance(name, str) or name not in known:
        what = "missing" if name is None else f"unknown name {name!r}{_hint(str(name), known)}"
        raise ConfigError(f"{field}.type: {what} (known: {', '.join(known)})", field=f"{field}.type")
    cls: Callable[..., Any] = getattr(tenacity, name)
    return name, cls


def _compound(kind: str, cls: Any, given: dict[str, Any], field: str, depth: int) -> Any:
    inner = given.pop(_INNER[cls.__name__], None)
    if given or not isinstance(inner, (list, tuple)) or not inner:
        raise ConfigError(
            f"{field}: {cls.__name__} takes one list of tables, {_INNER[cls.__name__]}, and nothing else", field=field
        )
    return cls(*(from_table(kind, one, field, depth + 1) for one in inner))


def _arguments(cls: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    found = inspect.signature(cls).parameters.items()
    return {name: parameter for name, parameter in found if parameter.kind is parameter.POSITIONAL_OR_KEYWORD}


def _value(key: str, value: Any, field: str) -> Any:
    if isinstance(value, str):
        return parse_duration(value, f"{field}.{key}")
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        raise ConfigError(
            f'{field}.{key}: {value!r} does not fit; give a number of 0 or more, or text such as "250ms"',
            field=f"{field}.{key}",
        )
    return value


def _make(cls: Callable[..., Any], arguments: dict[str, Any], what: str, field: str) -> Any:
    try:
        return cls(**arguments)
    except Exception as error:  # noqa: BLE001 - tenacity does not say what it may raise
        raise ConfigError(f"{what} does not take that ({error})", field=field) from None


def _hint(name: str, known: Iterable[str]) -> str:
    import difflib  # few make the mistake

    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def to_table(made: Any) -> dict[str, Any] | None:
    """The table of a tenacity object; ``None`` if there is none that gives the same back.

    >>> import tenacity
    >>> to_table(tenacity.wait_random(1, 2))
    {'type': 'wait_random', 'min': 1.0, 'max': 2.0}
    """
    import tenacity

    cls = type(made)
    name = cls.__name__
    if getattr(tenacity, name, None) is not cls or name in _CODE_ONLY:
        return None
    if name in _INNER:
        inner = [to_table(one) for one in getattr(made, _INNER[name])]
        return None if None in inner else {"type": name, _INNER[name]: inner}
    state = vars(made)
    table: dict[str, Any] = {"type": name}
    for argument, parameter in _arguments(cls).items():
        held = next((key for key in (argument, f"{name}_{argument}", name) if key in state), None)
        if held is not None and state[held] != parameter.default:
            table[argument] = state[held]
    kind = name.partition("_")[0]
    try:
        return table if vars(from_table(kind, table, name)) == state else None
    except ConfigError:
        return None
