"""A Flask service that keeps answering while its Redis is killed and comes back.

Run it: ``python examples/web/flask_service.py`` (needs Flask). It starts a server of its own unless REDIS_URL names
one. To serve: ``REDIS_URL=… gunicorn "flask_service:create_app()"``.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import Any

import redis

from resilient_redis import CircuitBreaker, Fallback, ResilientRedis, Retry, Timeout
from resilient_redis.testing import EmbeddedServer

try:
    from flask import Flask
except ImportError:
    sys.exit("this example needs Flask: pip install Flask")

POLICIES = [Fallback(None), Retry(attempts=3), CircuitBreaker(reset_timeout=0.2), Timeout("250ms")]


def create_app() -> Flask:
    """The application and its one client; the environment says where Redis is."""
    app = Flask(__name__)
    r = ResilientRedis.from_env(policies=POLICIES, decode_responses=True)
    app.extensions["redis"] = r

    @app.get("/product/<int:number>")
    def product(number: int) -> dict[str, Any]:
        with r.overrides(deadline="100ms"):  # this page has no more time for its cache
            name = r.get(f"product:{number}")
        return {"name": name or f"product {number}, from the database", "cached": name is not None}

    @app.post("/visits")
    def visits() -> dict[str, Any]:
        return {"visits": r.incr("visits")}

    @app.get("/health")
    def health() -> dict[str, Any]:
        return r.health().to_dict()

    @app.errorhandler(redis.RedisError)
    def no_redis(error: redis.RedisError) -> tuple[dict[str, Any], int, dict[str, str]]:
        # "not_sent" may be tried again; after "unknown" the visit may have been counted.
        return {"delivery": getattr(error, "delivery", "unknown")}, 503, {"Retry-After": "1"}

    return app


def main(server: EmbeddedServer | None) -> None:
    """Before, during and after an outage."""
    app = create_app()
    r, http = app.extensions["redis"], app.test_client()
    r.set("product:1", "a lamp")
    print("up:   ", http.get("/product/1").json, http.post("/visits").json)
    if server is not None:
        server.kill()
        print("down: ", http.get("/product/1").json)
        refused = http.post("/visits")
        print("      ", refused.status_code, refused.json, http.get("/health").json["status"])
        server.restart()
        end = time.monotonic() + 10
        while http.post("/visits").status_code != 200 and time.monotonic() < end:
            time.sleep(0.1)
    print("again:", http.post("/visits").status_code, http.get("/health").json["status"])
    print("closed in time:", r.connection_pool.close(timeout=5))


if __name__ == "__main__":
    with contextlib.ExitStack() as stack:
        own = None if "REDIS_URL" in os.environ else stack.enter_context(EmbeddedServer.start())
        if own is not None:
            os.environ["REDIS_URL"] = own.url
        main(own)
