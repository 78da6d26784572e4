"""The budget of a pool: a table, or a list of tables that must all agree."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, cast

import msgspec

from resilient_redis.config.convert import convert
from resilient_redis.config.one_by_one import complaints
from resilient_redis.config.problems import Path, Problems, listed, show, unknown
from resilient_redis.config.shared import shared_budget
from resilient_redis.durations import DurationSpec
from resilient_redis.errors import ConfigError
from resilient_redis.pool.budgets.base import Budget
from resilient_redis.pool.budgets.chain import combine
from resilient_redis.pool.budgets.host import HostBudget
from resilient_redis.pool.budgets.observer import ServerObserver
from resilient_redis.pool.budgets.redis_lease import RedisBudget
from resilient_redis.pool.budgets.static import StaticBudget

_Count = Annotated[int, msgspec.Meta(ge=0)]
_AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]

MakeClient = Callable[[], Any]
"""Makes a plain ``redis.Redis`` for a budget that asks the server."""


class StaticTable(msgspec.Struct, kw_only=True):
    """An even share of the limit for each worker, see `resilient_redis.pool.budgets.StaticBudget`."""

    limit: _AtLeastOne
    workers: _AtLeastOne
    reserve: _Count = 0


class HostTable(msgspec.Struct, kw_only=True):
    """All processes of this host together, see `resilient_redis.pool.budgets.HostBudget`."""

    limit: _AtLeastOne
    path: str | None = None


class RedisTable(msgspec.Struct, kw_only=True):
    """All processes that use one key of the server, see `resilient_redis.pool.budgets.RedisBudget`."""

    key: str
    limit: _AtLeastOne
    max_workers: _AtLeastOne
    chunk: _AtLeastOne = 5
    ttl: DurationSpec = 30.0
    floor: _AtLeastOne = 1
    margin: DurationSpec | None = None
    grace: DurationSpec | None = None
    timeout: DurationSpec = 1.0


class ObserverTable(msgspec.Struct, kw_only=True):
    """No more while the server is nearly full, see `resilient_redis.pool.budgets.ServerObserver`."""

    stop_at: float = 0.9
    interval: DurationSpec = 30.0
    regrow: float = 1.0
    timeout: DurationSpec = 1.0


BUDGET_TYPES: dict[str, type[msgspec.Struct]] = {
    "static": StaticTable,
    "host": HostTable,
    "redis": RedisTable,
    "observer": ObserverTable,
}
"""The tables by ``type``. Without one it is ``host``: it needs nothing but the limit."""

DEFAULT_TYPE = "host"

Fields = dict[str, tuple[Path, Any]]
"""The keys of one table, each with the place where it stands."""


@dataclass(frozen=True)
class Budgets:
    """What one section says of budgets: one table, or a list of them."""

    path: Path
    tables: tuple[Fields, ...]
    is_list: bool = False


@dataclass(frozen=True)
class BudgetConfig:
    """A checked budget, not made yet: making it may open a file. Immutable.

    Attributes:
        type: ``static``, ``host``, ``redis`` or ``observer``.
        fields: the keys that were given.
        name: that of the shared one under ``[budgets]``; ``None`` for one of the pool's own.
        source: the file it stands in, which the name belongs to.
    """

    type: str
    fields: Mapping[str, Any]
    name: str | None = None
    source: str = ""

    def make(self, client: MakeClient, address: str) -> Budget:
        """The budget; one for all pools of the process if it has a name.

        Args:
            client: makes a client of the server for those that ask it.
            address: tells servers apart where no ``path`` is given.

        Raises:
            ConfigError: its file cannot be used, or the name is in use with other values.
        """
        if self.name is None:
            return self._make(client, address)
        definition = (self.type, dict(self.fields))
        return shared_budget(self.source, self.name, definition, lambda: self._make(client, address))

    def _make(self, client: MakeClient, address: str) -> Budget:
        fields = dict(self.fields)
        if self.type == "static":
            return StaticBudget(**fields)
        if self.type == "host":
            path = fields.pop("path", None) or default_path(address)
            return HostBudget(path, **fields)
        kind = RedisBudget if self.type == "redis" else ServerObserver
        return cast(Budget, kind(client, **fields))


def make_all(configs: tuple[BudgetConfig, ...], client: MakeClient, address: str) -> Budget | None:
    """One budget out of all; ``None`` for none."""
    made = [config.make(client, address) for config in configs]
    return None if not made else made[0] if len(made) == 1 else combine(*made)


def default_path(address: str) -> str:
    """Where the processes of one user on this host meet: a directory that nobody else can write to.

    Raises:
        ConfigError: the directory cannot be made, or others can write to it.
    """
    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = os.path.join(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir(), f"resilient-redis-{user}")
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        found = os.lstat(folder)
    except OSError as error:
        raise ConfigError(
            f"budget.path: {folder} cannot be made ({error.strerror}); give a path in a directory of your own",
            field="budget.path",
        ) from None
    if hasattr(os, "getuid") and (found.st_uid != user or found.st_mode & 0o022):
        raise ConfigError(
            f"budget.path: {folder} can be written to by others; give a path in a directory of your own",
            field="budget.path",
        )
    plain = "".join(char if char.isalnum() or char in ".-" else "_" for char in address)
    return os.path.join(folder, f"{plain}.slots")


# --- reading ----------------------------------------------------------------------------------------------------


def read_budgets(value: Any, path: Path, problems: Problems) -> Budgets | None:
    """What a section says; whether the fields fit is known only when all sections are merged."""
    if value is None:
        return None
    is_list = isinstance(value, (list, tuple))
    places = [((*path, index), table) for index, table in enumerate(value)] if is_list else [(path, value)]
    tables = []
    for here, table in places:
        if isinstance(table, dict):
            _check_keys(table, here, problems)
            tables.append({key: ((*here, key), inner) for key, inner in table.items()})
        else:
            hint = " or a list of tables" if here == path else ""
            problems.add(here, f"expected a table{hint}, got {show(table, here)}")
    return Budgets(path, tuple(tables), is_list)


def _check_keys(table: dict[str, Any], path: Path, problems: Problems) -> None:
    kind = table.get("type")
    if "use" in table and len(table) > 1:
        other = next(key for key in table if key != "use")
        problems.add((*path, other), f"a shared budget takes no keys of its own; change it in [budgets.{table['use']}]")
    if "type" in table and (not isinstance(kind, str) or kind not in BUDGET_TYPES):
        problems.add((*path, "type"), _unknown_type(kind))
    known = [*_fields_of(kind if isinstance(kind, str) and kind in BUDGET_TYPES else None), "type", "use"]
    for key in table:
        if key not in known:
            problems.add((*path, key), unknown("key", key, known))


def _unknown_type(kind: Any) -> str:
    if isinstance(kind, str):
        return unknown("budget", kind, BUDGET_TYPES)
    return f"expected text, got {show(kind)} (known: {listed(BUDGET_TYPES)})"


def _fields_of(kind: str | None) -> list[str]:
    """The keys of one type; those of all types where it is not said, since another section may say it."""
    types = BUDGET_TYPES.values() if kind is None else (BUDGET_TYPES[kind],)
    return sorted({field for table in types for field in table.__struct_fields__})


def merge_budgets(nearer: Budgets | None, farther: Budgets | None, problems: Problems) -> Budgets | None:
    """A table without ``type`` and ``use`` changes the fields of the one below; any other replaces it."""
    if nearer is None or farther is None:
        return nearer if farther is None else farther
    if nearer.is_list or len(nearer.tables) != 1:
        return nearer
    above = nearer.tables[0]
    if {"type", "use"} & above.keys():
        return nearer
    if farther.is_list:
        problems.add(nearer.path, "there is a list of budgets below, so it is not clear which one is meant")
        return farther
    return Budgets(nearer.path, tuple({**below, **above} for below in farther.tables))


def build_budgets(
    merged: Budgets | None, shared: Mapping[str, Fields], source: str, problems: Problems
) -> tuple[BudgetConfig, ...]:
    """The budgets that are right."""
    built = [_build(fields, merged.path, shared, source, problems) for fields in merged.tables] if merged else []
    return tuple(config for config in built if config is not None)


def _build(
    fields: Fields, path: Path, shared: Mapping[str, Fields], source: str, problems: Problems
) -> BudgetConfig | None:
    name = None
    if "use" in fields:
        where, name = fields["use"]
        if not isinstance(name, str) or name not in shared:
            known = f"{unknown('budget', name, shared)}; define it as [budgets.NAME]" if isinstance(name, str) else ""
            problems.add(where, known or f"expected the name of a budget, got {show(name)}")
            return None
        name = str(name)
        fields = {**shared[name], **{key: given for key, given in fields.items() if key != "use"}}
    kind = str(fields.get("type", ((), DEFAULT_TYPE))[1])
    if kind not in BUDGET_TYPES:
        return None  # told already
    before = len(problems.found)
    values = _values(kind, fields, path, problems)
    _try(kind, values, fields, path, problems)
    return BudgetConfig(kind, values, name, source) if len(problems.found) == before else None


def _values(kind: str, fields: Fields, path: Path, problems: Problems) -> dict[str, Any]:
    """Those that are right, as far as one can be without the others."""
    values = {}
    known = {field.name: field for field in msgspec.structs.fields(BUDGET_TYPES[kind])}
    for key, (where, given) in fields.items():
        if key in known:
            before = len(problems.found)
            value = convert(given, known[key].type, where, problems)
            if len(problems.found) == before:
                values[key] = value
        elif key != "type" and not problems.told(where):
            problems.add(where, f"{unknown('key', key, known)}; the budget is of type {kind}")
    for key, field in known.items():
        if field.required and key not in fields:
            problems.add((*path, key), f"missing; a {kind} budget needs it")
    return values


def _try(kind: str, values: dict[str, Any], fields: Fields, path: Path, problems: Problems) -> None:
    """What the budget itself says of its numbers. One for a host would open its file, and has but one number."""
    if kind == "host":
        return
    needed = [field.name for field in msgspec.structs.fields(BUDGET_TYPES[kind]) if field.required]
    wrong = [*(fields.keys() - values.keys()), *(set(needed) - values.keys())]
    for error in complaints(lambda left: BudgetConfig(kind, left).make(_no_client, ""), values, needed, wrong):
        field = error.field.rpartition(".")[2]
        where, _ = fields.get(field, ((*path, field), None))
        message = str(error)
        for prefix in (f"{error.field}: ", f"RedisBudget.{field}: ", f"ServerObserver.{field}: ", "RedisBudget: "):
            message = message.removeprefix(prefix)
        problems.add(where, message)


def _no_client() -> Any:
    raise AssertionError("only tried, never used")


def read_shared_budgets(value: Any, path: Path, problems: Problems) -> dict[str, Fields]:
    """The table ``[budgets]``: those that profiles share, by name. Each is checked, used or not."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        problems.add(path, f"expected a table, got {show(value, path)}; write [budgets.NAME]")
        return {}
    shared: dict[str, Fields] = {}
    for name, table in value.items():
        here = (*path, name)
        if isinstance(table, dict) and "use" in table:
            problems.add((*here, "use"), "a shared budget is defined here; give its numbers")
            continue
        if not isinstance(table, dict):
            problems.add(here, f"expected a table, got {show(table, here)}")
            continue
        before = len(problems.found)
        found = read_budgets(table, here, problems)
        if found is not None and found.tables and len(problems.found) == before:
            shared[name] = found.tables[0]
            build_budgets(found, {}, "", problems)
    return shared
