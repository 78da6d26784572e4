"""Locks of the sync client. Twin of `resilient_redis.asyncio.lock`."""

from __future__ import annotations

import math
import time
from typing import Any

import redis.lock
from redis.exceptions import LockNotOwnedError, RedisError

from resilient_redis.calls import LeftBehind


class ResilientLock(redis.lock.Lock):
    """``redis.lock.Lock`` that finds out what became of a lost reply; made by ``client.lock()``.

    ``acquire()`` sets the key to a token of its own. If the reply is lost, the old connection is cut off at the
    server, so that nothing more arrives over it, and the key is read: our token there means acquired; another's means
    that it is not; none there, and it is tried again. ``release()`` is looked into likewise: it is done
    if the token is gone while the lock cannot have run out by itself. A lost reply to
    ``extend()`` or ``reacquire()`` is an error with ``delivery == "unknown"``.

    Raises:
        redis.ConnectionError, redis.TimeoutError: with ``delivery == "unknown"`` if the key could not be read, or the
            old connection could not be cut off and our token is not there. Never False: the lock may yet be ours.

    Safe for threads as redis-py's is.

    >>> from resilient_redis import ResilientRedis
    >>> from resilient_redis.testing import EmbeddedServer
    >>> with EmbeddedServer.start() as server, ResilientRedis.from_url(server.url) as r:
    ...     with r.lock("report", timeout=10) as lock:
    ...         lock.owned()
    True
    """

    def do_acquire(self, token: Any) -> bool:
        """One try to set the key; a lost reply is looked into."""
        began = time.monotonic()
        won = self._try_to_acquire(token)
        if won:
            self.local.surely_until = math.inf if self.timeout is None else began + self.timeout
        return won

    def _try_to_acquire(self, token: Any) -> bool:
        try:
            return self._set(token)
        except RedisError as error:
            if not is_open_question(error):
                raise
            held = self._look(error, token)
            return self._set(token) if held is None else is_token(held, token)

    def _set(self, token: Any) -> bool:
        client: Any = self.redis
        with client.overrides(repeat="never"):  # whatever its `Retry` allows: a second run finds our own token
            return bool(super().do_acquire(token))

    def do_release(self, expected_token: Any) -> None:
        """Delete the key if it still holds our token; a lost reply is looked into."""
        try:
            self._delete(expected_token)
        except LockNotOwnedError:
            raise
        except RedisError as error:
            if not is_open_question(error):
                raise
            if is_token(self._look(error, None), expected_token):
                self._delete(expected_token)
            elif time.monotonic() >= getattr(self.local, "surely_until", 0.0):
                raise  # gone, but by whom? It may have run out before

    def _delete(self, token: Any) -> None:
        client: Any = self.redis
        with client.overrides(repeat="never"):  # a second run finds nothing to delete
            super().do_release(token)

    def _look(self, error: RedisError, token: Any) -> Any:
        """What the key holds, once nothing more of the lost request can arrive; or now, if it is ``token``."""
        client: Any = self.redis
        try:
            return client._get_behind(self.name, strictly(error))
        except RedisError as later:
            note_unread(error, later)
        try:
            held = client.get(self.name)
        except RedisError:
            raise error from None
        if token is None or not is_token(held, token):
            raise error
        return held


def is_open_question(error: RedisError) -> bool:
    """Was the request sent, and nothing heard of it?"""
    return getattr(error, "delivery", None) == "unknown" and hasattr(error, "_behind")


def strictly(error: Any) -> list[LeftBehind]:
    """What has to be cut off for certain, whether it was lost or only late."""
    return [LeftBehind(left.server_id, left.address, left.opened, lost=False) for left in error._behind]


def note_unread(error: RedisError, later: RedisError) -> None:
    """For people: why it stays unknown."""
    error.add_note(f"what became of it could not be found out: {type(later).__name__}")


def is_token(held: Any, token: Any) -> bool:
    """Does the key hold this token? Replies are text where the client decodes them."""
    if isinstance(held, str):
        held = held.encode()
    return bool(held == (token.encode() if isinstance(token, str) else token))
