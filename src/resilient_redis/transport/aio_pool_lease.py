"""What a pool with policies lends to redis-py's own clients: a stand-in for a connection. Twin of `pool_lease`.

redis-py borrows a connection first and repeats afterwards, with the retry object of that connection. So policies in
that object would come too late for the dial, and could not answer for a server that is down. A lease costs nothing
and never fails: it is its own retry object, runs the plan around what redis-py does, and borrows inside each attempt.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any

import redis.exceptions as rx

from resilient_redis.calls import Call, LeftBehind
from resilient_redis.connections.attempt import Attempt, current_attempt
from resilient_redis.pipeline.async_driver import acall
from resilient_redis.transport.aio_lean import packed, read_one, talk
from resilient_redis.transport.aio_lean_pipeline import read_all
from resilient_redis.transport.aio_surfaces import exchange
from resilient_redis.transport.errands import (
    COMMAND,
    PIPELINE,
    PUBSUB,
    SUPPORTED,
    WAIT,
    Errand,
    Learned,
    inside,
    learning,
    several,
    single,
    waiting,
)
from resilient_redis.transport.lease_base import LeaseBase
from resilient_redis.transport.lease_batch import AsyncReplies, Batch, batch_of
from resilient_redis.transport.renewal import arenew, leads_astray
from resilient_redis.transport.replies import AsyncReplyReader, Refused, as_redis_says_it, note_delivery, settled


class LeaseSurface:
    """What a plan guards on a lease. ``args`` is the errand alone."""

    def __init__(self, guard: Any) -> None:
        self._guard = guard

    def call(self, args: Any, options: dict[str, Any]) -> Call:
        """Describe the errand."""
        described: Call = args[0].describe(self._guard.state.marks)
        return described

    async def run(
        self, args: Any, options: dict[str, Any], deadline: float, behind: list[LeftBehind] | None = None
    ) -> Any:
        """Borrow if need be, and do it once."""
        guard, errand = self._guard, args[0]
        attempt = Attempt(
            guard.plan.now, deadline, errand.allowance, guard.observed, behind=behind, atomic=errand.atomic
        )
        try:
            results = await exchange(attempt, errand.name, errand.lease.do_once, errand)
            return settled(results, attempt, lambda: self.call(args, options))
        except BaseException as error:
            await errand.lease.failed(errand, error, attempt)
            if isinstance(error, Refused):
                raise as_redis_says_it(error) from None
            if isinstance(error, rx.RedisError) and leads_astray(error):
                await arenew(errand.lease.pool)
            raise


class Lease(LeaseBase):
    """A connection that is yet to be borrowed, for one of redis-py's clients; and its retry object.

    A client that asks for one command, or one pipeline, gets another connection for each attempt. Whoever keeps the
    lease (WATCH, pub/sub, a single-connection client, MONITOR) stays on the connection of the first success.

    For one event loop, as a connection is.
    """

    __slots__ = ()

    # redis-py's retry object

    async def call_with_retry(
        self,
        do: Callable[[], Awaitable[Any]],
        fail: Callable[..., Awaitable[Any]],
        is_retryable: Callable[[Exception], bool] | None = None,
        with_failure_count: bool = False,
    ) -> Any:
        """Run ``do`` under the pool's policies.

        Raises:
            RejectedError: a policy refused; nothing was sent.
            redis.RedisError: as redis-py's, with ``delivery``, ``attempts`` and ``elapsed``.
        """
        if inside.get() is self:
            return await do()  # part of a call that is guarded already: subscribing again while it reconnects
        errand, answer = await self._learn(do)
        if errand is None:
            return answer  # it needs no connection at all
        if errand.kind is WAIT:
            return await self._wait(do)
        errand.lease, errand.do, errand.fail, errand.counted = self, do, fail, with_failure_count
        errand.stateful = self._stays
        try:
            self._refuse_if_lost()
        except rx.ConnectionError as loss:
            await fail(*errand.arguments(loss))  # a pipeline's WATCH is over
            raise
        if current_attempt.get() is not None:
            return await self._once_for_another(errand)
        if self._pinned and errand.kind is not PUBSUB:
            await self.connect()
        guard = self._guard
        return await acall(guard.plan, guard.surface, (errand,), {}, errand.allowance)

    async def _learn(self, do: Callable[[], Awaitable[Any]]) -> tuple[Errand | None, Any]:
        outer = learning.get()
        try:
            learning.set(self)
            return None, await do()
        except Learned as learned:
            return learned.errand, None
        finally:
            learning.set(outer)

    async def do_once(self, errand: Errand) -> Any:
        """One attempt, inside the plan."""
        await self._have_one()
        outer = inside.get()
        try:
            inside.set(self)
            if self._callbacks:
                await self._held.connect()  # in its place: a pub/sub has told it to subscribe again
            if errand.kind is PIPELINE:
                self._reader = AsyncReplyReader(self._held)
            assert errand.do is not None
            reply = await errand.do()
        except Exception:
            if self._reader is not None:
                note_delivery(errand.delivery_by(self._reader.errors))
            raise
        finally:
            inside.set(outer)
            self._reader = self._unsent = None
        self._succeeded(errand)
        return reply

    async def failed(self, errand: Errand, error: BaseException, attempt: Attempt) -> None:
        """The attempt failed: redis-py closes the connection, and a WATCH is over.

        Raises:
            redis.WatchError: its connection was watching, and nothing of a transaction was sent.
        """
        try:
            if isinstance(error, SUPPORTED):
                await self._tell(errand, error, attempt)
        except Exception as other:
            attempt.stamp(other)
            raise other from error
        finally:
            if not self._stays:
                self.give_back()

    async def _tell(self, errand: Errand, error: Exception, attempt: Attempt) -> None:
        await self.disconnect(nowait=True)  # redis-py would wait until all that is written has gone out
        # A WatchError for a lost EXEC would make ``transaction()`` run again what may have been applied; and whether
        # and when a pub/sub dials again is for the policies to say.
        if errand.kind is COMMAND or (errand.kind is PIPELINE and not attempt.sent):
            assert errand.fail is not None
            await errand.fail(*errand.arguments(error))

    async def _once_for_another(self, errand: Errand) -> Any:
        """A client of ours keeps this lease, and guards what it does itself."""
        attempt = current_attempt.get()
        assert attempt is not None
        try:
            return await self.do_once(errand)
        except BaseException as error:
            await self.failed(errand, error, attempt)
            raise

    async def _wait(self, do: Callable[[], Awaitable[Any]]) -> Any:
        """Reading what comes on its own may take for ever and is not guarded; the way back to the server is."""
        await self.connect()
        try:
            return await self._unguarded(do)
        except SUPPORTED:
            await self.disconnect(nowait=True)
            await self.connect()
        return await self._unguarded(do)

    async def _unguarded(self, do: Callable[[], Awaitable[Any]]) -> Any:
        outer = inside.get()
        try:
            inside.set(self)
            return await do()
        finally:
            inside.set(outer)

    # Borrowing and giving back

    async def _have_one(self) -> None:
        """A connection that is open; a pub/sub's is opened again in its place."""
        if self._held is not None and not self._callbacks and not self.is_connected:
            self.give_back()
        if self._held is None:
            await self._borrow()

    async def _borrow(self) -> None:
        self._refuse_if_over()
        self._held = held = await self.pool._lend()
        self._equip(held)

    def give_back(self) -> None:
        """Give back what is held, if anything is."""
        held, self._held = self._held, None
        if held is not None:
            self.pool._take_back(held)

    def end(self) -> None:
        """The pool has the lease back.

        Raises:
            PoolReturnError: it had it before.
        """
        self._end()
        self.give_back()

    # What redis-py calls on a connection

    @property
    def is_connected(self) -> bool:
        """Is there a connection, and is it open?"""
        held = self._held
        return held is not None and bool(held.is_connected)

    async def connect(self) -> None:
        """Have an open connection; through the policies, unless this is part of a guarded call."""
        if learning.get() is self:
            raise Learned(waiting())
        if inside.get() is self:
            await self._held.connect()
        elif not self.is_connected:
            self._refuse_if_lost()
            errand = Errand(PUBSUB, "CONNECT" if self._held is None else "RECONNECT", lease=self, do=_nothing)
            if current_attempt.get() is not None:
                await self._once_for_another(errand)
            else:
                await acall(self._guard.plan, self._guard.surface, (errand,), {})

    async def disconnect(self, *args: Any, **kwargs: Any) -> None:
        """Close the connection, if there is one."""
        if self._held is not None:
            await self._held.disconnect(*args, **kwargs)

    async def send_command(self, *args: Any, **kwargs: Any) -> None:
        """As a connection's; the first one borrows."""
        if learning.get() is self:
            raise Learned(single(args, pubsub=bool(self._callbacks)))
        if self._is_lean(args[0], kwargs):
            self._unsent = packed(self._held, args)
            return
        await (await self._ready()).send_command(*args, **kwargs)
        self._note_state()

    def pack_commands(self, commands: Any) -> Any:
        """As a connection's."""
        if learning.get() is self:
            raise Learned(several(commands))
        if not isinstance(commands, (list, tuple)):
            commands = list(commands)
        pack = functools.partial(packed, self._held)
        batch = batch_of(commands, self._held, pack) if self._may_batch() else None
        return self._any.pack_commands(commands) if batch is None else batch

    async def send_packed_command(self, *args: Any, **kwargs: Any) -> None:
        """As a connection's; the first one borrows."""
        if learning.get() is self:
            raise Learned(several(()))
        if args[0].__class__ is Batch:
            attempt = self._attempt()
            self._held.replies_due = args[0].due
            replies = await _talk(self._held, args[0][0], attempt, functools.partial(read_all, args[0].due))
            self._reader = AsyncReplies(replies)
            return
        await (await self._ready()).send_packed_command(*args, **kwargs)
        self._note_state()

    async def can_read(self, *args: Any, **kwargs: Any) -> Any:
        """As a connection's."""
        return await self._reading().can_read(*args, **kwargs)

    async def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """As a connection's."""
        if self._unsent is None:
            return await self._reading().read_response(*args, **kwargs)
        data, attempt = self._take_unsent()
        held = self._held
        if not args and not kwargs:
            return await _talk(held, data, attempt)
        await held.send_packed_command([data])  # to be read in another way: without decoding
        return await held.read_response(*args, **kwargs)

    async def re_auth(self) -> None:
        """As a connection's; without one there is nobody to tell."""
        if self._held is not None:
            await self._held.re_auth()

    def _reading(self) -> Any:
        if learning.get() is self:
            raise Learned(waiting())
        if inside.get() is not self and not self.is_connected:
            raise rx.ConnectionError("there is no connection to read from: it is lost, or nothing was sent yet")
        return self._reader or self._held

    async def _ready(self) -> Any:
        """The connection to send on."""
        if inside.get() is not self and not self.is_connected:
            if self._held is not None and not self._callbacks:
                self._refuse_if_lost()
                raise rx.ConnectionError("the connection is lost; borrow another one")
            await self.connect()
            self._kept = True
        return self._held


async def _nothing() -> None:
    pass


async def _talk(connection: Any, data: bytes, attempt: Attempt, read: Callable[[Any, Attempt], Any] = read_one) -> Any:
    try:
        return await talk(connection, data, attempt, read)
    except TimeoutError as error:  # the time was over as it borrowed: no redis.TimeoutError yet, and nothing was sent
        raise rx.TimeoutError("the deadline had passed before it was sent") from error
