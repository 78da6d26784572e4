"""A file that changes a hundred times, good and bad, while callers work: no failed call, no lost connection."""

from __future__ import annotations

import asyncio
import json
import os
import random
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from resilient_redis import ConfigError
from resilient_redis.events import ConfigRejected, ConfigReloaded
from resilient_redis.testing import EmbeddedServer

pytestmark = pytest.mark.server

WORKERS = 6
VERSIONS = 100
BAD = ('{"policies": [{"type": "retyr"}]}', "{", "", '{"pool": {"max_connections": 0}}', '{"pool": {"min_idle": 101}}')


def good(url: str, rng: random.Random) -> str:
    most = rng.randint(WORKERS // 2, 12)
    document = {
        "url": url,
        "options": {"client_name": f"n{rng.randint(0, 9)}", "socket_timeout": rng.choice([3, 4])},
        "pool": {"max_connections": most, "min_idle": rng.randint(0, 2), "idle_timeout": rng.choice(["1s", "1m"])},
        "policies": rng.choice(
            [
                [{"type": "retry", "attempts": rng.randint(2, 4)}, {"type": "timeout", "seconds": 4}],
                [{"type": "circuit_breaker", "name": "main", "fail_max": rng.randint(3, 5)}],
                [{"type": "bulkhead", "max_concurrent": WORKERS}, {"type": "timeout", "seconds": 3}],
            ]
        ),
        "commands": rng.choice([{}, {"GET": {"deadline": "3s"}}]),
    }
    return json.dumps(document)


def put(path: Path, text: str) -> None:
    """As a careful editor does: never half a file."""
    other = path.with_suffix(".new.json")
    other.write_text(text)
    os.replace(other, path)


async def _work(face: Any, client: Any, name: str, over: threading.Event) -> int:
    done = 0
    while not over.is_set():
        await face.run(client.set, name, str(done))
        assert await face.run(client.get, name) == str(done).encode()
        pipe = client.pipeline()
        pipe.incr(f"{name}:count")
        pipe.get(name)
        assert (await face.run(pipe.execute))[0] == done + 1
        done += 1
        await asyncio.sleep(0)
    return done


async def _reloaded(face: Any, client: Any) -> bool:
    try:
        await face.run(client.reload)
    except ConfigError:
        return False
    return True


async def test_a_hundred_reloads_under_load(face: Any, server: EmbeddedServer, tmp_path: Path) -> None:
    rng = random.Random(7)
    path = tmp_path / "redis.json"
    put(path, good(server.url, rng))
    events: list[Any] = []
    client = face.keep(face.Client.from_config(path, environ={}, listeners=[events.append]))
    over = threading.Event()
    workers = [asyncio.create_task(_work(face, client, f"w{number}", over)) for number in range(WORKERS)]
    outcomes = []
    for version in range(VERSIONS):
        is_bad = version % 3 == 2
        put(path, rng.choice(BAD) if is_bad else good(server.url, rng))
        assert await _reloaded(face, client) is not is_bad
        outcomes.append(is_bad)
        await asyncio.sleep(0.005)
    over.set()
    done = await asyncio.gather(*workers)
    assert all(count > 0 for count in done), done  # few where the machine is busy
    assert sum(isinstance(event, ConfigRejected) for event in events) == sum(outcomes)
    assert sum(isinstance(event, ConfigReloaded) for event in events) > 50
    stats = client.connection_pool.stats()
    assert (stats.borrowed, stats.pending) == (0, 0)
    assert stats.size <= stats.max
    assert int(server.execute("GET", "w0:count").split(b"\r\n")[1]) == done[0]


async def test_a_watched_file_is_followed_through_bad_versions(
    face: Any, server: EmbeddedServer, tmp_path: Path
) -> None:
    path = tmp_path / "redis.json"
    put(path, json.dumps({"url": server.url, "pool": {"max_connections": 3}}))
    client = face.keep(face.Client.from_config(path, environ={}, watch=0.02))
    for most, bad in ((4, "{"), (5, '{"pool": 1}'), (6, "")):
        put(path, bad)
        await asyncio.sleep(0.06)
        put(path, json.dumps({"url": server.url, "pool": {"max_connections": most}}))
        until = time.monotonic() + 5
        while client.connection_pool.max_connections != most and time.monotonic() < until:
            assert await face.run(client.ping)
            await asyncio.sleep(0.01)
        assert client.connection_pool.max_connections == most


async def test_another_password_is_used_by_new_connections(
    face: Any, own_server: EmbeddedServer, tmp_path: Path
) -> None:
    path = tmp_path / "redis.json"
    own_server.execute("ACL", "SETUSER", "app", "on", ">old", "allkeys", "allcommands")
    document = {"url": own_server.url, "options": {"username": "app", "password": "old"}}
    put(path, json.dumps(document))
    client = face.keep(face.Client.from_config(path, environ={}))
    assert await face.run(client.ping)
    own_server.execute("ACL", "SETUSER", "app", ">new", "<old")
    document["options"] = {"username": "app", "password": "new"}
    put(path, json.dumps(document))
    assert await face.run(client.reload)
    own_server.execute("CLIENT", "KILL", "USER", "app")
    assert await face.run(client.ping)
