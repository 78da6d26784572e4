"""The fault proxy's event loop in a thread of its own: listening, connections, what changes for all of them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from resilient_redis.testing._armed import Between, window_of
from resilient_redis.testing._board import MODES, Board
from resilient_redis.testing._link import Link
from resilient_redis.testing._replies import REPLY_SECONDS

_CONTROL_SECONDS = 5.0
_ROUND_SECONDS = 0.1
_T = TypeVar("_T")


class Engine:
    """Carries the connections.  `start`, `close`, `run` and `call` are for other threads, the rest for the loop."""

    def __init__(self, board: Board, host: str, port: int) -> None:
        self.board, self.host, self.port = board, host, port
        self.links: set[Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: set[asyncio.TimerHandle] = set()
        self._closing = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._listener: socket.socket | None = None

    def start(self) -> None:
        """Start the thread and listen.  OSError if the port is taken."""
        self._closing = False
        self._loop = asyncio.SelectorEventLoop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"fault-proxy-{self.port}", daemon=True)
        self._thread.start()
        try:
            self.call(self._listen)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Reset all connections, stop listening, end the thread.  May be called again."""
        loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        try:
            self.run(self._shut_down())
        finally:
            self._loop = self._thread = None
            loop.call_soon_threadsafe(loop.stop)
            thread.join(_CONTROL_SECONDS)
            loop.close()

    @property
    def running(self) -> bool:
        """True between `start` and `close`."""
        return self._loop is not None

    def call(self, action: Callable[[], _T]) -> _T:
        """Do something in the loop and return its result."""

        async def call() -> _T:
            return action()

        return self.run(call())

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine in the loop and return its result.  RuntimeError if the proxy does not run."""
        if self._loop is None:
            work.close()
            raise RuntimeError("the proxy does not run: use it in a with block, or call start()")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_CONTROL_SECONDS)

    def switch(self, mode: str) -> None:
        """Change the mode."""
        self.board.mode = mode
        if not MODES[mode].listens:
            self._stop_listening()
        elif self._listener is None:
            self._listen()

    def during(self, between: Between | None, begin: Callable[[], None], end: Callable[[], None]) -> None:
        """Begin now for good, or begin and end at these seconds from now.  Errors: ValueError."""
        if window_of(between, 0.0) is None or between is None:
            begin()
            return
        for seconds, action in zip(between, (begin, end), strict=True):
            self._at(seconds, action)

    def heal(self) -> None:
        """Be an ordinary proxy; what is held back is delivered, and whoever lost bytes is reset."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self.board.heal()
        self.let_go()
        for link in list(self.links):
            if link.lost_bytes:
                link.reset()
        self.switch("normal")

    def let_go(self) -> list[Link]:
        """Deliver all requests that are held back; return whose they are."""
        self.board.let_go_at = self.board.clock()
        holding = [link for link in self.links if link.holding]
        for link in holding:
            link.let_go()
        return holding

    async def release(self) -> int:
        """Deliver all requests that are held back, and wait for the server's answers, at most a second."""
        holding = self.let_go()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REPLY_SECONDS):
                for link in holding:
                    await link.settle()
        return len(holding)

    def reset_links(self) -> None:
        """Reset all clients."""
        for link in list(self.links):
            link.reset()

    def _at(self, seconds: float, action: Callable[[], None]) -> None:
        def act() -> None:
            self._timers.discard(timer)
            action()

        timer = asyncio.get_running_loop().call_later(seconds, act)
        self._timers.add(timer)

    def _listen(self) -> None:
        # No asyncio.Server: closed with a connection half accepted, it leaks that socket (3.11).
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        listener = socket.create_server((self.host, self.port), family=family, backlog=128)
        listener.setblocking(False)
        # What it accepts inherits this; asyncio sets it for sockets that it made itself. Without it a second reply may
        # wait 40 ms for the client's acknowledgement of the first.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        asyncio.get_running_loop().add_reader(listener, self._accept, listener)
        self._listener = listener
        self.board.start_clock()

    def _stop_listening(self) -> None:
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    def _accept(self, listener: socket.socket) -> None:
        try:
            accepted, _ = listener.accept()
        except OSError:  # the client has gone already
            return
        accepted.setblocking(False)
        self.board.opened += 1
        task = asyncio.get_running_loop().create_task(self._serve(accepted, self.board.opened))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, accepted: socket.socket, number: int) -> None:
        link = Link(self.board, number, *await asyncio.open_connection(sock=accepted))
        self.links.add(link)
        try:
            if not self._closing:
                await link.run()
        finally:
            link.reset()
            self.links.remove(link)

    async def _shut_down(self) -> None:
        self._closing = True
        for timer in self._timers:
            timer.cancel()
        self._stop_listening()
        while self._tasks:
            for link in list(self.links):
                link.stop()
            await asyncio.wait(self._tasks, timeout=_ROUND_SECONDS)
        # The transports close their sockets in the round after that.
        await asyncio.sleep(0)
