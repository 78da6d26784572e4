"""What every relay of the tests begins and ends with: a thread, its loop, a listening socket, and a task a connection.

Below a relay of bytes (see `RoughRelay`, `LateRelay`); `FaultProxy` of the package, which knows commands, has its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from abc import ABC, abstractmethod
from typing import Self


class RelayThread(ABC):
    """``with SomeRelay(...) as relay``: connect to ``relay.port``, or to ``relay.path``.

    Args:
        seed: of its chance.
        path: where to listen, if it is a Unix socket.
    """

    def __init__(self, *, seed: int, path: str | None = None) -> None:
        self.path, self.port = path, 0
        self._chance = random.Random(seed)
        self._loop = asyncio.SelectorEventLoop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(5)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    @property
    def open_connections(self) -> int:
        """How many clients are connected now."""
        return len(self._tasks)

    @abstractmethod
    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client, and end both of its connections; an ``OSError`` on the way is its end."""

    async def _listen(self) -> asyncio.AbstractServer:
        if self.path is not None:
            return await asyncio.start_unix_server(self._serve, self.path)
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _close(self) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # Cancelled only at the end; before 3.12 asyncio reports a cancelled handler as a bug.
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await self._relay(reader, writer)
