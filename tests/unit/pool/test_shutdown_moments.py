"""close_on_signals: the signal comes in whatever moment, and handlers come and go.

Real signals (SIGUSR1, SIGUSR2) come to this very process; no socket is opened.
"""

from __future__ import annotations

import _thread
import signal
import sys
import threading
import time
from typing import Any

import pytest
from shutdown_kit import ONE, TWO, Heard, make_pool, until

from resilient_redis import PoolClosedError, close_on_signals
from resilient_redis.pool import shutdown

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
