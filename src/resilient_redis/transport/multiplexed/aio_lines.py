"""The shared connections of one pool, for asyncio: which one a command takes, and what follows when one ends.

Twin of `lines`. They are borrowed from the pool for as long as they live, so that they are dialled, counted, bounded
and given new credentials there. It hangs on the pool's state, and holds the pool weakly: a forgotten pool can go.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import math
import weakref
from collections.abc import Callable
from typing import Any

from resilient_redis.connections.attempt import current_attempt
from resilient_redis.errors import FenceRefusedError, PoolClosedError
from resilient_redis.pool import fork
from resilient_redis.pool.adoption import is_ours
from resilient_redis.pool.aio_endings import abort
from resilient_redis.pool.face import USUAL_DIAL
from resilient_redis.pool.redis_side import has_token
from resilient_redis.pool.stats import LineStats
from resilient_redis.transport.multiplexed.aio_line import ENDED, OPEN, Line, MovedError, Repeat, refuse
from resilient_redis.transport.multiplexed.book import ENDED as ANSWERED
from resilient_redis.transport.multiplexed.book import Slot
from resilient_redis.transport.multiplexed.decoding import Decode
from resilient_redis.transport.multiplexed.fences import Fences, same
from resilient_redis.transport.multiplexed.options import Multiplexed
from resilient_redis.transport.multiplexed.redials import Redials
from resilient_redis.transport.multiplexed.tally import Tally
from resilient_redis.transport.renewal import arenew

_AGAIN = 1.0
"""Seconds before a successor is dialled again that could not be had."""

_abandoned: list[Any] = []  # a child keeps the parent's transports from their finalisers, which would speak to them


class Lines:
    """All shared connections of one pool.

    Args:
        pool: where they are borrowed.
        options: how many, and their bounds.
        now: the clock that deadlines go by.

    Attributes:
        patience: seconds after which the oldest reply is overdue, and its connection cut; ``inf``: never.
        idle_limit: seconds of silence after which one is not trusted any more.
        loop: where they live; another loop begins anew once this one is closed.
        line: the only one there is, for a quick look; ``None``: ask `pick`.
        unable: this pool's connections were seen to be of a kind that cannot be shared.
    """

    name = "lines"

    def __init__(self, pool: Any, options: Multiplexed, now: Callable[[], float]) -> None:
        self.options = options
        self.patience = math.inf
        self.idle_limit = float(getattr(pool, "_validate_after", math.inf))
        self.unable = False
        self.loop: asyncio.AbstractEventLoop | None = None
        self.line: Line | None = None
        self.fences = Fences()
        self._pool = weakref.ref(pool)
        self._now = now
        self._lines: list[Line] = []
        self._retired: set[Line] = set()
        self._allowed = False  # nobody has said yet how long he waits
        self._tally = Tally()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._redials = Redials(now)
        weakref.finalize(pool, self._forget).atexit = False
        fork.register(self)

    # Callers

    def pick(self, loop: asyncio.AbstractEventLoop) -> Line:
        """The least loaded line; what is missing is dialled."""
        if loop is not self.loop:
            self._enter(loop)
        lines = self._lines
        while len(lines) < self.options.connections:
            self._begin()
        if len(lines) == 1:
            self.line = lines[0]
            return lines[0]
        return min(lines, key=lambda line: (line.state != OPEN, line.load))

    def carrier_of(self, behind: list[Any]) -> Line | None:
        """The living line over which one of these was sent."""
        for line in self._lines:
            carrier = line.book.carrier
            if line.state == OPEN and carrier is not None and any(same(left, carrier) for left in behind):
                return line
        return None

    async def opened(self, loop: asyncio.AbstractEventLoop) -> Line:
        """A line that is open, once there is one."""
        while True:
            line = self.pick(loop)
            if line.state == OPEN:
                return line
            await line.settled()
            if line.error is not None:
                raise line.error

    def refused(self) -> None:
        """Somebody found the queue full."""
        self._tally.refused += 1

    def allow(self, seconds: float) -> None:
        """Somebody waits for so long: the longest of all says when a reply is overdue."""
        self.patience = max(self.patience, seconds) if self._allowed else seconds
        self._allowed = True

    # Dialling

    def _begin(self, *, after_loss: bool = False) -> Line:
        assert self.loop is not None
        line = Line(self, self.options, self.loop, self._now)
        self._lines.append(line)
        self.line = None
        waits = after_loss or self._redials.in_vain
        self._spawn(self._dial(line, max(0.0, self._redials.pause()) if waits else 0.0))
        return line

    def _spawn(self, work: Any) -> None:
        assert self.loop is not None
        context = contextvars.copy_context()
        context.run(current_attempt.set, None)  # it is nobody's attempt, and may outlive this one
        task = self.loop.create_task(work, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _dial(self, line: Line, pause: float) -> None:
        """Borrow a connection for this line; ends with the line open, or failed."""
        try:
            if pause:
                await asyncio.sleep(pause)
            await self._connect(line)
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait are told
            self._failed(line, error)
        except BaseException:
            self._failed(line, ConnectionError("the shared connection was closed while it was being dialled"))
            raise

    async def _connect(self, line: Line) -> None:
        pool = self._pool()
        if pool is None:
            raise PoolClosedError("the pool of this shared connection is gone")
        connection = await (pool.acquire(priority="high") if is_ours(pool) else pool.get_connection())
        try:
            if not getattr(connection, "shareable", False):
                self.unable = True
                raise ConnectionError("this connection is not of the kind that can be shared")
            await self._fence(connection)
            if is_ours(pool):
                place = pool._ledger.leased.get(connection)
                if place is not None:
                    place.since = math.inf  # it is out for as long as it lives, and that is no leak
            self._tally.opened += 1
            self._watch_first(line)
            line.open(connection)
        except BaseException:
            self._redials.gone(line)
            self._give_up(pool, connection, "lost")
            raise

    def _watch_first(self, line: Line) -> None:
        """If the first of those who wait for this line gets his reply, it is a good one."""
        first = next(iter(line.book.unsent), None)
        if first is None:
            return

        def look(_: Any) -> None:
            if first.carrier is not None and first.state == ANSWERED and first.error is None:
                self._redials.answered(line)
            else:
                self._redials.gone(line)  # he is late, or has left: perhaps it is a good one

        self._redials.opened(line)
        first.waiter.add_done_callback(look)

    async def _fence(self, connection: Any) -> None:
        """Cut off lost connections, so that nothing more arrives over them once this one carries repeats."""
        batch = self.fences.take()
        behind, refused = list(batch), []
        try:
            async with asyncio.timeout(USUAL_DIAL):
                while behind:
                    try:
                        await connection._fence(behind)
                    except FenceRefusedError:
                        refused.append(behind.pop(0))
        except BaseException:
            self.fences.give_back(batch)
            raise
        self.fences.settle(batch, refused)

    def _failed(self, line: Line, error: Exception) -> None:
        self._forget_line(line)
        line.fail(_as_redis_says_it(error) if isinstance(error, OSError) else error)

    # Renewal

    def look_at(self, line: Line) -> None:
        """Is it time for a successor: too old, about to be moved, other credentials?"""
        pool, connection = self._pool(), line.connection
        if pool is None or connection is None:
            return
        place = pool._ledger.leased.get(connection) if is_ours(pool) else None
        if place is not None and place.expires <= pool._now():
            self._succeed(line, place.doom)
        elif connection._should_reconnect or has_token(connection):
            self._succeed(line, "reconnect" if connection._should_reconnect else "auth")

    def _succeed(self, line: Line, cause: str) -> None:
        """Dial the next one while this one still serves."""
        now = self._now()
        if line.state != OPEN or now < line.renew_after:
            return
        line.renew_after = now + _AGAIN
        self._spawn(self._hand_over(line, cause))

    async def _hand_over(self, line: Line, cause: str) -> None:
        assert self.loop is not None
        successor = Line(self, self.options, self.loop, self._now)
        with contextlib.suppress(Exception):
            await self._connect(successor)
        if successor.state != OPEN:
            return
        if line in self._lines:
            self.line = None
            self._lines[self._lines.index(line)] = successor
            self._retired.add(line)
            line.retire(cause)
        else:  # it was lost or retired meanwhile, so there is another one, or nobody needs one
            self._retired.add(successor)
            successor.retire(cause)

    def astray(self) -> None:
        """A reply says that the server is the wrong one, since a failover."""
        pool = self._pool()
        if pool is not None:
            self._spawn(arenew(pool))

    def hand_over(self, parser: Any, push: Any, decode: Decode | None) -> None:
        """A message that the server sent by itself, for redis-py's handlers."""
        self._spawn(_handle(parser, push, decode))

    # Ends

    def ended(self, line: Line, unsent: list[Slot], *, lost: str = "") -> None:
        """A line has ended, and was ``lost`` so, if it was; those who were not sent go on with the next one.

        One that was to retire anyway may have been lost with commands on the way like any other.
        """
        self._forget_line(line)
        self._tally.ends[line.cause] += 1
        carrier = line.book.carrier
        if lost:
            self._redials.lost(line)
        self._redials.gone(line)
        if carrier is not None and lost:
            self.fences.add(carrier.as_lost(lost == "lost"))
        if line.connection is not None:
            self._give_up(self._pool(), line.connection, line.cause)
        repeats = [slot for slot in unsent if isinstance(slot, Repeat)]
        for slot in repeats:
            refuse(slot.waiter, MovedError())
        if len(unsent) > len(repeats):
            heir = self._lines[0] if self._lines else self._begin(after_loss=bool(lost))
            heir.take_over([slot for slot in unsent if not isinstance(slot, Repeat)])

    def _forget_line(self, line: Line) -> None:
        self.line = None
        if line in self._lines:
            self._lines.remove(line)
        self._retired.discard(line)

    def _give_up(self, pool: Any, connection: Any, cause: str) -> None:
        """Back to the pool, which closes it."""
        if pool is not None and is_ours(pool):
            if not pool.end(connection, cause):
                abort(connection)
            return
        abort(connection)
        if pool is not None and self.loop is not None and not self.loop.is_closed():
            self._spawn(pool.release(connection))

    def retire(self, cause: str) -> None:
        """Nobody new on the lines there are; each ends once it is drained. New calls get new lines."""
        self.line = None
        lines, self._lines = self._lines, []
        self._retired.update(lines)
        for line in lines:
            line.retire(cause)

    async def drain(self, seconds: float) -> None:
        """Retire all, and wait until they have ended, at most so long."""
        self.retire("disconnect")
        deadline = asyncio.get_running_loop().time() + seconds
        while self._retired and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.001)

    def _enter(self, loop: asyncio.AbstractEventLoop) -> None:
        """The lines belong to the loop that uses them first, until that one is closed."""
        if not fork.witness[0]:
            fork.catch_up()
        if self.loop is not None and not self.loop.is_closed():
            raise RuntimeError(
                "these shared connections belong to another event loop, which is still open; "
                "make one client for each loop"
            )
        self._drop()
        self.loop = loop

    def _drop(self) -> None:
        """Forget lines of a loop that is gone."""
        for line in (*self._lines, *self._retired):
            with contextlib.suppress(Exception):
                line.abandon()
        self._lines, self._retired, self._tasks = [], set(), set()
        self._redials = Redials(self._now)
        self.line = None

    def after_fork(self) -> None:
        """In a child: nothing of the parent's is used."""
        _abandoned.append((self._lines, self._retired, self._tasks, self.loop))
        self._lines, self._retired, self._tasks = [], set(), set()
        self._redials = Redials(self._now)
        self.loop = self.line = None

    def _forget(self) -> None:
        """The pool is gone, perhaps in another thread."""
        loop = self.loop
        if loop is None or loop.is_closed():
            return
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(self._drop)

    def stats(self) -> LineStats:
        """The numbers of this moment."""
        return self._tally.stats(self.options.connections, [*self._lines, *self._retired])

    def __repr__(self) -> str:
        return f"<Lines {', '.join(line.state for line in self._lines) or ENDED}>"


async def _handle(parser: Any, push: Any, decode: Decode | None) -> None:
    try:
        await parser.handle_push_response(push if decode is None else decode(push))
    except UnicodeDecodeError:  # no word of what is in it: it may be a key
        context: dict[str, Any] = {"message": "a push message that is not in the encoding was dropped"}
        asyncio.get_running_loop().call_exception_handler(context)
    except Exception as error:  # noqa: BLE001 - a handler may be anybody's
        context = {"message": "a handler of push messages failed", "exception": error}
        asyncio.get_running_loop().call_exception_handler(context)


def _as_redis_says_it(error: OSError) -> Any:
    import redis.exceptions as rx

    made = rx.TimeoutError(str(error)) if isinstance(error, TimeoutError) else rx.ConnectionError(str(error))
    made.__cause__ = error
    return made
