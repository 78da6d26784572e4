"""After a reload new connections are made as a new client would make them, whatever the old address was."""

from __future__ import annotations

import inspect
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

import resilient_redis
import resilient_redis.asyncio

WAYS: dict[str, dict[str, Any]] = {
    "tcp": {"url": "redis://localhost:1/0"},
    "tls": {"url": "rediss://localhost:2/0", "options": {"ssl_cert_reqs": "none"}},
    "unix": {"url": "unix:///tmp/redis.sock"},
    "options": {"options": {"host": "other", "username": "app", "password": "x", "socket_timeout": 2}},
    "no limit": {"url": "redis://localhost:1/0", "options": {"socket_timeout": "none"}},
}

TOLD = ("host", "port", "path", "db", "username", "password", "socket_timeout", "cert_reqs", "check_hostname")


@pytest.fixture(params=[resilient_redis.ResilientRedis, resilient_redis.asyncio.ResilientRedis], ids=["sync", "aio"])
def client_class(request: pytest.FixtureRequest) -> Any:
    return request.param


def connection(client: Any) -> dict[str, Any]:
    """What a new connection of the client would be, without opening it."""
    pool = client.connection_pool
    made = pool.connection_class(**pool.connection_kwargs)
    tls = getattr(made, "ssl_context", None)  # asyncio's keeps it all in an object of its own
    told = {name: getattr(made, name, getattr(tls, name, None)) for name in TOLD}
    return {"class": pool.connection_class.__name__, **told}


@pytest.mark.parametrize(("old", "new"), list(itertools.permutations(WAYS, 2)))
async def test_a_reload_leads_where_a_new_client_would(old: str, new: str, client_class: Any, tmp_path: Path) -> None:
    file = tmp_path / "redis.json"
    file.write_text(json.dumps(WAYS[old]))
    client = client_class.from_config(file, environ={})
    file.write_text(json.dumps(WAYS[new]))
    told = client.reload()
    if inspect.isawaitable(told):
        await told
    assert connection(client) == connection(client_class.from_config(file, environ={}))
