"""``resilient-redis completion``: a script that completes commands, options and their values in a shell."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from resilient_redis.cli import exits
from resilient_redis.cli.completion_scripts import SHELLS
from resilient_redis.cli.completion_shapes import Shape, shape_of
from resilient_redis.cli.output import Output
from resilient_redis.cli.parsing import Parser, one_of

_EPILOG = """\
Put the line for your shell into the file that it reads when it starts.

examples:
  eval "$(resilient-redis completion bash)"     in ~/.bashrc
  eval "$(resilient-redis completion zsh)"      in ~/.zshrc, after compinit
  resilient-redis completion fish | source      in config.fish
  resilient-redis completion bash --json        what there is to complete
"""


def add_arguments(parser: Parser) -> None:
    """Which shell."""
    parser.epilog = _EPILOG
    parser.add_argument("shell", type=one_of(list(SHELLS)), metavar="SHELL", help=", ".join(SHELLS))
    parser.add_argument("--json", action="store_true", help="print JSON, for a shell that is not among these")


def run(arguments: Any) -> int:
    """Print the script; the exit code."""
    shapes = all_shapes()
    if arguments.json:
        Output(sys.stdout, json=True).data({"commands": [shape.as_dict() for shape in shapes]})
    else:
        print(SHELLS[arguments.shell](shapes), end="")
    return exits.OK


def all_shapes() -> list[Shape]:
    """What every command takes, asked of its own parser."""
    from resilient_redis.cli.main import _COMMANDS  # which imports this module to run it

    found = []
    for name, purpose in _COMMANDS.items():
        parser = Parser(prog=name)
        import_module(f"resilient_redis.cli.{name.replace('-', '_')}").add_arguments(parser)
        found.append(shape_of(name, purpose, parser))
    return found
