"""Time: timeouts on both sides, keepalive, latency, clocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from resilient_redis.cli.doctor.asking import Clock
from resilient_redis.cli.doctor.line import Line, worst
from resilient_redis.cli.ping_figures import show_ms

FAR = 0.005
"""Seconds: another region, or an overloaded server; one data centre is well under a millisecond."""

JITTER_SHARE, JITTER_FROM = 10, 0.01
TIGHT = 3
"""A timeout below so many p99 fails calls of a healthy server."""

CLOCK_SECONDS = 1.0


@dataclass(frozen=True)
class Patience:
    """How long this client waits. Seconds; ``None``: without end, or not at all.

    Attributes:
        connect: for a connection; the pool's ``acquire_timeout`` bounds it in any case.
        read: for a reply, by the socket.
        attempt: for an attempt, by the innermost `Timeout`.
        idle: until the pool closes an idle connection.
        validate: after which idle time the pool asks before it lends.
        keepalive: are TCP keepalives on?
    """

    connect: float
    read: float | None
    attempt: float | None
    idle: float | None
    validate: float | None
    keepalive: bool


def judge_timeouts(patience: Patience, config: Mapping[str, str]) -> Line:
    """Does every wait end, and do the two sides fit?"""
    found = []
    if _reply(patience) is None:
        text, hint = "nothing bounds a wait for a reply", "set socket_timeout, or put a Timeout into the policies"
        found.append(Line("timeouts", "failed", text, hint))
    server = int(config["timeout"]) if "timeout" in config else None
    if server and server <= min(patience.idle or server, patience.validate or server):
        hint = f"set idle_timeout or validate_after below {server}"
        found.append(Line("timeouts", "warning", f"the server closes idle connections after {server} s", hint))
    return worst("timeouts", found, _in_force(patience, server))


def _in_force(patience: Patience, server: int | None) -> str:
    ends = f"the server closes idle ones after {server} s" if server else "the server closes no idle ones"
    if server is None:
        ends = "whether the server closes idle ones is not visible"
    return f"connect {patience.connect:g} s, reply {_shown(_reply(patience))}; {ends}"


def _reply(patience: Patience) -> float | None:
    """Seconds that a reply may take; ``None``: without end."""
    return min((seconds for seconds in (patience.read, patience.attempt) if seconds is not None), default=None)


def _shown(seconds: float | None) -> str:
    return "without end" if seconds is None else f"{seconds:g} s"


def judge_keepalive(patience: Patience, config: Mapping[str, str]) -> Line:
    """Would a dead peer be noticed on a quiet connection?"""
    found = []
    if not patience.keepalive and patience.validate is None:
        text, hint = "this client sends no TCP keepalives", "set socket_keepalive = true: firewalls drop quiet ones"
        found.append(Line("keepalive", "warning", text, hint))
    server = config.get("tcp-keepalive")
    if server == "0":
        hint = "CONFIG SET tcp-keepalive 300: else clients that vanished are counted for ever"
        found.append(Line("keepalive", "warning", "the server sends none (tcp-keepalive 0)", hint))
    mine = "on" if patience.keepalive else "off, but idle connections are checked before use"
    its = "not visible" if server is None else f"every {server} s"
    return worst("keepalive", found, f"client: {mine}; server: {its}")


def judge_latency(pings: Sequence[float], patience: Patience) -> Line:
    """How long does a round trip take, and how evenly?"""
    if not pings:
        return Line("latency", "skipped", "no PING was answered", "grant +ping")
    ordered = sorted(pings)
    p50, p99 = ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    text = f"p50 {show_ms(p50 * 1000)}, p99 {show_ms(p99 * 1000)}, jitter {show_ms((p99 - p50) * 1000)}"
    found = []
    bound = _reply(patience)
    if bound is not None and bound < TIGHT * p99:
        hint = f"raise the timeout to {TIGHT * p99:.2g} s or more"
        found.append(Line("latency", "warning", f"{text}: near the timeout of {bound:g} s", hint))
    if p50 > FAR:
        hint = "use pipelines and the multiplexed strategy, or move nearer"
        found.append(Line("latency", "warning", f"{text}: far away, or busy", hint))
    elif p99 > JITTER_FROM and p99 > JITTER_SHARE * p50:
        hint = "look at the slow log, at forks for snapshots, and at neighbours on the machine"
        found.append(Line("latency", "warning", f"{text}: uneven", hint))
    return worst("latency", found[:1], f"{text} ({len(ordered)} PINGs)")


def judge_clock(clock: Clock) -> Line:
    """Do both clocks agree? Expiry by EXPIREAT, and tokens with a time in them, need it."""
    doubt = max(0.0, (clock.after - clock.before) / 2)
    difference = clock.server - (clock.before + clock.after) / 2
    if abs(difference) - doubt <= CLOCK_SECONDS:
        return Line("clock", "ok", f"both clocks agree to {max(abs(difference), doubt, 0.001):.3f} s")
    way = "ahead of" if difference > 0 else "behind"
    hint = "run NTP on both: EXPIREAT, and times in keys and tokens, go by two clocks"
    return Line("clock", "warning", f"the server's clock is {abs(difference):.1f} s {way} this machine's", hint)
