"""Describes what a client is about to do as a `Call`. The same for sync and asyncio."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from resilient_redis.calls import Call
from resilient_redis.commands.traits import blocking_time, command_name, is_repeatable, maskable


def command_call(args: tuple[Any, ...], options: dict[str, Any], *, stateful: bool) -> Call:
    """A single command."""
    name = command_name(args)
    return Call(
        name,
        "command",
        args,
        options,
        repeatable=is_repeatable(name),
        maskable=maskable(name, args),
        stateful=stateful,
    )


def pipeline_call(commands: Sequence[Any], transaction: bool, *, stateful: bool) -> Call:
    """A pipeline or transaction, which is one unit: repeatable only if all of it is."""
    words = [args for args, _ in commands]
    return Call(
        "TRANSACTION" if transaction else "PIPELINE",
        "pipeline",
        tuple(words),
        repeatable=all(is_repeatable(command_name(args)) for args in words),
        maskable="yes",  # by `Fallback(pipeline=...)` only
        stateful=stateful,
        size=len(words),
    )


def step_call(args: tuple[Any, ...], options: dict[str, Any], *, stateful: bool) -> Call:
    """A step of a protocol: nothing may stand for its reply."""
    return Call(command_name(args), "command", args, options, maskable="never", stateful=stateful)


def pubsub_call(name: str) -> Call:
    """Subscribing twice is subscribing once, so it may be repeated; nothing may stand for it."""
    return Call(name, "pubsub", repeatable=True, maskable="never")


def pipeline_allowance(commands: Sequence[Any], transaction: bool) -> float:
    """Seconds that a pipeline's commands may block in all. Inside MULTI nothing blocks."""
    return 0.0 if transaction else sum(blocking_time(args) for args, _ in commands)
