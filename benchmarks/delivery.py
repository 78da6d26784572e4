"""What faults do to commands, per thousand of them, and what knowing costs: `python -m benchmarks delivery`."""

from __future__ import annotations

import inspect
import itertools
import logging
import random
import re
import time
import types
from collections import Counter
from collections.abc import Callable
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry as RedisRetry

from benchmarks._rounds import Effort, Sample, Slice, Table, compare, show, sync_slice
from benchmarks._suite import Report
from resilient_redis import ResilientRedis
from resilient_redis.commands.lookup import command_class
from resilient_redis.testing import EmbeddedServer, FaultProxy
from resilient_redis.transport import lean, surfaces

OURS = "resilient_redis as it comes"
DEFAULT = "redis-py as it comes"
BARE = "redis-py, retries off"
FAULTS = ("cut_before_request", "cut_after_request", "half_reply")
SCRIPT = "return redis.call('RPUSH', KEYS[1], ARGV[1])"
CALLS = 200


class Ledger:
    """What one client was told, call by call."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.acknowledged: set[str] = set()
        self.failed: Counter[str] = Counter()
        self.unlabelled = 0

    def call(self, number: int) -> None:
        """One of six kinds of call; each write puts its own number into the list."""
        unique = str(number)
        kind, function = self._kinds()[number % 6]
        try:
            function(unique)
        except redis.RedisError as error:
            self.failed[kind] += 1
            self.unlabelled += not hasattr(error, "delivery")
        else:
            if kind == "write":
                self.acknowledged.add(unique)

    def _kinds(self) -> list[tuple[str, Callable[[str], Any]]]:
        client = self.client
        return [
            ("write", lambda unique: client.rpush("list", unique)),
            ("read", lambda _: client.get("k")),
            ("write", lambda unique: client.eval(SCRIPT, 1, "list", unique)),
            ("write", lambda unique: self._pipeline(unique, transaction=True)),
            ("read", lambda _: client.lrange("none", 0, -1)),
            ("write", lambda unique: self._pipeline(unique, transaction=False)),
        ]

    def _pipeline(self, unique: str, *, transaction: bool) -> None:
        pipe = self.client.pipeline(transaction=transaction)
        pipe.rpush("list", unique)
        pipe.get("k")
        pipe.execute()


def through_faults(make: Callable[[str], Any], faults: int) -> list[float]:
    """One client through so many faults, one before about every fourth call: the cells of its row, per thousand."""
    chance, ledger_of = random.Random(1), Ledger
    with EmbeddedServer.start() as server, FaultProxy(server.host, server.port) as proxy:
        client = make(proxy.url)
        ledger, numbers = ledger_of(client), itertools.count()
        ledger.call(1)
        next(numbers)
        for _ in range(faults):
            for _ in range(chance.randint(2, 4)):
                ledger.call(next(numbers))
            proxy.inject(chance.choice(FAULTS))
            ledger.call(next(numbers))
        client.close()
        with redis.Redis(host=server.host, port=server.port) as straight:
            applied = Counter(one.decode() for one in straight.lrange("list", 0, -1))
    twice = sum(times > 1 for times in applied.values())
    lost = len(ledger.acknowledged - set(applied))
    failed = (ledger.failed["write"], ledger.failed["read"], ledger.unlabelled)
    return [1000 * count / faults for count in (twice, lost, *failed)]


def faults_table(effort: Effort) -> Table:
    """Per thousand faults."""
    makers: dict[str, Callable[[str], Any]] = {
        OURS: ResilientRedis.from_url,
        DEFAULT: _as_it_comes,
        BARE: lambda url: redis.Redis.from_url(url, retry=RedisRetry(NoBackoff(), 0)),
    }
    faults = 120 if effort.quick else 1000
    columns = ["client", "applied twice", "acknowledged and lost", "failed writes", "failed reads", "unlabelled"]
    table = Table("Per thousand lost connections", columns, [])
    for name, make in makers.items():
        table.rows.append([name, *through_faults(make, faults)])
    table.notes.append(
        f"{faults} faults each: the connection is lost before the request, after it, or within the reply, before about "
        "every fourth call. Calls: RPUSH, EVAL, MULTI/EXEC, plain pipeline, GET, LRANGE. Unlabelled: failures that do "
        "not say whether the command may have been applied. A write that fails with `unknown` is not failed for sure: "
        "half of them were applied, and that is what the label says."
    )
    return table


def _as_it_comes(url: str) -> redis.Redis:
    # `from_url` would get no retries: only a client made by its constructor has redis-py's own default.
    port = int(url.rpartition(":")[2].partition("/")[0])
    return redis.Redis(port=port)


def without_stamps() -> Callable[..., Any]:
    """The way of a command as it is, but for the statements that mark how far it has got."""
    source = re.sub(r"attempt\.(stage|carrier) = .*", "pass", inspect.getsource(lean))
    module = types.ModuleType("resilient_redis.transport.unstamped_lean")
    exec(compile(source, lean.__file__, "exec"), vars(module))
    vars(module).update(NAMES=lean.NAMES)  # what is learnt is learnt there
    unstamped: Callable[..., Any] = module.exchange_lean
    return unstamped


def cost_table(effort: Effort) -> Table:
    """A GET with and without the stamps, beside the same GET once more: that is the noise."""
    plan = {"rounds": 31 if effort.quick else 101, "repetitions": 1 if effort.quick else 3}
    columns = ["a GET", "CPU µs", "best decile", "ratio to no stamps", "all repetitions"]
    table = Table("What the stamps cost", columns, [])
    with EmbeddedServer.start() as server:
        server.execute("SET", "k", "x" * 100)
        slices = {name: _gets(server.url, stamped=stamped) for name, stamped in _CONTENDERS.items()}
        for result in compare(slices, base=_BASE, **plan):
            ratios = "" if result.name == _BASE else f"{show(result.ratios[0])} to {show(result.ratios[1])}"
            table.rows.append([result.name, result.median * 1e6, result.best * 1e6, result.ratio, ratios])
        surfaces.exchange_lean = lean.exchange_lean
    look_up = min(sync_slice(lambda: command_class(("GET", "k")), 0.01)().cost for _ in range(9))
    table.notes.append(
        "One thread, default policies, CPU time of the client's process. The stamps are the statements that mark how "
        "far an attempt has got; 'once more' is the same thing measured again, which is the noise. The look-up in the "
        f"table ({look_up * 1e9:.0f} ns with the call around it) is made only when something fails."
    )
    return table


_BASE = "no stamps"
_CONTENDERS = {_BASE: False, "no stamps, once more": False, "stamps": True, "stamps, once more": True}


def _gets(url: str, *, stamped: bool) -> Slice:
    client: Any = ResilientRedis.from_url(url)
    way = lean.exchange_lean if stamped else without_stamps()

    def run() -> Sample:
        surfaces.exchange_lean = way
        started = time.process_time()
        for _ in itertools.repeat(None, CALLS):
            client.get("k")
        return Sample((time.process_time() - started) / CALLS)

    run()
    return run


def run(effort: Effort) -> Report:
    """Both tables."""
    logging.getLogger("resilient_redis").setLevel(logging.ERROR)
    return Report([faults_table(effort), cost_table(effort)])
