"""The completion scripts for bash, zsh and fish. Pure: shapes in, text out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from resilient_redis.cli.completion_shapes import Option, Shape

_PROGRAM = "resilient-redis"
_ROOT = (
    Option(("-h", "--help"), "show this help message and exit"),
    Option(("--version",), "show program's version number and exit"),
)


def bash(shapes: Sequence[Shape]) -> str:
    """For bash 4 and newer; in 3.2 (macOS) everything but file names."""
    return _BASH.format(
        root=" ".join([*_flags(_ROOT), *(shape.name for shape in shapes)]),
        commands="\n".join(_bash_command(shape) for shape in shapes),
    )


_BASH = """\
# bash completion for resilient-redis; made by "resilient-redis completion bash"
_resilient_redis() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}} command="" words="" index
    # bash takes --option=value for three words
    if [[ $current == "=" ]]; then
        current=""
    elif [[ $previous == "=" ]]; then
        previous=${{COMP_WORDS[COMP_CWORD-2]}}
    fi
    for ((index = 1; index < COMP_CWORD; index++)); do
        if [[ ${{COMP_WORDS[index]}} != -* ]]; then
            command=${{COMP_WORDS[index]}}
            break
        fi
    done
    COMPREPLY=()
    case $command in
        "")
            words="{root}"
            ;;
{commands}
    esac
    COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -F _resilient_redis resilient-redis
"""


def _bash_command(shape: Shape) -> str:
    cases = [_bash_case(option) for option in shape.options if option.takes_value]
    values = [value for argument in shape.arguments for value in argument.values]
    lines = [f"        {shape.name})"]
    if cases:
        lines += ["            case $previous in", *cases, "            esac"]
    lines.append(f'            words="{" ".join([*_flags(shape.options), *values])}"')
    if any(argument.is_file for argument in shape.arguments):
        lines.append("            [[ $current == -* ]] || compopt -o default 2>/dev/null")
    return "\n".join([*lines, "            ;;"])


def _bash_case(option: Option) -> str:
    if option.values:
        then = f'words="{" ".join(option.values)}"; COMPREPLY=($(compgen -W "$words" -- "$current")); return'
    elif option.is_file:
        then = "compopt -o default 2>/dev/null; return"
    else:
        then = "return"  # a value that only the user knows
    return f"                {'|'.join(option.flags)}) {then} ;;"


def zsh(shapes: Sequence[Shape]) -> str:
    """For zsh with its completion system on (``compinit``)."""
    return _ZSH.format(
        root=_zsh_options(_ROOT, 8),
        described="\n".join(f"                {_quoted(f'{shape.name}:{_plain(shape.purpose)}')}" for shape in shapes),
        commands="\n".join(_zsh_command(shape) for shape in shapes),
    )


_ZSH = """\
#compdef resilient-redis
# zsh completion for resilient-redis; made by "resilient-redis completion zsh"
_resilient_redis() {{
    local context state state_descr line
    local -A opt_args
    _arguments -C \\
{root} \\
        '1:command:->command' \\
        '*::argument:->argument'
    case $state in
        command)
            local -a commands
            commands=(
{described}
            )
            _describe -t commands command commands
            ;;
        argument)
            case $line[1] in
{commands}
            esac
            ;;
    esac
}}
compdef _resilient_redis resilient-redis
"""


def _zsh_command(shape: Shape) -> str:
    specs = [_zsh_options(shape.options, 24)]
    for number, argument in enumerate(shape.arguments, start=1):
        place = "*" if argument.repeats else str(number)
        specs.append(" " * 24 + _quoted(f"{place}:{_zsh_escaped(argument.value)}:{_zsh_action(argument)}"))
    return (
        f"                {shape.name})\n                    _arguments \\\n"
        + " \\\n".join(specs)
        + "\n                    ;;"
    )


def _zsh_options(options: Iterable[Option], indent: int) -> str:
    specs = []
    for option in options:
        for flag in option.flags:
            others = "" if option.repeats or len(option.flags) == 1 else f"({' '.join(option.flags)})"
            joined = "=" if option.takes_value and flag.startswith("--") else ""  # --option value, or --option=value
            start = f"{'*' if option.repeats else others}{flag}{joined}[{_zsh_escaped(option.purpose)}]"
            value = f":{_zsh_escaped(option.value)}:{_zsh_action(option)}" if option.takes_value else ""
            specs.append(" " * indent + _quoted(start + value))
    return " \\\n".join(specs)


def _zsh_action(option: Option) -> str:
    if option.values:
        return f"({' '.join(option.values)})"
    return "_files" if option.is_file else ""


def _zsh_escaped(text: str) -> str:
    return re.sub(r"([\[\]:\\])", r"\\\1", text)


def fish(shapes: Sequence[Shape]) -> str:
    """For fish 3 and newer."""
    lines = [
        '# fish completion for resilient-redis; made by "resilient-redis completion fish"',
        f"complete -c {_PROGRAM} -f",
        *(_fish_option("__fish_use_subcommand", option) for option in _ROOT),
    ]
    lines += [
        f"complete -c {_PROGRAM} -n __fish_use_subcommand -a {shape.name} -d {_fish_quoted(shape.purpose)}"
        for shape in shapes
    ]
    for shape in shapes:
        condition = _fish_quoted(f"__fish_seen_subcommand_from {shape.name}")
        lines += [_fish_option(condition, option) for option in shape.options]
        for argument in shape.arguments:
            if argument.values:
                lines.append(f"complete -c {_PROGRAM} -n {condition} -a {_fish_quoted(' '.join(argument.values))}")
            elif argument.is_file:
                lines.append(f"complete -c {_PROGRAM} -n {condition} -F")
    return "\n".join(lines) + "\n"


def _fish_option(condition: str, option: Option) -> str:
    words = [f"complete -c {_PROGRAM} -n {condition}"]
    words += [f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in option.flags]
    if option.is_file:
        words.append("-r -F")
    elif option.takes_value:
        words.append("-x")
    if option.values:
        words.append(f"-a {_fish_quoted(' '.join(option.values))}")
    return " ".join([*words, f"-d {_fish_quoted(option.purpose)}"])


def _flags(options: Iterable[Option]) -> list[str]:
    return [flag for option in options for flag in option.flags]


def _plain(text: str) -> str:
    return text.replace(":", r"\:")


def _quoted(text: str) -> str:
    """In single quotes, for zsh."""
    return "'" + text.replace("'", "'\\''") + "'"


def _fish_quoted(text: str) -> str:
    """In single quotes, for fish, where a backslash escapes in them."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


SHELLS: dict[str, Callable[[Sequence[Shape]], str]] = {"bash": bash, "zsh": zsh, "fish": fish}
