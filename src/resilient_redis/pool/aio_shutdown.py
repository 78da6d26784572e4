"""Close asyncio pools when the process is told to end: SIGTERM, SIGINT. Twin of `shutdown`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterable
from typing import Any, Self
from weakref import WeakSet

from resilient_redis.durations import Duration, parse_duration
from resilient_redis.errors import ConfigError
from resilient_redis.events import logger
from resilient_redis.pool.aio_pool import ResilientConnectionPool
from resilient_redis.pool.shutdown import tell_cut_off
from resilient_redis.pool.signal_checks import (
    USUAL_SIGNALS,
    cannot_catch,
    check_before,
    check_place,
    check_signals,
    pools_of,
)

_OTHER_SIDE = "for pools and clients of threads use resilient_redis.close_on_signals"


def close_on_signals(
    *pools_or_clients: Any, timeout: Duration = 10.0, signals: Iterable[int] = USUAL_SIGNALS
) -> ShutdownHandle:
    """When one of these signals comes: close the pools in good order, then hand the signal on. Call it in the loop.

    From the signal on newcomers are refused (`PoolClosedError`) and who waits already is served. What is lent is
    waited for, up to ``timeout``, while the loop goes on, and then cut off; the pools are closed for good. Then the
    handler that was there before is put back, and the signal is sent again, so what would have happened without this
    happens now. A second signal meanwhile is handed on at once.

    A signal that was ignored stays ignored. A forked child has the handlers of before: the loop is the parent's.

    Args:
        *pools_or_clients: pools of this library, and clients over such pools.
        timeout: seconds for all pools together; 0: do not wait for what is lent.
        signals: which ones.

    Returns:
        A handle: `uninstall` it, or use it as a context manager; its ``closing`` says whether a signal has come.

    Raises:
        ConfigError: this is not the main thread, or no loop runs in it; something is no pool of this library, or one
            for threads; a signal cannot be caught, or is handled by something that could not get it back (C code).

    Servers that finish requests after SIGTERM (gunicorn, uvicorn, Celery) have hooks that come later: use those.

    >>> async def main():
    ...     async with close_on_signals(ResilientConnectionPool(), timeout="5s") as handle:
    ...         return handle.closing
    >>> asyncio.run(main())
    False
    """
    check_place()
    pools = pools_of(pools_or_clients, ResilientConnectionPool, _OTHER_SIDE)
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        raise ConfigError(
            "close_on_signals: no event loop is running; call it in the coroutine that uses the pools"
        ) from None
    for pool in pools:
        if pool._loop is not None and pool._loop is not loop and not pool._loop.is_closed():
            raise ConfigError(
                f"close_on_signals: pool {pool.name!r} belongs to another event loop; call it there",
                field="pools_or_clients",
            )
    handle = ShutdownHandle(pools, parse_duration(timeout, "timeout"), check_signals(signals), loop)
    handle._install()
    return handle


class ShutdownHandle:
    """What `close_on_signals` has installed.

    Attributes:
        signals: those that are caught; what was ignored is not among them.
    """

    def __init__(
        self, pools: list[Any], seconds: float, signals: tuple[int, ...], loop: asyncio.AbstractEventLoop
    ) -> None:
        self.signals: tuple[int, ...] = ()
        self._pools = pools
        self._seconds = seconds
        self._asked = signals
        self._loop = loop
        self._before: dict[int, _Before] = {}
        self._task: asyncio.Task[None] | None = None
        self._state = "armed"  # "closing", "over"

    @property
    def closing(self) -> bool:
        """Has a signal come? The pools take no newcomers any more."""
        return self._state == "closing"

    def uninstall(self) -> None:
        """Put the handlers of before back. A shutdown that is under way goes on, and hands its signal on."""
        if not self.closing:
            self._put_back()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Uninstall it."""
        self.uninstall()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Uninstall it. If a signal has come, wait until the pools are closed, and hand it on."""
        if self._task is not None:
            await asyncio.wait([self._task])
        self.uninstall()

    def _install(self) -> None:
        for number in self._asked:
            before = _Before(self._loop, number)
            if before.handler is signal.SIG_IGN:
                continue
            try:
                before.check()
                self._loop.add_signal_handler(number, self._on_signal, number)
            except (ConfigError, ValueError, OSError, RuntimeError) as error:  # the last two: add_signal_handler's
                self._put_back()
                raise cannot_catch(number, error) from error
            before.ours = signal.getsignal(number)
            self._before[number] = before
        self.signals = tuple(self._before)
        _handles.add(self)

    def _on_signal(self, number: int) -> None:
        if self._state != "armed":
            self._hand_on(number)
            return
        self._state = "closing"
        for pool in self._pools:
            pool._step(pool._ledger.begin_close)
        self._task = self._loop.create_task(self._close(number))

    async def _close(self, number: int) -> None:
        try:
            await asyncio.gather(*(self._close_one(pool) for pool in self._pools))
        finally:  # a cancel too: the loop ends
            if self._state == "closing":
                self._hand_on(number)

    async def _close_one(self, pool: Any) -> None:
        try:
            if not await pool.aclose(timeout=self._seconds):
                tell_cut_off(pool, self._seconds)
        except Exception:  # noqa: BLE001 - the others are to be closed, and the signal handed on
            logger.exception("pool %s could not be closed in good order", pool.name)

    def _hand_on(self, number: int) -> None:
        """To whom it would have gone; unless somebody has put a handler over ours, and has heard it already."""
        overlaid = self._state != "over" and not self._before[number].is_first()
        self._put_back()
        if not overlaid:
            signal.raise_signal(number)

    def _put_back(self) -> None:
        self._state = "over"
        for before in self._before.values():
            before.put_back(self._on_signal)

    def _after_fork(self) -> None:
        """In a child: the loop is the parent's, and must not hear of the child's signals."""
        if self._state == "over":
            return
        self._state, self._task = "over", None
        with contextlib.suppress(ValueError):
            signal.set_wakeup_fd(-1)  # the parent's loop listens at the other end; from Python 3.12 on asyncio does it
        for before in self._before.values():
            before.put_back_in_child()


class _Before:
    """Who had a signal before: the loop by `add_signal_handler`, or a handler of Python's `signal`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, number: int) -> None:
        self._loop = loop
        self._number = number
        self._of_loop = _loops_handle(loop, number)
        self.handler = signal.getsignal(number)
        self.ours: Any = None

    def check(self) -> None:
        """Could the signal be handed on to it?

        Raises:
            ConfigError: no.
        """
        if self._of_loop is None:
            check_before(self._number, self.handler)

    def is_first(self) -> bool:
        """Is our handler still the one of the process?"""
        return signal.getsignal(self._number) is self.ours

    def put_back(self, ours: Any) -> None:
        """Unless somebody has taken the signal from us since."""
        if self._loop.is_closed():  # which has given up all its signals
            if signal.getsignal(self._number) in (signal.SIG_DFL, signal.default_int_handler):
                signal.signal(self._number, self._usual())
            return
        handle = _loops_handle(self._loop, self._number)
        if not self.is_first() or (handle is not None and handle._callback != ours):
            return
        if self._of_loop is not None:
            self._loop.add_signal_handler(self._number, self._of_loop._callback, *(self._of_loop._args or ()))
            return
        self._loop.remove_signal_handler(self._number)
        signal.signal(self._number, self.handler)

    def put_back_in_child(self) -> None:
        """A loop of the parent's hears of nothing here."""
        with contextlib.suppress(ValueError):
            if self.is_first():
                signal.signal(self._number, self._usual())

    def _usual(self) -> Any:
        if self._of_loop is None:
            return self.handler
        return signal.default_int_handler if self._number == signal.SIGINT else signal.SIG_DFL


def _loops_handle(loop: Any, number: int) -> Any:
    """What `add_signal_handler` was given. There is no public way to ask, and uvloop has none at all."""
    return getattr(loop, "_signal_handlers", {}).get(number)


def _after_fork() -> None:
    for handle in list(_handles):
        handle._after_fork()


_handles: WeakSet[Any] = WeakSet()
if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_after_fork)
