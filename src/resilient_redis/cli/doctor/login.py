"""Password, rights and protocol."""

from __future__ import annotations

import redis
import redis.exceptions as rx

from resilient_redis.cli.common import login_problem
from resilient_redis.cli.doctor.asking import Facts
from resilient_redis.cli.doctor.line import Line, worst
from resilient_redis.pipeline.classify import advice_for

_FULL = "max number of clients"
_WITHOUT_TLS = "is it a Redis or Valkey that listens there? If it speaks TLS, write rediss://"
_INSIDE_TLS = (
    "does the server ask for a certificate of this side (tls-auth-clients)? Give ssl_certfile=FILE and "
    "ssl_keyfile=FILE. If not, is it a Redis or Valkey that listens there?"
)


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


def judge_login_failure(error: BaseException, *, tls: bool = False) -> Line:
    """Why the handshake with the server ended. ``tls``: it was inside of TLS, whose own handshake went well."""
    message = str(error)
    if _FULL in message:
        hint = "raise maxclients, or give each worker a smaller pool: resilient-redis pool-size"
        return Line("login", "failed", "the server is full: it has reached maxclients and takes nobody", hint)
    if isinstance(error, rx.BusyLoadingError) or message.startswith("LOADING"):
        hint = "wait until it has read its data into memory; INFO persistence tells how far it is"
        return Line("login", "failed", "the server is loading its data and answers nothing else yet", hint)
    if isinstance(error, rx.AuthenticationError | rx.AuthorizationError):
        return Line("login", "failed", *login_problem(message))
    if "protected mode" in message:
        hint = "set requirepass or ACL users on the server, then bind it to an address that this service reaches"
        return Line("login", "failed", "the server is in protected mode: it takes only its own machine", hint)
    if isinstance(error, redis.TimeoutError):
        hint = "look at the server's load, and whether something between swallows packets"
        return Line("login", "failed", "connected, and then no answer in time", hint)
    advice = advice_for(error) if isinstance(error, Exception) else ()
    hint = "; ".join(advice) or (_INSIDE_TLS if tls else _WITHOUT_TLS)
    return Line("login", "failed", f"no answer that makes sense: {message[:120] or type(error).__name__}", hint)


def judge_end(error: BaseException) -> Line:
    """Why the questions ended early, though the login went well."""
    if isinstance(error, redis.TimeoutError):
        return judge_login_failure(error)
    hint = "look at its log: was it restarted, or does something between cut connections?"
    return Line("login", "failed", "logged in, and then the connection was lost again and again", hint)


def judge_rights(facts: Facts) -> Line:
    """What may this user not do that the library or the doctor would?"""
    found = []
    if facts.hung_up:
        text = f"the connection was lost at {', '.join(facts.hung_up)}"
        found.append(Line("rights", "warning", text, "look at its log, and at proxies between: they may allow less"))
    fences = [name for name in facts.refused if name.startswith("CLIENT ")]
    others = [name for name in facts.refused if name not in fences]
    unseen = f"may not see {', '.join(others)}"
    if not facts.may_fence:
        text = f"may not run {', '.join(fences)}" + (f", and {unseen}" if others else "")
        hint = (
            "grant +client|id +client|list +client|kill: without them a late command cannot be fenced off "
            "before it is repeated (docs: delivery)"
        )
        found.append(Line("rights", "warning", text, hint))
    if found or not others:
        return worst("rights", found, "this user may do all that the library and the doctor need")
    hint = "for the full examination grant " + " ".join(_rule(name) for name in others)
    return Line("rights", "ok", f"enough for the library; {unseen}", hint)


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
