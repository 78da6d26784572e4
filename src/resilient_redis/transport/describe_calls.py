"""Describes what a client is about to do as a `Call`. The same for sync and asyncio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from resilient_redis.calls import Call, CommandClass
from resilient_redis.commands.lookup import command_class
from resilient_redis.commands.traits import blocking_time, command_name, maskable

Marks = Mapping[str, CommandClass] | None


def command_call(args: tuple[Any, ...], options: dict[str, Any], marks: Marks = None, *, stateful: bool) -> Call:
    """A single command."""
    name = command_name(args)
    return Call(
        name,
        "command",
        args,
        options,
        command_class=command_class(args, marks),
        maskable=maskable(name, args),
        stateful=stateful,
    )


def pipeline_call(commands: Sequence[Any], transaction: bool, marks: Marks = None, *, stateful: bool) -> Call:
    """A pipeline or transaction, which is one unit.

    It is a read if all of it is, else unknown: run again as a whole, a part that comes earlier would see what a later
    part wrote the first time.
    """
    words = [args for args, _ in commands]
    reads = all(command_class(args, marks) is CommandClass.READ for args in words)
    return Call(
        "TRANSACTION" if transaction else "PIPELINE",
        "pipeline",
        tuple(words),
        command_class=CommandClass.READ if reads else CommandClass.UNKNOWN,
        maskable="yes",  # by `Fallback(pipeline=...)` only
        stateful=stateful,
        size=len(words),
    )


def step_call(args: tuple[Any, ...], options: dict[str, Any], *, stateful: bool) -> Call:
    """A step of a protocol: nothing may stand for its reply."""
    name, kind = command_name(args), command_class(args)
    return Call(name, "command", args, options, command_class=kind, maskable="never", stateful=stateful)


def pubsub_call(name: str) -> Call:
    """Subscribing twice is subscribing once, so it may be repeated; nothing may stand for it."""
    return Call(name, "pubsub", command_class=CommandClass.READ, maskable="never")


def pipeline_allowance(commands: Sequence[Any], transaction: bool) -> float:
    """Seconds that a pipeline's commands may block in all. Inside MULTI nothing blocks."""
    return 0.0 if transaction else sum(blocking_time(args) for args, _ in commands)
