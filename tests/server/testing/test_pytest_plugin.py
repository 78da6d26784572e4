"""The plugin in other people's projects: each a pytest process of its own."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from resilient_redis.testing import pytest_plugin

pytestmark = pytest.mark.server

CONFTEST = 'pytest_plugins = ["resilient_redis.testing.pytest_plugin"]\n'


def run(folder: Path, test: str, conftest: str = CONFTEST, **environment: str) -> str:
    """What pytest prints in a project of these two files."""
    (folder / "conftest.py").write_text(conftest)
    (folder / "test_it.py").write_text(test)
    # No other plugins, and every warning is an error.
    command = [sys.executable, "-W", "error", "-m", "pytest", "-q", "-ra", "-p", "no:cacheprovider", "--rootdir", "."]
    shown = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "TMPDIR": str(folder), **environment},
    )
    return shown.stdout + shown.stderr


def test_the_server_is_shared_and_each_test_finds_it_empty_and_a_proxy_with_nothing_armed(tmp_path: Path) -> None:
    test = """
import pytest, redis
from redis.backoff import NoBackoff
from redis.retry import Retry

pids = set()

@pytest.mark.parametrize("number", range(3))
def test_one(number, fault_proxy, redis_server):
    pids.add(redis_server.pid)
    assert len(pids) == (1 if number < 2 else 2)
    assert (fault_proxy.mode, fault_proxy.events, fault_proxy.held) == ("normal", [], 0)
    with redis.Redis.from_url(fault_proxy.url, retry=Retry(NoBackoff(), 0)) as client:
        assert client.incr("n") == 1
        fault_proxy.cut_after_request(None)
        with pytest.raises(redis.ConnectionError):
            client.incr("n")
    if number == 1:
        redis_server.kill()
"""
    assert "3 passed" in run(tmp_path, test)
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith("resilient-redis-")] == []


def test_without_a_server_tests_are_skipped_and_the_reason_says_what_to_install(tmp_path: Path) -> None:
    shown = run(tmp_path, "def test_one(fault_proxy): pass", RESILIENT_REDIS_SERVER="/no/such/server")
    assert "1 skipped" in shown
    assert 'pip install "resilient-redis[demo]"' in shown


def test_the_fixtures_of_a_project_take_the_place_of_ours(tmp_path: Path) -> None:
    conftest = CONFTEST + "import pytest\n@pytest.fixture\ndef redis_server():\n    return 'mine'\n"
    assert "1 passed" in run(tmp_path, "def test_one(redis_server): assert redis_server == 'mine'", conftest)


def test_it_starts_nothing_for_those_who_do_not_ask(tmp_path: Path) -> None:
    test = "import threading\ndef test_one(): assert threading.active_count() == 1"
    assert "1 passed" in run(tmp_path, test, RESILIENT_REDIS_SERVER="/no/such/server")


def test_the_plugin_itself_imports_nothing_but_pytest() -> None:
    body = ast.parse(Path(pytest_plugin.__file__).read_text()).body
    imported = {node.module for node in body if isinstance(node, ast.ImportFrom)}
    imported |= {alias.name for node in body if isinstance(node, ast.Import) for alias in node.names}
    assert imported == {"__future__", "collections.abc", "typing", "pytest"}
