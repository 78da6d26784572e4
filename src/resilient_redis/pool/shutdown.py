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
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any, Self
from weakref import WeakSet

import redis
import redis.asyncio

from resilient_redis.durations import Duration, parse_duration
from resilient_redis.errors import ConfigError
from resilient_redis.events import logger
from resilient_redis.pool.bell import Bell
from resilient_redis.pool.sync_pool import ResilientConnectionPool

USUAL_SIGNALS = (signal.SIGTERM, signal.SIGINT)
"""What process managers send, and what Ctrl-C sends."""


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
                # Not a `threading.Thread`: starting one takes a lock, which this thread may be holding.
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


# What may be given


_MOMENT = 0.05
"""Seconds that the handler gives its thread, which needs some microseconds to make the pools refuse newcomers. It needs
all of them only if this thread, or one that waits for it, is inside a pool."""

_NUDGES = 20
_NUDGE_PAUSE = 0.1
"""How often, and after how many seconds each, the main thread is told again that it may hand the signal on."""

_LOOPS = ("asyncio.unix_events", "uvloop")
"""Where handlers come from that only wake a loop up."""

_OTHER_SIDE = "for asyncio pools and clients use resilient_redis.asyncio.close_on_signals"


def check_place() -> None:
    """Signals are caught by the main thread, and by nobody under uWSGI, which counts on its own handlers.

    Raises:
        ConfigError: not here.
    """
    if "uwsgi" in sys.modules:
        raise ConfigError(
            "close_on_signals: uWSGI keeps its signals to itself; close the pools in uwsgi.atexit instead"
        )
    if threading.current_thread() is not threading.main_thread():
        raise ConfigError("close_on_signals: only the main thread can catch signals; call it there")


def pools_of(given: Iterable[Any], wanted: type[Any], other_side: str) -> list[Any]:
    """The pools that are meant, each once.

    Raises:
        ConfigError: something is not a ``wanted``, nor a client over one; the message says what to do.
    """
    pools: list[Any] = []
    for item in given:
        pool = getattr(item, "connection_pool", item)
        if not isinstance(pool, wanted):
            raise ConfigError(f"close_on_signals: {_why_not(item, pool, wanted, other_side)}", field="pools_or_clients")
        if pool not in pools:
            pools.append(pool)
    if not pools:
        raise ConfigError("close_on_signals: give at least one pool or client", field="pools_or_clients")
    return pools


def _why_not(item: Any, pool: Any, wanted: type[Any], other_side: str) -> str:
    name = type(pool).__name__ if pool is item else f"the {type(pool).__name__} of this {type(item).__name__}"
    if type(pool).__name__ == wanted.__name__:
        return f"{name} is of the other kind; {other_side}"
    if isinstance(pool, (redis.ConnectionPool, redis.asyncio.ConnectionPool)):
        package = "resilient_redis.asyncio" if issubclass(wanted, redis.asyncio.ConnectionPool) else "resilient_redis"
        return (
            f"{name} cannot be drained; make it a {package}.{wanted.__name__}, or call its own disconnect() when the "
            "process ends"
        )
    return f"{name} is no pool and no client; give a {wanted.__name__}, or a client over one"


def check_signals(signals: Iterable[int]) -> tuple[int, ...]:
    """The numbers, each once.

    Raises:
        ConfigError: there is none, or no such signal.
    """
    numbers: list[int] = []
    for number in [signals] if isinstance(signals, int) else signals:
        if not isinstance(number, int) or number not in signal.valid_signals():
            raise ConfigError(
                f"signals: {number!r} is no signal here; give signal.SIGTERM and the like", field="signals"
            )
        if int(number) not in numbers:
            numbers.append(int(number))
    if not numbers:
        raise ConfigError("signals: give at least one, such as signal.SIGTERM", field="signals")
    return tuple(numbers)


def check_before(number: int, before: Any) -> None:
    """Could the signal be handed on to its handler of now?

    Raises:
        ConfigError: no.
    """
    if before is None:
        raise ConfigError(
            f"{_name(number)} is handled by C code, which could not get it back; close the pools in a hook of that "
            "program's own"
        )
    if str(getattr(before, "__module__", None)).startswith(_LOOPS):
        raise ConfigError(
            f"an event loop handles {_name(number)}; use resilient_redis.asyncio.close_on_signals in that loop, or "
            "call this before the loop takes the signal"
        )


def cannot_catch(number: int, error: Exception) -> ConfigError:
    """What to tell who asked for this signal."""
    if isinstance(error, ConfigError):
        return ConfigError(f"close_on_signals: {error}", field="signals")
    return ConfigError(f"signals: {_name(number)} cannot be caught ({error}); leave it out", field="signals")


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


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
