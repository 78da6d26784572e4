"""One kind of mistake a row, written in TOML, JSON and YAML."""

from __future__ import annotations

POLICIES = "(known: bulkhead, circuit_breaker, fallback, retry, timeout)"
TOP = (
    "(known: breakers, budget, budgets, commands, lint, listeners, multiplexed, options, policies, pool, profiles, "
    "strategy, url)"
)
PROFILE = (
    "(known: budget, commands, extends, lint, listeners, multiplexed, options, policies, pool, strategy, url)"
)
RETRY = (
    "(known: attempts, name, on, repeat, retry_rejected, stop, total_time, wait, wait_initial, wait_max)"
)
SCHEMES = "(known: redis://, rediss://, unix://)"

# name, what stands after the line number, then (text, line) in TOML, JSON and YAML
SAME_IN_ALL: list[tuple[str, str, tuple[str, int], tuple[str, int], tuple[str, int]]] = [
    (
        "unknown policy",
        f'profiles.base.policies[1].type: unknown policy "circut_breaker"; did you mean "circuit_breaker"? {POLICIES}',
        (
            '[profiles.base]\nurl = "redis://db"\n[[profiles.base.policies]]\ntype = "retry"\n\n'
            '[[profiles.base.policies]]\nname = "x"\ntype = "circut_breaker"',
            8,
        ),
        ('{"profiles": {"base": {"policies": [\n{"type": "retry"},\n{"name": "x",\n"type": "circut_breaker"}]}}}', 4),
        ("profiles:\n  base:\n    policies:\n    - type: retry\n    - name: x\n      type: circut_breaker\n", 6),
    ),
    (
        "unknown policy, nothing like it",
        f'policies[0].type: unknown policy "hedge" {POLICIES}',
        ('policies = [\n{type = "hedge"}]', 2),
        ('{"policies": [\n{"type": "hedge"}]}', 2),
        ("policies:\n- type: hedge", 2),
    ),
    (
        "policy without type",
        f"policies[0].type: missing; name a policy {POLICIES}",
        ('[[policies]]\nname = "x"', 1),
        ('{"policies":\n [{"name": "x"}]}', 2),
        ("policies:\n  # first\n  - name: x", 3),
    ),
    (
        "type of a wrong type",
        f"policies[0].type: expected text, got 5 {POLICIES}",
        ("[[policies]]\ntype = 5", 2),
        ('{"policies": [{\n"type": 5}]}', 2),
        ("policies:\n  - type: 5", 2),
    ),
    (
        "unknown field",
        f'policies[0].atempts: unknown key "atempts"; did you mean "attempts"? {RETRY}',
        ('[[policies]]\ntype = "retry"\natempts = 3', 3),
        ('{"policies": [{"type": "retry",\n"atempts": 3}]}', 2),
        ("policies:\n  - type: retry\n    atempts: 3", 3),
    ),
    (
        "field of a wrong type",
        "policies[0].attempts: expected a whole number, got 'three'",
        ('[[policies]]\ntype = "retry"\nattempts = "three"', 3),
        ('{"policies": [{"type": "retry",\n"attempts": "three"}]}', 2),
        ("policies:\n  - type: retry\n    attempts: three", 3),
    ),
    (
        "field out of range",
        "policies[0].attempts: 0 is out of range; give 1 or more; 1 turns repeating off",
        ('[[policies]]\ntype = "retry"\nattempts = 0', 3),
        ('{"policies": [{"type": "retry",\n"attempts": 0}]}', 2),
        ("policies:\n  - type: retry\n    attempts: 0", 3),
    ),
    (
        "missing field",
        "policies[0].max_concurrent: missing; bulkhead needs it",
        ('# one\npolicies = [\n  { type = "bulkhead" },\n]', 3),
        ('{"policies": [\n{"type": "bulkhead"}]}', 2),
        ("policies:\n  - type: bulkhead", 2),
    ),
    (
        "duration without a unit",
        'policies[0].seconds: \'250\' has no unit; write "250s" or "250ms"',
        ('[[policies]]\ntype = "timeout"\nseconds = "250"', 3),
        ('{"policies": [{"type": "timeout",\n"seconds": "250"}]}', 2),
        ("policies:\n  - type: timeout\n    seconds: '250'", 3),
    ),
    (
        "duration with an unknown unit",
        "policies[0].seconds: '3 weeks' has the unknown unit 'weeks' (known: us, ms, s, m, h, d)",
        ('[[policies]]\ntype = "timeout"\nseconds = "3 weeks"', 3),
        ('{"policies": [{"type": "timeout",\n"seconds": "3 weeks"}]}', 2),
        ("policies:\n  - type: timeout\n    seconds: 3 weeks", 3),
    ),
    (
        "negative duration",
        "policies[0].seconds: -1 is no duration; it must be finite and 0 or more",
        ('[[policies]]\ntype = "timeout"\nseconds = -1', 3),
        ('{"policies": [{"type": "timeout",\n"seconds": -1}]}', 2),
        ("policies:\n  - type: timeout\n    seconds: -1", 3),
    ),
    (
        "duration of a wrong type",
        'policies[0].seconds: True is no duration; give seconds as a number, or text such as "250ms"',
        ('[[policies]]\ntype = "timeout"\nseconds = true', 3),
        ('{"policies": [{"type": "timeout",\n"seconds": true}]}', 2),
        ("policies:\n  - type: timeout\n    seconds: yes", 3),
    ),
    (
        "duration that is a list",
        'policies[0].wait_max: a list is no duration; give seconds as a number, or text such as "250ms"',
        ('[[policies]]\ntype = "retry"\nwait_max = [1]', 3),
        ('{"policies": [{"type": "retry",\n"wait_max": [1]}]}', 2),
        ("policies:\n  - type: retry\n    wait_max: [1]", 3),
    ),
    (
        "duration with no end where one is needed",
        "policies[0].seconds: inf is no duration; it must be finite and 0 or more",
        ('[[policies]]\ntype = "timeout"\nseconds = inf', 3),
        ('{"policies": [{"type": "timeout",\n"seconds": Infinity}]}', 2),
        ("policies:\n  - type: timeout\n    seconds: .inf", 3),
    ),
    (
        "an element of a wrong type",
        "policies[0].on[1]: expected text, got 3",
        ('[[policies]]\ntype = "retry"\non = ["builtins.OSError",\n3]', 4),
        ('{"policies": [{"type": "retry", "on": ["builtins.OSError",\n3]}]}', 2),
        ("policies:\n  - type: retry\n    on:\n      - builtins.OSError\n      - 3", 5),
    ),
    (
        "an exception that cannot be imported",
        "policies[0].on: 'redis.exceptions.TimeotError' cannot be imported; "
        'write module and class, such as "redis.exceptions.TimeoutError"',
        ('[[policies]]\ntype = "retry"\non = ["redis.exceptions.TimeotError"]', 3),
        ('{"policies": [{"type": "retry",\n"on": ["redis.exceptions.TimeotError"]}]}', 2),
        ("policies:\n  - type: retry\n    on: [redis.exceptions.TimeotError]", 3),
    ),
    (
        "a step of a protocol, however it is written",
        "policies[0].commands.watch: WATCH is a step of a protocol or a question about the server, "
        "and a made-up reply would be believed; leave it out",
        ('[[policies]]\ntype = "fallback"\n[policies.commands]\nget = 1\nwatch = 1', 5),
        ('{"policies": [{"type": "fallback", "commands": {"get": 1,\n"watch": 1}}]}', 2),
        ("policies:\n  - type: fallback\n    commands:\n      get: 1\n      watch: 1", 5),
    ),
    (
        "a rule over two fields",
        "policies[0].wait_max: 0.1 is out of range; it must not be below wait_initial",
        ('[[policies]]\ntype = "retry"\nwait_initial = 1\nwait_max = "100ms"', 4),
        ('{"policies": [{"type": "retry", "wait_initial": 1,\n"wait_max": "100ms"}]}', 2),
        ("policies:\n  - type: retry\n    wait_initial: 1\n    wait_max: 100ms", 4),
    ),
    (
        "policies as a table",
        "policies: expected a list of tables, got a table; write [[policies]], outermost first",
        ("\n[policies.retry]\nattempts = 3", 2),
        ('{\n"policies": {"retry": {}}}', 2),
        ("\npolicies:\n  retry:\n    attempts: 3", 2),
    ),
    (
        "policies by name only",
        "policies[0]: expected a table, got 'retry'; write { type = \"retry\" }",
        ('policies = ["retry"]', 1),
        ('{"policies": [\n"retry"]}', 2),
        ("policies:\n  - retry", 2),
    ),
    (
        "unknown top key",
        f'polices: unknown key "polices"; did you mean "policies"? {TOP}',
        ('url = "redis://db"\npolices = []', 2),
        ('{"url": "redis://db",\n"polices": []}', 2),
        ("url: redis://db\npolices: []", 2),
    ),
    (
        "a key that sounds right but is not there",
        f'idle_seconds: unknown key "idle_seconds" {TOP}',
        ('idle_seconds = "1s"\nurl = "redis://db"', 1),
        ('{\n"idle_seconds": "1s", "url": "redis://db"}', 2),
        ("idle_seconds: 1s\nurl: redis://db", 1),
    ),
    (
        "a key that must be quoted",
        f"'my \"url\"\\n': unknown key 'my \"url\"\\n' {TOP}",
        ('url = "redis://db"\n"my \\"url\\"\\n" = 1', 2),
        ('{"url": "redis://db",\n"my \\"url\\"\\n": 1}', 2),
        ('url: redis://db\n"my \\"url\\"\\n": 1', 2),
    ),
    (
        "profile key in the top level",
        f'extends: unknown key "extends" {TOP}',
        ('url = "redis://db"\nextends = "x"', 2),
        ('{"url": "redis://db",\n"extends": "x"}', 2),
        ("url: redis://db\nextends: x", 2),
    ),
    (
        "unknown key in a profile",
        f'profiles.a.option: unknown key "option"; did you mean "options"? {PROFILE}',
        ("[profiles.a]\n[profiles.a.option]\ndb = 1", 2),
        ('{"profiles": {"a": {\n"option": {"db": 1}}}}', 2),
        ("profiles:\n  a:\n    option:\n      db: 1", 3),
    ),
    (
        "unknown parent",
        'profiles.a.extends: unknown profile "bsae"; did you mean "base"? (known: a, base)',
        ('[profiles.a]\nextends = "bsae"\n[profiles.base]', 2),
        ('{"profiles": {"a": {\n"extends": "bsae"}, "base": {}}}', 2),
        ("profiles:\n  a:\n    extends: bsae\n  base:\n", 3),
    ),
    (
        "a circle",
        'profiles.a.extends: goes in a circle: "a" -> "b" -> "a" (known: a, b, c)',
        ('[profiles.c]\nextends = "a"\n[profiles.a]\nextends = "b"\n[profiles.b]\nextends = "a"', 4),
        ('{"profiles": {"c": {"extends": "a"},\n"a": {"extends": "b"},\n "b": {"extends": "a"}}}', 2),
        ("profiles:\n  c: {extends: a}\n  a: {extends: b}\n  b: {extends: a}", 3),
    ),
    (
        "a profile that extends itself",
        'profiles.a.extends: goes in a circle: "a" -> "a" (known: a)',
        ('[profiles.a]\nextends = "a"', 2),
        ('{"profiles": {"a": {\n"extends": "a"}}}', 2),
        ("profiles:\n  a: {extends: a}", 2),
    ),
    (
        "a parent that is no name",
        "profiles.a.extends: expected the name of a profile, got a list",
        ('[profiles.a]\nextends = ["b"]', 2),
        ('{"profiles": {"a": {\n"extends": ["b"]}}}', 2),
        ("profiles:\n  a: {extends: [b]}", 2),
    ),
    (
        "profiles that are no table",
        "profiles: expected a table, got a list; write [profiles.NAME]",
        ("\nprofiles = []", 2),
        ('{\n"profiles": []}', 2),
        ("\nprofiles: []", 2),
    ),
    (
        "a profile that is no table",
        "profiles.a: expected a table, got 'redis://***@db'",
        ('[profiles]\na = "redis://me:hunter2@db"', 2),
        ('{"profiles": {\n"a": "redis://me:hunter2@db"}}', 2),
        ("profiles:\n  a: redis://me:hunter2@db", 2),
    ),
    (
        "unknown option",
        'options.socket_timout: unknown option "socket_timout"; did you mean "socket_timeout"?',
        ("[options]\nsocket_timout = 5", 2),
        ('{"options": {\n"socket_timout": 5}}', 2),
        ("options:\n  socket_timout: 5", 2),
    ),
    (
        "option only for code",
        "options.retry: only code can set this; use a retry policy",
        ("[options]\nretry = 3", 2),
        ('{"options": {\n"retry": 3}}', 2),
        ("options:\n  retry: 3", 2),
    ),
    (
        "option of a wrong type",
        "options.port: expected a whole number, got '6379'",
        ('[options]\nport = "6379"', 2),
        ('{"options": {\n"port": "6379"}}', 2),
        ("options:\n  port: '6379'", 2),
    ),
    (
        "option out of range",
        "options.port: expected a whole number <= 65535, got 70000",
        ("[options]\nport = 70000", 2),
        ('{"options": {\n"port": 70000}}', 2),
        ("options:\n  port: 70000", 2),
    ),
    (
        "option with few values",
        "options.protocol: expected one of 2, 3, got 4",
        ("[options]\nprotocol = 4", 2),
        ('{"options": {\n"protocol": 4}}', 2),
        ("options:\n  protocol: 4", 2),
    ),
    (
        "option with few words",
        'options.ssl_cert_reqs: unknown value "requird"; did you mean "required"? (known: none, optional, required)',
        ('[options]\nssl_cert_reqs = "requird"', 2),
        ('{"options": {\n"ssl_cert_reqs": "requird"}}', 2),
        ("options:\n  ssl_cert_reqs: requird", 2),
    ),
    (
        "socket timeout of nothing",
        "options.socket_timeout: expected more than 0 seconds, got '0s'",
        ('[options]\nsocket_timeout = "0s"', 2),
        ('{"options": {\n"socket_timeout": "0s"}}', 2),
        ("options:\n  socket_timeout: 0s", 2),
    ),
    (
        "socket timeout without end",
        "options.socket_timeout: expected a finite number of seconds, got inf",
        ("[options]\nsocket_timeout = inf", 2),
        ('{"options": {\n"socket_timeout": Infinity}}', 2),
        ("options:\n  socket_timeout: .inf", 2),
    ),
    (
        "password of a wrong type",
        "options.password: expected text, got '***'",
        ("[options]\npassword = 987654", 2),
        ('{"options": {\n"password": 987654}}', 2),
        ("options:\n  password: 987654", 2),
    ),
    (
        "options that are no table",
        "options: expected a table, got 'decode_responses'",
        ('options = "decode_responses"', 1),
        ('{\n"options": "decode_responses"}', 2),
        ("options: decode_responses", 1),
    ),
    (
        "url of a wrong type",
        "url: expected text, got a list",
        ('url = ["redis://:hunter2@db"]', 1),
        ('{\n"url": ["redis://:hunter2@db"]}', 2),
        ("url: [redis://:hunter2@db]", 1),
    ),
    (
        "url with an unknown scheme",
        f'url: unknown scheme "redsi://"; did you mean "redis://"? {SCHEMES}',
        ('url = "redsi://:hunter2@db"', 1),
        ('{\n"url": "redsi://:hunter2@db"}', 2),
        ("url: redsi://:hunter2@db", 1),
    ),
    (
        "url that is none",
        'url: no URL; write "redis://host:6379/0"',
        ('url = "me:hunter2@db"', 1),
        ('{\n"url": "me:hunter2@db"}', 2),
        ("url: me:hunter2@db", 1),
    ),
    (
        "url that cannot be split",
        "url: host and port cannot be read; a password with special characters must be percent-encoded",
        ('url = "redis://:hun/ter2@db:6379"', 1),
        ('{\n"url": "redis://:hun/ter2@db:6379"}', 2),
        ("url: redis://:hun/ter2@db:6379", 1),
    ),
    (
        "missing variable",
        "url: the environment variable NO_SUCH_REDIS_URL is not set",
        ('url = "env:NO_SUCH_REDIS_URL"', 1),
        ('{\n"url": "env:NO_SUCH_REDIS_URL"}', 2),
        ("url: env:NO_SUCH_REDIS_URL", 1),
    ),
    (
        "missing secrets file",
        'options.password: file "/no/such/file": there is no such file',
        ('[options]\npassword = "file:/no/such/file"', 2),
        ('{"options": {\n"password": "file:/no/such/file"}}', 2),
        ("options:\n  password: file:/no/such/file", 2),
    ),
]
