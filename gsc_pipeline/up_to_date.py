"""The check `up_to_date`: on each asset's page, when the asset was last true for each workspace.

Belongs here: the checks, and what Dagster knows of an asset. Does not: what is due when (`last_true`), rules
about rows (`quality`).
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache

import dagster as dg

from gsc_pipeline import last_true
from gsc_pipeline.assets.specs import table_metadata
from gsc_pipeline.lake.schemas import INSIGHT_REFRESHES, TableSpec
from gsc_pipeline.last_true import JudgeAsset, Look, Made, Row
from gsc_pipeline.resources import Pipeline
from gsc_pipeline.settings import Settings
from gsc_pipeline.status import workspace_states
from gsc_pipeline.workspaces import select

UP_TO_DATE = "up_to_date"
LISTED = 200
"""Workspaces in a check's table, those with trouble first; what is left out is up to date, or counted."""

_AT_ONCE = 500
"""Events asked for in one query; databases limit its length."""


def up_to_date_checks(
    settings: Settings,
    search_data: Iterable[str],
    more: Iterable[TableSpec],
    insights: Iterable[TableSpec],
    report: str,
) -> dg.AssetChecksDefinition:
    """The check of every asset, in one step of `gsc_checks`."""
    hours = settings.stale_after_hours
    anew = f"Made anew within {hours:g} hours after the days of an active workspace moved"
    families: list[tuple[Iterable[str], JudgeAsset, str]] = [
        (
            search_data,
            last_true.search_data,
            f"Every active workspace had a good sync in the last {hours:g} hours",
        ),
        (
            [table.name for table in more],
            last_true.daily,
            f"Read for every active workspace in the last day and {hours:g} hours",
        ),
        ([table.name for table in insights], last_true.insights, anew),
        ([report], last_true.report, anew),
    ]
    judges = {name: judge for names, judge, _ in families for name in names}
    specs = [
        dg.AssetCheckSpec(
            UP_TO_DATE,
            asset=name,
            description=f"{due} (GSC_STALE_AFTER_HOURS). The table says when it was last true for each "
            "workspace, and what is wrong now (times in UTC, days in Pacific time). *Execute* looks again.",
        )
        for names, _, due in families
        for name in names
    ]

    @dg.multi_asset_check(
        name=UP_TO_DATE,
        specs=specs,
        can_subset=True,
        description="When each asset was last true for each workspace.",
    )
    def up_to_date(
        context: dg.AssetCheckExecutionContext, pipeline: dg.ResourceParam[Pipeline]
    ) -> Iterator[dg.AssetCheckResult]:
        active = select(pipeline.list_workspaces(), [])
        ids = {workspace.id for workspace in active}
        look = Look(
            states=workspace_states(active, pipeline.lake),
            made=cache(lambda asset: newest_materializations(context.instance, asset, ids)),
            insights={
                row["workspace"]: (row["refreshed_at"], row["as_of"])
                for row in pipeline.lake.read(INSIGHT_REFRESHES).to_pylist()
            },
            now=pipeline.clock(),
            stale_after=timedelta(hours=hours),
        )
        for key in sorted(context.selected_asset_check_keys):
            asset = key.asset_key.to_user_string()
            yield _result(key.asset_key, list(judges[asset](look, asset)))

    return up_to_date


def newest_materializations(
    instance: dg.DagsterInstance, asset: str, workspaces: Collection[str]
) -> dict[str, Made]:
    """When the partition of each workspace was last materialized, where it ever was."""
    key, kind = dg.AssetKey(asset), dg.DagsterEventType.ASSET_MATERIALIZATION
    latest = instance.get_latest_storage_id_by_partition(key, kind, partitions=set(workspaces))
    ids = sorted(latest.values())
    made = {}
    for i in range(0, len(ids), _AT_ONCE):
        some = dg.AssetRecordsFilter(asset_key=key, storage_ids=ids[i : i + _AT_ONCE])
        for record in instance.fetch_materializations(some, limit=_AT_ONCE).records:
            event = record.asset_materialization
            told = event.metadata.get("problems") if event else None
            problems = told.value if isinstance(told, dg.JsonMetadataValue) else ()
            made[str(record.partition_key)] = Made(
                datetime.fromtimestamp(record.timestamp, UTC), tuple(map(str, problems or ()))
            )
    return made


def _result(asset: dg.AssetKey, rows: Sequence[Row]) -> dg.AssetCheckResult:
    bad = [row.workspace for row in rows if row.is_bad]
    ordered = sorted(rows, key=lambda row: (not row.is_bad, not row.wrong, row.workspace))
    columns = ["workspace", "state", *(ordered[0].dates if ordered else ()), "wrong now, and what to do"]
    return dg.AssetCheckResult(
        asset_key=asset,
        check_name=UP_TO_DATE,
        passed=not bad,
        severity=dg.AssetCheckSeverity.WARN,
        description=_sentence(bad, len(rows)),
        metadata={
            "workspaces": table_metadata(
                columns,
                [(row.workspace, row.state, *row.dates.values(), row.wrong) for row in ordered[:LISTED]],
            ),
            "judged_workspaces": len(rows),
            "not_up_to_date": len(bad),
            "not_listed": max(0, len(rows) - LISTED),
        },
    )


def _sentence(bad: Sequence[str], of: int) -> str:
    if not bad:
        return f"{of} of {of} workspaces are up to date"
    named = ", ".join(bad[:10]) + (" and others" if len(bad) > 10 else "")
    return f"{len(bad)} of {of} workspaces {'is' if len(bad) == 1 else 'are'} not up to date: {named}"
