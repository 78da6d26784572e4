"""ServerObserver's arithmetic: when growth stops, and how it halves and grows back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis

from resilient_redis import ConfigError
from resilient_redis.pool.budgets import ServerObserver, is_server_full
from resilient_redis.testing import FakeClock


class Server:
    """Answers INFO and CONFIG as told; an exception is raised."""

    def __init__(self) -> None:
        self.info: Any = {"connected_clients": 10, "maxclients": 100}
        self.config: Any = {}
        self.asked: list[str] = []

    def execute_command(self, *command: str) -> Any:
        self.asked.append(command[0])
        answer = self.info if command[0] == "INFO" else self.config
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        self.asked.append("close")


class Bench:
    def __init__(self, **options: Any) -> None:
        self.clock, self.server = FakeClock(500), Server()
        self.observer = ServerObserver(lambda: self.server, clock=self.clock, **options)

    def look(self, after: float = 30.0) -> None:
        self.clock.advance(after)
        self.observer.maintain(self.clock.monotonic())

    def take(self, times: int = 1) -> int:
        return sum(self.observer.take() for _ in range(times))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_nothing_is_asked_before_the_first_look_and_then_once_an_interval(bench: Bench) -> None:
    assert bench.take(5) == 5
    assert bench.server.asked == []
    for _ in range(61):
        bench.look(1)
    assert bench.server.asked == ["INFO"] * 3


@pytest.mark.parametrize(("connected", "allowed"), [(0, True), (89, True), (90, False), (100, False), (120, False)])
def test_growth_stops_at_nine_tenths_and_nothing_is_closed(bench: Bench, connected: int, allowed: bool) -> None:
    bench.take(3)
    bench.server.info["connected_clients"] = connected
    bench.look()
    assert (bench.observer.take(), bench.observer.surplus()) == (allowed, 0)


def test_what_was_opened_since_the_last_look_counts(bench: Bench) -> None:
    bench.server.info["connected_clients"] = 80
    bench.look()
    assert bench.take(20) == 10
    bench.observer.give()
    assert bench.take(5) == 1


def test_what_was_opened_while_the_server_was_asked_counts(bench: Bench) -> None:
    bench.server.info["connected_clients"] = 85
    execute = bench.server.execute_command

    def opens(*command: str) -> Any:
        assert bench.take(4) == 4
        return execute(*command)

    bench.server.execute_command = opens  # type: ignore[method-assign]
    bench.look()
    assert bench.take(10) == 1


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"maxclients": "50"}, "10 of 50 clients, no more from 45 on"),
        ({b"maxclients": b"50"}, "10 of 50 clients, no more from 45 on"),
        ({}, "10 clients, maxclients not known"),
        (redis.exceptions.NoPermissionError("no"), "10 clients, maxclients not known"),
    ],
    ids=str,
)
def test_a_server_whose_info_lacks_maxclients_is_asked_for_its_configuration(
    bench: Bench, config: Any, told: str
) -> None:
    bench.server.info, bench.server.config = {"connected_clients": 10}, config
    bench.look()
    assert bench.server.asked == ["INFO", "CONFIG GET"]
    assert bench.observer.describe() == f"server observer: 0 taken here, {told}"
    assert bench.take(30) == 30


def test_an_old_reading_is_believed_for_three_intervals(bench: Bench) -> None:
    bench.server.info["connected_clients"] = 95
    bench.look()
    bench.server.info = redis.ConnectionError("down")
    bench.look(30)
    bench.look(59)
    assert not bench.observer.take()
    bench.look(2)
    assert bench.observer.take()
    assert bench.observer.describe().endswith("1 taken here, clients of the server not known (ConnectionError)")


def test_a_server_that_refuses_the_observer_itself_is_full(bench: Bench) -> None:
    bench.look()
    bench.server.info = redis.ConnectionError("max number of clients reached")
    bench.look()
    assert not bench.observer.take()
    assert "100 of 100 clients" in bench.observer.describe()


def test_a_refused_connection_halves_what_is_allowed_and_it_grows_back(bench: Bench) -> None:
    assert bench.take(40) == 40
    bench.observer.note_server_full()
    assert (bench.observer.surplus(), bench.observer.take()) == (20, False)
    assert bench.observer.describe().startswith("server observer: 40 of 20 taken here, ")
    for _ in range(20):
        bench.observer.give()
    assert (bench.observer.surplus(), bench.take(3)) == (0, 0)
    bench.clock.advance(5)
    assert bench.take(10) == 5, "one a second"
    bench.observer.note_server_full()
    assert bench.observer.surplus() == 25 - 12


def test_refusals_that_come_together_halve_once(bench: Bench) -> None:
    bench.take(40)
    for _ in range(10):
        bench.clock.advance(0.05)
        bench.observer.note_server_full()
    assert bench.observer.surplus() == 20
    bench.clock.advance(1)
    bench.observer.note_server_full()
    assert bench.observer.surplus() == 30


def test_it_never_halves_below_one(bench: Bench) -> None:
    for _ in range(5):
        bench.observer.note_server_full()
        bench.clock.advance(1.5)
    assert bench.observer.take()


def test_it_looks_soon_after_a_refusal(bench: Bench) -> None:
    bench.look()
    assert not bench.observer.due(bench.clock.monotonic())
    bench.observer.note_server_full()
    assert bench.observer.due(bench.clock.monotonic())


def test_close_closes_its_client_and_looks_no_more(bench: Bench) -> None:
    bench.look()
    bench.observer.close()
    bench.look()
    assert bench.server.asked == ["INFO", "close"]


def test_a_child_asks_with_a_client_of_its_own(in_child: Callable[..., int]) -> None:
    clients: list[Server] = []

    def make() -> Server:
        clients.append(Server())
        return clients[-1]

    observer = ServerObserver(make, clock=FakeClock())
    observer.maintain(0)

    def child() -> bool:
        observer.maintain(1)
        return len(clients) == 2

    assert in_child(child) == 0
    assert len(clients) == 1


@pytest.mark.parametrize(
    "options",
    [{"stop_at": 0}, {"stop_at": 1.1}, {"stop_at": "0.9"}, {"interval": 0}, {"interval": "x"}, {"regrow": 0}],
    ids=str,
)
def test_numbers_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"ServerObserver.{next(iter(options))}"):
        ServerObserver("redis://localhost", **options)


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (redis.ConnectionError("max number of clients reached"), True),
        (redis.exceptions.MaxConnectionsError("Too many connections"), False),
        (redis.ConnectionError("Connection refused"), False),
    ],
    ids=str,
)
def test_a_pools_own_limit_is_not_the_servers(error: Exception, full: bool) -> None:
    assert is_server_full(error) is full
