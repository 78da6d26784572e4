"""Connections behind Redis Sentinel: redis-py makes a lost connection of READONLY, although the server has answered.

That answer says that the write was not applied, so it is written on the error. Not told by the error's context alone:
whoever makes a call while handling a READONLY of an earlier one has that as the context of every error.
"""

from __future__ import annotations

import sys
from typing import Any

import redis.exceptions as rx

_READS = frozenset({"redis.sentinel", "redis.asyncio.sentinel", __name__})


class MovedMaster:
    """Mixin for threads; it stands before ``SentinelManagedConnection``."""

    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """As redis-py's."""
        before = sys.exc_info()[1]
        try:
            return super().read_response(*args, **kwargs)  # type: ignore[misc] # the class it is mixed into has one
        except rx.ConnectionError as error:
            note_if_moved(error, before)
            raise


class AsyncMovedMaster:
    """The same for asyncio."""

    async def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """As redis-py's."""
        before = sys.exc_info()[1]
        try:
            return await super().read_response(*args, **kwargs)  # type: ignore[misc] # see above
        except rx.ConnectionError as error:
            note_if_moved(error, before)
            raise


def only_tells_of_it(read_response: Any) -> bool:
    """Is this one of those, which do no more than look for READONLY? A shared connection looks for it itself."""
    return getattr(read_response, "__module__", None) in _READS


def note_if_moved(error: Any, before: BaseException | None) -> None:
    """Write READONLY on an error that was made of one; ``before`` is what was being handled already."""
    cause = error.__context__
    if isinstance(cause, rx.ReadOnlyError) and cause is not before:
        error._word = "READONLY"
