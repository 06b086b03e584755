"""The asset checks: what is wrong now, judged for all active workspaces from the ledger and the tables.

A check that judged one run's workspace would turn green when the next workspace's run does well.
Belongs here: verdicts as Dagster shows them. Does not: the rules about rows (`quality`).
"""

from collections.abc import Collection, Sequence

import dagster as dg
from dagster import AssetCheckExecutionContext, ResourceParam

from gsc_pipeline.assets.specs import table_metadata
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import SITE_IMPRESSION
from gsc_pipeline.quality import RULES, Rule, judge, schema_differences
from gsc_pipeline.resources import Pipeline
from gsc_pipeline.status import FAILURE_COLUMNS, failure_cells
from gsc_pipeline.sync.standing import StandingFailure, of_configured, read_standing
from gsc_pipeline.workspaces import Workspace, select

_OTHER_COLUMNS = (
    "Another version of this project wrote the tables, or another program. Columns that are missing and may "
    "be null are added by the next sync; for others, run the newest version against the lake. Nothing else "
    "may write to it."
)

NO_PARTIAL_FAILURES = dg.AssetCheckSpec(
    "no_partial_failures",
    asset=SITE_IMPRESSION.name,
    description="Nothing of any active workspace fails: no property, no credential, no day. The same list as "
    "`gsc status` and the lake's table `standing_failures`; it empties itself when a sync finds the cause "
    "gone.",
)

_SHOWN = 50
"""Rows listed in a check's metadata; the lake has them all."""
_NAMED = 10
"""Workspaces named in a sentence."""


def no_partial_failures(lake: Lake, workspaces: Collection[Workspace]) -> dg.AssetCheckResult:
    """Judge the active ones of `workspaces` by what fails now. A warning, never an error.

    Properties and search types that are no longer configured do not count.

    Metadata: how many days and workspaces are affected, and a table of what fails, since when and why.
    """
    failures = of_configured(read_standing(lake), workspaces)
    days = sum(failure.days for failure in failures)
    return dg.AssetCheckResult(
        check_name=NO_PARTIAL_FAILURES.name,
        asset_key=NO_PARTIAL_FAILURES.asset_key,
        passed=not failures,
        severity=dg.AssetCheckSeverity.WARN,
        description=_sentence(failures),
        metadata={
            "failed_days": days,
            "failing_workspaces": len({failure.workspace for failure in failures}),
            "judged_workspaces": sum(workspace.active for workspace in workspaces),
            "failures": table_metadata(
                FAILURE_COLUMNS, [failure_cells(failure) for failure in failures[:_SHOWN]]
            ),
        },
    )


def _sentence(failures: Sequence[StandingFailure]) -> str:
    if not failures:
        return "nothing fails: every day is as known"
    named = sorted({failure.workspace for failure in failures})
    shown = ", ".join(named[:_NAMED]) + (" and others" if len(named) > _NAMED else "")
    things = "thing fails" if len(failures) == 1 else "things fail"
    return f"{len(failures)} {things}, of {shown}: the table says since when, why, and what to do"


def data_checks() -> list[dg.AssetChecksDefinition]:
    """One check for each rule of `quality`, and one for the tables' columns: run by `gsc_checks`."""
    return [*(_rule_check(rule) for rule in RULES), _schema_check()]


def _rule_check(rule: Rule) -> dg.AssetChecksDefinition:
    @dg.asset_check(asset=rule.table, name=rule.name, description=rule.description)
    def check(context: AssetCheckExecutionContext, pipeline: ResourceParam[Pipeline]) -> dg.AssetCheckResult:
        active = [workspace.id for workspace in select(pipeline.list_workspaces(), [])]
        (verdict,) = judge([rule], pipeline.lake, active, now=pipeline.clock())
        return dg.AssetCheckResult(
            passed=verdict.passed,
            severity=dg.AssetCheckSeverity.ERROR if rule.is_error else dg.AssetCheckSeverity.WARN,
            description=f"{len(verdict.offences)} offences. {rule.remedy}"
            if verdict.offences
            else "as it should be",
            metadata={
                "offences": len(verdict.offences),
                "judged_workspaces": len(active),
                "examples": table_metadata(verdict.columns, verdict.offences[:_SHOWN]),
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
            description=_OTHER_COLUMNS if differences else "as it should be",
            metadata={"differences": table_metadata(("table", "columns"), differences)},
        )

    return check
