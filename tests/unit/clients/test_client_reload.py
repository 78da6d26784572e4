"""Reloading a configuration: what changes, what goes on, what a bad version does. No server, no sleep."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import time
import warnings
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio.retry
import redis.retry
from redis.backoff import NoBackoff

import resilient_redis
import resilient_redis.asyncio
from resilient_redis import ConfigError
from resilient_redis.client_watch import FileWatch, interval_of, signature
from resilient_redis.events import ConfigRejected, ConfigReloaded

BREAKER = {"type": "circuit_breaker", "fail_max": 3}


class Kit:
    """A file, and a client made of it."""

    def __init__(self, folder: Path, client_class: Any) -> None:
        self.path = folder / "redis.json"
        self._class = client_class
        self.events: list[Any] = []

    def write(self, **document: Any) -> None:
        self.path.write_text(json.dumps({"url": "redis://localhost:1/0", **document}))

    def client(self, **arguments: Any) -> Any:
        return self._class.from_config(self.path, environ={}, listeners=[self.events.append], **arguments)


async def reload(client: Any) -> Any:
    told = client.reload()
    return await told if inspect.isawaitable(told) else told


@pytest.fixture(params=["sync", "asyncio"])
def kit(request: pytest.FixtureRequest, tmp_path: Path) -> Kit:
    module = resilient_redis if request.param == "sync" else resilient_redis.asyncio
    return Kit(tmp_path, module.ResilientRedis)


async def test_the_new_numbers_hold_and_are_told(kit: Kit) -> None:
    kit.write(policies=[{"type": "retry", "attempts": 2}])
    client = kit.client()
    kit.write(policies=[{"type": "retry", "attempts": 5}])
    told = await reload(client)
    assert told.changed == ("policies[0].attempts",)
    assert told.needs_restart == ()
    assert client.policies[0].attempts == 5
    assert kit.events == [ConfigReloaded("config", str(kit.path), told.changed, ())]


async def test_nothing_changed_is_no_event(kit: Kit) -> None:
    kit.write(policies=[BREAKER])
    client = kit.client()
    plan = client._plan
    assert not await reload(client)
    assert client._plan is plan
    assert kit.events == []


async def test_what_is_unchanged_keeps_its_state(kit: Kit) -> None:
    kit.write(policies=[{"type": "retry", "attempts": 2}, BREAKER])
    client = kit.client()
    layer = client.breakers["circuit_breaker"]
    kit.write(policies=[{"type": "retry", "attempts": 3}, BREAKER])
    await reload(client)
    assert client.breakers["circuit_breaker"] is layer
    assert client.policies[0].attempts == 3


async def test_a_changed_circuit_begins_anew_named_or_not(kit: Kit) -> None:
    for named in ({}, {"name": "main"}):
        kit.write(policies=[{**BREAKER, **named}])
        client = kit.client()
        (before,) = client.breakers.values()
        kit.write(policies=[{**BREAKER, **named, "fail_max": 9}])
        await reload(client)
        (after,) = client.breakers.values()
        assert after is not before
        assert after.policy.fail_max == 9


async def test_a_bad_version_leaves_the_running_one_in_force(kit: Kit) -> None:
    kit.write(policies=[{"type": "retry", "attempts": 2}])
    client = kit.client()
    before = client._plan
    kit.write(policies=[{"type": "retyr"}, {"type": "timeout", "seconds": -1}])
    with pytest.raises(ConfigError):
        await reload(client)
    assert client._plan is before
    (event,) = kit.events
    assert isinstance(event, ConfigRejected)
    assert len(event.problems) == 2
    kit.write(policies=[{"type": "retry", "attempts": 4}])
    await reload(client)
    assert client.policies[0].attempts == 4


async def test_a_version_that_fits_no_client_is_refused_as_a_whole(kit: Kit) -> None:
    kit.write(policies=[{"type": "timeout", "seconds": 1}], pool={"max_connections": 8})
    client = kit.client()
    kit.write(policies=[BREAKER], commands={"GET": {"timeout": "50ms"}}, pool={"max_connections": 5})
    with pytest.raises(ConfigError, match="Timeout"):
        await reload(client)
    assert client.connection_pool.max_connections == 8
    assert [policy.type_name for policy in client.policies] == ["timeout"]


async def test_the_pool_is_resized_and_not_replaced(kit: Kit) -> None:
    kit.write(pool={"max_connections": 8, "acquire_timeout": "2s"})
    client = kit.client()
    pool = client.connection_pool
    kit.write(pool={"max_connections": 4, "acquire_timeout": "1s", "fifo": True})
    told = await reload(client)
    assert client.connection_pool is pool
    assert (pool.options.max_connections, pool.options.acquire_timeout, pool.options.fifo) == (4, 1.0, False)
    assert told.needs_restart == ("pool.fifo",)


async def test_a_new_address_and_password_are_for_connections_to_come(kit: Kit) -> None:
    kit.write(options={"client_name": "a"})
    client = kit.client()
    kit.write(url="redis://:secret@elsewhere:2/3")
    told = await reload(client)
    kwargs = client.connection_pool.connection_kwargs
    assert (kwargs["host"], kwargs["port"], kwargs["db"], kwargs["password"]) == ("elsewhere", 2, 3, "secret")
    assert kwargs.get("client_name") is None
    assert "secret" not in repr(told) + repr(kit.events)


async def test_what_a_reply_is_stays_as_it_was(kit: Kit) -> None:
    kit.write(options={"decode_responses": False})
    client = kit.client()
    kit.write(options={"decode_responses": True})
    told = await reload(client)
    assert told.needs_restart == ("options.decode_responses",)
    assert not client.connection_pool.connection_kwargs.get("decode_responses")


async def test_code_wins_over_each_version(kit: Kit) -> None:
    kit.write(pool={"max_connections": 8})
    client = kit.client(max_connections=3)
    kit.write(pool={"max_connections": 5, "min_idle": 1})
    await reload(client)
    assert (client.connection_pool.options.max_connections, client.connection_pool.options.min_idle) == (3, 1)


async def test_rules_for_commands_come_and_go(kit: Kit) -> None:
    kit.write(commands={"MYMOD.X": "read", "GET": {"timeout": "50ms"}})
    client = kit.client()
    kit.write(commands={"MYMOD.X": "accumulating"})
    await reload(client)
    assert "GET" not in client.describe()
    kit.write()
    await reload(client)
    assert resilient_redis.transport.adopt.adopt(client.connection_pool).marks is None


async def test_the_default_stack_follows_the_socket_timeout(kit: Kit) -> None:
    kit.write(options={"socket_timeout": 1})
    client = kit.client()
    before = client.breakers["circuit_breaker"]
    kit.write(options={"socket_timeout": 2})
    await reload(client)
    assert client.policies[-1].seconds == 2
    assert client.breakers["circuit_breaker"] is before


async def test_only_a_client_of_a_configuration_reloads(kit: Kit) -> None:
    with pytest.raises(ConfigError, match="from_config"):
        await reload(kit._class())


async def test_an_order_that_defeats_itself_is_warned_of_and_if_that_is_an_error_refused(kit: Kit) -> None:
    kit.write(policies=[{"type": "timeout", "seconds": 1}])
    client = kit.client()
    kit.write(policies=[{"type": "retry", "attempts": 2}, {"type": "fallback", "value": None}])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(resilient_redis.PipelineOrderWarning):
            await reload(client)
    assert [policy.type_name for policy in client.policies] == ["timeout"]


async def test_a_silenced_code_is_warned_of_neither_at_first_nor_at_a_reload(kit: Kit) -> None:
    stack = [{"type": "retry", "attempts": 2}, {"type": "fallback", "value": None}]
    lint = {"silence": {"RR101": "the fallback is for one command alone"}}
    kit.write(policies=stack, lint=lint)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        client = kit.client()
        kit.write(policies=[{**stack[0], "attempts": 3}, stack[1]], profiles={"p": {}}, lint=lint)
        assert await reload(client)
    kit.write(policies=[{**stack[0], "attempts": 4}, stack[1]])
    with pytest.warns(resilient_redis.PipelineOrderWarning, match="RR101"):
        await reload(client)


def test_a_profile_silences_for_its_own_clients(kit: Kit) -> None:
    stack = [{"type": "retry", "attempts": 2}, {"type": "fallback", "value": None}]
    silent = {"policies": stack, "lint": {"silence": {"RR101": "known"}}}
    kit.write(profiles={"loud": {"policies": stack}, "silent": silent})
    with pytest.warns(resilient_redis.PipelineOrderWarning, match="RR101"):
        kit.client(profile="loud")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kit.client(profile="silent")


async def test_set_retry_goes_with_a_rule_that_brings_a_fallback_and_outlives_a_reload(kit: Kit) -> None:
    kit.write(commands={"GET": {"fallback": ""}})
    client = kit.client()
    module = redis.asyncio.retry if "asyncio" in type(client).__module__ else redis.retry
    client.set_retry(module.Retry(NoBackoff(), 6))
    assert [policy.type_name for policy in client.policies] == ["fallback", "retry", "circuit_breaker", "timeout"]
    assert client.policies[1].attempts == 7
    kit.write(commands={"GET": {"fallback": "x"}})
    assert await reload(client)
    assert client.policies[1].attempts == 7


@pytest.mark.parametrize("watch", [0, "0s", -1, "soon"])
def test_a_watch_without_sense_is_refused(tmp_path: Path, watch: Any) -> None:
    with pytest.raises(ConfigError, match="watch"):
        interval_of(watch, tmp_path / "redis.toml")


def test_only_a_file_can_be_watched() -> None:
    with pytest.raises(ConfigError, match="only a file"):
        resilient_redis.ResilientRedis.from_config({"policies": []}, watch=True)


def test_asyncio_watches_inside_a_loop_only(tmp_path: Path) -> None:
    kit = Kit(tmp_path, resilient_redis.asyncio.ResilientRedis)
    kit.write()
    with pytest.raises(ConfigError, match="running loop"):
        kit.client(watch=True)


def test_a_change_is_seen_once_through_replacing_links_and_absence(tmp_path: Path) -> None:
    path = tmp_path / "redis.json"
    path.write_text("a")
    watch = FileWatch(path, signature(path))
    assert not watch.changed()
    other = tmp_path / "other"
    other.write_text("a")
    os.replace(other, path)
    assert (watch.changed(), watch.changed()) == (True, False)
    path.unlink()
    assert (watch.changed(), watch.changed()) == (True, False)
    path.symlink_to(tmp_path / "third")
    (tmp_path / "third").write_text("b")
    assert watch.changed()


def test_a_change_that_keeps_size_and_time_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "redis.json"
    path.write_text("a")
    before = path.stat()
    watch = FileWatch(path, signature(path))
    time.sleep(0.02)  # longer than the clock of a file system stands still
    path.write_text("b")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # as cp -p and rsync do
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert watch.changed()


def test_a_watch_ends_with_its_client(tmp_path: Path) -> None:
    kit = Kit(tmp_path, resilient_redis.ResilientRedis)
    kit.write()
    client = kit.client(watch=0.01)
    thread = client._watch
    client.close()
    thread.join(5)
    assert not thread.is_alive()
    client = kit.client(watch=0.01)
    thread = client._watch
    del client
    thread.join(5)
    assert not thread.is_alive()


async def test_a_task_ends_with_its_client(tmp_path: Path) -> None:
    kit = Kit(tmp_path, resilient_redis.asyncio.ResilientRedis)
    kit.write()
    client = kit.client(watch=0.01)
    task = client._watch._task
    await client.aclose()
    with pytest.raises(asyncio.CancelledError):
        await task
    client = kit.client(watch=0.01)
    task = client._watch._task
    del client
    await asyncio.wait_for(task, 5)
