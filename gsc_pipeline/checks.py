"""The asset checks: what is wrong now, judged for all active workspaces from the ledger and the tables.

A check that judged one run's workspace would turn green when the next workspace's run does well.
Belongs here: verdicts as Dagster shows them. Does not: the rules about rows (`quality`).
"""

from collections.abc import Collection, Sequence
from datetime import timedelta

import dagster as dg
import pyarrow.dataset as ds
from dagster import AssetCheckExecutionContext, ResourceParam

from gsc_pipeline.figures import is_configured
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import SITE_IMPRESSION, SYNC_LEDGER
from gsc_pipeline.quality import RULES, Rule, judge, schema_differences
from gsc_pipeline.resources import Pipeline
from gsc_pipeline.settings import Settings
from gsc_pipeline.sync.ledger import Status
from gsc_pipeline.workspaces import Workspace, select

NO_PARTIAL_FAILURES = dg.AssetCheckSpec(
    "no_partial_failures",
    asset=SITE_IMPRESSION.name,
    description="No day of any active workspace is waiting to be read again after a failure.",
)

_SHOWN = 50
"""Failing parts listed in the check's metadata; the ledger has them all."""


def no_partial_failures(lake: Lake, workspaces: Collection[Workspace]) -> dg.AssetCheckResult:
    """Judge the active ones of `workspaces` by the ledger's failed days. A warning, never an error.

    Properties and search types that are no longer configured do not count.

    Metadata: how many days and workspaces are affected, and a table of what fails and why.
    """
    active = {workspace.id: workspace for workspace in workspaces if workspace.active}
    failed = lake.read(
        SYNC_LEDGER,
        columns=["workspace", "site_url", "search_type", "data_date", "reason"],
        where=(ds.field("status") == Status.FAILED.value) & ds.field("workspace").isin(list(active)),
    )
    rows = [row for row in failed.to_pylist() if is_configured(row, active[row["workspace"]])]
    parts: dict[tuple[str, str, str, str], list[str]] = {}
    for row in rows:
        part = (row["workspace"], row["site_url"], row["search_type"], row["reason"])
        parts.setdefault(part, []).append(str(row["data_date"]))
    return dg.AssetCheckResult(
        check_name=NO_PARTIAL_FAILURES.name,
        asset_key=NO_PARTIAL_FAILURES.asset_key,
        passed=not rows,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{len(rows)} failed days" if rows else "every day is as known",
        metadata={
            "failed_days": len(rows),
            "failing_workspaces": len({part[0] for part in parts}),
            "judged_workspaces": len(active),
            "failures": _table(
                ("workspace", "property", "search type", "days", "reason"),
                [
                    (workspace, site_url, search_type, _span(days), reason)
                    for (workspace, site_url, search_type, reason), days in sorted(parts.items())[:_SHOWN]
                ],
            ),
        },
    )


def data_checks(settings: Settings) -> list[dg.AssetChecksDefinition]:
    """One check for each rule of `quality`, and one for the tables' columns: run by `gsc_checks`."""
    stale_after = timedelta(hours=settings.stale_after_hours)
    return [*(_rule_check(rule, stale_after) for rule in RULES), _schema_check()]


def _rule_check(rule: Rule, stale_after: timedelta) -> dg.AssetChecksDefinition:
    @dg.asset_check(asset=rule.table, name=rule.name, description=rule.description)
    def check(context: AssetCheckExecutionContext, pipeline: ResourceParam[Pipeline]) -> dg.AssetCheckResult:
        active = [workspace.id for workspace in select(pipeline.list_workspaces(), [])]
        (verdict,) = judge([rule], pipeline.lake, active, now=pipeline.clock(), stale_after=stale_after)
        return dg.AssetCheckResult(
            passed=verdict.passed,
            severity=dg.AssetCheckSeverity.ERROR if rule.is_error else dg.AssetCheckSeverity.WARN,
            description=f"{len(verdict.offences)} offences" if verdict.offences else "as it should be",
            metadata={
                "offences": len(verdict.offences),
                "judged_workspaces": len(active),
                "examples": _table(verdict.columns, verdict.offences[:_SHOWN]),
            },
        )

    return check


def _schema_check() -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=SITE_IMPRESSION.name,
        name="schema_as_declared",
        description="Every table of the lake has exactly the columns that the project declares.",
    )
    def check(context: AssetCheckExecutionContext, pipeline: ResourceParam[Pipeline]) -> dg.AssetCheckResult:
        differences = schema_differences(pipeline.lake)
        return dg.AssetCheckResult(
            passed=not differences,
            severity=dg.AssetCheckSeverity.ERROR,
            metadata={"differences": _table(("table", "columns"), differences)},
        )

    return check


def _table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> dg.TableMetadataValue:
    return dg.MetadataValue.table(
        [dg.TableRecord(dict(zip(columns, map(_cell, row), strict=True))) for row in rows],
        schema=dg.TableSchema([dg.TableColumn(name) for name in columns]),
    )


def _cell(value: object) -> str | int | float | bool | None:
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _span(days: list[str]) -> str:
    return days[0] if len(days) == 1 else f"{len(days)} from {min(days)} to {max(days)}"
