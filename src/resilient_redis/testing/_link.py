"""One connection through the fault proxy, and the table of faults that can befall a request.

Everything here runs on the proxy's own event loop, in one thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

from resilient_redis.testing._board import Board
from resilient_redis.testing._resp import ReplyCounter, Request, RequestScanner, RespError

_CHUNK = 65536
# A blocking command may get no reply for ever, and the fault must happen all the same.
_REPLY_SECONDS = 1.0
# Time for a client to see that its connect succeeded.
_CONNECT_SECONDS = 0.02
# How soon a change of `delay` is seen by a reply that is already waiting.
_SLICE_SECONDS = 0.05
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


FaultAction = Callable[["Link", Request, str], Awaitable[None]]


class Link:
    """One client's connection and its twin to the server."""

    def __init__(self, board: Board, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.board = board
        self.lost_bytes = False
        self._reader, self._writer = reader, writer
        self._upstream: asyncio.StreamWriter | None = None
        self._replies: asyncio.Queue[tuple[float, bytes | None]] = asyncio.Queue(256)
        self._tasks: list[asyncio.Task[None]] = []
        self._requests: RequestScanner | None = RequestScanner()
        self._counter: ReplyCounter | None = ReplyCounter()
        self._unanswered = 0
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._capture: asyncio.Future[bytes] | None = None
        self._closed = False
        self._running: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Serve the connection until either side ends it."""
        self._running = asyncio.current_task()
        try:
            rules = self.board.rules
            if rules.resets_new or (rules.passes_requests and not await self._reaches_server()):
                await self._reset_soon()
            await self._pump_requests()
        except OSError:
            self.reset()
        finally:
            self.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def reset(self) -> None:
        """End the client's side by RST, what was not sent yet thrown away."""
        if not self._closed:
            # Without this the system would end the connection in the polite way (FIN).
            sock = self._writer.get_extra_info("socket")
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self._writer.transport.abort()
        self.close()

    def close(self) -> None:
        """End both sides in the ordinary way (FIN)."""
        self._closed = True
        self._writer.close()
        if self._upstream is not None:
            # Never a reset on this side: the server might drop a request it has not read.
            self._upstream.close()

    def stop(self) -> None:
        """Reset, and end `run` whatever it waits for."""
        self.reset()
        if self._running is not None:
            self._running.cancel()

    async def send(self, data: bytes) -> None:
        """Send bytes to the client, trickled or not; they vanish while replies do not pass."""
        while data and not self._closed:
            if not self.board.rules.passes_replies:
                self.lost_bytes = True
                return
            size, pause = self.board.trickle or (len(data), 0.0)
            self._writer.write(data[:size])
            await self._writer.drain()
            data = data[size:]
            if data:
                await asyncio.sleep(pause)

    async def forward(self, data: bytes, *, requests: int = 1) -> None:
        """Send bytes that hold so many requests to the server."""
        upstream = self._upstream or await self._connect()
        self._unanswered += requests
        self._quiet.clear()
        upstream.write(data)
        await upstream.drain()

    async def forward_and_capture(self, request: Request) -> bytes:
        """Forward a request and return the first bytes of its reply instead of passing them on.

        Returns nothing if no reply comes within a second.
        """
        self._capture = asyncio.get_running_loop().create_future()
        try:
            await self.forward(request.raw)
            return await asyncio.wait_for(self._capture, _REPLY_SECONDS)
        except TimeoutError:
            return b""
        finally:
            self._capture = None

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
        self._tasks.append(asyncio.create_task(self._read_replies(reader)))
        self._tasks.append(asyncio.create_task(self._pass_replies()))
        return writer

    async def _pump_requests(self) -> None:
        while not self._closed and (data := await self._reader.read(_CHUNK)):
            for request in self._scan(data):
                await self._handle(request)

    def _scan(self, data: bytes) -> list[Request]:
        if self._requests is None:
            return [Request(data)]
        try:
            return self._requests.feed(data)
        except RespError:
            data = self._requests.pending + data
            self._requests = None
            return [Request(data)]

    async def _handle(self, request: Request) -> None:
        if self._closed:
            return
        is_resp = self._requests is not None
        name = request.name if is_resp else ""
        if is_resp:
            self.board.commands[name] += 1
        if not self.board.rules.passes_requests:
            self.lost_bytes = True
            return
        fault = self.board.take_fault(name) if is_resp else None
        if fault is None:
            await self.forward(request.raw, requests=int(is_resp))
            return
        # Replies to earlier requests go out first, so that the fault hits this one alone.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._quiet.wait(), _REPLY_SECONDS)
        await FAULTS[fault.name](self, request, fault.detail)

    async def _read_replies(self, reader: asyncio.StreamReader) -> None:
        clock = asyncio.get_running_loop().time
        try:
            while data := await reader.read(_CHUNK):
                await self._replies.put((clock(), data))
            await self._replies.put((clock(), b""))
        except OSError:
            await self._replies.put((clock(), None))

    async def _pass_replies(self) -> None:
        # Apart from reading, so that a delay is latency and not a limit on throughput.
        with contextlib.suppress(OSError):
            while True:
                arrived, data = await self._replies.get()
                await self._wait_out_delay(arrived)
                if not data:
                    self._end_replies(by_reset=data is None)
                    return
                await self._deliver(data)

    async def _wait_out_delay(self, arrived: float) -> None:
        clock = asyncio.get_running_loop().time
        while (left := arrived + self.board.delay - clock()) > 0:
            await asyncio.sleep(min(left, _SLICE_SECONDS))

    def _end_replies(self, *, by_reset: bool) -> None:
        if not self.board.rules.passes_replies:
            self.lost_bytes = True
        elif by_reset:
            self.reset()
        else:
            self.close()

    async def _deliver(self, data: bytes) -> None:
        if self._capture is not None and not self._capture.done():
            self._capture.set_result(data)
        else:
            await self.send(data)
        self._count_replies(data)

    def _count_replies(self, data: bytes) -> None:
        try:
            replies = self._counter.feed(data) if self._counter else self._unanswered
        except RespError:
            self._counter, replies = None, self._unanswered
        self._unanswered = max(0, self._unanswered - replies)
        if not self._unanswered:
            self._quiet.set()


async def _cut_before_request(link: Link, _request: Request, _detail: str) -> None:
    link.reset()


async def _cut_after_request(link: Link, request: Request, _detail: str) -> None:
    # Its reply shows that the server has done it: the cut is sure to come after the effect.
    await link.forward_and_capture(request)
    link.reset()


async def _half_reply(link: Link, request: Request, _detail: str) -> None:
    reply = await link.forward_and_capture(request)
    await link.send(reply[: len(reply) // 2])
    link.close()


async def _reply_error(link: Link, _request: Request, detail: str) -> None:
    await link.send(f"-{detail}\r\n".encode())


FAULTS: Mapping[str, FaultAction] = MappingProxyType(
    {
        "cut_before_request": _cut_before_request,
        "cut_after_request": _cut_after_request,
        "half_reply": _half_reply,
        "reply_error": _reply_error,
    }
)
