"""The examples of docs/django.md, flask.md and fastapi.md run, their tests too: the default suite cannot run them."""

from __future__ import annotations

import asyncio
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import resilient_redis
from resilient_redis.testing import EmbeddedServer, FaultProxy

pytestmark = [pytest.mark.integrations, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

sys.path.append(str(Path(__file__).parents[1] / "docs"))
doc_pages = pytest.importorskip("doc_pages")


def run_page(name: str, *packages: str) -> dict[str, Any]:
    """All its fences, in order; what they leave."""
    for package in packages:
        pytest.importorskip(package)
    module = types.ModuleType(f"page_{name}")
    sys.modules[module.__name__] = module  # Django finds its middleware and sessions there
    for fence in doc_pages.fences(doc_pages.DOCS / f"{name}.md"):
        if fence.file is not None:
            Path(fence.file).write_text(fence.text, encoding="utf-8")
        elif fence.language == "python":
            assert fence.marker in {"", f"not run: needs {packages[0]}"}
            exec(
                compile("\n" * (fence.line - 1) + fence.text, str(fence.page), "exec", dont_inherit=True), vars(module)
            )
    return vars(module)


@pytest.fixture(autouse=True)
def _workplace(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REDIS_URL", server.url)
    known = set(sys.modules)
    yield
    for name in set(sys.modules) - known:
        if name.startswith("page_"):
            del sys.modules[name]


def _worker(app: Any) -> Any:
    return types.SimpleNamespace(wsgi=app)  # what gunicorn gives its hooks


class TestFlask:
    def test_its_own_test(self, monkeypatch: pytest.MonkeyPatch) -> None:
        run_page("flask", "flask")["test_a_lost_reply_is_told"](monkeypatch)

    def test_the_hooks_fill_the_pool_and_close_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RESILIENT_REDIS__POOL__MIN_IDLE", "2")
        page = run_page("flask", "flask")
        pool = page["app"].extensions["redis"].connection_pool
        page["post_worker_init"](_worker(page["app"]))
        assert pool.stats().available == 2
        page["worker_exit"](None, _worker(page["app"]))
        assert pool.stats().state == "closed"

    def test_an_error_outside_of_a_view_is_told_too(self, proxy: FaultProxy) -> None:
        page = run_page("flask", "flask", "flask_session")
        app = page["Flask"]("sessions")
        sessions = resilient_redis.ResilientRedis.from_url(proxy.url, policies=[])
        app.config.update(SESSION_TYPE="redis", SESSION_REDIS=sessions)
        sys.modules["flask_session"].Session(app)
        app.register_error_handler(500, page["unavailable"])
        flask = sys.modules["flask"]
        app.get("/")(lambda: str(flask.session.setdefault("visits", 1)))
        visitor = app.test_client()
        assert visitor.get("/").text == "1"
        proxy.refuse()
        proxy.cut_all()
        assert visitor.get("/").status_code == 503
        proxy.heal()
        assert visitor.get("/").text == "1"
        sessions.connection_pool.close()


class TestFastAPI:
    def test_its_own_test(self, monkeypatch: pytest.MonkeyPatch) -> None:
        page = run_page("fastapi", "fastapi", "httpx")
        asyncio.run(page["test_a_lost_reply_is_told"](monkeypatch))
        assert page["app"].state.redis.connection_pool.stats().state == "closed"

    def test_health_answers_while_redis_is_away(self, monkeypatch: pytest.MonkeyPatch, own_server: Any) -> None:
        monkeypatch.setenv("REDIS_URL", own_server.url)
        page = run_page("fastapi", "fastapi", "httpx")

        async def ask() -> Any:
            web = page["httpx"].AsyncClient(transport=page["httpx"].ASGITransport(page["app"]), base_url="http://shop")
            async with page["app"].router.lifespan_context(page["app"]), web as visitor:
                own_server.kill()
                assert (await visitor.post("/visits")).status_code == 503
                return await visitor.get("/health")

        reply = asyncio.run(ask())
        assert (reply.status_code, reply.json()["status"] != "healthy") == (200, True)


class TestDjango:
    @pytest.fixture
    def page(self) -> Iterator[dict[str, Any]]:
        conf = pytest.importorskip("django.conf")
        if not conf.settings.configured:
            conf.settings.configure()
        page = run_page("django", "django_redis", "django")
        from django.test import override_settings

        with override_settings(CACHES=page["CACHES"]):
            yield page

    def test_its_own_test(self, page: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
        page["test_reads_miss_while_redis_is_away"](monkeypatch)

    def test_its_views_and_its_hook(self, page: dict[str, Any]) -> None:
        assert b"from the database" in page["product"](None, 1).content
        assert page["health"](None).content.count(b'"healthy"') == 2
        pool = page["get_redis_connection"]("sessions").connection_pool
        page["worker_exit"](None, None)
        assert pool.stats().state == "closed"

    def test_the_deadline_holds_for_the_cache(self, page: dict[str, Any], proxy: FaultProxy) -> None:
        page["CACHES"]["default"]["LOCATION"] = proxy.url
        from django.test import override_settings

        options = page["CACHES"]["default"]["OPTIONS"]
        options["REDIS_CLIENT_KWARGS"] = {"policies": [resilient_redis.Timeout(5)]}
        with override_settings(CACHES={"default": page["CACHES"]["default"]}):
            page["cache"].set("product:1", "a lamp")
            proxy.delay(1)
            with (
                page["get_redis_connection"]("default").overrides(deadline="50ms"),
                pytest.raises(page["redis"].TimeoutError),
            ):
                page["cache"].get("product:1")
            proxy.heal()
            assert page["cache"].get("product:1") == "a lamp"
            page["get_redis_connection"]("default").connection_pool.close()

    def test_the_session_is_loaded_and_its_error_is_no_empty_session(
        self, page: dict[str, Any], own_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from django.test import override_settings

        monkeypatch.setenv("REDIS_URL", own_server.url)
        with override_settings(
            CACHES={"sessions": page["redis_cache"]([]), "default": page["redis_cache"]([])},
            SESSION_CACHE_ALIAS="sessions",
        ):
            session = page["SessionStore"]()
            session["who"] = "ada"
            session.save()
            assert page["SessionStore"](session.session_key).load() == {"who": "ada"}
            assert page["SessionStore"]("n" * 32).load() == {}
            own_server.kill()
            with pytest.raises(page["redis"].RedisError):
                page["SessionStore"](session.session_key).load()
