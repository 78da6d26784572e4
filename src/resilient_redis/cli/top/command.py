"""The command's options, and its loop."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

from resilient_redis.cli import exits
from resilient_redis.cli.common import CommandError, Target, add_output_options, add_target_options
from resilient_redis.cli.output import Output, width_of
from resilient_redis.cli.parsing import Parser, UsageError, one_of, seconds, whole_number
from resilient_redis.cli.top import server, service
from resilient_redis.cli.top.server import SORTS, ServerSample
from resilient_redis.cli.top.service import ServiceSample
from resilient_redis.cli.top.source import ServerSource, ServiceSource

_ROWS = 20
_MOST_ROWS = 10_000

_EPILOG = """\
Without --monitor: who is connected to the server, by CLIENT LIST and INFO.
With it: a process's pools and circuits, from the JSON of its monitoring URL.

examples:
  resilient-redis top --url redis://localhost:6379
  resilient-redis top --sort omem --interval 5
  resilient-redis top --once --json > clients.json
  resilient-redis top --monitor http://127.0.0.1:8000/redis
  resilient-redis top --monitor http://127.0.0.1:8000/redis --once

exit codes of --once: 0 all is seen and well; 1 something may not be seen, or
is not well; 2 nothing answers. 64 usage; 130 ended by Ctrl-C
"""

Sample = ServerSample | ServiceSample


def add_arguments(parser: Parser) -> None:
    """The view's options."""
    parser.epilog = _EPILOG
    add_target_options(parser)
    parser.add_argument("--monitor", type=_http, metavar="URL", help="look at a process instead, at this http(s) URL")
    parser.add_argument("--once", action="store_true", help="show it once")
    parser.add_argument(
        "--interval", type=seconds(0.1, 3600), default=2.0, metavar="S", help="ask again after so long (default: 2)"
    )
    parser.add_argument(
        "--sort", type=one_of(SORTS), default="idle", metavar="NAME", help=f"{', '.join(SORTS)} (default: idle)"
    )
    parser.add_argument(
        "--rows",
        type=whole_number(1, _MOST_ROWS),
        metavar="N",
        help=f"clients shown (default: what fits, {_ROWS} if this is no terminal)",
    )
    add_output_options(parser)


def run(arguments: Any) -> int:
    """Show it until Ctrl-C, or once; the exit code."""
    output = Output.of(arguments)
    if arguments.monitor is not None and (arguments.url or arguments.config):
        raise UsageError("--monitor looks at a process, --url and --config at a server: give one of them")
    with closing(_source(arguments)) as source:
        view = _View(source, arguments, output)
        return view.once() if arguments.once else view.go_on()


def _source(arguments: Any) -> ServerSource | ServiceSource:
    if arguments.monitor is not None:
        return ServiceSource(arguments.monitor)
    return ServerSource(Target.of(arguments))


class _View:
    def __init__(self, source: ServerSource | ServiceSource, arguments: Any, output: Output) -> None:
        self._source, self._arguments, self._output = source, arguments, output
        self._before: Any = None
        self._json_name = "pools" if isinstance(source, ServiceSource) else "clients"

    def once(self) -> int:
        sample = self._source.take()
        if self._output.json:
            self._output.data(self._data(sample))
        else:
            for line in self._lines(sample):
                self._output.line(line)
        return exits.OK if _is_well(sample) else exits.WARNINGS

    def go_on(self) -> int:
        try:
            if self._output.is_terminal and not self._output.json:
                with self._output.live() as live:
                    while True:
                        live.update(self._next())
                        time.sleep(self._arguments.interval)
            while True:
                self._print_next()
                time.sleep(self._arguments.interval)
        except KeyboardInterrupt:
            return exits.INTERRUPTED

    def _next(self) -> list[str]:
        try:
            sample = self._source.take()
        except CommandError as error:
            return [self._output.paint(f"{error}"[: width_of(sys.stdout) - 1], "red"), "trying again …"]
        lines = self._lines(sample)
        self._before = sample
        height = _height()
        return lines if len(lines) < height else [*lines[: height - 2], "…"]

    def _print_next(self) -> None:
        try:
            sample = self._source.take()
        except CommandError as error:
            if self._output.json:
                self._output.event("error", {"message": str(error)})
            else:
                self._output.line(f"{error}")
            return
        if self._output.json:
            self._output.event(self._json_name, self._data(sample))
        else:
            for line in [*self._lines(sample), ""]:
                self._output.line(line)
        self._before = sample

    def _data(self, sample: Sample) -> dict[str, Any]:
        address = {"address": self._source.address}
        if isinstance(sample, ServiceSample):
            return {**address, **sample.as_dict(self._before)}
        return {**address, **sample.as_dict(self._before, self._arguments.sort)}

    def _lines(self, sample: Sample) -> list[str]:
        width, paint, address = width_of(sys.stdout), self._output.paint, self._source.address
        if isinstance(sample, ServiceSample):
            return service.lines_of(sample, self._before, address=address, width=width, paint=paint)
        return server.lines_of(
            sample,
            self._before,
            address=address,
            sort=self._arguments.sort,
            width=width,
            rows=self._rows(sample),
            paint=paint,
        )

    def _rows(self, sample: ServerSample) -> int:
        if self._arguments.rows is not None:
            return int(self._arguments.rows)
        if not self._output.is_terminal or self._arguments.once:
            return _ROWS
        names = len(server.totals(sample.clients or []))
        return max(3, _height() - min(names, 6) - 12)


def _is_well(sample: Sample) -> bool:
    if isinstance(sample, ServerSample):
        return not sample.unseen
    return all(pool.status in ("", "healthy") for pool in sample.pools)


def _height() -> int:
    try:
        lines = os.get_terminal_size(sys.stdout.fileno()).lines
    except (OSError, ValueError):
        lines = 0
    return max(8, lines or 24)  # some terminals do not say


def _http(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise argparse.ArgumentTypeError("give an http:// or https:// URL, as in http://127.0.0.1:8000/redis")
    return text


__all__: Sequence[str] = ["add_arguments", "run"]
