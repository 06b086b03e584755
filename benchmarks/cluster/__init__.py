"""What an idle tick costs on a cluster: Dagster's default launcher beside Celery workers."""
