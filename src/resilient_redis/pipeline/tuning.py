"""Rules for single commands: other numbers for ``GET``, or for ``"H*"``, than for the rest.

A rule is an ``overrides(...)`` block that is always open for its commands, so every layer knows how to heed it. A
client without rules pays nothing: only a `TunedPlan` looks for them, and it has no quiet path.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from resilient_redis.calls import CommandClass
from resilient_redis.commands.lookup import command_class, parse_marks
from resilient_redis.commands.table import TABLE
from resilient_redis.commands.tables import NEVER_MASKED
from resilient_redis.durations import show_duration
from resilient_redis.errors import ConfigError
from resilient_redis.pipeline.flight import Flight
from resilient_redis.pipeline.plan import Plan, Surface
from resilient_redis.pipeline.scope import Scope
from resilient_redis.policies.base import Layer, Policy, Runtime
from resilient_redis.policies.fallback import Fallback
from resilient_redis.policies.retry import Retry
from resilient_redis.policies.timeout import Timeout

Commands = Mapping[str, "str | Mapping[str, Any]"]
"""What a client is told of commands: by name or glob, the class alone, or a table of `RULE_KEYS`."""

RULE_KEYS = ("attempts", "class", "deadline", "fallback", "repeat", "timeout")

_NEEDED: dict[str, type[Policy]] = {"attempts": Retry, "repeat": Retry, "timeout": Timeout}
"""The policy without which a key would say nothing."""

_NAMES_KEPT = 1000
"""Commands whose rule is remembered; more names than Redis has commands are somebody's mistake."""


class Rules(NamedTuple):
    """What was said, sorted by whom it concerns.

    Attributes:
        marks: classes by name or glob.
        fallbacks: values by name or glob.
        numbers: what an ``overrides(...)`` block takes, by name or glob.
    """

    marks: Mapping[str, CommandClass]
    fallbacks: Mapping[str, Any]
    numbers: Mapping[str, Mapping[str, Any]]

    def fit(self, policies: Sequence[Policy]) -> tuple[Policy, ...]:
        """The policies, with the fallback values in the first `Fallback`, or in one of its own outermost.

        Raises:
            ConfigError: a rule has a number for a policy that there is not.
        """
        for name, values in self.numbers.items():
            for key in values.keys() & _NEEDED.keys():
                needed = _NEEDED[key]
                if not any(isinstance(policy, needed) for policy in policies):
                    raise ConfigError(
                        f"commands.{name}.{key}: the policies have no {needed.__name__} that it could change; add one",
                        field=f"commands.{name}.{key}",
                    )
        if not self.fallbacks:
            return tuple(policies)
        return _with_fallbacks(policies, _spread(self.fallbacks))


def parse_commands(commands: Commands) -> Rules:
    """Check what a client is told of commands.

    A key is a command (``GET``, ``"CONFIG GET"``) or a glob (``"H*"``); case does not matter. A value is a class
    alone, or a table: ``class``, ``timeout``, ``deadline``, ``attempts``, ``repeat``, ``fallback``. Where several keys
    fit a command, each value is taken from the one that fits most closely: the command's own name, else the glob with
    the most letters. A fallback under a glob covers reads only; under a write's own name it covers that write.

    Raises:
        ConfigError: an unknown key, or a value out of its range; ``field`` names it.

    >>> rules = parse_commands({"MYMOD.INCR": "accumulating", "h*": {"timeout": "50ms"}})
    >>> dict(rules.numbers)
    {'H*': {'timeout': 0.05}}
    """
    from resilient_redis.pipeline.overrides import check_overrides

    told: Any = commands
    if not isinstance(told, Mapping):
        parse_marks(told)  # says what is wrong
    marks: dict[str, str] = {}
    fallbacks: dict[str, Any] = {}
    numbers: dict[str, Mapping[str, Any]] = {}
    for written, rule in commands.items():
        if not isinstance(rule, Mapping):
            marks[written] = rule
            continue
        name = _name(written)
        values = dict(rule)
        for key in values:
            if key not in RULE_KEYS:
                raise ConfigError(
                    f"commands.{name}.{key}: unknown (known: {', '.join(RULE_KEYS)})", field=f"commands.{name}.{key}"
                )
        if "class" in values:
            marks[written] = values.pop("class")
        if "fallback" in values:
            fallbacks[name] = _maskable(name, values.pop("fallback"))
        if values:
            numbers[name] = _checked(name, values, check_overrides)
    return Rules(_parse_marks(marks), fallbacks, numbers)


def _checked(name: str, values: dict[str, Any], check: Any) -> Mapping[str, Any]:
    given = {key: values.pop(key, None) for key in ("timeout", "deadline", "attempts")}
    try:
        checked: Mapping[str, Any] = check(*given.values(), values, ("repeat",))
    except ConfigError as error:
        key = error.field.removeprefix("overrides.")
        message = str(error).partition(": ")[2]
        raise ConfigError(f"commands.{name}.{key}: {message}", field=f"commands.{name}.{key}") from None
    return checked


def _maskable(name: str, value: Any) -> Any:
    try:
        Fallback.per_command({name: value})
    except ConfigError as error:
        message = str(error).partition(": ")[2]
        raise ConfigError(f"commands.{name}.fallback: {message}", field=f"commands.{name}.fallback") from None
    return value


def _name(written: Any) -> str:
    text = " ".join(written.split()).upper() if isinstance(written, str) else ""
    if not text:
        raise ConfigError(
            f"commands: {written!r} is no command; write its name, or a glob such as 'H*'", field="commands"
        )
    return text


def is_glob(name: str) -> bool:
    """Does it stand for several commands?

    >>> is_glob("H*"), is_glob("HGET")
    (True, False)
    """
    return any(char in name for char in "*?[")


# --- classes ----------------------------------------------------------------------------------------------------


class _Marks(dict[str, CommandClass]):
    """Classes by name; what has none of its own is looked for among the globs."""

    def __init__(self, exact: Mapping[str, CommandClass], globs: Mapping[str, CommandClass]) -> None:
        super().__init__(exact)
        self.globs = globs

    def get(self, name: str, default: Any = None) -> Any:
        """As a dict's."""
        found = super().get(name)
        if found is None:
            found = next((self.globs[glob] for glob in _closest(name, self.globs)), default)
        return found

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None

    def __bool__(self) -> bool:
        return bool(len(self) or self.globs)


def _parse_marks(marks: Mapping[str, str]) -> Mapping[str, CommandClass]:
    exact = parse_marks({name: kind for name, kind in marks.items() if not is_glob(name)})
    globs = {name: kind for name, kind in marks.items() if is_glob(name)}
    if not globs:
        return exact
    # A stand-in has the message name the glob: it is no command, but its class is checked as one's is.
    checked = {
        _name(glob): next(iter(parse_marks({glob.replace(" ", ""): kind}).values())) for glob, kind in globs.items()
    }
    return _Marks(exact, checked)


def _closest(name: str, keys: Mapping[str, Any]) -> Iterator[str]:
    """The keys that fit ``name``, the closest first."""
    if name in keys:
        yield name
    fitting = [key for key in keys if key != name and is_glob(key) and fnmatchcase(name, key)]
    yield from sorted(fitting, key=lambda key: sum(char not in "*?" for char in key), reverse=True)


# --- fallbacks --------------------------------------------------------------------------------------------------


def _spread(fallbacks: Mapping[str, Any]) -> dict[str, Any]:
    """The values by command: a glob stands for the reads that fit it."""
    values = {name: value for name, value in fallbacks.items() if not is_glob(name)}
    globs = {name: value for name, value in fallbacks.items() if is_glob(name)}
    for name in TABLE if globs else ():
        if name in values or name.split()[0] in NEVER_MASKED or command_class((name,)) is not CommandClass.READ:
            continue
        for glob in _closest(name, globs):
            values[name] = globs[glob]
            break
    return values


def _with_fallbacks(policies: Sequence[Policy], values: dict[str, Any]) -> tuple[Policy, ...]:
    place = next((place for place, policy in enumerate(policies) if isinstance(policy, Fallback)), None)
    if place is None:
        return (Fallback.per_command(values), *policies) if values else tuple(policies)
    old = policies[place]
    assert isinstance(old, Fallback)
    changed = dataclasses.replace(old, commands={**old.commands, **values})
    return (*policies[:place], changed, *policies[place + 1 :])


# --- the plan ---------------------------------------------------------------------------------------------------


class TunedPlan(Plan):
    """A plan that looks for a rule at each call. It is never quiet: the quiet path knows no command."""

    def __init__(
        self,
        policies: Sequence[Policy],
        layers: Sequence[Layer],
        runtime: Runtime,
        numbers: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self._numbers = numbers
        self._found: dict[str, Mapping[str, Any] | None] = {}
        super().__init__(policies, layers, runtime)
        self.quiet = None
        self.notes = tuple(f"{name}: {_show(values)}" for name, values in numbers.items())

    def _look(self) -> None:
        """Never calm."""

    def start(
        self, surface: Surface, args: Any, options: dict[str, Any], allowance: float, scope: Scope | None
    ) -> Flight:
        """As `Plan.start`, with the command's rule under what ``overrides(...)`` blocks say."""
        flight = super().start(surface, args, options, allowance, scope)
        call = flight.call
        rule = self.rule(call.name) if call.target == "command" else None
        if rule is not None:
            if "deadline" in rule and "deadline" not in call.overrides:
                call.deadline = min(call.deadline, call.started + rule["deadline"] + allowance)
            call.overrides = {**rule, **call.overrides}
        return flight

    def rule(self, name: str) -> Mapping[str, Any] | None:
        """What holds for the command; ``None`` for nothing."""
        try:
            return self._found[name]
        except KeyError:
            merged: dict[str, Any] = {}
            for key in _closest(name, self._numbers):
                merged = {**self._numbers[key], **merged}
            if len(self._found) < _NAMES_KEPT:
                self._found[name] = merged or None
            return merged or None


def _show(values: Mapping[str, Any]) -> str:
    shown = {key: show_duration(value) if key in ("timeout", "deadline") else value for key, value in values.items()}
    return ", ".join(f"{key} {value}" for key, value in shown.items())
