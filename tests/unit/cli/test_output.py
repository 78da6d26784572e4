"""Text as wide as the terminal, and colours only where they are wanted."""

from __future__ import annotations

import io
import json

import pytest

from resilient_redis.cli.output import Output, Paint, shown_length, table_lines, width_of


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _plain_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COLUMNS", "NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("columns", "width"),
    [("100", 100), ("10", 40), ("1000", 200), ("", 80), ("many", 80), ("-5", 80), ("0", 80), ("\u00b2", 80)],
)
def test_the_width_is_columns_within_bounds_or_80(columns: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert width_of(io.StringIO()) == width


def test_colours_are_for_terminals_alone() -> None:
    assert not Paint.for_stream(io.StringIO()).enabled
    assert Paint.for_stream(Terminal()).enabled


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_a_user_can_say_no_to_colours(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not Paint.for_stream(Terminal(), no_color=True).enabled
    monkeypatch.setenv(name, value)
    assert not Paint.for_stream(Terminal()).enabled


def test_no_color_set_to_nothing_is_no_no(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "")
    assert Paint.for_stream(Terminal()).enabled


@pytest.mark.parametrize("width", [40, 41, 80, 137, 200])
@pytest.mark.parametrize("paint", [Paint(False), Paint(True)])
def test_a_table_is_never_wider_than_the_terminal(width: int, paint: Paint) -> None:
    rows = [[paint("ok", "green"), "name resolution", "text " * 30], [paint("failed", "red"), "tcp", "short"]]
    assert max(map(shown_length, table_lines(["", "check", "what"], rows, width))) <= width


def test_where_there_is_no_room_beside_the_last_column_goes_below() -> None:
    assert table_lines((), [["a-column-of-25-characters", "some text"]], 40) == [
        "a-column-of-25-characters",
        "    some text",
    ]


def test_numbers_stand_at_the_right() -> None:
    assert table_lines(["n", "name"], [["5", "five"], ["500", "more"]], 80, right="0") == [
        "  n  name",
        "  5  five",
        "500  more",
    ]


def test_a_table_of_nothing_is_nothing() -> None:
    assert table_lines((), [], 80) == []


def test_data_is_one_object_and_events_are_lines() -> None:
    stream = io.StringIO()
    Output(stream, json=True).data({"a": 1})
    assert json.loads(stream.getvalue()) == {"a": 1}
    stream = io.StringIO()
    out = Output(stream, json=True)
    out.event("ping", {"number": 1})
    out.event("end", {})
    assert stream.getvalue() == '{"kind": "ping", "number": 1}\n{"kind": "end"}\n'


def test_live_lines_come_once_where_nobody_looks() -> None:
    stream = io.StringIO()
    with Output(stream).live() as live:
        live.update(["1"])
        live.update(["2", "3"])
    assert stream.getvalue() == "2\n3\n"


def test_live_lines_stay_after_ctrl_c() -> None:
    stream = io.StringIO()
    with pytest.raises(KeyboardInterrupt), Output(stream).live() as live:
        live.update(["figures so far"])
        raise KeyboardInterrupt
    assert stream.getvalue() == "figures so far\n"


def test_on_a_terminal_they_are_drawn_over() -> None:
    stream = Terminal()
    with Output(stream, no_color=True).live() as live:
        live.update(["1", "2"])
        live.update(["3"])
    assert stream.getvalue() == "1\n2\n\x1b[2F\x1b[J3\n"


def test_rich_draws_where_it_is_installed() -> None:
    pytest.importorskip("rich")
    stream = Terminal()
    out = Output(stream)
    assert out.fancy
    out.table(["name", "count"], [[out.paint("visits", "green"), "12"]], right="1")
    with out.live() as live:
        live.update(["figures"])
    assert "visits" in stream.getvalue()
    assert "figures" in stream.getvalue()


def test_rich_is_not_imported_for_a_pipe() -> None:
    assert not Output(io.StringIO()).fancy
