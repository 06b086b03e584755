"""The check `up_to_date` of each asset: when the asset was last up to date for each workspace."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache

import dagster as dg

from gsc_pipeline.days import Clock
from gsc_pipeline.defs.events import ASSETS
from gsc_pipeline.defs.keys import CLIENT_REPORT, PLAIN, AssetKeys, name_of
from gsc_pipeline.defs.metadata import table_metadata
from gsc_pipeline.defs.resources import LakeTables, WorkspacesFile
from gsc_pipeline.lake.schemas import INSIGHT_REFRESHES, INSIGHTS
from gsc_pipeline.monitoring import freshness
from gsc_pipeline.monitoring.freshness import (
    AssetFreshness,
    EvaluateAsset,
    FreshnessInputs,
    Materialization,
)
from gsc_pipeline.monitoring.status import workspace_states
from gsc_pipeline.settings import Settings
from gsc_pipeline.sync.tables.more import MORE_TABLES
from gsc_pipeline.workspaces.registry import select

UP_TO_DATE = "up_to_date"
LISTED = 200
"""The most workspaces in a check's table. Workspaces that are not up to date come first."""

_AT_ONCE = 500
"""The most events fetched by one query. Databases limit the length of a query."""


def up_to_date_checks(settings: Settings, keys: AssetKeys = PLAIN) -> dg.AssetChecksDefinition:
    """The check of every asset, in one step of `gsc_checks`."""
    hours = settings.stale_after_hours
    updated = f"was updated within {hours:g} hours after its data changed"
    families: list[tuple[Iterable[str], EvaluateAsset, str]] = [
        (ASSETS, freshness.search_data, f"had a complete sync in the last {hours:g} hours"),
        (
            [one.table.name for one in MORE_TABLES],
            freshness.daily,
            f"was read in the last 24 + {hours:g} hours",
        ),
        ([table.name for table in INSIGHTS], freshness.insights, updated),
        ([CLIENT_REPORT], freshness.report, updated),
    ]
    evaluations = {name: evaluate for names, evaluate, _ in families for name in names}
    specs = [
        dg.AssetCheckSpec(
            UP_TO_DATE,
            asset=keys.of(name),
            description=f"Green: every active workspace {due} (GSC_STALE_AFTER_HOURS). Yellow: at least one "
            "is late. The table lists when each workspace was last up to date, and what is wrong now (times "
            "in UTC, days in Pacific time). Missing: the check has not run yet; *Execute* runs it.",
        )
        for names, _, due in families
        for name in names
    ]

    @dg.multi_asset_check(
        name=UP_TO_DATE,
        specs=specs,
        can_subset=True,
        description="When each asset was last up to date for each workspace.",
    )
    def up_to_date(
        context: dg.AssetCheckExecutionContext,
        workspaces: WorkspacesFile,
        lake: LakeTables,
        clock: dg.ResourceParam[Clock],
    ) -> Iterator[dg.AssetCheckResult]:
        active = select(workspaces.load(), [])
        ids = {workspace.id for workspace in active}
        inputs = FreshnessInputs(
            states=workspace_states(active, lake.open()),
            materializations=cache(
                lambda asset: newest_materializations(context.instance, keys.of(asset), ids)
            ),
            insights={
                row["workspace"]: (row["refreshed_at"], row["as_of"])
                for row in lake.open().read(INSIGHT_REFRESHES).to_pylist()
            },
            now=clock(),
            stale_after=timedelta(hours=hours),
        )
        for key in sorted(context.selected_asset_check_keys):
            asset = name_of(key.asset_key)
            yield _result(key.asset_key, list(evaluations[asset](inputs, asset)))

    return up_to_date


def newest_materializations(
    instance: dg.DagsterInstance, key: dg.AssetKey, workspaces: Collection[str]
) -> dict[str, Materialization]:
    """The newest materialization of each workspace's partition, where there is one."""
    kind = dg.DagsterEventType.ASSET_MATERIALIZATION
    latest = instance.get_latest_storage_id_by_partition(key, kind, partitions=set(workspaces))
    ids = sorted(latest.values())
    made = {}
    for i in range(0, len(ids), _AT_ONCE):
        some = dg.AssetRecordsFilter(asset_key=key, storage_ids=ids[i : i + _AT_ONCE])
        for record in instance.fetch_materializations(some, limit=_AT_ONCE).records:
            event = record.asset_materialization
            value = event.metadata.get("problems") if event else None
            problems = value.value if isinstance(value, dg.JsonMetadataValue) else ()
            made[str(record.partition_key)] = Materialization(
                datetime.fromtimestamp(record.timestamp, UTC), tuple(map(str, problems or ()))
            )
    return made


def _result(asset: dg.AssetKey, rows: Sequence[AssetFreshness]) -> dg.AssetCheckResult:
    bad = [row.workspace for row in rows if row.is_late]
    ordered = sorted(rows, key=lambda row: (not row.is_late, not row.problems, row.workspace))
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
                [
                    (row.workspace, row.state.value, *row.dates.values(), row.problems)
                    for row in ordered[:LISTED]
                ],
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
