"""``resilient-redis pool-size``: divide a server's connections among the workers."""

from __future__ import annotations

import dataclasses
from typing import Any

from resilient_redis.cli import exits
from resilient_redis.cli.common import add_output_options
from resilient_redis.cli.output import Output
from resilient_redis.cli.parsing import Parser, whole_number
from resilient_redis.pool.sizing import RESERVE, pool_size

_MOST = 10_000_000

_EPILOG = """\
The result never exceeds the limit: it is rounded down. In a rolling deployment
old and new workers run at the same time: count both.

examples:
  resilient-redis pool-size --limit 250 --workers 13
  resilient-redis pool-size --limit 10000 --workers 40 --reserve 100
  resilient-redis pool-size --limit 250 --workers 13 --json

exit codes: 0 ok; 64 usage, or not a connection for each worker
"""


def add_arguments(parser: Parser) -> None:
    """The three numbers."""
    parser.epilog = _EPILOG
    parser.add_argument(
        "--limit",
        type=whole_number(1, _MOST),
        required=True,
        metavar="N",
        help="connections that the server admits (CONFIG GET maxclients), or your part of them",
    )
    parser.add_argument(
        "--workers", type=whole_number(1, _MOST), required=True, metavar="N", help="processes with a pool of their own"
    )
    parser.add_argument(
        "--reserve",
        type=whole_number(0, _MOST),
        default=RESERVE,
        metavar="N",
        help=f"connections kept back for people and tools (default: {RESERVE})",
    )
    add_output_options(parser)


def run(arguments: Any) -> int:
    """Show the arithmetic; the exit code."""
    size = pool_size(arguments.limit, arguments.workers, arguments.reserve)
    out = Output.of(arguments)
    if out.json:
        out.data({**dataclasses.asdict(size), "explanation": size.explanation().splitlines()})
        return exits.OK
    for line in size.explanation().splitlines():
        out.wrap(line, hang="  ")
    out.line()
    out.line("[pool]", "dim")
    out.line(f"max_connections = {size.max_connections}", "bold")
    out.line(f"min_idle = {size.min_idle}", "bold")
    return exits.OK
