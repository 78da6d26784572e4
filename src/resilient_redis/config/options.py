"""The options table: the plain keyword arguments of ``redis.Redis``."""

from __future__ import annotations

import codecs
import inspect
import math
from functools import cache
from typing import Annotated, Any, Literal, get_args

import msgspec
import redis

from resilient_redis.config.convert import convert, duration_problem, expectation
from resilient_redis.config.from_text import NONE, SWITCHES, is_duration, or_none, takes_none
from resilient_redis.config.one_by_one import complaints
from resilient_redis.config.option_objects import OBJECTS_BY_NAME, UnknownNameError
from resilient_redis.config.problems import Path, Problems, show, unknown
from resilient_redis.config.references import is_reference
from resilient_redis.durations import DurationSpec, parse_duration
from resilient_redis.pool.options import POOL_FIELDS, PoolOptions

_Count = Annotated[int, msgspec.Meta(ge=0)]
_AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]
_Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]


class PoolSpec(msgspec.Struct, kw_only=True):
    """The options of the pool, see `resilient_redis.pool.options.PoolOptions`; the budget has a table of its own."""

    max_connections: _AtLeastOne | None
    acquire_timeout: DurationSpec
    min_idle: _Count
    max_waiting: _Count | None
    idle_timeout: DurationSpec | None
    max_lifetime: DurationSpec | None
    validate_after: DurationSpec | None
    leak_threshold: DurationSpec | None
    max_dials: _AtLeastOne
    fifo: bool
    maintenance_interval: DurationSpec
    background: bool
    name: str | None


class OptionsSpec(PoolSpec, kw_only=True):
    """The plain keyword arguments of ``redis.Redis``: only their types count, for no option has a default here.

    Those of the pool may stand here too, as they may in code.
    """

    host: str
    port: _Port
    db: _Count
    username: str | None
    password: str | None
    unix_socket_path: str | None
    client_name: str | None
    lib_name: str | None
    lib_version: str | None
    protocol: Literal[2, 3] | None
    legacy_responses: bool
    decode_responses: bool
    encoding: str
    encoding_errors: str
    socket_timeout: DurationSpec | None
    socket_connect_timeout: DurationSpec | None
    socket_read_size: _AtLeastOne
    socket_keepalive: bool | None
    socket_keepalive_options: dict[str, int] | None
    health_check_interval: DurationSpec
    single_connection_client: bool
    retry_on_timeout: bool
    ssl: bool
    ssl_keyfile: str | None
    ssl_certfile: str | None
    ssl_cert_reqs: Literal["none", "optional", "required"]
    ssl_include_verify_flags: list[str] | None
    ssl_exclude_verify_flags: list[str] | None
    ssl_ca_certs: str | None
    ssl_ca_path: str | None
    ssl_ca_data: str | None
    ssl_check_hostname: bool
    ssl_password: str | None
    ssl_validate_ocsp: bool
    ssl_validate_ocsp_stapled: bool
    ssl_ocsp_expected_cert: str | None
    ssl_min_version: Literal["TLSv1.2", "TLSv1.3"] | None
    ssl_ciphers: str | None


_TYPES: dict[str, Any] = {field.name: field.type for field in msgspec.structs.fields(OptionsSpec)}

_CODE_ONLY: dict[str, str] = {
    "retry": "use a retry policy",
    "retry_on_error": "use a retry policy",
    "connection_pool": "use url or host",
    "credential_provider": "use password, which may be env: or file:",
    "budget": "give it a table of its own, [budget]",
}
_OBJECTS = frozenset(
    {
        *_CODE_ONLY,
        "cache",
        "cache_config",
        "driver_info",
        "event_dispatcher",
        "maint_notifications_config",
        "oss_cluster_maint_notifications_handler",
        "redis_connect_func",
        "ssl_ocsp_context",
    }
)


@cache
def _accepted() -> frozenset[str]:
    """What the installed redis-py and our pool take."""
    return (frozenset(inspect.signature(redis.Redis.__init__).parameters) | POOL_FIELDS) - {"self"}


def option_names() -> list[str]:
    """The options that a file may set, with the installed redis-py.

    >>> "socket_timeout" in option_names(), "connection_pool" in option_names()
    (True, False)
    """
    return sorted(_accepted() - _OBJECTS)


def read_options(value: Any, path: Path, problems: Problems) -> dict[str, Any]:
    """The options that are right; references are checked when they are followed."""
    return _read_table(value, path, problems, "option", option_names(), _accepted() & _OBJECTS)


def pool_names() -> list[str]:
    """The options of the pool that a file may set.

    >>> "min_idle" in pool_names(), "budget" in pool_names()
    (True, False)
    """
    return sorted(POOL_FIELDS - _OBJECTS)


def read_pool(value: Any, path: Path, problems: Problems) -> dict[str, Any]:
    """The options of the pool that are right."""
    return _read_table(value, path, problems, "key", pool_names(), POOL_FIELDS & _OBJECTS)


def _read_table(
    value: Any, path: Path, problems: Problems, what: str, names: list[str], for_code: frozenset[str]
) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        problems.add(path, f"expected a table, got {show(value, path)}")
        return {}
    options = {}
    for name, given in value.items():
        here = (*path, name)
        if name in for_code:
            problems.add(here, f"only code can set this{_remedy(name)}")
        elif name not in names:
            problems.add(here, unknown(what, name, names, always_list=what == "key"))
        else:
            options[name] = str(given) if is_reference(given) else read_option(name, given, here, problems)
    check_pool({name: (options[name], (*path, name)) for name in POOL_FIELDS & options.keys()}, path, problems)
    return options


def check_pool(options: dict[str, tuple[Any, Path]], path: Path, problems: Problems) -> None:
    """What the pool's options say of each other; what is wrong with one alone has been told already.

    Args:
        options: each value, and where it stands.
        path: what is named if none of them is to blame.
        problems: the check adds to it.
    """
    given = {name: value for name, (value, _) in options.items() if value is not None and not is_reference(value)}
    wrong = [name for name, (_, where) in options.items() if problems.told(where)]
    for error in complaints(lambda values: PoolOptions(**values), given, wrong=wrong):
        _, where = options.get(error.field, (None, (*path, error.field)))
        problems.add(where, str(error).removeprefix(f"{error.field}: "))


def option_type(name: str) -> Any:
    """What a file must give, for the converter."""
    return _TYPES.get(name)


def is_nullable(name: str) -> bool:
    """Does a file write "none" for the option's ``None``?"""
    return takes_none(_TYPES.get(name))


def _remedy(name: str) -> str:
    remedy = _CODE_ONLY.get(name)
    return f"; {remedy}" if remedy else ""


def read_option(name: str, value: Any, path: Path, problems: Problems) -> Any:
    """``value`` as the option takes it: a duration in seconds."""
    wanted = _TYPES.get(name, str | int | float | bool | None)
    converted = convert(value, wanted, path, problems)
    if name in OBJECTS_BY_NAME and converted is not None:
        return _to_object(name, converted, path, problems)
    if name in _LOOKED_UP and converted is not None and not _is_usable(name, converted):
        problems.add(path, f"{show(value, path)} is {_LOOKED_UP[name]}")
    if converted is None or not is_duration(wanted):
        return converted
    seconds = parse_duration(converted) if isinstance(converted, str) else converted
    problem = _seconds_problem(name, seconds)
    if problem is not None:
        problems.add(path, f"expected {problem}, got {show(value, path)}")
    return seconds


def _to_object(name: str, value: Any, path: Path, problems: Problems) -> Any:
    """What redis-py wants as an object of a standard module, a file names."""
    try:
        return OBJECTS_BY_NAME[name](value)
    except UnknownNameError as error:
        problems.add(path, unknown("name", error.name, error.known))
        return None


_LOOKED_UP = {
    "encoding": "no text encoding of Python's, such as utf-8",
    "encoding_errors": "no way of Python's to treat errors, such as strict or replace",
    "host": "no name that a resolver can be asked for",
}
"""Names that Python can use, and what one is that it cannot."""


def _is_usable(name: str, value: str) -> bool:
    try:
        if name == "encoding":
            "".encode(value)
        elif name == "host":
            value.encode("idna")
        else:
            codecs.lookup_error(value)
    except (LookupError, ValueError):
        return False
    return True


_LONGEST = 1e9
"""Thirty years. Sockets refuse what does not fit into their clock."""


def _seconds_problem(name: str, seconds: float) -> str | None:
    """What the option expects of its seconds, if it is not so."""
    if name.endswith("_timeout") and seconds == 0 and name not in POOL_FIELDS:
        return "more than 0 seconds"
    if math.isinf(seconds):
        return "a finite number of seconds"
    return f"at most {_LONGEST:g} seconds" if seconds > _LONGEST else None


def read_followed(name: str, text: str, origin: str) -> Any:
    """The option from the text that a reference led to, which may be a number or true / false in another form.

    Raises:
        ValueError: it is none; the message does not show the text, which may be a secret.
    """
    wanted = _TYPES.get(name, str)
    if text == NONE and takes_none(wanted):
        return None
    if is_duration(wanted):
        return _followed_duration(name, text, origin)
    plain = SWITCHES.get(text.lower(), text) if bool in (wanted, *get_args(wanted)) else text
    if name in _LOOKED_UP and not _is_usable(name, text):
        raise ValueError(f"what {origin} holds is {_LOOKED_UP[name]}")
    try:
        value = msgspec.convert(plain, wanted, strict=False)
        return OBJECTS_BY_NAME[name](value) if name in OBJECTS_BY_NAME else value
    except msgspec.ValidationError as error:
        raise ValueError(
            f"what {origin} holds does not fit: {expectation(str(error), wanted)}{or_none(wanted)}"
        ) from None


def _followed_duration(name: str, text: str, origin: str) -> float:
    try:
        seconds: float | str = float(text)
    except ValueError:
        seconds = text
    if duration_problem(seconds, ()) is not None:
        raise ValueError(f'what {origin} holds is no duration; give seconds as a number, or text such as "250ms"')
    number = parse_duration(seconds)
    problem = _seconds_problem(name, number)
    if problem is not None:
        raise ValueError(f"what {origin} holds does not fit: expected {problem}")
    return number
