"""Warnings about the lake whose numbers a command shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gsc_pipeline.lake.lake import Lake


def warn_if_empty(lake: Lake) -> None:
    """Warn of an empty lake, which may be a mistyped GSC_LAKE."""
    from gsc_pipeline.cli.display import warn
    from gsc_pipeline.lake.damage import has_files
    from gsc_pipeline.lake.schemas import LEDGER_COUNTS, SYNC_LEDGER

    if lake.dataset(SYNC_LEDGER) is not None:
        return
    # Without a ledger but with rows it was lost, which gsc verify reports.
    if not any(has_files(lake.table_uri(table)) for table in LEDGER_COUNTS.values()):
        warn(f"{lake.uri} is empty: run gsc sync, or check GSC_LAKE")


def warn_of_disagreement(lake: Lake, workspace: str | None = None) -> None:
    """Warn if the lake does not hold the rows that its ledger counts: the numbers shown may be wrong."""
    from gsc_pipeline.cli.display import MOST_NAMED, warn
    from gsc_pipeline.lake.agreement import disagreements
    from gsc_pipeline.lake.lake import LakeError

    try:
        found = disagreements(lake, workspace)
    except LakeError as error:
        warn(f"tables and ledger cannot be compared: {error}")
        return
    for one in found[:MOST_NAMED]:
        warn(f"{one}: numbers from it may be wrong. Run gsc verify {one.workspace}")
    if len(found) > MOST_NAMED:
        warn(f"{len(found) - MOST_NAMED} more months of tables disagree with the ledger: run gsc verify")
