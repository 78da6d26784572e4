"""Locks of the asyncio client. Twin of `resilient_redis.client_lock`."""

from __future__ import annotations

import math
import time
from typing import Any

import redis.asyncio.lock
from redis.exceptions import LockNotOwnedError, RedisError

from resilient_redis.client_lock import is_open_question, is_token, note_unread, strictly


class ResilientLock(redis.asyncio.lock.Lock):
    """``redis.asyncio.lock.Lock`` that finds out what became of a lost reply; made by ``client.lock()``.

    ``acquire()`` sets the key to a token of its own. If the reply is lost, the old connection is cut off at the
    server, so that nothing more arrives over it, and the key is read: our token there means acquired; another's means
    that it is not; none there, and it is tried again. ``release()`` is looked into likewise: it is done
    if the token is gone while the lock cannot have run out by itself. A lost reply to
    ``extend()`` or ``reacquire()`` is an error with ``delivery == "unknown"``.

    Raises:
        redis.ConnectionError, redis.TimeoutError: with ``delivery == "unknown"`` if the key could not be read, or the
            old connection could not be cut off and our token is not there. Never False: the lock may yet be ours.

    Safe for tasks as redis-py's is.

    >>> import asyncio
    >>> from resilient_redis.asyncio import ResilientRedis
    >>> from resilient_redis.testing import EmbeddedServer
    >>> async def main(url):
    ...     async with ResilientRedis.from_url(url) as r, r.lock("report", timeout=10) as lock:
    ...         return await lock.owned()
    >>> with EmbeddedServer.start() as server:
    ...     asyncio.run(main(server.url))
    True
    """

    async def do_acquire(self, token: Any) -> bool:
        """One try to set the key; a lost reply is looked into."""
        began = time.monotonic()
        won = await self._try_to_acquire(token)
        if won:
            self.local.surely_until = math.inf if self.timeout is None else began + self.timeout
        return won

    async def _try_to_acquire(self, token: Any) -> bool:
        try:
            return await self._set(token)
        except RedisError as error:
            if not is_open_question(error):
                raise
            held = await self._look(error, token)
            return await self._set(token) if held is None else is_token(held, token)

    async def _set(self, token: Any) -> bool:
        client: Any = self.redis
        with client.overrides(repeat="never"):  # whatever its `Retry` allows: a second run finds our own token
            return bool(await super().do_acquire(token))

    async def do_release(self, expected_token: Any) -> None:
        """Delete the key if it still holds our token; a lost reply is looked into."""
        try:
            await self._delete(expected_token)
        except LockNotOwnedError:
            raise
        except RedisError as error:
            if not is_open_question(error):
                raise
            if is_token(await self._look(error, None), expected_token):
                await self._delete(expected_token)
            elif time.monotonic() >= getattr(self.local, "surely_until", 0.0):
                raise  # gone, but by whom? It may have run out before

    async def _delete(self, token: Any) -> None:
        client: Any = self.redis
        with client.overrides(repeat="never"):  # a second run finds nothing to delete
            await super().do_release(token)

    async def _look(self, error: RedisError, token: Any) -> Any:
        """What the key holds, once nothing more of the lost request can arrive; or now, if it is ``token``."""
        client: Any = self.redis
        try:
            return await client._get_behind(self.name, strictly(error))
        except RedisError as later:
            note_unread(error, later)
        try:
            held = await client.get(self.name)
        except RedisError:
            raise error from None
        if token is None or not is_token(held, token):
            raise error
        return held
