"""What a command shows: text as wide as the terminal, coloured there, or JSON; never both."""

from __future__ import annotations

import json
import os
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol, TextIO

NARROWEST, WIDEST = 40, 200
"""Characters in a line: narrower terminals wrap by themselves, and longer lines nobody reads."""

_USUAL_WIDTH = 80
_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34"}
_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
_GAP = "  "


class Paint:
    """Colours, or none.

    >>> Paint(False)("text", "red")
    'text'
    """

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled

    @classmethod
    def for_stream(cls, stream: TextIO, *, no_color: bool = False) -> Paint:
        """Colours only on a terminal that can show them, for a user who has not said no (https://no-color.org)."""
        wanted = not no_color and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        return cls(wanted and stream.isatty())

    def __call__(self, text: str, style: str) -> str:
        """``text`` in a style; unchanged without colours or style."""
        return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if self.enabled and style else text


def width_of(stream: TextIO) -> int:
    """Characters in a line: ``COLUMNS``, else the terminal's, else 80; from 40 to 200."""
    told = os.environ.get("COLUMNS", "")
    width = int(told) if told.isdecimal() else 0
    if width == 0:
        try:
            width = os.get_terminal_size(stream.fileno()).columns
        except (OSError, ValueError):  # a pipe, a file, or a stream without a number
            width = 0
    return max(NARROWEST, min(WIDEST, width or _USUAL_WIDTH))


def shown_length(text: str) -> int:
    """Characters that are seen: colours take no place.

    >>> shown_length(Paint(True)("four", "red"))
    4
    """
    return len(_ESCAPES.sub("", text))


def table_lines(header: Sequence[str], rows: Sequence[Sequence[str]], width: int, right: str = "") -> list[str]:
    """A table as plain lines: columns as wide as they need to be, and the last one wrapped to what is left.

    Args:
        header: a word a column; ``()`` for none.
        rows: as many texts each; they may hold colours, except in the last column.
        width: of the whole.
        right: the numbers of the columns that stand at the right, from 0: ``"12"``.

    >>> table_lines(["name", "says"], [["a", "some words that wrap into lines"]], 30)
    ['name  says', 'a     some words that wrap', '      into lines']
    """
    every = [*([header] if header else []), *rows]
    if not every:
        return []
    sizes = [max(shown_length(row[index]) for row in every) for index in range(len(every[0]) - 1)]
    before = sum(sizes) + len(_GAP) * len(sizes)
    lines = []
    for row in every:
        cells = [
            _padded(cell, size, str(index) in right) for index, (cell, size) in enumerate(zip(row, sizes, strict=False))
        ]
        start = "".join(cell + _GAP for cell in cells)
        lines += _hung(start, row[-1], before, width)
    return [line.rstrip() for line in lines]


def _padded(cell: str, size: int, right: bool) -> str:
    space = " " * (size - shown_length(cell))
    return space + cell if right else cell + space


def _hung(start: str, text: str, before: int, width: int) -> list[str]:
    if width - before < NARROWEST // 2:  # no room beside: below, a little to the right
        return [start, *textwrap.wrap(text, width, initial_indent="    ", subsequent_indent="    ")]
    wrapped = textwrap.wrap(text, width - before) or [""]
    return [start + wrapped[0], *(" " * before + more for more in wrapped[1:])]


class Live(Protocol):
    """Something on the terminal that changes in place."""

    def update(self, lines: Sequence[str]) -> None:
        """Show these lines instead of the last ones."""
        ...


class Output:
    """Where a command writes. Make one with `of`.

    Attributes:
        json: the user wants JSON: use `data` (one object) or `event` (one a line), and nothing else.
        width: characters in a line, 40 to 200.
        paint: ``paint(text, "red")``; no colours unless this is a terminal.
        is_terminal: somebody looks at it now.

    Not for several threads at once.

    >>> Output(sys.stdout).line("done")
    done
    """

    def __init__(self, stream: TextIO, *, json: bool = False, no_color: bool = False) -> None:
        self._stream = stream
        self.json = json
        self.is_terminal = stream.isatty()
        self.width = width_of(stream)
        self.paint = Paint.for_stream(stream, no_color=no_color)

    @classmethod
    def of(cls, arguments: Any, stream: TextIO | None = None) -> Output:
        """From the options of `resilient_redis.cli.common.add_output_options`."""
        return cls(stream or sys.stdout, json=arguments.json, no_color=arguments.no_color)

    @property
    def fancy(self) -> bool:
        """Is ``rich`` there, and a terminal that shows colours? It is imported only then."""
        return self.paint.enabled and find_spec("rich") is not None

    def line(self, text: str = "", style: str = "") -> None:
        """One line, as it is."""
        print(self.paint(text, style) if text else "", file=self._stream, flush=True)

    def wrap(self, text: str, *, indent: str = "", hang: str | None = None, style: str = "") -> None:
        """Text in as many lines as it needs. ``hang``: how the second and later ones begin; as the first if None."""
        later = indent if hang is None else hang
        for line in textwrap.wrap(text, self.width, initial_indent=indent, subsequent_indent=later):
            self.line(line, style)

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]], *, right: str = "") -> None:
        """A table; see `table_lines`. With ``rich`` on a terminal it is drawn by that."""
        if self.fancy and header:
            self._rich_table(header, rows, right)
            return
        for number, line in enumerate(table_lines(header, rows, self.width, right)):
            self.line(line, "bold" if header and number == 0 else "")

    def data(self, value: Mapping[str, Any]) -> None:
        """One JSON object over several lines: the whole answer of a command that ends."""
        print(json.dumps(value, indent=2), file=self._stream, flush=True)

    def event(self, kind: str, value: Mapping[str, Any]) -> None:
        """One JSON object in a line, for a command that goes on: ``{"kind": …, …}``."""
        print(json.dumps({"kind": kind, **value}), file=self._stream, flush=True)

    @contextmanager
    def live(self) -> Iterator[Live]:
        """Lines that are replaced in place while the block lasts; the last ones stay.

        Not on a terminal, nothing is shown until the end.
        """
        if self.fancy:
            with _rich_live(self._stream, self.width) as live:
                yield live
            return
        live = _Redrawn(self._stream) if self.is_terminal else _AtTheEnd(self._stream)
        try:
            yield live
        finally:
            live.end()

    def _rich_table(self, header: Sequence[str], rows: Sequence[Sequence[str]], right: str) -> None:
        text = _rich("text").Text.from_ansi
        table = _rich("table").Table(box=_rich("box").SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for index, name in enumerate(header):
            last = index == len(header) - 1
            table.add_column(name, justify="right" if str(index) in right else "left", no_wrap=not last)
        for row in rows:
            table.add_row(*(text(cell) for cell in row))
        _rich("console").Console(file=self._stream, width=self.width).print(table)


class _Redrawn:
    """By moving the cursor up: what every terminal can."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._shown = stream, 0

    def update(self, lines: Sequence[str]) -> None:
        up = f"\x1b[{self._shown}F\x1b[J" if self._shown else ""
        self._stream.write(up + "".join(f"{line}\n" for line in lines))
        self._stream.flush()
        self._shown = len(lines)

    def end(self) -> None:
        pass


class _AtTheEnd:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lines: Sequence[str] = ()

    def update(self, lines: Sequence[str]) -> None:
        self._lines = lines

    def end(self) -> None:
        self._stream.write("".join(f"{line}\n" for line in self._lines))
        self._stream.flush()


@contextmanager
def _rich_live(stream: TextIO, width: int) -> Iterator[Live]:
    text = _rich("text").Text.from_ansi

    class Adapter:
        def update(self, lines: Sequence[str]) -> None:
            drawn.update(text("\n".join(lines)), refresh=True)

    console = _rich("console").Console(file=stream, width=width)
    with _rich("live").Live(console=console, auto_refresh=False) as drawn:
        yield Adapter()


def _rich(module: str) -> Any:
    # By name, for it need not be installed, not even where types are checked.
    return import_module(f"rich.{module}")
