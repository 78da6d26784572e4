"""``resilient-redis schema``: what a configuration may hold, for editors."""

from __future__ import annotations

import sys
from typing import Any

from resilient_redis.cli import exits
from resilient_redis.cli.parsing import Parser
from resilient_redis.config.schema import build_schema, schema_text

_EPILOG = """\
The policies of other installed packages are in it too.

examples:
  resilient-redis schema > resilient-redis.schema.json
  and as the first line of redis.toml:
  #:schema ./resilient-redis.schema.json

exit codes: 0 ok; 64 usage
"""


def add_arguments(parser: Parser) -> None:
    """Those that every command has; it is JSON with and without them."""
    parser.epilog = _EPILOG
    parser.add_argument("--json", action="store_true", help="JSON is what it prints anyway")


def run(arguments: Any) -> int:
    """Print it."""
    sys.stdout.write(schema_text(build_schema(installed=True)))
    return exits.OK
