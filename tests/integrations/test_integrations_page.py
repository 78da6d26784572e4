"""The examples of docs/integrations.md do what the page says: the default suite cannot run them, this one does."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import resilient_redis
import resilient_redis.asyncio
from resilient_redis.testing import EmbeddedServer

pytestmark = [
    pytest.mark.integrations,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),  # rq's SimpleWorker without its signals
]

sys.path.append(str(Path(__file__).parents[1] / "docs"))
doc_pages = pytest.importorskip("doc_pages")

PAGE = doc_pages.DOCS / "integrations.md"


def rq(page: Any) -> None:
    assert page["job"].return_value(refresh=True) == 5
    assert page["OurRedis"](port=1).policies == tuple(page["POLICIES"])


def celery(page: Any) -> None:
    with page["app"].connection() as connection:
        client = connection.default_channel.client
        assert (type(client), client.policies) == (resilient_redis.ResilientRedis, tuple(page["POLICIES"]))
        assert type(client.connection_pool) is resilient_redis.ResilientConnectionPool
    assert type(page["app"].backend).__name__ == "Backend"
    assert page["app"].backend.client.ping()
    page["app"].close()


@contextlib.contextmanager
def django_cache(page: Any) -> Iterator[Any]:
    from django.conf import settings
    from django.core.cache import caches
    from django.test import override_settings

    if not settings.configured:
        settings.configure()
    with override_settings(CACHES=page["CACHES"]):
        caches["default"].set("key", "value")
        assert caches["default"].get("key") == "value"
        yield caches["default"]


def django(page: Any) -> None:
    with django_cache(page) as cache:
        pool = cache._cache._get_connection_pool(write=True)
        assert pool.policies == tuple(page["POLICIES"])
        pool.close()


def django_redis(page: Any) -> None:
    with django_cache(page) as cache:
        client = cache.client.get_client()
        assert (type(client), client.policies) == (resilient_redis.ResilientRedis, tuple(page["POLICIES"]))
        client.connection_pool.close()


def flask_session(page: Any) -> None:
    assert type(page["app"].session_interface.client) is resilient_redis.ResilientRedis


def flask_limiter(page: Any) -> None:
    assert page["limiter"].storage.check()
    assert page["limiter"].storage.get_connection().connection_pool.policies == tuple(page["POLICIES"])


def huey(page: Any) -> None:
    result = page["huey"].task()(len)("hello")
    page["huey"].execute(page["huey"].dequeue())
    assert result.get() == 5


async def arq(page: Any) -> None:
    assert await page["greeting"].result(timeout=2, poll_delay=0.05) == "hello world"
    await page["queue"].aclose()


async def taskiq_redis(page: Any) -> None:
    broker = page["broker"]
    await broker.startup()
    pool = resilient_redis.asyncio.ResilientConnectionPool
    assert isinstance(broker.connection_pool, pool)
    assert isinstance(broker.result_backend.redis_pool, pool)
    await broker.shutdown()
    await broker.result_backend.shutdown()


CHECKS: dict[str, Callable[[Any], Any]] = {
    "rq": rq,
    "celery": celery,
    "django": django,
    "django-redis": django_redis,
    "Flask-Session": flask_session,
    "Flask-Limiter": flask_limiter,
    "huey": huey,
    "arq": arq,
    "taskiq-redis": taskiq_redis,
}


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The module that the page is; Celery finds its classes there by name."""
    module = types.ModuleType("integrations_page")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return vars(module)


def test_each_library_of_the_page_is_checked() -> None:
    assert {_needs(fence) for fence in doc_pages.fences(PAGE) if _needs(fence)} == set(CHECKS)


@pytest.mark.parametrize("library", CHECKS)
def test_the_lines_of_the_page_do_what_it_says(library: str, page: dict[str, Any], server: EmbeddedServer) -> None:
    pytest.importorskip(library.lower().replace("-", "_"))
    with asyncio.Runner() as runner:
        for fence in doc_pages.fences(PAGE):
            if fence.language == "python" and _needs(fence) in {None, library}:
                _run(fence.text.replace("redis://localhost:6379", f"redis://{server.host}:{server.port}"), page, runner)
        checked = CHECKS[library](page)
        if inspect.iscoroutine(checked):
            runner.run(checked)


def _needs(fence: Any) -> str | None:
    return fence.marker.removeprefix("not run: needs ") if fence.marker.startswith("not run: ") else None


def _run(source: str, page: dict[str, Any], runner: asyncio.Runner) -> None:
    made = eval(compile(source, str(PAGE), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True), page)
    if inspect.iscoroutine(made):
        runner.run(made)
