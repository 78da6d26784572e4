"""The server itself: version, role, persistence, memory."""

from __future__ import annotations

from collections.abc import Mapping

from resilient_redis.cli.doctor.line import Line, worst

LAG_SECONDS = 10
"""A replica that has said nothing for so long is late; it should speak every second."""

_OLDEST = 6
_FULL_SHARE = 0.9
_WASTE, _WASTE_FROM = 1.5, 100 << 20

Info = Mapping[str, str]


def judge_server(info: Info) -> Line:
    """Which server is it?"""
    name, version = "Redis", info.get("redis_version", "?")
    if "valkey_version" in info:
        name, version = "Valkey", info["valkey_version"]
    text = f"{name} {version}, up for {_days(info.get('uptime_in_seconds', '0'))}"
    if version.split(".")[0].isdigit() and int(version.split(".")[0]) < _OLDEST:
        hint = "it has no ACL users and no RESP3, and gets no fixes: plan an upgrade"
        return Line("server", "warning", text, hint)
    return Line("server", "ok", text)


def _days(seconds: str) -> str:
    number = int(seconds)
    return f"{number // 86400} days" if number >= 172800 else f"{number // 60} minutes"


def judge_role(info: Info) -> Line:
    """May it be written to, and does a copy exist?"""
    if info.get("loading") == "1":
        hint = "wait; INFO persistence tells how far it is"
        return Line("role", "failed", "it is loading its data", hint)
    if info.get("redis_mode") == "sentinel":
        return _judge_sentinel(info)
    if info.get("role") == "slave":
        return _judge_replica(info)
    found = [*_late_replicas(info)]
    if info.get("cluster_enabled") == "1":
        hint = "use redis.RedisCluster, or a server that is no cluster: commands for other nodes' keys fail here"
        found.append(Line("role", "warning", "it is a node of a cluster, and this client talks to one node", hint))
    replicas = int(info.get("connected_slaves", "0"))
    copies = f"{replicas} replicas" if replicas != 1 else "1 replica"
    return worst("role", found, f"master, {copies}" + ("" if replicas else ": no copy of its data elsewhere"))


def _judge_replica(info: Info) -> Line:
    if info.get("master_link_status") != "up":
        down = info.get("master_link_down_since_seconds", "?")
        hint = "check the master, and masterauth: what is read here is old"
        return Line("role", "failed", f"a replica that lost its master {down} s ago", hint)
    hint = "writes fail here: give the master's address, or use Sentinel (ResilientRedis over a Sentinel pool)"
    return Line("role", "warning", "a replica, in step with its master", hint)


def _judge_sentinel(info: Info) -> Line:
    watched = [_fields_of(value) for name, value in info.items() if name.startswith("master") and name[6:].isdigit()]
    named = ", ".join(f"{each.get('name', '?')} at {each.get('address', '?')}" for each in watched) or "nothing"
    hint = "give the address of the server that it watches; in code use ResilientSentinelConnectionPool"
    return Line("role", "failed", f"a Sentinel, which holds no data; it watches {named}", hint)


def _fields_of(value: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in value.split(","))
    return {field: text for field, _, text in pairs}


def _late_replicas(info: Info) -> list[Line]:
    found = []
    for name, value in info.items():
        if not (name.startswith("slave") and name[5:].isdigit()):
            continue
        fields = _fields_of(value)
        state, lag = fields.get("state", "?"), fields.get("lag", "0")
        if state != "online" or int(lag) > LAG_SECONDS:
            hint = "look at its log and at the network: after a failover to it, the newest writes are gone"
            found.append(Line("role", "warning", f"replica {name[5:]} is {state}, {lag} s behind", hint))
    return found


def judge_persistence(info: Info, config: Mapping[str, str]) -> Line:
    """Will the data survive, and did the last save work?"""
    found = []
    if info.get("rdb_last_bgsave_status", "ok") != "ok":
        hint = "look at its log, disk and memory (overcommit_memory): it may refuse writes (MISCONF)"
        found.append(Line("persistence", "failed", "the last snapshot failed", hint))
    if info.get("aof_last_write_status", "ok") != "ok":
        found.append(Line("persistence", "failed", "the last write to the AOF failed", "look at its log and its disk"))
    if info.get("aof_last_bgrewrite_status", "ok") != "ok":
        text = "the last rewrite of the AOF failed"
        found.append(Line("persistence", "warning", text, "look at its log, disk and memory"))
    return worst("persistence", found, _kept(info, config))


def _kept(info: Info, config: Mapping[str, str]) -> str:
    kinds = ["AOF"] if info.get("aof_enabled") == "1" else []
    if config.get("save"):
        kinds.append(f"snapshots ({config['save']})")
    if kinds:
        return " and ".join(kinds)
    if "save" not in config:
        return "no AOF; whether snapshots are taken cannot be seen"
    return "none: empty after a restart, which is right for a cache alone"


def judge_memory(info: Info, config: Mapping[str, str]) -> Line:
    """Is there a limit, and what happens there?"""
    used = int(info.get("used_memory", "0"))
    limit = int(info.get("maxmemory", config.get("maxmemory", "0")))
    policy = info.get("maxmemory_policy", config.get("maxmemory-policy", "?"))
    found = _waste(info, used)
    if limit == 0:
        hint = "set maxmemory, and a maxmemory-policy that fits: without, the system kills the server one day"
        found.append(Line("memory", "warning", f"{_size(used)} used, and no limit (maxmemory 0)", hint))
        return worst("memory", found, "")
    text = f"{_size(used)} of {_size(limit)} used ({used / limit:.0%}), then {policy}"
    if policy == "noeviction" and used >= _FULL_SHARE * limit:
        full = used >= limit
        hint = "writes are refused (OOM) at the limit: raise maxmemory, delete, or let it evict"
        found.append(Line("memory", "failed" if full else "warning", text, hint))
    return worst("memory", found, text)


def _waste(info: Info, used: int) -> list[Line]:
    try:
        ratio = float(info.get("mem_fragmentation_ratio", "1"))
    except ValueError:  # "nan" is a number, "inf" too; a fork of Redis may say anything
        return []
    if not ratio > _WASTE or used < _WASTE_FROM:
        return []
    hint = "set activedefrag yes, or restart it in a quiet hour"
    return [Line("memory", "warning", f"it takes {ratio:.1f} times the memory of its data", hint)]


def _size(number: float) -> str:
    """Bytes for people.

    >>> _size(1536 * 1024)
    '1.5 MB'
    """
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1024:
            return f"{number:.3g} {unit}"
        number /= 1024
    return f"{number:.3g} TB"
