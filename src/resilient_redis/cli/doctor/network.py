"""Name, TCP and TLS: what must work before a byte of Redis is spoken."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from resilient_redis.cli.doctor.line import Line, Status, worst

SLOW_NAME = 0.1
"""Seconds. Each new connection resolves the name again, and waits for that."""

SLOW_CONNECT = 0.1
CERTIFICATE_DAYS = 14
"""Warn this long before the end: time enough for people to renew it."""

_OLD_TLS = frozenset({"SSLv3", "TLSv1", "TLSv1.1"})


class Resolved(NamedTuple):
    """What a name led to; ``error`` if to nothing."""

    addresses: Sequence[str]
    seconds: float
    error: str = ""


class Tried(NamedTuple):
    """A connect to one address; ``error`` if it failed."""

    address: str
    seconds: float
    error: str = ""


def resolve(host: str, port: int) -> Resolved:
    """Ask the system for the addresses of a name."""
    began = time.perf_counter()
    try:
        found = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)
    except (OSError, ValueError) as error:
        return Resolved((), time.perf_counter() - began, getattr(error, "strerror", None) or str(error))
    return Resolved(tuple(dict.fromkeys(str(entry[4][0]) for entry in found)), time.perf_counter() - began)


def try_connect(address: str, port: int, timeout: float) -> Tried:
    """Open a TCP connection and close it again."""
    began = time.perf_counter()
    try:
        socket.create_connection((address, port), timeout).close()
    except OSError as error:
        return Tried(address, time.perf_counter() - began, error.strerror or str(error))
    return Tried(address, time.perf_counter() - began)


def judge_name(host: str, resolved: Resolved) -> Line:
    """Does the name lead anywhere, and fast enough?"""
    if resolved.error:
        return Line(
            "name", "failed", f"{host} cannot be resolved: {resolved.error}", "check the name, and this machine's DNS"
        )
    text = f"{host} is {', '.join(resolved.addresses)}"
    if resolved.seconds > SLOW_NAME:
        slow = f"{text}, after {resolved.seconds * 1000:.0f} ms"
        return Line("name", "warning", slow, "every new connection waits for that: use a local DNS cache")
    return Line("name", "ok", text)


def judge_tcp(tried: Sequence[Tried], port: int) -> Line:
    """Does something listen at each of the addresses?"""
    dead = [one for one in tried if one.error]
    told = ", ".join(f"{one.address}: {one.error.lower()}" for one in dead)
    if len(dead) == len(tried):
        hint = "start the server, check host and port, and the firewalls between"
        return Line("tcp", "failed", f"no connection to port {port}: {told}", hint)
    alive = [one for one in tried if not one.error]
    slowest = max(one.seconds for one in alive)
    found = []
    if dead and _families(dead) & _families(alive):
        hint = "every new connection may try that first: repair it, or take it out of the DNS"
        found.append(Line("tcp", "warning", f"not all addresses answer: {told}", hint))
    if slowest > SLOW_CONNECT:
        text = f"a connect takes {slowest * 1000:.0f} ms"
        found.append(Line("tcp", "warning", text, "keep connections open (min_idle), or move nearer"))
    return worst("tcp", found, f"port {port} answers in {slowest * 1000:.1f} ms")


def _families(tried: Sequence[Tried]) -> set[bool]:
    """IPv6 or not: that localhost is ::1 too, where nobody listens, costs microseconds and is no fault."""
    return {":" in one.address for one in tried}


def judge_tls(cert: Mapping[str, Any] | None, version: str | None, now: float) -> Line:
    """Is the certificate checked, and for how long is it valid? ``cert`` as ``getpeercert()`` gives it."""
    found = []
    if version in _OLD_TLS:
        found.append(Line("tls", "warning", f"{version} is obsolete", "let the server offer TLS 1.2 or 1.3"))
    if not cert:
        hint = "leave ssl_cert_reqs out and give ssl_ca_certs=FILE"
        found.append(Line("tls", "warning", "the certificate is not checked: anybody could answer", hint))
        return worst("tls", found, "")
    days = (ssl.cert_time_to_seconds(str(cert["notAfter"])) - now) / 86400
    if days < CERTIFICATE_DAYS:
        status: Status = "failed" if days < 0 else "warning"
        text = "has expired" if days < 0 else f"expires in {days:.1f} days"
        hint = "renew it: no new connection will be made after that"
        found.append(Line("tls", status, f"the certificate {text}", hint))
    return worst("tls", found, f"{version or 'TLS'}, certificate valid for {days:.0f} days")


_DISTRUST = (
    ("expired", "renew it on the server"),
    ("mismatch", "connect by a name that the certificate is for, or let the server have one for this name"),
)
_UNKNOWN_CA = "give the CA that signed it: ssl_ca_certs=FILE"


def _is_own(error: BaseException) -> bool:
    """Was it before a byte was sent? A file that is missing or holds something else, a cipher that there is not."""
    if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError | NotADirectoryError):
        return True
    if not isinstance(error, ssl.SSLError) or isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return False
    return getattr(error, "library", None) != "SSL" or error.reason is None  # some have neither


def judge_tls_failure(error: BaseException) -> Line:
    """Why the handshake failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = next((hint for word, hint in _DISTRUST if word in error.verify_message), _UNKNOWN_CA)
        return Line("tls", "failed", f"the certificate is not trusted: {error.verify_message}", hint)
    if _is_own(error):
        text = f"TLS cannot be set up on this side: {getattr(error, 'strerror', None) or error}"
        return Line("tls", "failed", text, "check ssl_ca_certs, ssl_certfile, ssl_keyfile and the other ssl_ options")
    reason = getattr(error, "reason", None) or type(error).__name__
    hint = "does the server speak TLS on this port? If not, write redis:// instead of rediss://"
    return Line("tls", "failed", f"no TLS handshake: {reason}", hint)
