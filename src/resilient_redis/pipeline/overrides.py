"""What an ``overrides(...)`` block may say, of a client and of a pipeline."""

from __future__ import annotations

from typing import Any

from resilient_redis.commands.classes import REPEAT_RANKS
from resilient_redis.commands.lookup import parse_marks
from resilient_redis.durations import Duration, parse_duration
from resilient_redis.errors import ConfigError


def check_overrides(
    timeout: Duration | None,
    deadline: Duration | None,
    attempts: int | None,
    more: dict[str, Any],
    known: tuple[str, ...] = ("fallback",),
) -> dict[str, Any]:
    """The overrides as layers look them up.

    Raises:
        ConfigError: an unknown name, or a value out of its range.
    """
    values = dict(more)
    for unknown in values.keys() - set(known):
        names = ", ".join(("timeout", "deadline", "attempts", *known))
        raise ConfigError(f"overrides: {unknown!r} is unknown (known: {names})", field=unknown)
    for name, duration in (("timeout", timeout), ("deadline", deadline)):
        if duration is not None:
            values[name] = parse_duration(duration, f"overrides.{name}")
    if values.get("timeout") == 0:
        raise ConfigError(f"overrides.timeout: {timeout!r} is out of range; give more than 0", field="timeout")
    if attempts is not None:
        if isinstance(attempts, bool) or not isinstance(attempts, int) or attempts < 1:
            raise ConfigError(f"overrides.attempts: {attempts!r} is out of range; give 1 or more", field="attempts")
        values["attempts"] = attempts
    if "repeat" in values and values["repeat"] not in REPEAT_RANKS:
        raise ConfigError(
            f"overrides.repeat: {values['repeat']!r} is unknown; give one of {', '.join(REPEAT_RANKS)}", field="repeat"
        )
    if "commands" in values:
        values["commands"] = parse_marks(values["commands"])
    return values
