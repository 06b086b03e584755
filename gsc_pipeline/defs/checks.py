"""The asset checks: what is wrong now, in the ledger and the tables of all active workspaces.

Every check covers all active workspaces. A check of only the workspace that was synced would turn green as
soon as the run of another workspace succeeds.
"""

from collections.abc import Collection, Sequence

import dagster as dg

from gsc_pipeline.days import Clock
from gsc_pipeline.defs.keys import PLAIN, AssetKeys
from gsc_pipeline.defs.metadata import table_metadata
from gsc_pipeline.defs.resources import LakeTables, WorkspacesFile
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.quality import RULES, Rule, evaluate, schema_differences
from gsc_pipeline.lake.schemas import SITE_IMPRESSION
from gsc_pipeline.monitoring.status_tables import FAILURE_COLUMNS, failure_cells
from gsc_pipeline.sync.failures import StandingFailure, of_configured, read_standing
from gsc_pipeline.workspaces.registry import Workspace, select

_OTHER_COLUMNS = (
    "Another version of this project, or another program, wrote the tables. The next sync adds missing "
    "columns that may be null. For any other difference, run the newest version of this project against the "
    "lake. No other program may write to the lake."
)


_SHOWN = 50
"""The most rows listed in a check's metadata. The lake has all of them."""
_NAMED = 10
"""The most workspaces named in a check's description."""


def no_partial_failures_spec(keys: AssetKeys = PLAIN) -> dg.AssetCheckSpec:
    """The check of what fails now, which every sync evaluates."""
    return dg.AssetCheckSpec(
        "no_partial_failures",
        asset=keys.of(SITE_IMPRESSION.name),
        description="Green: nothing fails now. Yellow: a property, a credential or a day of an active "
        "workspace fails. The table lists each failure with its start, cause and next step, as `gsc status` "
        "and the lake's table `standing_failures` do. A successful sync removes the failure. Missing: no "
        "sync has run yet.",
    )


def no_partial_failures(
    lake: Lake, workspaces: Collection[Workspace], keys: AssetKeys = PLAIN
) -> dg.AssetCheckResult:
    """Evaluate the check for the active workspaces among `workspaces`. Its severity is always WARN.

    Properties and search types that are no longer configured do not count. The metadata has the number of
    failed days and workspaces, and a table of the failures.
    """
    failures = of_configured(read_standing(lake), workspaces)
    days = sum(failure.days for failure in failures)
    spec = no_partial_failures_spec(keys)
    return dg.AssetCheckResult(
        check_name=spec.name,
        asset_key=spec.asset_key,
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


def as_evaluation(result: dg.AssetCheckResult) -> dg.AssetCheckEvaluation:
    """A check's result as an event, for an instance in which no run evaluated it."""
    assert result.asset_key
    assert result.check_name
    return dg.AssetCheckEvaluation(
        asset_key=result.asset_key,
        check_name=result.check_name,
        passed=result.passed,
        severity=result.severity,
        description=result.description,
        metadata=result.metadata,
    )


def _sentence(failures: Sequence[StandingFailure]) -> str:
    if not failures:
        return "nothing fails"
    named = sorted({failure.workspace for failure in failures})
    shown = ", ".join(named[:_NAMED]) + (" and others" if len(named) > _NAMED else "")
    count = "1 failure" if len(failures) == 1 else f"{len(failures)} failures"
    return f"{count} in {shown}: the table lists start, cause and next step"


def data_checks(keys: AssetKeys = PLAIN) -> list[dg.AssetChecksDefinition]:
    """The checks that `gsc_checks` runs: one for each rule of `lake.quality`, and one for the columns."""
    return [*(_rule_check(rule, keys) for rule in RULES), _schema_check(keys)]


def _rule_check(rule: Rule, keys: AssetKeys) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=keys.of(rule.table),
        name=rule.name,
        description=f"{rule.description} {'Red' if rule.is_error else 'Yellow'}: the table lists workspace, "
        "property and day of each violation. Missing: the check has not run yet.",
    )
    def check(
        workspaces: WorkspacesFile, lake: LakeTables, clock: dg.ResourceParam[Clock]
    ) -> dg.AssetCheckResult:
        active = [workspace.id for workspace in select(workspaces.load(), [])]
        (verdict,) = evaluate([rule], lake.open(), active, now=clock())
        return dg.AssetCheckResult(
            passed=verdict.passed,
            severity=dg.AssetCheckSeverity.ERROR if rule.is_error else dg.AssetCheckSeverity.WARN,
            description=f"{len(verdict.violations)} violations. {rule.remedy}"
            if verdict.violations
            else "no violations",
            metadata={
                "offences": len(verdict.violations),
                "judged_workspaces": len(active),
                "examples": table_metadata(verdict.columns, verdict.violations[:_SHOWN]),
            },
        )

    return check


def _schema_check(keys: AssetKeys) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=keys.of(SITE_IMPRESSION.name),
        name="schema_as_declared",
        description="Every table of the lake has exactly the columns that the project declares. Red: the "
        "table lists the differences. Missing: the check has not run yet.",
    )
    def check(lake: LakeTables) -> dg.AssetCheckResult:
        differences = schema_differences(lake.open())
        return dg.AssetCheckResult(
            passed=not differences,
            severity=dg.AssetCheckSeverity.ERROR,
            description=_OTHER_COLUMNS if differences else "every table has the declared columns",
            metadata={"differences": table_metadata(("table", "columns"), differences)},
        )

    return check
