"""A budget's own way to the server: a small, plain redis-py client with short timeouts. Used off the command path."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from resilient_redis.errors import ConfigError


class Link:
    """Makes the client when it is first needed, and again in a forked child. For one thread at a time.

    Args:
        source: a URL, or a function without arguments that makes a `redis.Redis`.
        timeout: seconds for connecting, and for each reply; for clients made from a URL.
        owner: the budget's class, for messages.
    """

    def __init__(self, source: str | Callable[[], Any], timeout: float, owner: str) -> None:
        self._owner = owner
        self._client: Any = None
        self._make: Callable[[], Any]
        if isinstance(source, str):
            self._make = lambda: _plain_client(source, timeout)
            try:
                self._make()  # nothing is dialled
            except ValueError:
                raise ConfigError(
                    f"{owner}: redis-py cannot use this URL; write redis://, rediss:// or unix://, and percent-encode "
                    "special characters in a password",
                    field="url_or_client_factory",
                ) from None  # its own message might show part of the URL
        elif callable(source):
            self._make = source
        else:
            raise ConfigError(
                f"{owner}: {type(source).__name__} is neither a URL nor a function that makes a redis.Redis",
                field="url_or_client_factory",
            )

    def execute(self, *command: Any, **options: Any) -> Any:
        """One command, one attempt; whatever redis-py raises."""
        if self._client is None:
            client = self._make()
            if inspect.iscoroutinefunction(getattr(client, "execute_command", None)):
                raise ConfigError(
                    f"{self._owner}: give a function that makes a redis.Redis; an asyncio client cannot serve here "
                    "(in asyncio pools, maintain() runs in a thread)",
                    field="url_or_client_factory",
                )
            self._client = client
        return self._client.execute_command(*command, **options)

    def forget(self) -> None:
        """In a child: redis-py's pools know that they were forked, a client made by others may not."""
        self._client = None

    def close(self) -> None:
        """Close the client; the next command makes another."""
        client, self._client = self._client, None
        if client is not None:
            client.close()


def _plain_client(url: str, timeout: float) -> redis.Redis:
    # One attempt: a repeated request would only be late. The next maintain() asks again.
    return redis.Redis.from_url(
        url, socket_timeout=timeout, socket_connect_timeout=timeout, retry=Retry(NoBackoff(), 0), max_connections=2
    )
