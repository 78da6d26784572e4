"""A whole pipeline over a lease by the lean path: one write, all replies, for which redis-py then asks one by one.

redis-py's client has packed its commands, and reads the replies, by calls to what it takes for a connection. So what
stands between these calls stays its own, and a third of the time of a short pipeline is all that is saved.

A WATCH and what follows it over a lease keep to redis-py's path, at 2.5 times the time of a bare client: most of it is
spent on learning what each step is and on three passes through the policies, which this would not shorten.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from resilient_redis.connections.attempt import current_attempt
from resilient_redis.transport.going_on import goes_on
from resilient_redis.transport.lean import NAMES, learn
from resilient_redis.transport.replies import NIL


class Batch(list[Any]):
    """Packed commands, as one piece.

    Attributes:
        due: how many replies will come.
    """

    due = 0


def batch_of(commands: Sequence[Any], held: Any, pack: Callable[[Any], Any]) -> Batch | None:
    """These commands, packed; ``None``: they take redis-py's path.

    Not where replies are decoded: whether redis-py wants one as it is, it says only when it asks for it.
    """
    attempt = current_attempt.get()
    if attempt is None or attempt.behind or not goes_on(held) or held._states or held.encoder.decode_responses:
        return None
    transaction = len(commands) > 2 and commands[0][0] == "MULTI" and commands[-1][0] == "EXEC"
    if not all(map(_is_ordinary, commands[1:-1] if transaction else commands)):
        return None
    batch = Batch([b"".join(map(pack, commands))])
    batch.due = len(commands)
    return batch


def _is_ordinary(words: Any) -> bool:
    try:
        return words[0] in NAMES or learn(words[0])
    except TypeError:  # a name that cannot be hashed
        return False


class Replies:
    """Replies that have come, in the place of the connection that redis-py reads them from.

    Attributes:
        errors: for each reply read: the error reply, `NIL`, or ``None``, as `ReplyReader` keeps them.
    """

    def __init__(self, replies: Sequence[Any]) -> None:
        self._replies = iter(replies)
        self.errors: list[Any] = []

    def next(self) -> Any:
        """The next one.

        Raises:
            redis.ResponseError: it is an error.
        """
        reply = next(self._replies)
        if isinstance(reply, Exception):
            self.errors.append(reply)
            raise reply
        self.errors.append(NIL if reply is None else None)
        return reply

    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """As a connection's."""
        return self.next()


class AsyncReplies(Replies):
    """The same for asyncio."""

    async def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """As a connection's."""
        return self.next()
