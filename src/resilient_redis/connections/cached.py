"""A connection under redis-py's client-side cache, which answers what it knows and hears of what changes.

redis-py's own keeps a place in the cache while a reply is awaited, reads pushes from connections that others are using,
and looks the value up once more when the reply is asked for. So a read hangs until its timeout after an error reply
to the same read, or beside another thread's; and two threads may read from one socket. Here a value is kept only once
it has come, and answered only if the connection that read it can be asked whether it was told of a change.
"""

from __future__ import annotations

import copy
import threading
from typing import Any

import redis.exceptions as rx
from redis.cache import CacheEntry, CacheEntryStatus, CacheKey
from redis.connection import CacheProxyConnection

from resilient_redis.connections.attempt import current_attempt
from resilient_redis.connections.cleanliness import absorb, dirt, inner_socket, make_peek

try:
    from redis.observability.attributes import CSCResult
    from redis.observability.recorder import record_csc_network_saved, record_csc_request
except ImportError:  # a redis-py that does not count them
    CSCResult = record_csc_network_saved = record_csc_request = None  # type: ignore[assignment,misc] # asked before use

_HIT, _MISS = getattr(CSCResult, "HIT", None), getattr(CSCResult, "MISS", None)
_asked: Any = record_csc_request
_saved: Any = record_csc_network_saved
_NOTHING: Any = object()
_PATIENCE = 0.002
"""Seconds for which a value's connection is waited for while somebody reads from it; then the server is asked."""

_WORDS = frozenset({str, bytes, int})
"""Arguments that are told apart as the server does: to Python 1 is 1.0 and True, and a list is no key at all."""

_KEY_HAS_WORDS = "redis_args" in CacheKey.__dataclass_fields__  # from redis-py 7.1 on
_UTF8 = frozenset({"utf-8", "utf8", "UTF-8", "UTF8"})


class _Known(CacheEntry):
    """A value that came, with the connection that hears of its end, and the socket on which it does."""

    def __init__(self, key: CacheKey, value: Any, connection: Any, link: Any) -> None:
        super().__init__(key, value, CacheEntryStatus.VALID, connection)
        self.link = link


class CachedConnection(CacheProxyConnection):
    """redis-py's connection under a client-side cache, without its hangs.

    Not answered from the cache: what is read on a connection that holds a state (WATCH: the value must be the one that
    is watched), and what is read to learn whether a lost write was applied.

    Args:
        connection: the connection below.
        cache: redis-py's, shared by all connections of a pool.
        lock: of the cache, shared too; never held while a socket is read.

    As safe for threads as a connection is: the others look for pushes here only while nothing is due.
    """

    def __init__(self, connection: Any, cache: Any, lock: threading.RLock) -> None:
        # Its ``_pool_lock`` guards reading; one for each connection, so that nobody waits for another's reply.
        super().__init__(connection, cache, threading.RLock())
        self._cache_lock = lock
        self._due = 0  # single commands whose reply was not read
        self._key: CacheKey | None = None
        self._hit = _NOTHING
        self._peek: tuple[Any, Any] = (None, None)

    # What redis-py calls

    def send_command(self, *args: Any, **kwargs: Any) -> None:
        """Send it, unless its reply is known."""
        key = self._key = self._key_of(args, kwargs)
        self._hit = _NOTHING if key is None else self._look_up(key)
        if self._hit is not _NOTHING:
            return
        with self._pool_lock:
            self._conn.send_command(*args, **kwargs)
            self._due += 1

    def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        """As a connection's; what is packed already is not cached."""
        self._key, self._hit = None, _NOTHING
        with self._pool_lock:
            self._conn.send_packed_command(command, check_health)

    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """The reply, known or from the server.

        Raises:
            redis.RedisError: as a connection's; nothing of it is kept.
        """
        hit, self._hit = self._hit, _NOTHING
        key, self._key = self._key, None
        if hit is not _NOTHING:
            return hit
        with self._pool_lock:
            link = inner_socket(self._conn)
            try:
                reply = self._conn.read_response(*args, **kwargs)
            except rx.ResponseError:
                self._due = max(self._due - 1, 0)
                raise
            self._due = max(self._due - 1, 0)
            if key is not None and reply is not None:
                self._keep(key, reply, link)
        return reply

    def can_read(self, *args: Any, **kwargs: Any) -> Any:
        """As a connection's."""
        with self._pool_lock:
            return self._conn.can_read(*args, **kwargs)

    def check_health(self) -> None:
        """As a connection's."""
        with self._pool_lock:
            self._conn.check_health()

    def re_auth(self) -> None:
        """As a connection's."""
        with self._pool_lock:
            self._conn.re_auth()

    @property
    def health_check_interval(self) -> Any:
        """As a connection's; a pub/sub asks for it, and redis-py's has none."""
        return self._conn.health_check_interval  # type: ignore[attr-defined] # redis-py's interfaces tell too little

    @property
    def _parser(self) -> Any:
        return self._conn._parser  # type: ignore[attr-defined] # see above

    def disconnect(self, *args: Any, **kwargs: Any) -> None:
        """Close it, and forget all: what this connection would be told of changes, nobody hears any more."""
        self._due = 0
        super().disconnect(*args, **kwargs)

    # The cache

    def _key_of(self, words: tuple[Any, ...], options: dict[str, Any]) -> CacheKey | None:
        """What this is kept under; ``None``: the server is to be asked."""
        keys = options.get("keys")
        if keys is None or "NEVER_DECODE" in options or getattr(self._conn, "session", None) is not None:
            return None
        attempt = current_attempt.get()
        if attempt is not None and attempt.behind:
            return None
        if not all(word.__class__ in _WORDS for word in words) or not all(map(self._is_heard_of, keys)):
            return None
        if not _KEY_HAS_WORDS and len(words) != 1 + len(keys):
            return None  # this redis-py would take another field of the same hash for the same
        names = tuple(str(key) if key.__class__ is int else key for key in keys)
        key = CacheKey(words[0], names, words) if _KEY_HAS_WORDS else CacheKey(words[0], names)
        return key if self._cache.is_cachable(key) else None

    def _is_heard_of(self, key: Any) -> bool:
        """Will redis-py know this key again when the server tells that it changed? It compares with UTF-8."""
        if isinstance(key, int) or (isinstance(key, (str, bytes)) and key.isascii()):
            return True
        encoder: Any = self._conn.encoder  # type: ignore[attr-defined] # see above
        if isinstance(key, bytes):
            return not encoder.decode_responses
        return isinstance(key, str) and encoder.encoding in _UTF8

    def _look_up(self, key: CacheKey) -> Any:
        with self._cache_lock:
            entry = self._cache.get(key)
        if isinstance(entry, _Known) and entry.connection_ref._has_heard(entry.link):
            with self._cache_lock:
                still = self._cache.get(key) is entry  # what was just heard may have been of this
            if still:
                return _hit(entry.cache_value)
        if _asked is not None:
            _asked(result=_MISS)
        return _NOTHING

    def _has_heard(self, link: Any) -> bool:
        """Take in what the server told this connection; False: it cannot be asked now."""
        if not self._pool_lock.acquire(timeout=_PATIENCE):
            return False
        try:
            if self._due or inner_socket(self._conn) is not link or dirt(self) is not None:
                return False
            if self._peek[0] is not link:
                self._peek = (link, make_peek(self))
            return not self._peek[1]() or absorb(self) is None
        finally:
            self._pool_lock.release()

    def _keep(self, key: CacheKey, reply: Any, link: Any) -> None:
        entry = _Known(key, copy.deepcopy(reply), self, link)  # callers may change what they got
        with self._cache_lock:
            self._cache.set(entry)


def _hit(value: Any) -> Any:
    if _asked is not None:
        _asked(result=_HIT)
        _saved(bytes_saved=len(value) if hasattr(value, "__len__") else 0)
    return copy.deepcopy(value)
