"""Which server a command line means, and errors in words."""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import ssl
from pathlib import Path

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resilient_redis.asyncio import ResilientRedis as AsyncResilientRedis
from resilient_redis.cli import exits
from resilient_redis.cli.common import Target, add_output_options, add_target_options, in_words
from resilient_redis.cli.doctor.settings import settings_of
from resilient_redis.cli.main import main
from resilient_redis.cli.parsing import Parser, UsageError
from resilient_redis.errors import ConfigError

VARIABLES = ("REDIS_URL", "REDIS_HOST", "REDIS_PORT", "REDIS_PASSWORD", "RESILIENT_REDIS_CONFIG")


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "redis.toml"
    path.write_text(
        'url = "redis://:s3cret-word@from-file:1111/2"\n'
        "[options]\nsocket_timeout = 0.5\n"
        "[pool]\nmax_connections = 7\n"
        '[[policies]]\ntype = "timeout"\nseconds = "250ms"\n'
        '[profiles.other]\nextends = "base"\n[profiles.base]\nurl = "redis://from-profile:2222"\n'
    )
    return str(path)


def parsed(*words: str) -> argparse.Namespace:
    parser = Parser(prog="x")
    add_target_options(parser)
    add_output_options(parser)
    return parser.parse_all(words)


def target(*words: str) -> Target:
    return Target.of(parsed(*words))


def test_nothing_given_is_the_local_server() -> None:
    assert target().address == "localhost:6379"
    with target().client() as client:
        assert client.connection_pool.connection_kwargs["host"] == "localhost"


def test_the_environment_comes_before_the_local_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://from-variable:3333/1")
    assert target().address == "from-variable:3333"
    with target().client() as client:
        assert client.connection_pool.connection_kwargs["port"] == 3333


def test_the_guides_variables_name_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_HOST", "from-host")
    monkeypatch.setenv("REDIS_PASSWORD", "s3cret-word")
    assert target().address == "from-host:6379"
    assert target().connection_kwargs["password"] == "s3cret-word"


def test_a_file_says_all_that_a_service_would_do(file: str) -> None:
    found = target("--config", file)
    assert found.address == "from-file:1111"
    assert found.connection_kwargs["socket_timeout"] == 0.5
    with found.client() as client:
        assert client.connection_pool.options.max_connections == 7
        assert [policy.label for policy in client.policies] == ["timeout"]


def test_a_profile_is_a_part_of_the_file(file: str) -> None:
    assert target("--config", file, "--profile", "other").address == "from-profile:2222"
    with pytest.raises(ConfigError, match="othre"):
        target("--config", file, "--profile", "othre")


def test_the_url_wins_and_the_rest_of_the_file_holds(file: str) -> None:
    found = target("--config", file, "--url", "redis://from-url:4444")
    assert found.address == "from-url:4444"
    with found.client() as client:
        assert client.connection_pool.connection_kwargs["host"] == "from-url"
        assert client.connection_pool.options.max_connections == 7


def test_a_url_alone_gets_no_password_of_another_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_PASSWORD", "s3cret-word")
    found = target("--url", "redis://from-url:4444")
    assert found.connection_kwargs.get("password") is None
    with found.client() as client:
        assert client.connection_pool.connection_kwargs.get("password") is None


def test_a_url_may_hold_options_of_the_pool() -> None:
    found = target("--url", "redis://db?max_connections=5&acquire_timeout=2s&socket_timeout=3")
    with found.client() as client:
        assert client.connection_pool.options.max_connections == 5
    with found.bare() as bare:
        assert bare.connection_pool.connection_kwargs["socket_timeout"] == 3


def test_a_url_alone_gets_the_default_stack() -> None:
    with target("--url", "redis://from-url").client() as client:
        assert [policy.label for policy in client.policies] == ["retry", "circuit_breaker", "timeout"]


def test_the_asyncio_client_is_made_alike(file: str) -> None:
    async def made() -> object:
        async with target("--config", file).async_client() as client:
            assert client.connection_pool.connection_kwargs["host"] == "from-file"
            return client

    assert isinstance(asyncio.run(made()), AsyncResilientRedis)


def test_a_bare_client_never_repeats_and_never_waits_for_ever(file: str) -> None:
    for found in (target(), target("--config", file)):
        with found.bare() as client:
            kwargs = client.connection_pool.connection_kwargs
            assert kwargs["retry"].get_retries() == 0
            assert kwargs["socket_timeout"] is not None
            assert kwargs["socket_connect_timeout"] is not None


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("localhost:6379", '--url: no URL; write "redis://host:6379/0"'),
        ("http://localhost", '--url: unknown scheme "http://"'),
        ("redis://:p@ss@h:port", "--url: host and port cannot be read"),
        ("redis://h?socket_timeot=1", '--url: unknown option "socket_timeot"; did you mean "socket_timeout"?'),
        ("redis://h?socket_timeout=soon", "--url: socket_timeout: 'soon' cannot be read"),
        ("redis://h?ssl_cert_reqs=none", "--url: ssl_cert_reqs: it is for TLS, and redis:// speaks none"),
        ("redis://h?encoding=utf9", "--url: encoding: 'utf9' is no text encoding"),
        ("redis://a..b", "--url: host and port cannot be read"),
        ("rediss://h?ssl_min_version=5", "--url: ssl_min_version: '5' is none"),
    ],
)
def test_a_url_that_cannot_be_used_is_usage_and_shows_no_password(
    url: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ping", "--count", "1", "--url", url]) == exits.USAGE
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"resilient-redis: {message}")
    assert "p@ss" not in shown.err


@pytest.mark.parametrize("words", [["doctor"], ["ping", "--count", "1"]])
def test_a_file_that_is_not_there_is_told_in_a_line(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--config", "/no/such/redis.toml"]) == exits.USAGE
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("resilient-redis: /no/such/redis.toml: ")
    assert shown.err.count("\n") == 1


@pytest.mark.parametrize(
    ("url", "is_loopback"),
    [
        ("redis://127.0.0.1", True),
        ("redis://127.9.9.9", True),
        ("redis://[::1]:6379", True),
        ("unix:///tmp/redis.sock", True),
        ("redis://10.0.0.5", False),
        ("redis://no-such-host.invalid", False),
    ],
)
def test_loopback_is_this_machine_alone(url: str, is_loopback: bool) -> None:
    assert target("--url", url).is_loopback is is_loopback


def test_addresses_have_no_password() -> None:
    assert target("--url", "redis://user:s3cret-word@db:1/0").address == "db:1"
    assert target("--url", "unix://:s3cret-word@/tmp/redis.sock").address == "/tmp/redis.sock"
    assert "s3cret" not in repr(target("--url", "redis://user:s3cret-word@db:1/0"))


def hidden(cause: BaseException) -> BaseException:
    """As redis-py does: its own error, and the system's behind it."""
    try:
        try:
            raise cause
        except BaseException as error:
            raise redis.ConnectionError("Error 1 connecting to db:6379. redis://u:s3cret-word@db") from error
    except redis.ConnectionError as error:
        return error


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ConnectionRefusedError(111, "refused"), "nothing listens there; start the server"),
        (socket.gaierror(-2, "Name or service not known"), "the name cannot be resolved"),
        (ssl.SSLCertVerificationError(1, "x"), "its certificate cannot be trusted"),
        (ssl.SSLError(1, "wrong version number"), "TLS failed"),
        (TimeoutError(), "no answer in time"),
        (redis.TimeoutError("Timeout reading"), "no answer in time"),
    ],
)
def test_errors_are_told_with_a_remedy_wherever_they_hide(error: BaseException, told: str) -> None:
    for shown in (in_words(error, "db:6379"), in_words(hidden(error), "db:6379")):
        assert shown.startswith(f"db:6379: {told}")
        assert "s3cret" not in shown


def test_errors_of_the_server_get_the_librarys_advice() -> None:
    assert "may not do that" in in_words(redis.exceptions.NoPermissionError("NOPERM no"))
    refused = redis.AuthenticationError("HELLO must be called with the client already authenticated")
    assert in_words(refused).startswith("the server wants a password, and none was given; give password=")
    assert in_words(redis.ConnectionError("redis://u:s3cret-word@db is gone")) == "redis://***@db is gone"
    assert in_words(redis.ConnectionError()) == "ConnectionError"


def test_a_warning_about_the_order_of_policies_is_a_line_on_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "redis.json"
    path.write_text(json.dumps({"policies": [{"type": "retry"}, {"type": "fallback"}]}))
    with target("--config", str(path)).client():
        pass
    assert capsys.readouterr().err.startswith("resilient-redis: warning: RR101")


URLS = st.one_of(
    st.text(max_size=40),
    st.builds("redis://{}".format, st.text(max_size=40)),
    st.builds(
        "redis://{}:{}@{}:{}/{}?{}={}".format,
        *(st.text(alphabet="ab:@/?#%[]0123456789\u00e9 ", max_size=6) for _ in range(5)),
        st.sampled_from(["socket_timeout", "db", "protocol", "max_connections", "health_check_interval", "x"]),
        st.text(max_size=6),
    ),
)


@given(url=URLS)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_url_is_used_or_refused_and_nothing_else(url: str) -> None:
    try:
        found = Target.of(argparse.Namespace(url=url, config=None, profile=None))
        found.client().close()
        settings_of(found, None)
    except (UsageError, ConfigError):
        return
    assert found.address


def test_a_usage_error_of_a_target_has_no_traceback() -> None:
    with pytest.raises(UsageError):
        target("--url", "x")
