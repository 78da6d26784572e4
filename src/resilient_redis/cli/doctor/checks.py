"""All checks in order: what each needs is asked just before, and what cannot be reached is skipped."""

from __future__ import annotations

import contextlib
import ssl
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import redis
import redis.exceptions as rx

from resilient_redis.cli.common import Target, causes
from resilient_redis.cli.doctor import load, login, network, server, timing
from resilient_redis.cli.doctor.asking import MOST_CLIENTS, Asker, Facts
from resilient_redis.cli.doctor.line import Line
from resilient_redis.cli.doctor.settings import Settings, judge_configuration, settings_of

CHECKS = (
    *("configuration", "name", "tcp", "tls", "login", "rights", "protocol", "server", "role", "persistence"),
    *("memory", "clients", "timeouts", "keepalive", "latency", "slow log", "pipelines", "clock"),
)
"""In the order in which they are made."""

_AFTER_LOGIN = CHECKS[CHECKS.index("login") + 1 :]
_LONGEST_CONNECT = 5.0
_FAILURES = (redis.RedisError, OSError)


def examine(target: Target, workers: int | None) -> Iterator[Line]:
    """Make every check.

    Args:
        target: the server.
        workers: processes with a pool of their own; ``None``: what the configuration says, else 1.

    Raises:
        UsageError, ConfigError: no client can be made. What the server does raises nothing: it becomes a line.
    """
    settings = settings_of(target, workers)
    yield from judge_configuration(target)
    reached = True
    for line in _network(target, settings):
        reached = reached and line.status != "failed"
        yield line
    if not reached:
        yield from _skip(CHECKS[CHECKS.index("login") :], "the server was not reached")
        return
    pool = target.pool(decode_responses=True, encoding_errors="replace")
    connection: Any = pool.make_connection()
    try:
        yield from _over(connection, target, settings)
    finally:
        with contextlib.suppress(*_FAILURES):
            connection.disconnect()


def _network(target: Target, settings: Settings) -> Iterator[Line]:
    kwargs = target.connection_kwargs
    if "path" in kwargs:
        yield from _skip(("name", "tcp", "tls"), f"a Unix socket: {kwargs['path']}")
        return
    host, port = str(kwargs.get("host", "localhost")), int(kwargs.get("port", 6379))
    resolved = network.resolve(host, port)
    yield network.judge_name(host, resolved)
    if resolved.error:
        yield from _skip(("tcp", "tls"), "the name leads nowhere")
        return
    timeout = max(0.001, min(settings.patience.connect, _LONGEST_CONNECT))
    tried = [network.try_connect(address, port, timeout) for address in resolved.addresses]
    tcp = network.judge_tcp(tried, port)
    yield tcp
    if tcp.status == "failed":
        yield from _skip(("tls",), "no connection")
    else:
        yield _tls(target)


def _tls(target: Target) -> Line:
    connection = target.pool().make_connection()
    if not isinstance(connection, redis.SSLConnection):
        return Line("tls", "skipped", "not asked for: redis://, not rediss://")
    try:
        # The socket alone, before anything of Redis is spoken over it.
        sock = cast(Any, connection)._connect()
    except _FAILURES as error:
        found = next((cause for cause in causes(error) if isinstance(cause, ssl.SSLError)), causes(error)[-1])
        return network.judge_tls_failure(found)
    with sock:
        return network.judge_tls(sock.getpeercert(), sock.version(), time.time())


def _over(connection: Any, target: Target, settings: Settings) -> Iterator[Line]:
    asker = Asker(connection)
    try:
        connection.connect()
        with contextlib.suppress(rx.NoPermissionError):
            asker.say("PING")
    except _FAILURES as error:
        yield login.judge_login_failure(error, tls=isinstance(connection, redis.SSLConnection))
        yield from _skip(_AFTER_LOGIN, "not logged in")
        return
    try:
        facts = asker.ask_all()
    except _FAILURES as error:
        yield login.judge_end(error)
        yield from _skip(_AFTER_LOGIN, "the connection ended meanwhile")
        return
    yield login.judge_login(password=settings.password, trusted_place=target.is_loopback, user=facts.user)
    yield from judge_facts(facts, settings, time.time())


def judge_facts(facts: Facts, settings: Settings, now: float) -> Iterator[Line]:
    """Every check after the login. Pure."""
    info, config, patience = facts.info or {}, facts.config, settings.patience
    yield login.judge_rights(facts)
    yield login.judge_protocol(facts, settings.protocol)
    of_info: dict[str, Callable[[], Line]] = {
        "server": lambda: server.judge_server(info),
        "role": lambda: server.judge_role(info),
        "persistence": lambda: server.judge_persistence(info, config),
        "memory": lambda: server.judge_memory(info, config),
        "clients": lambda: load.judge_clients(info, config, settings.each, settings.workers, settings.budget),
    }
    for check, judge in of_info.items():
        yield _unseen(check, facts, "INFO") if facts.info is None else _readable(check, judge)
    yield _readable("timeouts", lambda: timing.judge_timeouts(patience, config))
    yield timing.judge_keepalive(patience, config)
    yield timing.judge_latency(facts.pings, patience)
    slow = facts.slow
    if slow is None:
        yield _unseen("slow log", facts, "SLOWLOG GET")
    else:
        yield _readable("slow log", lambda: load.judge_slow_log(slow, config, now))
    yield _pipelines(facts)
    yield _unseen("clock", facts, "TIME") if facts.clock is None else timing.judge_clock(facts.clock)


def _pipelines(facts: Facts) -> Line:
    if facts.info is None:
        return _unseen("pipelines", facts, "INFO")
    info = facts.info
    line = _readable("pipelines", lambda: load.judge_pipelines(info, facts.clients))
    if facts.clients is None and line.status == "ok":
        why = "CLIENT LIST is not allowed" if "CLIENT LIST" in facts.refused else f"more than {MOST_CLIENTS} clients"
        return Line(line.check, "ok", f"{line.text}; transactions were not looked at: {why}")
    return line


def _readable(check: str, judge: Callable[[], Line]) -> Line:
    try:
        return judge()
    except (ValueError, ArithmeticError):  # a relative of Redis that says it in other words
        return Line(check, "skipped", "what the server says of it cannot be read")


def _unseen(check: str, facts: Facts, command: str) -> Line:
    if command in facts.refused:
        return Line(check, "skipped", f"this user may not run {command}", f"grant +{_rule(command)}")
    why = "hung up at" if command in facts.hung_up else "does not answer"
    return Line(check, "skipped", f"the server {why} {command}")


def _rule(command: str) -> str:
    return command.lower().replace(" ", "|")


def _skip(checks: tuple[str, ...], why: str) -> Iterator[Line]:
    for check in checks:
        yield Line(check, "skipped", why)
