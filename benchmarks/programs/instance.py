"""Opens the Dagster instance that DAGSTER_HOME names, and lists the workspaces named as arguments in it.

What every installation does once: SQLite's schema, and the sensor's work. Never measured.
"""

import sys

import dagster as dg

from gsc_pipeline.partitions import WORKSPACES


def main() -> None:
    """Leave an instance behind that is ready for runs."""
    with dg.DagsterInstance.get() as instance:
        instance.add_dynamic_partitions(WORKSPACES, sys.argv[1:])
        instance.get_runs(limit=1)
        instance.all_instigator_state()


if __name__ == "__main__":
    main()
