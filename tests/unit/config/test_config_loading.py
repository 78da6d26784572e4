"""What a configuration means: shapes, profiles, references, and what is shown of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import MappingProxyType

import pytest
import redis

from resilient_redis import CircuitBreaker, Fallback, Retry, Timeout
from resilient_redis.config import ResilienceConfig, load_config
from resilient_redis.config.options import option_names

TOML = """\
url = "redis://db:6379/1"

[options]
decode_responses = true
socket_timeout = "250ms"
socket_connect_timeout = 1
max_connections = 50

[[policies]]
type = "fallback"
commands = { GET = "", "smembers" = [] }

[[policies]]
type = "retry"
attempts = 4
wait_initial = "10ms"
on = ["redis.exceptions.TimeoutError"]

[[policies]]
type = "circuit_breaker"
name = "cache"
reset_timeout = "1m"

[[policies]]
type = "timeout"
seconds = 0.25
"""

YAML = """\
url: redis://db:6379/1
options: {decode_responses: yes, socket_timeout: 250ms, socket_connect_timeout: 1, max_connections: 50}
policies:
  - type: fallback
    commands: {GET: "", smembers: []}
  - type: retry
    attempts: 4
    wait_initial: 10ms
    on: [redis.exceptions.TimeoutError]
  - {type: circuit_breaker, name: cache, reset_timeout: 1m}
  - {type: timeout, seconds: 0.25}
"""

JSON = """\
{"url": "redis://db:6379/1",
 "options": {"decode_responses": true, "socket_timeout": "250ms", "socket_connect_timeout": 1, "max_connections": 50},
 "policies": [
   {"type": "fallback", "commands": {"GET": "", "smembers": []}},
   {"type": "retry", "attempts": 4, "wait_initial": "10ms", "on": ["redis.exceptions.TimeoutError"]},
   {"type": "circuit_breaker", "name": "cache", "reset_timeout": "1m"},
   {"type": "timeout", "seconds": 0.25}]}
"""

PYPROJECT = "[project]\nname = 'x'\n" + TOML.replace("url =", "[tool.resilient_redis]\nurl =").replace(
    "[options]", "[tool.resilient_redis.options]"
).replace("[[policies]]", "[[tool.resilient_redis.policies]]")

EXPECTED = ResilienceConfig(
    url="redis://db:6379/1",
    options={"decode_responses": True, "socket_timeout": 0.25, "socket_connect_timeout": 1},
    pool={"max_connections": 50},
    policies=(
        Fallback(commands={"GET": "", "SMEMBERS": []}),
        Retry(attempts=4, wait_initial=0.01, on=[redis.exceptions.TimeoutError]),
        CircuitBreaker(name="cache", reset_timeout=60),
        Timeout(0.25),
    ),
    profile=None,
    source="",
)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("redis.toml", TOML),
        ("redis.yaml", YAML),
        ("redis.yml", YAML),
        ("redis.JSON", JSON),
        ("pyproject.toml", PYPROJECT),
        ("bom.toml", "\ufeff" + TOML),
        ("crlf.toml", TOML.replace("\n", "\r\n")),
        ("bom.json", "\ufeff" + JSON),
    ],
)
def test_every_format_says_the_same(tmp_path: Path, name: str, text: str) -> None:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8", newline="")
    assert load_config(file) == dataclasses.replace(EXPECTED, source=str(file))


def test_a_mapping_of_any_kind() -> None:
    config = load_config(
        MappingProxyType(
            {
                "options": MappingProxyType({"db": 1}),
                "policies": (MappingProxyType({"type": "timeout", "seconds": "2s"}),),
            }
        )
    )
    assert config == ResilienceConfig(None, {"db": 1}, (Timeout(2),), None, "config")


def test_not_given_is_not_none_at_all() -> None:
    assert load_config({"url": "redis://db"}).policies is None
    assert load_config({"policies": []}).policies == ()
    assert load_config({"policies": None, "options": None, "url": "unix:///x"}).policies is None


def test_a_file_fallback_without_a_value_means_none() -> None:
    assert load_config({"policies": [{"type": "fallback"}]}).policies == (Fallback(None),)


def test_null_is_a_value_where_redis_takes_it() -> None:
    assert load_config({"options": {"socket_timeout": None}}).options == {"socket_timeout": None}


def test_every_option_that_a_file_may_set_is_one_of_redis() -> None:
    client = redis.Redis(**{name: None for name in option_names() if name in ("username", "client_name")})
    client.close()
    wanted = {"decode_responses", "socket_timeout", "max_connections", "db", "client_name", "protocol", "username"}
    assert wanted | {"password", "host", "port", "unix_socket_path", "ssl", "health_check_interval"} <= set(
        option_names()
    )


# --- what is shown ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "redis://:hunter2@db",
        "redis://me:hunter2@db:1/2",
        "redis://me:a@hunter2@db",
        "rediss://db?password=hunter2&db=1",
        "unix://:hunter2@/tmp/x.sock",
    ],
)
def test_nothing_secret_is_shown(url: str) -> None:
    config = load_config({"url": url, "options": {"password": "hunter2", "ssl_password": "hunter2"}})
    assert config.url == url
    assert "hunter2" not in repr(config)
    assert "hunter2" not in str(config)
