"""What the doctor makes of what it was told: no server, no socket, no clock."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import redis

from resilient_redis.cli.doctor import load, login, network, server, timing
from resilient_redis.cli.doctor.asking import Clock, Facts, as_mapping, parse_info
from resilient_redis.cli.doctor.line import Line
from resilient_redis.cli.doctor.timing import Patience

NOW = 1_800_000_000.0
PATIENCE = Patience(connect=1.0, read=1.0, attempt=None, idle=60.0, validate=15.0, keepalive=True)


def check(line: Line, status: str, *words: str) -> None:
    assert line.status == status, line
    for word in words:
        assert word in f"{line.text} > {line.hint}", line
    assert bool(line.hint) == (status in ("warning", "failed")) or status in ("skipped", "ok"), line


def cert(days: float) -> dict[str, str]:
    import time

    return {"notAfter": time.strftime("%b %d %H:%M:%S %Y GMT", time.gmtime(NOW + days * 86400))}


# name, tcp, tls


def test_a_name_that_leads_nowhere_fails_and_a_slow_one_warns() -> None:
    check(network.judge_name("db", network.Resolved(("10.0.0.5",), 0.001)), "ok", "db is 10.0.0.5")
    check(network.judge_name("db", network.Resolved(("10.0.0.5",), 0.5)), "warning", "500 ms", "DNS cache")
    unknown = network.Resolved((), 0.1, "Name or service not known")
    check(network.judge_name("db", unknown), "failed", "db cannot be resolved: Name or service not known")


@pytest.mark.parametrize("name", ["a\0b", "\u00e9" * 70, "a..b", "x" * 300, "[", "a b"])
def test_a_name_that_is_none_leads_nowhere_without_a_traceback(name: str) -> None:
    resolved = network.resolve(name, 6379)
    assert resolved.error
    check(network.judge_name(name, resolved), "failed", "cannot be resolved")


def test_every_address_must_answer() -> None:
    good, bad = network.Tried("10.0.0.5", 0.0002), network.Tried("10.0.0.6", 0.1, "Connection refused")
    check(network.judge_tcp([good], 6379), "ok", "port 6379 answers in 0.2 ms")
    check(network.judge_tcp([good, bad], 6379), "warning", "10.0.0.6: connection refused")
    check(network.judge_tcp([bad], 6379), "failed", "no connection to port 6379", "start the server")
    check(network.judge_tcp([replace_seconds(good, 0.3)], 6379), "warning", "300 ms")


def replace_seconds(tried: network.Tried, seconds: float) -> network.Tried:
    return tried._replace(seconds=seconds)


def test_localhost_without_ipv6_is_no_fault() -> None:
    tried = [network.Tried("::1", 0.0, "Connection refused"), network.Tried("127.0.0.1", 0.0001)]
    check(network.judge_tcp(tried, 6379), "ok")


@pytest.mark.parametrize(
    ("days", "status", "text"),
    [(100, "ok", "valid for 100 days"), (14.5, "ok", ""), (13, "warning", "expires in 13.0 days"), (-1, "failed", "")],
)
def test_a_certificate_is_warned_of_in_time(days: float, status: str, text: str) -> None:
    check(network.judge_tls(cert(days), "TLSv1.3", NOW), status, text)


def test_an_unchecked_certificate_and_an_old_tls_warn() -> None:
    check(network.judge_tls({}, "TLSv1.3", NOW), "warning", "not checked", "ssl_cert_reqs")
    check(network.judge_tls(None, "TLSv1.3", NOW), "warning", "not checked")
    check(network.judge_tls(cert(100), "TLSv1.1", NOW), "warning", "TLSv1.1 is obsolete")


def test_why_tls_failed_is_told() -> None:
    expired = ssl.SSLCertVerificationError(1, "x")
    expired.verify_message = "certificate has expired"
    check(network.judge_tls_failure(expired), "failed", "certificate has expired", "renew it")
    expired.verify_message = "self-signed certificate"
    check(network.judge_tls_failure(expired), "failed", "self-signed", "ssl_ca_certs=FILE")
    expired.verify_message = "Hostname mismatch, certificate is not valid for 'db'."
    check(network.judge_tls_failure(expired), "failed", "Hostname mismatch", "a name that the certificate is for")
    for error in (ConnectionResetError(), TimeoutError(), ssl.SSLEOFError(8, "EOF occurred")):
        check(network.judge_tls_failure(error), "failed", "redis:// instead of rediss://")


def _own_faults() -> Iterator[Exception]:
    context = ssl.create_default_context()
    attempts: tuple[Callable[[], object], ...] = (
        lambda: context.load_verify_locations("no-such-file"),
        lambda: context.load_verify_locations(cafile=__file__),
        lambda: context.load_verify_locations(cadata="no certificate"),
        lambda: context.load_cert_chain(__file__),
        lambda: context.set_ciphers("NO-SUCH-CIPHER"),
    )
    for attempt in attempts:
        with pytest.raises(OSError) as caught:
            attempt()
        yield caught.value


def test_tls_that_this_side_cannot_set_up_is_no_fault_of_the_server() -> None:
    for error in _own_faults():
        check(network.judge_tls_failure(error), "failed", "on this side", "check ssl_ca_certs, ssl_certfile")


def test_a_connection_that_ends_at_the_login_may_be_a_matter_of_tls() -> None:
    lost = redis.ConnectionError("Connection closed by server.")
    check(login.judge_login_failure(lost), "failed", "no answer that makes sense", "If it speaks TLS, write rediss://")
    check(login.judge_login_failure(lost, tls=True), "failed", "no answer that makes sense", "ssl_certfile")


# login, rights, protocol


def test_no_password_is_a_warning_unless_only_this_machine_reaches_it() -> None:
    check(login.judge_login(password=True, trusted_place=False, user="app"), "ok", "logged in as user app")
    check(login.judge_login(password=False, trusted_place=True, user=None), "ok", "no password is needed")
    check(login.judge_login(password=False, trusted_place=False, user="default"), "warning", "whoever", "requirepass")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (redis.ConnectionError("max number of clients reached"), ("full", "pool-size")),
        (redis.BusyLoadingError("Redis is loading the dataset in memory"), ("loading", "wait")),
        (redis.AuthenticationError("Authentication required."), ("wants a password", "REDIS_PASSWORD")),
        (redis.AuthenticationError("WRONGPASS invalid username-password pair"), ("do not fit", "ACL LIST")),
        (redis.AuthenticationError("invalid username-password pair or user is disabled."), ("do not fit",)),
        (
            redis.AuthenticationError("AUTH <password> called without any password configured for the default user"),
            ("the server has none", "leave the password out"),
        ),
        (redis.ResponseError("DENIED Redis is running in protected mode because"), ("protected mode", "bind")),
        (redis.TimeoutError("Timeout reading from socket"), ("no answer in time",)),
        (redis.InvalidResponse("Protocol Error: b'HTTP/1.1'"), ("no answer that makes sense", "Redis or Valkey")),
        (redis.ConnectionError(), ("ConnectionError",)),
    ],
)
def test_why_the_login_failed_is_told_with_a_remedy(error: Exception, words: tuple[str, ...]) -> None:
    line = login.judge_login_failure(error)
    check(line, "failed", *words)
    assert line.hint


def test_rights_that_fences_need_are_a_warning_and_others_are_only_named() -> None:
    check(login.judge_rights(Facts()), "ok", "may do all")
    some = Facts(refused=["CONFIG GET", "SLOWLOG GET"])
    check(login.judge_rights(some), "ok", "may not see CONFIG GET, SLOWLOG GET", "grant +config|get +slowlog|get")
    none = Facts(refused=["CONFIG GET", "CLIENT KILL"], may_fence=False)
    check(login.judge_rights(none), "warning", "CLIENT KILL, and may not see CONFIG GET", "+client|kill")
    check(login.judge_rights(Facts(hung_up=["SLOWLOG GET"])), "warning", "lost at SLOWLOG GET", "look at its log")


def test_the_protocol_that_is_spoken_is_told() -> None:
    check(login.judge_protocol(Facts(hello={"proto": 3}), None), "ok", "RESP3")
    check(login.judge_protocol(Facts(hello={"proto": 2}), 3), "ok", "RESP2, where protocol=3 was asked for")
    check(login.judge_protocol(Facts(), None), "ok", "RESP2: the server does not know HELLO")
    check(login.judge_protocol(Facts(refused=["HELLO"]), None), "ok", "may not run HELLO")


# server, role, persistence, memory


def test_which_server_it_is() -> None:
    redis_7 = {"redis_version": "7.0.15", "uptime_in_seconds": "864000"}
    check(server.judge_server(redis_7), "ok", "Redis 7.0.15, up for 10 days")
    check(server.judge_server({**redis_7, "valkey_version": "9.1.2"}), "ok", "Valkey 9.1.2")
    check(server.judge_server({"redis_version": "5.0.14", "uptime_in_seconds": "60"}), "warning", "upgrade")
    check(server.judge_server({"redis_version": "unstable"}), "ok", "Redis unstable")


def test_the_role_says_whether_it_may_be_written_to() -> None:
    check(server.judge_role({"role": "master", "connected_slaves": "0"}), "ok", "no copy")
    check(server.judge_role({"role": "master", "connected_slaves": "2"}), "ok", "master, 2 replicas")
    check(server.judge_role({"role": "slave", "master_link_status": "up"}), "warning", "writes fail here")
    lost = {"role": "slave", "master_link_status": "down", "master_link_down_since_seconds": "77"}
    check(server.judge_role(lost), "failed", "lost its master 77 s ago")
    check(server.judge_role({"role": "master", "loading": "1"}), "failed", "loading")
    check(server.judge_role({"role": "master", "cluster_enabled": "1"}), "warning", "RedisCluster")
    sentinel = {
        "redis_mode": "sentinel",
        "sentinel_masters": "1",
        "master0": "name=shop,status=ok,address=10.0.0.5:6379",
    }
    check(server.judge_role(sentinel), "failed", "it watches shop at 10.0.0.5:6379")
    check(server.judge_role({"redis_mode": "sentinel"}), "failed", "it watches nothing")


def test_a_late_replica_warns() -> None:
    info = {"role": "master", "connected_slaves": "2", "slave0": "ip=h,port=1,state=online,offset=5,lag=0"}
    check(server.judge_role(info), "ok")
    check(server.judge_role({**info, "slave1": "ip=h,port=2,state=online,offset=5,lag=42"}), "warning", "42 s behind")
    check(server.judge_role({**info, "slave1": "ip=h,port=2,state=wait_bgsave,lag=0"}), "warning", "wait_bgsave")


def test_a_failed_save_fails() -> None:
    check(server.judge_persistence({}, {"save": "3600 1"}), "ok", "snapshots (3600 1)")
    check(server.judge_persistence({"aof_enabled": "1"}, {"save": ""}), "ok", "AOF")
    check(server.judge_persistence({}, {"save": ""}), "ok", "right for a cache")
    check(server.judge_persistence({}, {}), "ok", "cannot be seen")
    check(server.judge_persistence({"rdb_last_bgsave_status": "err"}, {}), "failed", "snapshot", "MISCONF")
    check(server.judge_persistence({"aof_last_write_status": "err"}, {}), "failed", "AOF")
    check(server.judge_persistence({"aof_last_bgrewrite_status": "err"}, {}), "warning", "rewrite")


def test_memory_without_a_limit_warns_and_a_full_one_that_does_not_evict_fails() -> None:
    full = {"used_memory": "1000", "maxmemory": "1000", "maxmemory_policy": "noeviction"}
    check(server.judge_memory({"used_memory": "1000", "maxmemory": "0"}, {}), "warning", "no limit")
    check(server.judge_memory(full, {}), "failed", "100%", "OOM")
    check(server.judge_memory({**full, "used_memory": "950"}, {}), "warning", "95%")
    check(server.judge_memory({**full, "used_memory": "500"}, {}), "ok", "50%", "noeviction")
    check(server.judge_memory({**full, "maxmemory_policy": "allkeys-lru"}, {}), "ok", "allkeys-lru")


def test_wasted_memory_warns_only_where_there_is_much() -> None:
    big = {"used_memory": str(1 << 30), "maxmemory": str(1 << 31), "mem_fragmentation_ratio": "2.1"}
    check(server.judge_memory(big, {}), "warning", "2.1 times")
    for other in ({"used_memory": "1000"}, {"mem_fragmentation_ratio": "nan"}, {"mem_fragmentation_ratio": "-"}):
        check(server.judge_memory({**big, **other}, {}), "ok")


# clients, slow log, pipelines


def test_pools_of_all_workers_must_fit_below_maxclients() -> None:
    info = {"maxclients": "250", "connected_clients": "20"}
    check(load.judge_clients(info, {}, 18, 13), "ok", "20 of 250 connected; the pools may open 18 x 13 workers = 234")
    check(load.judge_clients(info, {}, 19, 13), "failed", "19 x 13 workers = 247", "pool-size --limit 250 --workers 13")
    check(load.judge_clients({"connected_clients": "2"}, {"maxclients": "250"}, 10, 1), "ok", "10 x 1 worker = 10")
    check(load.judge_clients({"connected_clients": "2"}, {}, 10, 1), "skipped", "maxclients cannot be seen")


def test_a_budget_over_all_processes_counts_instead_of_the_pools() -> None:
    info = {"maxclients": "250", "connected_clients": "20"}
    check(load.judge_clients(info, {}, 100, 13, budget=240), "ok", "may open 240, by their budget")
    check(load.judge_clients(info, {}, 100, 13, budget=249), "failed", "249, by their budget")
    check(load.judge_clients(info, {}, 1, 13, budget=240), "ok", "1 x 13 workers = 13")


def test_a_server_that_is_nearly_full_is_told() -> None:
    check(load.judge_clients({"maxclients": "100", "connected_clients": "70"}, {}, 5, 1), "ok")
    check(load.judge_clients({"maxclients": "100", "connected_clients": "75"}, {}, 5, 1), "warning", "75%")
    check(load.judge_clients({"maxclients": "100", "connected_clients": "95"}, {}, 5, 1), "failed", "95%")
    refused = {"maxclients": "100", "connected_clients": "5", "rejected_connections": "7"}
    check(load.judge_clients(refused, {}, 5, 1), "warning", "7 connections were refused")


def test_slow_commands_of_the_last_hour_are_named_without_their_arguments() -> None:
    entries = [(2, int(NOW) - 60, 25_000, "KEYS"), (1, int(NOW) - 120, 12_000, "SORT"), (0, int(NOW) - 7200, 9, "GET")]
    line = load.judge_slow_log(entries, {}, NOW)
    check(line, "warning", "2 in the last hour", "KEYS 1, SORT 1", "25.0 ms (KEYS)")
    assert "GET 1" not in line.text
    check(load.judge_slow_log(entries[2:], {}, NOW), "ok")
    check(load.judge_slow_log([], {"slowlog-log-slower-than": "-1"}, NOW), "warning", "off")


def test_large_requests_replies_and_transactions_warn() -> None:
    check(load.judge_pipelines({"client_recent_max_input_buffer": "20480"}, []), "ok")
    check(load.judge_pipelines({"client_recent_max_input_buffer": str(3 << 20)}, None), "warning", "3.0 MB at once")
    check(load.judge_pipelines({"client_recent_max_output_buffer": str(30 << 20)}, None), "warning", "30.0 MB")
    check(load.judge_pipelines({}, [{"multi": "-1"}, {"multi": "5000"}, {}]), "warning", "5000 commands")


# time


def test_every_wait_must_end() -> None:
    check(timing.judge_timeouts(PATIENCE, {}), "ok", "connect 1 s, reply 1 s", "is not visible")
    check(timing.judge_timeouts(replace(PATIENCE, read=None, attempt=0.25), {}), "ok", "reply 0.25 s")
    check(timing.judge_timeouts(replace(PATIENCE, read=None), {}), "failed", "nothing bounds a wait for a reply")


def test_a_server_that_closes_idle_connections_first_warns() -> None:
    check(timing.judge_timeouts(PATIENCE, {"timeout": "300"}), "ok", "after 300 s")
    check(timing.judge_timeouts(PATIENCE, {"timeout": "10"}), "warning", "below 10")
    never = replace(PATIENCE, idle=None, validate=None)
    check(timing.judge_timeouts(never, {"timeout": "300"}), "warning", "below 300")
    check(timing.judge_timeouts(never, {"timeout": "0"}), "ok", "closes no idle ones")


def test_keepalive_on_both_sides() -> None:
    check(timing.judge_keepalive(PATIENCE, {"tcp-keepalive": "300"}), "ok", "client: on; server: every 300 s")
    check(timing.judge_keepalive(PATIENCE, {}), "ok", "not visible")
    check(timing.judge_keepalive(PATIENCE, {"tcp-keepalive": "0"}), "warning", "tcp-keepalive 300")
    silent = replace(PATIENCE, keepalive=False)
    check(timing.judge_keepalive(silent, {}), "ok", "checked before use")
    check(timing.judge_keepalive(replace(silent, validate=None), {}), "warning", "socket_keepalive")


def test_latency_warns_when_far_uneven_or_near_the_timeout() -> None:
    near = [0.0002] * 99
    check(timing.judge_latency([*near, 0.0003], PATIENCE), "ok", "p50 0.20 ms, p99 0.30 ms, jitter 0.10 ms (100 PINGs)")
    check(timing.judge_latency([*near, 0.05], PATIENCE), "warning", "uneven")
    check(timing.judge_latency([0.02] * 100, PATIENCE), "warning", "far away")
    check(timing.judge_latency([0.02] * 100, replace(PATIENCE, attempt=0.05)), "warning", "near the timeout of 0.05 s")
    check(timing.judge_latency([0.0002], PATIENCE), "ok")
    check(timing.judge_latency([], PATIENCE), "skipped")


@pytest.mark.parametrize(
    ("clock", "status", "text"),
    [
        (Clock(NOW, NOW - 0.01, NOW + 0.01), "ok", "agree to 0.010 s"),
        (Clock(NOW + 0.9, NOW, NOW), "ok", "0.900 s"),
        (Clock(NOW + 5, NOW, NOW), "warning", "5.0 s ahead of this"),
        (Clock(NOW - 90, NOW, NOW), "warning", "90.0 s behind this"),
        (Clock(NOW + 4, NOW, NOW + 4), "ok", ""),  # a slow answer is no proof of a wrong clock
    ],
)
def test_clocks_are_compared_within_what_the_network_lets_us_know(clock: Clock, status: str, text: str) -> None:
    check(timing.judge_clock(clock), status, text)


# replies


def test_replies_of_both_protocols_are_read() -> None:
    assert as_mapping(["save", "3600 1"]) == as_mapping({"save": "3600 1"}) == as_mapping([b"save", "3600 1"])
    assert as_mapping(None) is None
    assert parse_info(b"# A\r\na:1:2\r\n\r\nb:\r\n") == {"a": "1:2", "b": ""}
    assert parse_info(None) is None
