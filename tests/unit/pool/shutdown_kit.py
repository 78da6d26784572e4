"""What the tests of close_on_signals share: connections to nowhere, and real signals to this very process."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from typing import Any

from resilient_redis import ResilientConnectionPool
from resilient_redis.asyncio import ResilientConnectionPool as AsyncPool

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
