"""A TCP proxy that makes the network fail on command, between a client and a real server."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Collection, Coroutine
from typing import Any, Self, TypeVar

from resilient_redis.testing._board import HANDSHAKE, MODES, Armed, Board
from resilient_redis.testing._link import FAULTS, Link
from resilient_redis.testing._spawn import free_port

__all__ = ["FaultProxy"]

_HOST = "127.0.0.1"
_CONTROL_SECONDS = 5.0
_ROUND_SECONDS = 0.1
_T = TypeVar("_T")


class FaultProxy:
    """Stands between a client and a server on 127.0.0.1 and can be told to misbehave.

    Runs its own event loop in a daemon thread, so sync and asyncio tests use it alike.  Every
    control may be called from any thread and has taken effect when it returns.  Three kinds:

    * modes, one at a time: `refuse`, `accept_then_reset`, `black_hole`, `drop_replies`;
    * speed, on top of any mode: `delay`, `trickle`;
    * faults that befall the next `n` requests, in the order they were armed:
      `cut_before_request`, `cut_after_request`, `half_reply`, `reply_error`, or `inject`.

    `heal` ends them all.  Faults pass over what a client sends to set up a connection or to
    check it (HELLO, AUTH, CLIENT, SELECT, PING) unless `handshake=True`, or the command is
    named in `commands=`.  Replies to earlier pipelined requests go out before a fault strikes.
    While the server itself is down, clients can connect and are reset.
    TLS and replication streams pass through unread: modes and speed work, faults do not.

    Example::

        with EmbeddedServer.start() as server, FaultProxy(server.host, server.port) as proxy:
            client = redis.Redis.from_url(proxy.url)
            proxy.cut_after_request()
            client.incr("n")  # applied, but the client sees a lost connection
    """

    def __init__(self, target_host: str, target_port: int) -> None:
        self._board = Board((target_host, target_port))
        self._links: set[Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.host, self.port = _HOST, free_port()
        self._closing = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._listener: socket.socket | None = None

    def start(self) -> Self:
        """Listen; return the proxy itself.  OSError if its port was taken meanwhile."""
        self._closing = False
        self._loop = asyncio.SelectorEventLoop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"fault-proxy-{self.port}", daemon=True)
        self._thread.start()
        try:
            self._run(self._listen())
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Reset all connections, stop listening, end the thread.  May be called again."""
        loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        try:
            self._run(self._shut_down())
        finally:
            self._loop = self._thread = None
            loop.call_soon_threadsafe(loop.stop)
            thread.join(_CONTROL_SECONDS)
            loop.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The proxy's URL for `redis.Redis.from_url` (without password)."""
        return f"redis://{self.host}:{self.port}/0"

    @property
    def connections_opened(self) -> int:
        """How many connections clients have made so far, reset ones included."""
        return self._board.opened

    @property
    def open_connections(self) -> int:
        """How many connections are open now; a closed one is noticed a moment later."""
        return len(self._links)

    @property
    def requests(self) -> int:
        """How many requests came from clients, those of the handshake (and PING) left out."""
        return sum(n for name, n in self.commands.items() if name not in HANDSHAKE)

    @property
    def commands(self) -> dict[str, int]:
        """How often each command came from clients, whatever became of it."""
        return dict(self._board.commands)

    @property
    def mode(self) -> str:
        """The present mode: "normal" or the name of the method that set it."""
        return self._board.mode

    def __repr__(self) -> str:
        board = self._board
        waiting = "+".join(fault.name for fault in board.armed) or "nothing"
        return (
            f"<FaultProxy {self.host}:{self.port} -> {board.target[0]}:{board.target[1]} "
            f"{board.mode}, armed: {waiting}, open: {len(self._links)}>"
        )

    def refuse(self) -> None:
        """Stop listening: connects are refused.  Open connections go on (see `cut_all`)."""
        self._set_mode("refuse")

    def accept_then_reset(self) -> None:
        """Reset each new connection at its first bytes, or after 20 ms.  Open connections go on."""
        self._set_mode("accept_then_reset")

    def black_hole(self) -> None:
        """Accept and read, but pass nothing either way, on open connections too."""
        self._set_mode("black_hole")

    def drop_replies(self) -> None:
        """Let requests through to the server and drop its replies, on open connections too."""
        self._set_mode("drop_replies")

    def delay(self, seconds: float) -> None:
        """Hold each reply back for so many seconds after it came from the server; 0 ends it."""
        if seconds < 0:
            raise ValueError(f"delay must not be negative: {seconds}")
        self._call(lambda: setattr(self._board, "delay", seconds))

    def trickle(self, bytes_per_chunk: int = 1, interval: float = 0.01) -> None:
        """Let replies leave in small chunks with so many seconds between them."""
        if bytes_per_chunk < 1 or interval < 0:
            raise ValueError("trickle needs bytes_per_chunk >= 1 and interval >= 0")
        self._call(lambda: setattr(self._board, "trickle", (bytes_per_chunk, interval)))

    def cut_before_request(self, n: int | None = 1, *, handshake: bool = False, commands: Collection[str] = ()) -> None:
        """Reset the connection on the next `n` requests; the server never sees them."""
        self.inject("cut_before_request", n, handshake=handshake, commands=commands)

    def cut_after_request(self, n: int | None = 1, *, handshake: bool = False, commands: Collection[str] = ()) -> None:
        """Let the server carry out the next `n` requests, and reset before the reply gets out.

        Waits for the server's reply before the cut, at most a second.
        """
        self.inject("cut_after_request", n, handshake=handshake, commands=commands)

    def half_reply(self, n: int | None = 1, *, handshake: bool = False, commands: Collection[str] = ()) -> None:
        """Send the first half of the reply to each of the next `n` requests, then close."""
        self.inject("half_reply", n, handshake=handshake, commands=commands)

    def reply_error(
        self,
        text: str,
        n: int | None = 1,
        *,
        handshake: bool = False,
        commands: Collection[str] = (),
    ) -> None:
        """Answer the next `n` requests with an error, as in "LOADING reading the dataset".

        The server never sees them; the connection goes on.
        """
        if "\r" in text or "\n" in text:
            raise ValueError(f"an error reply is one line: {text!r}")
        self.inject("reply_error", n, handshake=handshake, commands=commands, detail=text)

    def inject(
        self,
        fault: str,
        n: int | None = 1,
        *,
        handshake: bool = False,
        commands: Collection[str] = (),
        detail: str = "",
    ) -> None:
        """Arm a fault of the table by name, for `n` requests (None: until `heal`).

        `commands` are the only commands it befalls.  A cut ends the connection, so the next
        request that it befalls is on another one.  Errors: ValueError for an unknown fault
        or a bad `n`.
        """
        if fault not in FAULTS:
            raise ValueError(f"unknown fault {fault!r}: choose from {', '.join(FAULTS)}")
        if n is not None and n < 1:
            raise ValueError(f"n must be at least 1, or None for every request: {n}")
        if isinstance(commands, str):
            raise TypeError(f"commands is a list: write commands=[{commands!r}]")
        names = frozenset(name.upper() for name in commands)
        armed = Armed(fault, n, handshake, names, detail)
        self._call(lambda: self._board.armed.append(armed))

    def heal(self) -> None:
        """Be an ordinary proxy again: no mode, no speed limit, no armed faults.

        Connections that lost bytes to `black_hole` or `drop_replies` are reset: on them later
        replies would be taken for answers to earlier requests.
        """
        self._run(self._heal())

    def cut_all(self) -> None:
        """Reset all open connections; new ones are treated as before."""
        self._call(self._reset_links)

    def _set_mode(self, mode: str) -> None:
        self._run(self._switch(mode))

    def _call(self, action: Callable[[], _T]) -> _T:
        async def call() -> _T:
            return action()

        return self._run(call())

    def _run(self, work: Coroutine[Any, Any, _T]) -> _T:
        if self._loop is None:
            work.close()
            raise RuntimeError("the proxy does not run: use it in a with block, or call start()")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_CONTROL_SECONDS)

    async def _switch(self, mode: str) -> None:
        self._board.mode = mode
        if not MODES[mode].listens:
            self._stop_listening()
        elif self._listener is None:
            await self._listen()

    async def _heal(self) -> None:
        board = self._board
        board.delay, board.trickle = 0.0, None
        board.armed.clear()
        for link in list(self._links):
            if link.lost_bytes:
                link.reset()
        await self._switch("normal")

    async def _listen(self) -> None:
        # No asyncio.Server: closed with a connection half accepted, it leaks that socket (3.11).
        listener = socket.create_server((self.host, self.port), backlog=128)
        listener.setblocking(False)
        asyncio.get_running_loop().add_reader(listener, self._accept, listener)
        self._listener = listener

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
        self._board.opened += 1
        task = asyncio.get_running_loop().create_task(self._serve(accepted))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, accepted: socket.socket) -> None:
        link = Link(self._board, *await asyncio.open_connection(sock=accepted))
        self._links.add(link)
        try:
            if not self._closing:
                await link.run()
        finally:
            link.reset()
            self._links.remove(link)

    def _reset_links(self) -> None:
        for link in list(self._links):
            link.reset()

    async def _shut_down(self) -> None:
        self._closing = True
        self._stop_listening()
        while self._tasks:
            for link in list(self._links):
                link.stop()
            await asyncio.wait(self._tasks, timeout=_ROUND_SECONDS)
        # The transports close their sockets in the round after that.
        await asyncio.sleep(0)
