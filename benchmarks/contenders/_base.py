"""What a contender is: a way to a GET, or a guard around a function, for threads, for asyncio, or for both."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

KEY, VALUE = "bench", b"x" * 100
FALLBACK = b"fallback"

Function = Callable[..., Any]


class Opened(NamedTuple):
    """A client that is ready. ``get`` asks for `KEY`; both are awaited on the side of asyncio."""

    get: Callable[[], Any]
    close: Callable[[], Any]


@dataclass
class Place:
    """Where the server is, how many will call, and how the policies are set.

    Attributes:
        callers: threads or tasks; pools get a connection for each, and redis-py's 100 at least.
        reset_timeout: seconds that a circuit stays open.
        deadline: seconds for one attempt. Long where speed is measured: to open a thousand connections takes a while.
        fallback: what the callers get when nothing else helps.
        filled: a pool that would open its connections little by little opens them at once, before anything is measured.

    """

    port: int
    callers: int = 1
    reset_timeout: float = 60.0
    deadline: float = 10.0
    fallback: Any = FALLBACK
    filled: bool = True
    host: str = "127.0.0.1"
    _shared: dict[str, Any] = field(default_factory=dict)

    @property
    def connections(self) -> int:
        """The bound of each pool."""
        return max(100, self.callers)

    def shared(self, name: str, make: Callable[[], Any]) -> Any:
        """What several contenders use in turn: wrappers need no thousand connections each."""
        if name not in self._shared:
            self._shared[name] = make()
        return self._shared[name]


class Contender:
    """One of those that are compared. Subclasses say what they are called, what they need and how they are opened.

    Attributes:
        name: as the tables call it.
        package: what `pip` installs, and ``module`` what is imported; ``None``: nothing but Python.
        sync: it has a side for threads; ``aio``: one for asyncio.
        goes: its place in the tables.
        note: how it is used, where that is not obvious.

    """

    name: ClassVar[str]
    package: ClassVar[str | None] = None
    module: ClassVar[str | None] = None
    sync: ClassVar[bool] = True
    aio: ClassVar[bool] = True
    goes: ClassVar[int]
    note: ClassVar[str] = ""

    def missing(self, side: str) -> str | None:
        """Why it cannot take part on this side (``"threads"`` or ``"asyncio"``); ``None``: it can."""
        if not (self.sync if side == "threads" else self.aio):
            return f"has no side for {side}"
        if self.module is not None and importlib.util.find_spec(self.module) is None:
            return f"not installed (pip install {self.package})"
        return None

    def version(self) -> str | None:
        """Of its package, where it has one that is here."""
        try:
            return importlib.metadata.version(self.package) if self.package else None
        except importlib.metadata.PackageNotFoundError:
            return None

    def open(self, place: Place) -> Opened:
        """A client for threads."""
        raise NotImplementedError(self.name)

    async def aopen(self, place: Place) -> Opened:
        """A client for asyncio; call it in the loop that it will be used in."""
        raise NotImplementedError(self.name)


class Wrapper(Contender):
    """A contender that guards any function: over redis-py with its retries off, one client for all wrappers."""

    def guard(self, function: Function, place: Place) -> Function:
        """``function`` with a fallback around three attempts around a circuit that opens after five failures."""
        raise NotImplementedError(self.name)

    def aguard(self, function: Callable[..., Awaitable[Any]], place: Place) -> Function:
        """The same around a coroutine function."""
        raise NotImplementedError(self.name)

    def open(self, place: Place) -> Opened:
        from benchmarks.contenders.redis_py_no_retries import RedisPyNoRetries

        opened = place.shared("no retries", lambda: RedisPyNoRetries().open(place))
        return Opened(self.guard(opened.get, place), opened.close)

    async def aopen(self, place: Place) -> Opened:
        from benchmarks.contenders.redis_py_no_retries import RedisPyNoRetries

        # Opening is quick and never waits: no other task can come between the look and the making.
        opened = place.shared("no retries", lambda: RedisPyNoRetries().at(place))
        get = opened.get

        async def coroutine() -> Any:
            # redis-py's commands are plain functions that return awaitables: decorators see no coroutine function.
            return await get()

        return Opened(self.aguard(coroutine, place), opened.close)
