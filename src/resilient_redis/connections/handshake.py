"""What a failed handshake is told as. For both kinds of connections."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis.exceptions as rx

_NO_HANDSHAKE = "the server's answer to the handshake is none that a Redis gives; is this the right host and port?"


@contextmanager
def judged(connection: Any) -> Iterator[None]:
    """Around redis-py's handshake, which trusts the server: what it stumbles over in an answer is a lost connection.

    What is raised before anything was sent is the user's own (a credential provider's), and leaves as it is.

    Args:
        connection: its ``asked`` is set once it has sent a part of the handshake.

    Raises:
        redis.ConnectionError: the answer makes no sense; the cause is what redis-py or its parser raised.
    """
    connection.asked = False
    try:
        yield
        greeting = getattr(connection, "handshake_metadata", None)
        if greeting is not None and not isinstance(greeting, dict):  # with a password redis-py does not look at it
            raise rx.ConnectionError(_NO_HANDSHAKE)
    except (rx.RedisError, OSError):
        raise
    except Exception as error:
        if not connection.asked:
            raise
        raise rx.ConnectionError(_NO_HANDSHAKE) from error
