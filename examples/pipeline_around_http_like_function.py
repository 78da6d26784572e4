"""The same policies around any function: here one that behaves like an HTTP client.

Around a function nobody but you can know what may run twice, so ``Retry`` must name it with ``on=``.

Run it: ``python examples/pipeline_around_http_like_function.py``. It needs no server.
"""

from __future__ import annotations

import asyncio

from resilient_redis import CircuitBreaker, Fallback, ResiliencePipeline, Retry, Timeout


class ServiceUnavailable(Exception):
    """Status 503. A hint such as Retry-After goes into ``retry_after``, and Retry keeps to it."""

    def __init__(self, retry_after: float) -> None:
        super().__init__("503 Service Unavailable")
        self.retry_after = retry_after


replies = [ServiceUnavailable(0.05), ServiceUnavailable(0.05), "42 EUR"]


def fetch_price(article: str) -> str:
    """Fails twice, then answers."""
    reply = replies.pop(0)
    if isinstance(reply, Exception):
        raise reply
    return f"{article}: {reply}"


async def fetch_stock(article: str) -> str:
    """Hangs."""
    await asyncio.sleep(60)
    return f"{article}: 7"


prices = ResiliencePipeline(
    [
        Fallback("price unknown"),
        Retry(attempts=3, on=ServiceUnavailable),
        CircuitBreaker(fail_max=10, reset_timeout=30, name="price service"),
        Timeout(2),
    ]
)
stock = ResiliencePipeline([Fallback("stock unknown"), Timeout(0.1)])


@stock
async def stock_of(article: str) -> str:
    """A pipeline is a decorator too."""
    return await fetch_stock(article)


print(prices.describe())
print(prices.call(fetch_price, "teapot"))
print(asyncio.run(stock_of("teapot")))
