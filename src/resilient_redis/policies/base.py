"""What every policy is made of.

A **policy** is an immutable value: what you write, what ``describe()`` prints, what a file can hold. Binding it to
a `Runtime` gives its **layer**, which holds the live state and has up to three hooks. No hook does I/O, waits, or
knows whether a thread or a task is calling: it answers with a decision, and the driver carries it out.
"""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Protocol

import msgspec

from resilient_redis.calls import Call, Outcome
from resilient_redis.clock import Clock
from resilient_redis.errors import ConfigError, RejectedError
from resilient_redis.events import Events


class Runtime(msgspec.Struct, frozen=True, eq=False):
    """What a layer may use: time, chance, and a place to tell what happened."""

    clock: Clock
    rng: random.Random
    events: Events


# --- decisions --------------------------------------------------------------------------------------------------


class Reject:
    """``enter`` answers: do not call. ``error`` leaves, unless a layer outside replaces it."""

    __slots__ = ("error",)

    def __init__(self, error: RejectedError) -> None:
        self.error = error


class Ticket(Protocol):
    """A place in a queue. Granted once, or cancelled once."""

    limit: float | None
    """Seconds it may wait; ``None`` for no limit of its own."""

    token: object
    """The token that ``enter`` would have answered with."""

    def arm(self, wake: Callable[[], None]) -> bool:
        """Have ``wake`` called (from any thread) when granted. True: it is granted already, do not wait."""
        ...

    def cancel(self) -> bool:
        """Give the place up. True: it was granted meanwhile, and the permit is yours to use or give back."""
        ...

    def refusal(self) -> Reject:
        """The refusal to give when it was not granted in time."""
        ...


class Wait:
    """``enter`` answers: wait for ``ticket``, then go on with its token."""

    __slots__ = ("ticket",)

    def __init__(self, ticket: Ticket) -> None:
        self.ticket = ticket


class Again:
    """``exit`` answers: wait ``seconds``, then enter the layers inside again. ``token`` replaces this layer's own."""

    __slots__ = ("seconds", "token")

    def __init__(self, seconds: float, token: object) -> None:
        self.seconds = seconds
        self.token = token


class Replace:
    """``exit`` answers: the call succeeds with ``value`` after all."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class Supply:
    """``exit`` answers: the call ends with whatever ``function(call, error)`` gives; awaited where tasks run."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[[Call, Exception], Any]) -> None:
        self.function = function


class Become:
    """``exit`` answers: the layers outside see ``outcome`` instead."""

    __slots__ = ("outcome",)

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome


Decision = Again | Replace | Supply | Become | None


# --- layer and policy -------------------------------------------------------------------------------------------

ALWAYS_CALM: Final = object()
"""A `Layer.calm` for layers that a successful call never concerns."""


class Layer:
    """The live side of a policy. One layer serves any number of threads, tasks and event loops at once.

    Override the hooks you need; the plan skips the others.

    Attributes:
        policy: the policy it came from.
        watches_success: set it to True to have ``exit`` asked about successes too. Failures always are.
        timeout: seconds by which ``enter`` lowers the deadline, for the plan's quick path; ``None`` if it does not.
        calm: a token that stands for ``enter`` while a success would change nothing here, else ``None``. While all
            layers are calm a call runs without any hook. Give another token where a call from before must not be
            taken for one of now.
        note: while calm, called with the clock's reading after each success, by any thread; ``None``: none is missed.
        slow: while calm, a success that took more seconds than this goes through the hooks all the same.

    >>> from resilient_redis import ResiliencePipeline
    >>> class Counting(Layer):
    ...     calls = 0
    ...     def enter(self, call):
    ...         self.calls += 1
    >>> @dataclass(frozen=True)
    ... class Count(Policy):
    ...     layer_type = Counting
    >>> pipeline = ResiliencePipeline([Count()])
    >>> pipeline.call(len, "four")
    4
    """

    policy: Any  # a subclass says which
    watches_success: bool = False
    timeout: float | None = None
    calm: object | None = None
    note: Callable[[float], object] | None = None
    slow: float = math.inf

    def __init__(self, policy: Policy, runtime: Runtime) -> None:
        self.policy = policy
        self.runtime = runtime
        self.label = policy.label

    def enter(self, call: Call) -> Any:
        """Before the inner layers: answer a token of your own (or None), a `Reject`, or a `Wait`."""

    def exit(self, token: Any, outcome: Outcome) -> Decision:
        """The inside ended. Decide before you change anything: if this raises, `release` is called."""

    def release(self, token: Any) -> None:
        """The call was cancelled or died of a BaseException: give permits back, count nothing."""

    def after_fork(self) -> None:
        """This is a new child process: make fresh locks, and forget the calls of threads that do not exist here."""


@dataclass(frozen=True)
class Policy:
    """Base of all policies; subclass it as a frozen dataclass.

    Set ``type_name`` (how a file and ``describe()`` call it), ``layer_type``, and ``Spec`` if a file may hold it.
    See ``examples/custom_policy.py`` for a complete one in 20 lines.

    Immutable, so it may be shared by clients, threads and tasks; what changes is in its layer.

    >>> from resilient_redis import ResiliencePipeline
    >>> @dataclass(frozen=True)
    ... class Renamed(Policy):
    ...     title: str = "nothing"
    ...     type_name = "renamed"
    >>> print(ResiliencePipeline([Renamed("something")]).describe().splitlines()[0])
    1. Renamed: title='something'
    """

    type_name: ClassVar[str] = ""
    layer_type: ClassVar[type[Layer]] = Layer
    Spec: ClassVar[type[msgspec.Struct] | None] = None

    @property
    def label(self) -> str:
        """The name given to it, else its type name."""
        return getattr(self, "name", None) or self.type_name or type(self).__name__

    def bind(self, runtime: Runtime) -> Layer:
        """Make the layer that holds this policy's live state."""
        return self.layer_type(self, runtime)

    def describe(self) -> str:
        """One line with every effective number."""
        return ", ".join(f"{field.name}={getattr(self, field.name)!r}" for field in dataclasses.fields(self))

    @classmethod
    def from_spec(cls, spec: msgspec.Struct) -> Policy:
        """Make the policy from its plain form.

        Raises:
            ConfigError: a value is out of its range; ``field`` names it.
        """
        return cls(**{name: getattr(spec, name) for name in spec.__struct_fields__})

    def to_spec(self) -> msgspec.Struct:
        """The plain form, for a file.

        Raises:
            ConfigError: a field holds something only code can hold (a callable, a pybreaker object); it is named.
        """
        if self.Spec is None:
            raise ConfigError(f"{self.label}: this policy has no form for files; write it in code")
        plain = self.Spec.__struct_fields__
        for field in dataclasses.fields(self):
            if field.name not in plain and not _is_default(field, getattr(self, field.name)):
                raise ConfigError(
                    f"{self.label}.{field.name}: only code can hold this value; leave it out to write it to a file",
                    field=field.name,
                )
        values = {name: self._plain(name, getattr(self, name)) for name in plain}
        return self.Spec(**values)

    def _plain(self, name: str, value: Any) -> Any:
        try:
            msgspec.json.encode(value)
        except (TypeError, ValueError, msgspec.MsgspecError):
            raise ConfigError(
                f"{self.label}.{name}: only code can hold {_culprit(value)}; a file holds numbers, text and lists",
                field=name,
            ) from None
        return value

    def _set(self, name: str, value: Any) -> None:
        """For ``__post_init__`` only: store a normalised value in the frozen instance."""
        object.__setattr__(self, name, value)


def _culprit(value: Any) -> str:
    """What in ``value`` a file cannot hold, for an error message."""
    for item in value if isinstance(value, (list, tuple)) else ():
        if isinstance(item, type) or callable(item):
            return getattr(item, "__name__", type(item).__name__)
    return type(value).__name__


def _is_default(field: dataclasses.Field[Any], value: Any) -> bool:
    default = field.default
    if default is dataclasses.MISSING and field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
    return value is default or bool(value == default)


def require(condition: bool, policy: str, field: str, value: object, expected: str) -> None:
    """Raise a `ConfigError` that names policy, field, value and remedy unless ``condition`` holds."""
    if not condition:
        raise ConfigError(f"{policy}.{field}: {value!r} is out of range; {expected}", field=field)


def require_name(policy: str, name: object) -> None:
    """Raise a `ConfigError` unless ``name`` is text or ``None``: live state is looked up by it."""
    if name is not None and not isinstance(name, str):
        raise ConfigError(f"{policy}.name: {name!r} is no text; give a name in quotes, or leave it out", field="name")
