"""What the commands sent over a connection have made of it: a transaction, a subscription, another database.

Known from the commands alone, without asking the server. In doubt a state is kept: the worst that comes of it is a
connection closed too many; the other way round, the next borrower's commands would land in another's state.

Not tracked: CLIENT SETNAME and SETINFO (labels), ASKING (it holds for the next command only), and what is packed by
hand with ``pack_command``.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any

WORDS = (
    "quit",
    "monitor",
    "subscribed",
    "reply_off",
    "multi",
    "watch",
    "db",
    "tracking",
    "protocol",
    "auth",
    "readonly",
    "no_evict",
    "no_touch",
)
"""The closed set of words for ``session``; of several states at once, the first of these is reported.

``quit``: QUIT, the server hangs up. ``monitor``: MONITOR, SYNC or PSYNC, the server sends on its own.
``db``: another database than the configured one. ``tracking``: CLIENT TRACKING or CACHING. ``protocol``: HELLO.
``no_evict``, ``no_touch``: CLIENT NO-EVICT, CLIENT NO-TOUCH. The others are named after their commands.
"""

_BITS = {word: 1 << place for place, word in enumerate(WORDS)}
_ALL = (1 << len(WORDS)) - 1
_MULTI, _DB, _REPLY_OFF, _PROTOCOL = _BITS["multi"], _BITS["db"], _BITS["reply_off"], _BITS["protocol"]
SUBSCRIBED = _BITS["subscribed"]
_SPEAKING = SUBSCRIBED | _BITS["monitor"]
SOILED = 1 << len(WORDS)
"""No word of its own: `cleanliness` has found this connection dirty, and stands by it until it is closed."""

_SETS = {
    "QUIT": _BITS["quit"],
    "MONITOR": _BITS["monitor"],
    "SYNC": _BITS["monitor"],
    "PSYNC": _BITS["monitor"],
    "SUBSCRIBE": SUBSCRIBED,
    "PSUBSCRIBE": SUBSCRIBED,
    "SSUBSCRIBE": SUBSCRIBED,
    "MULTI": _MULTI,
    "WATCH": _BITS["watch"],
    "AUTH": _BITS["auth"],
    "READONLY": _BITS["readonly"],
}
_CLEARS = {"UNWATCH": _BITS["watch"], "READWRITE": _BITS["readonly"]}
_ENDS = {"EXEC": _MULTI | _BITS["watch"], "DISCARD": _MULTI | _BITS["watch"]}  # run at once, even inside MULTI
_SWITCHES = {"REPLY": _REPLY_OFF, "NO-EVICT": _BITS["no_evict"], "NO-TOUCH": _BITS["no_touch"]}
_OFF = {"REPLY": "ON", "NO-EVICT": "OFF", "NO-TOUCH": "OFF"}  # the word that ends the state
_TRACKS = {"TRACKING", "CACHING"}
_JUDGED = {*_SETS, *_CLEARS, *_ENDS, "SELECT", "HELLO", "RESET", "CLIENT"}

ORDINARY: set[Any] = set()
"""Command names, as callers write them, that were seen to change no state. Whoever is in it needs no second look."""
_MOST_ORDINARY = 4096  # names may come from users' input: bounded


def word_for(states: int) -> str | None:
    """The word that is reported for these states.

    >>> word_for(after(after(0, ("WATCH", "k"), None), ("MULTI",), None))
    'multi'
    """
    states &= _ALL
    return WORDS[(states & -states).bit_length() - 1] if states else None


def after(states: int, args: Iterable[Any], configured: Any) -> int:
    """The states once this command is sent.

    Args:
        states: those before it.
        args: the command, as redis-py is given it: any case, ``str`` or bytes, two words in one or apart.
        configured: what a connection is by its configuration: ``db``, ``protocol``, ``username`` and so on.
    """
    args = tuple(args)
    if not args:
        return states
    words = _words(args)
    name = words[0] if words else ""
    if name not in _JUDGED:
        if _text(args[0]).strip():
            _remember(args[0])
        return states
    if name in _SETS:
        return states | _SETS[name]
    if name in _ENDS:
        return states & ~_ENDS[name]
    if name == "RESET":
        return (states & ~_ALL) | (states & _BITS["quit"]) | _lost_by_reset(configured)
    return _apply(states, *_effect(words, args[0], configured))


def _effect(words: Sequence[str], written: Any, configured: Any) -> tuple[int, int]:
    """What it sets and what it clears."""
    name, first, second = [*words, "", ""][:3]
    if name in _CLEARS:
        return 0, _CLEARS[name]
    if name == "SELECT":
        return (0, _DB) if first == _text(getattr(configured, "db", None) or 0) else (_DB, 0)
    if name == "HELLO":
        return (_PROTOCOL if first else 0), 0  # alone it only asks
    if first in _TRACKS:
        return _BITS["tracking"], 0
    if first in _SWITCHES:
        return (0, _SWITCHES[first]) if second == _OFF[first] else (_SWITCHES[first], 0)
    if " " in _text(written).strip():
        _remember(written)  # the likes of "CLIENT LIST" in one word
    return 0, 0


def _apply(states: int, sets: int, clears: int) -> int:
    if states & _MULTI:
        clears = 0  # only queued: DISCARD may yet follow
    return (states & ~clears) | sets


def _lost_by_reset(configured: Any) -> int:
    """RESET leaves a bare connection: what the configuration made of it is lost too."""
    lost = 0
    if _text(getattr(configured, "db", None) or 0) != "0":
        lost |= _DB
    if _text(getattr(configured, "protocol", None) or 2) != "2":
        lost |= _PROTOCOL
    if any(getattr(configured, name, None) for name in ("username", "password", "credential_provider")):
        lost |= _BITS["auth"]
    if getattr(configured, "redis_connect_func", None) is not None:
        lost |= _BITS["readonly"]  # RedisCluster's sends READONLY
    return lost


def _words(args: tuple[Any, ...]) -> list[str]:
    """The first words, in capitals; a name may hold several, and redis-py takes it apart at blanks."""
    return [*_text(args[0]).upper().split(), *(_text(arg).upper() for arg in args[1:3])]


def _text(value: Any) -> str:
    return str(value, "latin-1") if isinstance(value, (bytes, bytearray, memoryview)) else str(value)


def _remember(name: Any) -> None:
    if isinstance(name, (str, bytes)) and len(name) <= 64 and len(ORDINARY) < _MOST_ORDINARY:
        ORDINARY.add(name)


class Session:
    """Mixin for connections, sync and asyncio: keeps ``session``.

    Attributes:
        session: ``None``: as configured; else one of `WORDS`.
    """

    session: str | None = None
    _states = 0

    @property
    def retry(self) -> Any:
        """redis-py's retry object, with no tries of its own, whoever sets it: what is repeated is for our policies."""
        return vars(self)["retry"]

    @retry.setter
    def retry(self, given: Any) -> None:
        if given._retries:
            given = copy.deepcopy(given)
            given._retries = 0
        vars(self)["retry"] = given

    _packed = 0  # the states that the last `pack_commands` sets: a dial while it is being sent does not undo them
    _dialling = 0  # > 0 while connecting, shaking hands and running the callbacks: what these send is the configuration

    @property
    def speaks_by_itself(self) -> bool:
        """Does the server send what nobody asks for: to a subscriber, to a monitor?"""
        return bool(self._states & _SPEAKING)

    def pack_commands(self, commands: Any) -> Any:
        """As redis-py's, and a look at what they will make of the connection."""
        if not isinstance(commands, (list, tuple)):
            commands = list(commands)
        output = super().pack_commands(commands)  # type: ignore[misc] # the class it is mixed into has one
        states, self._packed = self._states, 0
        for command in commands:
            try:
                if command[0] in ORDINARY:
                    continue
            except (TypeError, ValueError, IndexError):  # a name that cannot be hashed; a command that is no sequence
                pass
            states = after(states, command, self)
            self._packed = after(self._packed, command, self)
        if states != self._states:
            self._become(states)
        return output

    def _note(self, args: tuple[Any, ...]) -> None:
        """This command was sent, and is not known to be ordinary."""
        states = after(self._states, args, self)
        if states != self._states:
            self._packed = 0
            self._become(states)

    def _become(self, states: int) -> None:
        if self._dialling or self._aside:  # type: ignore[attr-defined] # kept by the connection
            states = self._states | (states & SUBSCRIBED)  # a callback that subscribes anew; the rest is configuration
        self._set_states(states)

    def _set_states(self, states: int) -> None:
        self._states = states
        self.session = word_for(states)

    def _forget_session(self) -> None:
        """The connection is closed, and what it was is gone."""
        self._states = self._packed = 0
        self.session = None

    def _re_authenticated(self, before: int) -> None:
        """The pool sent AUTH: that is no state, unless a borrower had sent one before."""
        self._set_states(self._states & ~(_BITS["auth"] & ~before))

    def _dialled(self, packed: int) -> None:
        """A new connection, made while these commands may be on their way: it is what they are sent over."""
        self._packed = packed
        if packed:
            self._set_states(self._states | packed)
