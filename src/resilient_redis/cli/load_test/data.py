"""The keys of a run: written before it, deleted after it, whatever happened between."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import redis

from resilient_redis.cli.common import Target
from resilient_redis.cli.load_test.mix import KEY_SECONDS, Mix, Work

_PATIENCE = 5.0
"""Seconds for each step where the target says nothing: neither the beginning nor the end may hang."""

_AT_ONCE = 100
_BYTES_AT_ONCE = 1 << 20


def fill(target: Target, mix: Mix, work: Work) -> None:
    """Write the keys that the mix reads.

    Raises:
        redis.RedisError: the server cannot be reached, or does not let us write.
    """
    chunk = max(1, min(_AT_ONCE, _BYTES_AT_ONCE // max(1, len(work.value))))
    with _plain(target) as client:
        client.ping()
        for kind in mix.kinds:
            for names in _chunks(work.keys.of_kinds([kind]), chunk):
                pipe = client.pipeline(transaction=False)
                for name in names:
                    _make(pipe, kind, name, work.value)
                pipe.execute()


def clean(target: Target, mix: Mix, work: Work) -> bool:
    """Delete every key of the run; did it succeed?"""
    try:
        with _plain(target) as client:
            for names in _chunks(work.keys.of_kinds(mix.kinds), _AT_ONCE):
                client.unlink(*names)
    except (redis.RedisError, OSError):
        return False
    return True


def _make(pipe: Any, kind: str, name: str, value: bytes) -> None:
    if kind == "text":
        pipe.set(name, value, ex=KEY_SECONDS)
    elif kind == "count":
        pipe.set(name, 0, ex=KEY_SECONDS)
    elif kind == "hash":
        pipe.hset(name, "field", value)
        pipe.expire(name, KEY_SECONDS)
    else:
        pipe.zadd(name, {"0": 0})
        pipe.expire(name, KEY_SECONDS)


def _plain(target: Target) -> redis.Redis:
    known = target.connection_kwargs
    waits = ("socket_timeout", "socket_connect_timeout")
    return target.bare(**{name: known.get(name) or _PATIENCE for name in waits})


def _chunks(names: Iterable[str], size: int) -> Iterator[list[str]]:
    left = iter(names)
    while chunk := list(itertools.islice(left, size)):
        yield chunk
