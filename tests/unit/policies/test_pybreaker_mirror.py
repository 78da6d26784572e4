from __future__ import annotations

import gc
import logging
import threading
import time
import weakref
from datetime import UTC, datetime, timedelta
from typing import Any

import pybreaker
import pytest
import redis

from resilient_redis import CircuitBreaker, CircuitOpenError, ResiliencePipeline
from resilient_redis.calls import Call, Kind
from resilient_redis.policies import Reject, pybreaker_mirror

from .kit import bind, command, failure, neither


class Heard(pybreaker.CircuitBreakerListener):
    """Notes everything."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def before_call(self, cb: Any, func: Any, *args: Any, **kwargs: Any) -> None:
        self.told.append(("before", func, args, kwargs))

    def success(self, cb: Any) -> None:
        self.told.append("success")

    def failure(self, cb: Any, exc: BaseException) -> None:
        self.told.append(("failure", exc))

    def state_change(self, cb: Any, old_state: Any, new_state: Any) -> None:
        self.told.append((old_state.name, new_state.name))

    def names(self) -> list[Any]:
        return [item[0] if isinstance(item, tuple) and item[0] in ("before", "failure") else item for item in self.told]


class OnlyChanges(pybreaker.CircuitBreakerListener):
    def __init__(self) -> None:
        self.told: list[str] = []

    def state_change(self, cb: Any, old_state: Any, new_state: Any) -> None:
        self.told.append(new_state.name)


# --- listeners ----------------------------------------------------------------------------------------------------


def test_listeners_hear_of_calls_and_changes_in_their_order() -> None:
    heard = Heard()
    bench = bind(CircuitBreaker(fail_max=2, reset_timeout=10, listeners=[heard]))
    bench.succeeds()
    bench.fails(2)
    bench.clock.advance(10)
    bench.succeeds()
    assert heard.names() == [
        *("before", "success"),
        *("before", "failure"),
        *("before", "failure", ("closed", "open")),
        *(("open", "half-open"), "before", "success", ("half-open", "closed")),
    ]


def test_a_listener_gets_the_error() -> None:
    heard, error = Heard(), OSError("down")
    bind(CircuitBreaker(listeners=[heard])).run(failure(error))
    assert ("failure", error) in heard.told


def test_a_listener_gets_the_call_and_no_arguments() -> None:
    heard, call = Heard(), command("GET", "secret")
    bind(CircuitBreaker(listeners=[heard])).enter(call)
    assert heard.told == [("before", call, (), {})]
    assert "secret" not in repr(heard.told)


def test_a_refused_call_is_no_call_to_a_listener() -> None:
    heard = Heard()
    bench = bind(CircuitBreaker(fail_max=1, reset_timeout=10, listeners=[heard]))
    bench.fails()
    heard.told.clear()
    assert isinstance(bench.enter(), Reject)
    assert heard.told == []


def test_neither_is_told_as_neither() -> None:
    heard = Heard()
    bind(CircuitBreaker(listeners=[heard])).run(neither())
    assert heard.names() == ["before"]


def test_an_excluded_error_is_told_as_a_success() -> None:
    heard = Heard()
    bind(CircuitBreaker(listeners=[heard], exclude=KeyError)).run(failure(KeyError(), Kind.FOREIGN))
    assert heard.names() == ["before", "success"]


def test_listeners_that_hear_only_of_changes_cost_a_success_nothing() -> None:
    listener = OnlyChanges()
    bench = bind(CircuitBreaker(fail_max=1, listeners=[listener]))
    assert bench.layer.calm is not None
    bench.fails()
    assert listener.told == ["open"]


def test_a_listener_that_raises_breaks_no_call_and_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(pybreaker.CircuitBreakerListener):
        def success(self, cb: Any) -> None:
            raise ZeroDivisionError

    bench = bind(CircuitBreaker(listeners=[Broken()]))
    with caplog.at_level(logging.WARNING, "resilient_redis"):
        bench.succeeds(3)
    assert bench.layer.state == "closed"
    assert sum("storage or listener" in message for message in caplog.messages) == 1


def test_a_listener_that_raises_on_a_change_stops_no_change() -> None:
    class Broken(pybreaker.CircuitBreakerListener):
        def state_change(self, cb: Any, old_state: Any, new_state: Any) -> None:
            raise ZeroDivisionError

    bench = bind(CircuitBreaker(fail_max=1, reset_timeout=10, listeners=[Broken()]))
    bench.fails()
    assert bench.layer.state == "open"
    bench.clock.advance(10)
    bench.succeeds()
    assert bench.layer.state == "closed"


def test_a_keyboard_interrupt_in_a_listener_loses_no_probe() -> None:
    class Interrupted(pybreaker.CircuitBreakerListener):
        armed = False

        def before_call(self, cb: Any, func: Any, *args: Any, **kwargs: Any) -> None:
            if self.armed:
                raise KeyboardInterrupt

    listener = Interrupted()
    bench = bind(CircuitBreaker(fail_max=1, reset_timeout=10, listeners=[listener]))
    bench.fails()
    bench.clock.advance(10)
    listener.armed = True
    with pytest.raises(KeyboardInterrupt):
        bench.enter()
    listener.armed = False
    assert not isinstance(bench.enter(), Reject)


def test_listeners_are_called_without_our_lock() -> None:
    held = []

    class Looks(pybreaker.CircuitBreakerListener):
        def state_change(self, cb: Any, old_state: Any, new_state: Any) -> None:
            held.append(bench.layer._lock.locked())

    bench = bind(CircuitBreaker(fail_max=1, listeners=[Looks()]))
    bench.fails()
    assert held == [False]


def test_a_listener_may_use_the_circuit_it_hears_of() -> None:
    class Resets(pybreaker.CircuitBreakerListener):
        def state_change(self, cb: Any, old_state: Any, new_state: Any) -> None:
            if new_state.name == "open":
                bench.layer.reset()

    bench = bind(CircuitBreaker(fail_max=1, listeners=[Resets()]))
    bench.fails()
    assert bench.layer.state == "closed"


# --- memory storage -----------------------------------------------------------------------------------------------


def test_a_memory_storage_is_written_with_each_change() -> None:
    storage = pybreaker.CircuitMemoryStorage("closed")
    bench = bind(CircuitBreaker(fail_max=1, reset_timeout=10, state_storage=storage))
    bench.fails()
    assert storage.state == "open"
    opened = storage.opened_at
    assert opened is not None
    now = datetime.now(UTC).replace(tzinfo=None)
    assert abs((now - opened.replace(tzinfo=None)).total_seconds()) < 5  # an old pybreaker gives no zone
    bench.clock.advance(10)
    token = bench.enter()
    assert storage.state == "half-open"
    bench.layer.release(token)
    bench.layer.reset()
    assert storage.state == "closed"


@pytest.mark.parametrize(
    ("ago", "retry_after"),
    [(None, 60.0), (timedelta(0), 60.0), (timedelta(seconds=20), 40.0), (timedelta(hours=1), 0.0)],
)
@pytest.mark.parametrize("state", ["open", "half-open"])
def test_a_circuit_starts_in_its_storages_state(state: str, ago: timedelta | None, retry_after: float) -> None:
    storage = pybreaker.CircuitMemoryStorage(state)
    storage.opened_at = None if ago is None else datetime.now(UTC) - ago
    bench = bind(CircuitBreaker(state_storage=storage))
    assert bench.layer.state == "open"
    assert bench.layer.retry_after == pytest.approx(retry_after, abs=1)


def test_a_time_without_a_zone_is_utc() -> None:
    storage = pybreaker.CircuitMemoryStorage("open")
    storage.opened_at = datetime.now(UTC).replace(tzinfo=None) - timedelta(seconds=20)
    assert bind(CircuitBreaker(state_storage=storage)).layer.retry_after == pytest.approx(40, abs=1)


def test_isolated_is_open_to_a_storage() -> None:
    storage = pybreaker.CircuitMemoryStorage("closed")
    bind(CircuitBreaker(state_storage=storage)).layer.isolate()
    assert storage.state == "open"


def test_a_memory_storage_needs_no_thread() -> None:
    bench = bind(CircuitBreaker(fail_max=1, state_storage=pybreaker.CircuitMemoryStorage("open")))
    bench.layer.reset()
    assert bench.layer._mirror._thread is None


# --- an existing pybreaker object ---------------------------------------------------------------------------------


def test_an_existing_breaker_gives_its_numbers_name_and_exclusions() -> None:
    breaker = pybreaker.CircuitBreaker(fail_max=3, reset_timeout=7, exclude=[KeyError], name="payments")
    policy = CircuitBreaker.from_pybreaker(breaker)
    assert (policy.fail_max, policy.reset_timeout, policy.success_threshold) == (3, 7.0, 1)
    assert (policy.exclude, policy.name, policy.label) == ((KeyError,), "payments", "payments")


@pytest.mark.skipif(not hasattr(pybreaker.CircuitBreaker, "success_threshold"), reason="newer pybreaker")
def test_an_existing_breaker_gives_its_success_threshold() -> None:
    assert CircuitBreaker.from_pybreaker(pybreaker.CircuitBreaker(success_threshold=2)).success_threshold == 2


@pytest.mark.skipif(not hasattr(pybreaker.CircuitBreaker, "success_threshold"), reason="newer pybreaker")
def test_a_listener_sees_our_numbers_on_the_breaker_it_is_given() -> None:
    seen: list[Any] = []

    class Looks(pybreaker.CircuitBreakerListener):
        def state_change(self, cb: Any, old_state: Any, new_state: Any) -> None:
            seen.append((cb.name, cb.fail_max, cb.reset_timeout, cb.success_threshold))

    bind(CircuitBreaker(fail_max=1, reset_timeout=7, success_threshold=3, listeners=[Looks()], name="cache")).fails()
    assert seen == [("cache", 1, 7.0, 3)]


def test_own_exclusions_come_beside_the_breakers() -> None:
    policy = CircuitBreaker(breaker=pybreaker.CircuitBreaker(exclude=[KeyError]), exclude=OSError)
    assert set(policy.exclude) == {KeyError, OSError}


def test_an_own_name_wins_over_the_breakers() -> None:
    assert CircuitBreaker(breaker=pybreaker.CircuitBreaker(name="a"), name="b").name == "b"


def test_changes_are_written_to_an_existing_breaker_and_its_listeners() -> None:
    listener = OnlyChanges()
    breaker = pybreaker.CircuitBreaker(fail_max=1, reset_timeout=10, listeners=[listener])
    bench = bind(CircuitBreaker.from_pybreaker(breaker))
    bench.fails()
    assert breaker.current_state == "open"
    bench.clock.advance(10)
    bench.succeeds()
    assert breaker.current_state == "closed"
    assert listener.told == ["open", "half-open", "closed"]


def test_an_existing_breaker_that_is_open_opens_ours() -> None:
    breaker = pybreaker.CircuitBreaker(reset_timeout=60)
    breaker.open()
    bench = bind(CircuitBreaker.from_pybreaker(breaker))
    assert bench.layer.state == "open"
    assert isinstance(bench.enter(), Reject)


def test_an_existing_breakers_call_is_never_used() -> None:
    class Watched(pybreaker.CircuitBreaker):
        def call(self, func: Any, *args: Any, **kwargs: Any) -> Any:
            raise AssertionError("its lock would be held for the whole command")

    pipeline = ResiliencePipeline([Watched(fail_max=1)])  # type: ignore[list-item]
    assert pipeline.call(lambda: "v") == "v"


def test_one_breaker_object_in_two_lists_is_one_circuit() -> None:
    breaker = pybreaker.CircuitBreaker(fail_max=1)
    one, other = ResiliencePipeline([breaker]), ResiliencePipeline([breaker])  # type: ignore[list-item]
    next(iter(one.breakers.values())).isolate()
    with pytest.raises(CircuitOpenError):
        other.call(lambda: "v")


def test_except_circuit_breaker_error_catches_a_refusal() -> None:
    pipeline = ResiliencePipeline([CircuitBreaker()])
    pipeline.breakers["circuit_breaker"].isolate()
    with pytest.raises(pybreaker.CircuitBreakerError):
        pipeline.call(lambda: "v")
    with pytest.raises(redis.ConnectionError):
        pipeline.call(lambda: "v")


# --- remote storage -----------------------------------------------------------------------------------------------


class Remote(pybreaker.CircuitBreakerStorage):
    """A storage that does I/O: it notes which thread asks."""

    def __init__(self, state: str = "closed", broken: bool = False) -> None:
        super().__init__("remote")
        self._state = state
        self._opened_at: datetime | None = None
        self.broken = broken
        self.threads: set[str] = set()
        self.read = threading.Event()
        self.written: list[str] = []
        self.wrote = threading.Event()

    def _touch(self) -> None:
        self.threads.add(threading.current_thread().name)
        if self.broken:
            raise redis.ConnectionError("the storage is down too")

    @property
    def state(self) -> str:
        self.read.set()
        self._touch()
        return self._state

    @state.setter
    def state(self, state: str) -> None:
        self._touch()
        self._state = state
        self.written.append(state)
        self.wrote.set()

    @property
    def counter(self) -> int:
        return 0

    @property
    def success_counter(self) -> int:
        return 0

    @property
    def opened_at(self) -> datetime | None:
        self._touch()
        return self._opened_at

    @opened_at.setter
    def opened_at(self, moment: datetime) -> None:
        self._touch()
        self._opened_at = moment


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pybreaker_mirror, "_REFRESH", 0.02)


def until(condition: Any, seconds: float = 3.0) -> None:
    """Real time, bounded: the background thread has a clock of its own."""
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "it did not happen in time"
        time.sleep(0.005)


@pytest.mark.slow
@pytest.mark.usefixtures("soon")
def test_a_remote_storage_is_touched_by_the_background_thread_only() -> None:
    storage = Remote()
    bench = bind(CircuitBreaker(fail_max=1, reset_timeout=10, state_storage=storage))
    bench.fails()
    bench.refused()
    bench.clock.advance(10)
    bench.succeeds()
    until(lambda: storage.written == ["open", "half-open", "closed"])
    assert storage.threads == {"resilient-redis-breaker"}


@pytest.mark.slow
@pytest.mark.usefixtures("soon")
def test_a_circuit_opened_elsewhere_is_followed() -> None:
    storage = Remote("open")
    storage._opened_at = datetime.now(UTC) - timedelta(seconds=20)
    bench = bind(CircuitBreaker(reset_timeout=60, state_storage=storage))
    until(lambda: bench.layer.state == "open")
    assert bench.layer.retry_after == pytest.approx(40, abs=2)
    storage._state = "closed"
    until(lambda: bench.layer.state == "closed")
    assert [event.reason for event in bench.events] == ["by the shared storage"] * 2  # type: ignore[attr-defined]


@pytest.mark.slow
@pytest.mark.usefixtures("soon")
def test_what_happens_elsewhere_does_not_end_an_isolation() -> None:
    storage = Remote("open")
    bench = bind(CircuitBreaker(state_storage=storage))
    until(lambda: bench.layer.state == "open")
    bench.layer.isolate()
    storage.read.clear()
    storage._state = "closed"
    storage.read.wait(3)
    storage.read.clear()
    storage.read.wait(3)
    assert bench.layer.state == "isolated"


@pytest.mark.slow
@pytest.mark.usefixtures("soon")
def test_a_remote_storage_that_raises_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    storage = Remote(broken=True)
    with caplog.at_level(logging.WARNING, "resilient_redis"):
        bench = bind(CircuitBreaker(fail_max=1, reset_timeout=10, state_storage=storage))
        assert storage.read.wait(3)
        bench.fails()
        assert bench.layer.state == "open"
        bench.clock.advance(10)
        bench.succeeds()
        assert bench.layer.state == "closed"
        until(lambda: not bench.layer._mirror._changes)
    assert sum("storage or listener" in message for message in caplog.messages) == 1, "it is logged once"


@pytest.mark.slow
@pytest.mark.usefixtures("soon")
def test_a_storage_that_comes_back_is_followed_again() -> None:
    storage = Remote("open", broken=True)
    bench = bind(CircuitBreaker(state_storage=storage))
    assert storage.read.wait(3)
    assert bench.layer.state == "closed"
    storage.broken = False
    until(lambda: bench.layer.state == "open")


@pytest.mark.slow
def test_the_background_thread_ends_with_its_circuit() -> None:
    bench = bind(CircuitBreaker(fail_max=1, state_storage=Remote()))
    thread, layer = bench.layer._mirror._thread, weakref.ref(bench.layer)
    assert thread.is_alive()
    assert thread.daemon
    del bench
    until(lambda: gc.collect() >= 0 and layer() is None)
    thread.join(3)
    assert not thread.is_alive()


def test_a_storage_is_read_at_most_every_second() -> None:
    assert pybreaker_mirror._REFRESH == 1.0


def test_a_policy_without_pybreaker_things_has_no_mirror() -> None:
    assert bind(CircuitBreaker()).layer._mirror is None


def test_a_call_describes_itself_without_its_arguments() -> None:
    assert repr(Call("GET", "command", ("GET", "secret"))) == "<Call GET (command), attempt 0>"
