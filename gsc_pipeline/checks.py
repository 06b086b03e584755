"""The asset checks: what is wrong now, judged for all workspaces from the ledger.

A check that judged one run's workspace would turn green when the next workspace's run does well.
"""

from __future__ import annotations

from collections.abc import Collection

import dagster as dg
import pyarrow.dataset as ds

from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import SITE_IMPRESSION, SYNC_LEDGER
from gsc_pipeline.sync.ledger import Status

NO_PARTIAL_FAILURES = dg.AssetCheckSpec(
    "no_partial_failures",
    asset=SITE_IMPRESSION.name,
    description="No day of any active workspace is waiting to be read again after a failure.",
)

_SHOWN = 50
"""Failing parts listed in the check's metadata; the ledger has them all."""


def no_partial_failures(lake: Lake, active: Collection[str]) -> dg.AssetCheckResult:
    """Judge all `active` workspaces by the ledger's failed days. A warning, never an error.

    Metadata: how many days and workspaces are affected, and a table of what fails and why.
    """
    failed = lake.read(
        SYNC_LEDGER,
        columns=["workspace", "site_url", "search_type", "data_date", "reason"],
        where=(ds.field("status") == Status.FAILED.value) & ds.field("workspace").isin(list(active)),
    )
    parts: dict[tuple[str, str, str, str], list[str]] = {}
    for row in failed.to_pylist():
        part = (row["workspace"], row["site_url"], row["search_type"], row["reason"])
        parts.setdefault(part, []).append(str(row["data_date"]))
    return dg.AssetCheckResult(
        check_name=NO_PARTIAL_FAILURES.name,
        asset_key=NO_PARTIAL_FAILURES.asset_key,
        passed=failed.num_rows == 0,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{failed.num_rows} failed days" if failed.num_rows else "every day is as known",
        metadata={
            "failed_days": failed.num_rows,
            "failing_workspaces": len({part[0] for part in parts}),
            "judged_workspaces": len(active),
            "failures": dg.MetadataValue.table(
                [
                    dg.TableRecord(
                        {
                            "workspace": workspace,
                            "property": site_url,
                            "search type": search_type,
                            "days": _span(days),
                            "reason": reason,
                        }
                    )
                    for (workspace, site_url, search_type, reason), days in sorted(parts.items())[:_SHOWN]
                ],
                schema=dg.TableSchema(
                    [
                        dg.TableColumn(name)
                        for name in ("workspace", "property", "search type", "days", "reason")
                    ]
                ),
            ),
        },
    )


def _span(days: list[str]) -> str:
    return days[0] if len(days) == 1 else f"{len(days)} from {min(days)} to {max(days)}"
