"""Random commands whose replies can be compared: nothing random, no clock in a reply, ids of streams given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

READ, IDEMPOTENT, OTHER = "read", "idempotent", "other"

FAULTS = {
    READ: ("cut_before_request", "cut_after_request", "half_reply", "loading"),
    IDEMPOTENT: ("cut_before_request", "cut_after_request", "half_reply", "loading"),
    OTHER: ("oom", "oom", "oom", "loading"),  # the latter takes a while
}
"""What a command of each class survives unseen: it may run again, or it surely did not run."""


@dataclass(frozen=True)
class Asked:
    """A method of the client with its arguments, or a pipeline of several."""

    method: str
    args: tuple[Any, ...] = ()
    options: tuple[tuple[str, Any], ...] = ()
    kind: str = OTHER
    fault: str | None = None
    batch: tuple[Asked, ...] = ()
    """A pipeline's commands; ``args`` is then ``(transaction, raise_on_error)``."""


STRINGS, HASHES, LISTS = st.sampled_from(["s1", "s2"]), st.sampled_from(["h1", "h2"]), st.sampled_from(["l1", "l2"])
SETS, ZSETS, STREAMS = st.sampled_from(["t1", "t2"]), st.sampled_from(["z1", "z2"]), st.sampled_from(["x1"])
ANY = st.one_of(STRINGS, HASHES, LISTS, SETS, ZSETS, STREAMS, st.just("none"))
FIELDS = st.sampled_from(["a", "b", "c"])
VALUES = st.one_of(st.integers(-5, 5), st.sampled_from(["", "x", "7", "ü€", "long" * 50]))
INDEX = st.integers(-3, 3)
SCORES = st.sampled_from([-1.5, 0, 1, 2.25])


def _of(kind: str, method: str, *args: st.SearchStrategy[Any], **options: Any) -> st.SearchStrategy[Asked]:
    fixed = tuple(options.items())
    return st.tuples(*args).map(lambda drawn: Asked(method, drawn, fixed, kind))


READS = [
    _of(READ, "get", st.one_of(STRINGS, ANY)),
    _of(READ, "mget", st.lists(STRINGS, min_size=1, max_size=3)),
    _of(READ, "strlen", STRINGS),
    _of(READ, "getrange", STRINGS, INDEX, INDEX),
    _of(READ, "exists", ANY, ANY),
    _of(READ, "type", ANY),
    _of(READ, "ttl", ANY),
    _of(READ, "hget", st.one_of(HASHES, ANY), FIELDS),
    _of(READ, "hgetall", HASHES),
    _of(READ, "hmget", HASHES, st.lists(FIELDS, min_size=1, max_size=2)),
    _of(READ, "hexists", HASHES, FIELDS),
    _of(READ, "lrange", st.one_of(LISTS, ANY), INDEX, INDEX),
    _of(READ, "llen", LISTS),
    _of(READ, "lindex", LISTS, INDEX),
    _of(READ, "smembers", SETS),
    _of(READ, "sismember", SETS, FIELDS),
    _of(READ, "sinter", SETS, SETS),
    _of(READ, "zrange", ZSETS, INDEX, INDEX, withscores=True),
    _of(READ, "zrange", ZSETS, INDEX, INDEX),
    _of(READ, "zscore", ZSETS, FIELDS),
    _of(READ, "zrank", ZSETS, FIELDS),
    _of(READ, "zcount", ZSETS, st.just("-inf"), SCORES),
    _of(READ, "xrange", STREAMS),
    _of(READ, "xlen", STREAMS),
    _of(READ, "scan", match="h*", count=100),
    _of(READ, "hscan", HASHES),
]
IDEMPOTENTS = [
    _of(IDEMPOTENT, "set", STRINGS, VALUES),
    _of(IDEMPOTENT, "set", STRINGS, VALUES, ex=1000),
    _of(IDEMPOTENT, "mset", st.dictionaries(STRINGS, VALUES, min_size=1)),
    _of(IDEMPOTENT, "ltrim", LISTS, st.just(0), st.integers(0, 3)),  # from elsewhere it takes away each time
]
OTHERS = [
    _of(OTHER, "set", STRINGS, VALUES, nx=True),
    _of(OTHER, "set", STRINGS, VALUES, get=True),
    _of(OTHER, "incr", st.one_of(STRINGS, ANY)),
    _of(OTHER, "incrbyfloat", STRINGS, SCORES),
    _of(OTHER, "append", STRINGS, VALUES),
    _of(OTHER, "delete", ANY, ANY),
    _of(OTHER, "expire", ANY, st.just(1000)),
    _of(OTHER, "persist", ANY),
    _of(OTHER, "hset", HASHES, FIELDS, VALUES),
    _of(OTHER, "hdel", HASHES, FIELDS),
    _of(OTHER, "hincrby", HASHES, FIELDS, st.integers(-2, 2)),
    _of(OTHER, "rpush", st.one_of(LISTS, ANY), VALUES, VALUES),
    _of(OTHER, "lpush", LISTS, VALUES),
    _of(OTHER, "lpop", LISTS),
    _of(OTHER, "rpop", LISTS, st.integers(0, 2)),
    _of(OTHER, "lmove", LISTS, LISTS),
    _of(OTHER, "lrem", LISTS, st.just(0), VALUES),
    _of(OTHER, "sadd", SETS, FIELDS, FIELDS),
    _of(OTHER, "srem", SETS, FIELDS),
    _of(OTHER, "smove", SETS, SETS, FIELDS),
    _of(OTHER, "zadd", ZSETS, st.dictionaries(FIELDS, SCORES, min_size=1)),
    _of(OTHER, "zincrby", ZSETS, SCORES, FIELDS),
    _of(OTHER, "zrem", ZSETS, FIELDS),
    _of(OTHER, "zpopmin", ZSETS),
    _of(OTHER, "xadd", STREAMS, st.dictionaries(FIELDS, VALUES, min_size=1), st.sampled_from(["1-1", "2-1", "2-2"])),
    _of(OTHER, "xdel", STREAMS, st.just("1-1")),
]

SINGLES = st.one_of(*READS, *IDEMPOTENTS, *OTHERS)


def _pipeline(commands: list[Asked], transaction: bool, raises: bool) -> Asked:
    # Inside MULTI no server refuses or loses one command alone; and a part of a pipeline is not the pipeline.
    only_reads = all(one.kind == READ for one in commands) and not transaction
    return Asked("pipeline", (transaction, raises), kind=READ if only_reads else "unit", batch=tuple(commands))


PIPELINES = st.one_of(
    st.builds(_pipeline, st.lists(SINGLES, min_size=1, max_size=5), st.booleans(), st.booleans()),
    st.builds(_pipeline, st.lists(st.one_of(*READS), min_size=1, max_size=4), st.booleans(), st.booleans()),
)


@st.composite
def _perhaps_with_fault(draw: st.DrawFn, asked: st.SearchStrategy[Asked]) -> Asked:
    one = draw(asked)
    faults = FAULTS.get(one.kind, ())
    fault = draw(st.sampled_from((None, None, *faults)))
    return Asked(one.method, one.args, one.options, one.kind, fault, one.batch)


SEQUENCES = st.lists(_perhaps_with_fault(st.one_of(SINGLES, SINGLES, SINGLES, PIPELINES)), min_size=1, max_size=15)
