"""``resilient-redis doctor``: examine a server, and how this service would use it."""

from __future__ import annotations

from typing import Any

from resilient_redis.cli import exits
from resilient_redis.cli.common import Target, add_output_options, add_target_options
from resilient_redis.cli.doctor.checks import CHECKS, examine
from resilient_redis.cli.doctor.line import Report
from resilient_redis.cli.doctor.show import Folded, show_end, show_line
from resilient_redis.cli.output import Output
from resilient_redis.cli.parsing import Parser, whole_number

_EPILOG = """\
It only reads: a few INFO, CONFIG GET, CLIENT LIST and SLOWLOG GET, and some
hundred PINGs. What its user may not do is skipped, and said so.

examples:
  resilient-redis doctor
  resilient-redis doctor --url rediss://app@redis.example.org:6379/0
  resilient-redis doctor --config redis.toml --profile sessions --workers 13
  resilient-redis doctor --json > doctor.json

exit codes: 0 nothing found; 1 warnings; 2 something failed; 64 usage;
130 stopped by Ctrl-C, with what was found until then
"""


def add_arguments(parser: Parser) -> None:
    """Which server, and how many workers."""
    parser.epilog = _EPILOG
    parser.add_argument(
        "--workers",
        type=whole_number(1, 10_000_000),
        metavar="N",
        help="processes with a pool of their own (default: what [lint] workers says, else 1)",
    )
    add_target_options(parser)
    add_output_options(parser)


def run(arguments: Any) -> int:
    """Examine, and show each line as soon as it is known; the exit code."""
    target, out, report = Target.of(arguments), Output.of(arguments), Report()
    code = None
    shown = Folded(lambda line: show_line(out, line, max(map(len, CHECKS))))
    try:
        for line in examine(target, arguments.workers):
            report.add(line)
            if not out.json:
                shown.add(line)
    except KeyboardInterrupt:
        code = exits.INTERRUPTED  # what was found until then is shown all the same
    shown.flush()
    if out.json:
        out.data({"address": target.address, **report.as_dict()})
    else:
        show_end(out, report)
    return report.exit_code if code is None else code
