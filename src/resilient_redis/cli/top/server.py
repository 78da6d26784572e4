"""What a server says of itself and its clients, from INFO and CLIENT LIST. Pure: answers in, lines out."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from resilient_redis.cli.top.words import Paint, age, columns, number_of, per_second, rate, safe, size

SORTS = ("age", "cmd", "id", "idle", "name", "omem")
"""By what the clients are sorted: the largest age and omem first, the smallest idle, id, and words by the alphabet."""

_COUNTERS = (
    "total_commands_processed",
    "total_net_input_bytes",
    "total_net_output_bytes",
    "keyspace_hits",
    "keyspace_misses",
    "evicted_keys",
    "expired_keys",
    "rejected_connections",
    "total_error_replies",
)


@dataclass(frozen=True)
class Client:
    """One line of CLIENT LIST. Times are seconds, ``omem`` is bytes of replies not read yet."""

    id: int
    name: str
    address: str
    user: str
    db: int
    age: float
    idle: float
    command: str
    omem: float
    library: str

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Client:
        """From redis-py's dictionary; what an old server does not say is empty."""
        return cls(
            int(number_of(entry, "id")),
            safe(entry.get("name", ""), 24),
            safe(entry.get("addr", "") or entry.get("laddr", "")),
            safe(entry.get("user", ""), 16),
            int(number_of(entry, "db")),
            number_of(entry, "age"),
            number_of(entry, "idle"),
            safe(entry.get("cmd", ""), 20),
            number_of(entry, "omem"),
            safe(" ".join(str(entry.get(part, "")) for part in ("lib-name", "lib-ver")).strip(), 30),
        )

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dict(vars(self))


@dataclass(frozen=True)
class ServerSample:
    """A server at one moment.

    Attributes:
        at: the clock's reading, in seconds.
        info: INFO's answer; empty if it may not be asked.
        clients: CLIENT LIST's; ``None`` if it may not be asked.
        unseen: what may not be asked, with the remedy.
    """

    at: float
    info: Mapping[str, Any]
    clients: Sequence[Client] | None
    unseen: tuple[str, ...] = ()

    def rates(self, before: ServerSample | None) -> dict[str, float | None]:
        """How fast INFO's counters rose since then, per second; ``None`` where it is not known."""
        seconds = 0.0 if before is None else self.at - before.at
        return {
            name: per_second(
                number_of(self.info, name),
                None if before is None or name not in before.info else number_of(before.info, name),
                seconds,
            )
            for name in _COUNTERS
        }

    def as_dict(self, before: ServerSample | None, sort: str) -> dict[str, Any]:
        """For JSON."""
        clients = None if self.clients is None else [one.as_dict() for one in sorted_by(self.clients, sort)]
        names = (
            *("redis_version", "role", "uptime_in_seconds", "connected_clients", "maxclients", "blocked_clients"),
            *("instantaneous_ops_per_sec", "used_memory", "maxmemory", *_COUNTERS),
        )
        return {
            "server": {name: self.info[name] for name in names if name in self.info},
            "per_second": self.rates(before),
            "names": None if self.clients is None else totals(self.clients),
            "clients": clients,
            "unseen": list(self.unseen),
        }


def sorted_by(clients: Sequence[Client], sort: str) -> list[Client]:
    """The clients in an order of `SORTS`."""
    if sort in ("age", "omem"):
        return sorted(clients, key=lambda client: (-getattr(client, sort), client.id))
    name = "command" if sort == "cmd" else sort
    return sorted(clients, key=lambda client: (getattr(client, name), client.id))


def totals(clients: Sequence[Client]) -> dict[str, dict[str, float]]:
    """For each name, the most clients first: how many, how many of them asked within the last second, and sums."""
    found: dict[str, dict[str, float]] = {}
    for client in clients:
        entry = found.setdefault(client.name, {"clients": 0, "busy": 0, "oldest": 0.0, "idlest": 0.0, "omem": 0.0})
        entry["clients"] += 1
        entry["busy"] += client.idle < 1
        entry["oldest"] = max(entry["oldest"], client.age)
        entry["idlest"] = max(entry["idlest"], client.idle)
        entry["omem"] += client.omem
    return dict(sorted(found.items(), key=lambda item: (-item[1]["clients"], item[0])))


def lines_of(
    sample: ServerSample, before: ServerSample | None, *, address: str, sort: str, width: int, rows: int, paint: Paint
) -> list[str]:
    """The view: the server, its clients by name, and each client; ``rows`` of these at most."""
    lines = _server(sample, before, address, width, paint)
    for text in sample.unseen:
        lines += [paint(line, "yellow") for line in textwrap.wrap(f"not seen: {text}", width)]
    if sample.clients is None:
        return lines
    lines += ["", *_names(sample.clients, width, paint, max(3, rows // 3))]
    shown = sorted_by(sample.clients, sort)[: max(1, rows)]
    table = columns(
        ["id", "name", "address", "user", "db", "age", "idle", "cmd", "omem", "library"],
        [_row(client) for client in shown],
        width,
        right="04568",
        keep=[7, 1, 6, 5, 8, 2, 0, 3, 9, 4],
    )
    lines += ["", paint(table[0], "bold"), *table[1:]]
    left = len(sample.clients) - len(shown)
    return [*lines, f"and {left:,} more"] if left > 0 else lines


def _row(client: Client) -> list[str]:
    return [
        str(client.id),
        client.name or "-",
        client.address,
        client.user,
        str(client.db),
        age(client.age),
        age(client.idle),
        client.command,
        size(client.omem),
        client.library,
    ]


def _names(clients: Sequence[Client], width: int, paint: Paint, most: int) -> list[str]:
    found = list(totals(clients).items())
    table = columns(
        ["name", "clients", "busy", "oldest", "idlest", "omem"],
        [
            [
                name or "(no name)",
                f"{entry['clients']:,.0f}",
                f"{entry['busy']:,.0f}",
                age(entry["oldest"]),
                age(entry["idlest"]),
                size(entry["omem"]),
            ]
            for name, entry in found[:most]
        ],
        width,
        right="12345",
    )
    more = [f"and {len(found) - most:,} more names"] if len(found) > most else []
    return [paint(table[0], "bold"), *table[1:], *more]


def _server(sample: ServerSample, before: ServerSample | None, address: str, width: int, paint: Paint) -> list[str]:
    info, rates = sample.info, sample.rates(before)
    if not info:
        return [paint(safe(address, width), "bold")]
    name = "valkey" if "valkey_version" in info else "redis"
    version = safe(info.get("valkey_version") or info.get("redis_version", "?"), 20)
    title = (
        f"{address}, {name} {version}, {safe(info.get('role', '?'), 12)}, "
        f"up {age(number_of(info, 'uptime_in_seconds'))}"
    )
    ops = rates["total_commands_processed"]
    ops = number_of(info, "instantaneous_ops_per_sec") if ops is None else ops
    most, memory = number_of(info, "maxclients"), number_of(info, "maxmemory")
    connected = f"{number_of(info, 'connected_clients'):,.0f}" + (f" of {most:,.0f}" if most else "")
    facts = [
        f"clients {connected}, {number_of(info, 'blocked_clients'):,.0f} blocked",
        f"commands {rate(ops)}",
        f"hits {_hits(sample, before)}",
        f"memory {size(number_of(info, 'used_memory'))}" + (f" of {size(memory)}" if memory else ""),
        f"in {_traffic(sample, rates, 'input')}",
        f"out {_traffic(sample, rates, 'output')}",
        f"evicted {rate(rates['evicted_keys'])}",
        f"errors {rate(rates['total_error_replies'])}",
    ]
    refused = number_of(info, "rejected_connections")
    lines = [paint(line, "bold") for line in textwrap.wrap(title, width)] + packed(facts, width)
    if refused:
        text = f"{refused:,.0f} connections were refused since it started: maxclients is too low, or a client leaks"
        lines += [paint(line, "yellow") for line in textwrap.wrap(text, width)]
    return lines


def packed(facts: Sequence[str], width: int) -> list[str]:
    """Facts side by side, as many in a line as there is room for.

    >>> packed(["one 1", "two 2", "three 3"], 14)
    ['one 1   two 2', 'three 3']
    """
    lines: list[str] = []
    for fact in facts:
        if lines and len(lines[-1]) + 3 + len(fact) <= width:
            lines[-1] += "   " + fact
        else:
            lines.append(fact[:width])
    return lines


def _hits(sample: ServerSample, before: ServerSample | None) -> str:
    """Of the lookups since the last sample; of all there were, without one."""
    hits, misses = (number_of(sample.info, name) for name in ("keyspace_hits", "keyspace_misses"))
    if before is not None and hits >= number_of(before.info, "keyspace_hits"):
        hits -= number_of(before.info, "keyspace_hits")
        misses -= number_of(before.info, "keyspace_misses")
    return f"{hits / (hits + misses):.0%}" if hits + misses > 0 else "-"


def _traffic(sample: ServerSample, rates: Mapping[str, float | None], way: str) -> str:
    """Since the last sample; the server's own estimate, without one."""
    per = rates[f"total_net_{way}_bytes"]
    return f"{size(number_of(sample.info, f'instantaneous_{way}_kbps') * 1024 if per is None else per)}/s"
