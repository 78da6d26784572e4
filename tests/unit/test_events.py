from __future__ import annotations

import dataclasses
import logging
from typing import Any

import pytest

import resilient_redis.asyncio
from resilient_redis import ConfigError, ResiliencePipeline, ResilientRedis, fallback
from resilient_redis import events as module
from resilient_redis.events import CircuitChanged, Event, Events, FallbackUsed

USED = FallbackUsed("fallback", "GET", "unreachable")


def test_every_listener_hears_every_event_in_order() -> None:
    first: list[Event] = []
    second: list[Event] = []
    events = Events([first.append, second.append])
    events.emit(USED)
    events.emit(CircuitChanged("cb", "closed", "open", "why"))
    assert first == second == [USED, CircuitChanged("cb", "closed", "open", "why")]


def test_whether_anybody_listens_is_known() -> None:
    events = Events()
    assert not events.heard
    heard: list[Event] = []
    events.add(heard.append)
    assert events.heard
    events.remove(heard.append)
    assert not events.heard
    events.emit(USED)
    assert heard == []


def test_a_listener_that_is_added_twice_hears_once() -> None:
    heard: list[Event] = []
    listener = heard.append
    events = Events([listener])
    events.add(listener)
    events.emit(USED)
    assert heard == [USED]


def test_removing_who_was_never_there_is_no_fault() -> None:
    events = Events([print])
    events.remove(repr)
    assert events.heard


def test_a_listener_that_raises_stops_neither_call_nor_listeners_and_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(event: Event) -> None:
        raise ZeroDivisionError

    heard: list[Event] = []
    events = Events([broken, heard.append])
    with caplog.at_level(logging.ERROR, "resilient_redis"):
        for _ in range(3):
            events.emit(USED)
    assert heard == [USED] * 3
    assert len(caplog.records) == 1
    assert "broken" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_a_keyboard_interrupt_in_a_listener_passes() -> None:
    def interrupted(event: Event) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Events([interrupted]).emit(USED)


def test_a_listener_may_remove_itself_while_it_is_told() -> None:
    heard: list[str] = []

    def once(event: Event) -> None:
        heard.append("once")
        events.remove(once)

    events = Events([once, lambda event: heard.append("always")])
    events.emit(USED)
    events.emit(USED)
    assert heard == ["once", "always", "always"]


def test_a_change_of_state_is_announced_as_a_warning_too(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[Event] = []
    change = CircuitChanged("cache", "closed", "open", "5 failures in a row")
    with caplog.at_level(logging.WARNING, "resilient_redis"):
        Events([heard.append]).announce(change)
    assert heard == [change]
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "circuit cache: closed -> open (5 failures in a row)")
    ]


def test_the_library_logs_nothing_where_nobody_asked() -> None:
    assert any(isinstance(handler, logging.NullHandler) for handler in module.logger.handlers)


_ALL = [getattr(module, name) for name in dir(module)]  # most are imported when somebody asks for them
EVENTS = [value for value in _ALL if isinstance(value, type) and issubclass(value, Event)]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
def test_events_are_immutable_and_hold_no_arguments(event: Any) -> None:
    names = [field.name for field in dataclasses.fields(event)]
    made = event(*names)
    assert not {"args", "key", "value", "error"} & set(names)
    with pytest.raises(AttributeError):
        made.policy = "other"
    assert not hasattr(made, "__dict__")


def test_all_events_are_looked_at() -> None:
    assert len(EVENTS) >= 13


# --- who may listen -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("listeners", "told"), [(print, "print is no list"), ([5], "type int cannot be called"), (None, "is no list")]
)
@pytest.mark.parametrize(
    "make",
    [
        lambda listeners: ResilientRedis(listeners=listeners),
        lambda listeners: resilient_redis.asyncio.ResilientRedis(listeners=listeners),
        lambda listeners: ResiliencePipeline([], listeners=listeners),
        lambda listeners: fallback([], listeners=listeners),
    ],
    ids=["client", "asyncio", "pipeline", "decorator"],
)
def test_who_cannot_be_called_is_refused_at_once_and_not_in_the_outage(make: Any, listeners: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=f"^listeners: .*{told}"):
        make(listeners)


def test_one_that_is_added_later_is_looked_at_too() -> None:
    with pytest.raises(ConfigError, match=r"^listeners: .* cannot be called"):
        ResilientRedis().add_listener(5)  # type: ignore[arg-type]
