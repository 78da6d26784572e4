"""A thread that waits for its reply on a shared connection."""

from __future__ import annotations

from typing import Any

from resilient_redis.transport.multiplexed.book import Slot


class Caller(Slot, eq=False):
    """A slot, and the thread that waits for it.

    Attributes:
        gate: a lock that is held while there is nothing new for it; ``None`` as long as it has not had to wait.
        next: whom to wake after it.
        here: its thread is still inside.
        done: it has its value or error, and knows whom to wake.
        decode: what makes of its value what the client expects; ``None``: nothing does.

    >>> Caller(b"*1\\r\\n$4\\r\\nPING\\r\\n", "PING")
    <Slot unsent, 1 replies>
    """

    gate: Any = None
    next: Any = None
    here: bool = True
    done: bool = False
    decode: Any = None


def wake(caller: Any) -> None:
    """Let its thread look again; one that has not waited yet looks before it does."""
    if caller.gate is not None:
        try:
            caller.gate.release()
        except RuntimeError:
            return  # it is awake
