"""The tables of a document beside options and policies: what they become, and what is said of wrong ones."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

import resilient_redis
import resilient_redis.asyncio
from resilient_redis import CircuitBreaker, Fallback, Multiplexed, Retry, Timeout
from resilient_redis.config import load_config
from resilient_redis.config.budget_tables import default_path
from resilient_redis.config.options import option_names
from resilient_redis.errors import ConfigError
from resilient_redis.events import CircuitChanged
from resilient_redis.listeners import register_listener
from resilient_redis.pool.budgets import BudgetChain, HostBudget, RedisBudget, ServerObserver, StaticBudget

BOTH = [resilient_redis.ResilientRedis, resilient_redis.asyncio.ResilientRedis]


@pytest.fixture(params=BOTH, ids=["sync", "asyncio"])
def face(request: pytest.FixtureRequest) -> Any:
    return request.param


def problems(source: Any, **kwargs: Any) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load_config(source, **kwargs)
    return caught.value.problems


# --- pool and options -------------------------------------------------------------------------------------------


def test_the_pool_table_reaches_the_pool(face: Any) -> None:
    table = {"max_connections": 7, "acquire_timeout": "250ms", "min_idle": 2, "idle_timeout": None, "name": "mine"}
    options = face.from_config({"pool": table}).connection_pool.options
    assert (options.max_connections, options.acquire_timeout, options.min_idle) == (7, 0.25, 2)
    assert (options.idle_timeout, options.name) == (None, "mine")


NULLABLE = ["max_connections", "max_waiting", "idle_timeout", "max_lifetime", "validate_after", "leak_threshold"]


@pytest.mark.parametrize("name", NULLABLE)
def test_none_is_what_code_calls_none(name: str, tmp_path: Path) -> None:
    file = tmp_path / "redis.toml"
    file.write_text(f'[pool]\n{name} = "none"\n')
    environ = {f"RESILIENT_REDIS__POOL__{name.upper()}": "none"}
    for config in (
        load_config(file, environ={}),
        load_config(environ=environ),
        load_config({"pool": {name: "env:T_NONE"}}, environ={"T_NONE": "none"}),
    ):
        assert config.pool == {name: None}
        assert config.to_document() == {"pool": {name: "none"}}


def test_a_circuit_that_only_counts_a_rate_can_be_written_in_toml(tmp_path: Path) -> None:
    file = tmp_path / "redis.toml"
    file.write_text('policies = [{ type = "circuit_breaker", fail_max = "none", failure_rate = 0.5 }]\n')
    assert load_config(file, environ={}).policies == (CircuitBreaker(fail_max=None, failure_rate=0.5),)


def test_where_any_text_may_stand_none_is_a_text() -> None:
    document = {
        "pool": {"name": "none"},
        "options": {"password": "none", "ssl_cert_reqs": "none"},
        "commands": {"GET": {"fallback": "none"}},
        "policies": [{"type": "retry", "name": "none"}, {"type": "timeout", "seconds": 1}],
    }
    config = load_config(document, environ={})
    assert (config.pool["name"], config.options) == ("none", {"password": "none", "ssl_cert_reqs": "none"})
    assert config.commands["GET"]["fallback"] == "none"
    assert config.policies is not None
    assert config.policies[0].name == "none"  # type: ignore[attr-defined]


def test_none_where_there_must_be_a_value_and_other_words_for_it() -> None:
    document = {
        "pool": {"min_idle": "none", "idle_timeout": "never", "max_waiting": "unlimited"},
        "commands": {"GET": {"timeout": "none", "attempts": "none"}},
    }
    assert problems(document, environ={}) == (
        "config: pool.min_idle: expected a whole number, got 'none'",
        'config: pool.idle_timeout: unknown value "never"; did you mean "none"?',
        'config: pool.max_waiting: unknown value "unlimited"; did you mean "none"?',
        "config: commands.GET.timeout: 'none' is no duration; write a number and a unit, such as \"250ms\"",
        "config: commands.GET.attempts: expected a whole number, got 'none'",
    )


@pytest.mark.parametrize("suffix", ["json", "yaml", "toml"])
def test_a_document_may_say_where_its_schema_is(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"redis.{suffix}"
    schema = '"$schema": "./schema.json"'
    text = {
        "json": "{" + schema + ', "pool": {"min_idle": 1}}',
        "yaml": f"{schema}\npool: {{min_idle: 1}}\n",
        "toml": '"$schema" = "./schema.json"\npool = {min_idle = 1}\n',
    }[suffix]
    file.write_text(text)
    assert load_config(file, environ={}).pool == {"min_idle": 1}


def test_a_schema_that_is_no_text_or_stands_in_a_profile_is_told() -> None:
    assert problems({"$schema": 5}, environ={})[0].startswith('config: "$schema": unknown key "$schema"')
    document = {"url": "redis://db", "profiles": {"p": {"$schema": "x"}}}
    assert problems(document, environ={})[0].startswith('config: profiles.p."$schema": unknown key "$schema"')


def test_a_nearer_option_wins_wherever_it_stands() -> None:
    document = {"pool": {"min_idle": 1, "fifo": True}, "profiles": {"p": {"options": {"min_idle": 2}}}}
    assert load_config(document, profile="p").pool == {"min_idle": 2, "fifo": True}
    document = {"options": {"min_idle": 1}, "profiles": {"p": {"pool": {"min_idle": 2}}}}
    assert load_config(document, profile="p").pool == {"min_idle": 2}


def test_an_option_said_twice_in_one_section() -> None:
    assert problems({"pool": {"min_idle": 1}, "options": {"min_idle": 1}}) == (
        "config: options.min_idle: given twice: pool.min_idle says it too; leave it out here",
    )


def test_what_two_sections_make_together_is_checked() -> None:
    document = {"pool": {"max_connections": 4}, "profiles": {"p": {"pool": {"min_idle": 6}}}}
    assert problems(document, profile="p") == (
        "config: profiles.p.pool.min_idle: 6 is more than max_connections (4); lower it",
    )


def test_options_that_are_objects_in_code() -> None:
    import socket
    import ssl

    named = {"socket_keepalive_options": {"TCP_KEEPINTVL": 10}, "ssl_min_version": "TLSv1.3"}
    made: dict[str, Any] = {
        "socket_keepalive_options": {socket.TCP_KEEPINTVL: 10},
        "ssl_min_version": ssl.TLSVersion.TLSv1_3,
    }
    assert load_config({"options": named}).options == made
    if "ssl_include_verify_flags" in option_names():  # redis-py 7 brought them
        flags = {"ssl_include_verify_flags": ["VERIFY_X509_STRICT"]}
        assert load_config({"options": flags}).options["ssl_include_verify_flags"] == [
            ssl.VerifyFlags.VERIFY_X509_STRICT
        ]
    assert (
        'unknown name "TCP_KEEPINTVAL"; did you mean "TCP_KEEPINTVL"?'
        in problems({"options": {"socket_keepalive_options": {"TCP_KEEPINTVAL": 1}}})[0]
    )


def test_tls_by_url_and_by_option_is_the_same() -> None:
    arguments = load_config({"url": "redis://db", "options": {"ssl": True, "ssl_ca_certs": "x"}}).client_arguments()
    assert arguments == {"url": "rediss://db", "ssl_ca_certs": "x"}
    arguments = load_config({"url": "redis://db", "options": {"ssl": False, "ssl_ca_certs": "x"}}).client_arguments()
    assert arguments == {"url": "redis://db"}


# --- strategy ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "strategy"),
    [
        ({"url": "redis://db"}, None),
        ({"strategy": "pooled"}, "pooled"),
        ({"strategy": "multiplexed"}, "multiplexed"),
        ({"multiplexed": {"connections": 2, "large": "1MiB"}}, Multiplexed(connections=2, large="1MiB")),
        ({"strategy": "pooled", "multiplexed": {"connections": 2}}, "pooled"),
    ],
)
def test_the_strategy(document: Any, strategy: Any) -> None:
    config = load_config(document)
    assert config.strategy == strategy
    assert config.client_arguments().get("strategy") == (None if strategy == "pooled" else strategy)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (
            {"strategy": "multiplex"},
            'strategy: unknown value "multiplex"; did you mean "multiplexed"? (known: multiplexed, pooled)',
        ),
        ({"multiplexed": {"connections": 0}}, "multiplexed.connections: expected a whole number >= 1, got 0"),
        (
            {"multiplexed": {"conections": 1}},
            'multiplexed.conections: unknown key "conections"; did you mean "connections"? '
            "(known: connections, large, max_in_flight, max_pipeline, max_unsent)",
        ),
        (
            {"multiplexed": {"large": "1 mile"}},
            'multiplexed.large: \'1 mile\' is no size; give bytes of 1 or more, or text such as "64KiB" or "1MiB"',
        ),
    ],
)
def test_a_wrong_strategy(document: Any, message: str) -> None:
    assert problems(document) == (f"config: {message}",)


# --- budgets ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "kind"),
    [
        ({"type": "static", "limit": 250, "workers": 13, "reserve": 5}, StaticBudget),
        ({"limit": 20, "path": "x.slots"}, HostBudget),
        ({"type": "redis", "key": "budget", "limit": 20, "max_workers": 4, "ttl": "10s"}, RedisBudget),
        ({"type": "observer", "stop_at": 0.8, "interval": "10s"}, ServerObserver),
        ([{"limit": 20, "path": "x.slots"}, {"type": "observer"}], BudgetChain),
    ],
)
def test_every_budget(face: Any, table: Any, kind: Any, in_a_folder: Path) -> None:
    budget: Any = face.from_config({"budget": table}).connection_pool.options.budget
    assert type(budget) is kind
    budget.close()


def test_the_limit_of_the_guide_is_kept_by_all_processes_of_the_host(
    face: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    budget = face.from_env(environ={"REDIS_POOL_ABSOLUTE_MAX": "3", "REDIS_HOST": "db"}).connection_pool.options.budget
    other = face.from_env(environ={"REDIS_POOL_ABSOLUTE_MAX": "3", "REDIS_HOST": "db"}).connection_pool.options.budget
    assert budget is not other
    assert [budget.take(), other.take(), budget.take(), other.take(), budget.take()] == [True, True, True, False, False]
    assert [found.name for found in tmp_path.rglob("*.slots")] == ["db-6379.slots"]
    budget.close()
    other.close()


def test_a_place_for_slots_that_others_can_write_to_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (folder := Path(default_path("db")).parent).chmod(0o777)
    with pytest.raises(ConfigError, match=f"^budget.path: {folder} can be written to by others"):
        default_path("db")
    folder.rmdir()
    folder.write_text("")
    with pytest.raises(ConfigError, match=f"^budget.path: {folder} cannot be made"):
        default_path("db")


def test_profiles_share_a_named_budget(face: Any) -> None:
    document: dict[str, Any] = {
        "budgets": {"all": {"type": "static", "limit": 10, "workers": 2}},
        "profiles": {name: {"budget": {"use": "all"}, "options": {"db": 1}} for name in ("a", "b")},
    }
    one = [face.from_config(document, profile=name) for name in ("a", "b")]
    assert one[0].connection_pool.options.budget is one[1].connection_pool.options.budget
    document["budgets"]["all"]["limit"] = 12
    with pytest.raises(ConfigError, match=r"^budgets\.all: is in use in this process with other numbers"):
        face.from_config(document, profile="a")


def test_a_variable_changes_one_number_of_a_budget() -> None:
    document = {"budget": {"type": "static", "limit": 10, "workers": 2}}
    (budget,) = load_config(document, environ={"REDIS_POOL_ABSOLUTE_MAX": "20"}).budgets
    assert (budget.type, budget.fields) == ("static", {"limit": 20, "workers": 2})


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"type": "hots", "limit": 1}, 'budget.type: unknown budget "hots"; did you mean "host"? '
         "(known: host, observer, redis, static)"),
        ({"type": "static", "limit": 10}, "budget.workers: missing; a static budget needs it"),
        ({"type": "static", "limit": 1, "workers": 5}, "budget.limit: 1 - 0 in reserve leaves 1 connections for 5 "
         "workers, and each needs one; raise limit (the server's maxclients) to at least 5, or run at most 1 workers"),
        ({"limit": 0}, "budget.limit: expected a whole number >= 1, got 0"),
        ({"limit": 5, "workers": 2}, 'budget.workers: unknown key "workers" (known: limit, path); the budget is of '
         "type host"),
        ({"use": "all"}, 'budget.use: unknown budget "all" (known: none); define it as [budgets.NAME]'),
        ({"use": "all", "limit": 3}, "budget.limit: a shared budget takes no keys of its own; change it in "
         "[budgets.all]"),
        (5, "budget: expected a table or a list of tables, got 5"),
        ({"type": "redis", "key": "k", "limit": 2, "max_workers": 5}, "budget.limit: floor 1 x max_workers 5 = 5, "
         "which is over the limit of 2; set limit to 5 or more, or run at most 2 workers"),
    ],
)  # fmt: skip
def test_a_wrong_budget(table: Any, message: str) -> None:
    assert problems({"budget": table})[0] == f"config: {message}"


# --- shared circuits --------------------------------------------------------------------------------------------

SHARED: dict[str, Any] = {
    "breakers": {"db": {"fail_max": 2}},
    "profiles": {name: {"policies": [{"use": "db"}, {"type": "timeout", "seconds": 1}]} for name in ("a", "b")},
}


def test_profiles_share_a_named_circuit(face: Any) -> None:
    heard: dict[str, list[Any]] = {"a": [], "b": []}
    one, two = (face.from_config(SHARED, profile=name, listeners=[heard[name].append]) for name in ("a", "b"))
    assert one.policies[0] == CircuitBreaker(fail_max=2, name="db")
    one.breakers["db"].isolate()
    assert str(two.breakers["db"].state) == "isolated"
    assert [type(events[0]) for events in heard.values()] == [CircuitChanged, CircuitChanged]
    two.breakers["db"].reset()
    assert face.from_config(SHARED, profile="a").describe() == face(policies=one.policies).describe()


def test_where_the_numbers_of_what_is_shared_stand(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(
        '[breakers.db]\nfail_max = 2\n[budgets.all]\nlimit = 5\n[budget]\nuse = "all"\n[[policies]]\nuse = "db"\n'
    )
    config = load_config(tmp_path / "x.toml")
    lines = {setting.path: setting.origin.line for setting in config.settings() if setting.origin.kind == "file"}
    assert lines == {"budget.limit": 4, "policies[0].fail_max": 2, "policies[0].type": 1, "policies[0].name": 1}
    assert config.origins["policies[0].use"].line == 8


def test_values_are_told_as_a_file_has_them() -> None:
    policies = [{"type": "retry", "wait": {"type": "wait_fixed", "wait": "10ms"}}]
    config = load_config({"policies": policies, "budget": {"type": "static", "limit": 5, "workers": 1}})
    told = {setting.path: (setting.shown, str(setting.origin)) for setting in config.settings()}
    assert told["policies[0].wait"] == ("{'type': 'wait_fixed', 'wait': 0.01}", "config")
    assert told["budget.reserve"] == ("0", "default")


def test_a_circuit_that_is_defined_anew_begins_anew(face: Any) -> None:
    old = face.from_config(SHARED, profile="a")
    old.breakers["db"].isolate()
    new = face.from_config({**SHARED, "breakers": {"db": {"fail_max": 3}}}, profile="a")
    assert [str(client.breakers["db"].state) for client in (old, new)] == ["isolated", "closed"]


def test_a_circuit_is_not_shared_with_another_file(face: Any, tmp_path: Path) -> None:
    text = '[breakers.db]\nfail_max = 2\n[[policies]]\nuse = "db"\n'
    for name in ("one.toml", "two.toml"):
        (tmp_path / name).write_text(text)
    one, two = face.from_config(tmp_path / "one.toml"), face.from_config(tmp_path / "two.toml")
    one.breakers["db"].isolate()
    assert str(two.breakers["db"].state) == "closed"


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"policies": [{"use": "bd"}], "breakers": {"db": {}}}, 'policies[0].use: unknown circuit "bd" '
         '(known: db); define it as [breakers.NAME]'),
        ({"policies": [{"use": "db", "fail_max": 1}], "breakers": {"db": {}}}, "policies[0].fail_max: a shared circuit "
         "takes no keys of its own; change it in [breakers.db]"),
        ({"url": "redis://db", "breakers": {"db": {"fail_max": 0}}}, "breakers.db.fail_max: 0 is out of range; "
         "give a whole number of 1 or more"),
        ({"url": "redis://db", "breakers": {"db": {"name": "x"}}}, 'breakers.db.name: not needed: this is the circuit '
         '"db"'),
        ({"policies": [{"use": 5}]}, "policies[0].use: expected the name of a circuit, got 5"),
    ],
)  # fmt: skip
def test_a_wrong_shared_circuit(document: Any, message: str) -> None:
    assert problems(document)[0] == f"config: {message}"


# --- commands ---------------------------------------------------------------------------------------------------


def test_rules_for_commands_reach_the_client(face: Any) -> None:
    rules = {"get": {"timeout": "50ms", "fallback": ""}, "H*": {"deadline": 1, "attempts": 1}, "MYMOD.X": "read"}
    client = face.from_config({"commands": rules})
    assert client.policies[0] == Fallback.per_command({"GET": ""})
    assert "-> GET: timeout 0.05 s\n-> H*: deadline 1 s, attempts 1\n" in client.describe()
    assert client.describe() == face(commands=rules).describe()


def test_a_profile_adds_to_the_rules_of_the_top() -> None:
    document = {
        "commands": {"GET": {"timeout": 1, "deadline": 2}},
        "profiles": {"p": {"commands": {"get": {"timeout": "3s"}, "SET": {"repeat": "never"}}}},
    }
    config = load_config(document, profile="p")
    assert config.commands == {"GET": {"timeout": "3s", "deadline": 2.0}, "SET": {"repeat": "never"}}
    assert str(config.origins["commands.GET.timeout"]) == "config"


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"GET": {"timeot": 1}}, 'commands.GET.timeot: unknown key "timeot"; did you mean "timeout"? '
         "(known: attempts, class, deadline, fallback, repeat, timeout)"),
        ({"GET": {"attempts": 0}}, "commands.GET.attempts: expected a whole number >= 1, got 0"),
        ({"GET": {"repeat": "idempotnt"}}, 'commands.GET.repeat: unknown value "idempotnt"; did you mean "idempotent"? '
         "(known: always, checked, idempotent, never, read)"),
        ({"X.Y": "acumulating"}, 'commands.X.Y.class: unknown class "acumulating"; did you mean "accumulating"? '
         "(known: accumulating, admin, checked, connection, idempotent, read, unknown)"),
        ({"GET": 5}, "commands.GET: expected a table, got 5"),
        ({"GET": {"timeout": 1}, "get": {"timeout": 2}}, "commands.get: GET is there twice, spelt in different ways"),
        ({"WATCH": {"fallback": 1}}, "commands.WATCH.fallback: WATCH is a step of a protocol or a question about the "
         "server, and a made-up reply would be believed; leave it out"),
        ({"GET SET X": "read"}, 'commands."GET SET X": \'GET SET X\' is no command; write its name, or its name '
         'and subcommand, as "MYMOD GET"'),
    ],
)  # fmt: skip
def test_a_wrong_rule(rules: Any, message: str) -> None:
    told = problems({"commands": rules})[0]
    assert told.replace("X.Y", '"X.Y"').replace('""', '"') == f"config: {message}".replace("X.Y", '"X.Y"')


def test_a_rule_for_a_policy_that_is_not_there() -> None:
    assert problems({"policies": [{"type": "retry"}], "commands": {"GET": {"attempts": 1, "timeout": 1}}}) == (
        "config: commands.GET.timeout: the policies have no Timeout that it could change; add one",
    )


# --- listeners --------------------------------------------------------------------------------------------------


def test_listeners_by_name(face: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from resilient_redis import listeners

    monkeypatch.setattr(listeners, "_registered", {})
    heard: list[Any] = []
    also: list[Any] = []
    register_listener("acme.audit", heard.append)
    document = {"listeners": ["acme.audit"], "policies": [{"type": "circuit_breaker", "name": "x"}]}
    face.from_config(document, listeners=[also.append]).breakers["x"].isolate()
    assert [type(event) for event in (*heard, *also)] == [CircuitChanged, CircuitChanged]
    assert problems({"listeners": ["acme.audti", 5]}) == (
        'config: listeners[0]: unknown listener "acme.audti"; did you mean "acme.audit"? (known: acme.audit)',
        "config: listeners[1]: expected the name of a listener, got 5",
    )


def test_listeners_of_other_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    from resilient_redis import listeners

    group = listeners.ENTRY_POINT_GROUP
    offered = [
        EntryPoint("acme.print", "builtins:print", group),
        EntryPoint("acme.gone", "no.such:thing", group),
        EntryPoint("acme.type", "builtins:int", group),
    ]
    monkeypatch.setattr(listeners, "entry_points", lambda **_: offered)
    assert load_config({"listeners": ["acme.print"]}).listeners == (print,)
    assert problems({"listeners": ["acme.gone", "acme.type"]}) == (
        "config: listeners[0]: listener 'acme.gone': its entry point 'no.such:thing' cannot be loaded "
        "(ModuleNotFoundError: No module named 'no')",
        "config: listeners[1]: listener 'acme.type': 'builtins:int' is no function of one event",
    )


# --- code and file ----------------------------------------------------------------------------------------------


def test_code_and_file_describe_themselves_alike(face: Any, tmp_path: Path) -> None:
    (tmp_path / "redis.toml").write_text(
        'url = "redis://db:6380/2"\noptions = { socket_timeout = "2s" }\npool = { min_idle = 2, fifo = true }\n'
        'budget = { type = "static", limit = 10, workers = 2 }\n[multiplexed]\nconnections = 2\n'
        '[[policies]]\ntype = "fallback"\n[[policies]]\ntype = "retry"\nattempts = 5\n[[policies]]\ntype = "timeout"\n'
        'seconds = "250ms"\n[commands."H*"]\ntimeout = "50ms"\n'
    )
    from_code = face.from_url(
        "redis://db:6380/2",
        socket_timeout=2.0,
        min_idle=2,
        fifo=True,
        budget=StaticBudget(10, 2),
        strategy=Multiplexed(connections=2),
        policies=[Fallback(None), Retry(attempts=5), Timeout("250ms")],
        commands={"H*": {"timeout": "50ms"}},
    )
    assert face.from_config(tmp_path / "redis.toml").describe() == from_code.describe()


@pytest.mark.parametrize("glob", ["*", "H*", "C*", "S*", "*GET"])
def test_a_fallback_under_a_glob_passes_over_what_can_have_none(glob: str, face: Any) -> None:
    client = face.from_config({"policies": [], "commands": {glob: {"fallback": 1}}}, environ={})
    assert client.describe().startswith("1. Fallback: ")
