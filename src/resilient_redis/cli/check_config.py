"""``resilient-redis check-config``: what is wrong with a configuration, what is odd, and what it comes to."""

from __future__ import annotations

from typing import Any

from resilient_redis.cli.check_json import file_data
from resilient_redis.cli.check_results import check_file, exit_code
from resilient_redis.cli.check_text import file_lines
from resilient_redis.cli.common import add_output_options, check_url
from resilient_redis.cli.output import Output
from resilient_redis.cli.parsing import Parser, UsageError

_EPILOG = """\
Without --profile the top level and every profile are looked at. Variables of
the environment count, as they do for a service that starts here.

A finding is silenced in the file, with the reason:
  [lint]
  silence = { RR208 = "a cache: a lost write costs nothing" }

examples:
  resilient-redis check-config redis.toml
  resilient-redis check-config redis.toml --explain --profile sessions
  resilient-redis check-config conf/*.toml --strict --json

exit codes: 0 ok; 1 warnings; 2 errors, with --strict warnings too; 64 usage
"""


def add_arguments(parser: Parser) -> None:
    """Its options."""
    parser.epilog = _EPILOG
    parser.add_argument("files", nargs="*", metavar="FILE", help="TOML, JSON, YAML, or a pyproject.toml")
    parser.add_argument("--config", metavar="FILE", help="one more file")
    parser.add_argument("--url", metavar="URL", help="the server, instead of the file's; nothing is asked of it")
    parser.add_argument("--profile", metavar="NAME", help="look at this profile only")
    parser.add_argument(
        "--explain", action="store_true", help="show each value with its origin, the pipeline, the worst case"
    )
    parser.add_argument("--strict", action="store_true", help="warnings are errors")
    add_output_options(parser)


def run(arguments: Any) -> int:
    """Check them all; the exit code."""
    names = [*arguments.files, *([arguments.config] if arguments.config else [])]
    if not names:
        raise UsageError("which file? write: resilient-redis check-config redis.toml")
    check_url(arguments.url)
    files = [check_file(name, arguments.profile, arguments.url) for name in names]
    code = exit_code(files, strict=arguments.strict)
    out = Output.of(arguments)
    if out.json:
        out.data({"exit_code": code, "files": [file_data(file, explained=arguments.explain) for file in files]})
        return code
    for number, file in enumerate(files):
        if number:
            out.line()
        for text, style in file_lines(file, out.width, explained=arguments.explain):
            out.line(text, style)
    return code
