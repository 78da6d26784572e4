"""Who takes part, who cannot, and the runner against a real server for a moment."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from benchmarks import __main__ as program
from benchmarks import _crowd, contenders, tasks, threads
from benchmarks._crowd import Crowd, UselessFigures, tasks_slice
from benchmarks._curve import AWAY, BASE, HERE, Curve
from benchmarks.contenders import FALLBACK, KEY, VALUE, Contender, Place, Wrapper
from benchmarks.contenders.by_hand import ByHand
from benchmarks.contenders.redis_benchmark import RedisBenchmark

from resilient_redis.testing import EmbeddedServer

OURS = "resilient_redis, pooled"
FEW = [BASE, "redis-py, retries off", OURS]
ASKED_FOR = {
    BASE,
    "redis-py, retries off",
    "redis-py BlockingConnectionPool",
    "tenacity + pybreaker by hand",
    "pyresilience",
    "interlock-cb",
    "redress",
    "coredis",
    "valkey-glide",
    "valkey-glide-sync",
    OURS,
    "resilient_redis, multiplexed",
    "floor: bare socket + hiredis",
    "floor: redis-benchmark",
}


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer.start() as started:
        started.execute("SET", KEY, VALUE)
        yield started


@pytest.fixture
def in_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three contenders that need nothing but redis-py, and hardly any warming up."""
    everyone = [one for one in contenders.contenders() if one.name in FEW]
    for module in (threads, tasks):
        monkeypatch.setattr(module, "ready", lambda side: everyone)
    monkeypatch.setattr(RedisBenchmark, "missing", lambda self, side: "not in a test")
    monkeypatch.setattr(_crowd, "WARM_UP", 0.01)


def test_everyone_who_was_asked_for_is_registered() -> None:
    assert {one.name for one in contenders.contenders()} == ASKED_FOR


def test_who_is_not_installed_is_skipped_and_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    coredis = next(one for one in contenders.contenders() if one.name == "coredis")
    monkeypatch.setattr(type(coredis), "module", "no_such_module")
    assert coredis.missing("asyncio") == "not installed (pip install coredis)"
    assert coredis.name not in [one.name for one in contenders.ready("asyncio")]
    assert contenders.left_out()["coredis, asyncio"] == "not installed (pip install coredis)"


def test_a_side_that_a_contender_does_not_have_is_nothing_to_complain_of() -> None:
    assert not [name for name in contenders.left_out() if name in {"coredis, threads", "valkey-glide, threads"}]
    assert "coredis" not in [one.name for one in contenders.ready("threads")]


def test_the_runner_compares_threads_on_a_real_server(server: EmbeddedServer, in_a_moment: None) -> None:
    curve = Curve()
    threads.cell(curve, Place(server.port, callers=2), HERE, rounds=2, seconds=0.02)
    assert curve.dropped == []
    assert [row.contender for row in curve.rows] == FEW
    assert all(row.rate > 0 and row.p99 >= row.p50 > 0 and row.cpu for row in curve.rows)


def test_the_runner_compares_tasks_on_a_real_server(server: EmbeddedServer, in_a_moment: None) -> None:
    curve = Curve()
    tasks.cell(curve, Place(server.port, callers=2), AWAY, rounds=2, seconds=0.02)
    assert curve.dropped == []
    assert [row.contender for row in curve.rows] == FEW


def test_a_value_that_is_not_there_is_no_figure(server: EmbeddedServer, in_a_moment: None) -> None:
    server.execute("DEL", KEY)
    curve = Curve()
    threads.cell(curve, Place(server.port, callers=2), HERE, rounds=1, seconds=0.02)
    assert curve.rows == []
    assert all("without a right reply" in dropped or "no figures" in dropped for dropped in curve.dropped)


def test_a_crowd_goes_on_after_a_client_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_crowd, "PATIENCE", 0.1)
    never, crowd = threading.Event(), Crowd(2)
    with pytest.raises(UselessFigures, match="no reply"):
        crowd.run(never.wait, 0.01)
    never.set()
    assert len(crowd.run(lambda: VALUE, 0.01)) >= 2
    crowd.stop()


def test_tasks_that_hang_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_crowd, "PATIENCE", 0.05)
    monkeypatch.setattr(_crowd, "WARM_UP", 0.01)
    with asyncio.Runner() as runner, pytest.raises(UselessFigures, match="no reply to 2 tasks"):
        tasks_slice(runner.get_loop(), asyncio.Event().wait, 0.01, tasks=2)


def test_the_stack_by_hand_guards_both_worlds() -> None:
    """Two failures and an answer, then failures only: three attempts, and the fallback."""
    from redis import ConnectionError as Down

    turns = itertools.chain([Down("down"), Down("down"), VALUE], itertools.repeat(Down("down")))

    def get() -> Any:
        turn = next(turns)
        if isinstance(turn, Exception):
            raise turn
        return turn

    async def aget() -> Any:
        return get()

    place = Place(port=1)
    assert ByHand().guard(get, place)() == VALUE
    if ByHand().missing("asyncio") is None:
        assert asyncio.run(ByHand().aguard(aget, place)()) == FALLBACK


def test_wrappers_share_one_client(server: EmbeddedServer) -> None:
    place = Place(server.port)

    class First(Wrapper):
        def guard(self, function: Any, place: Place) -> Any:
            return function

    one, other = First().open(place), First().open(place)
    assert one.get is other.get
    assert one.get() == VALUE
    one.close()


def test_a_contender_says_nothing_of_what_it_cannot() -> None:
    with pytest.raises(NotImplementedError):
        type("Nobody", (Contender,), {"name": "nobody"})().open(Place(port=1))


def test_the_command_line_refuses_what_it_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        program.main(["--quick", "thread"])
    assert ended.value.code == 2
    assert "unknown: thread (known: micro, imports, memory, threads, tasks" in capsys.readouterr().err


def test_the_command_line_lists_the_contenders(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["--list"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in ASKED_FOR)
