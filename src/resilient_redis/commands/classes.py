"""Up to which class a command may be repeated."""

from __future__ import annotations

from typing import Literal

from resilient_redis.calls import CommandClass

__all__ = ["REPEAT_RANKS", "CommandClass", "Repeat", "may_repeat"]

Repeat = Literal["never", "read", "idempotent", "checked", "always"]
"""Up to which class a command may be repeated although its first run may have been applied."""

REPEAT_RANKS: dict[str, int] = {
    "never": -1,
    "read": CommandClass.READ.rank,
    "idempotent": CommandClass.IDEMPOTENT.rank,
    "checked": CommandClass.CHECKED.rank,
    "always": CommandClass.UNKNOWN.rank,
}


def may_repeat(repeat: str, command_class: CommandClass) -> bool:
    """May a command of this class run again although the first run may have been applied?

    >>> may_repeat("idempotent", CommandClass.READ), may_repeat("idempotent", CommandClass.CHECKED)
    (True, False)
    """
    return command_class.rank <= REPEAT_RANKS[repeat]
