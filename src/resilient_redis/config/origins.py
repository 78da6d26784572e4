"""Where a value of the configuration comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from resilient_redis.config.problems import MASK, is_secret, mask_text

Kind = Literal["code", "variable", "file", "default"]


@dataclass(frozen=True)
class Origin:
    """Where a value was set. Immutable.

    Attributes:
        kind: ``"code"`` (a keyword argument), ``"variable"`` (of the environment), ``"file"`` or ``"default"``.
        name: the variable's name, or the file as it was given (``config`` for a mapping); empty for the others.
        line: the line in the file, from 1; ``None`` where there are no lines.

    >>> str(Origin("file", "redis.toml", 12)), str(Origin("variable", "REDIS_URL")), str(Origin("default"))
    ('redis.toml:12', 'REDIS_URL', 'default')
    """

    kind: Kind
    name: str = ""
    line: int | None = None

    def __str__(self) -> str:
        if not self.name:
            return self.kind
        return self.name if self.line is None else f"{self.name}:{self.line}"


CODE = Origin("code")
DEFAULT = Origin("default")


@dataclass(frozen=True)
class Setting:
    """One value in force, and where it was set. Immutable.

    Attributes:
        path: ``url``, ``options.socket_timeout``, ``pool.min_idle``, ``policies[0].attempts`` …
        value: the value; it may be a secret, so print ``shown``.
        origin: where it was set.

    >>> Setting("options.password", "hunter2", Origin("variable", "REDIS_PASSWORD")).shown
    "'***'"
    """

    path: str
    value: Any
    origin: Origin

    def __repr__(self) -> str:
        return f"Setting({self.path!r}, {self.shown}, {str(self.origin)!r})"

    @property
    def shown(self) -> str:
        """The value as text, without its secrets."""
        return show_value(self.path.rpartition(".")[2], self.value)


def show_value(name: str, value: Any) -> str:
    """A value as text; masked if ``name`` is that of a secret, and without the credentials of a URL.

    >>> show_value("url", "redis://me:hunter2@db"), show_value("port", 6379)
    ("'redis://***@db'", '6379')
    """
    if value is not None and is_secret(name):
        return repr(MASK)
    return mask_text(repr(value))
