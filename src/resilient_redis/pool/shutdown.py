"""Close pools when the process is told to end: SIGTERM, SIGINT. Twin of `aio_shutdown`.

A signal handler runs in the main thread, in the middle of whatever that was doing: it may hold a lease, or a lock.
So the handler waits for nothing. A thread of its own does; where none may be, the last connection that comes back.
"""

from __future__ import annotations

import _thread
import contextlib
import math
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any, Self
from weakref import WeakSet

from resilient_redis.durations import Duration, parse_duration
from resilient_redis.errors import ConfigError
from resilient_redis.events import logger
from resilient_redis.pool.bell import Bell
from resilient_redis.pool.signal_checks import (
    USUAL_SIGNALS,
    cannot_catch,
    check_before,
    check_place,
    check_signals,
    pools_of,
)
from resilient_redis.pool.sync_pool import ResilientConnectionPool

_MOMENT = 0.05
"""Seconds that the handler gives its thread, which needs some microseconds to make the pools refuse newcomers. It needs
all of them only if this thread, or one that waits for it, is inside a pool."""

_NUDGES = 20
_NUDGE_PAUSE = 0.1
"""How often, and after how many seconds each, the main thread is told again that it may hand the signal on."""

_OTHER_SIDE = "for asyncio pools and clients use resilient_redis.asyncio.close_on_signals"


def close_on_signals(
    *pools_or_clients: Any, timeout: Duration = 10.0, signals: Iterable[int] = USUAL_SIGNALS
) -> ShutdownHandle:
    """When one of these signals comes: close the pools in good order, then hand the signal on.

    From the signal on newcomers are refused (`PoolClosedError`) and who waits already is served. What is lent is
    waited for, up to ``timeout``, and then cut off; the pools are closed for good. Then the handler that was there
    before is put back, and the signal is sent again, so what would have happened without this happens now. A second
    signal meanwhile is handed on at once.

    A signal that was ignored stays ignored. In a forked child the handler works on, for the child's own connections.

    Args:
        *pools_or_clients: pools of this library, and clients over such pools.
        timeout: seconds for all pools together; 0: do not wait for what is lent.
        signals: which ones.

    Returns:
        A handle: `uninstall` it, or use it as a context manager; its ``closing`` says whether a signal has come.

    Raises:
        ConfigError: this is not the main thread; something is no pool of this library, or one for asyncio; a signal
            cannot be caught, or is handled by something that could not get it back (C code, an event loop).

    Servers that finish requests after SIGTERM (gunicorn, uvicorn, Celery) have hooks that come later: use those.

    >>> pool = ResilientConnectionPool()
    >>> with close_on_signals(pool, timeout="5s") as handle:
    ...     handle.closing
    False
    """
    check_place()
    pools = pools_of(pools_or_clients, ResilientConnectionPool, _OTHER_SIDE)
    handle = ShutdownHandle(pools, parse_duration(timeout, "timeout"), check_signals(signals))
    handle._install()
    return handle


class ShutdownHandle:
    """What `close_on_signals` has installed.

    Attributes:
        signals: those that are caught; what was ignored is not among them.
    """

    def __init__(self, pools: list[Any], seconds: float, signals: tuple[int, ...]) -> None:
        self.signals: tuple[int, ...] = ()
        self._pools = pools
        self._seconds = seconds
        self._asked = signals
        self._before: dict[int, Any] = {}
        self._has_timer = False
        self._patience: float | None = None  # how long `__exit__` waits for who closes the pools
        self._state = "armed"  # "closing", "closed" (to be handed on), "over"
        self._rearm()

    @property
    def closing(self) -> bool:
        """Has a signal come? The pools take no newcomers any more."""
        return self._state in ("closing", "closed")

    def uninstall(self) -> None:
        """Put the handlers of before back. A shutdown that is under way goes on, and hands its signal on.

        In another thread than the main one the handlers stay, and hand every signal on at once.
        """
        if not self.closing:
            self._put_back()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Uninstall it. If a signal has come, wait until the pools are closed, and hand it on."""
        if self._state == "closing" and not self._over.wait(self._patience):
            self._end()  # without a thread, and without the timer
        self.uninstall()

    def _install(self) -> None:
        for number in self._asked:
            before = signal.getsignal(number)
            if before is signal.SIG_IGN:
                continue
            try:
                check_before(number, before)
                signal.signal(number, self._on_signal)
            except (ConfigError, ValueError, OSError) as error:
                self._put_back()
                raise cannot_catch(number, error) from error
            self._before[number] = before
        self.signals = tuple(self._before)
        _handles.add(self)

    # In the main thread, in the middle of anything

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._state != "armed":
            self._hand_on(number, frame)
            return
        self._state, self._number = "closing", number
        if any(pool.options.background for pool in self._pools):
            try:
                # Not a `threading.Thread`: starting one waits for it, and takes locks of `threading`'s.
                _thread.start_new_thread(self._close_in_thread, ())
                self._begun.wait(_MOMENT)
                return
            except RuntimeError:  # none to be had
                pass
        self._close_without_thread()

    def _hand_on(self, number: int, frame: FrameType | None) -> None:
        """To whom it would have gone."""
        before = self._before.get(number, signal.SIG_DFL)
        stands_first = signal.getsignal(number) == self._on_signal
        self._put_back()
        if stands_first or before is signal.SIG_DFL:
            signal.signal(number, before)
            signal.raise_signal(number)
        elif callable(before):  # somebody came after us, and has called us
            before(number, frame)

    def _put_back(self) -> None:
        self._state = "over"
        self._gone.set()
        self._stop_timer()
        for number, before in self._before.items():
            with contextlib.suppress(ValueError):  # not in the main thread
                if signal.getsignal(number) == self._on_signal:
                    signal.signal(number, before)

    # With a thread

    def _close_in_thread(self) -> None:
        try:
            close_all(self._pools, self._seconds, self._begun)
        finally:
            self._closed()

    def _closed(self) -> None:
        """The pools are closed: let the main thread hand the signal on. From any thread."""
        if self._state == "closing":
            self._state = "closed"
            self._tell_main_thread()
        self._over.set()
        for _ in range(_NUDGES):
            if threading.get_ident() == _main_thread() or self._gone.wait(_NUDGE_PAUSE):
                return
            if self._state == "closed":
                self._tell_main_thread()

    def _tell_main_thread(self) -> None:
        # It is not enough to be told just before a system call that blocks: Python looks before it, and after it.
        signal.pthread_kill(_main_thread(), self._number)

    # Without one

    def _close_without_thread(self) -> None:
        """Return at once: this thread may be the one that is to give a connection back."""
        self._patience = None if self._seconds == math.inf else self._seconds
        for pool in self._pools:
            pool._quiet = _TellingBell(self._look)
            pool._step(pool._ledger.begin_close)
        if self._state == "closing":
            self._start_timer()

    def _look(self) -> None:
        if self._state == "closing" and all(
            pool._ledger.state != "open" and pool._ledger.quiet for pool in self._pools
        ):
            self._end()

    def _end(self) -> None:
        """Close the pools, whatever is still lent. Only the first call counts: each pool tells when it is quiet."""
        try:
            self._baton.pop()
        except IndexError:
            return
        for pool in self._pools:
            with contextlib.suppress(Exception):
                pool.close()
        self._closed()

    def _start_timer(self) -> None:
        """The process's one interval timer, if nobody uses it."""
        if self._seconds == 0:
            self._end()
        elif (
            self._seconds < math.inf
            and signal.SIGALRM not in self._before
            and signal.getsignal(signal.SIGALRM) is signal.SIG_DFL
            and signal.getitimer(signal.ITIMER_REAL)[0] == 0
        ):
            self._has_timer = True
            signal.signal(signal.SIGALRM, lambda *_: self._end())
            signal.setitimer(signal.ITIMER_REAL, self._seconds)

    def _stop_timer(self) -> None:
        if self._has_timer:
            with contextlib.suppress(ValueError):  # not in the main thread
                signal.signal(signal.SIGALRM, signal.SIG_IGN)
                signal.setitimer(signal.ITIMER_REAL, 0)
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
                self._has_timer = False

    # After a fork

    def _rearm(self) -> None:
        self._number = 0
        self._baton = deque([None])
        self._begun = Bell()  # newcomers are refused
        self._over = Bell()  # the pools are closed
        self._gone = Bell()  # and the signal is handed on

    def _after_fork(self) -> None:
        """In a child: the signal was the parent's, and so was the thread."""
        self._stop_timer()
        self._rearm()
        if self._state != "over":
            self._state = "armed"


class _TellingBell(Bell):
    """A bell that also calls somebody when it is set."""

    def __init__(self, tell: Callable[[], None]) -> None:
        super().__init__()
        self._tell = tell

    def set(self) -> None:
        super().set()
        self._tell()


def close_all(pools: list[Any], seconds: float, begun: Bell) -> None:
    """Close pools, all within ``seconds``; whatever one of them raises. For a thread of its own."""
    for pool in pools:
        pool._step(pool._ledger.begin_close)
    begun.set()
    began = [pool._now() for pool in pools]
    for pool, then in zip(pools, began, strict=True):
        try:
            if not pool.close(timeout=max(0.0, seconds - (pool._now() - then))):
                tell_cut_off(pool, seconds)
        except Exception:  # noqa: BLE001 - the others are to be closed, and the signal handed on
            logger.exception("pool %s could not be closed in good order", pool.name)


def tell_cut_off(pool: Any, seconds: float) -> None:
    """Not everything came back."""
    logger.warning("pool %s: closed after %.3g s, with connections still lent; they were cut off", pool.name, seconds)


def _main_thread() -> int:
    ident = threading.main_thread().ident
    assert ident is not None
    return ident


def _after_fork() -> None:
    for handle in list(_handles):
        handle._after_fork()


_handles: WeakSet[Any] = WeakSet()
if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_after_fork)
