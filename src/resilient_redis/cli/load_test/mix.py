"""What a load is made of: commands with weights, and the keys that they use, all known beforehand."""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from resilient_redis.cli.parsing import meant

_KEYS = 1000
"""Keys of each kind, so that a load does not wear one key out, and its end can delete them all."""

_MOST_DATA = 64 << 20
"""Bytes that the values of one kind may take on the server."""

_MANY = 10
"""Keys of an MGET."""

_MOST_WEIGHT = 1_000_000

KEY_SECONDS = 2 * 3600
"""Life of a key: twice the longest run. If this process is killed, nothing stays for ever."""


@dataclass(frozen=True)
class Keys:
    """The names of the keys of one run.

    Args:
        prefix: begins each of them, and belongs to this run alone.
        number: how many of each kind.
    """

    prefix: str
    number: int

    @classmethod
    def for_size(cls, prefix: str, size: int) -> Keys:
        """As many as the data may be large.

        >>> Keys.for_size("run:", 1 << 20).number
        64
        """
        return cls(prefix, max(1, min(_KEYS, _MOST_DATA // size)))

    def name(self, kind: str, number: int) -> str:
        """One key's name.

        >>> Keys("run:", 10).name("text", 23)
        'run:text:3'
        """
        return f"{self.prefix}{kind}:{number % self.number}"

    def of_kinds(self, kinds: Iterable[str]) -> Iterator[str]:
        """Every key of these kinds.

        >>> list(Keys("run:", 2).of_kinds(["text"]))
        ['run:text:0', 'run:text:1']
        """
        for kind in kinds:
            for number in range(self.number):
                yield self.name(kind, number)


@dataclass(frozen=True)
class Work:
    """What the commands of a run are given."""

    keys: Keys
    value: bytes


Command = Callable[[Any, Work, int], Any]
"""Client, work, and a number that says which key; with an asyncio client the answer is to be awaited."""


def _get(client: Any, work: Work, number: int) -> Any:
    return client.get(work.keys.name("text", number))


def _set(client: Any, work: Work, number: int) -> Any:
    return client.set(work.keys.name("text", number), work.value, ex=KEY_SECONDS)


def _incr(client: Any, work: Work, number: int) -> Any:
    return client.incr(work.keys.name("count", number))


def _mget(client: Any, work: Work, number: int) -> Any:
    return client.mget([work.keys.name("text", number + offset) for offset in range(_MANY)])


def _hget(client: Any, work: Work, number: int) -> Any:
    return client.hget(work.keys.name("hash", number), "field")


def _hset(client: Any, work: Work, number: int) -> Any:
    return client.hset(work.keys.name("hash", number), "field", work.value)


def _zadd(client: Any, work: Work, number: int) -> Any:
    # A bounded number of members, so that the set does not grow with the run.
    return client.zadd(work.keys.name("sorted", number), {str(number % 100): number})


def _ping(client: Any, _: Work, __: int) -> Any:
    return client.ping()


def _together(transaction: bool) -> Command:
    def run(client: Any, work: Work, number: int) -> Any:
        pipe = client.pipeline(transaction=transaction)
        pipe.get(work.keys.name("text", number))
        pipe.set(work.keys.name("text", number + 1), work.value, ex=KEY_SECONDS)
        pipe.incr(work.keys.name("count", number))
        return pipe.execute()

    return run


COMMANDS: dict[str, Command] = {
    "get": _get,
    "set": _set,
    "incr": _incr,
    "mget": _mget,
    "hget": _hget,
    "hset": _hset,
    "zadd": _zadd,
    "ping": _ping,
    "pipeline": _together(False),
    "transaction": _together(True),
}
"""What a mix may name. ``mget`` asks for 10 keys; ``pipeline`` is GET, SET and INCR in one round trip, and
``transaction`` the same between MULTI and EXEC."""

_KINDS: dict[str, tuple[str, ...]] = {
    "incr": ("count",),
    "hget": ("hash",),
    "hset": ("hash",),
    "zadd": ("sorted",),
    "ping": (),
    "pipeline": ("text", "count"),
    "transaction": ("text", "count"),
}
"""The kinds of keys that a command uses; ``text`` where it does not stand here."""


class Mix:
    """Commands with weights: ``get=80,set=15,incr=5``. Immutable.

    >>> mix = Mix.parse("get=3,set=1")
    >>> str(mix), mix.share("get")
    ('get=3,set=1', 0.75)
    """

    def __init__(self, weights: dict[str, int]) -> None:
        self.weights = dict(weights)
        self._names = list(weights)
        self._cumulated = [sum(list(weights.values())[: place + 1]) for place in range(len(weights))]

    @classmethod
    def parse(cls, text: str) -> Mix:
        """An argparse type.

        Raises:
            argparse.ArgumentTypeError: an unknown command, or a weight that is no whole number from 1.
        """
        weights: dict[str, int] = {}
        for word in text.split(","):
            name, equals, weight = word.strip().lower().partition("=")
            if name not in COMMANDS:
                raise argparse.ArgumentTypeError(
                    f"unknown command {name!r}{meant(name, COMMANDS)} (known: {', '.join(COMMANDS)})"
                )
            if name in weights:
                raise argparse.ArgumentTypeError(f"{name!r} stands there twice: add up its weights")
            weights[name] = _weight(name, weight if equals else "1")
        return cls(weights)

    def share(self, name: str) -> float:
        """Which part of all commands is this one."""
        return self.weights.get(name, 0) / self._cumulated[-1]

    @property
    def kinds(self) -> list[str]:
        """The kinds of keys that it uses.

        >>> Mix.parse("ping,incr,pipeline").kinds
        ['count', 'text']
        """
        return sorted({kind for name in self.weights for kind in _KINDS.get(name, ("text",))})

    def draw(self, source: random.Random, length: int) -> list[Command]:
        """So many commands, drawn by weight."""
        names = source.choices(self._names, cum_weights=self._cumulated, k=length)
        return [COMMANDS[name] for name in names]

    def __str__(self) -> str:
        return ",".join(f"{name}={weight}" for name, weight in self.weights.items())


def _weight(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= _MOST_WEIGHT):
        raise argparse.ArgumentTypeError(
            f"{name}={text}: a weight is a whole number from 1 to {_MOST_WEIGHT:,}, as in get=80,set=20"
        )
    return int(text)
