"""Connections that one user keeps for a while: what they were made into must not be lost unseen.

A lease, or the connection of a single-connection client, may be in another database, in a transaction, watching keys.
redis-py dials anew when such a connection is lost, and the next command lands in database 0, outside the transaction.
"""

from __future__ import annotations

from typing import Any, Literal

from resilient_redis.errors import ConnectionStateLostError

Keeper = Literal["lease", "client"]

_WHAT = {
    "multi": "was in a transaction (MULTI)",
    "watch": "was watching keys (WATCH)",
    "db": "was in another database (SELECT)",
    "tracking": "was tracking keys (CLIENT TRACKING)",
    "subscribed": "was subscribed",
    "monitor": "was monitoring (MONITOR)",
    "protocol": "spoke another protocol (HELLO)",
    "auth": "was logged in as somebody else (AUTH)",
    "readonly": "was reading from a replica (READONLY)",
    "no_evict": "was not to be evicted (CLIENT NO-EVICT)",
    "no_touch": "left the keys' ages alone (CLIENT NO-TOUCH)",
    "lease": "was leased",
}


_REGAINED = (None, "quit", "reply_off")
"""Nobody misses these: a plain one, one whose user wants it gone, one whose replies come again when it is dialled."""


class Kept:
    """Mixin for connections, sync and asyncio.

    Attributes:
        kept: whose it is for now: a lease's, a single-connection client's, or ``None``: the pool's.
        lost_state: what it was when it was lost; it is not dialled again while it is kept.
    """

    kept: Keeper | None = None
    lost_state: str | None = None

    def _forget_session(self) -> None:
        session = self.session  # type: ignore[attr-defined] # see `session.Session`
        if self.kept is not None and self.lost_state is None:
            if session not in _REGAINED:
                self.lost_state = session
            elif self.kept == "lease":
                self.lost_state = "lease"
        super()._forget_session()  # type: ignore[misc] # of `Session`, beside this mixin

    def check_kept(self) -> None:
        """May it be dialled?

        Raises:
            ConnectionStateLostError: it was lost while somebody kept it, and was no plain connection any more.
        """
        if self.kept is None or self.lost_state is None:
            return
        remedy = "leave the lease() block" if self.kept == "lease" else "make a new client with client()"
        raise ConnectionStateLostError(
            f"this connection is lost, and {_WHAT.get(self.lost_state, self.lost_state)}: nothing more is sent over "
            f"another one in its place; {remedy}, and begin again"
        )

    def should_reconnect(self) -> bool:
        """As redis-py's (the server is about to move); but not while somebody keeps more than a plain connection."""
        held = self.kept == "lease" or (self.kept is not None and self._states)  # type: ignore[attr-defined] # of `Session`
        return bool(self._should_reconnect) and not held  # type: ignore[attr-defined] # kept by the connection


def keep(connection: Any, keeper: Keeper) -> None:
    """This connection is now one user's. A class of connections that is not ours is left alone."""
    inner = getattr(connection, "_conn", connection)
    if isinstance(inner, Kept) and inner.kept is None:
        inner.kept = keeper


def let_go(connection: Any) -> None:
    """It is the pool's again."""
    inner = getattr(connection, "_conn", connection)
    if isinstance(inner, Kept):
        inner.kept = inner.lost_state = None
