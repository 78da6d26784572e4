"""Keys of any type."""

from __future__ import annotations

from resilient_redis.commands.classes import CommandClass
from resilient_redis.commands.rules import collections, strings
from resilient_redis.commands.table.rows import Source, rows

ROWS = (
    rows(
        Source.LIVE,
        # TOUCH changes when a key was last used, which is no part of the data, and is flagged readonly.
        read="DBSIZE DUMP EXISTS EXPIRETIME KEYS PEXPIRETIME PTTL RANDOMKEY SCAN SORT_RO TOUCH TTL TYPE CLUSTERSCAN",
        # EXPIRE and PEXPIRE: the time to live is all they do, and a second run moves it.
        checked="DEL EXPIRE MOVE PERSIST PEXPIRE RENAME RENAMENX UNLINK",
        by_arguments={
            "COPY": (CommandClass.CHECKED, collections.replacing),
            "EXPIREAT": (CommandClass.CHECKED, strings.expireat),
            "PEXPIREAT": (CommandClass.CHECKED, strings.pexpireat),
            "RESTORE": (CommandClass.CHECKED, collections.replacing),
            "SORT": (CommandClass.ACCUMULATING, collections.sort),
        },
    )
    + rows(Source.LIVE, of="OBJECT", read="ENCODING FREQ HELP IDLETIME REFCOUNT")
    # MIGRATE moves keys one by one and may fail between the two servers ("IOERR"). RESTORE-ASKING is its other half.
    + rows(Source.LIVE, error_proves=False, admin="MIGRATE RESTORE-ASKING")
)
