"""A TCP proxy that makes the network fail on command, between a client and a real server."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Literal, Self, TypeVar

from resilient_redis.testing._armed import HANDSHAKE, Between, check_rate
from resilient_redis.testing._board import Board, FaultEvent, Speed
from resilient_redis.testing._engine import Engine
from resilient_redis.testing._request_faults import RequestFaults
from resilient_redis.testing._spawn import free_port

__all__ = ["FaultProxy"]

_HOST = "127.0.0.1"
_SEEDS = 2**32
_T = TypeVar("_T")
_fresh = random.SystemRandom()

Direction = Literal["replies", "requests", "both"]


class FaultProxy(RequestFaults):
    r"""Stands between a client and a server and can be told to misbehave.

    Runs its own event loop in a daemon thread, so sync and asyncio tests use it alike (`with` or
    `async with`).  Every control may be called from any thread and has taken effect when it
    returns.  Three kinds:

    * modes, one at a time: `refuse`, `accept_then_reset`, `black_hole`, `drop_replies`,
      `drop_requests`;
    * speed, on top of any mode: `delay`, `trickle`;
    * faults that befall the next `n` requests, in the order they were armed:
      `cut_before_request`, `cut_after_request`, `half_reply`, `reply_error`, `garbage`,
      `wrong_type`, `extra_reply`, `push`, `lose_request`, `lose_reply`, `delay_reply`,
      `hold_requests`, or `inject` by name.  They take `commands=`, `nth=`, `rate=`, `between=`,
      `match=` and `handshake=` (see `When`).

    `heal` ends them all.  Faults pass over what a client sends to set up a connection or to
    check it (HELLO, AUTH, CLIENT, SELECT, PING) unless `handshake=True`, or the command is
    named in `commands=`.  Replies to earlier pipelined requests go out before a fault strikes.
    While the server itself is down, clients can connect and are reset.
    TLS and replication streams pass through unread: modes and speed work, faults do not.

    The proxy listens on `host` (127.0.0.1) and `port` (a free one if None).  The same `seed` and
    the same traffic give the same faults; if None, one is drawn: see `seed`.

    >>> import redis
    >>> from resilient_redis.testing import EmbeddedServer
    >>> with EmbeddedServer.start() as server, FaultProxy(server.host, server.port, seed=7) as proxy:
    ...     proxy.reply_error("READONLY not now", nth=2)
    ...     with redis.Redis.from_url(proxy.url) as client:
    ...         print(client.incr("n"))
    ...         try:
    ...             client.incr("n")
    ...         except redis.exceptions.ReadOnlyError as error:
    ...             print(error, proxy.faults)
    1
    not now {'reply_error': 1}
    """

    def __init__(
        self,
        target_host: str,
        target_port: int,
        *,
        host: str = _HOST,
        port: int | None = None,
        seed: int | None = None,
    ) -> None:
        chosen = _fresh.randrange(_SEEDS) if seed is None else seed
        self._board = Board((target_host, target_port), chosen)
        self.host, self.port = host, free_port() if port is None else port
        self._engine = Engine(self._board, self.host, self.port)

    def start(self) -> Self:
        """Listen; return the proxy itself.  OSError if its port is taken."""
        self._engine.start()
        return self

    def close(self) -> None:
        """Reset all connections, stop listening, end the thread.  May be called again.

        What `hold_requests` holds back is dropped.
        """
        self._engine.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.start)

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.close)

    @property
    def url(self) -> str:
        """The proxy's URL for `redis.Redis.from_url` (without password)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"redis://{host}:{self.port}/0"

    @property
    def seed(self) -> int:
        """Where its random numbers come from; give it to another proxy to see the same faults."""
        return self._board.seed

    @property
    def connections_opened(self) -> int:
        """How many connections clients have made so far, reset ones included."""
        return self._board.opened

    @property
    def open_connections(self) -> int:
        """How many connections are open now; a closed one is noticed a moment later."""
        return len(self._engine.links)

    @property
    def requests(self) -> int:
        """How many requests came from clients, those of the handshake (and PING) left out."""
        return sum(n for name, n in self.commands.items() if name not in HANDSHAKE)

    @property
    def commands(self) -> dict[str, int]:
        """How often each command came from clients, whatever became of it."""
        return dict(self._board.commands)

    @property
    def mode(self) -> str:
        """The present mode: "normal" or the name of the method that set it."""
        return self._board.mode

    @property
    def held(self) -> int:
        """How many connections have a request that is held back now."""
        return sum(link.holding for link in list(self._engine.links))

    @property
    def faults(self) -> dict[str, int]:
        """How often each fault or mode struck."""
        return dict(self._board.struck)

    @property
    def events(self) -> list[FaultEvent]:
        """What the proxy did, the last 10,000 things, oldest first; never keys or values.

        A refused connect is not among them (nobody was there to see it), and neither are `delay`
        and `trickle`.  A `match` that raised is, with the error's class; its fault did not strike.
        """
        return self._call(lambda: list(self._board.log)) if self._engine.running else list(self._board.log)

    def __repr__(self) -> str:
        board = self._board
        waiting = "+".join(fault.name for fault in list(board.armed)) or "nothing"
        return (
            f"<FaultProxy {self.host}:{self.port} -> {board.target[0]}:{board.target[1]} "
            f"{board.mode}, armed: {waiting}, open: {self.open_connections}, seed: {board.seed}>"
        )

    def refuse(self, *, between: Between | None = None) -> None:
        """Stop listening: connects are refused.  Open connections go on (see `cut_all`).

        This and the other modes: with `between=(a, b)` only from second a to second b from now.
        """
        self._set_mode("refuse", between)

    def accept_then_reset(self, *, rate: float = 1.0, between: Between | None = None) -> None:
        """Reset each new connection at its first bytes, or after 20 ms.  Open connections go on.

        `rate` is the probability for each, drawn from the seed.
        """
        check_rate(rate)
        self._call(lambda: setattr(self._board, "reset_rate", rate))
        self._set_mode("accept_then_reset", between)

    def black_hole(self, *, between: Between | None = None) -> None:
        """Accept and read, but pass nothing either way, on open connections too."""
        self._set_mode("black_hole", between)

    def drop_replies(self, *, between: Between | None = None) -> None:
        """Let requests through to the server and drop its replies, on open connections too."""
        self._set_mode("drop_replies", between)

    def drop_requests(self, *, between: Between | None = None) -> None:
        """Drop what clients send and let the server's bytes through, on open connections too."""
        self._set_mode("drop_requests", between)

    def delay(self, seconds: float, *, direction: Direction = "replies", between: Between | None = None) -> None:
        """Hold each reply back for so many seconds after it came from the server; 0 ends it.

        With `direction="requests"` it is the requests, and they are delivered even if the client
        has gone meanwhile (as in `hold_requests`); "both" is both.
        """
        if not seconds >= 0:  # nor is NaN
            raise ValueError(f"delay must not be negative: {seconds}")

        speeds = self._speeds(direction)

        def set_delay(value: float) -> None:
            for speed in speeds:
                speed.delay = value

        self._during(between, lambda: set_delay(seconds), lambda: set_delay(0.0))

    def trickle(
        self,
        bytes_per_chunk: int = 1,
        interval: float = 0.01,
        *,
        direction: Direction = "replies",
        between: Between | None = None,
    ) -> None:
        """Let replies leave in small chunks with so many seconds between them; or requests, or both."""
        if bytes_per_chunk < 1 or not interval >= 0:
            raise ValueError("trickle needs bytes_per_chunk >= 1 and interval >= 0")

        speeds = self._speeds(direction)

        def set_trickle(value: tuple[int, float] | None) -> None:
            for speed in speeds:
                speed.trickle = value

        self._during(between, lambda: set_trickle((bytes_per_chunk, interval)), lambda: set_trickle(None))

    def release(self) -> int:
        """Deliver all requests that are held back now; return how many connections had one.

        Returns once the server has answered them, or after a second.  Faults stay armed: requests
        that come later are held anew.
        """
        return self._engine.run(self._engine.release())

    def heal(self) -> None:
        """Be an ordinary proxy again: no mode, no speed limit, no armed faults, nothing scheduled.

        What is held back is delivered.  Connections that lost bytes (to `black_hole`,
        `drop_replies`, `lose_reply` and their like) are reset: on them later replies would be
        taken for answers to earlier requests.
        """
        self._call(self._engine.heal)

    def cut_all(self) -> None:
        """Reset all open connections; new ones are treated as before.  What is held back stays so."""
        self._call(self._engine.reset_links)

    def _set_mode(self, mode: str, between: Between | None) -> None:
        def back() -> None:
            if self._board.mode == mode:
                self._engine.switch("normal")

        self._during(between, lambda: self._engine.switch(mode), back)

    def _during(self, between: Between | None, begin: Callable[[], None], end: Callable[[], None]) -> None:
        self._call(lambda: self._engine.during(between, begin, end))

    def _speeds(self, direction: Direction) -> list[Speed]:
        known = {"replies": [self._board.replies], "requests": [self._board.requests]}
        known["both"] = known["replies"] + known["requests"]
        if direction not in known:
            raise ValueError(f"direction must be one of {', '.join(known)}: {direction!r}")
        return known[direction]

    def _call(self, action: Callable[[], _T]) -> _T:
        return self._engine.call(action)
