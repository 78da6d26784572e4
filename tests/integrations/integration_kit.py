"""What the tests of other people's libraries share: a proxy that misbehaves in turns, and a tally of work done."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import redis
from integration_jobs import HEARD, TALLY

from resilient_redis.events import AttemptFailed, Event, RetryScheduled
from resilient_redis.testing import EmbeddedServer, FaultProxy

Fault = Callable[[FaultProxy], object]


class Weather:
    """In a thread of its own, one fault after the other befalls a proxy until the block ends; then it is healed.

    Args:
        faults: each does one thing to the proxy; it is healed before the next one.
    """

    def __init__(self, proxy: FaultProxy, faults: list[Fault]) -> None:
        self._proxy, self._faults = proxy, itertools.cycle(faults)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._blow, name="weather")

    def _blow(self) -> None:
        for fault in self._faults:
            fault(self._proxy)
            if self._over.wait(0.1):
                return
            self._proxy.heal()
            if self._over.wait(0.05):
                return

    def __enter__(self) -> Weather:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._proxy.heal()


def refused(proxy: FaultProxy) -> None:
    """Connects are refused; who has a connection goes on."""
    proxy.refuse()


def reset_on_connect(proxy: FaultProxy) -> None:
    proxy.accept_then_reset()


def slow(proxy: FaultProxy) -> None:
    proxy.delay(0.02)


def trickling(proxy: FaultProxy) -> None:
    proxy.trickle(64, 0.001)


def hidden(*reads: str) -> list[Fault]:
    """What our policies make good: the library above notices nothing but the time.

    Args:
        *reads: commands that the library sends by themselves; in a pipeline with writes they are not repeated.
    """

    def unanswered(proxy: FaultProxy) -> None:
        proxy.cut_after_request(2, commands=reads)

    def half_answered(proxy: FaultProxy) -> None:
        proxy.half_reply(2, commands=reads)

    return [refused, unanswered, slow, reset_on_connect, half_answered, trickling]


def any_fault(*commands: str) -> list[Fault]:
    """These also end writes whose fate is unknown: nothing is repeated, and the library above is told.

    Args:
        *commands: the only ones that lose a request or a reply; without, all.
    """

    def reply_lost(proxy: FaultProxy) -> None:
        proxy.cut_after_request(3, commands=commands)

    def request_lost(proxy: FaultProxy) -> None:
        proxy.cut_before_request(3, commands=commands)

    return [refused, reply_lost, slow, request_lost, reset_on_connect, trickling]


class Tally:
    """What jobs did, written by `integration_jobs.do` past the proxy: twice is seen as twice."""

    def __init__(self, server: EmbeddedServer) -> None:
        self._server = redis.Redis(host=server.host, port=server.port, decode_responses=True)

    def __call__(self) -> list[str]:
        """The names of all jobs that ran, sorted."""
        return sorted(self._server.lrange(TALLY, 0, -1))

    def heard(self) -> int:
        """How many faults the clients met that write them down, see `integration_jobs.OurRedis`."""
        return self._server.llen(HEARD)

    def close(self) -> None:
        self._server.close()


class Heard(list[Event]):
    """A listener that keeps the events."""

    def __call__(self, event: Event) -> None:
        self.append(event)

    def count(self, kind: Any) -> int:
        """How many events of one class."""
        return sum(isinstance(event, kind) for event in self)

    @property
    def failures(self) -> int:
        """Attempts that failed: faults which our client met."""
        return self.count(AttemptFailed)

    def failed(self, command: str) -> int:
        """Attempts of one command that failed."""
        return sum(isinstance(event, AttemptFailed) and event.command == command for event in self)

    @property
    def repeats(self) -> int:
        """Attempts that were repeated: faults which the library above never saw."""
        return self.count(RetryScheduled)


def assert_unknown(error: BaseException) -> None:
    """What the library raises leads to our error, and that says what is known of the write: nothing."""
    while error.__cause__ is not None and not hasattr(error, "delivery"):
        error = error.__cause__
    assert getattr(error, "delivery", None) == "unknown", repr(error)


def unhurried(names: Sequence[str]) -> Iterator[str]:
    """One after the other with a little time between, so that there is weather for each."""
    for name in names:
        time.sleep(0.02)
        yield name


def eventually(true: Callable[[], object], seconds: float = 10.0) -> bool:
    """Wait until it is true; say whether it became so."""
    end = time.monotonic() + seconds
    while not (reached := bool(true())) and time.monotonic() < end:
        time.sleep(0.02)
    return reached
