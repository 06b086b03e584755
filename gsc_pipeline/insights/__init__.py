"""What the numbers say: pure functions from frames to findings, and their way into the lake.

One module per table. Knows nothing of the API, or of Dagster.
"""
