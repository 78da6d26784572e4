"""What variables say: which wins, what their text means, and what is said of a wrong one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import resilient_redis
import resilient_redis.asyncio
from resilient_redis import CircuitBreaker, Fallback, Multiplexed, Retry, Timeout
from resilient_redis.config import load_config
from resilient_redis.config.loader import load_profiles
from resilient_redis.errors import ConfigError

N = "RESILIENT_REDIS__"
BOTH = [resilient_redis.ResilientRedis, resilient_redis.asyncio.ResilientRedis]
FILE = """\
url = "redis://file:1/1"

[options]
client_name = "file"
socket_timeout = 4

[pool]
max_connections = 40

[[policies]]
type = "retry"
attempts = 4

[[policies]]
type = "timeout"
seconds = 4

[profiles.my-cache]
options = { db = 7 }
policies = [{ type = "retry", attempts = 7 }]

[profiles.other]
extends = "my-cache"
"""


@pytest.fixture
def file(in_a_folder: Path) -> str:
    Path("redis.toml").write_text(FILE)
    return "redis.toml"


def problems(source: Any, environ: dict[str, str], **kwargs: Any) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load_config(source, environ=environ, **kwargs)
    assert "hunter2" not in str(caught.value)
    return caught.value.problems


# --- the guide's names ------------------------------------------------------------------------------------------


def test_the_guides_variables_as_it_names_them() -> None:
    config = load_config(
        environ={
            "REDIS_HOST": "db",
            "REDIS_PORT": "6380",
            "REDIS_PASSWORD": "hunter2",
            "REDIS_POOL_ENABLED": "true",
            "REDIS_POOL_MAX_PER_WORKER": "19",
            "REDIS_POOL_ABSOLUTE_MAX": "245",
            "REDIS_CONNECT_TIMEOUT": "5000",
            "REDIS_COMMAND_TIMEOUT": "250",
        }
    )
    assert config.options == {
        "host": "db",
        "port": 6380,
        "password": "hunter2",
        "socket_connect_timeout": 5.0,
        "socket_timeout": 0.25,
    }
    assert (config.pool, config.strategy) == ({"max_connections": 19}, "pooled")
    assert [(budget.type, budget.fields) for budget in config.budgets] == [("host", {"limit": 245})]
    assert str(config.origins["pool.max_connections"]) == "REDIS_POOL_MAX_PER_WORKER"
    assert "hunter2" not in repr(config)
    assert "hunter2" not in repr(config.settings())


@pytest.mark.parametrize(
    ("text", "strategy"),
    [("false", "multiplexed"), ("0", "multiplexed"), ("Off", "multiplexed"), ("TRUE", "pooled"), ("1", "pooled")],
)
def test_without_a_pool_callers_share_a_connection(text: str, strategy: str) -> None:
    assert load_config(environ={"REDIS_POOL_ENABLED": text}).strategy == strategy


def test_a_timeout_of_the_guide_may_have_a_unit() -> None:
    assert load_config(environ={"REDIS_COMMAND_TIMEOUT": "2s"}).options == {"socket_timeout": 2.0}


def test_what_kubernetes_says_of_a_service_called_redis_is_no_port() -> None:
    config = load_config(environ={"REDIS_PORT": "tcp://10.0.0.11:6379", "REDIS_SERVICE_HOST": "10.0.0.11"})
    assert config.options == {}


def test_an_empty_variable_is_not_set() -> None:
    config = load_config({"url": "redis://db"}, environ={"REDIS_URL": "", "REDIS_PASSWORD": " ", f"{N}POOL__FIFO": ""})
    assert (config.url, config.options, config.pool) == ("redis://db", {}, {})


# --- which wins -------------------------------------------------------------------------------------------------


def test_each_source_wins_over_those_below(file: str) -> None:
    environ: dict[str, str] = {}

    def host_of() -> tuple[str | None, Any, str]:
        config = load_config(file, environ=environ)
        return config.url, config.options.get("host"), str(config.origins.get("options.host", config.origins["url"]))

    assert host_of() == ("redis://file:1/1", None, "redis.toml:1")
    environ["REDIS_URL"] = "redis://me:pw@url:2/2"
    assert host_of() == ("redis://me:pw@url:2/2", None, "REDIS_URL")
    environ["REDIS_HOST"] = "guide"
    assert host_of() == ("redis://me:pw@:2/2", "guide", "REDIS_HOST")
    environ[f"{N}OPTIONS__HOST"] = "nested"
    assert host_of() == ("redis://me:pw@:2/2", "nested", f"{N}OPTIONS__HOST")
    environ[f"{N}URL"] = "redis://all:3/3"
    assert host_of() == ("redis://all:3/3", "nested", f"{N}OPTIONS__HOST")  # of one source the URL wins, as in redis-py


@pytest.mark.parametrize("cls", BOTH)
def test_the_client_leads_where_the_nearest_source_says(cls: Any, file: str) -> None:
    environ = {"REDIS_URL": "redis://me:pw@url:2/2", "REDIS_PASSWORD": "hunter2", f"{N}OPTIONS__DB": "9"}

    def leads_to(**code: Any) -> dict[str, Any]:
        kwargs = cls.from_config(file, environ=environ, **code).connection_pool.connection_kwargs
        return {name: kwargs.get(name) for name in ("host", "port", "db", "username", "password", "client_name")}

    there = {"host": "url", "port": 2, "db": 9, "username": "me", "password": "hunter2", "client_name": "file"}
    assert leads_to() == there
    assert leads_to(host="code", db=5, client_name="code") == {**there, "host": "code", "db": 5, "client_name": "code"}
    assert leads_to(url="redis://code:7/7", username=None)["host"] == "code"


@pytest.mark.parametrize(
    ("url", "db", "left"),
    [("redis://url/0", 7, "redis://url"), ("redis://url/3", 3, "redis://url/3"), ("redis://url", 7, "redis://url")],
)
def test_database_0_in_a_url_takes_no_profile_its_database(file: str, url: str, db: int, left: str) -> None:
    environ = {"REDIS_URL": url}
    assert load_config(file, profile="other", environ=environ).url == left
    client = resilient_redis.ResilientRedis.from_config(file, profile="other", environ=environ)
    assert client.connection_pool.connection_kwargs["db"] == db


@pytest.mark.parametrize("cls", BOTH)
def test_from_env_alone_is_enough(cls: Any) -> None:
    client = cls.from_env(environ={"REDIS_HOST": "db", "REDIS_COMMAND_TIMEOUT": "250", f"{N}POOL__MIN_IDLE": "2"})
    assert client.connection_pool.connection_kwargs["host"] == "db"
    assert client.connection_pool.options.min_idle == 2
    assert client.policies[-1] == Timeout(0.25)
    assert cls.from_env(environ={}).policies[1:2] == (
        CircuitBreaker(fail_max=5, reset_timeout=1.0, reset_timeout_max=60.0),
    )


@pytest.mark.parametrize("cls", BOTH)
def test_from_env_reads_the_file_that_a_variable_names(cls: Any, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESILIENT_REDIS_CONFIG", file)
    assert cls.from_env().policies == (Retry(attempts=4), Timeout(4))
    monkeypatch.setenv("RESILIENT_REDIS_PROFILE", "my-cache")
    assert cls.from_env().policies == (Retry(attempts=7),)
    assert cls.from_env().connection_pool.connection_kwargs["db"] == 7  # nearer than the /1 of the top level's URL
    assert cls.from_config(file).policies == (Retry(attempts=4), Timeout(4))  # that one is named in code


def test_variables_of_the_process_are_read_where_none_are_given(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_HOST", "process")
    assert load_config(file).options["host"] == "process"
    assert "host" not in load_config(file, environ={}).options


# --- RESILIENT_REDIS__… -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("POOL__MAX_CONNECTIONS", "7", "pool", {"max_connections": 7}),
        ("POOL__FIFO", "yes", "pool", {"max_connections": 40, "fifo": True}),
        ("POOL__IDLE_TIMEOUT", "2m", "pool", {"max_connections": 40, "idle_timeout": 120.0}),
        ("POOL__IDLE_TIMEOUT", "90", "pool", {"max_connections": 40, "idle_timeout": 90.0}),
        ("POOL", '{"min_idle": 1}', "pool", {"min_idle": 1}),
        ("STRATEGY", "multiplexed", "strategy", "multiplexed"),
        ("MULTIPLEXED__CONNECTIONS", "2", "strategy", Multiplexed(connections=2)),
        ("POLICIES__0__ATTEMPTS", "9", "policies", (Retry(attempts=9), Timeout(4))),
        ("POLICIES__0", '{"type": "fallback"}', "policies", (Fallback(None), Timeout(4))),
        ("POLICIES", '[{"type": "timeout", "seconds": "9s"}]', "policies", (Timeout(9),)),
        ("COMMANDS__GET__TIMEOUT", "50ms", "commands", {"GET": {"timeout": "50ms"}}),
        ("COMMANDS__GET__FALLBACK", "null", "commands", {"GET": {"fallback": None}}),
        ("COMMANDS__GET__FALLBACK", "none", "commands", {"GET": {"fallback": "none"}}),
        (
            "OPTIONS__DECODE_RESPONSES",
            "On",
            "options",
            {"client_name": "file", "socket_timeout": 4, "decode_responses": True},
        ),
        ("OPTIONS__CLIENT_NAME", "123", "options", {"client_name": "123", "socket_timeout": 4}),
    ],
)
def test_any_key_has_a_variable(file: str, name: str, text: str, field: str, value: Any) -> None:
    found = getattr(load_config(file, environ={N + name: text}), field)
    if name == "POOL":
        assert found == {"max_connections": 40, **value}
    else:
        assert found == value
    assert type(found) is type(value)


def test_no_value_is_left_as_the_text_of_a_variable(file: str) -> None:
    environ = {f"{N}OPTIONS__CLIENT_NAME": "x", f"{N}COMMANDS__GET__FALLBACK": "x", f"{N}STRATEGY": "pooled"}
    config = load_config(file, environ={**environ, "REDIS_URL": "redis://db", f"{N}POLICIES__0__NAME": "x"})
    assert config.policies is not None
    values = [config.url, config.strategy, config.options["client_name"], config.commands["GET"]["fallback"]]
    assert {type(value) for value in [*values, getattr(config.policies[0], "name", None)]} == {str}


def test_a_profile_is_changed_where_it_stands(file: str) -> None:
    environ = {f"{N}PROFILES__MY_CACHE__OPTIONS__DB": "8", f"{N}PROFILES__MY_CACHE__POLICIES__0__ATTEMPTS": "8"}
    config = load_config(file, profile="other", environ=environ)
    assert (config.options["db"], config.policies) == (8, (Retry(attempts=8),))
    assert str(config.origins["options.db"]) == f"{N}PROFILES__MY_CACHE__OPTIONS__DB"
    assert str(config.origins["policies[0].attempts"]) == f"{N}PROFILES__MY_CACHE__POLICIES__0__ATTEMPTS"
    assert str(config.origins["policies[0].type"]) == "redis.toml:20"
    assert load_config(file, environ=environ).policies == (Retry(attempts=4), Timeout(4))


def test_the_rest_of_a_changed_policy_still_comes_from_the_file(file: str) -> None:
    config = load_config(file, environ={f"{N}POLICIES__1__SECONDS": "2"})
    assert {path: str(origin) for path, origin in config.origins.items() if path.startswith("policies[1]")} == {
        "policies[1]": "redis.toml:14",
        "policies[1].type": "redis.toml:15",
        "policies[1].seconds": f"{N}POLICIES__1__SECONDS",
    }


def test_a_variable_may_lead_to_a_secret(in_a_folder: Path) -> None:
    Path("secret").write_text("hunter2\n")
    assert load_config(environ={"REDIS_PASSWORD": "file:secret"}).options == {"password": "hunter2"}


def test_a_reference_looks_among_the_variables_that_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    document = {"options": {"password": "env:SECRET"}}
    assert load_config(document, environ={"SECRET": "given"}).options == {"password": "given"}
    monkeypatch.setenv("SECRET", "of the process")
    assert load_config(document).options == {"password": "of the process"}
    assert load_config(document, environ={}).options == {"password": "of the process"}


# --- what is wrong ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("REDIS_PORT", "five", "options.port: expected a whole number, got 'five'"),
        ("REDIS_PORT", "70000", "options.port: expected a whole number <= 65535, got 70000"),
        ("REDIS_POOL_ENABLED", "maybe", "strategy: expected true or false, got 'maybe'"),
        ("REDIS_COMMAND_TIMEOUT", "-3", "options.socket_timeout: expected milliseconds above 0, got '-3'"),
        ("REDIS_POOL_MAX_PER_WORKER", "0", 'pool.max_connections: expected a whole number >= 1 or "none", got 0'),
        ("REDIS_POOL_ABSOLUTE_MAX", "many", "budget.limit: expected a whole number, got 'many'"),
        (
            "REDIS_CONNECT_TIMEOUT",
            "soon",
            "options.socket_connect_timeout: 'soon' is no duration; write a number and a unit, such as \"250ms\"",
        ),
        (
            "REDIS_URL",
            "redsi://:hunter2@db",
            'url: unknown scheme "redsi://"; did you mean "redis://"? (known: redis://, rediss://, unix://)',
        ),
        (
            f"{N}POOL__MIN_IDEL",
            "2",
            'pool.min_idel: unknown key "min_idel"; did you mean "min_idle"? (known: acquire_timeout, background, '
            "fifo, idle_timeout, leak_threshold, maintenance_interval, max_connections, max_dials, max_lifetime, "
            "max_waiting, min_idle, name, validate_after)",
        ),
        (f"{N}POOL__MIN_IDLE", "50", "pool.min_idle: 50 is more than max_connections (40); lower it"),
        (f"{N}POOL", "7", "pool: expected a table, got '7'"),
        (f"{N}POOL", "{7", "pool: looks like JSON, but is none: '{7'"),
        (
            f"{N}STRATEGY__CONNECTIONS",
            "2",
            'strategy: expected text, got a table; write strategy = "multiplexed", and its numbers in [multiplexed]',
        ),
        (
            f"{N}POLICIES__0__ATTEMPTS",
            "0",
            "policies[0].attempts: 0 is out of range; give 1 or more; 1 turns repeating off",
        ),
        (
            f"{N}POLICIES__5__ATTEMPTS",
            "1",
            "policies[5].attempts: there are 2 of them, counted from 0; give the whole list as JSON",
        ),
        (
            f"{N}POLICIES__0__ON",
            "KeyError,no.Such",
            "policies[0].on: 'no.Such' cannot be imported; write module and class, such as "
            '"redis.exceptions.TimeoutError"',
        ),
        (
            f"{N}OPTIONS__PASSWORD",
            "env:NO_SUCH_THING",
            "options.password: the environment variable NO_SUCH_THING is not set",
        ),
        (f"{N}COMMANDS__GET__TIMEOUT", "0", "commands.GET.timeout: 0 is out of range; give more than 0"),
        (
            f"{N}PROFILES__MY_CACHE__OPTIONS__DB",
            "-1",
            "profiles.my-cache.options.db: expected a whole number >= 0, got -1",
        ),
        (
            f"{N}__X",
            "1",
            "RESILIENT_REDIS____X: no key; write RESILIENT_REDIS__OPTIONS__SOCKET_TIMEOUT for options.socket_timeout",
        ),
    ],
)
def test_a_wrong_variable_is_named_instead_of_a_line(file: str, name: str, text: str, message: str) -> None:
    assert problems(file, {name: text}) == (f"{name}: {message}",)


def test_file_and_variables_are_told_together(in_a_folder: Path) -> None:
    Path("x.toml").write_text('url = "redis://db"\n[pool]\nfif = true\n')
    told = problems("x.toml", {"REDIS_PORT": "x", f"{N}OPTIONS__DB": "y"})
    assert {problem.partition(": ")[0] for problem in told} == {f"{N}OPTIONS__DB", "REDIS_PORT", "x.toml:3"}


def test_the_default_stack_has_no_list_to_change() -> None:
    assert problems(None, {f"{N}POLICIES__0__ATTEMPTS": "5"}) == (
        f"{N}POLICIES__0__ATTEMPTS: policies[0].attempts: there is no list of policies to change; give one in a file, "
        "or as JSON",
    )


def test_a_profile_without_a_file() -> None:
    assert problems(None, {}, profile="x") == ('environment: unknown profile "x" (known: none)',)


def test_settings_know_what_the_urls_query_sets() -> None:
    url = "redis://db?max_connections=7&socket_timeout=2&protocol=2&password=hunter2&max_waiting=5"
    config = load_config({"pool": {"max_waiting": 3, "min_idle": 1}}, environ={"REDIS_URL": url})
    found = {setting.path: (setting.value, setting.shown, str(setting.origin)) for setting in config.settings()}
    assert found["pool.max_connections"] == (7, "7", "REDIS_URL")
    assert found["pool.max_waiting"][0] == 5
    assert found["pool.min_idle"] == (1, "1", "config")
    assert found["options.socket_timeout"] == (2.0, "2.0", "REDIS_URL")
    assert found["options.protocol"][0] == 2
    assert found["options.password"][1] == "'***'"
    assert found["policies[2].seconds"][0] == 2.0
    assert "hunter2" not in repr(config.settings())


def test_a_document_is_read_once_for_all_its_profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "redis.toml"
    file.write_text("".join(f"[profiles.p{index}]\npool = {{ min_idle = {index} }}\n" for index in range(20)))
    from resilient_redis.config import loader

    read: list[object] = []
    whole = loader.read_document
    monkeypatch.setattr(loader, "read_document", lambda source: (read.append(source), whole(source))[1])
    environ = {"RESILIENT_REDIS__POOL__FIFO": "on"}
    found = loader.load_profiles(file, environ=environ)
    assert (read, list(found)) == ([file], [f"p{index}" for index in range(20)])
    for name, config in found.items():
        assert config == load_config(file, profile=name, environ=environ)


def test_a_profile_that_is_wrong_leaves_the_others_alone() -> None:
    profiles = {"a": {"pool": {"min_idle": 9}}, "b": {"options": {"password": "env:T_NONE"}}, "c": {}}
    found = load_profiles({"pool": {"max_connections": 4}, "profiles": profiles}, environ={})
    told = {name: each.problems for name, each in found.items() if isinstance(each, ConfigError)}
    assert list(found) == [None, "a", "b", "c"]
    assert told.keys() == {"a", "b"}
    assert [len(problems) for problems in told.values()] == [1, 1]
    with pytest.raises(ConfigError, match="says nothing"):
        load_profiles({}, environ={})
