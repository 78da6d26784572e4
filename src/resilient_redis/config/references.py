"""Values that stand elsewhere: ``env:NAME`` in an environment variable, ``file:/run/secrets/redis`` in a file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from resilient_redis.config.document import is_encodable, read_text
from resilient_redis.config.problems import Fault, quoted, suggest

_SECRET_BYTES = 64_000


def is_reference(value: Any) -> bool:
    """Does the value stand elsewhere?

    >>> is_reference("env:REDIS_URL"), is_reference("redis://localhost")
    (True, False)
    """
    return isinstance(value, str) and value.startswith(("env:", "file:"))


def follow(reference: str, folder: str, environ: Mapping[str, str]) -> str:
    """The text that ``reference`` leads to, without the white space around it.

    Args:
        reference: ``env:NAME`` or ``file:PATH``.
        folder: what a relative path starts from.
        environ: the variables.

    Raises:
        Fault: there is none; the message names the variable or file.
    """
    kind, _, where = reference.partition(":")
    return _from_environment(where, environ) if kind == "env" else _from_file(where, folder)


def _from_environment(name: str, environ: Mapping[str, str]) -> str:
    if not name:
        raise Fault('names no variable; write "env:NAME"')
    try:
        value = environ.get(name)
    except ValueError:
        value = None
    if value is None:
        near = suggest(name, environ)
        hint = "" if near is None else f"; did you mean {quoted(near)}?"
        raise Fault(f"the environment variable {_bare(name)} is not set{hint}")
    if not is_encodable(value):
        raise Fault(f"the environment variable {_bare(name)} is not UTF-8 text")
    return value.strip()


def _from_file(name: str, folder: str) -> str:
    if not name:
        raise Fault('names no file; write "file:/path"')
    try:
        return read_text(os.path.join(folder, name), most=_SECRET_BYTES).strip()
    except Fault as fault:
        raise Fault(f"file {quoted(name)}: {fault.message}") from None


def _bare(name: str) -> str:
    return name if name.isidentifier() else quoted(name)
