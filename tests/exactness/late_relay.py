"""A relay that keeps requests back: they may arrive long after their client has gone, and after others' requests.

Within one connection the order is kept, as TCP does; across connections it is not. A request on its way is lost only
when the server ends its connection first.
"""

from __future__ import annotations

import asyncio
import contextlib

from relay_thread import RelayThread

_AT_ONCE = (b"HELLO", b"SETINFO", b"SELECT", b"AUTH", b"KILL", b"LIST")
"""What sets connections up or ends them: held back, it would only make all of it slower."""


class LateRelay(RelayThread):
    """``with LateRelay(port, seed=1) as relay``: connect to ``relay.url``.

    Args:
        port: the server's.
        seed: of its chance.
        share: so many of the requests are kept back.
        seconds: for at most so long.
        resets: so many of the clients whose request is kept back lose their connection at once. The request goes on.
    """

    def __init__(self, port: int, *, seed: int, share: float = 0.0, seconds: float = 0.3, resets: float = 0.0) -> None:
        super().__init__(seed=seed)
        self._target = port
        self._share, self._seconds, self._resets = share, seconds, resets
        self.held = 0
        """Requests kept back so far."""
        self.orphans = 0
        """Those of them that went on to the server after their client had gone."""
        self._next: list[float] = []

    def hold_next(self, seconds: float) -> None:
        """Keep the next request back for so long (not what sets a connection up)."""
        self._next.append(seconds)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._target)
        replies = asyncio.create_task(self._pass_replies(up_reader, writer))
        try:
            await self._pass_requests(reader, up_writer, writer, replies)
        finally:
            replies.cancel()
            up_writer.close()
            writer.close()

    async def _pass_requests(
        self,
        reader: asyncio.StreamReader,
        up_writer: asyncio.StreamWriter,
        writer: asyncio.StreamWriter,
        replies: asyncio.Task[None],
    ) -> None:
        while data := await reader.read(65536):
            seconds = self._kept_back(data)
            if seconds:
                self.held += 1
                if self._chance.random() < self._resets:
                    writer.transport.abort()
                # Not ended by the client's end: the network does not take back what it was given.
                await asyncio.wait([replies], timeout=seconds)
                if replies.done():
                    return  # killed by the server: what was on its way is lost
                self.orphans += reader.at_eof() or writer.is_closing()
            up_writer.write(data)
            await up_writer.drain()

    def _kept_back(self, data: bytes) -> float:
        if any(word in data for word in _AT_ONCE):
            return 0.0
        if self._next:
            return self._next.pop(0)
        return self._chance.uniform(0, self._seconds) if self._chance.random() < self._share else 0.0

    async def _pass_replies(self, up_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await up_reader.read(65536):
            with contextlib.suppress(OSError):  # the client has gone: its requests go on all the same
                writer.write(data)
                await writer.drain()
        writer.close()
