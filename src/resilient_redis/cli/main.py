"""Entry point of ``resilient-redis`` and of ``python -m resilient_redis``."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Protocol, cast

import resilient_redis
from resilient_redis.cli import exits
from resilient_redis.cli.parsing import Parser, UsageError, meant

_PROGRAM = "resilient-redis"

_COMMANDS: dict[str, str] = {
    "demo": "Kill a Redis under load and watch a service keep answering",
    "fault-proxy": "Put a network that fails on command before any Redis",
}
"""Name → what it does. The command's module in this package has the same name, and is imported only to run it."""


class Command(Protocol):
    """What a command's module offers."""

    def add_arguments(self, parser: Parser) -> None:
        """Describe its options, with examples as the epilog."""
        ...

    def run(self, arguments: object) -> int:
        """Do it; the exit code."""
        ...


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: the words after the program's name; ``None`` for those of this process.

    Returns:
        The exit code (see `resilient_redis.cli.exits`). Nothing that a user types gives a traceback.

    >>> main(["--version"])
    resilient-redis 0.1.0
    0
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _dispatch(words)
        sys.stdout.flush()  # here, where a closed pipe is caught, not at the end of the process
        return code
    except UsageError as error:
        print(f"{error.usage}{_PROGRAM}: {error}", file=sys.stderr)
        return exits.USAGE
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    except BrokenPipeError:
        # Python flushes stdout once more at its end, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.OUTPUT_CLOSED
    except SystemExit as end:  # argparse's --help and --version
        return end.code if isinstance(end.code, int) else exits.OK


def _dispatch(words: list[str]) -> int:
    root = _root_parser()
    place = next((index for index, word in enumerate(words) if not word.startswith("-")), len(words))
    root.parse_all(words[:place])
    if place == len(words):
        root.print_help(sys.stderr)
        return exits.USAGE
    name = words[place]
    if name not in _COMMANDS:
        raise UsageError(
            f"unknown command {name!r}{meant(name, _COMMANDS)} (known: {', '.join(_COMMANDS)})", root.format_usage()
        )
    command = cast("Command", import_module(f"resilient_redis.cli.{name.replace('-', '_')}"))
    parser = Parser(prog=f"{_PROGRAM} {name}", description=f"{_COMMANDS[name]}.")
    command.add_arguments(parser)
    return command.run(parser.parse_all(words[place + 1 :]))


def _root_parser() -> Parser:
    width = max(map(len, _COMMANDS))
    listed = "\n".join(f"  {name:<{width}}  {purpose}" for name, purpose in _COMMANDS.items())
    parser = Parser(
        prog=_PROGRAM,
        usage=f"{_PROGRAM} [--help] [--version] COMMAND [OPTIONS]",
        description=f"{resilient_redis.__doc__}\n\ncommands:\n{listed}",
        epilog=f"examples:\n  {_PROGRAM} demo\n  {_PROGRAM} demo --help",
    )
    parser.add_argument("--version", action="version", version=f"{_PROGRAM} {resilient_redis.__version__}")
    return parser
