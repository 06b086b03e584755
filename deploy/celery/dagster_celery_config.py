"""The configuration of the Celery workers that execute Dagster's runs.

`dagster_celery.app` loads it from PYTHONPATH. It must not import the pipeline: a worker forks the processes
that execute runs, and Delta Lake's library refuses to work in a process that was forked after its import.
"""

import os

broker_url = os.environ["GSC_CELERY_BROKER"]
result_backend = os.environ["GSC_CELERY_BACKEND"]

# A worker takes a run only when a process is free for it, so that no run waits behind a long one while
# another worker is idle, and a worker that dies takes no waiting run with it.
worker_disable_prefetch = True
worker_prefetch_multiplier = 1

# A Redis that is away is waited for, at the start too.
broker_connection_max_retries = None
broker_connection_retry_on_startup = True
result_backend_transport_options = {
    "retry_policy": {"max_retries": 30, "interval_start": 0, "interval_step": 0.5, "interval_max": 5}
}

# Run monitoring reads a run's result, which also names its worker. Longer than any run may take.
result_extended = True
result_expires = 86_400

# A process is replaced after so many runs, and after one that left it larger than this (in kilobytes).
worker_max_tasks_per_child = 100
worker_max_memory_per_child = 1_500_000

# Dagster collects what a run prints.
worker_redirect_stdouts = False
