"""Runs that are about workspaces one after another, each on its own: what was asked for, told, and missed.

Belongs here: the workspaces a run's tags or key name, one's failure kept from the others, how the run ends.
Does not: what is done for a workspace (the assets' modules).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from gsc_pipeline.dagster_private import plan_partition
from gsc_pipeline.jobs import WORKSPACES_TAG
from gsc_pipeline.lake.lake import LakeError
from gsc_pipeline.resources import Pipeline
from gsc_pipeline.settings import ConfigurationError
from gsc_pipeline.state.store import StateError
from gsc_pipeline.workspaces import Workspace

RETRIES = dg.RetryPolicy(max_retries=2, delay=30, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)
"""Three attempts in all. A retry reads only what is missing, because the lake says what is there."""


@dataclass(frozen=True)
class OneOfARun:
    """One workspace of a run, and the assets that the run has told Dagster of for it."""

    context: dg.AssetExecutionContext
    pipeline: Pipeline
    workspace: Workspace
    told: set[dg.AssetKey] = field(default_factory=set)

    def tell(self, asset: str, metadata: Mapping[str, Any]) -> None:
        """Tell Dagster that the workspace's partition of an asset was made."""
        key = dg.AssetKey(asset)
        self.context.log_event(
            dg.AssetMaterialization(key, partition=self.workspace.id, metadata=dict(metadata))
        )
        self.told.add(key)


def for_each_workspace(
    context: dg.AssetExecutionContext,
    pipeline: Pipeline,
    retries: dg.RetryPolicy,
    work: Callable[[OneOfARun], None],
) -> None:
    """Do `work` for each workspace of the run. A failure is that workspace's alone, and fails the run after.

    The run is repeated where that may help one of them. Raises StateError at once: it is everyone's.
    """
    failed: list[tuple[OneOfARun, dg.Failure]] = []
    for workspace in _asked(context, pipeline):
        one = OneOfARun(context, pipeline, workspace)
        try:
            work(one)
        except StateError:
            raise
        except dg.Failure as failure:
            failed.append((one, failure))
        except LakeError as error:
            # Perhaps only this workspace's files; and perhaps a moment's trouble.
            failed.append((one, dg.Failure(f"{workspace.id}: {error}")))
        except Exception as error:
            context.log.exception(f"workspace {workspace.id}: unexpected error")
            failed.append((one, _unexpected(workspace, error)))
    if failed:
        raise _end(context, failed, retries)


def listed(pipeline: Pipeline) -> tuple[Workspace, ...]:
    """The workspaces file as it is now. Fails the run, once, where it cannot be used."""
    try:
        return pipeline.list_workspaces()
    except ConfigurationError as error:
        raise refusal(str(error)) from None


def named_by_tags(context: dg.AssetExecutionContext, workspaces: Sequence[Workspace]) -> list[Workspace]:
    """The workspaces that a scheduled run's tags name, without those that have left the file since."""
    ids = context.run.tags[WORKSPACES_TAG].split()
    active = {workspace.id: workspace for workspace in workspaces if workspace.active}
    gone = [id_ for id_ in ids if id_ not in active]
    if gone:
        context.log.info(f"no longer active in the workspaces file: {', '.join(gone)}")
    return [active[id_] for id_ in ids if id_ in active]


def refusal(cause: str) -> dg.Failure:
    """A failure that comes before any call, and that no repetition helps."""
    return dg.Failure(f"nothing was read: {cause}", allow_retries=False)


def _asked(context: dg.AssetExecutionContext, pipeline: Pipeline) -> list[Workspace]:
    workspaces = listed(pipeline)
    if WORKSPACES_TAG in context.run.tags:
        return named_by_tags(context, workspaces)
    if not context.has_partition_key:
        raise refusal("the run names no workspace: choose a partition")
    found = [workspace for workspace in workspaces if workspace.id == context.partition_key]
    if not found:
        raise refusal(f"the workspaces file does not list {context.partition_key}")
    return found


def _unexpected(workspace: Workspace, error: Exception) -> dg.Failure:
    cause = f"{workspace.id}: unexpected {type(error).__name__}: {error}"
    return dg.Failure(f"{cause}: please report it with the log", allow_retries=False)


def _end(
    context: dg.AssetExecutionContext,
    failed: Sequence[tuple[OneOfARun, dg.Failure]],
    retries: dg.RetryPolicy,
) -> dg.Failure:
    may_pass = any(failure.allow_retries for _, failure in failed)
    if WORKSPACES_TAG in context.run.tags and (not may_pass or context.retry_number == retries.max_retries):
        _show_as_failed(context, [one for one, _ in failed])
    if len(failed) == 1:
        return failed[0][1]
    return dg.Failure("; ".join(str(failure.description) for _, failure in failed), allow_retries=may_pass)


def _show_as_failed(context: dg.AssetExecutionContext, failed: Sequence[OneOfARun]) -> None:
    """Turn red what is missing of these workspaces: of a run without partitions Dagster does not know."""
    for one in failed:
        for asset in sorted(context.selected_asset_keys - one.told):
            name = asset.to_user_string()
            plan_partition(context.instance, context.run, context.op_def.name, name, one.workspace.id)
