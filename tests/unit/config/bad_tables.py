"""One kind of mistake a row in the tables beside options and policies, in TOML, JSON and YAML."""

from __future__ import annotations

# name, what stands after the line number, then (text, line) in TOML, JSON and YAML
SAME_IN_ALL_TABLES: list[tuple[str, str, tuple[str, int], tuple[str, int], tuple[str, int]]] = [
    (
        "unknown key of the pool",
        'pool.min_idel: unknown key "min_idel"; did you mean "min_idle"? (known: acquire_timeout, background, fifo, '
        "idle_timeout, leak_threshold, maintenance_interval, max_connections, max_dials, max_lifetime, max_waiting, "
        "min_idle, name, validate_after)",
        ("[pool]\nmin_idel = 1", 2),
        ('{"pool": {\n"min_idel": 1}}', 2),
        ("pool:\n  min_idel: 1", 2),
    ),
    (
        "duration of the pool with a unit that there is not",
        "pool.idle_timeout: '5 parsecs' has the unknown unit 'parsecs' (known: us, ms, s, m, h, d)",
        ('[pool]\nidle_timeout = "5 parsecs"', 2),
        ('{"pool": {\n"idle_timeout": "5 parsecs"}}', 2),
        ("pool:\n  idle_timeout: 5 parsecs", 2),
    ),
    (
        "budget in the pool's table",
        "pool.budget: only code can set this; give it a table of its own, [budget]",
        ("[pool]\n[pool.budget]\nlimit = 1", 2),
        ('{"pool": {\n"budget": {"limit": 1}}}', 2),
        ("pool:\n  budget:\n    limit: 1", 2),
    ),
    (
        "a strategy that there is not",
        'strategy: unknown value "pooling"; did you mean "pooled"? (known: multiplexed, pooled)',
        ('\nstrategy = "pooling"', 2),
        ('{\n"strategy": "pooling"}', 2),
        ("\nstrategy: pooling", 2),
    ),
    (
        "unknown type of a budget",
        'budget.type: unknown budget "statik"; did you mean "static"? (known: host, observer, redis, static)',
        ('[budget]\nlimit = 5\ntype = "statik"', 3),
        ('{"budget": {"limit": 5,\n"type": "statik"}}', 2),
        ("budget:\n  limit: 5\n  type: statik", 3),
    ),
    (
        "a budget without what it needs",
        "budget.workers: missing; a static budget needs it",
        ('url = "redis://db"\n[budget]\ntype = "static"\nlimit = 5', 2),
        ('{"url": "redis://db",\n"budget": {"type": "static", "limit": 5}}', 2),
        ("url: redis://db\nbudget:\n  type: static\n  limit: 5", 2),
    ),
    (
        "a number that is wrong in a list of budgets",
        "budget[1].stop_at: expected a number, got 'nearly'",
        ('budget = [\n{ limit = 1 },\n{ type = "observer", stop_at = "nearly" }]', 3),
        ('{"budget": [{"limit": 1},\n{"type": "observer", "stop_at": "nearly"}]}', 2),
        ("budget:\n  - limit: 1\n  - type: observer\n    stop_at: nearly", 4),
    ),
    (
        "unknown key of a command",
        'commands.GET.timeot: unknown key "timeot"; did you mean "timeout"? '
        "(known: attempts, class, deadline, fallback, repeat, timeout)",
        ("[commands.GET]\ntimeot = 1", 2),
        ('{"commands": {"GET":\n{"timeot": 1}}}', 2),
        ("commands:\n  GET:\n    timeot: 1", 3),
    ),
    (
        "a timeout of nothing for a glob",
        'commands."H*".timeout: 0 is out of range; give more than 0',
        ('[commands."H*"]\ntimeout = 0', 2),
        ('{"commands": {"H*":\n{"timeout": 0}}}', 2),
        ('commands:\n  "H*":\n    timeout: 0', 3),
    ),
    (
        "a fallback for a step of a protocol",
        "commands.WATCH.fallback: WATCH is a step of a protocol or a question about the server, and a made-up reply "
        "would be believed; leave it out",
        ("[commands.WATCH]\nfallback = 1", 2),
        ('{"commands": {"WATCH":\n{"fallback": 1}}}', 2),
        ("commands:\n  WATCH:\n    fallback: 1", 3),
    ),
    (
        "a number for a policy that is not there",
        "commands.GET.attempts: the policies have no Retry that it could change; add one",
        ("policies = []\n[commands.GET]\nattempts = 1", 3),
        ('{"policies": [], "commands": {"GET":\n{"attempts": 1}}}', 2),
        ("policies: []\ncommands:\n  GET: {attempts: 1}", 3),
    ),
    (
        "an unknown listener",
        'listeners[1]: unknown listener "nobody" (known: bad_tables.heard)',
        ('listeners = ["bad_tables.heard",\n"nobody"]', 2),
        ('{"listeners": ["bad_tables.heard",\n"nobody"]}', 2),
        ("listeners:\n  - bad_tables.heard\n  - nobody", 3),
    ),
    (
        "a wait of tenacity that there is not",
        "policies[0].wait.type: unknown name 'wait_fixt'; did you mean 'wait_fixed'?",
        ('[[policies]]\ntype = "retry"\n[policies.wait]\nwait = 1\ntype = "wait_fixt"', 5),
        ('{"policies": [{"type": "retry", "wait": {"wait": 1,\n"type": "wait_fixt"}}]}', 2),
        ("policies:\n  - type: retry\n    wait:\n      wait: 1\n      type: wait_fixt", 5),
    ),
    (
        "an argument that tenacity's wait does not take",
        "policies[0].wait.wiat: wait_fixed has no such argument; did you mean 'wait'? (known: wait)",
        ('[[policies]]\ntype = "retry"\n[policies.wait]\ntype = "wait_fixed"\nwiat = 1', 5),
        ('{"policies": [{"type": "retry", "wait": {"type": "wait_fixed",\n"wiat": 1}}]}', 2),
        ("policies:\n  - type: retry\n    wait:\n      type: wait_fixed\n      wiat: 1", 5),
    ),
    (
        "a circuit that is not defined",
        'policies[0].use: unknown circuit "db" (known: none); define it as [breakers.NAME]',
        ('[[policies]]\nuse = "db"', 2),
        ('{"policies": [{\n"use": "db"}]}', 2),
        ("policies:\n  - use: db", 2),
    ),
    (
        "a shared circuit in a profile",
        'profiles.a.breakers: unknown key "breakers" (known: budget, commands, extends, lint, listeners, multiplexed, '
        "options, policies, pool, strategy, url)",
        ("[profiles.a]\n[profiles.a.breakers.db]\nfail_max = 1", 2),
        ('{"profiles": {"a": {\n"breakers": {"db": {"fail_max": 1}}}}}', 2),
        ("profiles:\n  a:\n    breakers: {db: {fail_max: 1}}", 3),
    ),
    (
        "a shared budget that lacks a number",
        "budgets.all.workers: missing; a static budget needs it",
        ('url = "redis://db"\n[budgets.all]\ntype = "static"\nlimit = 3', 2),
        ('{"url": "redis://db",\n"budgets": {"all": {"type": "static", "limit": 3}}}', 2),
        ("url: redis://db\nbudgets:\n  all: {type: static, limit: 3}", 3),
    ),
    (
        "TLS of a version that is too old",
        'options.ssl_min_version: unknown value "TLSv1.1"; did you mean "TLSv1.3"? (known: TLSv1.2, TLSv1.3)',
        ('[options]\nssl_min_version = "TLSv1.1"', 2),
        ('{"options": {\n"ssl_min_version": "TLSv1.1"}}', 2),
        ("options:\n  ssl_min_version: TLSv1.1", 2),
    ),
]
