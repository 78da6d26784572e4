"""The table of faults that can befall a request.

Everything here runs on the proxy's own event loop, in one thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from resilient_redis.testing._armed import Armed
from resilient_redis.testing._resp import Request, encode_push

if TYPE_CHECKING:
    from resilient_redis.testing._link import Link

FaultAction = Callable[["Link", Request, Armed], Awaitable[None]]

GARBAGE = b"\x00\x15\x03\x01 this is no RESP\r\n"
PUSH = ("message", "fault-proxy", "hello")
SURPLUS = b"$7\r\nsurplus\r\n"
_ERROR = "ERR refused by the fault proxy"
_ARRAY = b"*2\r\n$5\r\nwrong\r\n$4\r\ntype\r\n"
_NUMBER = b":1\r\n"


async def _cut_before_request(link: Link, _request: Request, _fault: Armed) -> None:
    link.reset()


async def _cut_after_request(link: Link, request: Request, _fault: Armed) -> None:
    # Its reply shows that the server has done it: the cut is sure to come after the effect.
    await link.forward_and_capture(request)
    link.reset()


async def _half_reply(link: Link, request: Request, fault: Armed) -> None:
    reply = await link.forward_and_capture(request)
    await link.send(reply[: len(reply) // 2])
    if fault.detail.text == "stall":
        link.lose_replies()
    else:
        link.close()


async def _reply_error(link: Link, request: Request, fault: Armed) -> None:
    await link.refuse(request)
    await link.send(f"-{fault.detail.text or _ERROR}\r\n".encode())


async def _garbage(link: Link, request: Request, fault: Armed) -> None:
    await link.forward_and_capture(request)
    await link.send(fault.detail.data or GARBAGE)


async def _wrong_type(link: Link, request: Request, _fault: Armed) -> None:
    reply = await link.forward_and_capture(request)
    await link.send(_NUMBER if reply[:1] in (b"*", b"~", b"%") else _ARRAY)


async def _extra_reply(link: Link, request: Request, fault: Armed) -> None:
    surplus, seconds = fault.detail.data or SURPLUS, fault.seconds()
    if not seconds:
        link.replies.append_to_next(surplus)
    else:
        link.replies.call_after_next(lambda: link.spawn(_later(link, seconds, surplus)))
    await link.forward(request)


async def _later(link: Link, seconds: float, data: bytes) -> None:
    await asyncio.sleep(seconds)
    await link.replies.interject(data)


async def _push_before(link: Link, request: Request, fault: Armed) -> None:
    await link.replies.interject(fault.detail.data or encode_push(PUSH))
    await link.forward(request)


async def _push_after(link: Link, request: Request, fault: Armed) -> None:
    link.replies.append_to_next(fault.detail.data or encode_push(PUSH))
    await link.forward(request)


async def _lose_request(link: Link, _request: Request, _fault: Armed) -> None:
    link.lose_requests()


async def _lose_reply(link: Link, request: Request, _fault: Armed) -> None:
    link.lose_replies()
    await link.forward(request)


async def _delay_reply(link: Link, request: Request, fault: Armed) -> None:
    link.replies.slow_next(fault.seconds() or 0.0)
    await link.forward(request)


async def _hold_request(link: Link, request: Request, fault: Armed) -> None:
    await link.hold(request, fault.seconds())
    await link.forward(request)


FAULTS: Mapping[str, FaultAction] = MappingProxyType(
    {
        "cut_before_request": _cut_before_request,
        "cut_after_request": _cut_after_request,
        "half_reply": _half_reply,
        "reply_error": _reply_error,
        "garbage": _garbage,
        "wrong_type": _wrong_type,
        "extra_reply": _extra_reply,
        "push_before": _push_before,
        "push_after": _push_after,
        "lose_request": _lose_request,
        "lose_reply": _lose_reply,
        "delay_reply": _delay_reply,
        "hold_requests": _hold_request,
    }
)
