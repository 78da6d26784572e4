"""rq over ResilientRedis: producers and workers, the forking one too, through faults."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from integration_jobs import POLICIES, do
from integration_kit import Heard, Tally, Weather, any_fault, assert_unknown, hidden, unhurried

from resilient_redis import ResilientRedis
from resilient_redis.testing import FaultProxy

rq = pytest.importorskip("rq")

pytestmark = [pytest.mark.integrations, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

NAMES = [f"job{number:02}" for number in range(40)]
READS = ("HGET", "XREVRANGE")


class DeafWorker(rq.SimpleWorker):  # type: ignore[misc,name-defined]
    """Does not listen for commands: the thread that does would outlive a worker that failed, here in one process."""

    def subscribe(self) -> None:
        pass

    def unsubscribe(self) -> None:
        pass


@pytest.fixture
def connection(proxy: FaultProxy, heard: Heard) -> Iterator[ResilientRedis]:
    # Connections that live briefly: then there are dials for the faults to befall.
    with ResilientRedis.from_url(proxy.url, policies=POLICIES, listeners=[heard], max_lifetime=0.1) as connection:
        yield connection


def test_rq_does_every_job_once_and_notices_nothing(
    connection: ResilientRedis, proxy: FaultProxy, tally: Tally, heard: Heard
) -> None:
    queue = rq.Queue("work", connection=connection)
    with Weather(proxy, hidden(*READS)):
        jobs = [queue.enqueue(do, name, job_id=name) for name in unhurried(NAMES)]
        assert rq.SimpleWorker([queue], connection=connection).work(burst=True)
        results = [job.return_value(refresh=True) for job in jobs]
    assert tally() == NAMES
    assert results == [f"{name} done" for name in NAMES]
    assert heard.repeats > 0
    assert connection.connection_pool.stats().borrowed == 0


@pytest.mark.parametrize(
    "command", [["worker", "work"], ["worker-pool", "work", "--num-workers", "2"]], ids=["forking worker", "pool"]
)
def test_rqs_processes_do_every_job_once_and_notice_nothing(
    command: list[str], connection: ResilientRedis, proxy: FaultProxy, tally: Tally
) -> None:
    queue = rq.Queue("work", connection=connection)
    for name in NAMES:
        queue.enqueue(do, name)
    options = ["--burst", "--url", proxy.url, "--connection-class", "integration_jobs.OurRedis"]
    with Weather(proxy, hidden(*READS)):
        worker = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "rq.cli", *command, *options],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=40,
            check=False,
        )
    assert worker.returncode == 0, worker.stderr
    assert tally() == NAMES, worker.stderr
    assert tally.heard() > 0


def test_rq_does_no_job_twice_and_loses_none_from_its_books(
    connection: ResilientRedis, proxy: FaultProxy, tally: Tally, heard: Heard
) -> None:
    queue = rq.Queue("work", connection=connection)
    with Weather(proxy, any_fault()):
        acknowledged = {name for name in unhurried(NAMES) if _acknowledged(queue, name)}
        for _ in range(60):  # as a supervisor would: a worker that is told of an error quits
            with contextlib.suppress(redis.RedisError):
                DeafWorker([queue], connection=connection).work(burst=True)
            if not _or_none(lambda: queue.count):
                break
    ran = tally()
    assert len(ran) == len(set(ran))
    booked = {*queue.job_ids, *queue.started_job_registry.get_job_ids(), *_intermediate(queue)}
    assert acknowledged <= {*ran, *booked}
    assert heard.failures > 0
    assert connection.connection_pool.stats().borrowed == 0


def _acknowledged(queue: Any, name: str) -> bool:
    try:
        queue.enqueue(do, name, job_id=name)
    except redis.RedisError as error:
        assert_unknown(error)
        return False
    return True


def _or_none(ask: Any) -> Any:
    try:
        return ask()
    except redis.RedisError:
        return None


def _intermediate(queue: Any) -> list[str]:
    """Where rq keeps a job between taking and starting it; its upkeep looks there, after a minute."""
    return [name.decode() for name in queue.connection.lrange(queue.intermediate_queue_key, 0, -1)]
