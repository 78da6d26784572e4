"""Where the pages run: a working directory of their own, with the examples' configuration file in it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from doc_pages import ROOT

from resilient_redis.policies import registry
from resilient_redis.testing import EmbeddedServer


@pytest.fixture
def workplace(tmp_path: Path, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh directory as the current one; REDIS_URL names the test server; registered policies are forgotten."""
    shutil.copy(ROOT / "examples" / "redis.toml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REDIS_URL", server.url)
    monkeypatch.delenv("RESILIENT_REDIS_CONFIG", raising=False)
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    return tmp_path
