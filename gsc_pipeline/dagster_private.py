"""The one place that imports what Dagster does not promise to keep. A test pins each name used here."""

from __future__ import annotations

import dagster as dg
from dagster._core.definitions.partitions.context import partition_loading_context


def instance_in_scope() -> dg.DagsterInstance | None:
    """The instance for which Dagster is resolving partition keys right now; None outside of that.

    Dagster's command line validates a key before any code of ours runs, and hands the instance over only
    through this context.
    """
    with partition_loading_context() as context:
        store = context.dynamic_partitions_store
        return store if isinstance(store, dg.DagsterInstance) else None
