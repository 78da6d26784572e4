"""``check-config --explain``: what a configuration comes to."""

from __future__ import annotations

import dataclasses
import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from resilient_redis.commands.table.blocking import BLOCKS
from resilient_redis.config import ResilienceConfig
from resilient_redis.config.explain import values_in_url
from resilient_redis.config.lint_setup import Setup, make_setup
from resilient_redis.config.lint_worst_case import WorstCase, worst_case
from resilient_redis.config.problems import mask_text
from resilient_redis.durations import parse_duration, show_duration
from resilient_redis.pipeline.tuning import parse_commands
from resilient_redis.policies.base import Policy
from resilient_redis.policies.retry import Retry
from resilient_redis.policies.timeout import Timeout


@dataclass(frozen=True)
class Explained:
    """A configuration, explained.

    Attributes:
        settings: path, value as text (masked) and origin of every value in force.
        layers: the pipeline, outermost first, down to the server.
        worst: the worst case of a call.
        commands: the worst case of the commands that have other numbers, by name.
    """

    settings: tuple[tuple[str, str, str], ...]
    layers: tuple[str, ...]
    worst: WorstCase
    commands: Mapping[str, WorstCase]


def explain(config: ResilienceConfig) -> Explained:
    """Explain a loaded configuration. Asks no server."""
    setup = make_setup(config)
    # Fallbacks of single commands go into the first Fallback, or make one.
    layers = tuple(_layer(policy) for policy in parse_commands(setup.commands).fit(setup.policies))
    return Explained(
        tuple(_settings(config)),
        (*layers, _connections(setup), f"Redis at {_address(config)}"),
        worst_case(setup.policies, setup.exchange),
        {name: _of_command(setup, name, rule) for name, rule in setup.commands.items() if _has_numbers(rule)},
    )


def _settings(config: ResilienceConfig) -> Iterator[tuple[str, str, str]]:
    """Path, value and origin; what the URL's query says wins."""
    in_url = values_in_url(config)
    effective = _effective(make_setup(config).policies)
    for each in config.settings():
        if each.path in effective and each.value is None:
            yield each.path, f"{effective[each.path]:g}", str(each.origin)
        elif each.path in in_url:
            yield each.path, each.shown, f"url, {each.origin}"
        else:
            yield each.path, each.shown, str(each.origin)


def _effective(policies: Sequence[Policy]) -> dict[str, float]:
    """What a retry does where its number is left out."""
    retries = [(index, policy) for index, policy in enumerate(policies) if isinstance(policy, Retry)]
    return {
        f"policies[{index}].{name}": value
        for index, policy in retries
        for name, value in (("attempts", policy._attempts), ("total_time", policy._total_time))
    }


def explain_lines(explained: Explained, width: int) -> list[str]:
    """The text of it, in lines of at most ``width``; an origin that is longer, as a path may be, stays whole."""
    lines = ["settings", *_indented(_setting_lines(explained.settings, width - 2))]
    lines += ["", "pipeline", *_indented(draw(explained.layers, width - 2))]
    lines += ["", "worst case of a call", *_indented(_worst_lines(explained.worst, width - 2))]
    for name, worst in explained.commands.items():
        lines += ["", f"worst case of {name}", *_indented(_worst_lines(worst, width - 2))]
    return lines


def _setting_lines(settings: Sequence[tuple[str, str, str]], width: int) -> list[str]:
    """``path = value`` with the origins in a column, below where there is no room beside."""
    texts = [(f"{path} = {value}", origin) for path, value, origin in settings]
    widest = max((len(origin) for _, origin in texts), default=0)
    column = max(0, min(max((len(text) for text, _ in texts), default=0), _VALUES, width - widest - 2))
    lines = []
    for text, origin in texts:
        *above, last = textwrap.wrap(text, width, subsequent_indent="    ", break_on_hyphens=False)
        lines += above
        if len(last) <= column:
            lines.append(f"{last:<{column}}  {origin}")
        else:
            lines += [last, f"    {origin}"]  # never broken: it may be a path
    return lines


_VALUES = 60
"""Characters of a path and its value, at most, where origins stand beside."""


def draw(layers: Sequence[str], width: int) -> list[str]:
    """A call on its way in, layer by layer.

    >>> print(*draw(["Retry: 3 attempts", "Timeout: 1 s", "Redis"], 40), sep="\\n")
    a call
    └ 1. Retry: 3 attempts
      └ 2. Timeout: 1 s
        └ Redis
    """
    lines = ["a call"]
    for depth, layer in enumerate(layers):
        start = "  " * min(depth, width // 4)  # half of the width is left for words, however deep
        lines += textwrap.wrap(
            _numbered(layer, depth), width, initial_indent=f"{start}└ ", subsequent_indent=f"{start}  "
        )
    return lines


def _numbered(layer: str, depth: int) -> str:
    return layer if layer.startswith(_NO_POLICY) else f"{depth + 1}. {layer}"


_NO_POLICY = ("pool: ", "shared: ", "Redis")


def _layer(policy: Policy) -> str:
    name = getattr(policy, "name", None)
    return f"{type(policy).__name__}{f' {name!r}' if name else ''}: {policy.describe()}"


def _connections(setup: Setup) -> str:
    pool = setup.pool
    waits = show_duration(parse_duration(pool["acquire_timeout"]))
    text = f"at most {pool['max_connections']} connections, {pool['min_idle']} kept idle, {waits} to get one"
    return (
        f"shared: many callers on few connections; others from a pool of {text}"
        if setup.multiplexed
        else f"pool: {text}"
    )


def _address(config: ResilienceConfig) -> str:
    if config.url is not None:
        return mask_text(config.url)
    options = config.options
    where = options.get("unix_socket_path") or f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"
    return f"{where}, db {options.get('db', 0)}"


# --- worst cases ------------------------------------------------------------------------------------------------


def _has_numbers(rule: Mapping[str, Any]) -> bool:
    return bool({"timeout", "deadline", "attempts"} & rule.keys())


def _of_command(setup: Setup, name: str, rule: Mapping[str, Any]) -> WorstCase:
    """The worst case with a command's own numbers."""
    worst = worst_case([_tuned(policy, rule) for policy in setup.policies], setup.exchange)
    if name in BLOCKS:
        worst = WorstCase(worst.sends, math.inf, (*worst.steps, "the time that it may block comes on top"))
    deadline = rule.get("deadline")
    if deadline is None:
        return worst
    seconds = parse_duration(deadline)
    step = f"deadline: at most {show_duration(seconds)}"
    return WorstCase(worst.sends, min(worst.seconds, seconds), (*worst.steps, step))


def _tuned(policy: Policy, rule: Mapping[str, Any]) -> Policy:
    if isinstance(policy, Timeout) and rule.get("timeout") is not None:
        return dataclasses.replace(policy, seconds=rule["timeout"])
    if isinstance(policy, Retry) and rule.get("attempts") is not None:
        return dataclasses.replace(policy, attempts=rule["attempts"])
    return policy


def _worst_lines(worst: WorstCase, width: int) -> list[str]:
    sends = "any number of sends" if math.isinf(worst.sends) else f"{worst.sends:g} send{'s' * (worst.sends != 1)}"
    seconds = "no limit of time" if math.isinf(worst.seconds) else show_duration(worst.seconds)
    lines = [f"{sends}, {seconds}"]
    for step in worst.steps:
        lines += textwrap.wrap(step, width, initial_indent="- ", subsequent_indent="  ")
    return lines


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"  {line}" for line in lines]
