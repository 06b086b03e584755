"""Opens the Dagster instance in DAGSTER_HOME and adds the workspaces in the arguments as partitions.

Every installation does it once: SQLite's schema, and the work of the sensor. It is not measured.
"""

import sys

import dagster as dg

from gsc_pipeline.defs.partitions import WORKSPACES


def main() -> None:
    """Prepare the instance for runs."""
    with dg.DagsterInstance.get() as instance:
        instance.add_dynamic_partitions(WORKSPACES, sys.argv[1:])
        instance.get_runs(limit=1)
        instance.all_instigator_state()


if __name__ == "__main__":
    main()
