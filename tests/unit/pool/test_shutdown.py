"""close_on_signals: what it takes, what the handler does in whatever moment it comes, and to whom it hands on.

Real signals (SIGUSR1, SIGUSR2) come to this very process; no socket is opened.
"""

from __future__ import annotations

import _thread
import asyncio
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
import redis
import redis.asyncio

import resilient_redis
import resilient_redis.asyncio
from resilient_redis import ConfigError, PoolClosedError, ResilientConnectionPool, ResilientRedis, close_on_signals
from resilient_redis.asyncio import ResilientConnectionPool as AsyncPool
from resilient_redis.asyncio import close_on_signals as aio_close_on_signals
from resilient_redis.pool import shutdown

ONE, TWO = signal.SIGUSR1, signal.SIGUSR2


class Stub:
    """A connection to nowhere."""

    retry: Any = None

    def __init__(self, **_: Any) -> None:
        self._sock: Any = None

    def connect(self) -> None:
        self._sock = object()

    def disconnect(self, *_: Any, **__: Any) -> None:
        self._sock = None

    def can_read(self, timeout: float = 0) -> bool:
        return False


class AsyncStub:
    """Its twin."""

    retry: Any = None
    is_connected = False

    def __init__(self, **_: Any) -> None: ...

    async def connect(self) -> None:
        self.is_connected = True

    async def disconnect(self, *_: Any, **__: Any) -> None:
        self.is_connected = False

    async def can_read_destructive(self) -> bool:
        return False


def make_pool(**options: Any) -> Any:
    return ResilientConnectionPool(connection_class=Stub, **options)


def make_async_pool(**options: Any) -> Any:
    return AsyncPool(connection_class=AsyncStub, **options)


class Heard(list[int]):
    """The handler of before."""

    def __call__(self, number: int, _frame: Any = None) -> None:
        self.append(number)


@pytest.fixture
def heard() -> Iterator[Heard]:
    handler = Heard()
    before = {number: signal.signal(number, handler) for number in (ONE, TWO)}
    yield handler
    for number, each in before.items():
        signal.signal(number, each)


@pytest.fixture(params=[True, False], ids=["with a thread", "without a thread"])
def background(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def until(condition: Callable[[], Any], seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.001)
    return False


async def aio_until(condition: Callable[[], Any], seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        await asyncio.sleep(0.001)
    return False


# What it takes


def test_only_the_main_thread_may_install_it() -> None:
    caught: list[BaseException] = []

    def install(function: Any, pool: Any) -> None:
        try:
            function(pool)
        except ConfigError as error:
            caught.append(error)

    for function, pool in ((close_on_signals, make_pool()), (aio_close_on_signals, make_async_pool())):
        thread = threading.Thread(target=install, args=(function, pool))
        thread.start()
        thread.join()
    assert ["main thread" in str(error) for error in caught] == [True, True]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (redis.ConnectionPool(), "ConnectionPool cannot be drained; make it a resilient_redis.ResilientConnectionPool"),
        (redis.BlockingConnectionPool(), "BlockingConnectionPool cannot be drained"),
        (redis.Redis(), "the ConnectionPool of this Redis cannot be drained; make it a resilient_redis.Resilient"),
        (ResilientRedis(connection_pool=redis.ConnectionPool()), "the ConnectionPool of this ResilientRedis cannot"),
        (
            AsyncPool(),
            "is of the other kind; for asyncio pools and clients use resilient_redis.asyncio.close_on_signals",
        ),
        (resilient_redis.asyncio.ResilientRedis(), "of this ResilientRedis is of the other kind"),
        ("redis://localhost", "str is no pool and no client; give a ResilientConnectionPool, or a client over one"),
        (None, "NoneType is no pool"),
    ],
)
def test_what_is_no_pool_of_ours_is_refused_with_the_remedy(given: Any, said: str) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ConfigError) as caught:
        close_on_signals(make_pool(), given)
    assert said in str(caught.value)
    assert caught.value.field == "pools_or_clients"
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (redis.asyncio.ConnectionPool(), "make it a resilient_redis.asyncio.ResilientConnectionPool, or call its own"),
        (make_pool(), "is of the other kind; for pools and clients of threads use resilient_redis.close_on_signals"),
        (42, "int is no pool"),
    ],
)
async def test_what_is_no_asyncio_pool_of_ours_is_refused_with_the_remedy(given: Any, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        aio_close_on_signals(given)
    assert said in str(caught.value)


@pytest.mark.parametrize("function", [close_on_signals, aio_close_on_signals])
def test_nothing_to_close_is_a_mistake(function: Any) -> None:
    with pytest.raises(ConfigError, match="at least one pool"):
        function()


@pytest.mark.parametrize(
    ("signals", "said"),
    [
        ((), "at least one"),
        ((0,), "0 is no signal"),
        ((1000,), "1000 is no signal"),
        (("SIGTERM",), "'SIGTERM' is no signal here; give signal.SIGTERM"),
        ((ONE, signal.SIGKILL), "SIGKILL cannot be caught"),
    ],
)
def test_signals_that_cannot_be(signals: Any, said: str, heard: Heard) -> None:
    with pytest.raises(ConfigError) as caught:
        close_on_signals(make_pool(), signals=signals)
    assert said in str(caught.value)
    assert caught.value.field == "signals"
    assert signal.getsignal(ONE) is heard


async def test_asyncio_signals_that_cannot_be(heard: Heard) -> None:
    with pytest.raises(ConfigError, match="SIGKILL cannot be caught"):
        aio_close_on_signals(make_async_pool(), signals=(ONE, signal.SIGKILL))
    assert signal.getsignal(ONE) is heard


@pytest.mark.parametrize("function", [close_on_signals, aio_close_on_signals])
def test_a_timeout_is_a_duration(function: Any) -> None:
    async def install() -> None:
        pool = make_pool() if function is close_on_signals else make_async_pool()
        with pytest.raises(ConfigError, match="timeout"):
            function(pool, timeout=-1)

    asyncio.run(install())


def test_asyncio_needs_a_running_loop() -> None:
    with pytest.raises(ConfigError, match="no event loop is running"):
        aio_close_on_signals(make_async_pool())


async def test_a_pool_of_another_loop_is_refused() -> None:
    pool = make_async_pool()
    other = asyncio.new_event_loop()
    pool._loop = other
    with pytest.raises(ConfigError, match="another event loop"):
        aio_close_on_signals(pool, signals=(ONE,))
    other.close()


def test_what_c_code_handles_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutdown.signal, "getsignal", lambda _: None)
    with pytest.raises(ConfigError, match="SIGUSR1 is handled by C code"):
        close_on_signals(make_pool(), signals=[ONE])


def test_uwsgi_keeps_its_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uwsgi", ModuleType("uwsgi"))
    with pytest.raises(ConfigError, match=r"close the pools in uwsgi\.atexit"):
        close_on_signals(make_pool(), signals=[ONE])


async def test_what_a_loop_handles_is_the_loops() -> None:
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(ONE, print)
    with pytest.raises(ConfigError, match=r"an event loop handles SIGUSR1; use resilient_redis\.asyncio"):
        close_on_signals(make_pool(), signals=[ONE])
    loop.remove_signal_handler(ONE)


def test_clients_over_one_pool_and_the_pool_itself_are_one(heard: Heard) -> None:
    pool = make_pool()
    with close_on_signals(ResilientRedis(connection_pool=pool), pool, signals=[ONE, ONE]) as handle:
        assert handle._pools == [pool]
        assert handle.signals == (ONE,)


def test_an_ignored_signal_stays_ignored(heard: Heard) -> None:
    signal.signal(ONE, signal.SIG_IGN)
    pool = make_pool()
    with close_on_signals(pool, signals=[ONE, TWO]) as handle:
        assert handle.signals == (TWO,)
        signal.raise_signal(ONE)
        assert not handle.closing
        assert pool.stats().state == "open"
    assert signal.getsignal(ONE) is signal.SIG_IGN


async def test_an_ignored_signal_stays_ignored_in_asyncio(heard: Heard) -> None:
    signal.signal(ONE, signal.SIG_IGN)
    with aio_close_on_signals(make_async_pool(), signals=[ONE, TWO]) as handle:
        assert handle.signals == (TWO,)
    assert signal.getsignal(ONE) is signal.SIG_IGN


# The way of one signal


def test_what_is_lent_comes_back_then_the_signal_goes_on(heard: Heard, background: bool) -> None:
    pool = make_pool(background=background)
    handle = close_on_signals(pool, timeout=5, signals=[ONE, TWO])
    connection = pool.get_connection()
    signal.raise_signal(ONE)
    assert handle.closing
    assert until(lambda: pool.stats().state == "draining")
    with pytest.raises(PoolClosedError):
        pool.get_connection()
    assert heard == []
    pool.release(connection)
    assert until(lambda: heard)
    assert heard == [ONE]
    assert pool.stats().state == "closed"
    assert not handle.closing
    assert signal.getsignal(ONE) is signal.getsignal(TWO) is heard
    signal.raise_signal(ONE)
    assert heard == [ONE, ONE]


def test_newcomers_are_refused_from_the_very_moment_on(heard: Heard, background: bool) -> None:
    for _ in range(50):
        pool = make_pool(background=background)
        connection = pool.get_connection()
        close_on_signals(pool, timeout=5, signals=[ONE])
        signal.raise_signal(ONE)
        with pytest.raises(PoolClosedError):
            pool.get_connection()
        pool.release(connection)
        assert until(lambda: heard)
        heard.clear()


def test_with_nothing_lent_it_goes_on_at_once(heard: Heard, background: bool) -> None:
    pool = make_pool(background=background)
    pool.release(pool.get_connection())
    close_on_signals(pool, signals=[ONE])
    signal.raise_signal(ONE)
    assert until(lambda: heard == [ONE])
    assert (pool.stats().state, pool.stats().size) == ("closed", 0)


def test_who_waits_already_is_served(heard: Heard, background: bool) -> None:
    pool = make_pool(background=background, max_connections=1)
    close_on_signals(pool, timeout=5, signals=[ONE])
    connection = pool.get_connection()
    served: list[Any] = []

    def wait() -> None:
        with pool.lease() as mine:
            served.append(mine)

    thread = threading.Thread(target=wait)
    thread.start()
    assert until(lambda: pool.stats().pending == 1)
    signal.raise_signal(ONE)
    assert until(lambda: pool.stats().state == "draining")
    pool.release(connection)
    thread.join()
    assert served == [connection]
    assert until(lambda: heard == [ONE])


def test_a_second_signal_goes_on_at_once(heard: Heard, background: bool) -> None:
    pool = make_pool(background=background)
    handle = close_on_signals(pool, timeout=30, signals=[ONE, TWO])
    connection = pool.get_connection()
    signal.raise_signal(ONE)
    assert until(lambda: pool.stats().state == "draining")
    assert heard == []
    signal.raise_signal(TWO)
    assert until(lambda: heard == [TWO], 1)
    assert not handle.closing
    assert signal.getsignal(ONE) is heard
    pool.release(connection)
    assert until(lambda: pool.stats().size == 0)
    time.sleep(0.02)
    assert heard == [TWO]  # nothing comes after it


def test_what_does_not_come_back_in_time_is_cut_off(heard: Heard, caplog: pytest.LogCaptureFixture) -> None:
    pools = [make_pool(name="orders"), make_pool(name="idle")]
    close_on_signals(*pools, timeout=0.05, signals=[ONE])
    pools[0].get_connection()
    began = time.monotonic()
    signal.raise_signal(ONE)
    assert until(lambda: heard == [ONE])
    assert 0.04 <= time.monotonic() - began < 2
    assert [pool.stats().state for pool in pools] == ["closed", "closed"]
    assert [record.message for record in caplog.records] == [
        "pool orders: closed after 0.05 s, with connections still lent; they were cut off"
    ]


def test_without_patience_nothing_is_waited_for(heard: Heard, background: bool) -> None:
    pool = make_pool(background=background)
    close_on_signals(pool, timeout=0, signals=[ONE])
    pool.get_connection()
    signal.raise_signal(ONE)
    assert until(lambda: heard == [ONE])
    assert pool.stats().state == "closed"


def test_all_pools_share_the_time(heard: Heard) -> None:
    pools = [make_pool() for _ in range(5)]
    for pool in pools:
        pool.get_connection()
    close_on_signals(*pools, timeout=0.1, signals=[ONE])
    began = time.monotonic()
    signal.raise_signal(ONE)
    assert until(lambda: heard == [ONE])
    assert time.monotonic() - began < 0.4


def test_a_pool_that_cannot_be_closed_holds_nobody_up(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    broken, sound = make_pool(name="broken"), make_pool()
    monkeypatch.setattr(broken, "close", lambda timeout=0: 1 / 0)
    close_on_signals(broken, sound, signals=[ONE])
    signal.raise_signal(ONE)
    assert until(lambda: heard == [ONE])
    assert sound.stats().state == "closed"


def test_ctrl_c_ends_in_a_keyboard_interrupt(background: bool) -> None:
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    pool = make_pool(background=background)
    close_on_signals(pool, timeout=5)
    connection = pool.get_connection()
    signal.raise_signal(signal.SIGINT)
    assert until(lambda: pool.stats().state == "draining")
    with pytest.raises(KeyboardInterrupt):
        pool.release(connection)
        time.sleep(5)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


# In whatever moment it comes


def test_it_comes_in_the_middle_of_a_step_of_the_pool(heard: Heard, background: bool) -> None:
    pool = make_pool(background=background)
    close_on_signals(pool, timeout=5, signals=[ONE])
    settle, states = pool._ledger.settle, []

    def interrupted(now: float) -> Any:
        pool._ledger.settle = settle
        signal.raise_signal(ONE)
        states.append(pool._stepping)
        return settle(now)

    pool._ledger.settle = interrupted
    pool.drain()
    assert states == [True]
    assert until(lambda: heard == [ONE])
    assert pool.stats().state == "closed"


def test_it_comes_while_this_thread_borrows_and_gives_back(
    heard: Heard, background: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every line of the pool's code that runs in a borrow and a return."""
    monkeypatch.setattr(shutdown, "_MOMENT", 0.001)
    lines = 0
    for moment in range(10_000):
        pool = make_pool(background=background, acquire_timeout=1)
        del heard[:]
        began = time.monotonic()
        with close_on_signals(pool, timeout=5, signals=[ONE]):
            seen, lines = _borrow_and_give_back(pool, moment), moment
        assert time.monotonic() - began < 3, moment  # it did not have to be rescued at the end of the block
        assert not seen or until(lambda: heard == [ONE]), moment
        assert pool.stats().borrowed == 0, moment
        if not seen:
            break
    assert lines > 50


def _borrow_and_give_back(pool: Any, moment: int) -> bool:
    left = moment
    folder = shutdown.__file__.rpartition("/")[0]

    def trace(frame: Any, event: str, _arg: Any) -> Any:
        nonlocal left
        if not frame.f_code.co_filename.startswith(folder) or frame.f_code.co_filename == shutdown.__file__:
            return None
        if event == "line":
            left -= 1
            if left == -1:
                sys.settrace(None)
                signal.raise_signal(ONE)
                return None
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        connection = pool.get_connection()
        pool.release(connection)
    except PoolClosedError:
        pass
    finally:
        sys.settrace(before)
    return left < 0


def test_it_comes_while_the_main_thread_blocks(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told in the moment before a system call, Python would hear of it after that call; so it is told again."""
    told: list[int] = []
    kill = signal.pthread_kill

    def kill_later(thread: int, number: int) -> None:
        told.append(number)
        if len(told) > 1:
            kill(thread, number)

    monkeypatch.setattr(shutdown.signal, "pthread_kill", kill_later)
    pool = make_pool()
    close_on_signals(pool, timeout=5, signals=[ONE])
    began = time.monotonic()
    signal.raise_signal(ONE)
    assert until(lambda: heard == [ONE])
    assert time.monotonic() - began < 2
    assert len(told) == 2


def test_it_comes_while_this_thread_starts_another(heard: Heard) -> None:
    """`threading` has a lock that is held for a moment then; a handler that took it would wait for ever."""
    pool = make_pool()
    close_on_signals(pool, timeout=5, signals=[ONE])
    with threading._active_limbo_lock:  # type: ignore[attr-defined]
        signal.raise_signal(ONE)
    assert until(lambda: heard == [ONE])


def test_it_comes_while_another_thread_has_the_pools_lock(heard: Heard) -> None:
    pool = make_pool()
    close_on_signals(pool, timeout=5, signals=[ONE])
    taken, go = threading.Event(), threading.Event()

    def hold() -> None:
        with pool._lock:
            taken.set()
            go.wait(5)

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait(5)
    signal.raise_signal(ONE)  # returns
    go.set()
    thread.join()
    assert until(lambda: heard == [ONE])


def test_this_thread_itself_holds_what_is_waited_for(heard: Heard, background: bool) -> None:
    pool = make_pool(background=background)
    close_on_signals(pool, timeout=5, signals=[ONE])
    with pool.lease():
        signal.raise_signal(ONE)
        assert heard == []
    assert until(lambda: heard == [ONE])
    assert pool.stats().closes == {"closed": 1}


def test_the_last_connection_comes_back_in_another_thread(heard: Heard) -> None:
    pools = [make_pool(background=False) for _ in range(2)]
    close_on_signals(*pools, timeout=30, signals=[ONE])
    lent = [(pool, pool.get_connection()) for pool in pools for _ in range(3)]
    signal.raise_signal(ONE)
    threads = [threading.Thread(target=pool.release, args=(connection,)) for pool, connection in lent]
    for thread in threads[:-1]:
        thread.start()
        thread.join()
    assert heard == []
    threads[-1].start()
    assert until(lambda: heard == [ONE])
    threads[-1].join()
    assert [pool.stats().state for pool in pools] == ["closed", "closed"]


def test_no_thread_is_to_be_had(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise RuntimeError("can't start new thread")

    pool = make_pool()
    close_on_signals(pool, timeout=5, signals=[ONE])
    monkeypatch.setattr(_thread, "start_new_thread", refuse)
    with pool.lease():
        signal.raise_signal(ONE)
        assert pool.stats().state == "draining"
    assert until(lambda: heard == [ONE])


# Coming and going


def test_it_can_be_taken_away(heard: Heard) -> None:
    pool = make_pool()
    handle = close_on_signals(pool, signals=[ONE])
    handle.uninstall()
    handle.uninstall()
    assert signal.getsignal(ONE) is heard
    signal.raise_signal(ONE)
    assert heard == [ONE]
    assert pool.stats().state == "open"


def test_taken_away_in_another_thread_it_only_hands_on(heard: Heard) -> None:
    pool = make_pool()
    handle = close_on_signals(pool, signals=[ONE, TWO])
    thread = threading.Thread(target=handle.uninstall)
    thread.start()
    thread.join()
    signal.raise_signal(ONE)
    assert heard == [ONE]
    assert signal.getsignal(ONE) is signal.getsignal(TWO) is heard
    assert pool.stats().state == "open"


def test_two_of_them_one_after_the_other(heard: Heard) -> None:
    first, second = make_pool(), make_pool()
    order: list[str] = []
    for name, pool in (("first", first), ("second", second)):
        close_on_signals(pool, timeout=5, signals=[ONE])
        close = pool.close
        pool.close = lambda timeout=0, close=close, name=name: (order.append(name), close(timeout))[1]
    signal.raise_signal(ONE)
    assert until(lambda: heard == [ONE])
    assert order == ["second", "first"]
    assert first.stats().state == second.stats().state == "closed"
    assert signal.getsignal(ONE) is heard


def test_two_of_them_taken_away_in_the_wrong_order(heard: Heard) -> None:
    first, second = make_pool(), make_pool()
    one = close_on_signals(first, signals=[ONE])
    two = close_on_signals(second, signals=[ONE])
    one.uninstall()
    signal.raise_signal(ONE)
    assert until(lambda: heard == [ONE])
    assert (first.stats().state, second.stats().state) == ("open", "closed")
    two.uninstall()
    assert signal.getsignal(ONE) is heard


def test_somebody_who_came_later_calls_us_and_stays(heard: Heard, background: bool) -> None:
    pool = make_pool(background=background)
    close_on_signals(pool, timeout=5, signals=[ONE])
    ours = signal.getsignal(ONE)
    theirs: list[int] = []

    def later(number: int, frame: Any) -> None:
        theirs.append(number)
        ours(number, frame)  # type: ignore[operator,misc]

    signal.signal(ONE, later)
    signal.raise_signal(ONE)
    assert until(lambda: heard == [ONE])
    assert signal.getsignal(ONE) is later
    assert pool.stats().state == "closed"
    assert len(theirs) <= 2  # once for the signal, and once as it is sent again


def test_leaving_the_block_waits_for_the_end_and_hands_on(heard: Heard, background: bool) -> None:
    pool = make_pool(background=background)
    lent = pool.get_connection()
    with close_on_signals(pool, timeout=5, signals=[ONE]) as handle:
        threading.Timer(0.05, pool.release, (lent,)).start()
        signal.raise_signal(ONE)
        assert handle.closing
    assert heard == [ONE]
    assert pool.stats().state == "closed"
    assert signal.getsignal(ONE) is heard


def test_leaving_the_block_while_this_thread_has_a_connection(heard: Heard, background: bool) -> None:
    pool = make_pool(background=background)
    lent = pool.get_connection()
    with close_on_signals(pool, timeout=0.05, signals=[ONE]):
        signal.raise_signal(ONE)
    assert until(lambda: heard == [ONE])
    pool.release(lent)
    assert pool.stats().size == 0


# asyncio


async def test_asyncio_what_is_lent_comes_back_then_the_signal_goes_on(heard: Heard) -> None:
    pool = make_async_pool()
    handle = aio_close_on_signals(pool, timeout=5, signals=[ONE, TWO])
    connection = await pool.get_connection()
    signal.raise_signal(ONE)
    assert await aio_until(lambda: handle.closing)
    assert pool.stats().state == "draining"
    with pytest.raises(PoolClosedError):
        await pool.get_connection()
    assert heard == []
    await pool.release(connection)
    assert await aio_until(lambda: heard)
    assert heard == [ONE]
    assert pool.stats().state == "closed"
    assert signal.getsignal(ONE) is signal.getsignal(TWO) is heard
    handle.uninstall()
    assert signal.getsignal(ONE) is heard


async def test_asyncio_newcomers_are_refused_from_the_very_moment_on(heard: Heard) -> None:
    pool = make_async_pool()
    handle = aio_close_on_signals(pool, timeout=5, signals=[ONE])
    handle._on_signal(ONE)  # as the loop calls it
    assert pool.stats().state == "draining"
    assert await aio_until(lambda: heard == [ONE])


async def test_asyncio_closing_begins_before_anything_is_waited_for() -> None:
    pool = make_async_pool()
    go = asyncio.Event()
    pool._on_close = go.wait  # redis-py's, which ends its maintenance tasks
    closing = asyncio.create_task(pool.aclose())
    await asyncio.sleep(0)
    assert pool.stats().state == "draining"
    go.set()
    assert await closing


async def test_asyncio_who_waits_already_is_served(heard: Heard) -> None:
    pool = make_async_pool(max_connections=1)
    aio_close_on_signals(pool, timeout=5, signals=[ONE])
    connection = await pool.get_connection()
    waiting = asyncio.create_task(pool.get_connection())
    assert await aio_until(lambda: pool.stats().pending == 1)
    signal.raise_signal(ONE)
    assert await aio_until(lambda: pool.stats().state == "draining")
    await pool.release(connection)
    assert await waiting is connection
    assert heard == []
    await pool.release(connection)
    assert await aio_until(lambda: heard == [ONE])


async def test_asyncio_a_second_signal_goes_on_at_once(heard: Heard) -> None:
    pool = make_async_pool()
    handle = aio_close_on_signals(pool, timeout=30, signals=[ONE, TWO])
    connection = await pool.get_connection()
    signal.raise_signal(ONE)
    assert await aio_until(lambda: handle.closing)
    signal.raise_signal(TWO)
    assert await aio_until(lambda: heard == [TWO], 1)
    await pool.release(connection)
    assert await aio_until(lambda: pool.stats().state == "closed")
    await asyncio.sleep(0.02)
    assert heard == [TWO]


async def test_asyncio_what_does_not_come_back_in_time(heard: Heard, caplog: pytest.LogCaptureFixture) -> None:
    pools = [make_async_pool(name="orders"), make_async_pool()]
    for pool in pools:
        await pool.get_connection()
    await pools[1].release(next(iter(pools[1]._ledger.leased)))
    aio_close_on_signals(*pools, timeout=0.05, signals=[ONE])
    signal.raise_signal(ONE)
    assert await aio_until(lambda: heard == [ONE])
    assert [pool.stats().state for pool in pools] == ["closed", "closed"]
    assert [record.message for record in caplog.records if "closed after" in record.message] == [
        "pool orders: closed after 0.05 s, with connections still lent; they were cut off"
    ]


async def test_asyncio_hands_on_to_the_loops_own_handler() -> None:
    loop, heard = asyncio.get_running_loop(), Heard()
    loop.add_signal_handler(ONE, heard, 1)
    pool = make_async_pool()
    with aio_close_on_signals(pool, signals=[ONE]):
        signal.raise_signal(ONE)
        assert await aio_until(lambda: heard == [1])
    assert pool.stats().state == "closed"
    signal.raise_signal(ONE)
    assert await aio_until(lambda: heard == [1, 1])
    loop.remove_signal_handler(ONE)


async def test_asyncio_gives_the_loops_own_handler_back() -> None:
    loop, heard = asyncio.get_running_loop(), Heard()
    loop.add_signal_handler(ONE, heard, 1)
    aio_close_on_signals(make_async_pool(), signals=[ONE]).uninstall()
    signal.raise_signal(ONE)
    assert await aio_until(lambda: heard == [1])
    loop.remove_signal_handler(ONE)


async def test_asyncio_two_of_them(heard: Heard) -> None:
    pools = [make_async_pool(), make_async_pool()]
    for pool in pools:
        aio_close_on_signals(pool, timeout=5, signals=[ONE])
    signal.raise_signal(ONE)
    assert await aio_until(lambda: heard == [ONE])
    assert [pool.stats().state for pool in pools] == ["closed", "closed"]


async def test_one_for_threads_and_one_for_asyncio(heard: Heard) -> None:
    threads, tasks = make_pool(), make_async_pool()
    close_on_signals(threads, timeout=5, signals=[ONE])
    aio_close_on_signals(tasks, timeout=5, signals=[ONE])
    signal.raise_signal(ONE)
    assert await aio_until(lambda: heard == [ONE])
    assert (threads.stats().state, tasks.stats().state) == ("closed", "closed")


async def test_asyncio_a_handler_put_over_ours_hears_the_signal_once(heard: Heard) -> None:
    pool = make_async_pool()
    aio_close_on_signals(pool, timeout=5, signals=[ONE])
    theirs = Heard()
    signal.signal(ONE, theirs)
    signal.raise_signal(ONE)
    assert await aio_until(lambda: pool.stats().state == "closed")
    await asyncio.sleep(0.02)
    assert (theirs, heard) == ([ONE], [])
    asyncio.get_running_loop().remove_signal_handler(ONE)


async def test_asyncio_leaving_the_block_waits_for_the_end(heard: Heard) -> None:
    pool = make_async_pool()
    connection = await pool.get_connection()
    async with aio_close_on_signals(pool, timeout=5, signals=[ONE]) as handle:
        signal.raise_signal(ONE)
        assert await aio_until(lambda: handle.closing)
        asyncio.get_running_loop().call_later(0.02, pool._give_back, connection)
    assert heard == [ONE]
    assert pool.stats().state == "closed"


def test_asyncio_a_loop_that_ends_meanwhile_does_not_swallow_the_signal(heard: Heard) -> None:
    async def main() -> None:
        pool = make_async_pool()
        await pool.get_connection()
        handle = aio_close_on_signals(pool, timeout=30, signals=[ONE])
        signal.raise_signal(ONE)
        assert await aio_until(lambda: handle.closing)

    asyncio.run(main())
    assert heard == [ONE]
    assert signal.getsignal(ONE) is heard


def test_asyncio_a_loop_has_ended_before_the_handle_is_taken_away(heard: Heard) -> None:
    async def main() -> Any:
        return aio_close_on_signals(make_async_pool(), signals=[ONE, signal.SIGINT])

    handle = asyncio.run(main())
    handle.uninstall()
    assert signal.getsignal(ONE) is heard
    assert signal.getsignal(signal.SIGINT) is not signal.SIG_DFL
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_asyncio_ctrl_c_cancels_the_main_task() -> None:
    pool = make_async_pool()

    async def main() -> None:
        aio_close_on_signals(pool, timeout=5)
        signal.raise_signal(signal.SIGINT)
        await asyncio.sleep(10)

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
    assert pool.stats().state == "closed"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


async def test_asyncio_a_pool_that_cannot_be_closed_holds_nobody_up(
    heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, sound = make_async_pool(), make_async_pool()

    async def fail(timeout: float = 0) -> bool:
        raise OSError("no")

    monkeypatch.setattr(broken, "aclose", fail)
    aio_close_on_signals(broken, sound, signals=[ONE])
    signal.raise_signal(ONE)
    assert await aio_until(lambda: heard == [ONE])
    assert sound.stats().state == "closed"
