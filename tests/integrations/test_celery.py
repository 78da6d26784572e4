"""Celery over ResilientRedis: broker and result backend, a worker with threads, through faults."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from integration_jobs import do
from integration_kit import (
    Heard,
    Tally,
    Weather,
    any_fault,
    assert_unknown,
    eventually,
    hidden,
    slow,
    trickling,
    unhurried,
)

from resilient_redis import ResilientConnectionPool, ResilientRedis
from resilient_redis.testing import FaultProxy

celery = pytest.importorskip("celery")
kombu = pytest.importorskip("kombu")
testing = pytest.importorskip("celery.contrib.testing.worker")
pytest.importorskip("celery.contrib.testing.tasks")  # the task by which it is seen to work
ours = pytest.importorskip("integration_celery")
application = pytest.importorskip("integration_celery_app")

pytestmark = [
    pytest.mark.integrations,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]

NAMES = [f"job{number:02}" for number in range(40)]


@pytest.fixture
def app(proxy: FaultProxy, heard: Heard) -> Iterator[Any]:
    app = application.make_app(proxy.url)
    ours.listeners[:] = [heard]
    yield app
    gc.collect()  # a result that is collected later would unsubscribe from a server that is gone
    ours.listeners.clear()
    app.close()


def worker(app: Any) -> Any:
    """A worker with threads, in a thread of this process, that has done one task when the weather begins.

    Its first connects are kombu's own, without policies: after an error there Celery begins anew, and runs again what
    it had taken and not begun.
    """
    return testing.start_worker(app, pool="threads", perform_ping_check=True, shutdown_timeout=10)


@pytest.fixture
def task(app: Any) -> Any:
    return app.task(do, name="do")


def test_celery_builds_our_clients_over_our_pools(app: Any) -> None:
    with app.connection() as connection:
        channel = connection.default_channel
        assert type(channel.client) is ResilientRedis
        assert type(channel.client.connection_pool) is ResilientConnectionPool
    assert type(app.backend.client) is ResilientRedis


def test_celery_does_every_task_once_and_notices_nothing(
    app: Any, task: Any, proxy: FaultProxy, tally: Tally, heard: Heard
) -> None:
    with worker(app), Weather(proxy, hidden("GET", "MGET")):
        results = [task.delay(name) for name in unhurried(NAMES)]
        assert [result.get(timeout=10) for result in results] == [f"{name} done" for name in NAMES]
    assert tally() == NAMES
    assert heard.repeats > 0


def test_celery_does_no_task_twice_and_all_that_were_acknowledged(
    app: Any, task: Any, proxy: FaultProxy, tally: Tally, heard: Heard
) -> None:
    """``retry=False``: Celery would publish a task again after an error, and does not ask what became of the first."""
    acknowledged = set()
    with worker(app):
        with Weather(proxy, any_fault("LPUSH", "SETEX", "PUBLISH")):
            for name in [f"job{number:03}" for number in range(150)]:
                try:
                    task.apply_async((name,), retry=False)
                except kombu.exceptions.OperationalError as error:
                    assert_unknown(error)
                else:
                    acknowledged.add(name)
        assert eventually(lambda: acknowledged <= set(tally()))
    ran = tally()
    assert len(ran) == len(set(ran))
    assert heard.failed("LPUSH") > 0


def test_a_closed_channel_is_forgotten(app: Any) -> None:
    with app.connection() as connection:
        channel = weakref.ref(connection.channel())
        channel().client.ping()
    assert eventually(lambda: gc.collect() is None or channel() is None, seconds=2)


def test_celerys_forked_workers_do_every_task_once_and_notice_nothing(
    task: Any, proxy: FaultProxy, tally: Tally, heard: Heard
) -> None:
    command = [sys.executable, "-W", "ignore", "-m", "celery", "-A", "integration_celery_app", "worker"]
    forked = subprocess.Popen(
        [*command, "-P", "prefork", "-c", "2", "-l", "ERROR"],
        cwd=Path(__file__).parent,
        env={**os.environ, application.APP_URL: proxy.url},
        stdout=subprocess.DEVNULL,
    )
    try:
        results = [task.delay(NAMES[0])]
        results[0].get(timeout=30)  # it has begun
        with Weather(proxy, hidden("GET", "MGET")):
            results += [task.delay(name) for name in unhurried(NAMES[1:])]
            assert [result.get(timeout=30) for result in results] == [f"{name} done" for name in NAMES]
    finally:
        forked.terminate()
        try:
            ended = forked.wait(15)
        except subprocess.TimeoutExpired:
            forked.kill()
            ended = forked.wait()
    assert ended == 0
    assert tally() == NAMES
    assert heard.repeats > 0


def test_celery_workers_hear_commands_over_our_pubsub(app: Any, proxy: FaultProxy) -> None:
    with worker(app) as one, Weather(proxy, [slow, trickling]):
        for _ in range(5):
            answers = app.control.ping(timeout=2, limit=1)
            assert answers == [{one.hostname: {"ok": "pong"}}]


def test_a_celery_chord_is_joined_once(app: Any, task: Any, proxy: FaultProxy, tally: Tally, heard: Heard) -> None:
    @app.task(name="join")
    def join(values: list[str]) -> str:
        return do(f"joined {len(values)}")

    with worker(app), Weather(proxy, hidden("GET", "MGET")):
        for number in range(5):
            names = [f"chord{number}-{part}" for part in range(4)]
            joined = celery.chord([task.s(name) for name in names], join.s())()
            assert joined.get(timeout=10) == "joined 4 done"
    ran = tally()
    assert ran.count("joined 4") == 5
    assert len(ran) == 25
    assert heard.repeats > 0
