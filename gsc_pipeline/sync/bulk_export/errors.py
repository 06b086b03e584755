"""The error of an export that cannot be imported."""

from __future__ import annotations

from collections.abc import Sequence

from gsc_pipeline.errors import PipelineError

MOST_NAMED = 20
"""An error names up to this many causes, and counts more."""


class BulkExportError(PipelineError):
    """The files cannot be imported as they are, so nothing of them was. `causes` has one line for each."""

    def __init__(self, causes: Sequence[str]) -> None:
        named = list(causes[:MOST_NAMED])
        if len(causes) > MOST_NAMED:
            named.append(f"and {len(causes) - MOST_NAMED} more")
        super().__init__("\n".join([*named, "nothing was imported"]))
        self.causes = tuple(causes)
