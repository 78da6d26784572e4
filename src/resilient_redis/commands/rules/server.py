"""Subcommands of which a word tells the question from the order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from resilient_redis.commands.classes import CommandClass
from resilient_redis.commands.words import word


def acl_log(args: Sequence[Any]) -> CommandClass:
    """ACL LOG [count | RESET]."""
    return CommandClass.ADMIN if args and word(args[0]) == "RESET" else CommandClass.READ


def cluster_migration(args: Sequence[Any]) -> CommandClass:
    """CLUSTER MIGRATION IMPORT | CANCEL | STATUS."""
    return CommandClass.READ if args and word(args[0]) == "STATUS" else CommandClass.ADMIN


def sentinel_config(args: Sequence[Any]) -> CommandClass:
    """SENTINEL CONFIG GET | SET."""
    return CommandClass.READ if args and word(args[0]) == "GET" else CommandClass.ADMIN


def function_load(args: Sequence[Any]) -> CommandClass:
    """FUNCTION LOAD [REPLACE] code: without REPLACE the second run is refused."""
    return CommandClass.IDEMPOTENT if args and word(args[0]) == "REPLACE" else CommandClass.CHECKED
