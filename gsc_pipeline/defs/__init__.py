"""Everything that imports Dagster, a module per Dagster concept."""
