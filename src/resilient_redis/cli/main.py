"""Entry point of ``resilient-redis`` and of ``python -m resilient_redis``.

redis-py takes its time to import, and Ctrl-C meanwhile must be caught: it is imported inside `main`.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

import resilient_redis
from resilient_redis.cli import exits

if TYPE_CHECKING:
    from resilient_redis.cli.parsing import Parser

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
    _prepare_streams()
    try:
        return _run(words)
    except KeyboardInterrupt:
        return exits.INTERRUPTED


def _run(words: list[str]) -> int:
    import redis

    from resilient_redis.cli.parsing import UsageError
    from resilient_redis.errors import ConfigError

    try:
        code = _dispatch(words)
        sys.stdout.flush()  # here, where a closed pipe is caught, not at the end of the process
        return code
    except UsageError as error:
        print(f"{error.usage}{_PROGRAM}: {_masked(str(error))}", file=sys.stderr)
        return exits.USAGE
    except ConfigError as error:
        for problem in error.problems if len(error.problems) > 0 else (str(error),):
            print(f"{_PROGRAM}: {_masked(problem)}", file=sys.stderr)
        return exits.USAGE
    except BrokenPipeError:
        # Python flushes stdout once more at its end, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.OUTPUT_CLOSED
    except (exits.CommandError, redis.RedisError, OSError) as error:
        print(f"{_PROGRAM}: {_told(error)}", file=sys.stderr)
        return exits.FAILED
    except SystemExit as end:  # argparse's --help and --version
        return end.code if isinstance(end.code, int) else exits.OK


def _prepare_streams() -> None:
    """``>&-`` leaves no stream to write to, and where it is not UTF-8 it has no lines to draw with.

    Without stderr an error message would stand among the output.
    """
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="replace")
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - for the rest of the process


def _masked(text: str) -> str:
    """A URL may stand in the wrong place."""
    from resilient_redis.config.problems import mask_text

    return mask_text(text)


def _told(error: Exception) -> str:
    if isinstance(error, exits.CommandError):
        return str(error)
    from resilient_redis.cli.common import in_words

    return in_words(error)


def _dispatch(words: list[str]) -> int:
    from resilient_redis.cli.parsing import Parser, UsageError, meant

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
    from resilient_redis.cli.parsing import Parser

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
