"""JSON, search, time series, sketches, vector sets and arrays. Part of Redis since 8; modules before, and elsewhere.

None of them was at hand alive, so each row is read from documents, and an error reply to a write proves nothing.
"""

from __future__ import annotations

from functools import partial

from resilient_redis.commands.classes import CommandClass
from resilient_redis.commands.rules import modules
from resilient_redis.commands.table.rows import Source, rows

_documented = partial(rows, Source.DOCUMENT, error_proves=False)

JSON = _documented(
    read=("JSON.ARRINDEX JSON.ARRLEN JSON.GET JSON.MGET JSON.OBJKEYS JSON.OBJLEN JSON.RESP JSON.STRLEN JSON.TYPE"),
    checked="JSON.CLEAR",
    accumulating=(
        "JSON.ARRAPPEND JSON.ARRINSERT JSON.ARRPOP JSON.NUMINCRBY JSON.NUMMULTBY JSON.NUMPOWBY JSON.STRAPPEND "
        "JSON.TOGGLE"
    ),
    by_arguments={
        "JSON.ARRTRIM": (CommandClass.ACCUMULATING, modules.json_arrtrim),
        "JSON.DEL": (CommandClass.ACCUMULATING, modules.json_del),
        "JSON.FORGET": (CommandClass.ACCUMULATING, modules.json_del),
        "JSON.MERGE": (CommandClass.ACCUMULATING, modules.json_merge),
        "JSON.MSET": (CommandClass.ACCUMULATING, modules.json_mset),
        "JSON.SET": (CommandClass.ACCUMULATING, modules.json_set),
    },
) + _documented(of="JSON.DEBUG", read="HELP MEMORY")

SEARCH = (
    _documented(
        read=(
            "FT.ALIASLIST FT.DICTDUMP FT.EXPLAIN FT.EXPLAINCLI FT.GET FT.INFO FT.MGET FT.PROFILE FT.SEARCH "
            "FT.SPELLCHECK FT.SUGGET FT.SUGLEN FT.SYNDUMP FT.TAGVALS FT._LIST"
        ),
        idempotent="FT.ALIASUPDATE FT.SYNUPDATE",
        checked=(
            "FT.ADD FT.ALIASADD FT.ALIASDEL FT.ALTER FT.CREATE FT.DEL FT.DICTADD FT.DICTDEL FT.DROP FT.DROPINDEX "
            "FT.SAFEADD FT.SUGDEL FT._ALIASADDIFNX FT._ALIASDELIFX FT._ALTERIFNX FT._CREATEIFNX FT._DROPIFX "
            "FT._DROPINDEXIFX"
        ),
        accumulating="FT.SYNADD",
        by_arguments={
            "FT.AGGREGATE": (CommandClass.ACCUMULATING, modules.ft_with_cursor),
            "FT.HYBRID": (CommandClass.ACCUMULATING, modules.ft_with_cursor),
            "FT.SUGADD": (CommandClass.ACCUMULATING, modules.ft_sugadd),
        },
    )
    # A cursor goes on at each READ.
    + _documented(of="FT.CURSOR", checked="DEL", accumulating="READ", admin="GC")
    + _documented(of="FT.CONFIG", read="GET HELP", admin="SET")
    + _documented(of="_FT.CONFIG", read="GET HELP", admin="SET")
    + rows(Source.CLIENT, error_proves=False, checked="FT.ADDHASH")
    + _documented(admin="_FT.DEBUG SEARCH.CLUSTERREFRESH SEARCH.CLUSTERSET", read="SEARCH.CLUSTERINFO")
)

TIME_SERIES = _documented(
    read=(
        "TS.GET TS.INFO TS.MGET TS.MRANGE TS.MREVRANGE TS.NRANGE TS.NREVRANGE TS.QUERYINDEX TS.QUERYLABELS TS.RANGE "
        "TS.READ TS.REVRANGE"
    ),
    idempotent="TS.ALTER",
    checked="TS.CREATE TS.CREATERULE TS.DEL TS.DELETERULE",
    # What happens to a second sample of the same moment is up to each key's own policy, which may be SUM.
    accumulating="TS.DECRBY TS.INCRBY TS.MADD",
    admin="TIMESERIES.CLUSTERSET TIMESERIES.REFRESHCLUSTER",
    by_arguments={"TS.ADD": (CommandClass.ACCUMULATING, modules.ts_add)},
)

SKETCHES = (
    _documented(
        read="BF.CARD BF.DEBUG BF.EXISTS BF.INFO BF.MEXISTS BF.SCANDUMP",
        checked="BF.ADD BF.INSERT BF.MADD BF.RESERVE",
        unknown="BF.LOADCHUNK",
    )
    # A cuckoo filter holds the same item several times, and forgets one of them at a time.
    + _documented(
        read="CF.COUNT CF.DEBUG CF.EXISTS CF.INFO CF.MEXISTS CF.SCANDUMP",
        checked="CF.ADDNX CF.INSERTNX CF.RESERVE",
        accumulating="CF.ADD CF.DEL CF.INSERT",
        unknown="CF.COMPACT CF.LOADCHUNK",
    )
    # CMS.MERGE: the document does not say whether the destination is emptied first.
    + _documented(
        read="CMS.INFO CMS.QUERY",
        checked="CMS.INITBYDIM CMS.INITBYPROB",
        accumulating="CMS.INCRBY CMS.MERGE",
    )
    + _documented(
        read="TOPK.COUNT TOPK.INFO TOPK.LIST TOPK.QUERY", checked="TOPK.RESERVE", accumulating="TOPK.ADD TOPK.INCRBY"
    )
    + _documented(
        read=(
            "TDIGEST.BYRANK TDIGEST.BYREVRANK TDIGEST.CDF TDIGEST.INFO TDIGEST.MAX TDIGEST.MIN TDIGEST.QUANTILE "
            "TDIGEST.RANK TDIGEST.REVRANK TDIGEST.TRIMMED_MEAN"
        ),
        idempotent="TDIGEST.RESET",
        checked="TDIGEST.CREATE",
        accumulating="TDIGEST.ADD",
        by_arguments={"TDIGEST.MERGE": (CommandClass.ACCUMULATING, modules.tdigest_merge)},
    )
)

VECTORS = _documented(
    read="VCARD VDIM VEMB VGETATTR VINFO VISMEMBER VLINKS VRANDMEMBER VRANGE VSIM",
    # VSETATTR with an empty text removes; the document does not say what the second removal answers.
    checked="VADD VREM VSETATTR",
)

ARRAYS = _documented(
    read="ARCOUNT ARGET ARGETRANGE ARGREP ARINFO ARLASTITEMS ARLEN ARMGET ARNEXT AROP ARSCAN",
    idempotent="ARSEEK",
    # ARSET and ARMSET answer how many places are new.
    checked="ARDEL ARDELRANGE ARMSET ARSET",
    accumulating="ARINSERT ARRING",
)

ROWS = JSON + SEARCH + TIME_SERIES + SKETCHES + VECTORS + ARRAYS
