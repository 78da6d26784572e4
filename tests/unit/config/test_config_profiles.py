"""Profiles and references: what holds in the end, and where it came from."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from resilient_redis import Retry, Timeout
from resilient_redis.config import load_config
from resilient_redis.config.options import option_names
from resilient_redis.errors import ConfigError

# --- profiles ---------------------------------------------------------------------------------------------------

PROFILES: dict[str, Any] = {
    "url": "redis://top",
    "options": {"db": 0, "client_name": "top", "port": 1},
    "policies": [{"type": "timeout", "seconds": 1}],
    "profiles": {
        "base": {"options": {"db": 1, "protocol": 3}, "policies": [{"type": "retry"}]},
        "middle": {"extends": "base", "url": "redis://middle", "options": {"protocol": 2}},
        "leaf": {"extends": "middle", "options": {"client_name": "leaf"}},
        "none": {"extends": "leaf", "policies": []},
        "alone": {"options": {"db": 9}},
        "empty": None,
    },
}


@pytest.mark.parametrize(
    ("profile", "url", "options", "policies"),
    [
        (None, "redis://top", {"db": 0, "client_name": "top", "port": 1}, (Timeout(1),)),
        ("base", "redis://top", {"db": 1, "client_name": "top", "port": 1, "protocol": 3}, (Retry(),)),
        ("middle", "redis://middle", {"db": 1, "client_name": "top", "port": 1, "protocol": 2}, (Retry(),)),
        ("leaf", "redis://middle", {"db": 1, "client_name": "leaf", "port": 1, "protocol": 2}, (Retry(),)),
        ("none", "redis://middle", {"db": 1, "client_name": "leaf", "port": 1, "protocol": 2}, ()),
        ("alone", "redis://top", {"db": 9, "client_name": "top", "port": 1}, (Timeout(1),)),
        ("empty", "redis://top", {"db": 0, "client_name": "top", "port": 1}, (Timeout(1),)),
    ],
)
def test_profiles(profile: str | None, url: str, options: dict[str, Any], policies: Any) -> None:
    config = load_config(PROFILES, profile=profile)
    assert (config.url, config.options, config.policies, config.profile) == (url, options, policies, profile)


@pytest.mark.parametrize(
    ("profiles", "chosen"),
    [
        ({"only": {}}, "only"),
        ({"a": {}, "default": {}}, "default"),
        ({"default": {"extends": "a"}, "a": {}}, "default"),
    ],
)
def test_the_profile_that_is_meant_when_none_is_named(profiles: dict[str, Any], chosen: str) -> None:
    assert load_config({"profiles": profiles}).profile == chosen


@pytest.mark.parametrize(
    ("source", "profile", "message"),
    [
        (
            {"profiles": {"a": {}, "b": {}}},
            None,
            "config: has several profiles; choose one with profile=, on the command line --profile (known: a, b)",
        ),
        (
            PROFILES,
            "leav",
            'config: unknown profile "leav"; did you mean "leaf"? (known: alone, base, empty, leaf, middle, none)',
        ),
        ({"url": "redis://db"}, "x", 'config: unknown profile "x" (known: none)'),
        (PROFILES, 5, "config: profile= takes a name, not int (known: alone, base, empty, leaf, middle, none)"),
        (PROFILES, "", 'config: unknown profile "" (known: alone, base, empty, leaf, middle, none)'),
    ],
)
def test_a_profile_that_is_not_there(source: Any, profile: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(source, profile=profile)
    assert caught.value.problems == (message,)


def test_what_is_wrong_with_the_document_comes_before_an_unknown_profile() -> None:
    with pytest.raises(ConfigError, match="unknown key"):
        load_config({"profile": {"a": {}}}, profile="a")


def test_a_chain_of_a_thousand() -> None:
    profiles: dict[str, Any] = {f"p{n}": {"extends": f"p{n + 1}"} for n in range(1000)}
    profiles["p1000"] = {"url": "redis://last"}
    assert load_config({"profiles": profiles}, profile="p0").url == "redis://last"


# --- references -------------------------------------------------------------------------------------------------


def test_references(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text("  hunter2\n")
    (tmp_path / "redis.toml").write_text(
        'url = "env:T_URL"\n[options]\nport = "env:T_PORT"\nssl = "env:T_SSL"\nsocket_timeout = "env:T_TIMEOUT"\n'
        f'health_check_interval = "env:T_HEALTH"\npassword = "file:{tmp_path}/secret"\nssl_password = "file:secret"\n'
        'username = "env:T_DIGITS"\n'
    )
    values = {
        "URL": "redis://:pw@db",
        "PORT": "6380",
        "SSL": "True",
        "TIMEOUT": "250ms",
        "HEALTH": "30",
        "DIGITS": "123",
    }
    for name, value in values.items():
        monkeypatch.setenv(f"T_{name}", value)
    config = load_config(tmp_path / "redis.toml")
    assert config.url == "redis://:pw@db"
    assert config.options == {
        "port": 6380,
        "ssl": True,
        "socket_timeout": 0.25,
        "health_check_interval": 30,
        "password": "hunter2",
        "ssl_password": "hunter2",
        "username": "123",
    }
    assert "hunter2" not in repr(config)
    assert "pw@" not in repr(config)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("port", "hunter2", "options.port: what env:T_VALUE holds does not fit: expected a whole number"),
        ("port", "70000", "options.port: what env:T_VALUE holds does not fit: expected a whole number <= 65535"),
        ("protocol", "4", "options.protocol: what env:T_VALUE holds does not fit: expected one of 2, 3"),
        ("ssl", "hunter2", "options.ssl: what env:T_VALUE holds does not fit: expected true or false"),
        (
            "socket_timeout",
            "hunter2",
            "options.socket_timeout: what env:T_VALUE holds is no duration; "
            'give seconds as a number, or text such as "250ms"',
        ),
        (
            "socket_timeout",
            "0",
            "options.socket_timeout: what env:T_VALUE holds does not fit: expected more than 0 seconds",
        ),
        ("socket_timeout", "inf", "options.socket_timeout: what env:T_VALUE holds is no duration; "),
        ("encoding", "hunter2", "options.encoding: what env:T_VALUE holds is no text encoding of Python's"),
        ("ssl_min_version", "SSLv2", "options.ssl_min_version: what env:T_VALUE holds does not fit: expected one of"),
        ("password", "caf\udce9", "options.password: the environment variable T_VALUE is not UTF-8 text"),
    ],
)
def test_references_to_what_does_not_fit(monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str) -> None:
    monkeypatch.setenv("T_VALUE", value)
    with pytest.raises(ConfigError) as caught:
        load_config({"options": {name: "env:T_VALUE"}})
    assert str(caught.value).startswith(f"config: {message}")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("ssl", "yes", True),
        ("ssl", "OFF", False),
        ("ssl_min_version", "TLSv1.3", ssl.TLSVersion.TLSv1_3),
        ("ssl_min_version", "none", None),
    ],
)
def test_what_a_reference_holds_is_read_as_a_variable_is(name: str, text: str, value: object) -> None:
    if name not in option_names():
        pytest.skip(f"this redis-py has no {name}")
    referred = load_config({"options": {name: "env:T_VALUE"}}, environ={"T_VALUE": text}).options[name]
    told = load_config(environ={f"RESILIENT_REDIS__OPTIONS__{name.upper()}": text}).options[name]
    assert (referred, type(referred)) == (told, type(told)) == (value, type(value))


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("env:", 'names no variable; write "env:NAME"'),
        ("file:", 'names no file; write "file:/path"'),
        ("env:T_REDIS_URI", 'the environment variable T_REDIS_URI is not set; did you mean "T_REDIS_URL"?'),
        ("env:a b\0", r"the environment variable 'a b\x00' is not set"),
        ("file:/", 'file "/": is a directory, not a file'),
        ("file:\0", r"file '\x00': cannot be read (not a path)"),
        ("env:T_BAD", 'what env:T_BAD holds is no usable URL: no URL; write "redis://host:6379/0"'),
    ],
)
def test_references_to_nothing(monkeypatch: pytest.MonkeyPatch, reference: str, message: str) -> None:
    monkeypatch.setenv("T_REDIS_URL", "redis://db")
    monkeypatch.setenv("T_BAD", "me:hunter2@db")
    with pytest.raises(ConfigError) as caught:
        load_config({"url": reference})
    assert caught.value.problems == (f"config: url: {message}",)


def test_only_the_references_that_are_used_are_followed() -> None:
    source = {
        "profiles": {
            "prod": {"url": "env:NO_SUCH_REDIS_URL", "options": {"password": "file:/no/such"}},
            "dev": {"url": "redis://localhost", "extends": "prod", "options": {"password": None}},
        }
    }
    config = load_config(source, profile="dev")
    assert (config.url, config.options) == ("redis://localhost", {"password": None})


def test_a_reference_that_was_inherited_is_told_where_it_stands(tmp_path: Path) -> None:
    file = tmp_path / "redis.toml"
    file.write_text('[profiles.a]\nextends = "b"\n[profiles.b.options]\nclient_name = "env:NO_SUCH_NAME"\n')
    with pytest.raises(ConfigError) as caught:
        load_config(file, profile="a")
    assert caught.value.problems == (
        f"{file}:4: profiles.b.options.client_name: the environment variable NO_SUCH_NAME is not set",
    )
