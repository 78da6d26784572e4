"""The command's options, and what it does with them."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import redis

from resilient_redis import Multiplexed
from resilient_redis.cli.common import CommandError, Target, add_output_options, add_target_options, in_words
from resilient_redis.cli.load_test.chart import draw
from resilient_redis.cli.load_test.mix import Mix
from resilient_redis.cli.load_test.report import header, progress_line, summary
from resilient_redis.cli.load_test.result import LoadResult
from resilient_redis.cli.load_test.run import Progress, perform
from resilient_redis.cli.load_test.setting import LARGEST, LONGEST, MOST_CALLS, MOST_WORKERS, Setting
from resilient_redis.cli.output import Output
from resilient_redis.cli.parsing import Parser, UsageError, one_of, seconds, whole_number
from resilient_redis.transport.adopt import adopt

_SECONDS = 10.0
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "kib": 1 << 10, "m": 1 << 20, "mib": 1 << 20}
_SIZE = re.compile(r"(\d{1,9})\s*([a-z]*)", re.ASCII)

_EPILOG = """\
Commands of a mix: get, set, incr, mget, hget, hset, zadd, ping, pipeline,
transaction. Keys have a prefix of their own and are deleted at the end.

examples:
  resilient-redis load-test                             10 s, 16 threads
  resilient-redis load-test --asyncio --concurrency 200 --seconds 30
  resilient-redis load-test --mix get=80,set=15,incr=5 --size 4KiB
  resilient-redis load-test --config redis.toml --profile cache
  resilient-redis load-test --compare --chart run.svg   beside bare redis-py
  resilient-redis load-test --operations 50000 --json > run.json

exit codes: 0 every call was answered; 1 some were not, or keys are left;
2 none was, or the server cannot be reached; 64 usage; 130 stopped by Ctrl-C,
with the figures so far
"""


def add_arguments(parser: Parser) -> None:
    """The load test's options."""
    parser.epilog = _EPILOG
    add_target_options(parser)
    parser.add_argument(
        "--concurrency",
        type=whole_number(1, MOST_WORKERS),
        default=16,
        metavar="N",
        help=f"callers at the same time, 1 to {MOST_WORKERS} (default: 16)",
    )
    parser.add_argument(
        "--operations",
        type=whole_number(1, MOST_CALLS),
        metavar="N",
        help=f"end after so many calls, at most {MOST_CALLS:,}; with --compare on each side",
    )
    parser.add_argument(
        "--seconds",
        type=seconds(0.1, LONGEST),
        metavar="S",
        help=f"end after so long, at most {LONGEST:g} (default: {_SECONDS:g}, with --operations {LONGEST:g})",
    )
    parser.add_argument(
        "--mix",
        type=Mix.parse,
        default="get=80,set=20",
        metavar="COMMAND=WEIGHT,…",
        help="which commands, how often (default: get=80,set=20)",
    )
    parser.add_argument(
        "--size", type=_size, default=100, metavar="BYTES", help="of a value, as in 100 or 4KiB; at most 16MiB"
    )
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--sync", action="store_true", help="threads (the default)")
    kind.add_argument("--asyncio", action="store_true", help="asyncio tasks instead of threads")
    parser.add_argument(
        "--strategy",
        type=one_of(["pooled", "multiplexed"]),
        metavar="NAME",
        help="pooled or multiplexed (default: as configured)",
    )
    parser.add_argument("--compare", action="store_true", help="run bare redis-py in turns with it, and give ratios")
    parser.add_argument("--chart", type=_chart, metavar="FILE", help="draw it: FILE.svg, or FILE.png with matplotlib")
    parser.add_argument("--allow-remote", action="store_true", help="load a server that is not this machine's")
    add_output_options(parser)


def run(arguments: Any) -> int:
    """Run the load; the exit code."""
    target = Target.of(arguments)
    if not arguments.allow_remote and not target.is_loopback:
        raise UsageError(
            f"{target.address} is not this machine: a load test takes its capacity from everybody else; "
            "test a server of your own, or add --allow-remote"
        )
    if arguments.chart is not None:
        _check_chart(arguments.chart)
    setting, output = _setting(arguments, target), Output.of(arguments)
    if output.json:
        result = _perform(target, setting, arguments.mix, lambda _: None)
        output.data(result.as_dict())
    else:
        result = _show(target, setting, arguments.mix, output)
    if arguments.chart is not None:
        _draw(arguments.chart, result, output)
    return result.exit_code


def _show(target: Target, setting: Setting, mix: Mix, output: Output) -> LoadResult:
    unicode = _speaks_unicode()
    for line in header(setting, output.width):
        output.line(line)
    if not output.is_terminal:
        result = _perform(target, setting, mix, lambda _: None)
    else:
        with output.live() as live:
            result = _perform(
                target,
                setting,
                mix,
                lambda progress: live.update([progress_line(progress, output.width - 1, unicode=unicode)]),
            )
            live.update([])
    for line in summary(result, output.width, output.paint, unicode=unicode):
        output.line(line)
    return result


def _perform(target: Target, setting: Setting, mix: Mix, show: Callable[[Progress], None]) -> LoadResult:
    try:
        return perform(target, setting, mix, show)
    except redis.RedisError as error:  # at the start: later ones are counted
        raise CommandError(in_words(error, target.address)) from error


def _setting(arguments: Any, target: Target) -> Setting:
    longest = _SECONDS if arguments.operations is None else LONGEST
    options = {} if arguments.strategy is None else {"strategy": arguments.strategy}
    client = target.client(**options)  # whatever is wrong with the configuration shows before anything is sent
    client.close()
    return Setting(
        address=target.address,
        concurrency=arguments.concurrency,
        seconds=arguments.seconds or longest,
        calls=arguments.operations,
        mix=str(arguments.mix),
        size=arguments.size,
        mode="asyncio" if arguments.asyncio else "threads",
        strategy="multiplexed" if isinstance(adopt(client.connection_pool).strategy, Multiplexed) else "pooled",
        strategy_given=arguments.strategy is not None,
        compare=arguments.compare,
        policies=" > ".join(policy.label for policy in client.policies) or "none",
    )


def _size(text: str) -> int:
    found = _SIZE.fullmatch(text.strip().lower())
    size = 0 if found is None else int(found[1]) * _UNITS.get(found[2], 0)
    if not 1 <= size <= LARGEST:
        raise argparse.ArgumentTypeError(f"{text!r}: give bytes from 1 to 16MiB, as in 100, 4KiB or 1MiB")
    return size


def _chart(text: str) -> Path:
    path = Path(text)
    if path.suffix.lower() not in (".svg", ".png"):
        raise argparse.ArgumentTypeError(f"{text!r}: a chart is drawn as FILE.svg or FILE.png")
    return path


def _check_chart(path: Path) -> None:
    """Before the load: nobody wants to hear it after an hour.

    Raises:
        CommandError: it could not be drawn, or not be written.
    """
    if path.suffix.lower() == ".png" and find_spec("matplotlib") is None:
        raise CommandError(
            f"{path}: a PNG needs matplotlib, which is not installed; pip install matplotlib, or write an .svg"
        )
    if path.is_dir() or not os.access(path.parent, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise CommandError(f"{path}: cannot be written; give a file in a folder that is there and yours")


def _draw(path: Path, result: LoadResult, output: Output) -> None:
    try:
        draw(path, result)
    except OSError as error:
        raise CommandError(f"{path}: cannot be written: {error.strerror}") from error
    if not output.json:
        output.line(f"chart: {path}")


def _speaks_unicode() -> bool:
    try:
        "█▏µ".encode(sys.stdout.encoding or "ascii")
    except (LookupError, UnicodeEncodeError):
        return False
    return True
