"""The lake: Delta tables with declared schemas, replaced atomically, readable by anything that reads Delta.

Knows nothing of the API, of what is worth reading, or of Dagster.
"""
