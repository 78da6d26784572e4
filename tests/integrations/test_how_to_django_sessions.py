"""What docs/django.md says of sessions: Django's own forgets the visitor when Redis is away, the page's does not."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from resilient_redis.testing import FaultProxy

pytest.importorskip("django_redis")
conf = pytest.importorskip("django.conf")

pytestmark = [pytest.mark.integrations, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

EXAMPLE = Path(__file__).parents[2] / "examples" / "web" / "django_service.py"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The example as a module that Django finds by name."""
    spec = importlib.util.spec_from_file_location("django_service", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    if not conf.settings.configured:
        conf.settings.configure()
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("engine", "known"),
    [("django_service", True), ("django.contrib.sessions.backends.cache", False)],
)
def test_a_visitor_is_known_again_after_an_outage(example: Any, proxy: FaultProxy, engine: str, known: bool) -> None:
    from django.core.cache import caches
    from django.http import HttpRequest, JsonResponse
    from django.test import Client, override_settings
    from django.urls import path

    def look(request: HttpRequest) -> JsonResponse:
        """Reads the session and writes nothing."""
        return JsonResponse({"visits": request.session.get("visits")})

    example.urlpatterns.append(path("look", look))
    with override_settings(
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF="django_service",
        MIDDLEWARE=["django_service.Sessions"],
        SESSION_ENGINE=engine,
        SESSION_CACHE_ALIAS="default",
        CACHES={"default": example.redis_cache(proxy.url, [])},
    ):
        visitor = Client()
        assert visitor.get("/visits").json() == {"visits": 1}
        proxy.refuse()
        proxy.cut_all()
        while_away = visitor.get("/look").status_code
        proxy.heal()
        after = visitor.get("/look")
        assert while_away == (503 if known else 200)
        assert (after.status_code, after.json()["visits"]) == (200, 1 if known else None)
        caches["default"].client.get_client().connection_pool.close()
