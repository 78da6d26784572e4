"""Fallback: what the caller gets when nothing else worked."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import msgspec

from resilient_redis import events as told
from resilient_redis.calls import NO_OVERRIDES, Call, Kind, Outcome
from resilient_redis.commands.lookup import split_name
from resilient_redis.commands.shapes import fit
from resilient_redis.commands.tables import NEVER_MASKED, SENT_AS
from resilient_redis.commands.traits import command_name, maskable
from resilient_redis.commands.words import word
from resilient_redis.errors import ConfigError
from resilient_redis.policies.base import (
    ALWAYS_CALM,
    Decision,
    Layer,
    Policy,
    Replace,
    Runtime,
    Supply,
    require_name,
)
from resilient_redis.policies.matching import Matcher, dotted, matchers, matches, names_bug, show_matchers

UNSET = msgspec.UNSET


class FallbackSpec(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the caller gets when nothing else worked."""

    value: Any = UNSET
    commands: dict[str, Any] = {}
    writes: bool = False
    on: list[str] = []
    name: str | None = None


class FallbackLayer(Layer):
    """Answers for calls that an outage ended. Holds no state."""

    policy: Fallback
    calm = ALWAYS_CALM

    def __init__(self, policy: Fallback, runtime: Runtime) -> None:
        super().__init__(policy, runtime)
        plain = policy.value is None or isinstance(policy.value, (str, bytes, int, float, bool))
        self._values = dict(policy.commands)
        for called, sent in SENT_AS.items():
            if called in self._values:
                self._values.setdefault(sent, self._values[called])
        self._names_subcommands = any(" " in name for name in self._values)
        # The commonest fallback needs no look-up and no copy, and refusals come by the thousand.
        self._always = Replace(policy.value) if plain and not policy.commands else None

    def exit(self, token: object, outcome: Outcome) -> Decision:
        """Replace a covered failure by the value."""
        error = outcome.error
        if error is None or not self._covers(outcome, error):
            return None
        call = outcome.call
        decision = self._answer(call, error)
        events = self.runtime.events
        if decision is not None and events.heard:
            events.emit(told.FallbackUsed(self.label, call.name, str(outcome.kind)))
        return decision

    def mask(self, words: tuple[Any, ...]) -> Any:
        """The value for a command that was refused before it was sent; ``UNSET``: none."""
        name = command_name(words)
        covered = maskable(name, words)
        named = self._named(name, words) if self._values else UNSET
        if covered == "never" or (covered == "if_told" and not (self.policy.writes or named is not UNSET)):
            return UNSET
        value = self.policy.value if named is UNSET else named
        return UNSET if value is UNSET else _own_copy(fit(name, words, value))

    def mask_function(self) -> Any:
        """The value for a guarded function that was not called; ``UNSET``: none, or it goes by the function's name."""
        if self._always is not None:
            return self._always.value
        value = self.policy.value
        return UNSET if value is UNSET or self._values else _own_copy(value)

    def _named(self, name: str, words: tuple[Any, ...]) -> Any:
        """The value given for a command, by its two words or by the first; ``UNSET``: none."""
        if self._names_subcommands:
            full, rest = split_name(words)
            if " " not in full and rest:  # what is in no table may have subcommands all the same
                full = f"{full} {word(rest[0])}"
            if full in self._values:
                return self._values[full]
        return self._values.get(name, UNSET)

    def _named_for(self, call: Call) -> Any:
        return self._named(call.name, call.args if call.target == "command" else ())

    def _covers(self, outcome: Outcome, error: Exception) -> bool:
        call = outcome.call
        if call.fallback_outside or call.stateful or call.maskable == "never":
            return False
        if call.maskable == "if_told" and not self.policy.writes and self._named_for(call) is UNSET:
            return False
        return self._is_outage(outcome, error)

    def _is_outage(self, outcome: Outcome, error: Exception) -> bool:
        kind = outcome.kind
        if kind is None or kind.outage:
            return kind is not None
        if kind is Kind.DENIED:
            return False
        on = self.policy._on
        if kind is Kind.PROGRAMMING:
            return names_bug(error, on)
        return (outcome.exhausted and kind is Kind.FOREIGN) or matches(error, on)

    def _answer(self, call: Call, error: Exception) -> Decision:
        policy = self.policy
        if self._always is not None and call.target == "callable" and call.overrides is NO_OVERRIDES:
            return self._always
        if call.target == "pipeline":
            return self._answer_pipeline(call, error)
        value = call.overrides.get("fallback", UNSET)
        if value is UNSET:
            value = self._named_for(call)
        if value is UNSET:
            if policy.function is not None:
                return Supply(policy.function)
            value = policy.value
        if value is UNSET:
            return None
        if call.target == "command":
            value = fit(call.name, call.args, value)
        return Replace(_own_copy(value))

    def _answer_pipeline(self, call: Call, error: Exception) -> Decision:
        given = self.policy.pipeline
        if given is None:
            return None
        values = given(call) if callable(given) else given
        if not isinstance(values, (list, tuple)) or len(values) != call.size:
            shown = len(values) if isinstance(values, (list, tuple)) else type(values).__name__
            error.add_note(f"{self.label}: pipeline= gave {shown} instead of {call.size} results; not used")
            return None
        return Replace(_own_copy(list(values)))


def _own_copy(value: Any) -> Any:
    """Each caller gets its own: a caller that appends to a shared default would change everybody's."""
    if value is None or isinstance(value, (str, bytes, int, float, bool)):
        return value
    return copy.deepcopy(value)


def _shown(value: object) -> str:
    """Its type: fallback values are nobody's to print."""
    return f"a value of type {type(value).__name__}"


def _require_copyable(name: str, value: Any) -> None:
    """Found out now, not in the outage."""
    try:
        _own_copy(value)
    except Exception as error:
        raise ConfigError(
            f"Fallback.{name}: {type(value).__name__} cannot be copied for each caller; give "
            "Fallback.using(lambda call, error: ...) instead",
            field=name,
        ) from error


@dataclass(frozen=True)
class Fallback(Policy):
    """Answer with a value when the service could not.

    Covered are outages: unreachable, timed out, refused by the server for now, pool exhausted, circuit open,
    bulkhead full, retries exhausted. Never covered: a wrong password, a missing right, a bug, and the steps of a
    protocol (WATCH, MULTI, the SCAN family, SET NX, locks, pub/sub, PING), where a made-up reply would be believed.

    Plain reads are covered by default. The reply keeps the shape that callers unpack: with ``Fallback(None)``,
    ``mget`` gives one None per key, ``hgetall`` an empty dict, ``lrange`` an empty list. Every use is a
    `FallbackUsed` event, so a masked outage can be seen.

    Args:
        value: what the caller gets. Mutable values are copied for each caller.
        commands: values by command name; naming a write covers it.
        writes: cover writes too. The caller then cannot tell a stored value from a lost one.
        pipeline: results for a pipeline: a list of its length, or a function of the `Call` that returns one.
            Without it pipelines are not covered.
        on: more exceptions to cover (types or predicates), for guarded functions.
        function: see `Fallback.using`.
        name: shown in ``describe()`` and events.

    Raises:
        ConfigError: no value at all, or ``commands`` names a step of a protocol.

    Immutable, safe to share.

    >>> Fallback(None).describe()
    'None; plain reads only'
    """

    value: Any = UNSET
    commands: Mapping[str, Any] = field(default_factory=dict)
    writes: bool = False
    pipeline: list[Any] | Callable[[Call], list[Any]] | None = None
    on: Any = ()
    function: Callable[[Call, Exception], Any] | None = None
    name: str | None = None

    type_name: ClassVar[str] = "fallback"
    layer_type: ClassVar[type[Layer]] = FallbackLayer
    Spec: ClassVar[Any] = FallbackSpec

    def __post_init__(self) -> None:
        if self.value is UNSET and not self.commands and self.function is None and self.pipeline is None:
            raise ConfigError("Fallback.value: a fallback needs a value; write Fallback(None) for None", field="value")
        self._check_forms()
        self._set("commands", {name.upper(): value for name, value in self.commands.items()})
        for name in self.commands:
            if name.split(" ")[0] in NEVER_MASKED:
                raise ConfigError(
                    f"Fallback.commands: {name} is a step of a protocol or a question about the server, and a made-up "
                    "reply would be believed; leave it out",
                    field=f"commands.{name}",
                )
        self._set("on", matchers(self.on, "Fallback.on"))
        for name, value in (
            ("value", self.value),
            *((f"commands.{name}", value) for name, value in self.commands.items()),
        ):
            _require_copyable(name, value)

    def _check_forms(self) -> None:
        """What would else be found out in the outage."""
        commands, function, pipeline = self.commands, self.function, self.pipeline
        if not isinstance(commands, Mapping) or not all(isinstance(name, str) for name in commands):
            raise ConfigError(
                f'Fallback.commands: {_shown(commands)} is no table; give values by name, such as {{"GET": None}}',
                field="commands",
            )
        if function is not None and not callable(function):
            raise ConfigError(
                f"Fallback.function: {_shown(function)} cannot be called; give a function(call, error)",
                field="function",
            )
        if not (pipeline is None or callable(pipeline) or isinstance(pipeline, (list, tuple))):
            raise ConfigError(
                f"Fallback.pipeline: {_shown(pipeline)} is no list; give one of the pipeline's length, or a function "
                "of the call that returns one",
                field="pipeline",
            )
        require_name("Fallback", self.name)

    @property
    def _on(self) -> tuple[Matcher, ...]:
        on: tuple[Matcher, ...] = self.on
        return on

    @classmethod
    def using(
        cls, function: Callable[[Call, Exception], Any], *, writes: bool = False, name: str | None = None
    ) -> Fallback:
        """A fallback that is computed: ``function(call, error)``; a coroutine function in asyncio.

        What it raises leaves instead of the error, with that error as its cause and what is known of the command.
        Only a `RejectedError` ("never sent") does not, where the command may have run.

        >>> Fallback.using(lambda call, error: call.args[1:]).describe()
        'computed by <lambda>; plain reads only'
        """
        return cls(function=function, writes=writes, name=name)

    @classmethod
    def per_command(cls, values: Mapping[str, Any], *, name: str | None = None) -> Fallback:
        """Values for the named commands only; the others keep their error.

        >>> Fallback.per_command({"GET": "", "INCR": 0}).describe()
        "GET: '', INCR: 0"
        """
        if not values:
            raise ConfigError("Fallback.per_command: name at least one command", field="commands")
        return cls(commands=values, name=name)

    @classmethod
    def from_spec(cls, spec: msgspec.Struct) -> Fallback:
        """As `Policy.from_spec`; a file that gives neither value nor commands means None (TOML has no null)."""
        values = {name: getattr(spec, name) for name in spec.__struct_fields__}
        if values["value"] is UNSET and not values["commands"]:
            values["value"] = None
        return cls(**values)

    def _plain(self, name: str, value: Any) -> Any:
        if name == "value" and value is UNSET:
            return UNSET
        if name == "on":
            value = [dotted(matcher) for matcher in value]
        plain = super()._plain(name, value)
        if (
            msgspec.json.decode(msgspec.json.encode(plain)) != plain
        ):  # bytes, sets, tuples: a file gives them back otherwise
            raise ConfigError(
                f"{self.label}.{name}: {value!r} would come back from a file as something else; a file holds numbers, "
                "text, lists and tables",
                field=name,
            )
        return plain

    def describe(self) -> str:
        """The values, and what they cover."""
        parts = [f"{name}: {value!r}" for name, value in self.commands.items()]
        covered = "reads and writes" if self.writes else "plain reads only"
        if self.function is not None:
            parts.append(f"computed by {getattr(self.function, '__name__', 'a function')}; {covered}")
        elif self.value is not UNSET:
            parts.append(f"{self.value!r}; {covered}")
        if self.pipeline is not None:
            parts.append("pipelines too")
        if self._on:
            parts.append(f"also on {show_matchers(self._on)}")
        return ", ".join(parts)
