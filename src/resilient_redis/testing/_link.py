"""One connection through the fault proxy: its requests' way to the server, its beginning and its end.

Everything here runs on the proxy's own event loop, in one thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

from resilient_redis.testing._board import Board
from resilient_redis.testing._faults import FAULTS
from resilient_redis.testing._replies import CHUNK, REPLY_SECONDS, Replies
from resilient_redis.testing._resp import Request, RequestScanner, RespError, encode

# Time for a client to see that its connect succeeded.
_CONNECT_SECONDS = 0.02
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_EXEC_ABORT = b"-EXECABORT Transaction discarded because of previous errors.\r\n"


class Link:
    """One client's connection and its twin to the server."""

    def __init__(self, board: Board, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.board, self.number = board, number
        self.replies = Replies(board, self)
        self.lost_bytes = False
        self.holding = False
        """Is a request held back now?"""
        self._reader, self._writer = reader, writer
        self._upstream: asyncio.StreamWriter | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._inbox: asyncio.Queue[Request | None] = asyncio.Queue(10_000)
        self._scanner: RequestScanner | None = RequestScanner()
        self._resp3 = False
        self._in_transaction = self._is_spoilt = False
        self._loses_requests = self._loses_replies = False
        self._let_go, self._passed = asyncio.Event(), asyncio.Event()
        self._was_late = False
        self._sending = asyncio.Lock()
        self._client_gone = False
        self._closed = False
        self._running: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Serve the connection until either side ends it."""
        self._running = asyncio.current_task()
        try:
            if self.board.resets_connection():
                self.board.note("accept_then_reset", "", self.number)
                await self._reset_soon()
            elif self.board.rules.passes_requests and not await self._reaches_server():
                await self._reset_soon()
            self.spawn(self._take_requests())
            await self._pump_requests()
            await self._finish_late()
        except OSError:
            self.reset()
        finally:
            self.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something beside, which ends with the connection."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def reset(self) -> None:
        """End the client's side by RST, what was not sent yet thrown away.

        The server's side ends too, except that a request that is held back is still delivered.
        """
        if not self._client_gone and not self._closed:
            # Without this the system would end the connection in the polite way (FIN).
            sock = self._writer.get_extra_info("socket")
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self._writer.transport.abort()
        self._client_gone = True
        if not self.holding:
            self.close()

    def close(self) -> None:
        """End both sides in the ordinary way (FIN); what is held back is lost."""
        self._closed = self._client_gone = True
        self._writer.close()
        if self._upstream is not None:
            # Never a reset on this side: the server might drop a request it has not read.
            self._upstream.close()
        self._let_go.set()
        self.replies.finish()
        with contextlib.suppress(asyncio.QueueFull):
            self._inbox.put_nowait(None)

    def stop(self) -> None:
        """Reset, and end `run` whatever it waits for."""
        self.holding = False
        self.reset()
        if self._running is not None:
            self._running.cancel()

    def let_go(self) -> None:
        """Deliver what is held back."""
        self._let_go.set()

    async def settle(self) -> None:
        """Wait until what was held back has been answered by the server, or never will be."""
        await self._passed.wait()
        await self.replies.wait_quiet()

    def lose_requests(self) -> None:
        """From now on nothing of this connection reaches the server."""
        self._loses_requests = self.lost_bytes = True

    def lose_replies(self) -> None:
        """From now on nothing on this connection reaches the client."""
        self._loses_replies = self.lost_bytes = True

    async def send(self, data: bytes) -> None:
        """Send bytes to the client, trickled or not; they vanish while replies do not pass."""
        async with self._sending:
            try:
                while data and not self._client_gone:
                    if self._loses_replies or not self.board.rules.passes_replies:
                        self.lost_bytes = True
                        return
                    data = await _write(self._writer, data, self.board.replies.trickle)
            except OSError:
                self._client_gone = True

    async def forward(self, request: Request) -> None:
        """Send a request to the server, trickled or not; nothing happens once the connection is over."""
        if self._closed:
            return
        self._follow(request)
        await self._forward_bytes(request.raw, replies=int(self._is_answered(request)))

    async def forward_and_capture(self, request: Request) -> bytes:
        """Forward a request and return its reply, or what came of it within a second, instead of passing it on."""
        return await self.replies.capture(lambda: self.forward(request))

    async def refuse(self, request: Request) -> None:
        """Keep a request from the server, whose transaction is then as it would be if it had refused it."""
        if not self._in_transaction:
            return
        if request.name == "EXEC":
            await self._discard()
        else:
            self._is_spoilt = True

    async def hold(self, request: Request, seconds: float | None) -> None:
        """Keep a request back until `let_go`, at most so long; whatever the client does meanwhile."""
        if request.arrived <= self.board.let_go_at:
            return
        await self._wait_back(None if seconds is None else request.arrived + seconds)

    def end_replies(self, *, by_reset: bool) -> None:
        """The server has ended its side: so ends the client's, and nothing held back can be delivered."""
        self.replies.ended.set()
        if not self.board.rules.passes_replies or self._loses_replies:
            self.lost_bytes = True
            self._let_go.set()
        elif by_reset:
            self.holding = False
            self.reset()
        else:
            self.close()

    async def _wait_back(self, until: float | None) -> None:
        self.holding = self._was_late = True
        self._let_go.clear()
        # A new one each time: whoever waits for this request must not wait for the next one that is held.
        self._passed = passed = asyncio.Event()
        left = None if until is None else max(0.0, until - self.board.clock())
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._let_go.wait(), left)
        finally:
            self.holding = False
            passed.set()

    async def _forward_bytes(self, data: bytes, *, replies: int) -> None:
        upstream = self._upstream or await self._connect()
        self.replies.expect(replies)
        while data and not self._closed:
            data = await _write(upstream, data, self.board.requests.trickle)

    def _follow(self, request: Request) -> None:
        name = request.name if self._scanner is not None else ""
        if name == "HELLO":
            self._resp3 = request.args[:1] == (b"3",) or (self._resp3 and not request.args)
        elif name == "MULTI":
            self._in_transaction = True
        elif name in ("EXEC", "DISCARD", "RESET"):
            self._in_transaction = self._is_spoilt = False

    def _is_answered(self, request: Request) -> bool:
        # In RESP3 these are answered by pushes, which are no replies.
        return self._scanner is not None and not (self._resp3 and request.name.endswith("SUBSCRIBE"))

    async def _discard(self) -> None:
        await self.forward_and_capture(Request(encode(["DISCARD"])))

    async def _reset_soon(self) -> None:
        # At once, the reset could overtake the client's connect, which would then fail itself.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._reader.read(1), _CONNECT_SECONDS)
        self.reset()

    async def _reaches_server(self) -> bool:
        try:
            await self._connect()
        except OSError:
            return False
        return True

    async def _connect(self) -> asyncio.StreamWriter:
        reader, writer = await asyncio.open_connection(*self.board.target)
        self._upstream = writer
        self.spawn(self.replies.read(reader))
        self.spawn(self.replies.pass_on())
        return writer

    async def _take_requests(self) -> None:
        # Apart from handling them: the client may leave while one of them is held back.
        try:
            while data := await self._reader.read(CHUNK):
                now = self.board.clock()
                for request in self._scan(data):
                    await self._inbox.put(replace(request, arrived=now))
        except OSError:
            self._client_gone = True
        await self._inbox.put(None)

    def _scan(self, data: bytes) -> list[Request]:
        if self._scanner is None:
            return [Request(data)]
        try:
            return self._scanner.feed(data)
        except RespError:
            data = self._scanner.pending + data
            self._scanner = None
            return [Request(data)]

    async def _pump_requests(self) -> None:
        while not self._closed and (request := await self._inbox.get()) is not None:
            await self._handle(request)

    async def _finish_late(self) -> None:
        # The end comes after the late request, as it would in the network; what it does, the server says first.
        if self._was_late and self._upstream is not None and not self._closed:
            self._upstream.write_eof()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.replies.ended.wait(), REPLY_SECONDS)

    async def _handle(self, request: Request) -> None:
        is_resp = self._scanner is not None
        if is_resp:
            request = replace(request, connection=self.number, resp3=self._resp3)
            self.board.commands[request.name] += 1
        if self.board.requests.delay:
            await self._wait_back(request.arrived + self.board.requests.delay)
        if self._closed:
            return
        if self._loses_requests or not self.board.rules.passes_requests:
            self._lose(request.command if is_resp else "")
        elif is_resp:
            if not self.board.rules.passes_replies:
                self.board.note(self.board.mode, request.command, self.number)
            await self._handle_command(request)
        else:
            await self.forward(request)

    def _lose(self, command: str) -> None:
        self.lost_bytes = True
        if not self._loses_requests:
            self.board.note(self.board.mode, command, self.number)

    async def _handle_command(self, request: Request) -> None:
        fault = self.board.take_fault(request)
        if fault is not None:
            self.board.note(fault.name, request.command, self.number)
            # Replies to earlier requests go out first, so that the fault hits this one alone.
            await self.replies.wait_quiet()
            if not self._closed:
                await FAULTS[fault.name](self, request, fault)
        elif self._is_spoilt and request.name == "EXEC":
            await self.replies.wait_quiet()
            await self._discard()
            await self.send(_EXEC_ABORT)
        else:
            await self.forward(request)


async def _write(writer: asyncio.StreamWriter, data: bytes, trickle: tuple[int, float] | None) -> bytes:
    """Write all, or a chunk and its pause; return what is left."""
    size, pause = trickle or (len(data), 0.0)
    writer.write(data[:size])
    await writer.drain()
    if len(data) > size:
        await asyncio.sleep(pause)
    return data[size:]
