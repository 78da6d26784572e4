"""What ``top`` shows, as golden text from made-up answers, at three widths."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilient_redis import ResilientRedis
from resilient_redis.cli.output import Paint
from resilient_redis.cli.top import server, service
from resilient_redis.cli.top.server import SORTS, Client, ServerSample, sorted_by, totals
from resilient_redis.cli.top.service import ServiceSample, ShapeError, read
from resilient_redis.cli.top.words import columns, safe

PLAIN = Paint(False)

INFO = {
    "redis_version": "7.0.15",
    "role": "master",
    "uptime_in_seconds": 90_000,
    "connected_clients": 4,
    "maxclients": 10_000,
    "blocked_clients": 1,
    "instantaneous_ops_per_sec": 250,
    "used_memory": 3 << 20,
    "maxmemory": 0,
    "total_commands_processed": 1_000,
    "total_net_input_bytes": 2_000,
    "total_net_output_bytes": 4_000,
    "keyspace_hits": 90,
    "keyspace_misses": 10,
    "evicted_keys": 0,
    "expired_keys": 5,
    "rejected_connections": 0,
    "total_error_replies": 3,
}


def client(number: int, name: str, idle: int, cmd: str, omem: int = 0) -> Client:
    entry = {
        "id": str(number),
        "name": name,
        "addr": f"10.0.0.{number}:50000",
        "user": "default",
        "db": "0",
        "age": str(100 * number),
        "idle": str(idle),
        "cmd": cmd,
        "omem": str(omem),
        "lib-name": "redis-py",
        "lib-ver": "8.1.0",
    }
    return Client.of(entry)


CLIENTS = [
    client(3, "web", 0, "get"),
    client(4, "web", 40, "set"),
    client(9, "", 7200, "subscribe", 2_000_000),
    client(11, "worker", 2, "blpop"),
]
SAMPLE = ServerSample(100.0, INFO, CLIENTS)


def shown(sample: ServerSample, before: ServerSample | None, width: int, **more: Any) -> str:
    options = {"address": "db:6379", "sort": "idle", "rows": 20, "paint": PLAIN, **more}
    return "\n".join(server.lines_of(sample, before, width=width, **options))


AT_80 = """\
db:6379, redis 7.0.15, master, up 1 d
clients 4 of 10,000, 1 blocked   commands 250/s   hits 90%   memory 3.0 MiB
in 0 B/s   out 0 B/s   evicted -   errors -

name       clients  busy  oldest  idlest     omem
web              2     1   7 min    40 s      0 B
(no name)        1     0  15 min     2 h  1.9 MiB
worker           1     0  18 min     2 s      0 B

id  name    address          user     db     age  idle  cmd           omem
 3  web     10.0.0.3:50000   default   0   5 min   0 s  get            0 B
11  worker  10.0.0.11:50000  default   0  18 min   2 s  blpop          0 B
 4  web     10.0.0.4:50000   default   0   7 min  40 s  set            0 B
 9  -       10.0.0.9:50000   default   0  15 min   2 h  subscribe  1.9 MiB"""

AT_40 = """\
db:6379, redis 7.0.15, master, up 1 d
clients 4 of 10,000, 1 blocked
commands 250/s   hits 90%
memory 3.0 MiB   in 0 B/s   out 0 B/s
evicted -   errors -

name       clients  busy  oldest  idlest
web              2     1   7 min    40 s
(no name)        1     0  15 min     2 h
worker           1     0  18 min     2 s

name       age  idle  cmd           omem
web      5 min   0 s  get            0 B
worker  18 min   2 s  blpop          0 B
web      7 min  40 s  set            0 B
-       15 min   2 h  subscribe  1.9 MiB"""


@pytest.mark.parametrize(("width", "golden"), [(80, AT_80), (40, AT_40)])
def test_a_server_s_clients(width: int, golden: str) -> None:
    assert shown(SAMPLE, None, width) == golden


def test_wide_enough_there_is_every_column() -> None:
    text = shown(SAMPLE, None, 200)
    assert "id  name    address          user     db     age  idle  cmd           omem  library" in text
    assert max(map(len, text.splitlines())) <= 200


@pytest.mark.parametrize("width", range(40, 201, 7))
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    sample = replace(SAMPLE, info={**INFO, "rejected_connections": 7}, unseen=("CLIENT LIST " * 20,))
    assert max(map(len, shown(sample, SAMPLE, width).splitlines())) <= width
    text = "\n".join(service.lines_of(ILL, None, address="http://x/" + "y" * 90, width=width, paint=PLAIN))
    assert max(map(len, text.splitlines())) <= width


def test_rates_are_of_the_time_between_two_samples() -> None:
    later = ServerSample(
        102.0,
        {
            **INFO,
            "total_commands_processed": 1_500,
            "total_net_input_bytes": 22_480,
            "keyspace_hits": 90,
            "keyspace_misses": 20,
            "total_error_replies": 4,
        },
        CLIENTS,
    )
    rates = later.rates(SAMPLE)
    assert (rates["total_commands_processed"], rates["total_error_replies"], rates["evicted_keys"]) == (250, 0.5, 0)
    text = shown(later, SAMPLE, 200)
    assert "commands 250/s   hits 0%" in text
    assert "in 10.0 KiB/s" in text
    assert "errors 0.5/s" in text


def test_a_server_that_began_anew_has_no_rates_yet() -> None:
    restarted = ServerSample(102.0, {**INFO, "total_commands_processed": 3}, CLIENTS)
    assert restarted.rates(SAMPLE)["total_commands_processed"] is None


@pytest.mark.parametrize(
    ("sort", "ids"),
    [
        ("age", [11, 9, 4, 3]),
        ("idle", [3, 11, 4, 9]),
        ("omem", [9, 3, 4, 11]),
        ("cmd", [11, 3, 4, 9]),
        ("name", [9, 3, 4, 11]),
        ("id", [3, 4, 9, 11]),
    ],
)
def test_the_order(sort: str, ids: list[int]) -> None:
    assert [one.id for one in sorted_by(CLIENTS, sort)] == ids


def test_every_order_is_tested() -> None:
    assert set(SORTS) == {"age", "idle", "omem", "cmd", "name", "id"}


def test_totals_by_name_the_most_first() -> None:
    found = totals(CLIENTS)
    assert list(found) == ["web", "", "worker"]
    assert found["web"] == {"clients": 2, "busy": 1, "oldest": 400.0, "idlest": 40.0, "omem": 0.0}


def test_more_clients_than_rows_are_counted() -> None:
    assert shown(SAMPLE, None, 80, rows=3).endswith("and 1 more")


def test_what_may_not_be_asked_is_said() -> None:
    sample = ServerSample(1.0, {}, None, ("this user may not ask INFO; grant it",))
    assert shown(sample, None, 80) == "db:6379\nnot seen: this user may not ask INFO; grant it"


def test_an_old_server_s_short_answer_will_do() -> None:
    old = Client.of({"id": "5", "addr": "1.2.3.4:5", "age": "x"})
    assert (old.id, old.name, old.age, old.library) == (5, "", 0.0, "")


@pytest.mark.parametrize("figure", ["inf", "nan", "1e999", 10**400, -(10**400), [1], None])
def test_a_figure_that_is_none_counts_as_nothing(figure: Any) -> None:
    wild = Client.of({"id": figure, "age": figure, "omem": figure})
    assert (wild.id, wild.age, wild.omem) == (0, 0.0, 0.0)


def test_foreign_words_cannot_rule_the_terminal() -> None:
    wild = Client.of({"id": "1", "name": "a\x1b[2J\r\nb", "cmd": "\x07get"})
    assert "\x1b" not in wild.name + wild.command
    assert safe("tab\there") == "tab?here"
    sample = read({"stats": {"name": "x\x1b]0;y", "max": 1}, "breakers": {"\x1b[31m": "op\nen"}}, 0.0)
    text = "\n".join(service.lines_of(sample, None, address="u", width=80, paint=PLAIN))
    assert "\x1b" not in text


def test_a_column_is_left_out_rather_than_cut() -> None:
    lines = columns(["aa", "bbbb", "cc"], [["1", "2", "3"]], 8, keep=[2, 0])
    assert lines == ["aa  cc", "1   3"]


# Pools and circuits

STATS = {
    "name": "db:6379/0",
    "state": "open",
    "size": 12,
    "available": 2,
    "borrowed": 10,
    "pending": 3,
    "max": 20,
    "dialling": 1,
    "borrows": 5_000,
    "waits": 40,
    "wait_seconds": 0.2,
    "timeouts": 1,
    "dials": 12,
    "dial_failures": 2,
}
ENTRY = {
    "stats": STATS,
    "health": {
        "status": "critical",
        "usage": 0.5,
        "reasons": ["circuit 'main' is open: the server cannot be reached or fails, and is not asked"],
        "advice": ["look at the server, the network to it and the credentials; the pool's size is not the cause"],
    },
    "breakers": {"main": "open", "other": {"state": "closed", "retry_after": None}},
}
ILL = read({"pools": [ENTRY]}, 10.0)
HEALTH = ["status", "usage", "reasons", "advice"]
ENTRY_OF_CLIENT = ["id", "name", "addr", "laddr", "user", "db", "age", "idle", "cmd", "omem", "lib-name", "lib-ver"]

POOL_AT_80 = """\
http://app:8000/redis

pool db:6379/0  critical
[███████████████               ] 50% in use
10 of 20 lent   2 idle   3 waiting   1 dialling   leases 5,000
waits 40, mean 5 ms   timeouts 1   dials 12, 2 failed
circuit main open
circuit other closed
circuit 'main' is open: the server cannot be reached or fails, and is not asked
> look at the server, the network to it and the credentials; the pool's size is
  not the cause"""


def test_a_process_s_pools_and_circuits() -> None:
    lines = service.lines_of(ILL, None, address="http://app:8000/redis", width=80, paint=PLAIN)
    assert "\n".join(lines) == POOL_AT_80


def test_shared_connections_are_shown_where_there_are_any() -> None:
    lines = {"connected": 1, "wanted": 2, "in_flight": 17, "unsent": 3, "refused": 0, "opened": 1, "ends": {}}
    sample = read({"stats": {**STATS, "lines": lines}}, 0.0)
    text = "\n".join(service.lines_of(sample, None, address="u", width=200, paint=PLAIN))
    assert "shared 1 of 2   17 in flight   3 unsent   0 refused" in text


def test_pool_rates_are_of_the_time_between_two_samples() -> None:
    later = read({"pools": [{**ENTRY, "stats": {**STATS, "borrows": 5_400, "timeouts": 0}}]}, 12.0)
    (rates,) = later.rates(ILL)
    assert (rates["borrows"], rates["waits"], rates["timeouts"]) == (200, 0, None)
    text = "\n".join(service.lines_of(later, ILL, address="u", width=200, paint=PLAIN))
    assert "leases 5,400 (200/s)" in text


@pytest.mark.parametrize("data", [ENTRY, [ENTRY], {"pools": [ENTRY]}, {"pools": {"db:6379/0": ENTRY}}])
def test_one_entry_or_many(data: Any) -> None:
    sample = read(data, 0.0)
    assert isinstance(sample, ServiceSample)
    assert [(pool.name, pool.status, pool.breakers) for pool in sample.pools] == [
        ("db:6379/0", "critical", {"main": "open", "other": "closed"})
    ]


@pytest.mark.parametrize(
    "data",
    [None, 7, "x", {}, {"pools": [7]}, {"stats": 7}, {"stats": {}}, {**ENTRY, "breakers": [1]}, {"pools": {"a": 1}}],
)
def test_what_is_no_pool_is_told(data: Any) -> None:
    with pytest.raises(ShapeError, match="expected"):
        read(data, 0.0)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from([*STATS, "lines"]), JSON), st.dictionaries(st.sampled_from(HEALTH), JSON), JSON)
def test_any_json_is_shown_or_refused(stats: Any, health: Any, other: Any) -> None:
    """Nothing that an endpoint can answer is a traceback."""
    for data in (
        other,
        {"pools": other},
        {"stats": {**STATS, **stats}, "health": health, "breakers": other},
        {"stats": {**STATS, **stats}, "health": {**ENTRY["health"], **health}, "breakers": {"a": other}},
    ):
        try:
            sample = read(data, 1.0)
        except ShapeError:
            continue
        lines = service.lines_of(sample, ILL, address="u", width=60, paint=PLAIN)
        assert all(line.isprintable() and len(line) <= 60 for line in lines)
        json.dumps(sample.as_dict(ILL))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(ENTRY_OF_CLIENT), st.text(max_size=12) | st.integers())))
def test_any_client_list_is_shown(entries: list[dict[str, Any]]) -> None:
    sample = ServerSample(1.0, INFO, [Client.of(entry) for entry in entries])
    for sort in SORTS:
        assert all(len(line) <= 60 for line in shown(sample, SAMPLE, 60, sort=sort).splitlines())
        json.dumps(sample.as_dict(SAMPLE, sort))


SERVER_JSON = {
    "server": {name: INFO[name] for name in INFO if name != "unknown"},
    "per_second": dict.fromkeys(
        [
            *("total_commands_processed", "total_net_input_bytes", "total_net_output_bytes", "keyspace_hits"),
            *("keyspace_misses", "evicted_keys", "expired_keys", "rejected_connections", "total_error_replies"),
        ]
    ),
    "names": {"worker": {"clients": 1, "busy": 0, "oldest": 1100.0, "idlest": 2.0, "omem": 0.0}},
    "clients": [
        {
            "id": 11,
            "name": "worker",
            "address": "10.0.0.11:50000",
            "user": "default",
            "db": 0,
            "age": 1100.0,
            "idle": 2.0,
            "command": "blpop",
            "omem": 0.0,
            "library": "redis-py 8.1.0",
        }
    ],
    "unseen": [],
}


def test_json_of_a_server() -> None:
    assert replace(SAMPLE, clients=CLIENTS[3:]).as_dict(None, "idle") == SERVER_JSON


def test_json_of_a_process() -> None:
    rates = dict.fromkeys(["borrows", "waits", "timeouts", "dials", "dial_failures"])
    breakers = {"main": "open", "other": "closed"}
    told = {"stats": STATS, "health": ENTRY["health"], "breakers": breakers, "per_second": rates}
    assert ILL.as_dict(None) == {"pools": [told]}


def test_a_process_without_pools() -> None:
    assert "it has no pools yet" in service.lines_of(read({"pools": []}, 0), None, address="u", width=80, paint=PLAIN)


def test_our_own_figures_have_the_shape() -> None:
    client = ResilientRedis()
    entry = {
        "stats": client.connection_pool.stats().to_dict(),
        "health": client.health().to_dict(),
        "breakers": {name: str(layer.state) for name, layer in client.breakers.items()},
    }
    (pool,) = read(entry, 0.0).pools
    assert (pool.name, pool.status, pool.breakers) == ("localhost:6379/0", "healthy", {"circuit_breaker": "closed"})


def test_colours_only_where_they_are_wanted() -> None:
    lines = service.lines_of(ILL, None, address="u", width=80, paint=Paint(True))
    assert any("\x1b[31mcritical\x1b[0m" in line for line in lines)
    assert not re.search("\x1b", "".join(service.lines_of(ILL, None, address="u", width=80, paint=PLAIN)))
