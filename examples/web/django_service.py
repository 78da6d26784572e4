"""A Django project in one file: cache and sessions in Redis, which is killed and comes back.

Run it: ``python examples/web/django_service.py`` (needs Django and django-redis). It starts a server of its own
unless REDIS_URL names one. To serve: ``REDIS_URL=… gunicorn "django_service:create_app()"``.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import Any

import redis

from resilient_redis import CircuitBreaker, Fallback, Retry, Timeout
from resilient_redis.testing import EmbeddedServer

try:
    import django_redis
    from django.conf import settings
    from django.contrib.sessions.backends.cache import SessionStore as CacheSessions
    from django.contrib.sessions.middleware import SessionMiddleware
    from django.core.cache import cache
    from django.core.wsgi import get_wsgi_application
    from django.http import HttpRequest, JsonResponse
    from django.urls import path
except ImportError:
    sys.exit("this example needs Django and django-redis: pip install Django django-redis")

POLICIES = [Retry(attempts=3), CircuitBreaker(reset_timeout=0.2), Timeout("250ms")]


def redis_cache(url: str, policies: list[Any]) -> dict[str, Any]:
    """One pool and one circuit for all threads of a process."""
    return {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": url,
        "OPTIONS": {
            "REDIS_CLIENT_CLASS": "resilient_redis.ResilientRedis",
            "REDIS_CLIENT_KWARGS": {"policies": policies},
            "CONNECTION_POOL_CLASS": "resilient_redis.ResilientConnectionPool",
            "CONNECTION_POOL_KWARGS": {"max_connections": 20, "acquire_timeout": "500ms"},
        },
    }


class SessionStore(CacheSessions):
    """Django's own takes an error for "no session", and deletes the visitor's cookie. Here an error stays one."""

    def load(self) -> dict[str, Any]:
        found = self._cache.get(self.cache_key)
        if found is None:
            self._session_key = None
        return found or {}


def product(request: HttpRequest, number: int) -> JsonResponse:
    """A page that can do without its cache."""
    with django_redis.get_redis_connection("default").overrides(deadline="100ms"):
        name = cache.get(f"product:{number}")
    return JsonResponse({"name": name or f"product {number}, from the database", "cached": name is not None})


def visits(request: HttpRequest) -> JsonResponse:
    """A visitor's own count, in the session."""
    request.session["visits"] = request.session.get("visits", 0) + 1
    return JsonResponse({"visits": request.session["visits"]})


def health(request: HttpRequest) -> JsonResponse:
    """What the pools and their circuits say; nothing is sent."""
    return JsonResponse({name: django_redis.get_redis_connection(name).health().to_dict() for name in settings.CACHES})


class Sessions(SessionMiddleware):
    """Says 503, and when to come again, if a page or the saving of a session cannot do without Redis."""

    def process_exception(self, request: HttpRequest, error: Exception) -> JsonResponse | None:
        return unavailable(error) if isinstance(error, redis.RedisError) else None

    def process_response(self, request: HttpRequest, response: Any) -> Any:
        try:
            return super().process_response(request, response)
        except redis.RedisError as error:
            return unavailable(error)


def unavailable(error: redis.RedisError) -> JsonResponse:
    """``not_sent`` may be tried again; after ``unknown`` a write may have been done."""
    body = {"delivery": getattr(error, "delivery", "unknown")}
    return JsonResponse(body, status=503, headers={"Retry-After": "1"})


urlpatterns = [path("product/<int:number>", product), path("visits", visits), path("health", health)]


def create_app() -> Any:
    """The WSGI application; the environment says where Redis is. Of a project these are the settings."""
    url = os.environ["REDIS_URL"]
    settings.configure(
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=__name__,
        MIDDLEWARE=[f"{__name__}.Sessions"],  # in place of Django's SessionMiddleware
        SESSION_ENGINE=__name__,  # the module that has a SessionStore
        SESSION_CACHE_ALIAS="sessions",
        CACHES={
            "default": redis_cache(url, [Fallback(None), *POLICIES]),  # without it a page is slower, not wrong
            "sessions": redis_cache(url, POLICIES),  # a made-up "no session" would log the visitor out
        },
    )
    return get_wsgi_application()


def main(server: EmbeddedServer | None) -> None:
    """Before, during and after an outage."""
    create_app()
    from django.test import Client

    visitor = Client()
    cache.set("product:1", "a lamp")
    print("up:   ", visitor.get("/product/1").json(), visitor.get("/visits").json())
    if server is not None:
        server.kill()
        print("down: ", visitor.get("/product/1").json())
        refused = visitor.get("/visits")
        print("      ", refused.status_code, refused.json(), visitor.get("/health").json()["sessions"]["status"])
        server.restart()
        end = time.monotonic() + 10
        while visitor.get("/visits").status_code != 200 and time.monotonic() < end:
            time.sleep(0.1)
    print("again:", visitor.get("/visits").status_code, visitor.get("/health").json()["sessions"]["status"])
    pools = [django_redis.get_redis_connection(name).connection_pool for name in settings.CACHES]
    print("closed in time:", all(pool.close(timeout=5) for pool in pools))


if __name__ == "__main__":
    with contextlib.ExitStack() as stack:
        own = None if "REDIS_URL" in os.environ else stack.enter_context(EmbeddedServer.start())
        if own is not None:
            os.environ["REDIS_URL"] = own.url
        main(own)
