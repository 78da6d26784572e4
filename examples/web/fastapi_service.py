"""A FastAPI service that keeps answering while its Redis is killed and comes back.

Run it: ``python examples/web/fastapi_service.py`` (needs FastAPI and httpx). It starts a server of its own unless
REDIS_URL names one. To serve: ``REDIS_URL=… uvicorn --factory fastapi_service:create_app --workers 2``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

import redis

from resilient_redis import CircuitBreaker, Fallback, Retry, Timeout
from resilient_redis.asyncio import ResilientRedis
from resilient_redis.testing import EmbeddedServer

try:
    import httpx
    from fastapi import FastAPI, Request
    from fastapi.responses import JSONResponse
except ImportError:
    sys.exit("this example needs FastAPI and httpx: pip install fastapi httpx")

POLICIES = [Fallback(None), Retry(attempts=3), CircuitBreaker(reset_timeout=0.2), Timeout("250ms")]


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """One client for each process, made in its event loop; the last requests are waited for."""
    app.state.redis = ResilientRedis.from_env(policies=POLICIES, decode_responses=True)
    yield
    await app.state.redis.connection_pool.aclose(timeout=5)


async def product(number: int, request: Request) -> dict[str, Any]:
    """A page that can do without its cache."""
    r = request.app.state.redis
    with r.overrides(deadline="100ms"):  # this page has no more time for it
        name = await r.get(f"product:{number}")
    return {"name": name or f"product {number}, from the database", "cached": name is not None}


async def visits(request: Request) -> dict[str, int]:
    """A write: its error is told, never made up."""
    return {"visits": await request.app.state.redis.incr("visits")}


async def health(request: Request) -> dict[str, Any]:
    """What the pool and its circuits say; nothing is sent."""
    return request.app.state.redis.health().to_dict()


async def no_redis(_: Request, error: Exception) -> JSONResponse:
    """``not_sent`` may be tried again; after ``unknown`` the visit may have been counted."""
    return JSONResponse({"delivery": getattr(error, "delivery", "unknown")}, 503, {"Retry-After": "1"})


def create_app() -> FastAPI:
    """The application; the environment says where Redis is."""
    app = FastAPI(lifespan=lifespan)
    app.get("/product/{number}")(product)
    app.post("/visits")(visits)
    app.get("/health")(health)
    app.add_exception_handler(redis.RedisError, no_redis)
    return app


async def main(server: EmbeddedServer | None) -> None:
    """Before, during and after an outage."""
    app = create_app()
    transport = httpx.ASGITransport(app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://shop") as http:
        await app.state.redis.set("product:1", "a lamp")
        print("up:   ", (await http.get("/product/1")).json(), (await http.post("/visits")).json())
        if server is not None:
            server.kill()
            print("down: ", (await http.get("/product/1")).json())
            refused = await http.post("/visits")
            print("      ", refused.status_code, refused.json(), (await http.get("/health")).json()["status"])
            server.restart()
            async with asyncio.timeout(10):
                while (await http.post("/visits")).status_code != 200:
                    await asyncio.sleep(0.1)
        print("again:", (await http.post("/visits")).status_code, (await http.get("/health")).json()["status"])
    print("the pool is", app.state.redis.connection_pool.stats().state)


if __name__ == "__main__":
    with contextlib.ExitStack() as stack:
        own = None if "REDIS_URL" in os.environ else stack.enter_context(EmbeddedServer.start())
        if own is not None:
            os.environ["REDIS_URL"] = own.url
        asyncio.run(main(own))
