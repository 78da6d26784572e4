"""Password, rights and protocol."""

from __future__ import annotations

import redis

from resilient_redis.cli.doctor.asking import Facts
from resilient_redis.cli.doctor.line import Line
from resilient_redis.pipeline.classify import advice_for

_FULL = "max number of clients"


def judge_login(*, password: bool, trusted_place: bool, user: str | None) -> Line:
    """Logged in: was a password needed?

    ``password``: one was sent. ``trusted_place``: loopback or a Unix socket. ``user``: as ACL WHOAMI says.
    """
    name = f" as user {user}" if user else ""
    if password:
        return Line("login", "ok", f"logged in{name}")
    if trusted_place:
        return Line("login", "ok", f"no password is needed{name}, and only this machine was tried")
    hint = "set requirepass or ACL users on the server, and give the password to this service"
    return Line("login", "warning", f"no password is needed{name}: whoever reaches the port may do everything", hint)


def judge_login_failure(error: BaseException) -> Line:
    """Why the handshake with the server ended."""
    message = str(error)
    if _FULL in message:
        hint = "raise maxclients, or give each worker a smaller pool: resilient-redis pool-size"
        return Line("login", "failed", "the server is full: it has reached maxclients and takes nobody", hint)
    if isinstance(error, redis.exceptions.BusyLoadingError) or message.startswith("LOADING"):
        hint = "wait until it has read its data into memory; INFO persistence tells how far it is"
        return Line("login", "failed", "the server is loading its data and answers nothing else yet", hint)
    if isinstance(error, redis.exceptions.AuthenticationError | redis.exceptions.AuthorizationError):
        return _not_authenticated(message)
    if isinstance(error, redis.TimeoutError):
        hint = "look at the server's load, and whether something between swallows packets"
        return Line("login", "failed", "connected, and then no answer in time", hint)
    advice = advice_for(error) if isinstance(error, Exception) else ()
    hint = "; ".join(advice) or "is it a Redis or Valkey that listens there?"
    return Line("login", "failed", f"no answer that makes sense: {message[:120] or type(error).__name__}", hint)


def _not_authenticated(message: str) -> Line:
    if "WRONGPASS" in message or "invalid" in message.lower():
        hint = "check both, and ACL LIST on the server"
        return Line("login", "failed", "user name and password do not fit", hint)
    if "without any password" in message:
        hint = "leave the password out, or set requirepass on the server"
        return Line("login", "failed", "a password was sent, and the server has none", hint)
    hint = "give password= (and username=), REDIS_PASSWORD, or a URL with one"
    return Line("login", "failed", "the server wants a password, and none was given", hint)


def judge_rights(facts: Facts) -> Line:
    """What may this user not do that the library or the doctor would?"""
    if not facts.may_fence:
        text = "may not run " + ", ".join(name for name in facts.refused if name.startswith("CLIENT "))
        hint = (
            "grant +client|id +client|list +client|kill: without them a late command cannot be fenced off "
            "before it is repeated (docs: delivery)"
        )
        return Line("rights", "warning", _with_rest(text, facts), hint)
    if facts.refused:
        hint = "for the full examination grant " + " ".join(_rule(name) for name in facts.refused)
        return Line("rights", "ok", f"enough for the library; may not see {', '.join(facts.refused)}", hint)
    return Line("rights", "ok", "this user may do all that the library and the doctor need")


def _with_rest(text: str, facts: Facts) -> str:
    rest = [name for name in facts.refused if not name.startswith("CLIENT ")]
    return f"{text}; and may not see {', '.join(rest)}" if rest else text


def _rule(command: str) -> str:
    return "+" + command.lower().replace(" ", "|")


def judge_protocol(facts: Facts, wanted: object) -> Line:
    """Which protocol is spoken?"""
    spoken = (facts.hello or {}).get("proto")
    if spoken is None:
        why = "this user may not run HELLO" if "HELLO" in facts.refused else "the server does not know HELLO"
        return Line("protocol", "ok", f"RESP2: {why}")
    note = "" if wanted is None or str(wanted) == str(spoken) else f", where protocol={wanted} was asked for"
    return Line("protocol", "ok", f"RESP{spoken}{note}")
