"""close_on_signals in asyncio: the same promises as for threads.

Real signals (SIGUSR1, SIGUSR2) come to this very process; no socket is opened.
"""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import pytest
from shutdown_kit import ONE, TWO, Heard, aio_until, make_async_pool, make_pool

from resilient_redis import PoolClosedError, close_on_signals
from resilient_redis.asyncio import close_on_signals as aio_close_on_signals


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
