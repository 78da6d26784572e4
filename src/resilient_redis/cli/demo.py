"""``resilient-redis demo``: kill a Redis under load and watch a service keep answering."""

from __future__ import annotations

import json
import sys
from typing import Any, get_args

import redis

from resilient_redis.cli import exits
from resilient_redis.cli.demo_report import header, second_line, summary
from resilient_redis.cli.demo_result import DemoResult, Second, Setting
from resilient_redis.cli.demo_run import perform
from resilient_redis.cli.demo_stage import LONGEST, SHORTEST, Schedule, Stage
from resilient_redis.cli.output import Paint
from resilient_redis.cli.parsing import Parser, one_of, whole_number
from resilient_redis.testing import EmbeddedServer, ServerNotFoundError, ServerStartError
from resilient_redis.testing._find import ServerKind

_MOST_WORKERS = 64

_EPILOG = """\
It needs no Redis: it starts a server of its own, which ends with it.

examples:
  resilient-redis demo                          20 seconds, 8 threads
  resilient-redis demo --seconds 30             a longer outage
  resilient-redis demo --asyncio --workers 24   the asyncio client
  resilient-redis demo --json > demo.json       one JSON object, nothing else

exit codes: 0 no call of the resilient side failed; 2 one did, or no server
could be started; 64 usage; 130 stopped by Ctrl-C, with the figures so far
"""


def add_arguments(parser: Parser) -> None:
    """The demo's options."""
    parser.epilog = _EPILOG
    parser.add_argument(
        "--seconds",
        type=whole_number(SHORTEST, LONGEST),
        default=20,
        metavar="N",
        help=f"how long it takes in all, {SHORTEST} to {LONGEST} (default: 20)",
    )
    parser.add_argument(
        "--workers",
        type=whole_number(1, _MOST_WORKERS),
        default=8,
        metavar="N",
        help=f"callers on each side, 1 to {_MOST_WORKERS} (default: 8)",
    )
    parser.add_argument("--asyncio", action="store_true", help="asyncio tasks instead of threads")
    kinds = get_args(ServerKind)
    parser.add_argument(
        "--server",
        type=one_of(kinds),
        metavar="KIND",
        help=f"{', '.join(kinds)} (default: the first that is found)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end, and nothing else")


def run(arguments: Any) -> int:
    """Run the demo; the exit code."""
    try:
        result = _run(arguments)
    except (ServerNotFoundError, ServerStartError, redis.RedisError) as error:
        print(f"resilient-redis demo: {error}", file=sys.stderr)
        return exits.FAILED
    if arguments.json:
        print(json.dumps(result.as_dict(), indent=2))
    else:
        print(summary(result, Paint.for_stream(sys.stdout)))
    return result.exit_code


def _run(arguments: Any) -> DemoResult:
    with EmbeddedServer.start(prefer=arguments.server) as server:
        schedule = Schedule.of(arguments.seconds)
        mode = "asyncio" if arguments.asyncio else "threads"
        setting = Setting(server.binary.kind, server.binary.version, arguments.workers, mode, schedule)
        stage = Stage(server, schedule)
        if arguments.json:
            return perform(stage, setting, lambda _: None)
        paint = Paint.for_stream(sys.stdout)

        def show(second: Second) -> None:
            print(second_line(second, paint), flush=True)

        print(header(setting, paint), flush=True)
        return perform(stage, setting, show)
