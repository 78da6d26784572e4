"""All workloads by name."""

from __future__ import annotations

import exact_claims as claims
import exact_work as work

READS: dict[str, type[work.Workload]] = {kind.name: kind for kind in (work.Reads, work.ReadTransactions)}
WRITES: dict[str, type[work.Workload]] = {
    kind.name: kind
    for kind in (
        work.Increments,
        work.Pushes,
        work.Scripts,
        work.RegisteredScripts,
        work.Transactions,
        work.Pipelines,
        work.PipelineReplies,
        work.ScriptPipelines,
        claims.Pops,
        claims.Claims,
        claims.Removals,
        claims.Moves,
        claims.Messages,
        work.Watched,
        work.Sections,
    )
}
