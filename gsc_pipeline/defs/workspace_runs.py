"""Runs over several workspaces. Each workspace is processed, and the failures are raised at the end."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from gsc_pipeline.defs.dagster_private import plan_partition
from gsc_pipeline.defs.jobs import TICK_TAG, WORKSPACES_TAG
from gsc_pipeline.defs.keys import PLAIN, AssetKeys
from gsc_pipeline.defs.partitions import register
from gsc_pipeline.defs.resources import SearchConsoleApi, WorkspacesFile
from gsc_pipeline.defs.startup import refuse_unshared_storage
from gsc_pipeline.lake.lake import LakeError
from gsc_pipeline.settings import ConfigurationError
from gsc_pipeline.state.store import StateError
from gsc_pipeline.sync.outcome import Outcome, tally
from gsc_pipeline.sync.sync_all import OpenConsole
from gsc_pipeline.workspaces.registry import Workspace

RETRIES = dg.RetryPolicy(max_retries=2, delay=30, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)
"""Three attempts in all. A retry reads only what is missing, because the lake records what is there."""

DONE_TAG = "gsc/done"
"""With the name of a step: the workspaces of a scheduled run that a retry of the step leaves out."""


@dataclass(frozen=True)
class WorkspaceRun:
    """One workspace of a run.

    `missing` holds the assets and partitions that a scheduled run shows as failed if the workspace fails,
    `made` what a run by a person has made, `ended` how each of the workspace's syncs ended, with its counts.
    """

    context: dg.AssetExecutionContext
    workspace: Workspace
    missing: set[tuple[dg.AssetKey, str]]
    keys: AssetKeys = PLAIN
    made: list[dg.AssetMaterialization] = field(default_factory=list)
    ended: list[tuple[Outcome, str]] = field(default_factory=list)

    def materialize(self, asset: str, metadata: Mapping[str, Any]) -> None:
        """Record that the workspace's partition of an asset was made."""
        key = self.keys.of(asset)
        self.record(dg.AssetMaterialization(key, partition=self.workspace.id, metadata=dict(metadata)))
        self.missing.discard((key, self.workspace.id))

    def record(self, event: dg.AssetMaterialization) -> None:
        """Log the event in a scheduled run. That of a run by a person comes with the step's outputs."""
        if is_by_person(self.context):
            self.made.append(event)
        else:
            self.context.log_event(event)


def is_by_person(context: dg.AssetExecutionContext) -> bool:
    """Whether a person started the run: it has partitions, and no tag that names workspaces."""
    return WORKSPACES_TAG not in context.run.tags


def console_opener(context: dg.AssetExecutionContext, search_console: SearchConsoleApi) -> OpenConsole:
    """Opens the clients of a run. A person's run does not wait for an open circuit; its retries do."""
    return search_console.opener(by_person=TICK_TAG not in context.run.tags and context.retry_number == 0)


def process_each(
    runs: Sequence[WorkspaceRun],
    retries: dg.RetryPolicy,
    process: Callable[[WorkspaceRun], None],
    finish: Callable[[], Mapping[str, LakeError]] = dict,
) -> dg.Failure | None:
    """Call `process` for each workspace of a run, then `finish`. Returns the failure of the run, or None.

    `finish` completes what the workspaces share, and returns those for which that failed, with the error.
    The failure allows retries if those may help at least one workspace. A retry of a scheduled run leaves out
    the workspaces that did not fail. Raises StateError at once, as every workspace needs the shared state.
    """
    failures: list[tuple[WorkspaceRun, dg.Failure]] = []
    done = _done_before(runs[0].context) if runs else set()
    for run in (run for run in runs if run.workspace.id not in done):
        try:
            process(run)
        except StateError:
            raise
        except dg.Failure as failure:
            failures.append((run, failure))
        except LakeError as error:
            # The error may concern only this workspace's files, and it may be temporary.
            failures.append((run, dg.Failure(f"{run.workspace.id}: {error}")))
        except Exception as error:
            run.context.log.exception(f"workspace {run.workspace.id}: unexpected error")
            failures.append((run, _unexpected(run.workspace, error)))
    unfinished = finish()
    failed = {run.workspace.id for run, _ in failures}
    # A workspace that failed by itself is in the list already.
    left = [run for run in runs if run.workspace.id in unfinished.keys() - failed]
    failures += [(run, dg.Failure(f"{run.workspace.id}: {unfinished[run.workspace.id]}")) for run in left]
    _log_summary(runs, {run.workspace.id: failure for run, failure in failures})
    if not failures:
        return None
    failed = {run.workspace.id for run, _ in failures}
    _note_done(runs[0].context, {run.workspace.id for run in runs} - failed)
    return _joined(failures, retries)


def outputs(
    context: dg.AssetExecutionContext,
    runs: Sequence[WorkspaceRun],
    failure: dg.Failure | None,
    retries: dg.RetryPolicy,
) -> Iterator[dg.MaterializeResult[Any]]:
    """The outputs of the step in a run by a person, so that the run's checks and downstream assets execute.

    For an output, Dagster materializes every partition of the run, whether or not an event was logged for it.
    So a failed step yields no output: its last attempt logs an event for each partition that was made.
    """
    made = [event for run in runs for event in run.made]
    if failure:
        for event in made if _is_last_attempt(context, failure, retries) else ():
            context.log_event(event)
        return
    requested = set(context.partition_keys) if made else set()
    for event in made:
        if event.partition in requested:
            context.add_asset_metadata(event.metadata, event.asset_key, event.partition)
        else:
            context.log_event(event)
    for asset in dict.fromkeys(event.asset_key for event in made):
        yield dg.MaterializeResult(asset_key=asset)


def process_workspaces(
    context: dg.AssetExecutionContext,
    workspaces: WorkspacesFile,
    retries: dg.RetryPolicy,
    process: Callable[[WorkspaceRun], None],
    keys: AssetKeys = PLAIN,
) -> Iterator[dg.MaterializeResult[Any]]:
    """Call `process` for each workspace that the run's tags or partition name, then fail if any failed.

    Yields the step's outputs.
    """
    requested = _requested(context, read_workspaces(context, workspaces))
    register(context.instance, [workspace.id for workspace in requested])
    runs = [
        WorkspaceRun(context, one, {(key, one.id) for key in context.selected_asset_keys}, keys)
        for one in requested
    ]
    failure = process_each(runs, retries, process)
    yield from outputs(context, runs, failure, retries)
    if failure:
        raise failure


def read_workspaces(context: dg.AssetExecutionContext, workspaces: WorkspacesFile) -> tuple[Workspace, ...]:
    """The workspaces file as it is now. Fails the run, without retries, if it cannot be used.

    The same if the settings do not fit the instance's run launcher.
    """
    try:
        refuse_unshared_storage(context.instance, workspaces.settings())
        return workspaces.load()
    except ConfigurationError as error:
        raise refusal(str(error)) from None


def named_by_tags(context: dg.AssetExecutionContext, workspaces: Iterable[Workspace]) -> list[Workspace]:
    """The workspaces that a scheduled run's tags name, without those that are no longer active."""
    ids = context.run.tags[WORKSPACES_TAG].split()
    active = {workspace.id: workspace for workspace in workspaces if workspace.active}
    gone = [id_ for id_ in ids if id_ not in active]
    if gone:
        context.log.info(f"no longer active in the workspaces file: {', '.join(gone)}")
    return [active[id_] for id_ in ids if id_ in active]


def refusal(cause: str) -> dg.Failure:
    """A failure before the first call. It allows no retries, because the run would fail again."""
    return dg.Failure(f"nothing was read: {cause}", allow_retries=False)


def _done_before(context: dg.AssetExecutionContext) -> set[str]:
    """The workspaces that need no retry, as an earlier attempt of this step in this run noted."""
    if context.retry_number == 0:
        return set()
    # `context.run` is the run as it was when it started.
    run = context.instance.get_run_by_id(context.run.run_id)
    return set(run.tags.get(_done_tag(context), "").split()) if run else set()


def _note_done(context: dg.AssetExecutionContext, workspaces: Collection[str]) -> None:
    # In a run by a person each attempt records all of its partitions again.
    if WORKSPACES_TAG in context.run.tags:
        context.instance.add_run_tags(context.run.run_id, {_done_tag(context): " ".join(sorted(workspaces))})


def _done_tag(context: dg.AssetExecutionContext) -> str:
    return f"{DONE_TAG}-{context.op_def.name}"


def _requested(context: dg.AssetExecutionContext, workspaces: Sequence[Workspace]) -> list[Workspace]:
    if not is_by_person(context):
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


def _joined(failures: Sequence[tuple[WorkspaceRun, dg.Failure]], retries: dg.RetryPolicy) -> dg.Failure:
    context = failures[0][0].context
    joined = failures[0][1]
    if len(failures) > 1:
        joined = dg.Failure(
            "; ".join(str(failure.description) for _, failure in failures),
            allow_retries=any(failure.allow_retries for _, failure in failures),
        )
    if not is_by_person(context) and _is_last_attempt(context, joined, retries):
        # A scheduled run has no partitions, so Dagster does not know which of them failed.
        for run, _ in failures:
            for asset, partition in sorted(run.missing, key=lambda one: (one[0].path, one[1])):
                plan_partition(context.instance, context.run, context.op_def.name, asset, partition)
    return joined


def _is_last_attempt(context: dg.AssetExecutionContext, failure: dg.Failure, retries: dg.RetryPolicy) -> bool:
    return not failure.allow_retries or context.retry_number == retries.max_retries


def _log_summary(runs: Sequence[WorkspaceRun], failures: Mapping[str, dg.Failure]) -> None:
    """Log how each workspace ended, a line for each, and the total: one entry, as each takes some 20 ms."""
    lines, counts = [], Counter[Outcome]()
    for run in runs:
        failure = failures.get(run.workspace.id)
        ended = run.ended
        if failure and all(outcome is Outcome.COMPLETE for outcome, _ in ended):
            ended = [(Outcome.FAILED, str(failure.description))]
        lines += [f"{run.workspace.id}: {outcome}, {text}" for outcome, text in ended]
        counts[max((outcome for outcome, _ in ended), key=list(Outcome).index, default=Outcome.COMPLETE)] += 1
    if runs:
        log = runs[0].context.log.warning if failures else runs[0].context.log.info
        log("\n".join([*lines, tally(*(counts[outcome] for outcome in Outcome))]))
