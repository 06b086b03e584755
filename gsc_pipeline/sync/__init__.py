"""The sync: which days to read, what a read means, the ledger, the report.

Stands on `search_console` and `lake`; knows nothing of Dagster, of a terminal, or of a schedule.
"""
