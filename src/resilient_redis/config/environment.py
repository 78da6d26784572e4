"""What the environment says: three layers over the document, the first of which wins.

``RESILIENT_REDIS__POOL__MIN_IDLE`` names any key of a document, the parts joined by two underscores. Below stand the
names that services use already (``REDIS_HOST`` …), and below those ``REDIS_URL``.
"""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from resilient_redis.config.document import Document, plain
from resilient_redis.config.from_text import SWITCHES, VariableText
from resilient_redis.config.problems import Fault, Layer, Path, Problems, fold, show
from resilient_redis.config.strategy_table import Strategy
from resilient_redis.config.urls import SCHEMES

PREFIX = "RESILIENT_REDIS__"
FILE_VARIABLE = "RESILIENT_REDIS_CONFIG"
PROFILE_VARIABLE = "RESILIENT_REDIS_PROFILE"
URL_VARIABLE = "REDIS_URL"

NESTED, GUIDE, URL = Layer("nested"), Layer("guide"), Layer("url")
LAYERS = (NESTED, GUIDE, URL)
"""Nearest first."""

_MOST_PARTS = 12
_INDEX = re.compile(r"[0-9]{1,6}")


@dataclass(frozen=True)
class Environment:
    """What the variables say.

    Attributes:
        layers: tables of the document's shape, by `LAYERS`.
        patches: changes of single policies of a list that somebody else gives: path, value, the variable's name.
    """

    layers: dict[Layer, dict[str, Any]]
    patches: list[tuple[Path, Any, str]]


def read_environment(environ: Mapping[str, str], document: Document) -> Environment:
    """What ``environ`` says; which variable said it is noted in the document's problems.

    What belongs to a profile of the document is written into it. A variable that is empty counts as one that is not
    set.
    """
    problems = document.problems
    found = Environment({layer: {} for layer in LAYERS}, [])
    for name, text in sorted(environ.items(), key=lambda item: (item[0].count("__"), item[0])):
        if name.startswith(PREFIX) and text.strip():
            _read_nested(name, text.strip(), found, document)
    for name, (path, read) in GUIDE_VARIABLES.items():
        text = environ.get(name, "").strip()
        if text and not _is_service_link(name, text):
            _put_guides(found, path, text, read, name, problems)
    url = environ.get(URL_VARIABLE, "").strip()
    if url:
        _put(found, URL, ("url",), VariableText(url), URL_VARIABLE, problems)
    for layer, table in found.layers.items():
        found.layers[layer] = plain(table, (layer,), problems)
    return found


def _put_guides(
    found: Environment, path: Path, text: str, read: Callable[[str], Any], name: str, problems: Problems
) -> None:
    try:
        _put(found, GUIDE, path, read(text), name, problems)
    except Fault as fault:
        problems.variables[(GUIDE, *path)] = name
        problems.add((GUIDE, *path), fault.message)


# --- RESILIENT_REDIS__… -----------------------------------------------------------------------------------------


def _read_nested(name: str, text: str, found: Environment, document: Document) -> None:
    problems = document.problems
    parts = name[len(PREFIX) :].split("__")
    if not all(parts) or len(parts) > _MOST_PARTS:
        problems.variables[(NESTED, name)] = name
        problems.add((NESTED, name), f"no key; write {PREFIX}OPTIONS__SOCKET_TIMEOUT for options.socket_timeout")
        return
    path = _path(parts, document.data)
    try:
        value = _value(text)
    except (ValueError, RecursionError):
        problems.variables[(NESTED, *path)] = name
        problems.add((NESTED, *path), f"looks like JSON, but is none: {show(text, path)}")
        return
    if len(path) > 2 and path[0] == "profiles":
        problems.variables[(*document.root, *path)] = name
        overlay(document.data, path, plain(value, (*document.root, *path), problems), document.root, problems)
    elif len(path) > 1 and path[0] == "policies":
        problems.variables[(NESTED, *path)] = name
        found.patches.append((path, plain(value, (NESTED, *path), problems), name))
    else:
        _put(found, NESTED, path, value, name, problems)


def _path(parts: list[str], data: dict[str, Any]) -> Path:
    """The path, each key as the document writes it; names of commands are in capitals, all others are not."""
    path: Path = ()
    known: Any = data
    for part in parts:
        if _INDEX.fullmatch(part) and (isinstance(known, list) or (path and path[-1] == "policies")):
            index = int(part)
            path = (*path, index)
            known = known[index] if isinstance(known, list) and index < len(known) else None
        else:
            key = _spelt(part, path, known)
            path = (*path, key)
            known = known.get(key) if isinstance(known, dict) else None
    return path


def _spelt(part: str, path: Path, known: Any) -> str:
    for key in known if isinstance(known, dict) else ():
        if fold(key) == fold(part):
            return str(key)
    in_section = path[2:] if path and path[0] == "profiles" else path
    return part.upper() if in_section == ("commands",) else part.lower()


def _value(text: str) -> Any:
    """Tables and lists are written in JSON; all else is text until it is known what it should be."""
    return json.loads(text) if text[0] in "[{" else VariableText(text)


def _put(found: Environment, layer: Layer, path: Path, value: Any, name: str, problems: Problems) -> None:
    problems.variables[(layer, *path)] = name
    overlay(found.layers[layer], path, value, (layer,), problems)


def overlay(table: Any, path: Path, value: Any, root: Path, problems: Problems) -> None:
    """Put ``value`` at ``path`` into ``table``, making tables on the way.

    Args:
        table: tables and lists; it is changed.
        path: where to; at least one key.
        value: what to put there.
        root: where ``table`` stands, for messages.
        problems: the place of a list that is not there is a problem.
    """
    holder: Any = table
    key: Any
    for place, key in enumerate(path):
        if not _fits(holder, key):
            there = f"there are {len(holder)} of them, counted from 0" if isinstance(holder, list) else "no list here"
            problems.add((*root, *path), f"{there}; give the whole list as JSON")
            return
        if place == len(path) - 1:
            holder[key] = value
            return
        held: Any = holder.get(key) if isinstance(holder, dict) else holder[key]
        if isinstance(held, VariableText):  # of another variable, which must not be lost in silence
            here = (*root, *path[: place + 1])
            problems.add(here, f"expected a table, got {show(held, here)}")
        _descend(holder, key, held)
        holder = holder[key]


def _descend(holder: Any, key: Any, there: Any) -> None:
    """Have a table or list at ``key``."""
    if not isinstance(there, (dict, list)):
        holder[key] = {}


def _fits(holder: Any, key: str | int) -> bool:
    if isinstance(holder, list):
        return isinstance(key, int) and key < len(holder)
    return isinstance(key, str)


def patched_policies(
    patches: list[tuple[Path, Any, str]], policies: Any, path: Path, problems: Problems
) -> list[Any] | None:
    """The list of policies with the changes, for the nearest layer; ``None`` if there are none.

    Args:
        patches: see `Environment`.
        policies: the list that holds so far, as it was written; ``None`` for the default stack.
        path: where that stands.
        problems: is told where each part comes from.
    """
    if not patches:
        return None
    if not isinstance(policies, (list, tuple)):
        for place, _, _ in patches:
            problems.add((NESTED, *place), "there is no list of policies to change; give one in a file, or as JSON")
        return None
    changed = {"policies": copy.deepcopy(list(policies))}
    problems.elsewhere[(NESTED, "policies")] = path
    for place, value, _ in patches:
        overlay(changed, _as_written(place, changed["policies"]), value, (NESTED,), problems)
    return changed["policies"]


def _as_written(place: Path, policies: list[Any]) -> Path:
    """The same place, its key spelt as the policy's table spells it."""
    _, index, *keys = place
    table = policies[index] if isinstance(index, int) and index < len(policies) else None
    if not keys or not isinstance(table, dict):
        return place
    key = next((known for known in table if fold(known) == fold(str(keys[0]))), keys[0])
    return ("policies", index, key, *keys[1:])


# --- the guide's names ------------------------------------------------------------------------------------------


def _text(text: str) -> Any:
    return VariableText(text)


def _milliseconds(text: str) -> Any:
    """The guide's timeouts are milliseconds; a unit may be given all the same."""
    try:
        number = float(text)
    except ValueError:
        return VariableText(text)
    if not 0 < number < math.inf:
        raise Fault(f"expected milliseconds above 0, got {show(text)}")
    return number / 1000


def _strategy(text: str) -> Any:
    """Without a pool, all callers share one connection."""
    wanted = SWITCHES.get(text.lower())
    if wanted is None and text not in get_args(Strategy):
        raise Fault(f"expected true or false, got {show(text)}")
    return VariableText(text) if wanted is None else "pooled" if wanted else "multiplexed"


GUIDE_VARIABLES: dict[str, tuple[Path, Callable[[str], Any]]] = {
    "REDIS_HOST": (("options", "host"), _text),
    "REDIS_PORT": (("options", "port"), _text),
    "REDIS_PASSWORD": (("options", "password"), _text),
    "REDIS_POOL_ENABLED": (("strategy",), _strategy),
    "REDIS_POOL_MAX_PER_WORKER": (("pool", "max_connections"), _text),
    "REDIS_POOL_ABSOLUTE_MAX": (("budget", "limit"), _text),
    "REDIS_CONNECT_TIMEOUT": (("options", "socket_connect_timeout"), _milliseconds),
    "REDIS_COMMAND_TIMEOUT": (("options", "socket_timeout"), _milliseconds),
}
"""The variables of the guide, where they lead, and how their text is read."""


def _is_service_link(name: str, text: str) -> bool:
    """Kubernetes and Docker set REDIS_PORT to ``tcp://10.0.0.1:6379`` for a service called redis."""
    scheme, separator, _ = text.partition("://")
    return name == "REDIS_PORT" and bool(separator) and scheme not in SCHEMES
