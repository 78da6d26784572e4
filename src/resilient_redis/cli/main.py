"""Entry point of ``resilient-redis`` and of ``python -m resilient_redis``."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Protocol, cast

import redis

import resilient_redis
from resilient_redis.cli import exits
from resilient_redis.cli.parsing import Parser, UsageError, meant
from resilient_redis.errors import ConfigError

_PROGRAM = "resilient-redis"

_COMMANDS: dict[str, str] = {
    "check-config": "Say what is wrong with a configuration, and what it comes to",
    "schema": "Print the JSON Schema of a configuration, for editors",
    "doctor": "Examine a server and how this service would use it",
    "ping": "Measure round trips to a server until stopped",
    "pool-size": "Divide a server's connections among your workers",
    "load-test": "Load a server and see how many calls are answered, and how soon",
    "top": "Watch a server's clients, or a process's pools and circuits",
    "completion": "Complete these commands in bash, zsh or fish",
    "demo": "Kill a Redis under load and watch a service keep answering",
    "fault-proxy": "Put a network that fails on command before any Redis",
}
"""Name → what it does. The command's module in this package has the same name, and is imported only to run it."""

_EPILOG = f"""\
examples:
  {_PROGRAM} demo
  {_PROGRAM} doctor --url redis://localhost:6379
  {_PROGRAM} doctor --help

exit codes: 0 ok; 1 warnings; 2 failed; 64 the command line or the
configuration is wrong; 130 stopped by Ctrl-C
"""


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
    except ConfigError as error:
        for problem in error.problems if len(error.problems) > 0 else (str(error),):
            print(f"{_PROGRAM}: {problem}", file=sys.stderr)
        return exits.USAGE
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    except BrokenPipeError:
        # Python flushes stdout once more at its end, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.OUTPUT_CLOSED
    except (exits.CommandError, redis.RedisError, OSError) as error:
        print(f"{_PROGRAM}: {_told(error)}", file=sys.stderr)
        return exits.FAILED
    except SystemExit as end:  # argparse's --help and --version
        return end.code if isinstance(end.code, int) else exits.OK


def _told(error: Exception) -> str:
    if isinstance(error, exits.CommandError):
        return str(error)
    from resilient_redis.cli.common import in_words

    return in_words(error)


def _dispatch(words: list[str]) -> int:
    root = _root_parser()
    place = next((index for index, word in enumerate(words) if not word.startswith("-")), len(words))
    root.parse_all(words[:place])
    if place == len(words):
        root.print_help(sys.stderr)
        return exits.USAGE
    name = words[place]
    if name not in _COMMANDS:
        hint = meant(name, [*_COMMANDS, "--help", "--version"])  # others have commands by these names
        raise UsageError(f"unknown command {name!r}{hint} (known: {', '.join(_COMMANDS)})", root.format_usage())
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
        epilog=_EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"{_PROGRAM} {resilient_redis.__version__}")
    return parser
