"""Whether the database of the Dagster instance answers: what `gsc serve` asks of it.

Belongs here: opening the instance that DAGSTER_HOME names, and one small question. Does not: judging the
answer (`health`).
"""

from collections.abc import Callable

import dagster as dg


def instance_probe() -> Callable[[], None]:
    """What asks the instance's database for one run, and raises where it does not answer.

    The instance is opened by the first probe that can, and kept.
    """
    opened: list[dg.DagsterInstance] = []

    def probe() -> None:
        if not opened:
            opened.append(dg.DagsterInstance.get())
        opened[0].get_run_records(limit=1)

    return probe
