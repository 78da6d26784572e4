"""close_on_signals: what it takes, and the way of one signal.

Real signals (SIGUSR1, SIGUSR2) come to this very process; no socket is opened.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
import time
from types import ModuleType
from typing import Any

import pytest
import redis
import redis.asyncio
from shutdown_kit import ONE, TWO, Heard, make_async_pool, make_pool, until

import resilient_redis
import resilient_redis.asyncio
from resilient_redis import ConfigError, PoolClosedError, ResilientRedis, close_on_signals
from resilient_redis.asyncio import ResilientConnectionPool as AsyncPool
from resilient_redis.asyncio import close_on_signals as aio_close_on_signals
from resilient_redis.pool import shutdown

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
