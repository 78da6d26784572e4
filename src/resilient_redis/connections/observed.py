"""redis-py connections that know the attempt they serve. Twin of `aio_observed`.

The class is derived from whatever connection class a pool uses, so TLS, unix sockets, Sentinel's connections and a
user's own subclasses keep what they do.
"""

from __future__ import annotations

import socket
import sys
import time
from typing import TYPE_CHECKING, Any

import redis.connection
import redis.exceptions as rx
from redis._parsers import _HiredisParser
from redis.utils import HIREDIS_AVAILABLE

from resilient_redis.calls import NO_DEADLINE, LeftBehind
from resilient_redis.connections import fencing
from resilient_redis.connections.addresses import last_good
from resilient_redis.connections.attempt import (
    ACQUIRE,
    ANSWERED,
    CONNECT,
    CUT_SHORT,
    HANDSHAKE,
    SENDING,
    SENT,
    Attempt,
    current_attempt,
)
from resilient_redis.connections.cleanliness import absorb, dirt, soil_of
from resilient_redis.connections.deadline_socket import DeadlineSocket
from resilient_redis.connections.fork_gate import CONNECTING, SHAKING_HANDS, fork_gate
from resilient_redis.connections.handshake import judged
from resilient_redis.connections.kept import Kept
from resilient_redis.connections.moved import MovedMaster, only_tells_of_it
from resilient_redis.connections.replies_due import ANSWERS, LEFT_OVER, TOO_MANY, RepliesDue
from resilient_redis.connections.session import ORDINARY, Session

if TYPE_CHECKING:
    from redis.connection import AbstractConnection as Base
else:
    Base = object


class ObservedConnection(RepliesDue, Kept, Session, Base):
    """Mixin: marks borrowing and sending on the current attempt, and bounds each wait by its deadline."""

    _aside = 0  # > 0 while the handshake or a health check writes: that is not the command yet
    dialled_socket: Any = None  # the last one, for a child that is forked before redis-py has made it `_sock`
    dialled_number: int | None = None  # its descriptor, while TLS shakes hands
    asked = False  # the handshake has sent something: what fails now, fails by the server's answer
    _should_reconnect = False  # before redis-py 7 a connection has no such mark of its own
    identity = LeftBehind()  # who it is to the server, for a fence; anew with each dial
    lean = False  # nothing about it is unusual: it may be written to and read from directly
    shareable = False  # the same, but for what redis-py makes of READONLY behind Sentinel

    @property
    def socket_connect_timeout(self) -> float | None:
        """The configured one, or what is left to the deadline. Asked for each address, so several are summed."""
        configured: float | None = vars(self).get("_socket_connect_timeout")
        attempt = current_attempt.get()
        if attempt is None:
            return configured
        limit = attempt.left()
        if configured is not None:
            limit = min(configured, limit)
        return None if limit == NO_DEADLINE else limit

    @socket_connect_timeout.setter
    def socket_connect_timeout(self, value: float | None) -> None:
        self._socket_connect_timeout = value

    def _connect(self) -> Any:
        attempt = current_attempt.get()
        if attempt is not None:
            attempt.left()  # no dial for a call that is over
        with fork_gate.inside(CONNECTING):
            sock = last_good.dial(self, super()._connect)  # type: ignore[safe-super] # the class it is mixed into has one
            self.dialled_socket = sock
        return DeadlineSocket(sock) if isinstance(sock, socket.socket) else sock

    def _wrap_socket_with_ssl(self, sock: Any) -> Any:
        """The TLS handshake, within the time left: redis-py gives it ``socket_timeout``."""
        configured = sock.gettimeout()
        attempt = current_attempt.get()
        if attempt is not None:
            left = attempt.left()
            if left != NO_DEADLINE:
                sock.settimeout(left if configured is None else min(configured, left))
        with fork_gate.inside(SHAKING_HANDS):
            self.dialled_number = sock.fileno()  # TLS takes it over, and shows no object before it is done
            try:
                wrapped = super()._wrap_socket_with_ssl(sock)  # type: ignore[misc] # only TLS connections call this
                self.dialled_socket = wrapped
            finally:
                self.dialled_number = None
        wrapped.settimeout(configured)
        return wrapped

    def connect(self) -> None:
        """As redis-py's; marks that there was a connection, even if Sentinel then knows no address for it."""
        attempt = current_attempt.get()
        if attempt is not None and attempt.stage == ACQUIRE:
            attempt.stage = CONNECT
        if vars(self)["_sock"] is None:  # a pool asks before each command: no detour through redis-py's retry object
            super().connect()

    def connect_check_health(self, *args: Any, **kwargs: Any) -> None:
        """Ends connected or disconnected, whatever is thrown: a half-made handshake must not reach the pool."""
        if vars(self)["_sock"] is not None:
            return  # as for nearly every command
        self.check_kept()
        packed = self._packed
        self._dialling += 1
        try:
            super().connect_check_health(*args, **kwargs)
        except BaseException:
            self.disconnect()
            raise
        finally:
            self._dialling -= 1
        self._dialled(packed)

    def disconnect(self, *args: Any, **kwargs: Any) -> None:
        """As redis-py's; what the commands made of the connection is gone with it."""
        self._forget_session()
        super().disconnect(*args, **kwargs)

    def re_auth(self) -> None:
        """As redis-py's: new credentials for the same user are no state of a borrower's."""
        before = self._states
        super().re_auth()
        self._re_authenticated(before)

    def on_connect_check_health(self, *args: Any, **kwargs: Any) -> None:
        """The handshake: nothing of the command is sent yet."""
        attempt = current_attempt.get()
        if attempt is not None and attempt.stage <= CONNECT:
            attempt.stage = HANDSHAKE
        self._aside += 1
        try:
            with judged(self):
                super().on_connect_check_health(*args, **kwargs)
                self._introduce()
        finally:
            self._aside -= 1

    def _introduce(self) -> None:
        """Learn the server's number of this connection. Asked last, and known from HELLO too, it also shows whether
        replies still belong to their questions: a reply too many in the handshake would shift them all.
        """
        reads = {vars(cls).get("read_response") for cls in type(self).__mro__[2:]} - {None}
        usual = _is_usual(self)
        self.lean = usual and reads <= _STOCK_READS
        self.shareable = usual and {read for read in reads if not only_tells_of_it(read)} <= _STOCK_READS
        opened, told = time.monotonic(), fencing.server_id_in(getattr(self, "handshake_metadata", None))
        address = fencing.address_of(self._sock)
        self.identity = LeftBehind(told, address, opened)
        if not fencing.may_ask(self):
            return
        try:
            number = self._ask("CLIENT", "ID")
        except rx.ResponseError:  # an old server, or a user without the right
            fencing.refuses_to_tell(self)
            return
        self.identity = LeftBehind(fencing.checked_id(number, told), address, opened)

    def _ask(self, *words: Any) -> Any:
        """A question of our own, beside what the borrower does."""
        self._aside += 1
        try:
            self.send_command(*words, check_health=False)
            return self.read_response()
        finally:
            self._aside -= 1

    def _fence(self, behind: list[LeftBehind]) -> None:
        """Cut off the connections of earlier attempts, so that nothing more arrives over them."""
        while behind:
            left = behind[0]
            question = fencing.question(left)
            try:
                if question and fencing.must_kill(self._ask(*question), left):
                    self._ask("CLIENT", "KILL", "ID", left.server_id)
            except rx.ResponseError as error:
                fencing.refused(left, error)
            behind.pop(0)

    def _note(self, args: tuple[Any, ...]) -> None:
        self.asked = True
        super()._note(args)

    def _send_ping(self) -> None:
        packed = self._packed  # if it fails, these commands are not lost with the connection: they wait for the next
        self._aside += 1
        try:
            super()._send_ping()
        finally:
            self._aside -= 1
            self._packed = packed

    def _ping_failed(self, *args: Any, **kwargs: Any) -> None:
        packed = self._packed
        super()._ping_failed(*args, **kwargs)
        self._packed = packed

    def send_command(self, *args: Any, **kwargs: Any) -> None:
        """As redis-py's, in one frame as there, and a look at what the command makes of the connection."""
        self.send_packed_command(self._command_packer.pack(*args), check_health=kwargs.get("check_health", True))
        try:
            if args[0] in ORDINARY:
                return
        except (TypeError, ValueError):  # a name that cannot be hashed
            pass
        self._note(args)

    def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        """As redis-py's, with a mark on the attempt right before the first write."""
        attempt = current_attempt.get()
        if attempt is None or self._aside:
            super().send_packed_command(command, check_health=check_health)
            return
        if attempt.stage == ACQUIRE:
            attempt.stage = CONNECT
        if vars(self)["_sock"] is None:
            self.connect_check_health(check_health=False)
        elif not self.speaks_by_itself and (cause := absorb(self)):
            self.disconnect()
            raise rx.ConnectionError(LEFT_OVER.format(cause=cause))
        if check_health and self.health_check_interval:
            self.check_health()
        if attempt.behind:
            self._fence(attempt.behind)
        attempt.carrier = self.identity
        attempt.stage = SENDING
        sock = self._sock
        try:
            super().send_packed_command(command, check_health=False)
        except (rx.RedisError, OSError):
            self.look_at_failed_write(attempt, sock)
            raise
        attempt.stage = SENT

    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """As redis-py's; the attempt learns of the answer, and the replies to a pipeline are counted."""
        attempt = None if self._aside else current_attempt.get()
        if attempt is not None and attempt.stage == ANSWERED:
            attempt.stage = SENT  # the next reply of several
        try:
            reply = super().read_response(*args, **kwargs)
        except (rx.ResponseError, *ANSWERS) as error:
            self._answered(attempt, error)
            raise
        self._answered(attempt, None)
        if self.all_came and dirt(self) == "unread" and soil_of(self, self._sock) == "reply":
            if attempt is not None:
                attempt.stage = SENT
            self.disconnect()
            raise rx.ConnectionError(TOO_MANY)
        return reply

    def look_at_failed_write(self, attempt: Attempt, sock: Any) -> None:
        """The system did not take all of it, so the server cannot have all of it, and does not run a part."""
        if attempt.atomic and isinstance(sock, DeadlineSocket) and sock.plain and sock.cut_short:
            attempt.stage = CUT_SHORT
            attempt.carrier = None


def _is_usual(connection: Any) -> bool:
    """Hiredis on both ways over a socket of ours, and no health checks of redis-py's in between."""
    if not HIREDIS_AVAILABLE or connection.health_check_interval:
        return False
    parts = (type(connection._parser), type(connection._command_packer), type(connection._sock))
    usual = (_HiredisParser, redis.connection.HiredisRespSerializer, DeadlineSocket)
    return parts == usual


_FORM = "_observed_form"
_STOCK_READS = {
    vars(cls)["read_response"] for cls in redis.connection.AbstractConnection.__mro__ if "read_response" in vars(cls)
}
_STOCK_SENDS = (
    redis.connection.AbstractConnection.send_packed_command,
    redis.connection.AbstractConnection.send_command,
)


def observed(cls: type[Any]) -> type[Any]:
    """The observing form of a connection class; itself where it sends in a way of its own, or is a factory."""
    if not isinstance(cls, type) or not issubclass(cls, redis.connection.AbstractConnection):
        return cls
    if issubclass(cls, ObservedConnection):
        return cls
    known: type[Any] | None = vars(cls).get(_FORM)
    if known is not None and issubclass(known, ObservedConnection):  # not of a copy of this module loaded before
        return known
    if (cls.send_packed_command, cls.send_command) != _STOCK_SENDS:
        return cls
    sentinels = sys.modules.get("redis.sentinel")  # whoever has such a connection has imported it
    behind_sentinel = sentinels is not None and issubclass(cls, sentinels.SentinelManagedConnection)
    bases = (ObservedConnection, MovedMaster, cls) if behind_sentinel else (ObservedConnection, cls)
    # Kept on the class itself: a cache of ours would keep classes that are made at run time, as kombu's are.
    form: type[Any] = type(f"Observed{cls.__name__}", bases, {"__module__": __name__})
    setattr(cls, _FORM, form)
    return form


def is_observed(cls: type[Any]) -> bool:
    """Does this connection class mark attempts?"""
    return isinstance(cls, type) and issubclass(cls, ObservedConnection)
