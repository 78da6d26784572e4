"""``resilient-redis ping``: round trips to a server until stopped."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import redis

from resilient_redis.cli import exits
from resilient_redis.cli.common import Target, add_output_options, add_target_options, in_words
from resilient_redis.cli.output import Output
from resilient_redis.cli.parsing import Parser, seconds, whole_number
from resilient_redis.cli.ping_figures import Figures, show_ms

_EPILOG = """\
One PING after another over one connection, without retries: what you see is
the network and the server. Ctrl-C ends it, with the figures.

examples:
  resilient-redis ping
  resilient-redis ping --url redis://10.0.0.5:6379 --interval 100ms
  resilient-redis ping --config redis.toml --count 50 --json

exit codes: 0 all were answered; 1 some failed; 2 none was answered; 64 usage.
Ctrl-C is the usual end: the same codes
"""


def add_arguments(parser: Parser) -> None:
    """How many, and how often."""
    parser.epilog = _EPILOG
    parser.add_argument(
        "--count", type=whole_number(1, 10**9), metavar="N", help="end after so many (default: go on until Ctrl-C)"
    )
    parser.add_argument(
        "--interval",
        type=seconds(0.001, 3600),
        default=1.0,
        metavar="SECONDS",
        help="from one to the next, 1ms to 1h (default: 1)",
    )
    add_target_options(parser)
    add_output_options(parser)


def run(arguments: Any) -> int:
    """Ping until stopped; the exit code."""
    target, out, figures = Target.of(arguments), Output.of(arguments), Figures()
    pinger = _Pinger(target, figures)
    try:
        with _shown(out, target, figures) as show:
            for _ in _beats(arguments.count, arguments.interval):
                show(pinger.ping())
    except KeyboardInterrupt:
        pass  # how most people end it; the figures are complete without the one under way
    finally:
        pinger.close()
    _sum_up(out, figures)
    if figures.failures == figures.sent:
        return exits.FAILED
    return exits.WARNINGS if figures.failures else exits.OK


class _Reply(NamedTuple):
    """``seconds`` is ``None`` for one that failed, and ``reason`` for one that was answered."""

    seconds: float | None
    reason: str | None


class _Pinger:
    def __init__(self, target: Target, figures: Figures) -> None:
        self._pool: Any = target.pool()
        self._address, self._figures = target.address, figures
        self._socket: Any = None

    def ping(self) -> _Reply:
        try:
            connection = self._pool.get_connection()
            self._note_dial(connection)
        except (redis.RedisError, OSError) as error:
            return self._failed(error)
        try:
            return self._over(connection)
        except (redis.RedisError, OSError) as error:  # redis-py has closed it, unless the server answered
            return self._failed(error)
        finally:
            self._pool.release(connection)

    def close(self) -> None:
        self._pool.disconnect()

    def _over(self, connection: Any) -> _Reply:
        began = time.perf_counter()
        connection.send_command("PING", check_health=False)
        connection.read_response()
        took = time.perf_counter() - began
        self._figures.answered(took)
        return _Reply(took, None)

    def _note_dial(self, connection: Any) -> None:
        # A connection that was reset is dialled anew under the same object, over another socket.
        if connection._sock is not self._socket:
            self._socket = connection._sock
            self._figures.dialled()

    def _failed(self, error: Exception) -> _Reply:
        reason = in_words(error, self._address)
        self._figures.failed(reason)
        return _Reply(None, reason)


def _beats(count: int | None, interval: float) -> Iterator[int]:
    """Now, and then every ``interval`` seconds; what took longer is not made up for."""
    numbers = itertools.count(1) if count is None else range(1, count + 1)
    next_one = time.monotonic()
    for number in numbers:
        time.sleep(max(0.0, next_one - time.monotonic()))
        next_one = max(next_one + interval, time.monotonic())
        yield number


@contextmanager
def _shown(out: Output, target: Target, figures: Figures) -> Iterator[Callable[[_Reply], None]]:
    """On a terminal the figures are redrawn; elsewhere each reply is a line."""
    if out.json:
        yield lambda reply: out.event("ping", _as_dict(figures.sent, reply))
    elif out.is_terminal:
        out.line(f"PING {target.address}; Ctrl-C ends it", "bold")
        with out.live() as live:
            yield lambda reply: live.update(_drawn(out, figures, reply))
    else:
        out.line(f"PING {target.address}")
        yield lambda reply: out.line(f"{figures.sent}: {_told(reply)}")


def _drawn(out: Output, figures: Figures, reply: _Reply) -> list[str]:
    style = "red" if reply.seconds is None else "green"
    last = out.paint(f"last: {_told(reply)}"[: out.width], style)
    return [last, *figures.lines(out.width, out.paint)]


def _told(reply: _Reply) -> str:
    return reply.reason or show_ms((reply.seconds or 0.0) * 1000)


def _as_dict(number: int, reply: _Reply) -> dict[str, Any]:
    milliseconds = None if reply.seconds is None else round(reply.seconds * 1000, 4)
    return {"number": number, "milliseconds": milliseconds, "reason": reply.reason}


def _sum_up(out: Output, figures: Figures) -> None:
    if out.json:
        out.event("summary", figures.as_dict())
    elif not out.is_terminal:
        for line in figures.lines(out.width, out.paint):
            out.line(line)
