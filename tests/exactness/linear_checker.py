"""Is a history of concurrent operations linearizable? A search in the manner of Wing and Gong, one key at a time.

An operation that was answered took effect at one moment between its call and its answer, with that answer. One whose
fate is unknown took effect at one moment after its call, however late, or never. One that was refused never did, and
does not stand in a history at all: whatever it left behind then has nobody who wrote it, and the check fails.

An echo is another effect of a write that was repeated: it came between call and answer, or never; not later.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any

UNKNOWN = "unknown"
"""The reply of an operation whose fate nobody knows."""

_DEAR = 4
"""An operation whose fate is unknown is taken for applied only to explain so many more answers."""

Step = Callable[[Any, str, tuple[Any, ...]], tuple[Hashable, Any]]
"""``(state, name, args) -> (state afterwards, reply)``: what one operation does when it is alone."""


@dataclass(frozen=True)
class Operation:
    """One call on one key. Moments are of one clock. An echo's reply is `UNKNOWN`."""

    called: float
    answered: float
    name: str
    args: tuple[Any, ...] = ()
    reply: Any = None
    echo: bool = False

    def __post_init__(self) -> None:
        if self.reply == UNKNOWN and not self.echo:
            object.__setattr__(self, "answered", math.inf)

    @property
    def known(self) -> bool:
        """Was it answered?"""
        return self.reply != UNKNOWN


def is_linearizable(history: Iterable[Operation], step: Step, start: Hashable) -> bool:
    """Is there an order of all answered and some unknown operations that explains every answer?"""
    operations = sorted(history, key=lambda one: (one.called, one.answered))
    wanted = sum(1 << place for place, one in enumerate(operations) if one.known)
    dear = sum(1 << place for place, one in enumerate(operations) if one.answered == math.inf)
    tried: set[tuple[int, Hashable]] = set()
    # Most promising first. What explains an answer by unknown ones often fails only much later.
    open_ends: list[tuple[int, int, int, Any]] = [(0, 0, 0, start)]
    while open_ends:
        _, _, done, state = heapq.heappop(open_ends)
        if done & wanted == wanted:
            return True
        for place in _next_ones(operations, done):
            one = operations[place]
            after, reply = step(state, one.name, one.args)
            if one.known and reply != one.reply:
                continue
            if not one.known and after == state:
                continue  # as good as never
            end = (_past(operations, done | 1 << place), after)
            if end not in tried:
                tried.add(end)
                known = (end[0] & wanted).bit_count()
                unknown = (end[0] & dear).bit_count()
                heapq.heappush(open_ends, (_DEAR * unknown - known, len(tried), *end))
    return False


def _past(operations: list[Operation], done: int) -> int:
    """``done``, with the echoes that are too late now: whether they were heard makes no difference any more."""
    latest_call = max(one.called for place, one in enumerate(operations) if done >> place & 1)
    too_late = sum(1 << place for place, one in enumerate(operations) if one.echo and one.answered < latest_call)
    return done | too_late


def _next_ones(operations: list[Operation], done: int) -> list[int]:
    """Those that may be next: nothing else that is still to come was answered before they were called.

    Of unknown ones that ask the same only the one called first: whatever a later one explains, it explains too.
    """
    to_come = []
    asked = set()
    for place, one in enumerate(operations):
        endless = one.answered == math.inf
        if done >> place & 1 or (endless and (one.name, one.args) in asked):
            continue
        to_come.append((place, one))
        if endless:
            asked.add((one.name, one.args))
    first_answer = min((one.answered for _, one in to_come if one.known), default=math.inf)
    return [place for place, one in to_come if one.called <= first_answer]


def unexplained(history: Iterable[Operation], step: Step, start: Hashable) -> str:
    """What was called up to the first answer that nothing explains, a line for each operation."""
    operations = sorted(history, key=lambda one: one.called)
    answers = sorted(one.answered for one in operations if one.known)
    for moment in answers:
        seen = [_as_of(moment, one) for one in operations if one.called <= moment]
        if not is_linearizable(seen, step, start):
            first = seen[0].called
            return "\n".join(
                f"{one.called - first:8.4f} .. {one.answered - first:8.4f}  {one.name} {one.args} -> {one.reply!r}"
                for one in seen
            )
    return ""


def _as_of(moment: float, one: Operation) -> Operation:
    """What was not answered yet may have come already, or not yet."""
    return one if one.answered <= moment or one.echo else Operation(one.called, math.inf, one.name, one.args, UNKNOWN)


def register(state: Any, name: str, args: tuple[Any, ...]) -> tuple[Hashable, Any]:
    """One string key: SET, SET NX, GET, DEL."""
    match name:
        case "SET":
            return args[0], True
        case "SET NX":
            return (args[0], True) if state is None else (state, None)
        case "GET":
            return state, state
        case "DEL":
            return None, int(state is not None)
    raise AssertionError(name)


def members(state: Any, name: str, args: tuple[Any, ...]) -> tuple[Hashable, Any]:
    """One sorted set of jobs: ZADD, ZREM, ZSCORE answered by whether it is there."""
    match name:
        case "ZADD":
            return state | {args[0]}, int(args[0] not in state)
        case "ZREM":
            return state - {args[0]}, int(args[0] in state)
        case "THERE":
            return state, args[0] in state
    raise AssertionError(name)


def queue(state: Any, name: str, args: tuple[Any, ...]) -> tuple[Hashable, Any]:
    """One list: RPUSH answered by its length, LPOP."""
    match name:
        case "RPUSH":
            return (*state, args[0]), len(state) + 1
        case "LPOP":
            return state[1:], (state[0] if state else None)
    raise AssertionError(name)


def mutex(state: Any, name: str, args: tuple[Any, ...]) -> tuple[Hashable, Any]:
    """One lock: acquired by a token, released by the same; or given up by who knows not whether he had it."""
    match name:
        case "ACQUIRE":
            return (args[0], True) if state is None else (state, False)
        case "RELEASE":
            return (None, True) if state == args[0] else (state, False)
        case "GIVE UP":  # whether it was held or not
            return (None if state == args[0] else state), True
        case "HOLDER":
            return state, state
    raise AssertionError(name)
