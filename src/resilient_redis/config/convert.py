"""One value into one type, with messages for people who write files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import msgspec

from resilient_redis.config.from_text import NONE, VariableText, is_duration, or_none, takes_none
from resilient_redis.config.problems import Path, Problems, mask_text, quoted, show, unknown
from resilient_redis.durations import parse_duration
from resilient_redis.errors import ConfigError

_EXPECTED = re.compile(r"Expected `([^`]*)`(.*?)(?:, got [^,]*)?", re.DOTALL)
_PLACE = re.compile(r" - at (?:`key` in )?`\$(.*)`$", re.DOTALL)
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]")
_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
}
_NEARLY_NONE = frozenset({"none", "null", "nil", "never", "off", "unlimited"})
_LONGEST_DURATION = 60
_MOST_BITS = 64


def convert(value: Any, wanted: Any, path: Path, problems: Problems) -> Any:
    """``value`` as ``wanted``; each element of a list or table on its own, so that all problems are found."""
    if isinstance(value, str) and takes_none(wanted):
        if value == NONE:
            return None
        if value.lower() in _NEARLY_NONE and bool not in get_args(wanted):
            problems.add(path, f'unknown value {quoted(value)}; did you mean "{NONE}"?')
            return None
    if isinstance(value, VariableText):
        value = value.as_type(wanted)
    if is_duration(wanted):
        return _convert_duration(value, wanted, path, problems)
    parts = _parts(value, wanted, path)
    if parts is None:
        return _convert_whole(value, wanted, path, problems)
    before = len(problems.found)
    for inner, inner_type, inner_path in parts:
        convert(inner, inner_type, inner_path, problems)
    # One that is fine in its parts goes through as a whole, for bounds on its length.
    return _convert_whole(value, wanted, path, problems) if len(problems.found) == before else None


def _parts(value: Any, wanted: Any, path: Path) -> Iterator[tuple[Any, Any, Path]] | None:
    origin, options = get_origin(wanted), get_args(wanted)
    if origin is list and isinstance(value, (list, tuple)):
        return ((inner, options[0], (*path, index)) for index, inner in enumerate(value))
    if origin is dict and isinstance(value, dict):
        return ((inner, options[1], (*path, key)) for key, inner in value.items())
    return None


def _convert_whole(value: Any, wanted: Any, path: Path, problems: Problems) -> Any:
    try:
        return msgspec.convert(value, wanted)
    except msgspec.ValidationError as error:
        problems.add(*_explain(str(error), value, wanted, path))
        return None


def _explain(message: str, value: Any, wanted: Any, path: Path) -> tuple[Path, str]:
    place = _PLACE.search(message)
    otherwise = or_none(wanted) if place is None else ""
    if place is not None:
        message = message[: place.start()]
        for key, index in _STEP.findall(place.group(1)):
            value, path = _step(value, key or int(index), path)
    choices = _choices(wanted)
    if isinstance(value, str) and choices and all(isinstance(choice, str) for choice in choices):
        return path, unknown("value", value, choices)
    return path, f"{expectation(message, wanted)}{otherwise}, got {show(value, path)}"


def expectation(message: str, wanted: Any) -> str:
    """What msgspec's ``message`` says was expected, in the words of a file."""
    choices = _choices(wanted)
    if choices:
        return f"expected one of {', '.join(map(str, choices))}"
    expected = _EXPECTED.fullmatch(message)
    if expected is None:
        return message[:1].lower() + message[1:]
    kinds, bound = expected.groups()
    words = " or ".join(_WORDS.get(kind, kind) for kind in kinds.split(" | ") if kind != "null")
    return f"expected {words}{bound}"


def _step(value: Any, key: str | int, path: Path) -> tuple[Any, Path]:
    try:
        return value[key], (*path, key)
    except (LookupError, TypeError):
        return value, path


def _choices(wanted: Any) -> tuple[Any, ...]:
    if get_origin(wanted) is Literal:
        return get_args(wanted)
    for option in get_args(wanted):
        if get_origin(option) is Literal:
            return get_args(option)
    return ()


def _convert_duration(value: Any, wanted: Any, path: Path, problems: Problems) -> Any:
    if value is None and type(None) in get_args(wanted):
        return None
    # No limit is written as inf where a policy allows it; the policy itself knows.
    if value == float("inf"):
        return value
    problem = duration_problem(value, path)
    if problem is not None:
        problems.add(path, problem)
        return None
    return value


def duration_problem(value: Any, path: Path) -> str | None:
    """What is wrong with ``value`` as a duration; ``None`` if it is one."""
    if _is_odd(value):
        return f'{show(value, path)} is no duration; give seconds as a number, or text such as "250ms"'
    try:
        parse_duration(value, "it")
    except ConfigError as error:
        return mask_text(str(error).removeprefix("it: "))
    return None


def _is_odd(value: Any) -> bool:
    """Too long to show, or nothing that a duration could be."""
    if isinstance(value, str):
        return len(value) > _LONGEST_DURATION
    if isinstance(value, int):
        return value.bit_length() > _MOST_BITS
    return not isinstance(value, float)
