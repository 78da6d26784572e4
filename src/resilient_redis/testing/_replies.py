"""The server's answers on their way through the fault proxy to one client.

Everything here runs on the proxy's own event loop, in one thread.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Protocol

from resilient_redis.testing._board import Board
from resilient_redis.testing._resp import Piece, ReplyCutter, RespError

CHUNK = 65536
# A blocking command may get no reply for ever, and the fault must happen all the same.
REPLY_SECONDS = 1.0
# How soon a change of `delay` is seen by a reply that is already waiting.
_SLICE_SECONDS = 0.05


class Client(Protocol):
    """What the answers' way needs of the connection that it ends in."""

    async def send(self, data: bytes) -> None:
        """Send bytes to the client."""
        ...

    def end_replies(self, *, by_reset: bool) -> None:
        """The server has ended its side."""
        ...


class _Capture:
    """Keeps one reply back."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.complete = asyncio.Event()


class Replies:
    """Reads, delays, counts and passes on; may keep one reply back or put bytes in between."""

    def __init__(self, board: Board, client: Client) -> None:
        self._board, self._client = board, client
        self._queue: asyncio.Queue[tuple[float, bytes | None]] = asyncio.Queue(256)
        self._cutter: ReplyCutter | None = ReplyCutter()
        self._unanswered = 0
        self._capture: _Capture | None = None
        self._surplus = b""
        self._after_next: list[Callable[[], None]] = []
        self._interjected = bytearray()
        self._slow = 0.0
        self.quiet = asyncio.Event()
        """Set while no request waits for its answer."""
        self.quiet.set()
        self.ended = asyncio.Event()
        """Set once the server has ended its side, or the connection is over."""

    def expect(self, requests: int) -> None:
        """So many requests go to the server now."""
        self._unanswered += requests
        if requests:
            self.quiet.clear()

    async def wait_quiet(self) -> None:
        """Wait until earlier answers have gone out, at most a second."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.quiet.wait(), REPLY_SECONDS)

    def finish(self) -> None:
        """Nothing comes any more: let go whoever waits."""
        self.quiet.set()
        self.ended.set()

    async def capture(self, forward: Callable[[], Awaitable[None]]) -> bytes:
        """Forward a request and keep its reply back; return what came of it within a second."""
        self._capture = capture = _Capture()
        try:
            await forward()
            await asyncio.wait_for(capture.complete.wait(), REPLY_SECONDS)
        except TimeoutError:
            pass
        finally:
            self._capture = None
        return bytes(capture.data)

    def append_to_next(self, surplus: bytes) -> None:
        """Send these bytes together with the end of the next reply."""
        self._surplus += surplus

    def call_after_next(self, action: Callable[[], None]) -> None:
        """Call this once the next reply has gone out."""
        self._after_next.append(action)

    def slow_next(self, seconds: float) -> None:
        """Hold the next bytes back so much longer."""
        self._slow = seconds

    async def interject(self, data: bytes) -> None:
        """Send bytes between two replies: now, or as soon as the present one is out."""
        self._interjected += data
        await self._send_interjected()

    async def read(self, reader: asyncio.StreamReader) -> None:
        """Take in what the server sends, until it ends."""
        clock = self._board.clock
        try:
            while data := await reader.read(CHUNK):
                await self._queue.put((clock(), data))
            await self._queue.put((clock(), b""))
        except OSError:
            await self._queue.put((clock(), None))

    async def pass_on(self) -> None:
        """Send it to the client; apart from reading, so that a delay is latency and no limit on throughput."""
        with contextlib.suppress(OSError):
            while True:
                arrived, data = await self._queue.get()
                await self._wait_out_delay(arrived)
                if not data:
                    self._client.end_replies(by_reset=data is None)
                    return
                await self._deliver(data)

    async def _wait_out_delay(self, arrived: float) -> None:
        slow, self._slow = self._slow, 0.0
        heals = self._board.heals
        while True:
            late = self._board.replies.delay + (slow if self._board.heals == heals else 0.0)
            left = arrived + late - self._board.clock()
            if left <= 0:
                return
            await asyncio.sleep(min(left, _SLICE_SECONDS))

    async def _deliver(self, data: bytes) -> None:
        pieces = self._cut(data)
        if self._capture is not None or self._surplus:
            for piece in pieces:
                await self._deliver_piece(piece)
        else:
            await self._client.send(data)
        self._count(pieces)
        await self._send_interjected()

    async def _deliver_piece(self, piece: Piece) -> None:
        capture = self._capture
        if piece.is_push or (capture is None and not piece.ends_reply):
            await self._client.send(piece.data)
        elif capture is not None and not capture.complete.is_set():
            capture.data += piece.data
            if piece.complete:
                capture.complete.set()
        else:
            surplus, self._surplus = self._surplus, b""
            await self._client.send(piece.data + surplus)

    def _cut(self, data: bytes) -> list[Piece]:
        try:
            if self._cutter is not None:
                return self._cutter.feed(data)
        except RespError:
            self._cutter = None
        # Borders cannot be seen, so all of it counts as the end of a reply.
        return [Piece(data, b"", complete=True)]

    def _count(self, pieces: list[Piece]) -> None:
        answered = sum(piece.ends_reply for piece in pieces)
        if self._cutter is None:
            answered = self._unanswered
        self._unanswered = max(0, self._unanswered - answered)
        if answered:
            actions, self._after_next = self._after_next, []
            for action in actions:
                action()
        if not self._unanswered:
            self.quiet.set()

    async def _send_interjected(self) -> None:
        between = self._cutter is None or self._cutter.at_border
        if self._interjected and between:
            data = bytes(self._interjected)
            self._interjected.clear()
            await self._client.send(data)
